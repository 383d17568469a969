//! Who says nothing, or takes nothing, without TLS.

use std::time::Duration;

use gateward::http::serve::ServeOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{dial::read_to_end, host::Host};

fn impatient() -> ServeOptions {
    let soon = Duration::from_millis(200);
    ServeOptions { header_timeout: soon, idle_timeout: soon, ..ServeOptions::default() }
}

#[tokio::test]
async fn a_connection_on_which_no_request_is_completed_is_closed() {
    let host = Host::start(impatient()).await;
    for said in [&b""[..], b"P", b"POST /oauth/token HTTP/1.1\r\nHost: a\r\nX: "] {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        read_to_end(&mut stream).await;
    }
}

#[tokio::test]
async fn a_connection_on_which_no_other_request_comes_is_closed() {
    let host = Host::start(impatient()).await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    read_to_end(&mut stream).await;
}

#[tokio::test]
async fn http2_is_not_spoken_without_tls() {
    let host = Host::start(ServeOptions::default()).await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    // SETTINGS would be a frame of type 4.
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
}
