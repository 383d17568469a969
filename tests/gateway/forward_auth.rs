//! What somebody else's proxy is told when it asks.

use axum::http::{Method, StatusCode};
use gateward::domain::guarded::GuardedResource;

use crate::world::{Answer, World};

const PATH: &str = "/oauth/forward-auth";

/// Asks about a request, as a proxy at the authorization server's own address.
async fn ask(world: &World, method: &str, uri: &str, more: &[(&str, &str)]) -> Answer {
    let mut call = world
        .call(Method::GET, PATH)
        .host("localhost:3000")
        .header("x-forwarded-method", method)
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "mcp.example.com")
        .header("x-forwarded-uri", uri);
    for (name, value) in more {
        call = call.header(name, value);
    }
    call.send().await
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_token_that_counts_is_200_with_the_identity_in_headers() {
    let world = World::start().await;
    let token = world.token("mcp:read mcp:execute").await;
    let answer = ask(&world, "POST", "/mcp?x=1", &[("authorization", &bearer(&token))]).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(answer.header("x-gateward-subject"), Some("worker"));
    assert_eq!(answer.header("x-gateward-scope"), Some("mcp:execute mcp:read"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn no_token_and_one_that_does_not_count_are_401_with_a_challenge() {
    let world = World::start().await;
    let none = ask(&world, "POST", "/mcp", &[]).await;
    assert_eq!((none.status, none.challenge()), (StatusCode::UNAUTHORIZED, r#"scope="mcp:read""#));
    let bad = ask(&world, "POST", "/mcp", &[("authorization", "Bearer nonsense")]).await;
    assert_eq!(bad.challenge(), r#"scope="mcp:read", error="invalid_token""#);
}

#[tokio::test]
async fn as_no_body_is_seen_the_most_that_it_could_call_is_needed() {
    let world = World::start().await;
    let token = bearer(&world.token("mcp:read").await);
    let lying =
        [("authorization", token.as_str()), ("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list")];
    let answer = ask(&world, "POST", "/mcp", &lying).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.challenge(), r#"scope="mcp:execute mcp:read", error="insufficient_scope""#);
}

#[tokio::test]
async fn headers_are_believed_where_the_operator_says_that_the_server_behind_compares_them() {
    let world = World::with(|site| GuardedResource { trust_mcp_headers: true, upstream: None, ..site }).await;
    let token = bearer(&world.token("mcp:read").await);
    let asked = async |version: &str, method: &str| {
        let headers = [
            ("authorization", token.as_str()),
            ("mcp-protocol-version", version),
            ("mcp-method", method),
            ("mcp-name", "launch-specialist"),
        ];
        ask(&world, "POST", "/mcp", &headers).await.status
    };
    assert_eq!(asked("2026-07-28", "tools/list").await, StatusCode::OK);
    assert_eq!(asked("2026-07-28", "tools/call").await, StatusCode::FORBIDDEN);
    assert_eq!(asked("2025-11-25", "tools/list").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn rules_about_paths_hold_for_the_path_that_the_proxy_states() {
    let world = World::start().await;
    let token = bearer(&world.token("mcp:read mcp:execute").await);
    let asked = async |uri: &str| ask(&world, "GET", uri, &[("authorization", &token)]).await.status;
    assert_eq!(asked("/mcp").await, StatusCode::OK);
    assert_eq!(asked("/mcp/admin?x").await, StatusCode::FORBIDDEN);
    assert_eq!(asked("/elsewhere").await, StatusCode::FORBIDDEN);
    assert_eq!(asked("/mcp//admin").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_proxy_that_does_not_say_what_it_asks_about_is_refused() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let bare = world.call(Method::GET, PATH).host("localhost:3000").bearer(&token).send().await;
    assert_eq!(bare.status, StatusCode::BAD_REQUEST);
    let twice = [("authorization", bearer(&token)), ("x-forwarded-uri", "/mcp/admin".to_owned())];
    let twice: Vec<(&str, &str)> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(ask(&world, "GET", "/mcp", &twice).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_here_too() {
    let world = World::start().await;
    let token = bearer(&world.token("mcp:read mcp:execute").await);
    let evil = [("authorization", token.as_str()), ("origin", "https://evil.example")];
    assert_eq!(ask(&world, "GET", "/mcp", &evil).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_proxy_may_ask_with_the_requests_own_method_host_and_path() {
    let world = World::start().await;
    let token = world.token("mcp:read mcp:execute").await;
    let ask = async |host: &str, path: &str| {
        let call = world.call(Method::POST, &format!("{PATH}{path}")).host(host).bearer(&token);
        call.header("x-forwarded-uri", "/mcp").send().await.status
    };
    assert_eq!(ask("mcp.example.com", "/mcp/x?y").await, StatusCode::OK);
    assert_eq!(ask("mcp.example.com:443", "/mcp").await, StatusCode::OK);
    assert_eq!(ask("mcp.example.com", "/mcp/admin").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("mcp.example.com", "/mcp/x/..%2fadmin").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("evil.example", "/mcp").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("mcp.example.com", "/elsewhere").await, StatusCode::FORBIDDEN);
    // An answer of this endpoint, not of a server that has nothing there.
    assert_eq!(ask("mcp.example.com", "/").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_fragment_does_not_get_around_the_rule_of_a_path() {
    let world = World::start().await;
    let token = bearer(&world.token("mcp:read mcp:execute").await);
    // nginx states the target as it came, and passes it on like that; servers behind drop the fragment.
    for uri in ["/mcp/admin#", "/mcp/admin#/x", "/mcp/admin#?y"] {
        let answer = ask(&world, "GET", uri, &[("authorization", &token)]).await;
        assert!(answer.status.is_client_error(), "{uri}: {}", answer.status);
    }
}

#[tokio::test]
async fn headers_of_a_request_that_carries_no_message_are_not_believed() {
    let world = World::with(|site| GuardedResource { trust_mcp_headers: true, upstream: None, ..site }).await;
    let token = bearer(&world.token("mcp:read").await);
    // The proxy need not show that this opens a WebSocket, through which anything may be called.
    let claims =
        [("authorization", token.as_str()), ("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list")];
    assert_eq!(ask(&world, "POST", "/mcp", &claims).await.status, StatusCode::OK);
    assert_eq!(ask(&world, "GET", "/mcp", &claims).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let said = [
        ask(&world, "POST", "/mcp", &[("authorization", &bearer(&token))]).await,
        ask(&world, "POST", "/mcp", &[]).await,
        world.get("/.well-known/oauth-protected-resource/mcp").await,
        world.call(Method::GET, "/mcp").host("elsewhere.example").send().await,
    ];
    let names: Vec<&str> = said.iter().filter_map(|answer| answer.header("x-request-id")).collect();
    assert_eq!(names.len(), 4);
    assert!(names.iter().all(|name| name.len() == 22), "{names:?}");
}

#[tokio::test]
async fn a_rule_for_messages_of_one_http_method_holds_for_what_may_open_a_websocket() {
    let world = World::with(|mut site| {
        for rule in &mut site.rules.rules {
            rule.methods = vec!["POST".into()];
        }
        GuardedResource { upstream: None, ..site }
    })
    .await;
    let token = bearer(&world.token("mcp:read").await);
    // `Upgrade` is for one hop, and proxies that ask leave it out.
    for (method, expected) in [
        ("GET", StatusCode::FORBIDDEN),
        ("get", StatusCode::FORBIDDEN),
        ("CONNECT", StatusCode::FORBIDDEN),
        ("DELETE", StatusCode::OK),
    ] {
        let answer = ask(&world, method, "/mcp", &[("authorization", &token)]).await;
        assert_eq!(answer.status, expected, "{method}");
    }
}
