//! The tools themselves: an engine that was killed, a way that was cut, a load balancer that notices, a clock that is wrong.

use std::{io::ErrorKind, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    Options, Server,
    engine::{
        haproxy::INSTANCE,
        installed,
        postgres::{self, Postgres},
        proxy::Proxy,
        redis::{self, Redis},
    },
    fleet::Fleet,
    oauth::Wire,
};

#[test]
fn a_postgres_that_was_stopped_has_its_data_when_it_is_started_again() {
    let mut postgres = Postgres::start();
    assert_eq!(postgres.query("create table t as select 42 as x"), Ok(String::new()));
    postgres.stop();
    assert!(postgres.query("select x from t").is_err());
    postgres.start_again();
    assert_eq!(postgres.query("select x from t"), Ok("42".to_owned()));
    assert!(postgres.log().contains("database system was shut down"), "{}", postgres.log());
}

#[test]
fn a_postgres_that_was_killed_recovers_what_was_committed() {
    let mut postgres = Postgres::start();
    assert_eq!(postgres.query("create table t as select 42 as x"), Ok(String::new()));
    postgres.kill();
    postgres.start_again();
    assert_eq!(postgres.query("select x from t"), Ok("42".to_owned()));
    assert!(postgres.log().contains("automatic recovery in progress"), "{}", postgres.log());
    assert_eq!(postgres.query("show fsync"), Ok("on".to_owned()));
}

#[test]
fn a_redis_that_was_killed_has_what_it_answered_for() {
    let mut redis = Redis::start();
    assert_eq!(redis.command(&["set", "x", "42"]), Ok("OK".to_owned()));
    redis.kill();
    assert!(redis.command(&["get", "x"]).is_err());
    redis.start_again();
    assert_eq!(redis.command(&["get", "x"]), Ok("42".to_owned()));
    redis.stop();
    redis.start_again();
    assert_eq!(redis.command(&["get", "x"]), Ok("42".to_owned()));
}

/// What a Postgres client says first: whether it may use TLS, and who it is (protocol 3.0).
const TLS_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const STARTUP: &[u8] = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";

#[tokio::test]
async fn an_engine_that_is_paused_answers_when_it_goes_on() {
    let (mut postgres, mut redis) = (Postgres::start(), Redis::start());
    let mut to_postgres = TcpStream::connect(postgres.address()).await.unwrap();
    to_postgres.write_all(TLS_REQUEST).await.unwrap();
    assert_eq!(to_postgres.read_u8().await.unwrap(), b'N');
    postgres.pause();
    redis.pause();
    // The process of this connection is paused, too, and the kernel goes on taking new ones.
    to_postgres.write_all(STARTUP).await.unwrap();
    let mut to_redis = TcpStream::connect(redis.address()).await.unwrap();
    to_redis.write_all(b"PING\r\n").await.unwrap();
    for waiting in [&to_postgres, &to_redis] {
        assert!(waiting.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    }
    postgres.resume();
    redis.resume();
    assert_eq!(to_postgres.read_u8().await.unwrap(), b'R', "how to authenticate");
    assert_eq!(to_redis.read_u8().await.unwrap(), b'-', "not without a password");
}

#[test]
fn an_engine_that_is_paused_can_be_killed() {
    let mut postgres = Postgres::start();
    postgres.pause();
    postgres.kill();
    postgres.start_again();
    assert_eq!(postgres.query("select 42"), Ok("42".to_owned()));
}

#[test]
fn a_way_leads_to_each_engine() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let (to_postgres, to_redis) = (Proxy::start(postgres.address()), Proxy::start(redis.address()));
    assert_eq!(postgres::query(&to_postgres.url(&postgres.url()), "select 42"), Ok("42".to_owned()));
    assert_eq!(redis::command(&to_redis.url(&redis.url()), &["ping"]), Ok("PONG".to_owned()));
}

#[test]
fn a_commit_whose_answer_was_lost_has_happened() {
    let postgres = Postgres::start();
    assert_eq!(postgres.query("create table t (x int)"), Ok(String::new()));
    let proxy = Proxy::start(postgres.address());
    proxy.lose_reply_to(b"insert");
    let lost = postgres::query(&proxy.url(&postgres.url()), "insert into t values (42)");
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(proxy.happened(), 1);
    assert_eq!(postgres.query("select x from t"), Ok("42".to_owned()));
}

/// Answers each connection with what it was sent.
async fn echo() -> (TcpListener, Proxy) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    (listener, proxy)
}

async fn connect(listener: &TcpListener, proxy: &Proxy) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.address()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn a_reply_is_cut_after_so_many_bytes_on_any_connection() {
    let (listener, proxy) = echo().await;
    let (mut first, mut to_first) = connect(&listener, &proxy).await;
    let (mut second, mut to_second) = connect(&listener, &proxy).await;
    proxy.cut_after(5);
    to_first.write_all(b"abc").await.unwrap();
    let mut read = [0; 3];
    first.read_exact(&mut read).await.unwrap();
    to_second.write_all(b"defghi").await.unwrap();
    let mut read = Vec::new();
    second.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"de");
    first.read(&mut [0]).await.expect_err("it was cut, too");
    assert_eq!(proxy.happened(), 1);

    let (mut third, mut to_third) = connect(&listener, &proxy).await;
    to_third.write_all(b"jkl").await.unwrap();
    third.read_exact(&mut [0; 3]).await.unwrap();
}

#[tokio::test]
async fn a_way_that_was_cut_lets_new_connections_through_and_one_that_refuses_does_not() {
    let (listener, proxy) = echo().await;
    let (mut old, _to_old) = connect(&listener, &proxy).await;
    proxy.cut();
    old.read(&mut [0]).await.expect_err("it was cut");
    let (mut new, mut to_new) = connect(&listener, &proxy).await;
    proxy.refuse();
    assert!(TcpStream::connect(proxy.address()).await.is_err());
    to_new.write_all(b"x").await.unwrap();
    new.read_exact(&mut [0]).await.unwrap();
    proxy.accept();
    connect(&listener, &proxy).await;
}

#[tokio::test]
async fn a_slow_way_delays_replies_only() {
    let (listener, proxy) = echo().await;
    let (mut client, mut server) = connect(&listener, &proxy).await;
    proxy.delay(Duration::from_secs(3600));
    client.write_all(b"x").await.unwrap();
    server.read_exact(&mut [0]).await.unwrap();
    server.write_all(b"y").await.unwrap();
    assert!(client.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
}

async fn served_by(wire: &Wire) -> (u16, Option<String>) {
    let answer = wire.get("/livez").await;
    let by = answer.headers.get(INSTANCE).map(|name| name.to_str().unwrap().to_owned());
    (answer.status.as_u16(), by)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_balancer_takes_out_an_instance_that_is_not_ready_and_puts_it_back() {
    let mut fleet = Fleet::start(2, Options::new().set("GATEWARD_SERVER__DRAIN_DELAY", "10m")).await;
    let wire = Wire::to(fleet.instance(0));
    assert_eq!(wire.issuer, fleet.url());
    let mut both = [served_by(&wire).await, served_by(&wire).await];
    both.sort();
    assert_eq!(both, [(200, Some("0".to_owned())), (200, Some("1".to_owned()))]);

    // It goes on answering, and says at /readyz that it wants no more.
    fleet.instance(0).terminate();
    fleet.balancer().until_out(0).await;
    for _ in 0..4 {
        assert_eq!(served_by(&wire).await, (200, Some("1".to_owned())));
    }
    assert_eq!(Wire::past_the_balancer(fleet.instance(0)).get("/readyz").await.status, 503);

    fleet.instance_mut(0).kill();
    fleet.instance_mut(0).restart();
    fleet.balancer().until_in(0).await;
    let mut both = [served_by(&wire).await, served_by(&wire).await];
    both.sort();
    assert_eq!(both, [(200, Some("0".to_owned())), (200, Some("1".to_owned()))]);
}

/// When an access token was issued, by the clock of the server.
async fn issued_at(server: &Server) -> i64 {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let worker = server.create_client(&["--name", "w", "--grant", "client_credentials", "--scope", "mcp:execute"]);
    let token = Wire::to(server).client_credentials(&worker).await.text("access_token");
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("a JWT")).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["iat"].as_i64().expect("a number")
}

#[tokio::test]
async fn a_clock_that_is_ahead_shows_in_tokens_and_leaves_timers_alone() {
    let right = Server::start(Options::new());
    let ahead = Duration::from_secs(30);
    let mut wrong = Server::start(Options::new().with_clock_ahead(ahead).set("GATEWARD_SERVER__DRAIN_DELAY", "1s"));
    let before = issued_at(&right).await;
    let between = issued_at(&wrong).await;
    let after = issued_at(&right).await;
    assert!((before + 30..=after + 30).contains(&between), "{before} {between} {after}");
    wrong.terminate();
    assert_eq!(wrong.wait().code(), Some(0));
}

/// Its names are those of containers, which nobody knows here.
#[test]
fn the_example_of_a_load_balancer_is_one_that_haproxy_takes() {
    let example = include_str!("../../config/haproxy.example.cfg");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("haproxy.cfg");
    let named = ["one gateward-1:", "two gateward-2:", "three gateward-3:"];
    let local = named.iter().fold(example.to_owned(), |text, name| {
        let (server, _) = name.split_once(' ').unwrap();
        assert!(text.contains(name), "{name}");
        text.replace(name, &format!("{server} 127.0.0.1:"))
    });
    std::fs::write(&file, local).unwrap();
    let judged = std::process::Command::new(installed("GATEWARD_TEST_HAPROXY")).arg("-c").arg("-f").arg(&file).output();
    let judged = judged.unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
}
