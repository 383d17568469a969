//! `gateward migrate` and `gateward purge`.

use url::Url;

use crate::{
    Home, engines, members,
    support::{Options, Server, oauth::Wire, own_address},
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
async fn each_store_is_named_with_what_it_lacks() {
    let database = engines::postgres_database().await;
    // Two spellings of one place.
    let home = Home::new()
        .set("GATEWARD_STORES__URL", database.url.clone())
        .set("GATEWARD_STORES__TOKENS", "sqlite:tokens.db")
        .set("GATEWARD_STORES__KEYS", database.url.replace("postgres://", "postgresql://"));
    let check = home.run_with_input(&["migrate", "--check"], "");
    assert_eq!(check.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&check.stdout).into_owned();
    let initial: Vec<&str> = printed.lines().filter_map(|line| line.strip_suffix(": 1 initial")).collect();
    assert_eq!(initial, ["clients", "tokens"], "{printed}");
    let migrated = home.ok(&["migrate"]);
    assert_eq!(migrated, format!("{printed}the schema is up to date now\n"));
    assert_eq!(home.ok(&["migrate", "--check"]), "the schema is up to date\n");
}

/// What commands say that need a store which is not there: one line that names it, without its password.
fn says_which_store_is_out_of_reach(url: &str, because: &str) {
    let home = Home::new().set("GATEWARD_SERVER__LISTEN", own_address().to_string());
    home.ok(&["migrate"]);
    let home = home.set("GATEWARD_STORES__TOKENS", url);
    for command in [&["migrate", "--check"][..], &["migrate"], &["serve"], &["client", "list"]] {
        let said = home.fails(command, 6);
        assert!(
            said.starts_with("gateward: the store of tokens, ") && said.lines().count() == 1,
            "{command:?}: {said}"
        );
        assert!(said.contains(because) && !said.contains("hunter2"), "{command:?}: {said}");
    }
}

#[tokio::test]
async fn a_postgres_that_is_out_of_reach_is_named_without_its_password() {
    let database = engines::postgres_database().await;
    let mut url: Url = database.url.parse().unwrap();
    url.set_path("nobody-made-this");
    says_which_store_is_out_of_reach(url.as_str(), "database \"nobody-made-this\" does not exist");
    url.set_password(Some("hunter2")).unwrap();
    says_which_store_is_out_of_reach(url.as_str(), "password authentication failed for user \"postgres\"");
    says_which_store_is_out_of_reach(&format!("postgres://u:hunter2@{}/x", own_address()), "refused");
}

#[tokio::test]
async fn a_redis_that_is_out_of_reach_is_named_without_its_password() {
    let mut url: Url = engines::redis_url().parse().unwrap();
    url.set_password(Some("hunter2")).unwrap();
    says_which_store_is_out_of_reach(url.as_str(), "invalid username-password pair");
    says_which_store_is_out_of_reach(&format!("redis://u:hunter2@{}", own_address()), "refused");
}

#[tokio::test]
async fn purge_says_what_it_forgot_and_leaves_what_is_alive() {
    let home = Home::new();
    let purged = home.json(&["purge", "--json"]);
    assert_eq!(members(&purged), ["accounts", "audit", "clients", "tokens", "tombstones"]);
    assert!(purged.as_object().expect("an object").values().all(|count| count == 0), "{purged}");

    let server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    wire.register("a client that nobody has authorized yet").await;
    server.run_json(&["purge", "--json"]);
    assert_eq!(wire.client_credentials(&worker).await.status, 200);
    assert_eq!(server.run_json(&["client", "list", "--json"]).as_array().map(Vec::len), Some(3));
}
