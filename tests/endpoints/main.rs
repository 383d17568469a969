//! Every rule of every endpoint, over the real routes: status, headers, body. In process, with a clock that stands still and
//! seeded chance; one behaviour per test.
#![expect(clippy::expect_used, clippy::panic, reason = "what is missing here has failed the test")]

mod audit;
mod authorize;
mod client_authentication;
mod consent;
mod discovery;
mod everywhere;
mod faults;
mod health;
mod introspect;
mod issued_copies;
mod jwks;
mod limits;
mod lockout;
mod log;
mod login;
mod manage_registration;
mod metrics;
mod names;
mod register;
mod revoke;
mod sign_out;
mod store_failure;
mod token_client_credentials;
mod token_code;
mod token_refresh;

use axum::http::{HeaderMap, StatusCode};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gateward::{
    domain::{credential::AuthorizationCode, grant::Grant, identifier::GrantId, scope::Scope},
    testing::server::{Answer, TestServer},
};
use serde_json::Value;

/// An error as RFC 6749 5.2 wants it.
#[track_caller]
fn assert_error(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["error"], code, "{body}");
    assert!(body["error_description"].is_string(), "{body}");
    assert_no_nulls(&body);
    assert_no_store(answer);
}

#[track_caller]
fn assert_bad_request(answer: &Answer, code: &str) {
    assert_error(answer, StatusCode::BAD_REQUEST, code);
}

/// RFC 6749 5.2: 401 with a challenge.
#[track_caller]
fn assert_invalid_client(answer: &Answer) {
    assert_error(answer, StatusCode::UNAUTHORIZED, "invalid_client");
    assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic realm=")));
}

/// A store that is down, in JSON.
#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_error(answer, StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable");
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
}

#[track_caller]
fn assert_ok(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

/// An error that went to the client, with everything that RFC 9207 and RFC 6749 4.1.2.1 want.
#[track_caller]
fn assert_redirected_error(answer: &Answer, code: &str) {
    assert_eq!(answer.parameter("error").as_deref(), Some(code), "{}", answer.location());
    assert_eq!(answer.parameter("state").as_deref(), Some(gateward::testing::server::STATE));
    assert_eq!(answer.parameter("iss").as_deref(), Some(gateward::testing::server::ISSUER));
    assert_eq!(answer.parameter("code"), None);
    assert!(answer.location().starts_with(gateward::testing::server::REDIRECT));
}

/// A page, with what keeps it safe; no redirect.
#[track_caller]
fn assert_page(answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("location"), None);
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for directive in ["form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_no_store(answer);
}

/// The headers but for the name of the request, which no two answers share.
fn unnamed(answer: &Answer) -> HeaderMap {
    let mut headers = answer.headers.clone();
    headers.remove("x-request-id");
    headers
}

#[track_caller]
fn assert_no_store(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// Absent members are left out.
#[track_caller]
fn assert_no_nulls(body: &Value) {
    match body {
        Value::Null => panic!("null"),
        Value::Array(items) => items.iter().for_each(assert_no_nulls),
        Value::Object(members) => members.values().for_each(assert_no_nulls),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn inactive() -> Value {
    serde_json::json!({ "active": false })
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a JWS");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn header_of(token: &str) -> Value {
    part(token, 0)
}

fn claims_of(token: &str) -> Value {
    part(token, 1)
}

fn scope(text: &str) -> Scope {
    Scope::parse(text).expect("a scope")
}

/// The grant that a code stands for.
async fn grant_of(server: &TestServer, code: &str) -> Grant {
    let digest = gateward::domain::credential::Digest::<AuthorizationCode>::of(code);
    server.stores.tokens.find_code(&digest).await.expect("the store").expect("the code").grant
}

async fn grant(server: &TestServer, id: &GrantId) -> Grant {
    server.stores.tokens.find_grant(id).await.expect("the store").expect("the grant")
}
