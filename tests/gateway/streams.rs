//! Streams and WebSockets, which outlive the request that opened them but not its token.

use std::net::SocketAddr;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{HOST, World};

async fn next(body: &mut Body) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

async fn open_stream(world: &World, token: &str) -> Body {
    let response = world.call(Method::GET, "/mcp/events").bearer(token).begin().await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    response.into_body()
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let world = World::start().await;
    let mut body = open_stream(&world, &world.token("mcp:read").await).await;
    for text in ["one", "two"] {
        world.upstream.event(text);
        assert_eq!(next(&mut body).await, Some(format!("data: {text}\n\n")));
    }
}

#[tokio::test]
async fn an_event_stream_ends_when_its_token_is_revoked() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let mut body = open_stream(&world, &token).await;
    world.upstream.event("one");
    assert!(next(&mut body).await.is_some());
    world.revoke(&token).await;
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn an_event_stream_ends_when_its_token_expires() {
    let world = World::start().await;
    let mut body = open_stream(&world, &world.token("mcp:read").await).await;
    world.server.pass(3600);
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn an_event_stream_outlives_a_store_that_is_away_and_not_its_token() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let mut body = open_stream(&world, &token).await;
    world.faults.take_down();
    let before = world.faults.calls("tokens.standing");
    let reading = tokio::spawn(async move { (next(&mut body).await, body) });
    // The token is looked at again, and nobody can say.
    while world.faults.calls("tokens.standing") < before + 2 {
        tokio::task::yield_now().await;
    }
    world.upstream.event("still here");
    let (event, mut body) = reading.await.unwrap();
    assert!(event.is_some());
    world.faults.heal();
    world.revoke(&token).await;
    assert_eq!(next(&mut body).await, None);
}

/// A WebSocket's handshake, as far as a gateway is concerned.
async fn open_socket(address: SocketAddr, token: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /mcp/socket HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(answer).unwrap())
}

/// Says something, and hears it twice.
async fn assert_open(stream: &mut TcpStream) {
    stream.write_all(b"hello").await.unwrap();
    let mut heard = [0; 10];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hellohello");
}

async fn assert_closes(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // An end or a reset, whatever the system makes of it.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_websocket_is_open_for_as_long_as_its_token_counts() {
    let world = World::start().await;
    let (address, _stop, _) = world.listen().await;
    let token = world.token("mcp:read mcp:execute").await;
    let (mut stream, answer) = open_socket(address, &token).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert_open(&mut stream).await;
    world.server.pass(3600);
    assert_closes(stream).await;
}

#[tokio::test]
async fn a_websocket_is_closed_when_its_token_is_revoked() {
    let world = World::start().await;
    let (address, _stop, _) = world.listen().await;
    let token = world.token("mcp:read mcp:execute").await;
    let (mut stream, _) = open_socket(address, &token).await;
    assert_open(&mut stream).await;
    world.revoke(&token).await;
    assert_closes(stream).await;
}

#[tokio::test]
async fn whoever_opens_a_websocket_could_send_anything_and_needs_the_scope_for_it() {
    let world = World::start().await;
    let (address, _stop, _) = world.listen().await;
    let (_, answer) = open_socket(address, &world.token("mcp:read").await).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let (_, answer) = open_socket(address, "nonsense").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn an_orderly_end_does_not_wait_for_streams() {
    let world = World::start().await;
    let (address, stop, serving) = world.listen().await;
    let token = world.token("mcp:read mcp:execute").await;
    let (mut socket, _) = open_socket(address, &token).await;
    assert_open(&mut socket).await;
    let mut body = open_stream(&world, &token).await;
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert_eq!(next(&mut body).await, None);
    assert_closes(socket).await;
}

#[tokio::test]
async fn a_rule_for_messages_of_one_http_method_holds_for_a_websocket_too() {
    let world = World::with(|mut site| {
        for rule in &mut site.rules.rules {
            rule.methods = vec!["POST".into()];
        }
        site
    })
    .await;
    let (address, _stop, _) = world.listen().await;
    let (_, answer) = open_socket(address, &world.token("mcp:read").await).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn whoever_takes_nothing_of_an_event_stream_does_not_keep_it_open() {
    let world = World::start().await;
    let (address, _stop, _) = world.listen().await;
    let token = world.token("mcp:read").await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /mcp/events HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'H');
    // More than two kernels keep for anybody.
    let long = "x".repeat(1 << 20);
    for _ in 0..32 {
        world.upstream.event(&long);
    }
    world.upstream.deserted().await;
}
