//! How many connections there may be, and how long the parts of a request may take.

use std::{net::SocketAddr, time::Duration};

use gateward::{
    http::{
        AddressBlocks, Rejection, router,
        serve::{ConnectionLimits, ServeOptions, serve},
    },
    testing::server::TestServer,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::dial::read_to_end;

const LIVEZ: &str = "GET /livez HTTP/1.1\r\nHost: localhost:3000\r\n\r\n";

async fn listening(server: &TestServer, options: ServeOptions) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let app = server.app.clone();
    tokio::spawn(async move { serve(&app, router(&app), vec![listener], options, std::future::pending()).await });
    address
}

async fn started(options: ServeOptions) -> (TestServer, SocketAddr) {
    let server = TestServer::builder().start().await;
    let address = listening(&server, options).await;
    (server, address)
}

fn at_most(total: usize, per_address: usize) -> ServeOptions {
    let uncounted = AddressBlocks::new(["127.0.0.9/32".parse().expect("a block")]);
    ServeOptions { connections: ConnectionLimits { total, per_address, uncounted }, ..ServeOptions::default() }
}

fn patient_for(header_timeout: u64, idle_timeout: u64) -> ServeOptions {
    let [header_timeout, idle_timeout] = [header_timeout, idle_timeout].map(Duration::from_millis);
    ServeOptions { header_timeout, idle_timeout, ..ServeOptions::default() }
}

/// From another address of this machine.
async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(from.parse().expect("an address"), 0)).expect("an address of this machine");
    socket.connect(to).await.expect("a connection")
}

/// Sends what there is, and reads until the answer is there, or the end.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    // A connection that was closed at once may be reset as well.
    if stream.write_all(request.as_bytes()).await.is_err() {
        return String::new();
    }
    let mut answer = Vec::new();
    while let Ok(count) = stream.read_buf(&mut answer).await {
        if count == 0 || answer.ends_with(b"}") {
            break;
        }
    }
    String::from_utf8(answer).expect("UTF-8")
}

async fn is_served(stream: &mut TcpStream) -> bool {
    ask(stream, LIVEZ).await.starts_with("HTTP/1.1 200 ")
}

async fn rest(mut stream: TcpStream) -> String {
    String::from_utf8(read_to_end(&mut stream).await).expect("UTF-8")
}

/// Until the server has noticed that a connection is gone.
async fn until_served(from: &str, to: SocketAddr) {
    while !is_served(&mut connect(from, to).await).await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_address_has_its_share_of_connections_and_others_have_theirs() {
    let (server, address) = started(at_most(100, 2)).await;
    let mut held = [connect("127.0.0.2", address).await, connect("127.0.0.2", address).await];
    for stream in &mut held {
        assert!(is_served(stream).await);
    }
    assert!(!is_served(&mut connect("127.0.0.2", address).await).await);
    assert!(is_served(&mut connect("127.0.0.3", address).await).await);
    for _ in 0..5 {
        assert!(is_served(&mut connect("127.0.0.9", address).await).await, "a proxy");
    }
    assert!(is_served(&mut held[0]).await, "who is there stays");
    assert_eq!(server.app.rejections().count(Rejection::ConnectionsOfAddress), 1);
    drop(held);
    until_served("127.0.0.2", address).await;
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once() {
    let (server, address) = started(at_most(3, 100)).await;
    let mut held = Vec::new();
    for n in 2..5 {
        let mut stream = connect(&format!("127.0.0.{n}"), address).await;
        assert!(is_served(&mut stream).await);
        held.push(stream);
    }
    assert!(!is_served(&mut connect("127.0.0.7", address).await).await);
    assert_eq!(server.app.rejections().count(Rejection::Connections), 1);
    held.pop();
    until_served("127.0.0.7", address).await;
}

#[tokio::test]
async fn whoever_drips_a_head_is_closed_and_others_are_served_meanwhile() {
    let (server, address) = started(patient_for(300, 600_000)).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(connect("127.0.0.2", address).await);
    }
    let mut dripping = connect("127.0.0.2", address).await;
    dripping.write_all(b"POST /oauth/token HTTP/1.1\r\nHost: loc").await.expect("half a head");
    let mut honest = connect("127.0.0.3", address).await;
    assert!(is_served(&mut honest).await);
    assert_eq!(rest(dripping).await, "");
    for stream in silent {
        assert_eq!(rest(stream).await, "");
    }
    assert!(is_served(&mut honest).await, "an idle connection is not a slow head");
    assert_eq!(server.app.rejections().count(Rejection::SlowHead), 51);
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_closed_in_the_end() {
    let (server, address) = started(patient_for(600_000, 300)).await;
    let mut idle = connect("127.0.0.2", address).await;
    assert!(is_served(&mut idle).await);
    assert_eq!(rest(idle).await, "");
    assert_eq!(server.app.rejections().count(Rejection::SlowHead), 0);
}

#[tokio::test]
async fn whoever_drips_a_body_is_told_and_others_are_served_meanwhile() {
    let server =
        TestServer::builder().options(|options| options.body_timeout = Duration::from_millis(300)).start().await;
    let address = listening(&server, ServeOptions::default()).await;
    let mut slow = connect("127.0.0.2", address).await;
    let head = "POST /oauth/token HTTP/1.1\r\nHost: localhost:3000\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Content-Length: 100\r\n\r\ngrant";
    slow.write_all(head.as_bytes()).await.expect("a head");
    assert!(is_served(&mut connect("127.0.0.3", address).await).await);
    let answer = rest(slow).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(server.app.rejections().count(Rejection::SlowBody), 1);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let (server, address) = started(ServeOptions::default()).await;
    let begin = "GET /livez HTTP/1.1\r\nHost: localhost:3000\r\n";
    // As much as is read, so that nothing is left that would turn the end into a reset.
    let long = format!("{begin}x: {}", "y".repeat(64 * 1024 - begin.len() - 3));
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    for request in [long, format!("{begin}{many}\r\n")] {
        let mut stream = connect("127.0.0.2", address).await;
        let answer = ask(&mut stream, &request).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    until_served("127.0.0.2", address).await;
    assert_eq!(server.app.rejections().count(Rejection::LargeHead), 2);
}

#[tokio::test]
async fn a_connection_serves_many_requests_one_after_the_other() {
    let (_, address) = started(patient_for(5_000, 60_000)).await;
    let mut stream = connect("127.0.0.2", address).await;
    for _ in 0..1000 {
        assert!(is_served(&mut stream).await);
    }
    stream.write_all(LIVEZ.repeat(3).as_bytes()).await.expect("three at once");
    let mut answers = Vec::new();
    while answers.windows(15).filter(|window| window == b"{\"status\":\"ok\"}").count() < 3 {
        assert_ne!(stream.read_buf(&mut answers).await.expect("an answer"), 0);
    }
}
