//! `gateward store copy`.

use std::{fs, process::Stdio};

use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use url::Url;

use crate::{
    Home, engines,
    support::{Options, Server, gateward, life::Life, until},
};

/// In the order in which they are copied.
const KINDS: [&str; 12] = [
    "clients",
    "removed clients",
    "grants",
    "access tokens",
    "revoked access tokens",
    "single uses",
    "accounts",
    "sessions",
    "consents",
    "failed logins",
    "signing keys",
    "audit entries",
];

const STATE: &str = "gateward-copy.json";

/// Where a server keeps everything that was told of no other place.
fn sqlite_of(server: &Server) -> String {
    format!("sqlite:{}", server.data().join("gateward.db").display())
}

/// The number behind each kind.
fn counts(printed: &str) -> Vec<u64> {
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.last(), Some(&"both stores hold the same"), "{printed}");
    let count = |(kind, line): (&str, &str)| line.strip_prefix(kind).and_then(|count| count.trim().parse().ok());
    let counts: Vec<u64> = KINDS.into_iter().zip(lines.iter().copied()).filter_map(count).collect();
    assert_eq!((counts.len(), lines.len()), (KINDS.len(), KINDS.len() + 1), "{printed}");
    counts
}

/// Moves a life from the file of a server to another place, first while the server goes on, then when it has ended; and what
/// the server does next, it does there.
async fn moves(server: &mut Server, life: &mut Life, from: &str, to: &str) {
    let home = Home::new().set("FROM", from).set("TO", to);
    let copy = ["store", "copy", "--from", "env:FROM", "--to", "env:TO"];
    let first = counts(&home.ok(&copy));
    assert!(first[0] > 1 && first[2] > 1 && first[3] > 0, "clients, grants, access tokens: {first:?}");
    life.go_on(server).await;

    let again = home.fails(&copy, 4);
    assert!(again.contains("is not empty; --overwrite"), "{again}");
    server.terminate();
    assert!(server.wait().success());
    let last = counts(&home.ok(&[&copy[..], &["--overwrite"]].concat()));
    assert!(last.iter().zip(&first).all(|(last, first)| last >= first), "{first:?}, {last:?}");
    assert!(!home.path(STATE).exists());

    server.restart_on_store(to);
    life.go_on(server).await;
    life.go_on(server).await;
}

#[tokio::test]
async fn nobody_notices_a_move_from_sqlite_to_postgres_and_back() {
    let mut server = Server::start(Life::options(Options::new()));
    let mut life = Life::begin(&server).await;
    let database = engines::postgres_database().await;
    let (file, other) = (sqlite_of(&server), format!("sqlite:{}", server.directory().join("other.db").display()));
    moves(&mut server, &mut life, &file, &database.url).await;
    moves(&mut server, &mut life, &database.url, &other).await;
}

#[tokio::test]
async fn nobody_notices_a_move_from_sqlite_to_redis_and_on_to_postgres() {
    let mut server = Server::start(Life::options(Options::new()));
    let mut life = Life::begin(&server).await;
    let (redis, database) = (engines::fresh_part_of(&engines::redis_url()), engines::postgres_database().await);
    let file = sqlite_of(&server);
    moves(&mut server, &mut life, &file, &redis).await;
    moves(&mut server, &mut life, &redis, &database.url).await;
}

#[tokio::test]
async fn nobody_notices_when_the_tokens_alone_move_from_postgres_to_a_redis_cluster() {
    let database = engines::postgres_database().await;
    let cluster = engines::fresh_part_of(&engines::redis_cluster_url());
    let mut server = Server::start(Life::options(Options::new()).with_store(&database.url));
    let mut life = Life::begin(&server).await;
    server.terminate();
    assert!(server.wait().success());
    let home = Home::new();
    let copy = ["store", "copy", "--from", &database.url, "--to", &cluster, "--only", "tokens"];
    let copied = home.ok(&copy);
    let kinds: Vec<&str> = copied.lines().map(|line| line.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(kinds[..2], ["grants", "access tokens"]);
    assert_eq!(kinds[2..], ["revoked access tokens", "single uses", "both stores hold the same"], "{copied}");
    server.restart_on_store_for_tokens(&cluster);
    life.go_on(&server).await;
    life.go_on(&server).await;
}

#[tokio::test]
async fn the_state_of_a_copy_to_another_part_of_the_same_redis_is_not_taken_for_this_one() {
    let home = Home::new();
    home.ok(&["migrate"]);
    let [one, other] = [(); 2].map(|()| engines::fresh_part_of(&engines::redis_url()));
    let state = |to: &str| {
        let to = gateward::store::place(to).unwrap();
        let from = format!("sqlite:{}", home.path("gateward-data/gateward.db").display());
        format!(
            r#"{{"from":"{from}","to":"{to}","kinds":["signing_key"],"next":{{"kind":"signing_key","cursor":null}}}}"#
        )
    };
    let copy = |to| ["store", "copy", "--from", "sqlite:gateward-data/gateward.db", "--to", to, "--only", "keys"];
    home.write(STATE, &state(&one));
    assert!(home.fails(&copy(&other), 4).contains("belongs to an unfinished copy from sqlite:"));
    assert!(home.ok(&copy(&one)).starts_with("going on with the signing keys\n"));
}

#[tokio::test]
async fn a_copy_that_was_killed_goes_on_where_it_was_and_its_state_holds_no_password() {
    let server = Server::start(Life::options(Options::new()));
    Life::begin(&server).await;
    let database = engines::postgres_database().await;
    let password = database.url.parse::<Url>().unwrap().password().unwrap().to_owned();
    let patient = format!("{}?statement_timeout=2m", database.url);
    let home = Home::new().set("TO", patient).set("GATEWARD_STORES__URL", database.url.clone());
    home.ok(&["migrate"]);
    // Nobody can open a session.
    let mut other = PgConnection::connect(&database.url).await.unwrap();
    other.execute("BEGIN; LOCK TABLE sessions IN SHARE MODE").await.unwrap();
    let from = sqlite_of(&server);
    let copy = ["store", "copy", "--from", &from, "--to", "env:TO"];
    let mut command = gateward(home.directory.path());
    command.args(copy).envs(home.variables.iter().map(|(name, value)| (name, value)));
    let mut copying = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let state = || fs::read_to_string(home.path(STATE)).unwrap_or_default();
    let is_at_users = || state().parse::<Value>().is_ok_and(|state| state["next"]["kind"] == "user");
    until("everything before the sessions is there", async || is_at_users()).await;
    copying.kill().unwrap();
    copying.wait().unwrap();
    other.execute("ROLLBACK").await.unwrap();
    assert!(!state().contains(&password), "{}", state());

    let only = home.fails(&[&copy[..], &["--only", "tokens"]].concat(), 4);
    assert!(only.contains(STATE) && only.contains("of other families"), "{only}");
    let elsewhere = home.fails(&["store", "copy", "--from", &from, "--to", "sqlite:other.db"], 4);
    assert!(elsewhere.contains(STATE) && elsewhere.contains("--state"), "{elsewhere}");
    assert!(!elsewhere.contains(&password) && !home.path("other.db").exists(), "{elsewhere}");

    let printed = home.ok(&copy);
    let (going_on, rest) = printed.split_once('\n').unwrap();
    assert_eq!(going_on, "going on with the accounts");
    assert!(counts(rest).iter().sum::<u64>() > 5);
    assert!(!home.path(STATE).exists() && !printed.contains(&password), "{printed}");
}

#[tokio::test]
async fn stores_that_differ_are_told_and_the_next_copy_begins_at_the_beginning() {
    let home = Home::new();
    let other = Home::new().set("GATEWARD_STORES__URL", format!("sqlite:{}", home.path("other.db").display()));
    home.ok(&["client", "create", "--name", "one", "--introspect", "--resource", "http://localhost:3000/mcp"]);
    other.ok(&["client", "create", "--name", "two", "--introspect", "--resource", "http://localhost:3000/mcp"]);
    let copy = ["store", "copy", "--from", "sqlite:gateward-data/gateward.db", "--to", "sqlite:other.db"];
    assert!(home.fails(&copy, 4).contains("sqlite:other.db is not empty"));
    let overwrite = [&copy[..], &["--overwrite"]].concat();
    let differ = home.fails(&overwrite, 1);
    assert!(differ.contains("the clients differ: 1 at the source, 2 at the destination"), "{differ}");
    assert!(!home.path(STATE).exists());
    let two = other.json(&["client", "list", "--json"]);
    let two = two.as_array().unwrap().iter().find(|client| client["name"] == "two").unwrap();
    other.ok(&["client", "delete", two["client_id"].as_str().unwrap()]);
    // A name that was given once is not given again.
    assert!(home.fails(&overwrite, 1).contains("the removed clients differ: 0 at the source, 1 at the destination"));
    assert_eq!(home.ok(&[&overwrite[..], &["--only", "keys,accounts"]].concat()).lines().count(), 6);
}

#[tokio::test]
async fn a_store_is_not_copied_to_itself_however_it_is_spelled() {
    let database = engines::postgres_database().await;
    let home = Home::new().set("HERE", database.url.clone());
    home.ok(&["migrate"]);
    let absolute = format!("sqlite:{}", home.path("gateward-data/gateward.db").display());
    std::os::unix::fs::symlink("gateward-data", home.path("link")).unwrap();
    let file = "sqlite:gateward-data/gateward.db";
    let small = database.url.replace("postgres://", "postgresql://") + "?max_connections=2";
    for (from, to) in [
        (file, file),
        (file, "sqlite://gateward-data/gateward.db"),
        (file, &absolute),
        (file, "sqlite:link/gateward.db"),
        ("env:HERE", &small),
    ] {
        let said = home.fails(&["store", "copy", "--from", from, "--to", to, "--overwrite"], 2);
        assert!(said.contains("the source and the destination are the same store"), "{from} {to}: {said}");
    }
}

#[test]
fn a_store_that_keeps_nothing_or_is_not_there_cannot_be_moved() {
    let home = Home::new();
    home.ok(&["migrate"]);
    let file = "sqlite:gateward-data/gateward.db";
    for (from, to, code, because) in [
        ("memory:", file, 2, "the source is in memory"),
        (file, "memory:", 2, "the destination is in memory"),
        (file, "sqlite::memory:", 2, "the destination is in memory"),
        ("sqlite:typo.db", file, 6, "the source, sqlite:typo.db, is empty or of an older version"),
        ("env:NOWHERE", file, 2, "the environment variable NOWHERE is not set"),
        ("typo.db", file, 2, "the URL of a store must be"),
        (file, "postgres://u:hunter2@h?pasword=hunter2", 2, "the destination, postgres://u:(hidden)@h?..: "),
    ] {
        let said = home.fails(&["store", "copy", "--from", from, "--to", to], code);
        assert!(said.contains(because) && said.lines().count() == 1, "{from} {to}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(!home.path("typo.db").exists() && !home.path(STATE).exists());
}

#[tokio::test]
async fn a_side_that_is_out_of_reach_is_named_without_its_password() {
    let database = engines::postgres_database().await;
    let mut wrong: Url = database.url.parse().unwrap();
    wrong.set_password(Some("hunter2")).unwrap();
    let home = Home::new();
    home.ok(&["migrate"]);
    let file = "sqlite:gateward-data/gateward.db";
    for (from, to, side) in [(wrong.as_str(), file, "source"), (file, wrong.as_str(), "destination")] {
        let said = home.fails(&["store", "copy", "--from", from, "--to", to], 6);
        assert!(said.starts_with(&format!("gateward: the {side}, postgres://postgres:(hidden)@")), "{said}");
        assert!(said.contains("password authentication failed") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_file_that_is_no_state_is_not_taken_for_one() {
    let home = Home::new();
    home.ok(&["migrate"]);
    home.write(STATE, "{}");
    let copy = ["store", "copy", "--from", "sqlite:gateward-data/gateward.db", "--to", "sqlite:other.db"];
    let said = home.fails(&copy, 5);
    assert!(said.contains(&format!("{STATE} is no state of a copy")), "{said}");
    assert_eq!(fs::read_to_string(home.path(STATE)).unwrap(), "{}");
    assert!(!home.path("other.db").exists());
    home.ok(&[&copy[..], &["--state", "mine.json"]].concat());
}
