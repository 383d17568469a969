//! SIGTERM: an orderly end.

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    Options, Server,
    oauth::{Identity, Wire},
    until,
};

/// A token request whose head has arrived and whose body has not.
struct HalfRequest {
    stream: TcpStream,
    rest: &'static str,
}

impl HalfRequest {
    /// The server has asked for the body (RFC 9110 10.1.1), so the request is in flight for certain.
    async fn begin(server: &Server, client: &Identity) -> Self {
        let rest = "grant_type=client_credentials";
        let secret = client.secret.as_deref().expect("a confidential client");
        let credentials = STANDARD.encode(format!("{}:{secret}", client.id));
        let head = format!(
            "POST /oauth/token HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {credentials}\r\nExpect: 100-continue\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            server.address(),
            rest.len(),
        );
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self { stream, rest }
    }

    /// Sends the body and reads until the server closes the connection.
    async fn finish(mut self) -> String {
        self.stream.write_all(self.rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn worker(server: &Server) -> Identity {
    server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"])
}

#[tokio::test]
async fn sigterm_turns_readyz_503_then_closes_the_door_and_finishes_what_is_in_flight() {
    let mut server = Server::start(Options::new().set("GATEWARD_SERVER__DRAIN_DELAY", "2s"));
    let wire = Wire::to(&server);
    let worker = worker(&server);
    assert_eq!(wire.get("/readyz").await.status, 200);
    let mut requests = Vec::new();
    for _ in 0..4 {
        requests.push(HalfRequest::begin(&server, &worker).await);
    }

    server.terminate();
    until("/readyz says 503", async || wire.get("/readyz").await.status == 503).await;
    // A load balancer has not noticed yet, and sends one more.
    assert_eq!(wire.client_credentials(&worker).await.status, 200);
    assert_eq!(wire.get("/livez").await.status, 200);
    until("no connection is accepted", async || TcpStream::connect(server.address()).await.is_err()).await;

    for request in requests {
        let answer = request.finish().await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("access_token"), "{answer}");
    }
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.log().contains("every request was finished"));
}

#[tokio::test]
async fn a_request_that_does_not_end_cannot_keep_the_server_longer_than_the_grace() {
    let mut server = Server::start(Options::new().set("GATEWARD_SERVER__SHUTDOWN_GRACE", "1s"));
    let worker = worker(&server);
    let _stuck = HalfRequest::begin(&server, &worker).await;
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.log().contains("shutdown_grace was over"));
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let mut server = Server::start(Options::new());
    let _silent = TcpStream::connect(server.address()).await.unwrap();
    let wire = Wire::to(&server);
    assert_eq!(wire.get("/livez").await.status, 200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.log().contains("every request was finished"), "{}", server.log());
}
