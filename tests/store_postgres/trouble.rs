//! Servers that are slow, silent, gone or full, and callers in each other's way.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gateward::{
    domain::{account::UserStatus, grant::Grant},
    port::store::{Issue, Rotation},
    store::{OpenError, Stores, check_url},
    testing::fixture::{self, at, client_id, code, dynamic_client, grant, grant_id, user, user_id},
};
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::{interval, timeout},
};
use url::Url;

use crate::{
    DEADLINE, engines, hanging_up::assert_no_write_is_lost, has_both, is_unavailable, issue, raw, redeemed_grant, with,
};

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

/// A store that has two connections at rest. Where connecting takes so long that it opens more of them, another one is made.
async fn with_two_connections(network: &Network) -> Stores {
    let connections = || network.connections.load(Ordering::SeqCst);
    loop {
        let stores = Stores::open(&network.url).await.unwrap();
        let (user, client) = (user_id("any"), client_id("any"));
        stores.accounts.find_user(&user).await.unwrap();
        let with_one = connections();
        while connections() == with_one {
            // Calls of two kinds, which share no statement.
            let (user, client) = tokio::join!(stores.accounts.find_user(&user), stores.clients.find(&client));
            assert!(user.unwrap().is_none() && client.unwrap().is_none());
        }
        if connections() == with_one + 1 {
            return stores;
        }
    }
}

/// Two statements are stuck on the two connections that there are; whoever comes after them has another one.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fell_silent_do_not_hold_up_whoever_comes_later() {
    let database = engines::postgres_database().await;
    let network = Network::before(&with(&database.url, &[("max_connections", "8")])).await;
    let stores = timeout(DEADLINE, with_two_connections(&network)).await.unwrap();
    network.fall_silent();
    let (mut calls, mut pace) = (JoinSet::new(), interval(Duration::from_millis(10)));
    let first = timeout(DEADLINE, async {
        loop {
            tokio::select! {
                Some(first) = calls.join_next() => break first.unwrap(),
                _ = pace.tick() => {
                    let accounts = Arc::clone(&stores.accounts);
                    calls.spawn(async move { accounts.find_user(&user_id("any")).await });
                }
            }
        }
    });
    assert_eq!(first.await.unwrap().unwrap(), None, "before anybody gave up");
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
pub(crate) async fn before_each_rotation(url: &str, action: &str) {
    let trigger = format!(
        "CREATE SEQUENCE attempts;
        CREATE FUNCTION interfere() RETURNS trigger LANGUAGE plpgsql AS
            $$ DECLARE attempt BIGINT := nextval('attempts'); BEGIN {action}; RETURN NEW; END $$;
        CREATE TRIGGER interfere BEFORE INSERT ON rotations FOR EACH ROW EXECUTE FUNCTION interfere()"
    );
    raw(url).await.execute(AssertSqlSafe(trigger)).await.unwrap();
}

pub(crate) async fn attempts(url: &str) -> i64 {
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
