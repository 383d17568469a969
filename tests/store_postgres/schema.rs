//! How versions of the schema live beside each other, and what a row that cannot be is taken for.

use gateward::{
    port::store::{Page, Rotation, StoreError, StoreResult},
    protocol::jose::Algorithm,
    store::{OpenError, SchemaState, Stores, schema_of},
    testing::fixture::{
        NOW, RESOURCE, access_token, at, client_id, code, consent, full_client, grant, grant_id, key, refresh_token,
        resource, revocation, session, user, user_id,
    },
};
use sqlx::Executor;
use tokio::{task::JoinSet, time::timeout};

use crate::{DEADLINE, engines, hanging_up::hang_up, is_unavailable, issue, raw, redeemed_grant, refuse, with};

#[tokio::test(flavor = "multi_thread")]
async fn many_that_open_an_empty_database_at_once_make_one_schema() {
    let database = engines::postgres_database().await;
    let mut opening = JoinSet::new();
    for _ in 0..10 {
        let url = database.url.clone();
        opening.spawn(async move { Stores::open(&url).await.unwrap() });
    }
    for stores in opening.join_all().await {
        stores.keys.ping().await.unwrap();
    }
    let applied = "SELECT count(*) FROM _sqlx_migrations";
    let applied: i64 = sqlx::query_scalar(applied).fetch_one(&mut raw(&database.url).await).await.unwrap();
    assert_eq!(applied, 2);
}

#[tokio::test]
async fn an_opening_that_is_dropped_midway_can_be_repeated() {
    let database = engines::postgres_database().await;
    for polls in 0..60 {
        hang_up(async { Ok(Stores::open(&database.url).await) }, polls).await;
    }
    let stores = timeout(DEADLINE, Stores::open(&database.url)).await.unwrap().unwrap();
    redeemed_grant(&stores, "grant").await;
}

#[tokio::test]
async fn pending_migrations_are_named_and_nothing_is_created_for_that() {
    let database = engines::postgres_database().await;
    let pending = schema_of(&database.url).await.unwrap().pending;
    assert_eq!((pending[0].version, pending[0].description.as_str()), (1, "initial"));
    assert!(matches!(refuse(&database.url).await, Err(OpenError::MigrationsPending(2))));
    let relations = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    let relations: i64 = sqlx::query_scalar(relations).fetch_one(&mut raw(&database.url).await).await.unwrap();
    assert_eq!(relations, 0);
    Stores::open(&database.url).await.unwrap().close().await;
    assert_eq!(schema_of(&database.url).await.unwrap(), SchemaState::default());
    refuse(&database.url).await.unwrap();
}

async fn note_migration(url: &str, version: i64, description: &str) {
    let note = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES ($1, $2, TRUE, '', 0)";
    sqlx::query(note).bind(version).bind(description).execute(&mut raw(url).await).await.unwrap();
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused_unless_it_was_only_expanded() {
    let database = engines::postgres_database().await;
    Stores::open(&database.url).await.unwrap().close().await;
    note_migration(&database.url, 9998, "expand grants").await;
    Stores::open(&database.url).await.unwrap().tokens.ping().await.unwrap();
    refuse(&database.url).await.unwrap();
    let SchemaState { pending, ahead } = schema_of(&database.url).await.unwrap();
    assert_eq!((pending.len(), ahead[0].version, ahead[0].description.as_str()), (0, 9998, "expand grants"));
    note_migration(&database.url, 9999, "contract grants").await;
    assert!(matches!(Stores::open(&database.url).await, Err(OpenError::ForeignSchema(_))));
    assert!(matches!(refuse(&database.url).await, Err(OpenError::ForeignSchema(_))));
    assert!(matches!(schema_of(&database.url).await, Err(OpenError::ForeignSchema(_))));
}

#[tokio::test]
async fn a_schema_that_a_newer_version_made_while_this_one_waited_to_migrate_is_refused() {
    let database = engines::postgres_database().await;
    Stores::open(&database.url).await.unwrap();
    let mut newer = raw(&database.url).await;
    // As if nobody had migrated yet.
    newer.execute("ALTER TABLE _sqlx_migrations RENAME TO elsewhere").await.unwrap();
    newer.execute("SELECT pg_advisory_lock(7449363237790904932)").await.unwrap();
    let url = database.url.clone();
    let waiting = tokio::spawn(async move { Stores::open(&url).await });
    let waits = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'SELECT pg_try_advisory_lock%')";
    timeout(DEADLINE, async { while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut newer).await.unwrap() {} })
        .await
        .unwrap();
    newer.execute("ALTER TABLE elsewhere RENAME TO _sqlx_migrations").await.unwrap();
    note_migration(&database.url, 9999, "take away").await;
    newer.execute("SELECT pg_advisory_unlock(7449363237790904932)").await.unwrap();
    let opened = timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert!(matches!(opened, Err(OpenError::ForeignSchema(_))), "{opened:?}");
}

#[tokio::test]
async fn a_schema_of_somebody_else_is_refused() {
    for change in [
        "UPDATE _sqlx_migrations SET checksum = 'x'",
        "UPDATE _sqlx_migrations SET success = FALSE",
        "UPDATE _sqlx_migrations SET version = 0, description = 'expand what came before' WHERE version = 1",
    ] {
        let database = engines::postgres_database().await;
        Stores::open(&database.url).await.unwrap().close().await;
        raw(&database.url).await.execute(change).await.unwrap();
        assert!(matches!(Stores::open(&database.url).await, Err(OpenError::ForeignSchema(_))), "{change}");
        assert!(matches!(refuse(&database.url).await, Err(OpenError::ForeignSchema(_))), "{change}");
    }
}

/// Something of every kind that is read back.
pub(crate) async fn fill(stores: &Stores) {
    stores.clients.insert(&full_client("client"), None).await.unwrap();
    let parent = redeemed_grant(stores, "grant").await;
    let rotated = stores.tokens.rotate(&parent, b"sealed", &issue("two", "two", "grant"), at(2)).await.unwrap();
    assert_eq!(rotated, Rotation::Rotated);
    stores.tokens.open_grant(&grant("revoked"), &code("revoked")).await.unwrap();
    stores.tokens.revoke_grant(&grant_id("revoked"), revocation(at(3))).await.unwrap();
    stores.accounts.create_user(&user("ada")).await.unwrap();
    stores.accounts.open_session(&session("one", "ada"), None).await.unwrap();
    stores.accounts.add_consent(&consent("mcp:read")).await.unwrap();
    stores.keys.add(&key("key", Algorithm::ES256, NOW), None).await.unwrap();
}

async fn find_everything(stores: &Stores) -> Vec<StoreResult<()>> {
    let all = || Page { after: None, limit: 10 };
    vec![
        stores.tokens.find_code(&code("grant").digest).await.map(drop),
        stores.tokens.find_code(&code("revoked").digest).await.map(drop),
        stores.tokens.find_refresh(&refresh_token("grant").digest).await.map(drop),
        stores.tokens.find_access(&access_token("two", None).digest).await.map(drop),
        stores.tokens.list_grants(&Default::default(), Page { after: None, limit: 10 }).await.map(drop),
        stores.clients.find(&client_id("client")).await.map(drop),
        stores.clients.list(Page { after: None, limit: 10 }).await.map(drop),
        stores.accounts.find_session(&session("one", "ada").digest).await.map(drop),
        stores.accounts.list_users(all()).await.map(drop),
        stores.keys.list().await.map(drop),
        stores.accounts.consented(&user_id("user"), &client_id("client"), &resource(RESOURCE)).await.map(drop),
    ]
}

/// A prepared `SELECT *` would fail from then on, until its connection ends.
#[tokio::test]
async fn columns_that_a_newer_version_adds_disturb_nobody() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&with(&database.url, &[("max_connections", "1")])).await.unwrap();
    fill(&stores).await;
    assert!(find_everything(&stores).await.iter().all(Result::is_ok));
    let expand = "DO $$ DECLARE name TEXT; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE format('ALTER TABLE %I ADD COLUMN of_a_newer_version TEXT', name);
        END LOOP; END $$";
    raw(&database.url).await.execute(expand).await.unwrap();
    let found = find_everything(&stores).await;
    assert!(found.iter().all(Result::is_ok), "{found:?}");
    redeemed_grant(&stores, "another").await;
}

/// The constraints of the schema keep these out; a restored or hand-edited database may hold them all the same.
#[tokio::test]
async fn a_row_that_cannot_be_is_corrupt_and_never_misread() {
    let unchecked = "DO $$ DECLARE c RECORD; BEGIN
        FOR c IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0 LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.owner, c.conname);
        END LOOP; END $$";
    let clean = "TRUNCATE clients, removed_clients, grants, users, consents, signing_keys CASCADE";
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let mut connection = raw(&database.url).await;
    connection.execute(unchecked).await.unwrap();
    for spoil in [
        "UPDATE grants SET revoked_at = NULL WHERE id = 'revoked'",
        "UPDATE grants SET revoked_at = 1 WHERE id = 'grant'",
        "UPDATE grants SET revocation_reason = 'whim', revoked_at = 1",
        "UPDATE grants SET scope = 'a\"b'",
        "UPDATE grants SET resources = 'x'",
        "UPDATE access_tokens SET user_id = NULL",
        "UPDATE codes SET challenge = '\\x00'",
        "UPDATE clients SET provenance = 'heaven'",
        "UPDATE clients SET grant_types = '[\"password\"]'",
        "UPDATE clients SET version = -1",
        "INSERT INTO removed_clients VALUES ('client', 'operator', 1)",
        "UPDATE users SET status = 'asleep'",
        "UPDATE signing_keys SET algorithm = 'none'",
        "UPDATE consents SET scope = '\"'",
        // Not even the type is right.
        "ALTER TABLE sessions ALTER COLUMN auth_time TYPE TEXT",
    ] {
        fill(&stores).await;
        connection.execute(spoil).await.unwrap();
        let found = find_everything(&stores).await;
        assert!(found.iter().any(|found| matches!(found, Err(StoreError::Corrupt(_)))), "{spoil}: {found:?}");
        assert!(!found.iter().any(is_unavailable), "{spoil}: {found:?}");
        connection.execute(clean).await.unwrap();
    }
}
