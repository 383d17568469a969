//! Dynamic client registration (RFC 7591): what real clients send, negotiated.

use std::{num::NonZeroU32, time::Duration};

use axum::http::{Method, StatusCode};
use gateward::{
    domain::{credential::Digest, policy::RegistrationMode},
    testing::server::{Answer, OPAQUE_RESOURCE, Parameters, TestClient, TestServer},
};
use serde_json::{Value, json};

use super::*;

const REGISTER: &str = "/oauth/register";

async fn register(metadata: Value) -> Answer {
    TestServer::builder().start().await.register(&metadata).await
}

/// What was registered.
async fn effective(metadata: Value) -> Value {
    let answer = register(metadata).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    assert_no_store(&answer);
    let body = answer.json();
    assert_no_nulls(&body);
    body
}

/// The least that is enough.
fn minimal() -> Value {
    json!({ "redirect_uris": ["https://app.example/cb"] })
}

fn with(members: Value) -> Value {
    let mut all = minimal();
    let target = all.as_object_mut().expect("an object");
    target.extend(members.as_object().expect("an object").clone());
    all
}

#[tokio::test]
async fn the_answer_states_every_effective_value_of_a_confidential_client() {
    let body = effective(minimal()).await;
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).expect("JSON"));
}

#[tokio::test]
async fn the_answer_states_every_effective_value_of_a_public_client() {
    let body = effective(json!({
        "client_name": "MCP Inspector",
        "client_uri": "https://github.com/modelcontextprotocol/inspector",
        "redirect_uris": ["http://localhost:6274/oauth/callback", "http://localhost:6274/oauth/callback/debug"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "mcp:read offline_access",
        "software_id": "inspector",
        "software_version": "1.2.3",
    }))
    .await;
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).expect("JSON"));
}

#[tokio::test]
async fn without_an_authentication_method_a_client_gets_a_secret_for_basic() {
    let body = effective(minimal()).await;
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_basic");
    assert!(text(&body, "client_secret").starts_with("gw_cs_"));
    assert_eq!(body["client_secret_expires_at"], 0);
}

#[tokio::test]
async fn a_public_client_gets_no_secret() {
    let body = effective(with(json!({ "token_endpoint_auth_method": "none" }))).await;
    assert_eq!(body["token_endpoint_auth_method"], "none");
    assert_eq!(body.get("client_secret"), None);
    assert_eq!(body.get("client_secret_expires_at"), None);
}

#[tokio::test]
async fn client_secret_post_is_registered_as_asked() {
    let body = effective(with(json!({ "token_endpoint_auth_method": "client_secret_post" }))).await;
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_post");
    assert!(body["client_secret"].is_string());
}

#[tokio::test]
async fn an_unsupported_authentication_method_is_negotiated_down() {
    for method in ["client_secret_jwt", "tls_client_auth", "self_signed_tls_client_auth", "x"] {
        let body = effective(with(json!({ "token_endpoint_auth_method": method }))).await;
        assert_eq!(body["token_endpoint_auth_method"], "client_secret_basic", "{method}");
    }
}

#[tokio::test]
async fn unknown_members_are_ignored() {
    let body = effective(with(json!({
        "x_vendor": { "deep": [1, 2, null] },
        "contacts": ["a@b.example"],
        "logo_uri": "https://app.example/logo.png",
        "tos_uri": null,
        "policy_uri": "",
        "id_token_signed_response_alg": "RS256",
        "require_auth_time": true,
        "default_max_age": 5,
    })))
    .await;
    assert_eq!(body.get("x_vendor"), None);
}

#[tokio::test]
async fn optional_members_of_an_odd_type_or_null_count_as_absent() {
    let body = effective(with(json!({
        "client_name": null,
        "client_uri": 7,
        "grant_types": null,
        "response_types": "code",
        "token_endpoint_auth_method": null,
        "application_type": {},
        "scope": ["mcp:read"],
        "software_id": null,
        "software_version": 1.0,
        "jwks_uri": null,
        "jwks": null,
    })))
    .await;
    assert_eq!(body.get("client_name"), None);
    assert_eq!(body["grant_types"], json!(["authorization_code"]));
}

#[tokio::test]
async fn a_strange_jwks_does_not_matter_to_a_client_that_needs_none() {
    for jwks in [json!({}), json!("{}"), json!({ "keys": [{}] }), json!({ "keys": [{ "kty": 1 }] })] {
        let body = effective(with(json!({ "token_endpoint_auth_method": "none", "jwks": jwks }))).await;
        assert_eq!(body.get("jwks"), None);
    }
}

#[tokio::test]
async fn unsupported_grant_types_are_dropped_as_long_as_something_is_left() {
    let asked =
        json!(["authorization_code", "refresh_token", "implicit", "urn:ietf:params:oauth:grant-type:device_code"]);
    let body = effective(with(json!({ "grant_types": asked }))).await;
    assert_eq!(body["grant_types"], json!(["authorization_code", "refresh_token"]));
}

#[tokio::test]
async fn a_registration_that_leaves_no_grant_type_is_refused() {
    for asked in [json!(["implicit"]), json!(["password"]), json!(["refresh_token"])] {
        assert_bad_request(&register(with(json!({ "grant_types": asked }))).await, "invalid_client_metadata");
    }
}

#[tokio::test]
async fn response_types_that_include_code_are_negotiated_down_to_it() {
    let body = effective(with(json!({ "response_types": ["code", "id_token", "none"] }))).await;
    assert_eq!(body["response_types"], json!(["code"]));
    let body = effective(with(json!({ "response_types": [] }))).await;
    assert_eq!(body["response_types"], json!(["code"]));
}

#[tokio::test]
async fn response_types_without_code_leave_nothing_usable() {
    assert_bad_request(&register(with(json!({ "response_types": ["token"] }))).await, "invalid_client_metadata");
}

#[tokio::test]
async fn redirect_uris_that_real_clients_send_are_taken() {
    for uri in [
        "https://claude.ai/api/mcp/auth_callback",
        "https://chatgpt.com/connector_platform_oauth_redirect",
        "https://app.example/cb?tenant=1",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:33418/",
        "http://127.8.8.8:1/x",
        "http://[::1]:8080/cb",
        "http://localhost:6274/oauth/callback",
        "http://localhost",
        "cursor://anysphere.cursor-retrieval/oauth/user-mcp/callback",
        "vscode://vscode.github-authentication/did-authenticate",
        "com.example.app:/oauth2redirect",
        "com.example.app://callback",
    ] {
        let body = effective(json!({ "redirect_uris": [uri] })).await;
        assert_eq!(body["redirect_uris"], json!([uri]));
    }
}

#[tokio::test]
async fn redirect_uris_that_could_leak_a_code_are_refused() {
    for uri in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "blob:https://app.example/x",
        "about:blank",
        "view-source:https://app.example/",
        "filesystem:https://app.example/x",
        "intent://x#Intent;end",
        "mailto:a@b.example",
        "ftp://app.example/cb",
        "ws://app.example/cb",
        "http://app.example/cb",
        "http://localhost.app.example/cb",
        "http://10.0.0.1/cb",
        "http://0.0.0.0/cb",
        "https://app.example/cb#fragment",
        "https://app.example/cb#",
        "https://user@app.example/cb",
        "https://user:secret@app.example/cb",
        "https://@app.example/cb",
        "https://*.app.example/cb",
        "https://app.example/*",
        "https://app.example/a/../cb",
        "https://app.example/a/%2e%2E/cb",
        "https://app.example/./cb",
        "https://app.example/a\\..\\cb",
        "https:\\\\app.example\\cb",
        "https://app.example/c b",
        "https://app.example/c\tb",
        "https://app.example/cb\r\nSet-Cookie: x=1",
        " https://app.example/cb",
        "https://app.example/\u{202e}cb",
        "https:app.example/cb",
        "https:///cb",
        "//app.example/cb",
        "/cb",
        "app.example/cb",
        "",
    ] {
        let answer = register(json!({ "redirect_uris": [uri] })).await;
        assert_bad_request(&answer, "invalid_redirect_uri");
    }
}

#[tokio::test]
async fn a_bad_redirect_uri_among_good_ones_is_left_out_and_the_answer_says_so() {
    let uris = json!(["javascript:alert(1)", "https://app.example/cb", "https://app.example/cb"]);
    let answer = register(json!({ "redirect_uris": uris })).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.json()["redirect_uris"], json!(["https://app.example/cb"]));
}

#[tokio::test]
async fn the_code_grant_needs_a_redirect_uri() {
    for metadata in [json!({}), json!({ "redirect_uris": [] }), json!({ "redirect_uris": null })] {
        assert_bad_request(&register(metadata).await, "invalid_redirect_uri");
    }
}

#[tokio::test]
async fn application_type_is_inferred_when_it_is_missing() {
    for (uri, inferred) in
        [("https://app.example/cb", "web"), ("http://localhost:1/cb", "native"), ("com.example.app:/cb", "native")]
    {
        assert_eq!(effective(json!({ "redirect_uris": [uri] })).await["application_type"], inferred, "{uri}");
    }
}

#[tokio::test]
async fn a_native_client_may_have_an_https_redirect() {
    assert_eq!(effective(with(json!({ "application_type": "native" }))).await["application_type"], "native");
}

#[tokio::test]
async fn an_unknown_application_type_is_inferred() {
    assert_eq!(effective(with(json!({ "application_type": "browser" }))).await["application_type"], "web");
}

#[tokio::test]
async fn a_web_client_on_this_machine_is_a_contradiction() {
    let metadata = json!({ "redirect_uris": ["http://localhost:1/cb"], "application_type": "web" });
    assert_bad_request(&register(metadata).await, "invalid_client_metadata");
}

#[tokio::test]
async fn scopes_beyond_what_there_is_are_dropped() {
    let body = effective(with(json!({ "scope": "mcp:read openid profile offline_access" }))).await;
    assert_eq!(body["scope"], "mcp:read offline_access");
}

#[tokio::test]
async fn a_client_that_asks_for_no_scope_is_told_what_it_may_ask_for() {
    for metadata in [minimal(), with(json!({ "scope": "" })), with(json!({ "scope": "openid" }))] {
        let body = effective(metadata).await;
        assert_eq!(body["scope"], "files:read mcp:execute mcp:read mcp:write offline_access");
    }
}

#[tokio::test]
async fn policy_bounds_the_scope_of_clients_that_register_themselves() {
    let ceiling = Some(scope("mcp:read"));
    let server = TestServer::builder().policy(|policy| policy.registration.scope_ceiling = ceiling).start().await;
    let answer = server.register(&with(json!({ "scope": "mcp:read mcp:execute" }))).await;
    assert_eq!(answer.json()["scope"], "mcp:read");
}

#[tokio::test]
async fn the_ceiling_also_holds_at_the_authorization_endpoint() {
    let ceiling = Some(scope("mcp:read"));
    let builder = TestServer::builder().policy(|policy| policy.registration.scope_ceiling = ceiling);
    let server = builder.start().await.with_user().await;
    let metadata =
        json!({ "redirect_uris": [gateward::testing::server::REDIRECT], "token_endpoint_auth_method": "none" });
    let client = TestClient::registered(&server.register(&metadata).await);
    let code = server.code(&Parameters::authorize(&client).set("scope", "mcp:read mcp:execute")).await;
    assert_eq!(server.redeem(&client, &code).await.json()["scope"], "mcp:read");
}

#[tokio::test]
async fn a_client_that_registers_itself_gets_no_machine_access_by_default() {
    let body = effective(with(json!({ "grant_types": ["authorization_code", "client_credentials"] }))).await;
    assert_eq!(body["grant_types"], json!(["authorization_code"]));
    let answer = register(json!({ "grant_types": ["client_credentials"] })).await;
    assert_bad_request(&answer, "invalid_client_metadata");
}

#[tokio::test]
async fn with_policy_a_machine_registers_without_redirect_uri_and_gets_a_token() {
    let builder = TestServer::builder().policy(|policy| policy.registration.allow_client_credentials = true);
    let server = builder.start().await;
    let answer = server.register(&json!({ "grant_types": ["client_credentials"] })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    assert_eq!(answer.json()["redirect_uris"], json!([]));
    assert_eq!(answer.json()["response_types"], json!([]));
    let client = TestClient::registered(&answer);
    assert_ok(&server.token(&client, [("grant_type", "client_credentials"), ("resource", OPAQUE_RESOURCE)]).await);
}

#[tokio::test]
async fn a_public_machine_is_refused_even_with_that_policy() {
    let builder = TestServer::builder().policy(|policy| policy.registration.allow_client_credentials = true);
    let metadata = json!({ "grant_types": ["client_credentials"], "token_endpoint_auth_method": "none" });
    assert_bad_request(&builder.start().await.register(&metadata).await, "invalid_client_metadata");
}

#[tokio::test]
async fn private_key_jwt_needs_a_usable_public_key() {
    for jwks in [json!(null), json!({ "keys": [] }), json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] })] {
        let metadata = with(json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks }));
        assert_bad_request(&register(metadata).await, "invalid_client_metadata");
    }
    let metadata = with(json!({
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": "https://app.example/jwks.json",
    }));
    assert_bad_request(&register(metadata).await, "invalid_client_metadata");
}

#[tokio::test]
async fn private_members_of_a_key_are_not_kept() {
    let jwks = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ", "d": "c2VjcmV0" }] });
    let metadata = with(json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks }));
    let body = effective(metadata).await;
    assert_eq!(body["jwks"]["keys"][0].get("d"), None);
    assert_eq!(body.get("client_secret"), None);
}

#[tokio::test]
async fn members_that_are_too_large_are_refused() {
    let long = "x".repeat(201);
    for name in ["client_name", "software_id", "software_version"] {
        assert_bad_request(&register(with(json!({ name: long }))).await, "invalid_client_metadata");
    }
    let uris: Vec<String> = (0..21).map(|i| format!("https://app.example/{i}")).collect();
    assert_bad_request(&register(json!({ "redirect_uris": uris })).await, "invalid_redirect_uri");
    let uri = format!("https://app.example/{}", "x".repeat(2048));
    assert_bad_request(&register(json!({ "redirect_uris": [uri] })).await, "invalid_redirect_uri");
    let keys: Vec<Value> = (0..11).map(|_| json!({ "kty": "EC" })).collect();
    let metadata = with(json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": keys } }));
    assert_bad_request(&register(metadata).await, "invalid_client_metadata");
}

#[tokio::test]
async fn a_name_keeps_nothing_that_deceives() {
    let body = effective(with(json!({ "client_name": "  Cla\u{202e}ude\r\n\u{200b}" }))).await;
    assert_eq!(body["client_name"], "Claude");
}

/// Nobody shows these, but not every store can keep them as they came.
#[tokio::test]
async fn control_characters_in_what_describes_the_software_are_left_out() {
    let metadata = json!({
        "software_id": "inspec\0tor", "software_version": "1\u{1b}.2", "client_uri": "https://app.example/\0",
    });
    let body = effective(with(metadata)).await;
    assert_eq!((&body["software_id"], &body["software_version"]), (&json!("inspector"), &json!("1.2")));
    assert_eq!(body.get("client_uri"), None);
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let server = TestServer::builder().start().await;
    for body in ["", "{", "[]", "null", "\"x\"", "redirect_uris=x", "{\"redirect_uris\": [\"https://a.example/\u{0}"] {
        let call = server.call(Method::POST, REGISTER).header("content-type", "application/json").body(body);
        assert_bad_request(&call.send().await, "invalid_request");
    }
}

#[tokio::test]
async fn a_body_that_is_not_utf8_is_refused() {
    let server = TestServer::builder().start().await;
    let body = b"{\"redirect_uris\":[\"https://a.example/\xff\"]}".to_vec();
    let call = server.call(Method::POST, REGISTER).header("content-type", "application/json").body(body);
    assert_bad_request(&call.send().await, "invalid_request");
}

#[tokio::test]
async fn a_deeply_nested_body_is_refused() {
    let server = TestServer::builder().start().await;
    let body = format!("{{\"x\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let call = server.call(Method::POST, REGISTER).header("content-type", "application/json").body(body);
    assert_bad_request(&call.send().await, "invalid_request");
}

#[tokio::test]
async fn another_media_type_is_refused() {
    let server = TestServer::builder().start().await;
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let call = server.call(Method::POST, REGISTER).header("content-type", media_type).body(minimal().to_string());
        assert_bad_request(&call.send().await, "invalid_request");
    }
}

#[tokio::test]
async fn the_media_type_may_state_a_charset() {
    let server = TestServer::builder().start().await;
    let call = server.call(Method::POST, REGISTER).header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(call.body(minimal().to_string()).send().await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn redirect_uris_of_the_wrong_type_are_refused() {
    for uris in [json!("https://app.example/cb"), json!([7]), json!({})] {
        assert_bad_request(&register(json!({ "redirect_uris": uris })).await, "invalid_client_metadata");
    }
}

#[tokio::test]
async fn closed_registration_says_so() {
    let builder = TestServer::builder().policy(|policy| policy.registration.mode = RegistrationMode::Closed);
    assert_error(&builder.start().await.register(&minimal()).await, StatusCode::FORBIDDEN, "access_denied");
}

#[tokio::test]
async fn registration_by_initial_access_token_takes_the_right_token_only() {
    let mode = RegistrationMode::InitialAccessToken(vec![Digest::of("first"), Digest::of("second")]);
    let server = TestServer::builder().policy(|policy| policy.registration.mode = mode).start().await;
    let call = || server.call(Method::POST, REGISTER).json(&minimal());
    for refused in [call().send().await, call().bearer("third").send().await] {
        assert_error(&refused, StatusCode::UNAUTHORIZED, "invalid_token");
        assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")));
    }
    for good in ["first", "second"] {
        assert_eq!(call().bearer(good).send().await.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let server = TestServer::builder().start().await;
    let call = server.call(Method::POST, REGISTER).json(&minimal()).bearer("a").bearer("b");
    assert_bad_request(&call.send().await, "invalid_request");
}

#[tokio::test]
async fn registrations_are_limited_per_address() {
    let builder = TestServer::builder().options(|options| {
        options.registration_burst = NonZeroU32::new(2).expect("two");
        options.registration_period = Duration::from_secs(3600);
    });
    let server = builder.start().await;
    let from = async |address| server.call(Method::POST, REGISTER).json(&minimal()).from(address).send().await;
    assert_eq!(from("192.0.2.1").await.status, StatusCode::CREATED);
    assert_eq!(from("192.0.2.1").await.status, StatusCode::CREATED);
    let refused = from("192.0.2.1").await;
    assert_error(&refused, StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable");
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|s| s > 0)));
    assert_eq!(from("192.0.2.2").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn registered_clients_are_limited_in_total() {
    let server = TestServer::builder().policy(|policy| policy.registration.max_clients = 2).start().await;
    for _ in 0..2 {
        assert_eq!(server.register(&minimal()).await.status, StatusCode::CREATED);
    }
    let refused = server.register(&minimal()).await;
    assert_error(&refused, StatusCode::TOO_MANY_REQUESTS, "access_denied");
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn a_client_that_was_never_authorized_is_reaped_after_hours() {
    let server = TestServer::start().await;
    let metadata =
        json!({ "redirect_uris": [gateward::testing::server::REDIRECT], "token_endpoint_auth_method": "none" });
    let client = TestClient::registered(&server.register(&metadata).await);
    server.pass(24 * 3600 - 1);
    server.authority().purge(server.now()).await.expect("a purge");
    assert_page(&server.visitor().authorize(&Parameters::authorize(&client)).await, StatusCode::OK);
    server.pass(2);
    server.authority().purge(server.now()).await.expect("a purge");
    let page = server.visitor().authorize(&Parameters::authorize(&client)).await;
    assert_page(&page, StatusCode::BAD_REQUEST);
    assert!(page.visible().contains("registration has lapsed"), "{}", page.visible());
    assert_invalid_client(&server.refresh(&client, "gw_rt_x").await);
}

#[tokio::test]
async fn a_client_with_a_live_grant_is_never_reaped() {
    let lifetime = Duration::from_secs(400 * 24 * 3600);
    let server = TestServer::builder().policy(|policy| policy.lifetimes.refresh = lifetime);
    let server = server.start().await.with_user().await;
    let metadata = json!({
        "redirect_uris": [gateward::testing::server::REDIRECT],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    });
    let client = TestClient::registered(&server.register(&metadata).await);
    let tokens = server.tokens(&client).await;
    server.pass(200 * 24 * 3600);
    server.authority().purge(server.now()).await.expect("a purge");
    assert_ok(&server.refresh(&client, &text(&tokens, "refresh_token")).await);
}

#[tokio::test]
async fn an_idle_client_is_reaped_by_its_last_use() {
    let server = TestServer::start().await;
    let metadata =
        json!({ "redirect_uris": [gateward::testing::server::REDIRECT], "token_endpoint_auth_method": "none" });
    let client = TestClient::registered(&server.register(&metadata).await);
    server.tokens(&client).await;
    server.pass(89 * 24 * 3600);
    server.authority().purge(server.now()).await.expect("a purge");
    assert_page(&server.visitor().authorize(&Parameters::authorize(&client)).await, StatusCode::OK);
    server.pass(2 * 24 * 3600);
    server.authority().purge(server.now()).await.expect("a purge");
    assert_page(&server.visitor().authorize(&Parameters::authorize(&client)).await, StatusCode::BAD_REQUEST);
}
