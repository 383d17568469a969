//! The client credentials grant (RFC 6749 4.4).

use gateward::{
    domain::{client::GrantType, resource::ResourceUri},
    service::administer_clients::ClientSpec,
    testing::server::{
        OPAQUE_RESOURCE, Parameters, RESOURCE, TestClient, TestServer, machine, public_client, resource_server,
    },
};

use super::*;

fn form() -> Parameters {
    Parameters::from([("grant_type", "client_credentials")])
}

async fn ask(spec: ClientSpec, form: Parameters) -> Answer {
    let server = TestServer::start().await;
    let worker = server.create_client("worker", spec).await;
    server.token(&worker, form).await
}

#[tokio::test]
async fn a_worker_gets_a_token_for_itself_and_no_refresh_token() {
    let answer = ask(machine(), form()).await;
    assert_ok(&answer);
    assert_no_store(&answer);
    let body = answer.json();
    assert_no_nulls(&body);
    assert_eq!(body.get("refresh_token"), None);
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["scope"], "mcp:read");
    let claims = claims_of(&text(&body, "access_token"));
    assert_eq!(claims["sub"], "worker");
    assert_eq!(claims["client_id"], "worker");
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims.get("grant_id"), None);
    assert_eq!(claims.get("auth_time"), None);
}

#[tokio::test]
async fn even_a_worker_with_the_refresh_grant_gets_no_refresh_token() {
    let grant_types = vec![GrantType::ClientCredentials, GrantType::RefreshToken];
    let answer = ask(ClientSpec { grant_types, ..machine() }, form().add("scope", "mcp:read offline_access")).await;
    assert_ok(&answer);
    assert_eq!(answer.json().get("refresh_token"), None);
}

#[tokio::test]
async fn a_public_client_is_unauthorized() {
    assert_bad_request(&ask(public_client(), form()).await, "unauthorized_client");
}

/// Even if its record says otherwise.
#[tokio::test]
async fn a_public_client_with_the_grant_is_unauthorized() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let id = gateward::domain::identifier::ClientId::parse("app").expect("a client_id");
    let mut stored = server.authority().client(&id).await.expect("the client");
    stored.grant_types.push(GrantType::ClientCredentials);
    server.stores.clients.replace(&stored).await.expect("the store");
    assert_bad_request(&server.token(&client, form()).await, "unauthorized_client");
}

#[tokio::test]
async fn a_client_without_the_grant_is_unauthorized() {
    assert_bad_request(&ask(resource_server(RESOURCE), form()).await, "unauthorized_client");
}

#[tokio::test]
async fn the_scope_is_within_the_clients() {
    let spec = || ClientSpec { scope: scope("mcp:read mcp:write"), ..machine() };
    assert_eq!(ask(spec(), form()).await.json()["scope"], "mcp:read mcp:write");
    assert_eq!(ask(spec(), form().add("scope", "mcp:write")).await.json()["scope"], "mcp:write");
    assert_bad_request(&ask(spec(), form().add("scope", "mcp:execute")).await, "invalid_scope");
    assert_bad_request(&ask(spec(), form().add("scope", "mcp:read mcp:execute")).await, "invalid_scope");
}

#[tokio::test]
async fn a_worker_without_a_scope_cannot_be_made() {
    let server = TestServer::start().await;
    let spec = ClientSpec { scope: scope(""), ..machine() };
    let made = server.authority().create_client(None, spec, server.now()).await;
    assert!(made.expect_err("a refusal").to_string().contains("needs a scope"));
}

#[tokio::test]
async fn a_scope_of_another_resource_or_a_malformed_one_is_refused() {
    for scope in ["files:read", "openid", "\"", "é"] {
        assert_bad_request(&ask(machine(), form().add("scope", scope)).await, "invalid_scope");
    }
}

#[tokio::test]
async fn a_resource_within_reach_is_the_audience() {
    let answer = ask(machine(), form().add("resource", "https://files.example.com")).await;
    assert_ok(&answer);
    assert!(answer.member("access_token").starts_with("gw_at_"));
    let answer = ask(machine(), form().add("resource", "https://ALIAS.example.com/v1")).await;
    assert_eq!(claims_of(&answer.member("access_token"))["aud"], RESOURCE);
}

#[tokio::test]
async fn a_resource_out_of_reach_is_an_invalid_target() {
    let resources = || vec![ResourceUri::parse(OPAQUE_RESOURCE).expect("a resource")];
    let spec = || ClientSpec { resources: resources(), ..machine() };
    assert_bad_request(&ask(spec(), form().add("resource", RESOURCE)).await, "invalid_target");
    assert!(ask(spec(), form()).await.member("access_token").starts_with("gw_at_"), "its own is its default");
    for resource in ["https://other.example.com/", "x", "https://mcp.example.com/mcp#f"] {
        assert_bad_request(&ask(machine(), form().add("resource", resource)).await, "invalid_target");
    }
}

#[tokio::test]
async fn a_token_has_one_audience() {
    let two = form().add("resource", RESOURCE).add("resource", OPAQUE_RESOURCE);
    assert_bad_request(&ask(machine(), two).await, "invalid_target");
    let twice = form().add("resource", RESOURCE).add("resource", "https://alias.example.com/v1");
    assert_ok(&ask(machine(), twice).await);
}

#[tokio::test]
async fn a_token_lives_as_long_as_its_resource_says() {
    assert_eq!(ask(machine(), form()).await.json()["expires_in"], 3600);
    let opaque = ask(machine(), form().add("resource", OPAQUE_RESOURCE)).await;
    assert_eq!(opaque.json()["expires_in"], 1800);
}

#[tokio::test]
async fn an_opaque_token_of_a_worker_is_known_at_introspection() {
    let server = TestServer::start().await;
    let worker = server.create_client("worker", machine()).await;
    let rs = server.create_client("rs", resource_server(OPAQUE_RESOURCE)).await;
    let token = server.token(&worker, form().add("resource", OPAQUE_RESOURCE)).await.member("access_token");
    let active = server.introspect(&rs, &token).await;
    assert_eq!(active["sub"], "worker");
    assert_eq!(active.get("username"), None);
    assert_eq!(active.get("grant_id"), None);
}

/// What it registered for then is no promise.
#[tokio::test]
async fn a_client_that_registered_itself_is_unauthorized_once_policy_forbids_it() {
    let builder = TestServer::builder().policy(|policy| policy.registration.allow_client_credentials = true);
    let before = builder.start().await;
    let metadata = serde_json::json!({
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": "mcp:read",
    });
    let client = TestClient::registered(&before.register(&metadata).await);
    assert_ok(&before.token(&client, form()).await);
    let after = before.again(TestServer::builder()).await;
    assert_bad_request(&after.token(&client, form()).await, "unauthorized_client");
    let spec = ClientSpec { grant_types: vec![GrantType::ClientCredentials], ..machine() };
    let vouched_for = after.create_client("worker", spec).await;
    assert_ok(&after.token(&vouched_for, form()).await);
}
