//! Handshakes: what is agreed on, and who is let wait.

use std::{sync::Arc, time::Duration};

use gateward::http::serve::{ServeOptions, TlsOptions};
use reqwest::{Version, tls::TlsInfo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    dial::{dial, read_to_end, trusting},
    host::{Certified, Host, NAME},
};

const SOON: Duration = Duration::from_millis(300);
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// Asks for the metadata, with a client of its own.
async fn ask(certified: &Certified, host: &Host) -> reqwest::Response {
    let client = certified.authority.client().resolve(NAME, host.address).build().unwrap();
    client.get(format!("https://{NAME}:{}{METADATA}", host.address.port())).send().await.unwrap()
}

/// Options with little patience, and one place for handshakes.
fn impatient(certified: &Certified) -> ServeOptions {
    let tls = TlsOptions { handshake_timeout: SOON, handshakes: 1, ..certified.tls() };
    ServeOptions { tls: Some(tls), ..ServeOptions::default() }
}

/// The first message of a handshake, complete.
fn greeting(certified: &Certified) -> Vec<u8> {
    let name = NAME.try_into().unwrap();
    let mut client =
        rustls::ClientConnection::new(Arc::new(trusting(&certified.authority, &[b"http/1.1"])), name).unwrap();
    let mut greeting = Vec::new();
    client.write_tls(&mut greeting).unwrap();
    greeting
}

#[tokio::test]
async fn http2_is_agreed_on_where_both_sides_can() {
    let certified = Certified::new();
    let host = Host::start(certified.options()).await;
    let answer = ask(&certified, &host).await;
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    let shown = answer.extensions().get::<TlsInfo>().unwrap().peer_certificate().unwrap().to_vec();
    assert_eq!(shown, certified.pair.der().as_ref());
    let metadata: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(metadata["issuer"], format!("https://{NAME}"));
}

#[tokio::test]
async fn http1_is_spoken_with_clients_that_know_nothing_else() {
    let certified = Certified::new();
    let host = Host::start(certified.options()).await;
    for protocols in [&[&b"http/1.1"[..]][..], &[]] {
        let mut stream = dial(host.address, trusting(&certified.authority, protocols)).await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: auth.example.com\r\nConnection: close\r\n\r\n").await.unwrap();
        let answer = String::from_utf8(read_to_end(&mut stream).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn whoever_does_not_begin_a_handshake_is_cut_off() {
    let certified = Certified::new();
    let host = Host::start(impatient(&certified)).await;
    let half = greeting(&certified);
    for said in [&[][..], &half[..half.len() / 2]] {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        read_to_end(&mut stream).await;
    }
    assert_eq!(ask(&certified, &host).await.status(), 200);
}

#[tokio::test]
async fn whoever_says_nothing_takes_nobody_s_place() {
    let certified = Certified::new();
    let patient = TlsOptions { handshakes: 1, ..certified.tls() };
    let host = Host::start(ServeOptions { tls: Some(patient), ..ServeOptions::default() }).await;
    let half = greeting(&certified);
    let mut silent = Vec::new();
    for said in [&[][..], &half[..half.len() / 2], &[], b"\x16"] {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        silent.push(stream);
    }
    assert_eq!(ask(&certified, &host).await.status(), 200);
}

#[tokio::test]
async fn a_handshake_that_stops_half_way_gives_its_place_back() {
    let certified = Certified::new();
    let host = Host::start(impatient(&certified)).await;
    let mut stuck = TcpStream::connect(host.address).await.unwrap();
    stuck.write_all(&greeting(&certified)).await.unwrap();
    // The server has answered, so the only place is taken.
    stuck.read_u8().await.unwrap();
    read_to_end(&mut stuck).await;
    assert_eq!(ask(&certified, &host).await.status(), 200);
}

#[tokio::test]
async fn plain_http_where_tls_is_spoken_ends_the_connection_and_nothing_else() {
    let certified = Certified::new();
    let host = Host::start(certified.options()).await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: auth.example.com\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    assert_eq!(ask(&certified, &host).await.status(), 200);
}
