//! What an attacker can do from one address without any credential.

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use gateward::{
    http::path,
    testing::server::{CHALLENGE, ISSUER, Parameters, REDIRECT},
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{ATTACKER, Outcomes, wire::Wire};
use crate::generator::{get, now, post};
use crate::program::APP;

type Attack = fn(SocketAddr, Duration) -> Pin<Box<dyn Future<Output = Outcomes> + Send>>;

/// One way to attack: to whom, and for how long.
pub(super) struct Flood {
    pub(super) name: &'static str,
    pub(super) attack: Attack,
}

pub(super) const FLOODS: [Flood; 10] = [
    Flood { name: "none", attack: |_, _| Box::pin(async { Outcomes::new() }) },
    Flood { name: "tokens, invented clients", attack: |to, end| Box::pin(ask(to, end, invented_client)) },
    Flood { name: "tokens, wrong secrets of a real client", attack: |to, end| Box::pin(ask(to, end, wrong_secret)) },
    Flood { name: "refresh tokens, invented", attack: |to, end| Box::pin(ask(to, end, invented_refresh_token)) },
    Flood { name: "registrations", attack: |to, end| Box::pin(ask(to, end, registration)) },
    Flood { name: "paths where nothing is", attack: |to, end| Box::pin(ask(to, end, invented_path)) },
    Flood { name: "password spraying", attack: |to, end| Box::pin(spray(to, end)) },
    Flood { name: "huge heads", attack: |to, end| Box::pin(ask(to, end, huge_head)) },
    Flood { name: "connections, one request each", attack: |to, end| Box::pin(ask(to, end, closing)) },
    Flood { name: "slowloris, 2,000 connections", attack: |to, end| Box::pin(drip(to, end)) },
];

/// Requests that wait for their answer at the same time.
const CONNECTIONS: usize = 32;

/// Asks as fast as it gets answers.
async fn ask(to: SocketAddr, end: Duration, request: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Outcomes {
    let (request, until) = (Arc::new(request), Instant::from_std(now()) + end);
    let mut tasks = JoinSet::new();
    for task in 0..CONNECTIONS {
        let request = request.clone();
        tasks.spawn(async move {
            let (mut outcomes, mut connection, mut number) = (Outcomes::new(), None, task);
            while let Ok(outcome) = timeout_at(until, exchange(&mut connection, to, &request(number))).await {
                *outcomes.entry(outcome.unwrap_or_else(|_| "closed".to_owned())).or_default() += 1;
                number += CONNECTIONS;
            }
            outcomes
        });
    }
    sum(tasks).await
}

async fn sum(tasks: JoinSet<Outcomes>) -> Outcomes {
    let mut all = Outcomes::new();
    for (outcome, count) in tasks.join_all().await.into_iter().flatten() {
        *all.entry(outcome).or_default() += count;
    }
    all
}

/// The status of the answer.
async fn exchange(connection: &mut Option<Wire>, to: SocketAddr, request: &[u8]) -> io::Result<String> {
    let mut wire = match connection.take() {
        Some(wire) => wire,
        None => Wire::open(ATTACKER, to).await?,
    };
    // A server that has heard enough answers before everything is sent.
    let sent = wire.send(request).await;
    let answer = wire.answer().await?;
    if answer.keeps && sent.is_ok() {
        *connection = Some(wire);
    }
    Ok(answer.status)
}

fn token(form: &Parameters) -> Vec<u8> {
    post(path::TOKEN, None, &form.encode())
}

fn invented_client(number: usize) -> Vec<u8> {
    let id = format!("nobody-{number}");
    let form = [("grant_type", "client_credentials"), ("client_id", &*id), ("client_secret", "guess")];
    token(&Parameters::from(form))
}

fn wrong_secret(number: usize) -> Vec<u8> {
    let secret = format!("guess-{number}");
    let form = [("grant_type", "client_credentials"), ("client_id", "spare"), ("client_secret", &*secret)];
    token(&Parameters::from(form))
}

fn invented_refresh_token(number: usize) -> Vec<u8> {
    token(&Parameters::refresh(&format!("gw_rt_{number}")).add("client_id", APP))
}

fn registration(number: usize) -> Vec<u8> {
    let metadata = json!({ "client_name": format!("client {number}"), "redirect_uris": [REDIRECT] }).to_string();
    format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{metadata}",
        path::REGISTER,
        metadata.len()
    )
    .into_bytes()
}

fn invented_path(number: usize) -> Vec<u8> {
    get(&format!("/wp-admin/{number}"))
}

fn closing(_: usize) -> Vec<u8> {
    format!("GET {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", path::JWKS).into_bytes()
}

fn huge_head(_: usize) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(100_000)).into_bytes()
}

/// One password for many names.
async fn spray(to: SocketAddr, end: Duration) -> Outcomes {
    let query = Parameters::from([
        ("response_type", "code"),
        ("client_id", APP),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    let mut wire = Wire::open(ATTACKER, to).await.expect("a connection");
    wire.send(&get(&format!("{}?{}", path::AUTHORIZE, query.encode()))).await.expect("a question");
    let page = wire.answer().await.expect("the login page").text;
    let between = |before: &str, after: &str| {
        let (_, rest) = page.split_once(before).unwrap_or_else(|| panic!("no {before} in {page}"));
        rest.split(after).next().unwrap_or_default().to_owned()
    };
    let (cookie, sealed) = (between("set-cookie: ", ";"), between("name=\"request\" value=\"", "\""));
    ask(to, end, move |number| {
        let name = format!("user-{number}");
        let form =
            Parameters::from([("request", &*sealed), ("username", &*name), ("password", "Summer2025!")]).encode();
        format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\norigin: {ISSUER}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            path::LOGIN,
            form.len()
        )
        .into_bytes()
    })
    .await
}

/// Half a head on each of many connections, and another byte now and then.
async fn drip(to: SocketAddr, end: Duration) -> Outcomes {
    const SLOW: usize = 2_000;
    let until = Instant::from_std(now()) + end;
    let mut tasks = JoinSet::new();
    for _ in 0..SLOW {
        tasks.spawn(async move {
            let outcome = match timeout_at(until, dripping(to)).await {
                Ok(()) => "closed",
                Err(_) => "still open",
            };
            Outcomes::from([(outcome.to_owned(), 1)])
        });
    }
    sum(tasks).await
}

/// Until it is closed.
async fn dripping(to: SocketAddr) {
    let Ok(mut wire) = Wire::open(ATTACKER, to).await else { return };
    if wire.send(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ").await.is_err() {
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            // Nothing is ever answered.
            _ = wire.answer() => return,
            _ = ticks.tick() => {}
        }
        if wire.send(b"y").await.is_err() {
            return;
        }
    }
}
