//! `gateward backup` and `gateward restore`: what they refuse, and that nothing has changed then. The drills are in
//! `flows::backup`.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sqlx::{Connection, Executor, SqliteConnection};

use crate::{
    Home, engines,
    support::{Options, Server, mode, oauth::Wire},
};

const STORE: &str = "gateward-data/gateward.db";

/// A home with a client in its store, and a backup of it.
fn backed_up() -> Home {
    let home = Home::new();
    home.ok(&["client", "create", "--id", "before", "--grant", "client_credentials", "--scope", "mcp:read"]);
    home.ok(&["key", "rotate"]);
    home.ok(&["backup", "backup.db"]);
    home
}

fn clients(home: &Home) -> Vec<String> {
    let listed = home.json(&["client", "list", "--json"]);
    listed.as_array().unwrap().iter().map(|client| client["client_id"].as_str().unwrap().to_owned()).collect()
}

/// What is in the directory of the store, besides the master key.
fn beside_the_store(home: &Home) -> Vec<String> {
    let files = fs::read_dir(home.path("gateward-data")).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "master.key");
    names.sort();
    names
}

async fn execute(database: &Path, sql: &'static str) {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", database.display())).await.unwrap();
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

#[test]
fn a_backup_is_for_its_owner_alone_and_says_what_is_not_in_it() {
    let home = backed_up();
    assert_eq!(mode(&home.path("backup.db")), 0o600);
    let said = home.ok(&["backup", "again.db"]);
    assert!(
        said.contains("wrote again.db") && said.contains("The master key (file:gateward-data/master.key) is NOT in it")
    );
    let key = fs::read(home.path("gateward-data/master.key")).unwrap();
    let backup = fs::read(home.path("again.db")).unwrap();
    assert!(!backup.windows(key.len()).any(|window| window == key));
    assert_eq!(fs::read_dir(home.directory.path()).unwrap().count(), 3, "no draft is left");
}

#[test]
fn a_backup_overwrites_nothing() {
    let home = backed_up();
    let before = fs::read(home.path("backup.db")).unwrap();
    assert!(home.fails(&["backup", "backup.db"], 4).contains("backup.db exists already"));
    assert!(home.fails(&["backup", STORE], 4).contains("exists already"), "nor the store itself");
    assert_eq!(fs::read(home.path("backup.db")).unwrap(), before);
    assert!(home.fails(&["backup", "no/such/place.db"], 1).contains("no/such/place.db"));
}

#[test]
fn without_a_store_there_is_no_backup_and_none_is_made() {
    let home = Home::new();
    assert!(home.fails(&["backup", "backup.db"], 3).contains("there is no store"));
    assert!(!home.path("gateward-data").exists() && !home.path("backup.db").exists());
}

#[test]
fn a_restore_brings_back_what_there_was_and_keeps_what_there_is() {
    let home = backed_up();
    home.ok(&["client", "create", "--id", "after", "--grant", "client_credentials", "--scope", "mcp:read"]);
    let said = home.fails(&["restore", "backup.db"], 4);
    assert!(said.contains("there is a store at gateward-data/gateward.db; --force"), "{said}");
    assert_eq!(clients(&home), ["after", "before"]);

    let said = home.ok(&["restore", "backup.db", "--force"]);
    assert_eq!(clients(&home), ["before"]);
    let kept = said.lines().find_map(|line| line.strip_prefix("what was there is now ")).unwrap();
    assert!(kept.starts_with("gateward-data/gateward.db.replaced-20"), "{kept}");
    assert!(said.contains("the master key (file:gateward-data/master.key) opens the signing keys in it: "), "{said}");
    assert!(said.contains("`gateward grant revoke --all`"), "{said}");
    assert_eq!((mode(&home.path(STORE)), mode(&home.path(kept))), (0o600, 0o600));

    // And back again: what was kept is a backup, too.
    fs::rename(home.path(kept), home.path("kept.db")).unwrap();
    home.ok(&["restore", "kept.db", "--force"]);
    assert_eq!(clients(&home), ["after", "before"]);
}

#[test]
fn a_restored_store_belongs_to_whom_its_directory_belongs() {
    let home = backed_up();
    let data = home.path("gateward-data");
    if fs::metadata(&data).unwrap().uid() == 0 {
        // Root restores, and somebody else runs the server.
        std::os::unix::fs::chown(&data, Some(65534), Some(65534)).unwrap();
    }
    let owner = fs::metadata(&data).unwrap().uid();
    fs::remove_file(home.path(STORE)).unwrap();
    home.ok(&["restore", "backup.db"]);
    assert_eq!(fs::metadata(home.path(STORE)).unwrap().uid(), owner);
}

#[test]
fn a_log_that_a_lost_store_left_behind_is_not_played_into_the_restored_one() {
    let home = backed_up();
    fs::remove_file(home.path(STORE)).unwrap();
    fs::write(home.path("gateward-data/gateward.db-wal"), "what a crash left").unwrap();
    let said = home.ok(&["restore", "backup.db"]);
    assert!(!said.contains("what was there"), "{said}");
    assert_eq!(clients(&home), ["before"]);
    let beside = beside_the_store(&home);
    assert!(
        beside.iter().any(|name| name.starts_with("gateward.db.replaced-") && name.ends_with("-wal")),
        "{beside:?}"
    );
}

#[test]
fn a_store_that_is_broken_can_be_replaced_and_is_kept() {
    let home = backed_up();
    fs::write(home.path(STORE), "no database at all, but long enough to have been one once upon a time").unwrap();
    home.fails(&["client", "list"], 6);
    let said = home.ok(&["restore", "backup.db", "--force"]);
    let kept = said.lines().find_map(|line| line.strip_prefix("what was there is now ")).unwrap();
    assert!(fs::read_to_string(home.path(kept)).unwrap().starts_with("no database at all"));
    assert_eq!(clients(&home), ["before"]);
}

#[test]
fn a_backup_is_not_restored_under_another_master_key() {
    let home = backed_up();
    fs::rename(home.path("gateward-data"), home.path("old")).unwrap();
    let said = home.fails(&["restore", "backup.db"], 5);
    assert!(said.contains("there is no master key at gateward-data/master.key: restore it from a backup"), "{said}");
    assert!(!home.path("gateward-data/master.key").exists(), "a new one would open nothing");

    fs::remove_dir_all(home.path("gateward-data")).unwrap();
    home.ok(&["key", "generate-master", "other.key"]);
    let other = home.path("other.key").display().to_string();
    let home = home.set("GATEWARD_KEYS__MASTER_KEY", format!("file:{other}"));
    let said = home.fails(&["restore", "backup.db"], 5);
    assert!(said.contains("was sealed with another master key"), "{said}");
    assert_eq!(beside_the_store(&home), Vec::<String>::new(), "no draft is left");
}

#[tokio::test]
async fn what_is_no_whole_backup_of_a_store_is_not_restored() {
    let home = backed_up();
    let whole = fs::read(home.path("backup.db")).unwrap();
    home.write("text.db", "this is a text, and long enough to be looked at: a database begins with another one");
    fs::write(home.path("half.db"), &whole[..whole.len() / 2]).unwrap();
    let mut torn = whole.clone();
    // Pages in the middle, where the schema is not.
    torn[16 * 1024..24 * 1024].fill(0xa5);
    fs::write(home.path("torn.db"), torn).unwrap();
    execute(&home.path("other.db"), "CREATE TABLE notes (text TEXT)").await;
    fs::write(home.path("newer.db"), &whole).unwrap();
    execute(
        &home.path("newer.db"),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            VALUES (9999, 'of the future', TRUE, x'00', 0)",
    )
    .await;
    fs::write(home.path("log.db"), &whole).unwrap();
    fs::write(home.path("log.db-wal"), "the newest commits").unwrap();
    let (before, beside) = (fs::read(home.path(STORE)).unwrap(), beside_the_store(&home));
    for (file, code, because) in [
        ("nowhere.db", 1, "nowhere.db"),
        ("text.db", 1, "text.db is damaged"),
        ("half.db", 1, "half.db is damaged"),
        ("torn.db", 1, "torn.db is damaged"),
        ("other.db", 2, "other.db is a database, but no store of this program"),
        ("newer.db", 6, "migration 9999"),
        ("log.db", 2, "log.db has a log beside it"),
    ] {
        let said = home.fails(&["restore", file, "--force"], code);
        assert!(said.contains(because), "{file}: {said}");
        assert_eq!(fs::read(home.path(STORE)).unwrap(), before, "{file}");
        assert_eq!(beside_the_store(&home), beside, "{file}");
    }
}

#[tokio::test]
async fn a_store_in_use_is_not_replaced() {
    let server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    let backup: PathBuf = server.directory().join("backup.db");
    let backup = backup.to_str().unwrap();
    assert!(server.run(&["backup", backup]).status.success());
    let refused = server.run(&["restore", backup, "--force"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("somebody has") && said.contains("stop the server"), "{said}");
    assert_eq!(wire.client_credentials(&worker).await.status, 200);
}

#[tokio::test]
async fn for_stores_that_servers_keep_both_name_the_tools_of_those_servers() {
    let database = engines::postgres_database().await;
    let home = Home::new()
        .set("GATEWARD_STORES__URL", database.url.clone())
        .set("GATEWARD_STORES__TOKENS", "redis://:hunter2@127.0.0.1:6379")
        .set("GATEWARD_STORES__KEYS", "sqlite:keys.db");
    let said = home.fails(&["backup", "backup.db"], 5);
    for command in ["pg_dump --format=custom", "redis-cli --rdb", "VACUUM INTO"] {
        assert!(said.contains(command), "{said}");
    }
    let said = home.fails(&["restore", "backup.db"], 5);
    assert!(said.contains("pg_restore --exit-on-error") && said.contains("dump.rdb"), "{said}");
    assert!(!said.contains("hunter2") && !home.path("backup.db").exists() && !home.path("keys.db").exists());
}
