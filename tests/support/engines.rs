//! Engines that run beside the tests: `tests/run` starts private ones and says where they are.
#![expect(clippy::expect_used, reason = "a test without its engine has failed")]

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use url::Url;

/// A database of its own in the Postgres of the test run. It is dropped with this.
pub(crate) struct Database {
    pub(crate) url: String,
    admin: Url,
    name: String,
}

#[expect(clippy::disallowed_methods, reason = "this is how the test run says where its engines are")]
fn admin() -> Url {
    let url = std::env::var("GATEWARD_TEST_POSTGRES").expect("run tests/run, which starts a private Postgres");
    url.parse().expect("GATEWARD_TEST_POSTGRES is a URL")
}

/// Makes an empty database.
pub(crate) async fn postgres_database() -> Database {
    let admin = admin();
    let mut connection = PgConnection::connect(admin.as_str()).await.expect("the Postgres of the test run");
    let name = sqlx::query_scalar("SELECT 'test_' || replace(gen_random_uuid()::TEXT, '-', '')");
    let name: String = name.fetch_one(&mut connection).await.expect("a random name");
    let create = format!("CREATE DATABASE {name} TEMPLATE template0");
    connection.execute(AssertSqlSafe(create)).await.expect("a new database");
    connection.close().await.expect("a clean end");
    let mut url = admin.clone();
    url.set_path(&name);
    Database { url: url.into(), admin, name }
}

impl Drop for Database {
    /// As well as it can: a failure here must not hide that of the test.
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        let drop = async move {
            let mut connection = PgConnection::connect(admin.as_str()).await?;
            let drop = format!("DROP DATABASE {name} WITH (FORCE)");
            connection.execute(AssertSqlSafe(drop)).await?;
            connection.close().await
        };
        // A thread of its own, because a test's reactor cannot be waited for from inside of it.
        let dropping = std::thread::spawn(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| runtime.block_on(drop))
        });
        let _ = dropping.join();
    }
}
