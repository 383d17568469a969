//! An end under load: every request that was sent is answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::http::{Request, Version, header::CONNECTION};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use gateward::http::serve::{Drained, ServeOptions};
use h2::client::SendRequest;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    dial::{dial, read_to_end, trusting},
    host::{Certified, Host, NAME},
    support::{Options, Server, oauth::Identity, until},
};

const FORM: &str = "grant_type=client_credentials";

fn request<B>(version: Version, worker: &Identity, body: B) -> Request<B> {
    let secret = worker.secret.as_deref().expect("a confidential client");
    let credentials = STANDARD.encode(format!("{}:{secret}", worker.id));
    let (origin, host) = match version {
        Version::HTTP_2 => (format!("https://{NAME}"), None),
        _ => (String::new(), Some(("host", NAME))),
    };
    let mut request = Request::post(format!("{origin}/oauth/token"))
        .header("authorization", format!("Basic {credentials}"))
        .header("content-type", "application/x-www-form-urlencoded");
    if let Some((name, value)) = host {
        request = request.header(name, value);
    }
    request.body(body).unwrap()
}

/// Clients that ask for tokens, one after the other on each connection, until they are told that there will be no more answers.
#[derive(Default)]
struct Load {
    clients: JoinSet<()>,
    answers: Vec<Arc<AtomicU32>>,
}

impl Load {
    fn count(&mut self) -> Arc<AtomicU32> {
        self.answers.push(Arc::default());
        self.answers.last().unwrap().clone()
    }

    /// One client of HTTP/1.1 on a connection.
    async fn http1(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, worker: &Identity) {
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (answers, worker) = (self.count(), worker.clone());
        self.clients.spawn(async move {
            loop {
                requests.ready().await.expect("whoever was not told otherwise may send another request");
                let request = request(Version::HTTP_11, &worker, Full::new(Bytes::from_static(FORM.as_bytes())));
                let answer = requests.send_request(request).await.expect("a request that was sent is answered");
                assert_eq!(answer.status(), 200);
                let told = answer.headers().get(CONNECTION).is_some_and(|value| value == "close");
                let body = answer.into_body().collect().await.expect("the whole answer").to_bytes();
                assert!(body.ends_with(b"}"), "{body:?}");
                answers.fetch_add(1, Ordering::Relaxed);
                if told {
                    return;
                }
            }
        });
    }

    /// Several clients of HTTP/2 on one connection.
    async fn http2(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, worker: &Identity) {
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..8 {
            let (requests, answers, worker) = (requests.clone(), self.count(), worker.clone());
            self.clients.spawn(async move {
                let mut requests = Some(requests);
                while let Some(next) = ask(requests.take(), &worker).await {
                    answers.fetch_add(1, Ordering::Relaxed);
                    requests = Some(next);
                }
            });
        }
    }

    /// Waits until every client has got an answer, so that all are at it.
    async fn is_on(&self) {
        let everybody = || self.answers.iter().all(|answers| answers.load(Ordering::Relaxed) > 0);
        until("every client has an answer", async || everybody()).await;
    }

    /// Waits until every client was told; fails if one of them was not answered.
    async fn ends(mut self) {
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
    }
}

/// Asks once; `None` if the client was told (GOAWAY) before it asked.
async fn ask(requests: Option<SendRequest<Bytes>>, worker: &Identity) -> Option<SendRequest<Bytes>> {
    let mut requests = requests?.ready().await.ok()?;
    let (answer, mut body) = requests.send_request(request(Version::HTTP_2, worker, ()), false).ok()?;
    body.send_data(Bytes::from_static(FORM.as_bytes()), true).expect("a request that was begun is taken");
    let answer = answer.await.expect("a request that was sent is answered");
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("the whole answer");
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    Some(requests)
}

fn worker(server: &Server) -> Identity {
    server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"])
}

async fn ends_without_a_failed_request(mut server: Server, load: Load) {
    load.is_on().await;
    server.terminate();
    load.ends().await;
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.log().contains("every request was finished"), "{}", server.log());
}

#[tokio::test]
async fn sigterm_fails_no_request_of_clients_that_keep_their_connections() {
    let server = Server::start(Options::new());
    let (mut load, worker) = (Load::default(), worker(&server));
    for _ in 0..16 {
        load.http1(TcpStream::connect(server.address()).await.unwrap(), &worker).await;
    }
    ends_without_a_failed_request(server, load).await;
}

#[tokio::test]
async fn sigterm_fails_no_request_over_tls_in_http1_and_http2() {
    let certified = Certified::new();
    certified.authority.certify(&[NAME, "localhost"]).write(certified.directory.path());
    let server = Server::start(Options::new().on_localhost().with_tls(certified.directory.path()));
    let (mut load, worker) = (Load::default(), worker(&server));
    for _ in 0..8 {
        let stream = dial(server.address(), trusting(&certified.authority, &[b"http/1.1"])).await;
        load.http1(stream, &worker).await;
    }
    for _ in 0..4 {
        load.http2(dial(server.address(), trusting(&certified.authority, &[b"h2"])).await, &worker).await;
    }
    ends_without_a_failed_request(server, load).await;
}

async fn is_closed(address: SocketAddr) {
    until("no connection is accepted", async || TcpStream::connect(address).await.is_err()).await;
}

#[tokio::test]
async fn a_request_that_was_on_its_way_when_the_server_ended_is_answered_as_the_last_one() {
    let options = ServeOptions { linger: Duration::from_secs(60), grace: Duration::from_secs(60), ..options() };
    let mut host = Host::start(options).await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut first = vec![0; 15];
    stream.read_exact(&mut first).await.unwrap();
    host.stop();
    is_closed(host.address).await;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let rest = String::from_utf8(read_to_end(&mut stream).await).unwrap();
    let (_, last) = rest.split_once("HTTP/1.1 200 OK\r\n").expect("a second answer");
    assert!(last.contains("connection: close\r\n"), "{last}");
    assert_eq!(host.end().await, Drained::Completely);
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_at_the_end() {
    let mut host = Host::start(ServeOptions { linger: Duration::ZERO, ..options() }).await;
    let mut streams = Vec::new();
    for said in [&b""[..], b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        streams.push(stream);
    }
    streams[1].read_exact(&mut [0; 15]).await.unwrap();
    host.stop();
    assert_eq!(host.end().await, Drained::Completely);
    for mut stream in streams {
        read_to_end(&mut stream).await;
    }
}

#[tokio::test]
async fn whoever_the_kernel_had_let_in_before_the_door_was_closed_is_answered() {
    let mut host = Host::start(options()).await;
    // Without a pause, so that the server cannot look in between.
    let streams: Vec<std::net::TcpStream> = (0..32)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(host.address).unwrap();
            std::io::Write::write_all(&mut stream, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            stream
        })
        .collect();
    host.stop();
    for stream in streams {
        stream.set_nonblocking(true).unwrap();
        let answer = read_to_end(&mut TcpStream::from_std(stream).unwrap()).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(host.end().await, Drained::Completely);
}

fn options() -> ServeOptions {
    ServeOptions { header_timeout: Duration::from_secs(60), ..ServeOptions::default() }
}
