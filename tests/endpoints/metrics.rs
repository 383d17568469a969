//! What is counted, and that nobody outside can make more of it.

use std::{sync::Arc, time::Duration};

use axum::http::Method;
use gateward::{
    http::{Rejection, serve_metrics},
    testing::server::{OPAQUE_RESOURCE, Parameters, TestServer, machine, public_client, resource_server},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::faults::Faults;

/// The value of a series, written as it is exported.
#[track_caller]
fn value(server: &TestServer, series: &str) -> f64 {
    let text = server.metrics.encode();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

fn requests(endpoint: &str, method: &str, status: &str) -> String {
    format!(r#"gateward_http_requests_total{{endpoint="{endpoint}",method="{method}",status="{status}"}}"#)
}

#[tokio::test]
async fn requests_are_counted_where_they_arrive_and_by_how_they_end() {
    let server = TestServer::start().await;
    let worker = server.create_client("worker", machine()).await;
    server.token(&worker, [("grant_type", "client_credentials")]).await;
    server.token(&worker, [("grant_type", "password")]).await;
    server.call(Method::DELETE, "/oauth/token").send().await;
    server.get("/oauth/register/somebody").await;
    server.get("/nowhere").await;
    for (series, count) in [
        (requests("/oauth/token", "POST", "2xx"), 1.0),
        (requests("/oauth/token", "POST", "4xx"), 1.0),
        (requests("/oauth/token", "other", "4xx"), 1.0),
        (requests("/oauth/register/{client_id}", "GET", "4xx"), 1.0),
        (requests("unmatched", "other", "4xx"), 1.0),
        (requests("/oauth/revoke", "POST", "2xx"), 0.0),
        (r#"gateward_http_request_duration_seconds_count{endpoint="/oauth/token",method="POST"}"#.into(), 2.0),
        ("gateward_http_requests_in_flight".into(), 0.0),
    ] {
        assert_eq!(value(&server, &series), count, "{series}");
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_has_the_same_endpoints() {
    let server = TestServer::builder().issuer("https://auth.example.com/tenant").start().await;
    server.post("/tenant/oauth/token", [("a", "b")]).await;
    server.get("/.well-known/oauth-authorization-server/tenant").await;
    server.get("/tenant/.well-known/oauth-authorization-server").await;
    server.get("/livez").await;
    server.post("/oauth/token", [("a", "b")]).await;
    assert_eq!(value(&server, &requests("/oauth/token", "POST", "4xx")), 1.0);
    assert_eq!(value(&server, &requests("/.well-known/oauth-authorization-server", "GET", "2xx")), 2.0);
    assert_eq!(value(&server, &requests("/livez", "GET", "2xx")), 1.0);
    assert_eq!(value(&server, &requests("unmatched", "other", "4xx")), 1.0);
}

#[tokio::test]
async fn whoever_goes_away_is_counted_as_gone() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    let worker = server.create_client("worker", machine()).await;
    faults.get_stuck();
    let mut request = Box::pin(server.token(&worker, [("grant_type", "client_credentials")]));
    let pending = std::future::poll_fn(|context| std::task::Poll::Ready(request.as_mut().poll(context).is_pending()));
    assert!(pending.await);
    assert_eq!(value(&server, "gateward_http_requests_in_flight"), 1.0);
    drop(request);
    assert_eq!(value(&server, "gateward_http_requests_in_flight"), 0.0);
    assert_eq!(value(&server, &requests("/oauth/token", "POST", "aborted")), 1.0);
    let abandoned = r#"{family="clients",backend="memory",operation="find",reason="abandoned"}"#;
    assert_eq!(value(&server, &format!("gateward_store_call_failures_total{abandoned}")), 1.0);
}

#[tokio::test]
async fn calls_of_stores_are_timed_and_their_failures_counted() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    let worker = server.create_client("worker", machine()).await;
    let find = r#"{family="clients",backend="memory",operation="find"}"#;
    let before = value(&server, &format!("gateward_store_call_duration_seconds_count{find}"));
    server.token(&worker, [("grant_type", "client_credentials")]).await;
    faults.take_down();
    server.token(&worker, [("grant_type", "client_credentials")]).await;
    let after = value(&server, &format!("gateward_store_call_duration_seconds_count{find}"));
    assert_eq!(after - before, 2.0);
    let unavailable = r#"{family="clients",backend="memory",operation="find",reason="unavailable"}"#;
    assert_eq!(value(&server, &format!("gateward_store_call_failures_total{unavailable}")), 1.0);
}

/// Writing that a client was used would cost more than what it is used for.
#[tokio::test]
async fn that_a_client_is_used_is_written_once_in_half_an_hour_and_not_for_each_code_and_token() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let touched = || {
        let touch = r#"{family="clients",backend="memory",operation="touch"}"#;
        value(&server, &format!("gateward_store_call_duration_seconds_count{touch}"))
    };
    for _ in 0..3 {
        let code = server.code(&Parameters::authorize(&client)).await;
        server.redeem(&client, &code).await;
    }
    assert_eq!(touched(), 1.0);
    server.pass(1800);
    server.code(&Parameters::authorize(&client)).await;
    assert_eq!(touched(), 2.0);
}

#[tokio::test]
async fn what_came_of_each_event_is_counted_by_its_reason_also_what_the_trail_folds() {
    let server = TestServer::start().await;
    let worker = server.create_client("worker", machine()).await;
    for _ in 0..2 {
        server.token(&worker, [("grant_type", "client_credentials")]).await;
    }
    server.token(&worker, [("grant_type", "client_credentials"), ("scope", "mcp:nothing")]).await;
    for _ in 0..3 {
        let call = server.call(Method::POST, "/oauth/token").basic(&worker.id, "wrong");
        call.form(Parameters::from([("grant_type", "client_credentials")])).send().await;
    }
    for (event, outcome, reason, count) in [
        ("token.client_credentials", "success", "", 2.0),
        ("token.client_credentials", "refused", "scope_refused", 1.0),
        ("client.authenticate", "refused", "wrong_secret", 3.0),
    ] {
        let labels = format!(r#"{{event="{event}",outcome="{outcome}",reason="{reason}"}}"#);
        assert_eq!(value(&server, &format!("gateward_events_total{labels}")), count, "{event} {reason}");
    }
}

#[tokio::test]
async fn what_a_limit_turns_away_is_counted_by_the_limit() {
    let server = TestServer::builder().options(|options| options.body_limit = 8).start().await;
    let rejections = |reason: &str| value(&server, &format!(r#"gateward_rejections_total{{reason="{reason}"}}"#));
    assert_eq!(rejections("large_body"), 0.0);
    server.post("/oauth/token", [("grant_type", "client_credentials")]).await;
    assert_eq!(rejections("large_body"), 1.0);
    for other in Rejection::ALL.into_iter().filter(|reason| *reason != Rejection::LargeBody) {
        assert_eq!(rejections(other.as_str()), 0.0, "{other:?}");
    }
}

/// Whatever strangers send: other paths, methods, clients, tokens, headers.
#[tokio::test]
async fn no_request_makes_a_new_series() {
    let server = TestServer::start().await;
    let rs = server.create_client("rs", resource_server(OPAQUE_RESOURCE)).await;
    let series = || server.metrics.encode().lines().filter(|line| !line.starts_with('#')).count();
    // Once of each kind, so that whatever is there only when it has happened has happened.
    let flood = async |from: u32, to: u32| {
        for n in from..to {
            let odd = Method::from_bytes(format!("ODD{n}").as_bytes()).expect("a method");
            server.get(&format!("/{n}/{n}?{n}")).await;
            server.get(&format!("/oauth/register/{n}")).await;
            server.get(&format!("/oauth/authorize?client_id=client-{n}&state={n}")).await;
            server.call(odd, &format!("/oauth/token/{n}")).send().await;
            let token = server.call(Method::POST, "/oauth/token").basic(&format!("client-{n}"), "wrong");
            token.form([("grant_type", "client_credentials"), ("scope", n.to_string().as_str())]).send().await;
            server.post("/oauth/token", [("grant_type", n.to_string().as_str())]).await;
            server.introspect(&rs, &format!("gw_at_{n}")).await;
            server.call(Method::GET, "/livez").header("x-request-id", format!("{n}")).send().await;
        }
    };
    flood(0, 1).await;
    let before = series();
    flood(1, 200).await;
    assert_eq!(series(), before);
    assert!(!server.metrics.encode().contains("client-"));
}

struct Reader {
    address: std::net::SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Reader {
    async fn of(server: &TestServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        Self { address, serving: tokio::spawn(serve_metrics(listener, Arc::clone(&server.metrics))) }
    }

    /// Everything that comes back.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        // It may hang up before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn get(&self, target: &str) -> String {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }
}

#[tokio::test]
async fn the_reader_gets_metrics_and_nothing_else_is_there() {
    let server = TestServer::start().await;
    let reader = Reader::of(&server).await;
    let metrics = reader.get("/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(metrics.contains("gateward_http_requests_total{") && metrics.ends_with("# EOF\n"), "{metrics}");
    for path in ["/", "/metrics/", "/oauth/token", "/.well-known/oauth-authorization-server", "/livez", "/debug/pprof"]
    {
        let answer = reader.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    let posted = reader.send("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert!(posted.starts_with("HTTP/1.1 405 ") && posted.contains("allow: GET, HEAD\r\n"), "{posted}");
    let head = reader.send("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(!reader.serving.is_finished());
}

#[tokio::test]
async fn what_is_no_request_does_not_end_the_reader() {
    let server = TestServer::start().await;
    let reader = Reader::of(&server).await;
    let huge = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let garbage: [&[u8]; 6] = [
        b"",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        huge.as_bytes(),
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(reader.address).await.expect("a connection");
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains("gateward_"), "{answer}");
    }
    assert!(reader.get("/metrics").await.contains("# EOF"));
}

/// Everybody waits who comes meanwhile, and nobody for longer than this.
#[tokio::test(start_paused = true)]
async fn readers_that_say_nothing_are_sent_away() {
    let server = TestServer::start().await;
    let reader = Reader::of(&server).await;
    let mut silent = Vec::new();
    for n in 0..16 {
        let mut stream = TcpStream::connect(reader.address).await.expect("a connection");
        if n % 2 == 0 {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:").await.expect("it listens");
        }
        silent.push(stream);
    }
    let began = tokio::time::Instant::now();
    assert!(reader.get("/metrics").await.contains("# EOF"));
    assert!(began.elapsed() >= Duration::from_secs(10), "{:?}", began.elapsed());
    for mut stream in silent {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("gateward_"));
    }
}
