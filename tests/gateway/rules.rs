//! Which token opens what.

use axum::http::{Method, StatusCode};
use gateward::{
    domain::{scope::Scope, scope_rule::ScopeRule},
    testing::server::OPAQUE_RESOURCE,
};

use crate::world::{Answer, World};

const LAUNCH: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"launch-specialist"}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// A POST of a message with a token that may read.
async fn post(world: &World, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let token = world.token("mcp:read").await;
    let mut call = world.call(Method::POST, "/mcp").bearer(&token);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.body(body).send().await
}

#[tokio::test]
async fn without_a_token_nothing_reaches_the_server_behind() {
    let world = World::start().await;
    let answer = world.call(Method::POST, "/mcp").body(LIST).send().await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.challenge(), r#"scope="mcp:read""#);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn a_token_for_another_resource_is_refused() {
    let world = World::start().await;
    let token = world.token_for(OPAQUE_RESOURCE, "mcp:read").await;
    let answer = world.call(Method::GET, "/mcp").bearer(&token).send().await;
    assert_eq!(answer.challenge(), r#"scope="mcp:read", error="invalid_token""#);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    assert_eq!(world.call(Method::GET, "/mcp").bearer(&token).send().await.status, StatusCode::OK);
    world.revoke(&token).await;
    assert_eq!(world.call(Method::GET, "/mcp").bearer(&token).send().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_that_expired_a_second_ago_is_refused() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    world.server.pass(3599);
    assert_eq!(world.call(Method::GET, "/mcp").bearer(&token).send().await.status, StatusCode::OK);
    world.server.pass(1);
    assert_eq!(world.call(Method::GET, "/mcp").bearer(&token).send().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_tool_that_needs_more_is_refused_with_all_that_it_needs() {
    let world = World::start().await;
    let answer = post(&world, &[], LAUNCH).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.challenge(), r#"scope="mcp:execute mcp:read", error="insufficient_scope""#);
    assert_eq!(world.upstream.count(), 0);
    let token = world.token("mcp:read mcp:execute").await;
    let answer = world.call(Method::POST, "/mcp").bearer(&token).body(LAUNCH).send().await;
    assert_eq!(answer.seen()["body"], LAUNCH);
}

#[tokio::test]
async fn headers_that_contradict_the_body_are_refused() {
    let world = World::start().await;
    for headers in [
        &[("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list")][..],
        &[("mcp-method", "tools/call"), ("mcp-name", "whoami")],
        &[("mcp-method", "tools/call"), ("mcp-name", "=?base64?d2hvYW1p?=")],
        &[("mcp-method", "tools/call"), ("mcp-name", "launch-specialist"), ("mcp-name", "whoami")],
    ] {
        let answer = post(&world, headers, LAUNCH).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{headers:?}");
        assert!(answer.body.contains("-32020"), "{}", answer.body);
    }
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn a_second_call_does_not_hide_in_a_batch_or_behind_another_spelling() {
    let world = World::start().await;
    let batch = r#"[{"method":"tools/list"},{"method":"tools/call","params":{"name":"launch-specialist"}}]"#;
    assert_eq!(post(&world, &[], batch).await.status, StatusCode::FORBIDDEN);
    for body in [
        r#"{"method":"tools/list","method":"tools/call","params":{"name":"launch-specialist"}}"#,
        r#"{"method":"tools/call","params":{"name":"whoami","Name":"launch-specialist"}}"#,
        "not JSON at all",
    ] {
        assert_eq!(post(&world, &[], body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn a_message_hides_neither_in_a_get_nor_in_an_encoding() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let answer = world.call(Method::GET, "/mcp").bearer(&token).body(LAUNCH).send().await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(post(&world, &[("content-encoding", "gzip")], LIST).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn no_spelling_of_a_path_gets_around_its_rule() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    for path in ["/mcp/admin", "/mcp/admin/", "/mcp/%61dmin", "/mcp/admin/x?y"] {
        let answer = world.call(Method::GET, path).bearer(&token).send().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    for path in ["/mcp//admin", "/mcp/x/../admin", "/mcp/%2e%2e/mcp/admin", "/mcp/x%2f..%2fadmin", "/mcp/admin;x"] {
        let answer = world.call(Method::GET, path).bearer(&token).send().await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
    }
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn a_client_that_offers_h2c_with_its_message_is_judged_by_the_message() {
    let world = World::start().await;
    let offers =
        [("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAoAAA")];
    let answer = post(&world, &offers, LIST).await;
    assert_eq!(answer.seen()["body"], LIST);
    assert!(answer.seen_header("upgrade").is_empty() && answer.seen_header("http2-settings").is_empty());
}

#[tokio::test]
async fn a_post_without_a_body_calls_nothing() {
    let world = World::start().await;
    let nothing = futures_util::stream::empty::<Result<String, std::io::Error>>();
    let token = world.token("mcp:read").await;
    let body = axum::body::Body::from_stream(nothing);
    assert_eq!(world.call(Method::POST, "/mcp").bearer(&token).body(body).send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn while_the_store_is_away_nothing_passes_and_nobody_is_told_to_log_in_again() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let ask = async || world.call(Method::GET, "/mcp").bearer(&token).send().await;
    world.faults.take_down();
    let answer = ask().await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("2")));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(world.upstream.count(), 0);
    world.faults.heal();
    assert_eq!(ask().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_message_that_its_content_type_says_to_decode_otherwise_is_not_read() {
    let world = World::start().await;
    // To a server that believes the charset, as many do by way of iconv, the name is launch-specialist.
    let hidden =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"+AGwAYQB1AG4AYwBo-+AC0-specialist"}}"#;
    for content_type in [
        "application/json; charset=utf-7",
        "application/json;CHARSET=\"UTF-7\"",
        "application/json; charset*=utf-8''utf-7",
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; x=\"; charset=utf-8\"; charset = utf-7",
    ] {
        let answer = post(&world, &[("content-type", content_type)], hidden).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
    let twice = [("content-type", "application/json"), ("content-type", "application/json; charset=utf-7")];
    assert_eq!(post(&world, &twice, hidden).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(world.upstream.count(), 0);
    for plain in ["application/json", "application/json; charset=utf-8", "application/json;charset=\"UTF-8\""] {
        assert_eq!(post(&world, &[("content-type", plain)], LIST).await.status, StatusCode::OK, "{plain}");
    }
}

#[tokio::test]
async fn a_name_does_not_hide_behind_a_nul_or_bytes_that_are_no_text() {
    let world = World::start().await;
    for body in [
        r#"{"method":"tools/call","params":{"name":"launch-specialist\u0000"}}"#,
        r#"{"method":"tools/call\u0000","params":{"name":"launch-specialist"}}"#,
        r#"{"method\u0000":"tools/call","method":"tools/list","params":{"name":"launch-specialist"}}"#,
        r#"{"method":"tools/call","params":{"name\u0000":"launch-specialist","name":"whoami"}}"#,
        "{\"method\":\"resources/read\",\"params\":{\"uri\":\"a\",\"ur\u{131}\":\"b\"}}",
    ] {
        assert_eq!(post(&world, &[], body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let token = world.token("mcp:read").await;
    let bytes = b"{\"method\":\"tools/list\",\"x\":\"\xc3\"}".to_vec();
    let answer = world.call(Method::POST, "/mcp").bearer(&token).body(bytes).send().await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn no_case_of_a_path_or_a_method_gets_around_its_rule() {
    let delete =
        ScopeRule { methods: vec!["DELETE".into()], scope: Scope::parse("mcp:write").unwrap(), ..ScopeRule::default() };
    let world = World::with(|mut site| {
        site.rules.rules.push(delete);
        site
    })
    .await;
    let token = world.token("mcp:read").await;
    // Servers are there that tell neither apart, as Express does with paths and hypercorn with methods.
    for (method, path) in [("GET", "/mcp/Admin"), ("GET", "/mcp/%41DMIN/x"), ("delete", "/mcp"), ("Delete", "/mcp")] {
        let answer = world.call(method.parse().unwrap(), path).bearer(&token).send().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
    assert_eq!(world.upstream.count(), 0);
}
