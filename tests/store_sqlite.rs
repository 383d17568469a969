//! What only a store in a file can be asked: whether it is all still there, whose file it is, and what it says when the file is
//! not as it should be.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gateward::{
    domain::{
        access::Standing,
        client::{ClientEntry, Removal},
        refresh::RefreshState,
    },
    port::store::{Issue, Page, Redemption, Rotation, StoreError},
    protocol::jose::Algorithm,
    store::{Migrations, OpenError, SchemaState, StoreUrls, Stores, schema_of},
    testing::fixture::{
        self, NOW, RESOURCE, access_token, at, client_id, code, consent, full_client, grant, grant_id, key,
        refresh_token, resource, revocation, session, token_id, user, user_id,
    },
};
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data").join("gateward.db");
    let url = format!("sqlite:{}", path.display());
    (directory, path, url)
}

/// A way in past the store.
async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

fn issue(name: &str) -> Issue {
    Issue {
        refresh: Some(refresh_token(name)),
        access: Some(access_token(name, Some("grant"))),
        grant_expires_at: Some(at(fixture::REFRESH_LIFETIME)),
    }
}

/// Something of every kind, in more than one of its life-stages.
async fn fill(stores: &Stores) {
    stores.clients.insert(&full_client("client"), None).await.unwrap();
    stores.clients.insert(&full_client("removed"), None).await.unwrap();
    stores.clients.remove(&client_id("removed"), Removal::Itself, NOW).await.unwrap();
    stores.tokens.open_grant(&grant("grant"), &code("grant")).await.unwrap();
    let record = stores.tokens.find_code(&code("grant").digest).await.unwrap().unwrap();
    let redeemed = stores.tokens.redeem(&fixture::verified_code(record), &issue("one"), at(1)).await.unwrap();
    assert_eq!(redeemed, Redemption::Redeemed);
    let record = stores.tokens.find_refresh(&refresh_token("one").digest).await.unwrap().unwrap();
    let refresh = fixture::verified_refresh(record);
    let rotated = stores.tokens.rotate(&refresh, b"sealed", &issue("two"), at(2)).await.unwrap();
    assert_eq!(rotated, Rotation::Rotated);
    stores.tokens.open_grant(&grant("revoked"), &code("revoked")).await.unwrap();
    stores.tokens.revoke_grant(&grant_id("revoked"), revocation(at(3))).await.unwrap();
    stores.tokens.revoke_access(&token_id("jwt"), at(60)).await.unwrap();
    stores.accounts.create_user(&user("ada")).await.unwrap();
    stores.accounts.open_session(&session("one", "ada"), None).await.unwrap();
    stores.accounts.add_consent(&consent("mcp:read")).await.unwrap();
    stores.keys.add(&key("key", Algorithm::ES256, NOW), None).await.unwrap();
}

async fn find_everything(stores: &Stores) {
    let found = stores.clients.find(&client_id("client")).await.unwrap();
    assert_eq!(found, Some(ClientEntry::Registered(Arc::new(full_client("client")))));
    let found = stores.clients.find(&client_id("removed")).await.unwrap();
    assert_eq!(found, Some(ClientEntry::Removed { reason: Removal::Itself, at: NOW }));
    let found = stores.tokens.find_code(&code("grant").digest).await.unwrap().unwrap();
    assert_eq!((found.code, found.spent_at), (code("grant"), Some(at(1))));
    let [one, two] = ["one", "two"].map(|name| refresh_token(name).digest);
    let one = stores.tokens.find_refresh(&one).await.unwrap().unwrap();
    assert!(matches!(one.state, RefreshState::Rotated(rotated) if rotated.sealed_successor == b"sealed"));
    assert_eq!(stores.tokens.find_refresh(&two).await.unwrap().unwrap().state, RefreshState::Current);
    let access = access_token("two", Some("grant"));
    assert_eq!(stores.tokens.find_access(&access.digest).await.unwrap(), Some((access.token, Standing::Good)));
    let found = stores.tokens.find_grant(&grant_id("revoked")).await.unwrap().unwrap();
    assert_eq!(found.revocation, Some(revocation(at(3))));
    assert_eq!(stores.tokens.standing(&token_id("jwt"), None).await.unwrap(), Standing::Revoked);
    let found = stores.accounts.find_session(&session("one", "ada").digest).await.unwrap();
    assert_eq!(found, Some((session("one", "ada"), user("ada"))));
    let found = stores.accounts.consented(&user_id("user"), &client_id("client"), &resource(RESOURCE)).await.unwrap();
    assert_eq!(found, consent("mcp:read").scope);
    assert_eq!(stores.keys.list().await.unwrap(), [key("key", Algorithm::ES256, NOW)]);
}

#[tokio::test]
async fn everything_is_there_after_a_clean_end() {
    let (_directory, path, url) = place();
    let stores = Stores::open(&url).await.unwrap();
    fill(&stores).await;
    stores.close().await;
    assert!(!path.with_extension("db-wal").exists(), "the log was moved into the database");
    find_everything(&Stores::open(&url).await.unwrap()).await;
}

/// What a killed process leaves is what its files hold at that moment.
#[tokio::test]
async fn everything_is_there_after_the_files_were_taken_from_under_a_running_store() {
    let (directory, path, url) = place();
    let stores = Stores::open(&url).await.unwrap();
    fill(&stores).await;
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    find_everything(&Stores::open(&format!("sqlite:{}", copy.display())).await.unwrap()).await;
    stores.close().await;
}

#[tokio::test]
async fn a_closed_store_says_that_it_is_unavailable() {
    let (_directory, _, url) = place();
    let stores = Stores::open(&url).await.unwrap();
    stores.close().await;
    assert!(matches!(stores.tokens.ping().await, Err(StoreError::Unavailable(_))));
    let written = stores.accounts.create_user(&user("ada")).await;
    assert!(matches!(written, Err(StoreError::Unavailable(_))));
    stores.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_over_before_closing_is_done() {
    let (_directory, _, url) = place();
    let stores = Stores::open(&url).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..200 {
        let stores = stores.clone();
        calls.spawn(async move { stores.accounts.create_user(&user(&i.to_string())).await.is_ok() });
    }
    stores.close().await;
    let done = calls.join_all().await.into_iter().filter(|done| *done).count();
    let stores = Stores::open(&url).await.unwrap();
    let found = stores.accounts.list_users(Page { after: None, limit: 1_000 }).await.unwrap();
    assert_eq!(found.len(), done);
}

#[tokio::test]
async fn two_processes_share_a_file() {
    let (_directory, _, url) = place();
    let [server, command_line] = [Stores::open(&url).await.unwrap(), Stores::open(&url).await.unwrap()];
    fill(&server).await;
    find_everything(&command_line).await;
    assert!(command_line.tokens.revoke_grant(&grant_id("grant"), revocation(at(9))).await.unwrap());
    assert!(!server.tokens.find_grant(&grant_id("grant")).await.unwrap().unwrap().is_active());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_open_a_new_file_at_once_make_one_schema() {
    let (_directory, _, url) = place();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        opening.spawn(async move { Stores::open(&url).await.unwrap() });
    }
    for stores in opening.join_all().await {
        stores.keys.ping().await.unwrap();
    }
}

#[tokio::test]
async fn an_opening_that_is_dropped_midway_can_be_repeated() {
    let (_directory, _, url) = place();
    for polls in 0..40 {
        let mut opening = std::pin::pin!(Stores::open(&url));
        for _ in 0..polls {
            let waker = std::task::Waker::noop();
            let polled = opening.as_mut().poll(&mut std::task::Context::from_waker(waker));
            if polled.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    fill(&Stores::open(&url).await.unwrap()).await;
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, path, url) = place();
    let stores = Stores::open(&url).await.unwrap();
    fill(&stores).await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in [path.clone(), path.with_extension("db-wal"), path.with_extension("db-shm")] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn pending_migrations_are_named_and_nothing_is_created_for_that() {
    let (_directory, path, url) = place();
    let pending = schema_of(&url).await.unwrap().pending;
    assert_eq!((pending[0].version, pending[0].description.as_str()), (1, "initial"));
    let urls = StoreUrls { default: url.clone(), ..StoreUrls::default() };
    let refused = Stores::open_each(&urls, Migrations::Refuse).await;
    assert!(matches!(refused.map_err(|failed| failed.error), Err(OpenError::MigrationsPending(_))));
    assert!(!path.exists());
    Stores::open(&url).await.unwrap().close().await;
    assert_eq!(schema_of(&url).await.unwrap(), SchemaState::default());
    Stores::open_each(&urls, Migrations::Refuse).await.unwrap();
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused() {
    let (_directory, path, url) = place();
    Stores::open(&url).await.unwrap().close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'from the future', TRUE, x'', 0)";
    raw(&path).await.execute(newer).await.unwrap();
    assert!(matches!(Stores::open(&url).await, Err(OpenError::ForeignSchema(_))));
    assert!(matches!(schema_of(&url).await, Err(OpenError::ForeignSchema(_))));
}

#[tokio::test]
async fn a_place_that_cannot_be_used_says_which_and_why() {
    let (directory, _, _) = place();
    let file = directory.path().join("file");
    std::fs::write(&file, "this is no database, and it is longer than a header of a database would be".repeat(9))
        .unwrap();
    let not_a_database = Stores::open(&format!("sqlite:{}", file.display())).await;
    assert!(matches!(not_a_database, Err(OpenError::Database(_))));
    let below_a_file = Stores::open(&format!("sqlite:{}/x.db", file.display())).await;
    assert!(matches!(below_a_file, Err(OpenError::File { .. })));
}

#[tokio::test]
async fn families_live_where_their_urls_say_and_share_what_they_share() {
    let (_directory, path, url) = place();
    let tokens = path.with_file_name("tokens.db");
    let urls = StoreUrls {
        default: url.clone(),
        tokens: Some(format!("sqlite:{}", tokens.display())),
        keys: Some("memory:".into()),
        ..StoreUrls::default()
    };
    let stores = Stores::open_each(&urls, Migrations::Run).await.unwrap();
    fill(&stores).await;
    stores.close().await;
    let default = Stores::open(&url).await.unwrap();
    assert!(default.clients.find(&client_id("client")).await.unwrap().is_some());
    assert_eq!(default.tokens.find_grant(&grant_id("grant")).await.unwrap(), None);
    assert_eq!(default.keys.list().await.unwrap(), []);
    let tokens = Stores::open(&format!("sqlite:{}", tokens.display())).await.unwrap();
    assert!(tokens.tokens.find_grant(&grant_id("grant")).await.unwrap().is_some());
}

/// The constraints of the schema keep these out; a restored or hand-edited file may hold them all the same.
#[tokio::test]
async fn a_row_that_cannot_be_is_corrupt_and_never_misread() {
    for spoil in [
        "UPDATE grants SET revoked_at = NULL WHERE id = 'revoked'",
        "UPDATE grants SET revoked_at = 1 WHERE id = 'grant'",
        "UPDATE grants SET revocation_reason = 'whim', revoked_at = 1",
        "UPDATE grants SET scope = 'a\"b'",
        "UPDATE grants SET resources = 'x'",
        "UPDATE refresh_tokens SET sealed_successor = NULL",
        "UPDATE refresh_tokens SET rotated_at = NULL",
        "UPDATE access_tokens SET user_id = NULL",
        "UPDATE codes SET challenge = x'00'",
        "UPDATE clients SET provenance = 'heaven'",
        "UPDATE clients SET grant_types = '[\"password\"]'",
        "UPDATE clients SET version = -1",
        "INSERT INTO removed_clients VALUES ('client', 'operator', 1)",
        "UPDATE users SET status = 'asleep'",
        "UPDATE signing_keys SET algorithm = 'none'",
        "UPDATE consents SET scope = '\"'",
    ] {
        let (_directory, path, url) = place();
        let stores = Stores::open(&url).await.unwrap();
        fill(&stores).await;
        let mut connection = raw(&path).await;
        connection.execute("PRAGMA ignore_check_constraints = ON").await.unwrap();
        assert!(connection.execute(spoil).await.unwrap().rows_affected() > 0, "{spoil}");
        connection.close().await.unwrap();
        let found = [
            stores.tokens.find_code(&code("grant").digest).await.map(drop),
            stores.tokens.find_code(&code("revoked").digest).await.map(drop),
            stores.tokens.find_refresh(&refresh_token("one").digest).await.map(drop),
            stores.tokens.find_access(&access_token("two", None).digest).await.map(drop),
            stores.clients.find(&client_id("client")).await.map(drop),
            stores.accounts.find_session(&session("one", "ada").digest).await.map(drop),
            stores.keys.list().await.map(drop),
            stores.accounts.consented(&user_id("user"), &client_id("client"), &resource(RESOURCE)).await.map(drop),
        ];
        assert!(found.iter().any(|found| matches!(found, Err(StoreError::Corrupt(_)))), "{spoil}: {found:?}");
        assert!(!found.iter().any(|found| matches!(found, Err(StoreError::Unavailable(_)))), "{spoil}: {found:?}");
    }
}

/// One caller's mistake does not spoil the commit that others share.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_spoils_nothing_for_the_others() {
    let (_directory, _, url) = place();
    let stores = Stores::open(&url).await.unwrap();
    stores.tokens.open_grant(&grant("taken"), &code("taken")).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..100 {
        let stores = stores.clone();
        calls.spawn(async move {
            // Every other one has a name of its own, and a code that somebody else has: it fails after its first statement.
            let name = i.to_string();
            let code = code(if i % 2 == 0 { &name } else { "taken" });
            let opened = stores.tokens.open_grant(&grant(&name), &code).await;
            (name, i % 2 == 0, opened)
        });
    }
    for (name, good, opened) in calls.join_all().await {
        assert_eq!(opened.is_ok(), good, "{opened:?}");
        assert_eq!(stores.tokens.find_grant(&grant_id(&name)).await.unwrap().is_some(), good);
    }
}

/// For longer than a caller wants to wait; what was asked for did not happen.
#[tokio::test]
async fn a_file_that_somebody_else_locks_is_unavailable_until_they_let_go() {
    let (_directory, path, url) = place();
    let stores = Stores::open(&url).await.unwrap();
    let mut connection = raw(&path).await;
    connection.execute("BEGIN IMMEDIATE").await.unwrap();
    let blocked = stores.accounts.create_user(&user("ada")).await;
    assert!(matches!(blocked, Err(StoreError::Unavailable(_))), "{blocked:?}");
    assert_eq!(stores.accounts.find_user(&user_id("ada")).await.unwrap(), None);
    connection.execute("ROLLBACK").await.unwrap();
    stores.accounts.create_user(&user("ada")).await.unwrap();
    assert!(stores.accounts.find_user(&user_id("ada")).await.unwrap().is_some());
}

/// Waiting for the lock once is enough to know. Five times five seconds would be 25.
#[tokio::test]
async fn everybody_who_waits_for_a_file_that_somebody_else_locks_hears_it_at_once() {
    let (_directory, path, url) = place();
    let stores = Stores::open(&url).await.unwrap();
    let mut connection = raw(&path).await;
    connection.execute("BEGIN IMMEDIATE").await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..5 {
        let stores = stores.clone();
        calls.spawn(async move { stores.accounts.create_user(&user(&i.to_string())).await });
    }
    let heard = tokio::time::timeout(Duration::from_secs(15), calls.join_all()).await.expect("not one after the other");
    assert!(heard.iter().all(|heard| matches!(heard, Err(StoreError::Unavailable(_)))), "{heard:?}");
    connection.execute("ROLLBACK").await.unwrap();
    stores.accounts.create_user(&user("ada")).await.unwrap();
    let users = stores.accounts.list_users(Page { after: None, limit: 10 }).await.unwrap();
    assert_eq!(users, [user("ada")]);
}

/// Closing waits behind them, and comes to its end.
#[tokio::test]
async fn a_store_that_somebody_else_locks_can_be_closed_while_calls_wait() {
    let (_directory, path, url) = place();
    let stores = Stores::open(&url).await.unwrap();
    let mut connection = raw(&path).await;
    connection.execute("BEGIN IMMEDIATE").await.unwrap();
    let users = ["ada", "bo", "cy"].map(user);
    let mut waiting: Vec<_> = users.iter().map(|user| stores.accounts.create_user(user)).collect();
    for call in &mut waiting {
        let polled = call.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(polled.is_pending());
    }
    stores.close().await;
    for call in waiting {
        assert!(matches!(call.await, Err(StoreError::Unavailable(_))));
    }
}

/// Whoever was told that it failed is not surprised by it later.
#[tokio::test]
async fn what_was_waiting_when_its_caller_gave_up_does_not_happen_later() {
    let (_directory, path, url) = place();
    let stores = Stores::open(&url).await.unwrap();
    let mut connection = raw(&path).await;
    connection.execute("BEGIN IMMEDIATE").await.unwrap();
    let ada = user("ada");
    let mut waiting = stores.accounts.create_user(&ada);
    // One look at it hands it over.
    let polled = waiting.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(polled.is_pending());
    drop(waiting);
    connection.execute("ROLLBACK").await.unwrap();
    stores.accounts.create_user(&user("bo")).await.unwrap();
    assert_eq!(stores.accounts.find_user(&ada.id).await.unwrap(), None);
}
