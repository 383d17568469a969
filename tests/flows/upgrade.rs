//! Two versions at once, on one Postgres: what a newer one may do to the schema while this one runs, and what this one does
//! about a schema that is older or newer than itself.

use std::{fs, path::Path, process::Output, thread};

use sqlx::{Connection, Executor, PgConnection, migrate::Migrator};
use tempfile::TempDir;
use url::Url;

use crate::{
    engines::{self, Database},
    support::{
        Options, Server,
        engine::{
            postgres::{Postgres, query},
            redis::Redis,
        },
        gateward,
        life::Life,
        make_master_key, output_of, own_address, until,
    },
};

/// The next version, as far as the schema goes: all our migrations, and its own.
async fn migrate_as_the_next_version(url: &str, its_own: &Path) {
    let room = tempfile::tempdir().unwrap();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    for directory in [ours.as_path(), its_own] {
        for file in fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()) {
            fs::copy(&file, room.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    let migrator = Migrator::new(room.path()).await.unwrap();
    let mut connection = PgConnection::connect(url).await.unwrap();
    migrator.run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn expand(url: &str) {
    migrate_as_the_next_version(url, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flows/next_version")).await;
}

/// Instances of this version on one store, past any load balancer.
struct Instances {
    options: Options,
    database: Database,
    _room: TempDir,
}

impl Instances {
    /// The first of them, which makes the schema.
    async fn of_an_empty_database() -> (Self, Server) {
        let database = engines::postgres_database().await;
        let room = tempfile::tempdir().unwrap();
        let master_key = room.path().join("master.key");
        make_master_key(&master_key);
        let options = Life::options(Options::new()).with_store(&database.url).with_master_key(&master_key);
        let first = Server::start(options.clone());
        let options = options.with_issuer(first.issuer());
        (Self { options, database, _room: room }, first)
    }

    fn another(&self) -> Server {
        Server::start_on_used_store(self.options.clone())
    }

    fn query(&self, sql: &str) -> String {
        query(&self.database.url, sql).unwrap()
    }

    /// Every relation, column and index, and what the migrations left behind.
    fn schema(&self) -> String {
        self.query(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'
             UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
             UNION ALL SELECT version::TEXT, description, installed_on::TEXT FROM _sqlx_migrations ORDER BY 1, 2, 3",
        )
    }
}

fn said(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn printed(output: &Output, code: i32) -> String {
    said(output, code);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn instances_serve_on_while_a_newer_version_expands_the_schema_and_others_still_start() {
    let (instances, first) = Instances::of_an_empty_database().await;
    let second = instances.another();
    let mut life = Life::begin(&first).await;
    for server in [&first, &second] {
        life.go_on(server).await;
    }
    expand(&instances.database.url).await;
    assert_eq!(instances.query("SELECT count(*) FROM pg_index WHERE NOT indisvalid"), "0");
    // Their connections are the same, with everything that was prepared on them.
    for server in [&first, &second, &first] {
        life.go_on(server).await;
    }
    let late = instances.another();
    for server in [&late, &second, &first, &late] {
        life.go_on(server).await;
    }
    assert!(late.log().contains("the schema was expanded by a newer version"), "{}", late.log());
    for server in [&first, &second, &late] {
        let log = server.log();
        let wrong =
            log.lines().find(|line| line.contains("ERROR") || (line.contains("WARN") && !line.contains("expanded")));
        assert_eq!(wrong, None);
    }

    let beside = "clients: 9998 expand clients and grants (of a newer version, which this one works beside)\n\
                  clients: 9999 expand index of devices (of a newer version, which this one works beside)\n\
                  the schema is up to date\n";
    for command in [&["migrate", "--check"][..], &["migrate"]] {
        assert_eq!(printed(&first.run(command), 0), beside);
    }
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_not_lost_when_this_one_writes() {
    let (instances, server) = Instances::of_an_empty_database().await;
    let mut life = Life::begin(&server).await;
    expand(&instances.database.url).await;
    instances.query("UPDATE clients SET logo_uri = 'https://logo.example'; UPDATE grants SET device = 'a phone'");
    instances.query("INSERT INTO devices SELECT 'of-' || id, id FROM grants");
    let written = "SELECT (SELECT count(*) FROM clients WHERE logo_uri = 'https://logo.example'),
        (SELECT count(*) FROM grants WHERE device = 'a phone'), (SELECT count(*) FROM devices)";
    let before = instances.query(written);
    life.go_on(&server).await;
    let clients = server.run_json(&["client", "list", "--json"]);
    for client in clients.as_array().unwrap() {
        let id = client["client_id"].as_str().unwrap();
        let changed = server.run(&["client", "update", id, "--name", "Another name"]);
        assert!(changed.status.success() || said(&changed, 4).contains("configuration"), "{changed:?}");
    }
    assert_eq!(instances.query(written), before);
    assert_ne!(instances.query("SELECT count(*) FROM grants WHERE device = 'unknown'"), "0", "those of this version");
}

#[tokio::test]
async fn after_a_migration_that_took_something_away_an_older_version_does_not_start_and_changes_nothing() {
    let (instances, mut server) = Instances::of_an_empty_database().await;
    server.terminate();
    assert!(server.wait().success());
    let next = tempfile::tempdir().unwrap();
    fs::write(next.path().join("9999_contract_consents.sql"), "DROP INDEX consents_by_client").unwrap();
    migrate_as_the_next_version(&instances.database.url, next.path()).await;
    let before = instances.schema();
    for command in [&["serve"][..], &["migrate", "--check"], &["migrate"], &["client", "list"]] {
        let output = server.run(command);
        let said = said(&output, 6);
        assert!(said.contains("migration 9999 (contract consents) is of a newer version; run that one"), "{said}");
        assert_eq!((said.lines().count(), output.stdout.len()), (1, 0), "{said}");
    }
    assert_eq!(instances.schema(), before);
}

#[tokio::test]
async fn instances_that_start_at_once_on_an_empty_database_make_one_schema_and_serve() {
    let database = engines::postgres_database().await;
    let room = tempfile::tempdir().unwrap();
    let master_key = room.path().join("master.key");
    make_master_key(&master_key);
    let issuer = format!("http://{}", own_address());
    let options =
        Life::options(Options::new()).with_store(&database.url).with_master_key(&master_key).with_issuer(&issuer);
    let starting: Vec<_> = (0..3)
        .map(|_| {
            let options = options.clone();
            thread::spawn(move || Server::start_on_used_store(options))
        })
        .collect();
    let mut servers: Vec<Server> = starting.into_iter().map(|starting| starting.join().unwrap()).collect();
    // One of them has made the user, and says the password.
    servers.sort_by_key(|server| server.password().is_empty());
    assert_eq!(servers.iter().filter(|server| !server.password().is_empty()).count(), 1);
    let mut life = Life::begin(&servers[0]).await;
    for server in &servers {
        life.go_on(server).await;
    }
}

/// The next version builds an index of a large table without locking it, while others wait to migrate, too.
#[tokio::test]
async fn whoever_waits_to_migrate_is_not_in_the_way_of_an_index_that_is_built_meanwhile() {
    let database = engines::postgres_database().await;
    let mut migrating = PgConnection::connect(&database.url).await.unwrap();
    // "gateward" in ASCII, as in src/store/postgres/schema.rs.
    migrating.execute("SELECT pg_advisory_lock(x'6761746577617264'::BIGINT)").await.unwrap();
    migrating.execute("CREATE TABLE large AS SELECT generate_series(1, 1000) AS x").await.unwrap();
    let url = database.url.clone();
    let waiting = thread::spawn(move || {
        let home = tempfile::tempdir().unwrap();
        output_of(gateward(home.path()).arg("migrate").env("GATEWARD_STORES__URL", url), "")
    });
    until("somebody waits", async || {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND application_name = 'gateward' AND query LIKE '%pg_try_advisory_lock%'";
        query(&database.url, waits).unwrap() == "1"
    })
    .await;
    migrating.execute("CREATE INDEX CONCURRENTLY large_by_x ON large (x)").await.unwrap();
    assert!(!waiting.is_finished());
    migrating.close().await.unwrap();
    assert_eq!(
        printed(&waiting.join().unwrap(), 0),
        "clients: 1 initial\nclients: 2 expand audit entries\nthe schema is up to date now\n"
    );
}

#[tokio::test]
async fn a_role_that_may_not_change_the_schema_serves_and_says_who_has_to_migrate() {
    let postgres = Postgres::start();
    let mut url: Url = postgres.url().parse().unwrap();
    postgres.query("CREATE ROLE server LOGIN PASSWORD 'of-the-server'").unwrap();
    url.set_username("server").unwrap();
    url.set_password(Some("of-the-server")).unwrap();
    let room = tempfile::tempdir().unwrap();
    let run = |url: &str, arguments: &[&str]| {
        let mut command = gateward(room.path());
        let command = command.args(arguments).env("GATEWARD_STORES__URL", url);
        output_of(command.env("GATEWARD_SERVER__LISTEN", own_address().to_string()), "")
    };

    assert_eq!(
        printed(&run(url.as_str(), &["migrate", "--check"]), 1),
        "clients: 1 initial\nclients: 2 expand audit entries\n"
    );
    for command in [&["serve"][..], &["migrate"]] {
        let refused = said(&run(url.as_str(), command), 6);
        let what_to_do =
            "2 migrations are pending, and this role may not make them: run `gateward migrate` as the owner";
        assert!(refused.contains(what_to_do) && refused.contains("permission denied"), "{refused}");
    }
    assert_eq!(
        postgres.query("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").unwrap(),
        "0"
    );

    said(&run(&postgres.url(), &["migrate"]), 0);
    postgres
        .query(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO server;
             REVOKE INSERT, UPDATE, DELETE ON _sqlx_migrations FROM server",
        )
        .unwrap();
    assert_eq!(printed(&run(url.as_str(), &["migrate", "--check"]), 0), "the schema is up to date\n");
    let server = Server::start(Life::options(Options::new()).with_store(url.as_str()));
    let mut life = Life::begin(&server).await;
    life.go_on(&server).await;
    assert!(server.run(&["purge"]).status.success());

    // A role that cannot even read what was migrated.
    postgres.query("REVOKE SELECT ON _sqlx_migrations FROM server").unwrap();
    assert!(said(&run(url.as_str(), &["serve"]), 6).contains("permission denied for table _sqlx_migrations"));
}

/// Redis has no schema: a newer version may add fields to what is there, and brings scripts of its own.
#[tokio::test]
async fn fields_that_a_newer_version_adds_in_redis_disturb_nobody_and_are_not_lost() {
    let redis = Redis::start();
    let server = Server::start(Life::options(Options::new()).with_store(&redis.url()));
    let mut life = Life::begin(&server).await;
    // The other hashes are lists of things by name.
    let is_record = |key: &&str| key.contains("}:client:") || key.contains("}:user:") || key.ends_with("}:grant");
    let keys = redis.command(&["--scan"]).unwrap();
    let records: Vec<&str> = keys.lines().filter(is_record).collect();
    assert!(records.len() > 5, "{records:?}");
    for record in &records {
        redis.command(&["HSET", record, "of_a_newer_version", "x"]).unwrap();
    }
    let all = keys.lines().find(|key| key.ends_with("{keys}:all")).unwrap();
    for id in redis.command(&["HKEYS", all]).unwrap().lines() {
        let key = redis.command(&["HGET", all, id]).unwrap();
        let key = key.replacen('{', r#"{"of_a_newer_version":"x","#, 1);
        redis.command(&["HSET", all, id, &key]).unwrap();
    }
    redis.command(&["SCRIPT", "FLUSH"]).unwrap();
    life.go_on(&server).await;
    for client in server.run_json(&["client", "list", "--json"]).as_array().unwrap() {
        server.run(&["client", "update", client["client_id"].as_str().unwrap(), "--name", "Another name"]);
    }
    life.go_on(&server).await;
    for listing in ["client", "user", "grant", "key"] {
        server.run_json(&[listing, "list", "--json"]);
    }
    assert!(server.run(&["purge"]).status.success());
    for record in &records {
        assert_eq!(redis.command(&["HGET", record, "of_a_newer_version"]).as_deref(), Ok("x"), "{record}");
    }
    let log = server.log();
    assert_eq!(log.lines().find(|line| line.contains("ERROR")), None);
}
