//! `gateward migrate` and `gateward purge`.

use crate::{
    Home, members,
    support::{Options, Server, oauth::Wire},
};

#[test]
fn migrate_check_says_what_is_pending_and_changes_nothing() {
    let home = Home::new();
    let check = home.run_with_input(&["migrate", "--check"], "");
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stdout).contains("initial"));
    assert!(String::from_utf8_lossy(&check.stderr).contains("pending"));
    assert!(!home.path("gateward-data").exists());

    assert!(home.ok(&["migrate"]).contains("up to date now"));
    assert_eq!(home.ok(&["migrate", "--check"]), "the schema is up to date\n");
    assert_eq!(home.ok(&["migrate"]), "the schema is up to date\n");
}

#[test]
fn each_store_is_migrated_once() {
    let home = Home::new().set("GATEWARD_STORES__TOKENS", "sqlite:tokens.db");
    let check = home.run_with_input(&["migrate", "--check"], "");
    let printed = String::from_utf8_lossy(&check.stdout).into_owned();
    let families: Vec<&str> = printed.lines().filter_map(|line| line.strip_suffix(": 1 initial")).collect();
    assert_eq!(families, ["clients", "tokens"], "{printed}");
    home.ok(&["migrate"]);
    assert!(home.path("tokens.db").exists() && home.path("gateward-data/gateward.db").exists());
}

#[tokio::test]
async fn purge_says_what_it_forgot_and_leaves_what_is_alive() {
    let home = Home::new();
    let purged = home.json(&["purge", "--json"]);
    assert_eq!(members(&purged), ["accounts", "clients", "tokens", "tombstones"]);
    assert!(purged.as_object().expect("an object").values().all(|count| count == 0), "{purged}");

    let server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    wire.register("a client that nobody has authorized yet").await;
    server.run_json(&["purge", "--json"]);
    assert_eq!(wire.client_credentials(&worker).await.status, 200);
    assert_eq!(server.run_json(&["client", "list", "--json"]).as_array().map(Vec::len), Some(3));
}
