//! How often the server is asked for what: calls share writes, a token and its grant are one step, and nobody is asked for whom left.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    task::{Context, Waker},
};

use gateward::{
    port::store::Rotation,
    testing::fixture::{at, code, grant, grant_id, refresh_token},
};

use crate::{
    engines::redis_url,
    hang_up, issue, open, own,
    private_redis::{PrivateRedis, ask},
    redeemed, rotate, verified_refresh,
};

/// How often the server has found something to read, on any connection.
async fn reads(server: &PrivateRedis) -> u64 {
    let info: String = ask(server, &["INFO", "stats"]).await;
    let reads = info.lines().find_map(|line| line.strip_prefix("total_reads_processed:")).unwrap();
    reads.trim().parse().unwrap()
}

#[tokio::test]
async fn calls_that_come_in_the_same_moment_are_written_together_and_each_has_its_own_answer() {
    let server = PrivateRedis::start(&[]);
    let stores = open(&server.url()).await;
    for number in 0..20 {
        stores.tokens.open_grant(&grant(&number.to_string()), &code(&number.to_string())).await.unwrap();
    }
    let before = reads(&server).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..200 {
        let stores = stores.clone();
        calls.spawn(async move {
            let name = (number % 40).to_string();
            let found = stores.tokens.find_grant(&grant_id(&name)).await.unwrap();
            (found.map(|grant| grant.id), (number % 40 < 20).then(|| grant_id(&name)))
        });
    }
    for (found, expected) in calls.join_all().await {
        assert_eq!(found, expected);
    }
    let reads = reads(&server).await - before;
    assert!(reads < 20, "{reads} reads for 200 calls");
}

/// How often the server was sent each command, or a script made it.
async fn commands(server: &PrivateRedis) -> BTreeMap<String, u64> {
    let info: String = ask(server, &["INFO", "commandstats"]).await;
    let calls = |line: &str| {
        let (name, calls) = line.trim().strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let (calls, _) = calls.split_once(',')?;
        Some((name.to_owned(), calls.parse().ok()?))
    };
    info.lines().filter_map(calls).filter(|(name, _)| !name.contains("info") && !name.contains("hello")).collect()
}

#[tokio::test]
async fn a_token_is_looked_up_with_its_grant_in_one_step() {
    let server = PrivateRedis::start(&[]);
    let stores = open(&server.url()).await;
    redeemed(&stores, "a").await;
    let look_up = async || {
        assert!(stores.tokens.find_code(&code("a").digest).await.unwrap().is_some());
        assert!(stores.tokens.find_refresh(&refresh_token("a").digest).await.unwrap().is_some());
        assert!(stores.tokens.find_refresh(&refresh_token("unknown").digest).await.unwrap().is_none());
    };
    look_up().await;
    let () = ask(&server, &["CONFIG", "RESETSTAT"]).await;
    look_up().await;
    let mut sent = commands(&server).await;
    sent.remove("client|setinfo");
    sent.remove("config|resetstat");
    let expected = [("evalsha", 3), ("get", 3), ("hmget", 2)].map(|(name, calls)| (name.to_owned(), calls));
    assert_eq!(sent, BTreeMap::from(expected));
}

#[tokio::test]
async fn whatever_a_grant_is_called_its_tokens_lead_to_it() {
    let (stores, _) = own(&redis_url()).await;
    for name in ["}", "{}", "a}b", "%7D", "~", "a%{%b", "-_.:/@"] {
        redeemed(&stores, name).await;
        let found = stores.tokens.find_refresh(&refresh_token(name).digest).await.unwrap().unwrap();
        assert_eq!(found.grant.id, grant_id(name));
    }
}

/// For example a proxy before several servers, or one who may not run scripts.
#[tokio::test]
async fn where_a_script_may_not_follow_an_entry_it_is_followed_in_two_steps() {
    let server = PrivateRedis::start(&[]);
    redeemed(&open(&server.url()).await, "a").await;
    let rules = ["reset", "on", ">narrow", "~*", "&*", "+@all", "-eval", "-evalsha"];
    let () = ask(&server, &[["ACL", "SETUSER", "narrow"].as_slice(), &rules].concat()).await;
    let stores = open(&format!("redis://narrow:narrow@127.0.0.1:{}", server.port())).await;
    for _ in 0..3 {
        assert!(stores.tokens.find_refresh(&refresh_token("a").digest).await.unwrap().is_some());
        assert!(stores.tokens.find_code(&code("a").digest).await.unwrap().is_some());
    }
    let info: String = ask(&server, &["INFO", "commandstats"]).await;
    let tried = info.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
    assert!(tried.contains("rejected_calls=1,"), "it is tried once: {tried}");
}

/// In the same moment: nothing has been written when the caller leaves.
#[tokio::test]
async fn a_call_whose_caller_left_before_it_was_written_is_not_made() {
    let server = PrivateRedis::start(&[]);
    let stores = open(&server.url()).await;
    redeemed(&stores, "a").await;
    let verified = verified_refresh(&stores, "a").await;
    {
        let issue = issue("b", "a");
        let mut call = pin!(stores.tokens.rotate(&verified, b"sealed", &issue, at(2)));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    stores.tokens.ping().await.unwrap();
    assert_eq!(rotate(&stores, "a", "c", "a").await.unwrap(), Rotation::Rotated);
}

#[tokio::test]
async fn a_call_whose_caller_left_while_the_store_was_connecting_is_not_made() {
    let server = PrivateRedis::start(&[]);
    let stores = open(&server.url()).await;
    redeemed(&stores, "a").await;
    let verified = verified_refresh(&stores, "a").await;
    let _: i64 = ask(&server, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    server.signal("STOP");
    // The server's machine accepts the connection, the server does not answer.
    assert!(hang_up(stores.tokens.rotate(&verified, b"sealed", &issue("b", "a"), at(2)), 50).await.is_none());
    server.signal("CONT");
    stores.tokens.ping().await.unwrap();
    assert_eq!(rotate(&stores, "a", "c", "a").await.unwrap(), Rotation::Rotated);
}
