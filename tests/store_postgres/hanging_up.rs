//! Whoever hangs up in the middle of a call: it is done or undone, and never half.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use gateward::{
    domain::{
        account::UserStatus,
        client::{ClientEntry, Removal},
        refresh::RefreshState,
    },
    port::store::{Insertion, Redemption, Rotation, StoreResult},
    store::Stores,
    testing::fixture::{NOW, at, dynamic_client, refresh_token, session, user, user_id},
};
use sqlx::PgConnection;
use tokio::task::JoinSet;

use crate::{engines, has_both, issue, open_grant, raw, redeemed_grant, with};

/// Drops a call at its `polls`-th wait, as the server does with a request whose client hangs up.
pub(crate) async fn hang_up<T>(call: impl Future<Output = StoreResult<T>>, polls: usize) -> Option<T> {
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
pub(crate) async fn assert_no_write_is_lost(stores: &Stores, url: &str) {
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
