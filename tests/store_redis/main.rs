//! What only a Redis can be asked: whether it comes back, who may see what, and where in a cluster things are.
#![cfg(all(feature = "testing", feature = "redis"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../support/engines.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod engines;

#[path = "../support/private_redis.rs"]
mod private_redis;
mod steps;

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    future::Future,
    pin::pin,
    process::Command,
    task::{Context, Poll, Waker},
    time::Duration,
};

use engines::{fresh_name, redis_cluster_url, redis_url};
use gateward::{
    domain::{access::Standing, code::VerifiedCode, refresh::VerifiedRefresh},
    port::store::{GrantFilter, Issue, Page, Redemption, Rotation, StoreError, StoreResult},
    store::{OpenError, Stores, check_url},
    testing::fixture::{
        self, CODE_LIFETIME, REFRESH_LIFETIME, access_token, at, code, grant, grant_id, refresh_token, revocation,
        token_id, user,
    },
};
use private_redis::{PrivateRedis, ask};
use redis::{Client, cmd};
use url::Url;

async fn open(url: &str) -> Stores {
    Stores::open(url).await.unwrap()
}

/// A part of the shared server, and what its keys begin with.
async fn own(url: &str) -> (Stores, String) {
    let prefix = format!("test-{}:", fresh_name());
    (open(&format!("{url}?prefix={prefix}")).await, prefix)
}

fn issue(name: &str, grant: &str) -> Issue {
    Issue {
        refresh: Some(refresh_token(name)),
        access: Some(access_token(name, Some(grant))),
        grant_expires_at: Some(at(REFRESH_LIFETIME)),
    }
}

async fn verified_code(stores: &Stores, name: &str) -> VerifiedCode<'static> {
    fixture::verified_code(stores.tokens.find_code(&code(name).digest).await.unwrap().unwrap())
}

async fn verified_refresh(stores: &Stores, name: &str) -> VerifiedRefresh<'static> {
    fixture::verified_refresh(stores.tokens.find_refresh(&refresh_token(name).digest).await.unwrap().unwrap())
}

/// A grant whose code was redeemed for tokens of the same name.
async fn redeemed(stores: &Stores, name: &str) {
    stores.tokens.open_grant(&grant(name), &code(name)).await.unwrap();
    let verified = verified_code(stores, name).await;
    let redeemed = stores.tokens.redeem(&verified, &issue(name, name), at(1)).await.unwrap();
    assert_eq!(redeemed, Redemption::Redeemed);
}

async fn rotate(stores: &Stores, from: &str, to: &str, of: &str) -> StoreResult<Rotation> {
    let verified = verified_refresh(stores, from).await;
    stores.tokens.rotate(&verified, b"sealed", &issue(to, of), at(2)).await
}

fn is_unavailable<T: std::fmt::Debug>(outcome: StoreResult<T>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(_)))
}

/// An error with everything that it says when it is logged.
fn told(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(" {error} {error:?}"));
        source = error.source();
    }
    text
}

/// The keys that begin with `prefix` in one server.
async fn keys(client: &Client, prefix: &str) -> BTreeSet<String> {
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut found = BTreeSet::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(1_000);
        let (next, some): (u64, Vec<String>) = scan.query_async(&mut connection).await.unwrap();
        found.extend(some);
        cursor = next;
        if cursor == 0 {
            return found;
        }
    }
}

#[tokio::test]
async fn scripts_are_loaded_again_by_whoever_needs_them() {
    let server = PrivateRedis::start(&[]);
    let stores = open(&server.url()).await;
    redeemed(&stores, "a").await;
    let () = ask(&server, &["SCRIPT", "FLUSH"]).await;
    assert_eq!(rotate(&stores, "a", "b", "a").await.unwrap(), Rotation::Rotated);
    let () = ask(&server, &["SCRIPT", "FLUSH"]).await;
    assert!(stores.tokens.find_refresh(&refresh_token("b").digest).await.unwrap().is_some());
}

#[tokio::test]
async fn two_prefixes_do_not_see_each_other() {
    let (one, _) = own(&redis_url()).await;
    let (other, _) = own(&redis_url()).await;
    redeemed(&one, "a").await;
    one.tokens.revoke_access(&token_id("jwt"), at(60)).await.unwrap();
    one.accounts.create_user(&user("ada")).await.unwrap();
    assert!(other.tokens.find_code(&code("a").digest).await.unwrap().is_none());
    assert!(other.tokens.find_refresh(&refresh_token("a").digest).await.unwrap().is_none());
    assert_eq!(other.tokens.standing(&token_id("jwt"), None).await.unwrap(), Standing::Good);
    assert_eq!(other.accounts.list_users(Page { after: None, limit: 9 }).await.unwrap(), []);
    redeemed(&other, "a").await;
}

#[tokio::test]
async fn in_a_cluster_a_grant_is_in_one_slot_and_grants_are_on_every_master() {
    let (stores, prefix) = own(&redis_cluster_url()).await;
    for i in 0..48 {
        redeemed(&stores, &i.to_string()).await;
    }
    let client = Client::open(redis_cluster_url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let nodes: String = cmd("CLUSTER").arg("NODES").query_async(&mut connection).await.unwrap();
    let mut masters_with_grants = 0;
    let mut slots: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for node in nodes.lines().filter(|node| node.contains("master")) {
        let address = node.split([' ', '@']).nth(1).unwrap();
        let (host, port) = address.rsplit_once(':').unwrap();
        let mut url: Url = redis_cluster_url().parse().unwrap();
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(port.parse().unwrap())).unwrap();
        let found = keys(&Client::open(url.as_str()).unwrap(), &prefix).await;
        let of_grants = found.iter().filter(|key| key.ends_with("}:grant") || key.ends_with("}:ends"));
        let before = slots.len();
        for key in of_grants {
            let grant = key.rsplit_once(':').unwrap().0.to_owned();
            let slot: u16 = cmd("CLUSTER").arg("KEYSLOT").arg(key).query_async(&mut connection).await.unwrap();
            slots.entry(grant).or_default().insert(slot);
        }
        masters_with_grants += usize::from(slots.len() > before);
    }
    assert_eq!(masters_with_grants, 3);
    assert_eq!(slots.len(), 48);
    assert!(slots.values().all(|slots| slots.len() == 1), "{slots:?}");
}

/// Polls a call a few times and then drops it, as the server does with a request whose client hangs up.
async fn hang_up<T>(call: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut call = pin!(call);
    for _ in 0..polls {
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => return Some(outcome),
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
    None
}

/// Whoever hangs up between an index and what it leads to leaves nothing that counts, and nothing in the way of whoever does the
/// same again. The outcome of that says what became of the first call.
async fn leaves_nothing_half_done(url: String) {
    let (stores, _) = own(&url).await;
    for polls in 0..48 {
        let name = polls.to_string();
        let opened = hang_up(stores.tokens.open_grant(&grant(&name), &code(&name)), polls).await;
        let again = stores.tokens.open_grant(&grant(&name), &code(&name)).await;
        assert!(opened.is_none() || again.is_err());
        let of_user = GrantFilter { user: Some(grant(&name).user_id), ..GrantFilter::default() };
        let listed = stores.tokens.list_grants(&of_user, Page { after: None, limit: 1_000 }).await.unwrap();
        assert!(listed.contains(&grant(&name)));

        let verified = verified_code(&stores, &name).await;
        let (first, second) = (format!("{name}-first"), format!("{name}-second"));
        hang_up(stores.tokens.redeem(&verified, &issue(&first, &name), at(1)), polls).await;
        let again = stores.tokens.redeem(&verified, &issue(&second, &name), at(1)).await.unwrap();
        let happened = again == Redemption::AlreadyRedeemed;
        for (token, counts) in [(&first, happened), (&second, !happened)] {
            assert_eq!(is_known(&stores, token, &name).await, (counts, counts));
        }

        let parent = if happened { first } else { second };
        let (first, second) = (format!("{parent}-first"), format!("{parent}-second"));
        let verified = verified_refresh(&stores, &parent).await;
        hang_up(stores.tokens.rotate(&verified, b"x", &issue(&first, &name), at(2)), polls).await;
        let again = stores.tokens.rotate(&verified, b"y", &issue(&second, &name), at(2)).await.unwrap();
        let happened = again == Rotation::AlreadyRotated;
        for (token, counts) in [(&first, happened), (&second, !happened)] {
            assert_eq!(is_known(&stores, token, &name).await, (counts, counts));
        }
    }
}

/// Whether a refresh token and an access token of this name are known.
async fn is_known(stores: &Stores, name: &str, of: &str) -> (bool, bool) {
    let refresh = stores.tokens.find_refresh(&refresh_token(name).digest).await.unwrap();
    let access = stores.tokens.find_access(&access_token(name, Some(of)).digest).await.unwrap();
    (refresh.is_some(), access.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_is_dropped_at_any_moment_leaves_nothing_half_done() {
    leaves_nothing_half_done(redis_url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_is_dropped_at_any_moment_leaves_nothing_half_done_in_a_cluster() {
    leaves_nothing_half_done(redis_cluster_url()).await;
}

#[tokio::test]
async fn after_its_connections_were_cut_the_store_goes_on() {
    let server = PrivateRedis::start(&[]);
    let stores = open(&server.url()).await;
    redeemed(&stores, "a").await;
    let _: i64 = ask(&server, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    assert!(stores.tokens.find_refresh(&refresh_token("a").digest).await.unwrap().is_some());
    assert_eq!(rotate(&stores, "a", "b", "a").await.unwrap(), Rotation::Rotated);
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable_and_knows_everything_when_it_is_back() {
    let mut server = PrivateRedis::start(&[]);
    let stores = open(&server.url()).await;
    redeemed(&stores, "a").await;
    stores.tokens.revoke_grant(&grant_id("a"), revocation(at(2))).await.unwrap();
    redeemed(&stores, "b").await;
    let verified = verified_refresh(&stores, "b").await;
    server.kill();
    for _ in 0..3 {
        assert!(is_unavailable(stores.tokens.rotate(&verified, b"x", &issue("c", "b"), at(2)).await));
        assert!(is_unavailable(stores.tokens.find_refresh(&refresh_token("a").digest).await));
        assert!(is_unavailable(stores.clients.ping().await));
    }
    server.start_again();
    stores.tokens.ping().await.unwrap();
    assert!(!stores.tokens.find_grant(&grant_id("a")).await.unwrap().unwrap().is_active());
    assert_eq!(rotate(&stores, "b", "c", "b").await.unwrap(), Rotation::Rotated);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable_in_time_and_answers_later() {
    let server = PrivateRedis::start(&[]);
    let stores = open(&format!("{}?response_timeout=200ms&connect_timeout=200ms", server.url())).await;
    redeemed(&stores, "a").await;
    server.signal("STOP");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let stores = stores.clone();
        calls.spawn(async move { is_unavailable(stores.tokens.find_grant(&grant_id("a")).await) });
    }
    // Each call waits for one answer and one attempt to connect, and not for all the others.
    let outcomes = tokio::time::timeout(Duration::from_secs(10), calls.join_all()).await.unwrap();
    assert!(outcomes.into_iter().all(|unavailable| unavailable));
    assert!(is_unavailable(stores.tokens.revoke_grant(&grant_id("b"), revocation(at(2))).await));
    server.signal("CONT");
    stores.tokens.ping().await.unwrap();
    assert!(stores.tokens.find_grant(&grant_id("a")).await.unwrap().unwrap().is_active());
}

/// The change may have been made; but whoever asked for it is not told that it was.
#[tokio::test]
async fn a_change_that_no_replica_confirms_is_unavailable() {
    let (_, prefix) = own(&redis_url()).await;
    let stores = open(&format!("{}?prefix={prefix}&wait_replicas=1&wait_timeout=10ms", redis_url())).await;
    assert!(is_unavailable(stores.tokens.open_grant(&grant("a"), &code("a")).await));
    assert!(is_unavailable(stores.tokens.revoke_access(&token_id("jwt"), at(60)).await));
    assert!(is_unavailable(stores.accounts.create_user(&user("ada")).await));
    assert_eq!(stores.tokens.standing(&token_id("other"), None).await.unwrap(), Standing::Good);
}

#[tokio::test]
async fn a_password_is_in_no_error() {
    let server = PrivateRedis::start(&["--requirepass", "correct-horse"]);
    let port = server.port();
    for url in [format!("redis://:hunter2@127.0.0.1:{port}"), format!("redis://gate:hunter2@127.0.0.1:{port}/1")] {
        let error = Stores::open(&url).await.unwrap_err();
        assert!(matches!(error, OpenError::Database(_)));
        assert!(!told(&error).contains("hunter2"), "{}", told(&error));
    }
    let error = check_url("redis://u:hunter2@h?unknown=1").unwrap_err();
    assert!(!told(&error).contains("hunter2"));
    let stores = open(&format!("redis://:correct-horse@127.0.0.1:{port}")).await;
    assert!(!format!("{stores:?}").contains("correct-horse"));
    stores.tokens.ping().await.unwrap();
    // The password is changed under a server that runs, and then changed back.
    while_locked_out(&server, &stores).await;
    stores.tokens.ping().await.unwrap();
}

/// Cuts every connection while the password is another one.
async fn while_locked_out(server: &PrivateRedis, stores: &Stores) {
    let client = Client::open(format!("redis://:correct-horse@127.0.0.1:{}", server.port())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut tell = async |words: &[&str]| -> redis::Value {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    };
    tell(&["CONFIG", "SET", "requirepass", "another"]).await;
    tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    let outcome = stores.tokens.find_grant(&grant_id("a")).await;
    let Err(StoreError::Unavailable(error)) = outcome else { unreachable!("{outcome:?}") };
    assert!(!told(error.as_ref()).contains("correct-horse"));
    tell(&["CONFIG", "SET", "requirepass", "correct-horse"]).await;
}

/// What ends somebody's rights needs next to no room and is let through.
#[tokio::test]
async fn a_full_server_is_unavailable_and_still_revokes() {
    let server = PrivateRedis::start(&[]);
    let stores = open(&server.url()).await;
    redeemed(&stores, "a").await;
    let () = ask(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(is_unavailable(stores.tokens.open_grant(&grant("b"), &code("b")).await));
    assert!(is_unavailable(rotate(&stores, "a", "c", "a").await));
    assert!(is_unavailable(stores.accounts.create_user(&user("ada")).await));
    assert!(is_unavailable(stores.tokens.ping().await));
    assert!(stores.tokens.revoke_grant(&grant_id("a"), revocation(at(3))).await.unwrap());
    let () = ask(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    stores.tokens.ping().await.unwrap();
    assert!(!stores.tokens.find_grant(&grant_id("a")).await.unwrap().unwrap().is_active());
}

/// A grant that never came to be, because its caller died, is forgotten a day after it was due; whatever leads to something that
/// is over goes by itself.
#[tokio::test]
async fn a_purge_leaves_nothing_that_stays_for_good() {
    let server = PrivateRedis::start(&[]);
    let client = Client::open(server.url()).unwrap();
    let stores = open(&format!("{}?prefix=p:", server.url())).await;
    redeemed(&stores, "over").await;
    stores.tokens.open_grant(&grant("unused"), &code("unused")).await.unwrap();
    stores.tokens.open_grant(&grant("never"), &code("never")).await.unwrap();
    let _: i64 = ask(&server, &["DEL", "p:{never}:grant"]).await;
    stores.tokens.record_access(&access_token("alone", None)).await.unwrap();
    for now in [CODE_LIFETIME, REFRESH_LIFETIME, REFRESH_LIFETIME + 86_400] {
        stores.tokens.purge(at(now), 100).await.unwrap();
    }
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for key in keys(&client, "p:").await {
        let seconds: i64 = cmd("TTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!(seconds > 0, "{key} stays");
    }
}

fn openssl(directory: &std::path::Path, arguments: &str) {
    let run = Command::new("openssl").current_dir(directory).args(arguments.split(' ')).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[tokio::test]
async fn over_tls_the_server_has_to_show_a_certificate_of_the_right_authority() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    for name in ["ca", "other"] {
        let new =
            format!("req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}");
        openssl(place, &new);
    }
    openssl(place, "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=redis");
    std::fs::write(place.join("san"), "subjectAltName=IP:127.0.0.1").unwrap();
    let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile san";
    openssl(place, sign);
    let path = |name: &str| place.join(name).display().to_string();
    let server = PrivateRedis::start_tls(&path("server.pem"), &path("server.key"), &path("ca.pem"));
    let url = |ca: &str| format!("rediss://127.0.0.1:{}?ca={}", server.port(), path(ca));
    let stores = open(&url("ca.pem")).await;
    redeemed(&stores, "a").await;
    assert!(matches!(Stores::open(&url("other.pem")).await, Err(OpenError::Database(_))));
    let system = format!("rediss://127.0.0.1:{}", server.port());
    assert!(matches!(Stores::open(&system).await, Err(OpenError::Database(_))));
    assert!(matches!(Stores::open(&url("missing.pem")).await, Err(OpenError::File { .. })));
}
