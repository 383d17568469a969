//! Engines that run beside the tests: `tests/run` starts private ones and says where they are. And a fresh store in each.
#![expect(clippy::expect_used, reason = "a test without its engine has failed, and is not skipped")]

use std::any::Any;

use gateward::{
    adapter::entropy::OsEntropy,
    domain::identifier::GrantId,
    port::entropy::Entropy,
    store::{Migrations, StoreUrls, Stores},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use url::Url;

/// A fresh store, and what must be kept while it is used.
pub(crate) type Fresh = (Stores, Box<dyn Any + Send>);

async fn open(url: &str) -> Stores {
    Stores::open(url).await.expect("a fresh store")
}

/// A file of its own.
pub(crate) async fn sqlite() -> Fresh {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data").join("gateward.db");
    (open(&format!("sqlite:{}", path.display())).await, Box::new(directory))
}

/// A database of its own.
pub(crate) async fn postgres() -> Fresh {
    let database = postgres_database().await;
    (open(&database.url).await, Box::new(database))
}

/// A part of the server that nobody has touched.
pub(crate) async fn redis() -> Fresh {
    (open(&fresh_part_of(&redis_url())).await, Box::new(()))
}

/// A part of the cluster that nobody has touched.
pub(crate) async fn redis_cluster() -> Fresh {
    (open(&fresh_part_of(&redis_cluster_url())).await, Box::new(()))
}

/// What lasts in Postgres, tokens in Redis.
pub(crate) async fn postgres_and_redis() -> Fresh {
    let database = postgres_database().await;
    let tokens = Some(fresh_part_of(&redis_url()));
    let urls = StoreUrls { default: database.url.clone(), tokens, ..StoreUrls::default() };
    let stores = Stores::open_each(&urls, Migrations::Run).await.expect("fresh stores");
    (stores, Box::new(database))
}

/// A standalone Redis.
pub(crate) fn redis_url() -> String {
    variable("GATEWARD_TEST_REDIS")
}

/// One node of a Redis cluster.
pub(crate) fn redis_cluster_url() -> String {
    variable("GATEWARD_TEST_REDIS_CLUSTER")
}

/// A part of a shared server that nobody has touched.
pub(crate) fn fresh_part_of(url: &str) -> String {
    format!("{url}?prefix=test-{}:", fresh_name())
}

/// A name that nobody has used, for a part of a shared server.
pub(crate) fn fresh_name() -> String {
    let entropy: &dyn Entropy = &OsEntropy::new().expect("entropy");
    GrantId::from_entropy(entropy.name()).to_string()
}

#[expect(clippy::disallowed_methods, reason = "tests/run says in the environment what it started")]
fn variable(name: &str) -> String {
    std::env::var(name).expect("a private engine: run tests/run, which starts one")
}

/// A database of its own in the Postgres of the test run. It is dropped with this.
pub(crate) struct Database {
    pub(crate) url: String,
    admin: Url,
    name: String,
}

/// Makes an empty database.
pub(crate) async fn postgres_database() -> Database {
    let admin: Url = variable("GATEWARD_TEST_POSTGRES").parse().expect("GATEWARD_TEST_POSTGRES is a URL");
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
