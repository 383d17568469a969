//! What only a store on a server can be asked: what becomes of the connections, what happens when the server is slow, silent or
//! gone, and how versions of the schema live beside each other.
#![cfg(all(feature = "testing", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "support/engines.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod engines;

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use gateward::{
    domain::{
        account::UserStatus,
        client::{ClientEntry, Removal},
        code::VerifiedCode,
        grant::Grant,
        refresh::{RefreshState, VerifiedRefresh},
    },
    port::store::{Insertion, Issue, Page, Redemption, Rotation, StoreError, StoreResult},
    protocol::jose::Algorithm,
    store::{Migrations, OpenError, SchemaState, StoreUrls, Stores, check_url, schema_of},
    testing::fixture::{
        self, NOW, RESOURCE, access_token, at, client_id, code, consent, dynamic_client, full_client, grant, grant_id,
        key, refresh_token, resource, revocation, session, user, user_id,
    },
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use url::Url;

/// Longer than anything here may take on a busy machine, and short enough to tell a call that hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// A way in past the store.
async fn raw(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// The same place with settings of the pool.
fn with(url: &str, settings: &[(&str, &str)]) -> String {
    let mut url: Url = url.parse().unwrap();
    url.query_pairs_mut().extend_pairs(settings);
    url.into()
}

fn is_unavailable<T>(outcome: &StoreResult<T>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(_)))
}

async fn refuse(url: &str) -> Result<Stores, OpenError> {
    let urls = StoreUrls { default: url.to_owned(), ..StoreUrls::default() };
    Stores::open_each(&urls, Migrations::Refuse).await.map_err(|failed| failed.error)
}

fn issue(refresh: &str, access: &str, grant: &str) -> Issue {
    Issue {
        refresh: Some(refresh_token(refresh)),
        access: Some(access_token(access, Some(grant))),
        grant_expires_at: Some(at(fixture::REFRESH_LIFETIME)),
    }
}

async fn open_grant(stores: &Stores, name: &str) -> VerifiedCode<'static> {
    stores.tokens.open_grant(&grant(name), &code(name)).await.unwrap();
    let record = stores.tokens.find_code(&code(name).digest).await.unwrap();
    fixture::verified_code(record.unwrap())
}

async fn verified_refresh(stores: &Stores, name: &str) -> VerifiedRefresh<'static> {
    let record = stores.tokens.find_refresh(&refresh_token(name).digest).await.unwrap();
    fixture::verified_refresh(record.unwrap())
}

async fn redeemed_grant(stores: &Stores, name: &str) -> VerifiedRefresh<'static> {
    let code = open_grant(stores, name).await;
    let redeemed = stores.tokens.redeem(&code, &issue(name, name, name), at(1)).await.unwrap();
    assert_eq!(redeemed, Redemption::Redeemed);
    verified_refresh(stores, name).await
}

async fn has_both(stores: &Stores, name: &str) -> bool {
    let refresh = stores.tokens.find_refresh(&refresh_token(name).digest).await.unwrap().is_some();
    let access = stores.tokens.find_access(&access_token(name, None).digest).await.unwrap().is_some();
    assert_eq!(refresh, access, "{name}: half an issue");
    refresh
}

// Hanging up ------------------------------------------------------------------------------------------------------------

/// Drops a call at its `polls`-th wait, as the server does with a request whose client hangs up.
async fn hang_up<T>(call: impl Future<Output = StoreResult<T>>, polls: usize) -> Option<T> {
    let mut call = pin!(call);
    let mut left = polls;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match call.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome.unwrap())),
            // The last one is not waited for, so that it is dropped before the answer is there.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The most waits that any call here has, with room to spare: connecting, preparing and a transaction of five statements.
const WAITS: usize = 150;

/// Every connection of the pool does what it says: what it was told to write is seen by others. A connection that somebody left
/// inside a transaction would answer, and lose it.
async fn assert_writes_are_seen(stores: &Stores, seeing: &mut PgConnection, name: &str) {
    let mut calls = JoinSet::new();
    for i in 0..12 {
        let (stores, user) = (stores.clone(), user(&format!("written-{name}-{i}")));
        calls.spawn(async move { stores.accounts.create_user(&user).await.unwrap() });
    }
    calls.join_all().await;
    let seen = sqlx::query_scalar("SELECT count(*) FROM users WHERE id LIKE $1").bind(format!("written-{name}-%"));
    let seen: i64 = seen.fetch_one(seeing).await.unwrap();
    assert_eq!(seen, 12, "{name}");
}

/// The same at the end, when nobody may be left inside a transaction.
async fn assert_no_write_is_lost(stores: &Stores, url: &str) {
    let mut seeing = raw(url).await;
    assert_writes_are_seen(stores, &mut seeing, "end").await;
    stores.close().await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND state LIKE 'idle in transaction%'";
    let open: i64 = sqlx::query_scalar(open).fetch_one(&mut seeing).await.unwrap();
    assert_eq!(open, 0);
}

/// Runs a story for each wait until the call is not dropped any more: on a pool that was just opened, and on one in use.
async fn at_every_wait<F: Future<Output = bool>>(url: &str, story: impl Fn(Stores, String, usize) -> F) {
    let url = with(url, &[("max_connections", "3")]);
    let used = Stores::open(&url).await.unwrap();
    let mut seeing = raw(&url).await;
    let mut dropped = 0;
    for fresh in [true, false] {
        for polls in 0.. {
            assert!(polls < WAITS, "the call never ends");
            let stores = if fresh { Stores::open(&url).await.unwrap() } else { used.clone() };
            let name = format!("{fresh}-{polls}");
            let ended = story(stores.clone(), name.clone(), polls).await;
            assert_writes_are_seen(&stores, &mut seeing, &name).await;
            if fresh {
                stores.close().await;
            }
            if ended {
                break;
            }
            dropped += 1;
        }
    }
    assert!(dropped > 3, "it was dropped {dropped} times only");
    assert_no_write_is_lost(&used, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redemption_that_is_dropped_at_any_wait_is_done_or_undone() {
    let database = engines::postgres_database().await;
    let made = Stores::open(&database.url).await.unwrap();
    at_every_wait(&database.url, async |stores, name, polls| {
        let code = open_grant(&made, &name).await;
        let [first, second] = ["first", "second"].map(|which| format!("{which}-{name}"));
        let heard = hang_up(stores.tokens.redeem(&code, &issue(&first, &first, &name), at(1)), polls).await;
        let again = stores.tokens.redeem(&code, &issue(&second, &second, &name), at(2)).await.unwrap();
        let happened = again == Redemption::AlreadyRedeemed;
        assert_eq!(has_both(&made, &first).await, happened);
        assert_eq!(has_both(&made, &second).await, !happened);
        assert!(happened || heard.is_none());
        heard.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_dropped_at_any_wait_is_done_or_undone() {
    let database = engines::postgres_database().await;
    let made = Stores::open(&database.url).await.unwrap();
    at_every_wait(&database.url, async |stores, name, polls| {
        let parent = redeemed_grant(&made, &name).await;
        let [first, second] = ["first", "second"].map(|which| format!("{which}-{name}"));
        let [issue_first, issue_second] = [&first, &second].map(|child| issue(child, child, &name));
        let heard = hang_up(stores.tokens.rotate(&parent, b"first", &issue_first, at(2)), polls).await;
        let again = stores.tokens.rotate(&parent, b"second", &issue_second, at(3)).await.unwrap();
        let happened = again == Rotation::AlreadyRotated;
        assert_eq!(has_both(&made, &first).await, happened);
        assert_eq!(has_both(&made, &second).await, !happened);
        let found = made.tokens.find_refresh(&refresh_token(&name).digest).await.unwrap().unwrap();
        let sealed: &[u8] = if happened { b"first" } else { b"second" };
        assert!(matches!(found.state, RefreshState::Rotated(rotated) if rotated.sealed_successor == sealed));
        assert!(happened || heard.is_none());
        heard.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_that_is_dropped_at_any_wait_is_done_or_undone() {
    let database = engines::postgres_database().await;
    let made = Stores::open(&database.url).await.unwrap();
    at_every_wait(&database.url, async |stores, name, polls| {
        let client = dynamic_client(&name);
        let heard = hang_up(stores.clients.insert(&client, Some(1_000_000)), polls).await;
        // Behind the lock that the first one holds, if it has got that far.
        let behind = dynamic_client(&format!("behind-{name}"));
        assert_eq!(stores.clients.insert(&behind, Some(1_000_000)).await.unwrap(), Insertion::Inserted);
        stores.clients.remove(&behind.id, Removal::Operator, NOW).await.unwrap();
        let again = stores.clients.insert(&client, Some(1_000_000)).await.unwrap();
        assert!(heard.is_none() || again == Insertion::Taken);
        let found = made.clients.find(&client.id).await.unwrap();
        assert_eq!(found, Some(ClientEntry::Registered(Arc::new(client))));
        heard.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabling_that_is_dropped_at_any_wait_is_done_or_undone() {
    let database = engines::postgres_database().await;
    let made = Stores::open(&database.url).await.unwrap();
    at_every_wait(&database.url, async |stores, name, polls| {
        made.accounts.create_user(&user(&name)).await.unwrap();
        assert!(made.accounts.open_session(&session(&name, &name), None).await.unwrap());
        let heard = hang_up(stores.accounts.set_status(&user_id(&name), UserStatus::Disabled), polls).await;
        // One statement sees one moment.
        let both = "SELECT (SELECT status FROM users WHERE id = $1) = 'active',
            EXISTS (SELECT 1 FROM sessions WHERE user_id = $1)";
        let mut connection = raw(&database.url).await;
        let (active, lives): (bool, bool) = sqlx::query_as(both).bind(&name).fetch_one(&mut connection).await.unwrap();
        assert_eq!(active, lives);
        assert!(heard.is_none() || !active);
        heard.is_some()
    })
    .await;
}

// Servers in trouble ----------------------------------------------------------------------------------------------------

/// Calls until one is answered, and returns how many were not.
async fn failures_until_it_answers(stores: &Stores) -> usize {
    let calls = async {
        for failures in 0.. {
            match stores.tokens.find_grant(&grant_id("any")).await {
                Ok(_) => return failures,
                failed @ Err(_) => assert!(is_unavailable(&failed), "{failed:?}"),
            }
        }
        usize::MAX
    };
    timeout(DEADLINE, calls).await.unwrap()
}

/// Uses as many connections as there may be.
async fn warm_up(stores: &Stores) {
    let mut calls = JoinSet::new();
    for _ in 0..16 {
        let stores = stores.clone();
        calls.spawn(async move { stores.tokens.ping().await.unwrap() });
    }
    calls.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_recovers_when_every_session_was_ended() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&with(&database.url, &[("max_connections", "4")])).await.unwrap();
    for _ in 0..3 {
        warm_up(&stores).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        raw(&database.url).await.execute(end).await.unwrap();
        let failures = failures_until_it_answers(&stores).await;
        assert!(failures <= 4, "{failures} calls failed, and there were 4 connections");
    }
    assert_no_write_is_lost(&stores, &database.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_are_in_each_others_way_are_told_in_time_and_do_not_pile_up() {
    let database = engines::postgres_database().await;
    let settings = [("max_connections", "2"), ("acquire_timeout", "500ms"), ("statement_timeout", "1s")];
    let stores = Stores::open(&with(&database.url, &settings)).await.unwrap();
    let mut other = raw(&database.url).await;
    other.execute("BEGIN; LOCK TABLE grants IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let stores = stores.clone();
        calls.spawn(async move { stores.tokens.find_grant(&grant_id("any")).await });
    }
    let outcomes = timeout(DEADLINE, calls.join_all()).await.unwrap();
    assert!(outcomes.iter().all(is_unavailable), "{outcomes:?}");
    // What does not need the table is served.
    assert_eq!(failures_of_users(&stores).await, 0);
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(stores.tokens.find_grant(&grant_id("any")).await.unwrap(), None);
}

async fn failures_of_users(stores: &Stores) -> usize {
    let mut failures = 0;
    for _ in 0..10 {
        failures += usize::from(stores.accounts.find_user(&user_id("any")).await.is_err());
    }
    failures
}

/// Stands between a store and its server, and can fall silent without closing anything, as a broken network does.
struct Network {
    url: String,
    /// Connections before this one hear nothing any more.
    silent_below: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Network {
    async fn before(url: &str) -> Self {
        let mut url: Url = url.parse().unwrap();
        let server = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let [silent_below, connections] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let (silent, count) = (Arc::clone(&silent_below), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = TcpStream::connect(&server).await.unwrap().into_split();
                tokio::spawn(carry(from_client, to_server, number, Arc::clone(&silent)));
                tokio::spawn(carry(from_server, to_client, number, Arc::clone(&silent)));
            }
        });
        Self { url: url.into(), silent_below, connections }
    }

    fn fall_silent(&self) {
        self.silent_below.store(self.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    fn fall_silent_for_good(&self) {
        self.silent_below.store(usize::MAX, Ordering::SeqCst);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: usize, silent_below: Arc<AtomicUsize>) {
    let mut buffer = vec![0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if number < silent_below.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fell_silent_are_given_up_and_replaced() {
    let database = engines::postgres_database().await;
    let settings = [("max_connections", "4"), ("acquire_timeout", "500ms"), ("statement_timeout", "500ms")];
    let network = Network::before(&with(&database.url, &settings)).await;
    let stores = Stores::open(&network.url).await.unwrap();
    let parent = redeemed_grant(&stores, "grant").await;
    warm_up(&stores).await;
    network.fall_silent();
    let rotated = timeout(DEADLINE, stores.tokens.rotate(&parent, b"x", &Issue::default(), at(2))).await.unwrap();
    assert!(is_unavailable(&rotated), "{rotated:?}");
    let failures = failures_until_it_answers(&stores).await;
    assert!(failures <= 4, "{failures} calls failed, and there were 4 connections");
    assert_no_write_is_lost(&stores, &database.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_silent_server_are_told_in_time_and_closing_ends() {
    let database = engines::postgres_database().await;
    let settings = [("max_connections", "2"), ("acquire_timeout", "500ms"), ("statement_timeout", "500ms")];
    let network = Network::before(&with(&database.url, &settings)).await;
    let stores = Stores::open(&network.url).await.unwrap();
    warm_up(&stores).await;
    network.fall_silent_for_good();
    let mut calls = JoinSet::new();
    for i in 0..50 {
        let stores = stores.clone();
        // Single statements and transactions.
        calls.spawn(async move {
            if i % 2 == 0 {
                stores.tokens.ping().await
            } else {
                stores.accounts.set_status(&user_id("ada"), UserStatus::Disabled).await.map(drop)
            }
        });
    }
    let outcomes = timeout(DEADLINE, calls.join_all()).await.unwrap();
    assert!(outcomes.iter().all(is_unavailable), "{outcomes:?}");
    timeout(DEADLINE, stores.close()).await.unwrap();
}

/// Makes every rotation run `action` before it is recorded, and count itself in a way that no rollback undoes.
async fn before_each_rotation(url: &str, action: &str) {
    let trigger = format!(
        "CREATE SEQUENCE attempts;
        CREATE FUNCTION interfere() RETURNS trigger LANGUAGE plpgsql AS
            $$ DECLARE attempt BIGINT := nextval('attempts'); BEGIN {action}; RETURN NEW; END $$;
        CREATE TRIGGER interfere BEFORE INSERT ON rotations FOR EACH ROW EXECUTE FUNCTION interfere()"
    );
    raw(url).await.execute(AssertSqlSafe(trigger)).await.unwrap();
}

async fn attempts(url: &str) -> i64 {
    sqlx::query_scalar("SELECT last_value FROM attempts").fetch_one(&mut raw(url).await).await.unwrap()
}

#[tokio::test]
async fn a_call_that_collides_is_tried_again_a_few_times() {
    for (code, collisions, succeeds) in [("40001", 3, true), ("40P01", 3, true), ("40001", 1_000, false)] {
        let database = engines::postgres_database().await;
        let stores = Stores::open(&database.url).await.unwrap();
        let parent = redeemed_grant(&stores, "parent").await;
        let collide = format!("IF attempt <= {collisions} THEN RAISE EXCEPTION USING ERRCODE = '{code}'; END IF");
        before_each_rotation(&database.url, &collide).await;
        let rotated = stores.tokens.rotate(&parent, b"sealed", &issue("child", "child", "parent"), at(2)).await;
        assert_eq!(has_both(&stores, "child").await, succeeds);
        if succeeds {
            assert_eq!(rotated.unwrap(), Rotation::Rotated);
        } else {
            assert!(is_unavailable(&rotated), "{rotated:?}");
            assert_eq!(attempts(&database.url).await, 5);
        }
    }
}

/// Whether it happened is not known then, and a second try would look like a replay.
#[tokio::test]
async fn a_call_that_loses_its_connection_is_not_tried_again() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parent = redeemed_grant(&stores, "parent").await;
    before_each_rotation(&database.url, "PERFORM pg_terminate_backend(pg_backend_pid())").await;
    let rotated = stores.tokens.rotate(&parent, b"sealed", &Issue::default(), at(2)).await;
    assert!(is_unavailable(&rotated), "{rotated:?}");
    assert_eq!(attempts(&database.url).await, 1);
}

/// Its lock is not waited for, and what is recorded under it is seen as soon as it is there.
#[tokio::test]
async fn a_purge_passes_over_a_grant_that_somebody_is_using() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let lasting = Grant { expires_at: at(10 * fixture::CODE_LIFETIME), ..grant("grant") };
    stores.tokens.open_grant(&lasting, &code("grant")).await.unwrap();
    let mut other = raw(&database.url).await;
    let record = "BEGIN; INSERT INTO refresh_tokens (digest, grant_id, issued_at, expires_at)
        SELECT digest, grant_id, expires_at, expires_at + 10000 FROM codes";
    other.execute(record).await.unwrap();
    let purge = async || stores.tokens.purge(at(fixture::CODE_LIFETIME), 100).await.unwrap();
    assert_eq!(purge().await, 0);
    other.execute("COMMIT").await.unwrap();
    // Only the code, which nobody needs: the grant is in use without it.
    assert_eq!(purge().await, 1);
    assert_eq!(stores.tokens.find_grant(&grant_id("grant")).await.unwrap(), Some(lasting));
}

/// Otherwise the history of one client that refreshes without end could take longer than a statement may, again and again.
#[tokio::test]
async fn a_purge_takes_a_long_history_apart_before_its_grant() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    redeemed_grant(&stores, "busy").await;
    let history = "INSERT INTO refresh_tokens (digest, grant_id, issued_at, expires_at)
        SELECT sha256(i::TEXT::BYTEA), g.id, g.created_at, g.expires_at FROM grants g, generate_series(1, 24) i";
    let mut seeing = raw(&database.url).await;
    seeing.execute(history).await.unwrap();
    let left = async |seeing: &mut PgConnection| {
        let left = "SELECT (SELECT count(*) FROM refresh_tokens), (SELECT count(*) FROM grants)";
        let left: (i64, i64) = sqlx::query_as(left).fetch_one(seeing).await.unwrap();
        left
    };
    let over = at(2 * fixture::REFRESH_LIFETIME);
    for tokens in [15, 5] {
        assert!(stores.tokens.purge(over, 10).await.unwrap() > 0);
        assert_eq!(left(&mut seeing).await, (tokens, 1));
    }
    assert!(stores.tokens.purge(over, 10).await.unwrap() > 0);
    assert_eq!(left(&mut seeing).await, (0, 0));
    assert_eq!(stores.tokens.purge(over, 10).await.unwrap(), 0);
}

#[tokio::test]
async fn a_closed_store_says_that_it_is_unavailable() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    stores.close().await;
    assert!(is_unavailable(&stores.tokens.ping().await));
    assert!(is_unavailable(&stores.accounts.create_user(&user("ada")).await));
    assert!(is_unavailable(&stores.clients.insert(&dynamic_client("one"), Some(1)).await));
    assert!(is_unavailable(&stores.keys.list().await));
    stores.close().await;
}

#[tokio::test]
async fn a_server_that_may_not_be_written_to_is_not_ready() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    stores.close().await;
    let stores = Stores::open(&with(&database.url, &[("options[default_transaction_read_only]", "on")])).await.unwrap();
    assert!(is_unavailable(&stores.tokens.ping().await));
    assert!(is_unavailable(&stores.accounts.create_user(&user("ada")).await));
    assert_eq!(stores.accounts.find_user(&user_id("ada")).await.unwrap(), None);
}

/// With its causes, as the log shows it.
fn told(error: OpenError) -> String {
    let mut text = format!("{error:?}");
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        text.push_str(&format!(" {error}"));
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_an_error_without_the_password() {
    let database = engines::postgres_database().await;
    let mut nobody: Url = database.url.parse().unwrap();
    nobody.set_username("nobody-of-this-name").unwrap();
    nobody.set_password(Some("s3cret")).unwrap();
    let mut nowhere = nobody.clone();
    // Reserved, and nobody listens there.
    nowhere.set_port(Some(1)).unwrap();
    for url in [nobody, nowhere] {
        assert_eq!(check_url(url.as_str()), Ok(()));
        let refused = timeout(DEADLINE, Stores::open(url.as_str())).await.unwrap();
        let error = told(refused.unwrap_err());
        assert!(error.contains("cannot open the database") && !error.contains("s3cret"), "{error}");
    }
}

// Together --------------------------------------------------------------------------------------------------------------

/// Refresh tokens `0`, `1` and so on, each with a grant of its own.
async fn redeemed_grants(stores: &Stores, count: usize) -> Vec<VerifiedRefresh<'static>> {
    let mut parents = Vec::new();
    for number in 0..count {
        parents.push(redeemed_grant(stores, &number.to_string()).await);
    }
    parents
}

async fn rotate(stores: &Stores, parent: &VerifiedRefresh<'_>) -> StoreResult<Rotation> {
    timeout(DEADLINE, stores.tokens.rotate(parent, b"sealed", &Issue::default(), at(2))).await.unwrap()
}

/// Rotates all of them at once; what became of each, in their order.
async fn rotate_all(stores: &Stores, parents: Vec<VerifiedRefresh<'static>>) -> Vec<StoreResult<Rotation>> {
    let mut rotations = JoinSet::new();
    for (number, parent) in parents.into_iter().enumerate() {
        let stores = stores.clone();
        rotations.spawn(async move { (number, rotate(&stores, &parent).await) });
    }
    let mut outcomes = rotations.join_all().await;
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn is_rotated(outcome: &StoreResult<Rotation>) -> bool {
    matches!(outcome, Ok(Rotation::Rotated))
}

async fn is_current(stores: &Stores, name: &str) -> bool {
    let record = stores.tokens.find_refresh(&refresh_token(name).digest).await.unwrap().unwrap();
    record.state == RefreshState::Current
}

#[tokio::test]
async fn calls_that_come_at_once_share_statements() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parents = redeemed_grants(&stores, 100).await;
    let count = "CREATE SEQUENCE statements;
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM nextval('statements'); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT ON rotations FOR EACH STATEMENT EXECUTE FUNCTION note()";
    let mut seeing = raw(&database.url).await;
    seeing.execute(count).await.unwrap();
    let outcomes = rotate_all(&stores, parents).await;
    assert!(outcomes.iter().all(is_rotated), "{outcomes:?}");
    let statements: i64 = sqlx::query_scalar("SELECT last_value FROM statements").fetch_one(&mut seeing).await.unwrap();
    assert!(statements < 10, "{statements} statements for 100 calls");
    for number in 0..100 {
        assert!(!is_current(&stores, &number.to_string()).await, "{number}");
    }
}

/// The pool has one connection, and there is always somebody who waits for the next statement of the burst.
#[tokio::test]
async fn a_burst_of_one_kind_leaves_the_connection_to_other_calls() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&with(&database.url, &[("max_connections", "1")])).await.unwrap();
    fill(&stores).await;
    let (end, ended) = watch::channel(false);
    let mut burst = JoinSet::new();
    for _ in 0..200 {
        let (stores, ended) = (stores.clone(), ended.clone());
        burst.spawn(async move {
            while !*ended.borrow() {
                stores.tokens.find_refresh(&refresh_token("grant").digest).await.unwrap();
            }
        });
    }
    for _ in 0..20 {
        timeout(DEADLINE, stores.keys.list()).await.unwrap().unwrap();
    }
    end.send_replace(true);
    burst.join_all().await;
}

/// Whatever the order in which the server finds them.
#[tokio::test]
async fn calls_that_share_a_statement_each_have_their_own_answer_and_record() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let mut exchanges = JoinSet::new();
    for number in 0..20 {
        let stores = stores.clone();
        exchanges.spawn(async move {
            let code = open_grant(&stores, &number.to_string()).await;
            // Each issues something else: one token, the other, or both.
            let whole = issue(&number.to_string(), &number.to_string(), &number.to_string());
            let issue = Issue {
                refresh: whole.refresh.filter(|_| number % 3 != 0),
                access: whole.access.filter(|_| number % 3 != 1),
                grant_expires_at: Some(at(1_000_000 + number)),
            };
            stores.tokens.redeem(&code, &issue, at(1)).await.unwrap()
        });
    }
    assert!(exchanges.join_all().await.iter().all(|outcome| *outcome == Redemption::Redeemed));
    let mut questions = JoinSet::new();
    for question in 0..60 {
        let stores = stores.clone();
        questions.spawn(async move {
            // Some are not there, and the others are asked about twice.
            let number = question % 30;
            let name = number.to_string();
            let refresh = stores.tokens.find_refresh(&refresh_token(&name).digest).await.unwrap();
            let access = stores.tokens.find_access(&access_token(&name, None).digest).await.unwrap();
            let grant = stores.tokens.find_grant(&grant_id(&name)).await.unwrap();
            (number, refresh, access, grant)
        });
    }
    for (number, refresh, access, grant) in questions.join_all().await {
        let name = number.to_string();
        let there = |there: bool| (number < 20 && there).then(|| grant_id(&name));
        assert_eq!(refresh.map(|record| record.grant.id), there(number % 3 != 0), "{name}");
        assert_eq!(access.and_then(|(token, _)| token.grant_id().cloned()), there(number % 3 != 1), "{name}");
        assert_eq!(grant.map(|grant| grant.expires_at), (number < 20).then(|| at(1_000_000 + number)), "{name}");
    }
}

#[tokio::test]
async fn a_grant_that_somebody_has_delays_only_those_who_ask_for_it() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let one_by_one = redeemed_grants(&stores, 10).await;
    let mut at_once = Vec::new();
    for name in ["held", "a", "b", "c"] {
        at_once.push(redeemed_grant(&stores, name).await);
    }
    let mut other = raw(&database.url).await;
    other.execute("BEGIN").await.unwrap();
    let lock = sqlx::query("SELECT FROM grants WHERE id = $1 FOR UPDATE").bind(grant_id("held").as_str().to_owned());
    lock.execute(&mut other).await.unwrap();
    let mut waiting = JoinSet::new();
    for parent in at_once {
        let stores = stores.clone();
        waiting.spawn(async move { rotate(&stores, &parent).await });
    }
    for _ in 0..3 {
        assert!(is_rotated(&waiting.join_next().await.unwrap().unwrap()));
    }
    for parent in one_by_one {
        assert!(is_rotated(&rotate(&stores, &parent).await));
    }
    assert!(is_current(&stores, "held").await);
    other.execute("ROLLBACK").await.unwrap();
    assert!(is_rotated(&waiting.join_next().await.unwrap().unwrap()));
}

#[tokio::test]
async fn a_call_that_the_server_refuses_fails_alone() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parents = redeemed_grants(&stores, 20).await;
    let digest: String = refresh_token("7").digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let refuse = format!("IF NEW.parent = '\\x{digest}' THEN RAISE EXCEPTION USING ERRCODE = '23514'; END IF");
    before_each_rotation(&database.url, &refuse).await;
    let outcomes = rotate_all(&stores, parents).await;
    assert!(matches!(outcomes[7], Err(StoreError::Corrupt(_))), "{outcomes:?}");
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(is_rotated(outcome), number != 7, "{number}: {outcome:?}");
        assert_eq!(is_current(&stores, &number.to_string()).await, number == 7, "{number}");
    }
}

/// Nobody knows what happened, and nobody's call is made again.
#[tokio::test]
async fn calls_that_share_a_connection_that_is_lost_all_hear_it() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parents = redeemed_grants(&stores, 20).await;
    before_each_rotation(&database.url, "PERFORM pg_terminate_backend(pg_backend_pid())").await;
    let outcomes = rotate_all(&stores, parents).await;
    assert!(outcomes.iter().all(is_unavailable), "{outcomes:?}");
    // The first row of a statement is its last.
    let statements = attempts(&database.url).await;
    assert!(statements < 10, "{statements} statements for 20 calls");
}

#[tokio::test]
async fn a_call_whose_caller_left_before_it_was_sent_is_not_made() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parents = redeemed_grants(&stores, 3).await;
    let abandoned = redeemed_grant(&stores, "abandoned").await;
    let [mut other, mut seeing] = [raw(&database.url).await, raw(&database.url).await];
    other.execute("BEGIN; LOCK TABLE rotations IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut calls = JoinSet::new();
    for (number, parent) in parents.into_iter().enumerate() {
        if number == 2 {
            // Behind the two that are under way.
            assert_eq!(hang_up(stores.tokens.rotate(&abandoned, b"sealed", &Issue::default(), at(2)), 1).await, None);
        }
        let stores = stores.clone();
        calls.spawn(async move { rotate(&stores, &parent).await });
        if number < 2 {
            wait_for_locks(&mut seeing, number + 1).await;
        }
    }
    other.execute("ROLLBACK").await.unwrap();
    let outcomes = calls.join_all().await;
    assert!(outcomes.iter().all(is_rotated), "{outcomes:?}");
    assert!(is_current(&stores, "abandoned").await);
}

/// Until so many statements in this database wait for a lock.
async fn wait_for_locks(seeing: &mut PgConnection, count: usize) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let all_wait =
        async { while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *seeing).await.unwrap() < count as i64 {} };
    timeout(DEADLINE, all_wait).await.unwrap();
}

/// A plan that reads a whole table is kept while the table grows.
#[tokio::test]
async fn statements_are_planned_once_and_for_large_tables() {
    let database = engines::postgres_database().await;
    let stores = Stores::open(&database.url).await.unwrap();
    let parent = redeemed_grant(&stores, "parent").await;
    let plan = "CREATE TABLE seen (setting TEXT);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO seen VALUES (current_setting('plan_cache_mode')), (current_setting('enable_seqscan')),
                (current_setting('enable_hashjoin')), (current_setting('jit'));
            RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT ON rotations FOR EACH STATEMENT EXECUTE FUNCTION note()";
    let mut seeing = raw(&database.url).await;
    seeing.execute(plan).await.unwrap();
    assert!(is_rotated(&rotate(&stores, &parent).await));
    let seen: Vec<String> = sqlx::query_scalar("SELECT setting FROM seen").fetch_all(&mut seeing).await.unwrap();
    assert_eq!(seen, ["force_generic_plan", "off", "off", "off"]);
}

/// The word of an engine that does not know, and of poolers that lost their server: after a second try a redemption would look like a
/// replay.
#[tokio::test]
async fn a_call_whose_outcome_nobody_knows_is_not_tried_again() {
    for code in ["40003", "08006", "XX000"] {
        let database = engines::postgres_database().await;
        let stores = Stores::open(&database.url).await.unwrap();
        let parents = redeemed_grants(&stores, 10).await;
        before_each_rotation(&database.url, &format!("RAISE EXCEPTION USING ERRCODE = '{code}'")).await;
        let outcomes = rotate_all(&stores, parents).await;
        assert!(outcomes.iter().all(is_unavailable), "{code}: {outcomes:?}");
        // The first row of a statement is its last.
        let statements = attempts(&database.url).await;
        assert!(statements < 5, "{code}: {statements} statements for 10 calls");
    }
}

// The schema ------------------------------------------------------------------------------------------------------------

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
async fn fill(stores: &Stores) {
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
