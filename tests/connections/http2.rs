//! What clients of HTTP/2 can do to a connection that those of HTTP/1.1 cannot.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header::HOST},
    routing::{any, get},
};
use bytes::Bytes;
use gateward::http::serve::ServeOptions;
use h2::{Reason, client};
use tokio::io::AsyncWriteExt;

use crate::{
    dial::{dial, dial_http2, read_to_end, trusting},
    host::{Certified, Host, NAME},
};

const SOON: Duration = Duration::from_millis(300);

fn request(path: &str) -> Request<()> {
    Request::get(format!("https://{NAME}{path}")).body(()).unwrap()
}

#[tokio::test]
async fn the_host_is_where_everything_else_looks_for_it() {
    let certified = Certified::new();
    let echo = async |headers: HeaderMap| headers[HOST].to_str().unwrap().to_owned();
    let host = Host::start_with(Router::new().route("/host", get(echo)), certified.options()).await;
    let (mut requests, connection) = dial_http2(host.address, &certified.authority, &client::Builder::new()).await;
    tokio::spawn(connection);
    let (response, _) = requests.send_request(request("/host"), true).unwrap();
    let said = response.await.unwrap().into_body().data().await.unwrap().unwrap();
    assert_eq!(said, NAME);
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_take_is_given_up_and_others_go_on() {
    let certified = Certified::new();
    let long = async || Body::from(vec![0; 1 << 20]);
    let options = ServeOptions { stall_timeout: SOON, ..certified.options() };
    let host = Host::start_with(Router::new().route("/long", get(long)), options).await;
    let mut builder = client::Builder::new();
    // Nothing is let in until the client says so.
    builder.initial_window_size(0);
    let (mut requests, connection) = dial_http2(host.address, &certified.authority, &builder).await;
    tokio::spawn(connection);
    let (stuck, _) = requests.send_request(request("/long"), true).unwrap();
    let mut stuck = stuck.await.unwrap().into_body();
    let error = stuck.data().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    let (other, _) = requests.send_request(request("/livez"), true).unwrap();
    assert_eq!(other.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_long_answer_that_is_taken_slowly_is_not_given_up() {
    let certified = Certified::new();
    let long = async || {
        let pieces = (0..64).map(|_| Ok::<_, std::convert::Infallible>(Bytes::from_static(&[7; 1024])));
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    let options = ServeOptions { stall_timeout: SOON, ..certified.options() };
    let host = Host::start_with(Router::new().route("/long", get(long)), options).await;
    let mut builder = client::Builder::new();
    builder.initial_window_size(1024);
    let (mut requests, connection) = dial_http2(host.address, &certified.authority, &builder).await;
    tokio::spawn(connection);
    let (response, _) = requests.send_request(request("/long"), true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let (mut taken, mut ticks) = (0, tokio::time::interval(SOON / 20));
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        taken += piece.len();
        ticks.tick().await;
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(taken, 64 * 1024);
}

#[tokio::test]
async fn a_connection_without_requests_is_told_to_end() {
    let certified = Certified::new();
    let options = ServeOptions { idle_timeout: SOON, header_timeout: SOON, ..certified.options() };
    let host = Host::start(options).await;
    let (mut requests, connection) = dial_http2(host.address, &certified.authority, &client::Builder::new()).await;
    let connection = tokio::spawn(connection);
    let (response, _) = requests.send_request(request("/livez"), true).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    // GOAWAY without an error, while the client could still send requests.
    connection.await.unwrap().unwrap();
    assert!(requests.ready().await.is_err());
}

#[tokio::test]
async fn a_request_that_takes_longer_than_a_connection_may_rest_is_answered() {
    let certified = Certified::new();
    let slow = async || tokio::time::timeout(SOON * 4, std::future::pending::<()>()).await.map_or("slow", |()| "never");
    let options = ServeOptions { idle_timeout: SOON, header_timeout: SOON, ..certified.options() };
    let host = Host::start_with(Router::new().route("/slow", get(slow)), options).await;
    let (mut requests, connection) = dial_http2(host.address, &certified.authority, &client::Builder::new()).await;
    tokio::spawn(connection);
    let (response, _) = requests.send_request(request("/slow"), true).unwrap();
    assert_eq!(response.await.unwrap().into_body().data().await.unwrap().unwrap(), "slow");
}

#[tokio::test]
async fn whoever_says_nothing_after_the_handshake_or_does_not_hear_of_the_end_is_cut_off() {
    let certified = Certified::new();
    let options = ServeOptions { idle_timeout: SOON, header_timeout: SOON, ..certified.options() };
    let host = Host::start(options).await;
    let deaf = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for said in [&b""[..], deaf] {
        let mut stream = dial(host.address, trusting(&certified.authority, &[b"h2"])).await;
        stream.write_all(said).await.unwrap();
        read_to_end(&mut stream).await;
    }
}

#[tokio::test]
async fn a_flood_of_withdrawn_requests_ends_the_connection() {
    let certified = Certified::new();
    let host = Host::start(certified.options()).await;
    let (mut requests, connection) = dial_http2(host.address, &certified.authority, &client::Builder::new()).await;
    let connection = tokio::spawn(connection);
    for _ in 0..10_000 {
        let Ok(ready) = requests.ready().await else { break };
        requests = ready;
        let Ok((response, mut stream)) = requests.send_request(request("/livez"), false) else { break };
        stream.send_reset(Reason::CANCEL);
        drop(response);
    }
    let error = connection.await.unwrap().unwrap_err();
    // The word that goes before may be lost on a client that does nothing but write.
    assert!(error.is_io() || error.reason() == Some(Reason::ENHANCE_YOUR_CALM), "{error}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let certified = Certified::new();
    let host = Host::start(certified.options()).await;
    let (mut requests, connection) = dial_http2(host.address, &certified.authority, &client::Builder::new()).await;
    tokio::spawn(connection);
    let mut long = request("/livez");
    long.headers_mut().insert("x-long", "x".repeat(17 * 1024).parse().unwrap());
    let (response, _) = requests.send_request(long, true).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn tunnels_are_neither_offered_nor_opened() {
    let certified = Certified::new();
    let open = async || StatusCode::OK;
    let host = Host::start_with(Router::new().route("/", any(open)).fallback(open), certified.options()).await;
    let (mut requests, connection) = dial_http2(host.address, &certified.authority, &client::Builder::new()).await;
    tokio::spawn(connection);
    let (response, _) = requests.send_request(request("/livez"), true).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    assert!(!requests.is_extended_connect_protocol_enabled());
    let tunnel = Request::connect("internal.example.com:22").body(()).unwrap();
    let (response, _) = requests.send_request(tunnel, false).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::NOT_IMPLEMENTED);
}
