//! Introspection (RFC 7662): who may know what, and that everything else is `{"active":false}`.

use gateward::{
    domain::{
        account::Username,
        client::{AuthenticationMethod, ClientStatus},
        identifier::ClientId,
        resource::TokenFormat,
    },
    protocol::jose::Algorithm,
    service::administer_clients::ClientSpec,
    testing::server::{
        ISSUER, OPAQUE_RESOURCE, Parameters, RESOURCE, TestClient, TestServer, USERNAME, machine, public_client,
        resource, resource_server,
    },
};
use serde_json::{Value, json};

use super::*;

const INTROSPECT: &str = "/oauth/introspect";

struct Issued {
    server: TestServer,
    client: TestClient,
    rs: TestClient,
    tokens: Value,
}

/// Tokens of a confidential client (which may ask about its own refresh token) for a resource.
async fn issued_at(resource: &str) -> Issued {
    let server = TestServer::start().await;
    let spec = ClientSpec { authentication: AuthenticationMethod::ClientSecretBasic, ..public_client() };
    let client = server.create_client("app", spec).await;
    let rs = server.create_client("rs", resource_server(resource)).await;
    let code = server.code(&Parameters::authorize(&client).add("resource", resource)).await;
    let tokens = server.redeem(&client, &code).await.json();
    Issued { server, client, rs, tokens }
}

async fn issued() -> Issued {
    issued_at(RESOURCE).await
}

impl Issued {
    fn access(&self) -> String {
        text(&self.tokens, "access_token")
    }

    fn refresh(&self) -> String {
        text(&self.tokens, "refresh_token")
    }

    async fn ask(&self) -> Value {
        self.server.introspect(&self.rs, &self.access()).await
    }

    async fn ask_about_refresh(&self) -> Value {
        self.server.introspect(&self.client, &self.refresh()).await
    }
}

#[tokio::test]
async fn an_active_token_is_described_in_full() {
    for resource in [RESOURCE, OPAQUE_RESOURCE] {
        let issued = issued_at(resource).await;
        let body = issued.ask().await;
        assert_no_nulls(&body);
        let now = issued.server.now().unix();
        let lifetime = if resource == RESOURCE { 3600 } else { 1800 };
        assert_eq!(body["active"], true);
        assert_eq!(body["client_id"], "app");
        assert_eq!(body["username"], USERNAME);
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["exp"], now + lifetime);
        assert_eq!(body["iat"], now);
        assert_eq!(body["nbf"], now);
        assert_eq!(body["aud"], resource);
        assert_eq!(body["iss"], ISSUER);
        assert!(text(&body, "scope").contains("mcp:read"));
        for name in ["sub", "jti", "grant_id"] {
            assert!(!text(&body, name).is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn introspection_says_what_the_jwt_says() {
    let issued = issued().await;
    let (body, claims) = (issued.ask().await, claims_of(&issued.access()));
    for name in ["scope", "client_id", "exp", "iat", "nbf", "sub", "aud", "iss", "jti", "grant_id"] {
        assert_eq!(body[name], claims[name], "{name}");
    }
}

#[tokio::test]
async fn the_answer_is_not_kept() {
    let issued = issued().await;
    let answer = issued.server.post_as(&issued.rs, INTROSPECT, [("token", issued.access().as_str())]).await;
    assert_no_store(&answer);
    let answer = issued.server.post_as(&issued.rs, INTROSPECT, [("token", "x")]).await;
    assert_no_store(&answer);
    assert_eq!(answer.text(), r#"{"active":false}"#);
}

#[tokio::test]
async fn without_authentication_it_is_401() {
    let issued = issued().await;
    assert_invalid_client(&issued.server.post(INTROSPECT, [("token", issued.access().as_str())]).await);
    let liar = TestClient { secret: Some("wrong".to_owned()), ..issued.rs.clone() };
    assert_invalid_client(&issued.server.post_as(&liar, INTROSPECT, [("token", "x")]).await);
}

#[tokio::test]
async fn a_missing_token_is_an_invalid_request() {
    let issued = issued().await;
    assert_bad_request(&issued.server.post_as(&issued.rs, INTROSPECT, Parameters::default()).await, "invalid_request");
    assert_bad_request(&issued.server.post_as(&issued.rs, INTROSPECT, [("token", "")]).await, "invalid_request");
}

#[tokio::test]
async fn a_resource_server_sees_its_own_tokens_only() {
    let issued = issued().await;
    let other = issued.server.create_client("other", resource_server(OPAQUE_RESOURCE)).await;
    assert_eq!(issued.server.introspect(&other, &issued.access()).await, inactive());
}

#[tokio::test]
async fn a_client_that_may_not_introspect_sees_no_access_token() {
    let issued = issued().await;
    let worker = issued.server.create_client("worker", machine()).await;
    assert_eq!(issued.server.introspect(&worker, &issued.access()).await, inactive());
    assert_eq!(issued.server.introspect(&issued.client, &issued.access()).await, inactive(), "not even its own");
}

#[tokio::test]
async fn a_resource_server_for_no_resource_sees_nothing() {
    let issued = issued().await;
    let id = ClientId::parse("rs").expect("a client_id");
    let mut stored = issued.server.authority().client(&id).await.expect("the client");
    stored.resources.clear();
    issued.server.stores.clients.replace(&stored).await.expect("the store");
    assert_eq!(issued.ask().await, inactive());
}

#[tokio::test]
async fn unknown_and_malformed_tokens_are_inactive() {
    let issued = issued().await;
    let access = issued.access();
    let (message, signature) = access.rsplit_once('.').expect("a JWS");
    for token in [
        "x",
        "..",
        "a.b.c",
        "gw_at_",
        "gw_rt_",
        "\u{0}",
        "é",
        message,
        &format!("{message}."),
        &format!("{message}.{}", "A".repeat(signature.len())),
        &format!("{access}="),
        &access[1..],
        &"x".repeat(20_000),
    ] {
        assert_eq!(issued.server.introspect(&issued.rs, token).await, inactive());
    }
}

#[tokio::test]
async fn a_token_that_this_server_did_not_sign_is_inactive() {
    let (here, elsewhere) = (issued().await, issued().await);
    assert_eq!(here.server.introspect(&here.rs, &elsewhere.access()).await, inactive());
}

#[tokio::test]
async fn unsigned_and_otherwise_signed_claims_are_inactive() {
    let issued = issued().await;
    let token = issued.access();
    let claims = token.split('.').nth(1).expect("claims");
    for header in [json!({ "alg": "none", "typ": "at+jwt" }), json!({ "alg": "HS256", "typ": "at+jwt" })] {
        let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header.to_string()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"");
        let mac = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
        for signature in ["", mac.as_str()] {
            let forged = format!("{message}.{signature}");
            assert_eq!(issued.server.introspect(&issued.rs, &forged).await, inactive());
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_inactive() {
    for resource in [RESOURCE, OPAQUE_RESOURCE] {
        let issued = issued_at(resource).await;
        issued.server.pass(if resource == RESOURCE { 3599 } else { 1799 });
        assert_eq!(issued.ask().await["active"], true);
        issued.server.pass(1);
        assert_eq!(issued.ask().await, inactive());
    }
}

#[tokio::test]
async fn a_token_of_a_revoked_grant_is_inactive_at_once() {
    for resource in [RESOURCE, OPAQUE_RESOURCE] {
        let issued = issued_at(resource).await;
        let id = text(&issued.ask().await, "grant_id");
        let id = GrantId::parse(&id).expect("a grant id");
        issued.server.authority().revoke_grant(&id, issued.server.now()).await.expect("the store");
        assert_eq!(issued.ask().await, inactive());
        assert_eq!(issued.ask_about_refresh().await, inactive());
    }
}

#[tokio::test]
async fn a_disabled_users_tokens_are_inactive() {
    let issued = issued().await;
    let user = issued.server.authority().user(&Username::parse(USERNAME).expect("a name")).await.expect("the user");
    let disabled = gateward::domain::account::UserStatus::Disabled;
    issued.server.stores.accounts.set_status(&user.id, disabled).await.expect("the store");
    assert_eq!(issued.ask().await, inactive());
    assert_eq!(issued.ask_about_refresh().await, inactive());
}

#[tokio::test]
async fn a_disabled_clients_tokens_are_inactive() {
    let issued = issued().await;
    let id = ClientId::parse("app").expect("a client_id");
    let mut stored = issued.server.authority().client(&id).await.expect("the client");
    stored.status = ClientStatus::Disabled;
    issued.server.stores.clients.replace(&stored).await.expect("the store");
    assert_eq!(issued.ask().await, inactive());
}

#[tokio::test]
async fn a_hint_is_only_a_hint() {
    let issued = issued().await;
    for hint in ["access_token", "refresh_token", "id_token", "nonsense", ""] {
        let form = [("token", issued.access()), ("token_type_hint", hint.to_owned())];
        let form = Parameters::from([(form[0].0, form[0].1.as_str()), (form[1].0, form[1].1.as_str())]);
        assert_eq!(issued.server.post_as(&issued.rs, INTROSPECT, form).await.json()["active"], true, "{hint}");
        let form = Parameters::from([("token", issued.refresh().as_str()), ("token_type_hint", hint)]);
        assert_eq!(issued.server.post_as(&issued.client, INTROSPECT, form).await.json()["active"], true, "{hint}");
    }
}

#[tokio::test]
async fn a_client_sees_its_own_refresh_token() {
    let issued = issued().await;
    let body = issued.ask_about_refresh().await;
    assert_no_nulls(&body);
    assert_eq!(body["active"], true);
    assert_eq!(body["client_id"], "app");
    assert_eq!(body["username"], USERNAME);
    assert_eq!(body["iss"], ISSUER);
    assert_eq!(body["exp"], issued.server.now().unix() + 7 * 24 * 3600);
    assert_eq!(body["grant_id"], issued.ask().await["grant_id"]);
}

#[tokio::test]
async fn nobody_else_sees_a_refresh_token() {
    let issued = issued().await;
    let spec = ClientSpec { authentication: AuthenticationMethod::ClientSecretBasic, ..public_client() };
    let other = issued.server.create_client("other", spec).await;
    for caller in [&other, &issued.rs] {
        assert_eq!(issued.server.introspect(caller, &issued.refresh()).await, inactive());
    }
}

#[tokio::test]
async fn a_rotated_refresh_token_is_inactive() {
    let issued = issued().await;
    let next = issued.server.refresh(&issued.client, &issued.refresh()).await.member("refresh_token");
    assert_eq!(issued.ask_about_refresh().await, inactive());
    assert_eq!(issued.server.introspect(&issued.client, &next).await["active"], true);
}

#[tokio::test]
async fn an_expired_refresh_token_is_inactive() {
    let issued = issued().await;
    issued.server.pass(7 * 24 * 3600);
    assert_eq!(issued.ask_about_refresh().await, inactive());
}

#[tokio::test]
async fn codes_and_secrets_are_no_tokens() {
    let issued = issued().await;
    let code = issued.server.code(&Parameters::authorize(&issued.client)).await;
    for token in [code.as_str(), issued.client.secret()] {
        assert_eq!(issued.server.introspect(&issued.rs, token).await, inactive());
        assert_eq!(issued.server.introspect(&issued.client, token).await, inactive());
    }
}

#[tokio::test]
async fn a_machines_token_has_no_user_and_no_grant() {
    let server = TestServer::start().await;
    let worker = server.create_client("worker", machine()).await;
    let rs = server.create_client("rs", resource_server(RESOURCE)).await;
    let token = server.token(&worker, [("grant_type", "client_credentials")]).await.member("access_token");
    let body = server.introspect(&rs, &token).await;
    assert_eq!(body["sub"], "worker");
    assert_eq!(body.get("username"), None);
    assert_eq!(body.get("grant_id"), None);
}

#[tokio::test]
async fn every_signing_algorithm_is_recognised() {
    for algorithm in Algorithm::ASYMMETRIC {
        let resources = vec![resource(RESOURCE, &["mcp:read"], TokenFormat::Jwt(*algorithm))];
        let server = TestServer::builder().resources(resources).start().await;
        let worker = server.create_client("worker", machine()).await;
        let rs = server.create_client("rs", resource_server(RESOURCE)).await;
        let token = server.token(&worker, [("grant_type", "client_credentials")]).await.member("access_token");
        assert_eq!(server.introspect(&rs, &token).await["active"], true, "{algorithm}");
    }
}
