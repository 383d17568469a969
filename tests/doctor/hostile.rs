//! Servers that are not there, that have another time, or that mean harm.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Method, Response},
};
use futures_util::stream;
use gateward::{
    doctor::{DoctorError, Kind, Options, Target, examine, text},
    port::clock::Clock,
    resource::SystemClock,
    testing::clock::ManualClock,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::world::{World, assert_complaints, breaks, complaints, nothing};

const PROTECTED: &str = "/.well-known/oauth-protected-resource";

fn hurried() -> Options {
    Options { timeout: Duration::from_millis(300), total: Duration::from_secs(2), ..Options::default() }
}

fn issuer(url: impl Into<String>) -> [Target; 1] {
    [Target { kind: Some(Kind::AuthorizationServer), ..Target::at(url) }]
}

/// Listens, and does this with whoever comes.
async fn listening<F>(meet: impl Fn(tokio::net::TcpStream) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(meet(stream));
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_is_not_there_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let report = examine(&issuer(url), &Options::default(), &SystemClock).await.unwrap();
    assert_complaints(&report, &["transport.reachable"], "refused");
}

/// Linux takes 0.0.0.0 for this machine; nobody else does.
#[tokio::test]
async fn plain_http_elsewhere_is_noticed() {
    let world = World::start(|asked, told| {
        let (here, there) = (told.origin.clone(), told.origin.replace("127.0.0.1", "0.0.0.0"));
        if asked.path.starts_with("/.well-known/o") {
            told.body = String::from_utf8(told.body.clone()).unwrap().replace(&here, &there).into_bytes();
        }
        told.edit_location(|location| location.replace("127.0.0.1", "0.0.0.0"));
    });
    let url = world.await.issuer.replace("127.0.0.1", "0.0.0.0");
    let options = Options { read_only: true, ..Options::default() };
    let report = examine(&issuer(url), &options, &SystemClock).await.unwrap();
    assert_complaints(&report, &["transport.https"], "plain http");
}

#[tokio::test]
async fn a_clock_that_is_off_is_noticed() {
    let world = World::start(nothing).await;
    let clock = ManualClock::at(SystemClock.now().plus(Duration::from_secs(600)));
    let report = examine(&issuer(&world.issuer), &Options::default(), &clock).await.unwrap();
    assert_complaints(&report, &["transport.clock"], "behind this machine");
}

#[tokio::test]
async fn a_server_that_says_nothing_holds_nobody_up() {
    let url = listening(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let report = examine(&[Target::at(url.await)], &hurried(), &SystemClock).await.unwrap();
    assert_complaints(&report, &["transport.reachable"], "no answer within");
}

#[tokio::test]
async fn a_server_that_says_one_byte_at_a_time_holds_nobody_up() {
    let url = listening(|mut stream| async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n";
        let asked = stream.read(&mut [0; 4096]).await;
        assert!(asked.is_ok_and(|length| length > 0));
        let _ = stream.write_all(head).await;
        while stream.write_all(b" ").await.is_ok() {
            ticks.tick().await;
        }
    });
    let report = examine(&issuer(url.await), &hurried(), &SystemClock).await.unwrap();
    assert!(complaints(&report).iter().any(|(check, _)| check == "discovery.document"), "{report:#?}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_the_end() {
    let endless = || async {
        let chunk = || Ok::<_, Infallible>(vec![b'['; 64 * 1024]);
        Response::new(Body::from_stream(stream::iter(std::iter::repeat_with(chunk))))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(endless)).await.unwrap() });
    let report = examine(&issuer(url), &Options::default(), &SystemClock).await.unwrap();
    assert!(complaints(&report).iter().any(|(check, _)| check == "discovery.document"), "{report:#?}");
}

#[tokio::test]
async fn what_a_server_says_cannot_reach_the_terminal() {
    let world = World::start(|asked, told| {
        if asked.is(Method::POST, "/oauth/register") {
            let body =
                json!({ "error": "\u{1b}]0;owned\u{7}\u{202e}", "error_description": "\u{1b}[2J\r\n".repeat(100) });
            told.become_json(400, &body.to_string());
        }
        if asked.path == "/.well-known/openid-configuration" {
            told.edit(|document| document["\u{1b}[31m_endpoint"] = json!(null));
        }
    });
    let report = world.await.examine().await;
    assert!(!complaints(&report).is_empty());
    let told = text(&report, false);
    assert!(told.bytes().all(|byte| byte == b'\n' || byte == b' ' || byte.is_ascii_graphic()), "{told:?}");
    assert!(told.contains("\\u{1b}]0;owned\\u{7}\\u{202e}"), "{told}");
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{json:?}");
}

#[tokio::test]
async fn a_document_cannot_send_requests_to_places_that_nobody_meant() {
    let report = World::start(|asked, told| {
        if asked.method == Method::GET && asked.path.starts_with("/.well-known/o") && told.status == 200 {
            told.edit(|document| {
                for member in ["token_endpoint", "registration_endpoint", "authorization_endpoint", "jwks_uri"] {
                    if document.get(member).is_some() {
                        document[member] = json!("http://169.254.169.254/latest/meta-data");
                    }
                }
            });
        }
    });
    assert_complaints(&report.await.examine().await, &["metadata.secure"], "169.254.169.254");
}

#[tokio::test]
async fn metadata_that_names_a_thousand_authorization_servers_is_not_followed_to_all() {
    let world = World::start(|asked, told| {
        if asked.method == Method::GET && asked.path.starts_with(PROTECTED) && told.status == 200 {
            let servers: Vec<String> = (0..1000).map(|i| format!("{}/{i}", told.origin)).collect();
            told.edit(|document| document["authorization_servers"] = json!(servers));
        }
    });
    let world = world.await;
    let report = examine(&[Target::at(&world.mcp)], &Options::default(), &SystemClock).await.unwrap();
    assert_eq!(report.sections.len(), 4, "the MCP server, and three of those that it names");
}

#[tokio::test]
async fn an_issuer_that_differs_by_a_slash_from_where_it_is_named_is_noticed() {
    let world = World::start(|asked, told| {
        if asked.method == Method::GET && asked.path.starts_with(PROTECTED) && told.status == 200 {
            let named = format!("{}/", told.origin);
            told.edit(|document| document["authorization_servers"] = json!([named]));
        }
    });
    let world = world.await;
    let report = examine(&[Target::at(&world.mcp)], &Options::default(), &SystemClock).await.unwrap();
    assert_complaints(&report, &["issuer.equal"], "they differ by a slash at the end");
}

#[tokio::test]
async fn a_broken_proxy_in_front_of_everything_is_noticed() {
    let report = World::start(|_, told| told.become_page(502)).await.examine().await;
    let found = complaints(&report);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["discovery.absent", "discovery.document", "mcp.challenge", "mcp.metadata"], "{found:#?}");
}

#[tokio::test]
async fn a_429_is_no_verdict_about_a_client() {
    let report = World::start(|asked, told| {
        if asked.is(Method::POST, "/oauth/register") && asked.body.contains("like Cursor") {
            told.become_json(429, "{}");
        }
    });
    assert_eq!(complaints(&report.await.examine().await), []);
}

#[tokio::test]
async fn what_is_no_url_of_a_server_is_refused() {
    for url in
        ["auth.example.com", "ftp://a.example", "https://u:p@a.example", "https://a.example/?x", "https://a.example/#x"]
    {
        let refused = examine(&[Target::at(url)], &Options::default(), &SystemClock).await;
        assert!(matches!(refused, Err(DoctorError::Url(_))), "{url}");
    }
}

#[tokio::test]
async fn a_challenge_that_leads_into_the_network_is_noticed_and_not_followed() {
    breaks(&["mcp.resource_metadata"], "169.254.169.254/\" is not https", |asked, told| {
        if asked.is(Method::POST, "/mcp") {
            told.set(
                "www-authenticate",
                "Bearer resource_metadata=\"http://169.254.169.254/\", error=\"invalid_token\"",
            );
        }
    })
    .await;
}
