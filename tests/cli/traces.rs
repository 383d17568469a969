//! `traces.endpoint`: spans arrive at a collector, and say nothing that they should not.

use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::{Options, Server, collector::Collector, oauth::Wire};

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    &found.unwrap_or_else(|| panic!("no {key} in {span}"))["value"]
}

fn sent_at_once(options: Options) -> Options {
    options.set("OTEL_BSP_SCHEDULE_DELAY", "50")
}

#[tokio::test]
async fn a_request_is_a_span_without_what_the_client_said() {
    let (collector, url) = Collector::start().await;
    let options = sent_at_once(Options::new()).set("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    let server = Server::start(options);
    let wire = Wire::to(&server);
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    let answer = wire.client_credentials(&worker).await;
    let token = answer.text("access_token");
    let spans = collector.wait_for(1).await;
    let span = spans.iter().find(|span| span["name"] == "POST /oauth/token").expect("the request");
    assert_eq!(span["kind"], 2, "a server's: {span}");
    assert_eq!(attribute(span, "http.route")["stringValue"], "/oauth/token");
    assert_eq!(attribute(span, "http.response.status_code")["intValue"].to_string().trim_matches('"'), "200");
    let name = answer.headers["x-request-id"].to_str().unwrap();
    assert_eq!(attribute(span, "gateward.request_id")["stringValue"], name);
    let bodies = collector.text();
    assert!(bodies.contains("service.name") && bodies.contains("\"gateward\""), "{bodies}");
    for secret in [worker.secret.as_deref().unwrap(), &token, &worker.id] {
        assert!(!bodies.contains(secret), "{secret} is in {bodies}");
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The span of a request that says that it belongs to a trace.
async fn span_of_a_traced_request(trusted: &str) -> Value {
    let (collector, url) = Collector::start().await;
    let options = sent_at_once(Options::new()).set("GATEWARD_TRACES__ENDPOINT", &url);
    let server = Server::start(options.set("GATEWARD_SERVER__TRUSTED_PROXIES", trusted));
    let request = reqwest::Client::new().get(server.url("/livez"));
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(request.send().await.unwrap().status(), 200);
    collector.wait_for(1).await.remove(0)
}

#[tokio::test]
async fn a_trusted_proxy_says_which_trace_a_request_belongs_to() {
    let span = span_of_a_traced_request("127.0.0.0/8").await;
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&TRACE.into(), &PARENT.into()));
}

#[tokio::test]
async fn nobody_else_does() {
    let span = span_of_a_traced_request("192.0.2.0/24").await;
    assert_ne!(span["traceId"], TRACE);
    assert_ne!(span["parentSpanId"], PARENT);
}

#[tokio::test]
async fn what_was_not_sent_yet_is_sent_at_the_end() {
    let (collector, url) = Collector::start().await;
    let options = Options::new().set("GATEWARD_TRACES__ENDPOINT", &url).set("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let mut server = Server::start(options);
    assert_eq!(Wire::to(&server).get("/livez").await.status, 200);
    assert!(collector.spans().is_empty());
    server.terminate();
    // Its last words go to the collector, which is in this process.
    let ended = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert!(ended.success());
    assert_eq!(collector.spans().len(), 1);
}

#[tokio::test]
async fn requests_are_answered_and_the_server_ends_while_the_collector_is_away() {
    let (_, url) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        ((), format!("http://{}", listener.local_addr().unwrap()))
    };
    let options = sent_at_once(Options::new()).set("GATEWARD_TRACES__ENDPOINT", &url);
    let mut server = Server::start(options);
    for _ in 0..10 {
        assert_eq!(Wire::to(&server).get("/livez").await.status, 200);
    }
    server.terminate();
    let ended = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert!(ended.success());
}

#[tokio::test]
async fn nothing_is_sent_of_traces_that_are_not_sampled() {
    let (collector, url) = Collector::start().await;
    let options = Options::new().set("GATEWARD_TRACES__ENDPOINT", &url).set("GATEWARD_TRACES__SAMPLE_PERCENT", "0");
    let mut server = Server::start(options);
    assert_eq!(Wire::to(&server).get("/livez").await.status, 200);
    server.terminate();
    assert!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap().success());
    assert!(collector.spans().is_empty());
}
