//! A store that is down: 503, `Retry-After`, `temporarily_unavailable`, and never a token that was not recorded.

use axum::http::{Method, StatusCode};
use gateward::testing::server::{
    Answer, Builder, OPAQUE_RESOURCE, PASSWORD, Parameters, REDIRECT, RESOURCE, TestClient, TestServer, USERNAME,
    machine, public_client, resource_server,
};
use serde_json::json;

use super::{faults::Faults, *};

struct Setup {
    faults: Faults,
    server: TestServer,
    client: TestClient,
}

async fn setup() -> Setup {
    setup_of(TestServer::builder()).await
}

/// A server that looks up what it issued.
async fn setup_without_copies() -> Setup {
    setup_of(TestServer::builder().issued_copies(0)).await
}

async fn setup_of(builder: Builder) -> Setup {
    let faults = Faults::default();
    let server = builder.stores(|stores| faults.wrap(stores)).start().await.with_user().await;
    let client = server.create_client("app", public_client()).await;
    Setup { faults, server, client }
}

/// The page for humans.
#[track_caller]
fn assert_page_unavailable(answer: &Answer) {
    assert_page(answer, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").is_some(), "no Retry-After");
    assert!(answer.text().contains("temporarily_unavailable"));
}

#[tokio::test]
async fn the_token_endpoint_is_unavailable_for_every_grant() {
    let Setup { faults, server, client } = setup().await;
    let worker = server.create_client("worker", machine()).await;
    let code = server.code(&Parameters::authorize(&client)).await;
    let refresh = text(&server.tokens(&client).await, "refresh_token");
    faults.take_down();
    assert_unavailable(&server.redeem(&client, &code).await);
    assert_unavailable(&server.refresh(&client, &refresh).await);
    assert_unavailable(&server.token(&worker, [("grant_type", "client_credentials")]).await);
}

#[tokio::test]
async fn a_code_that_could_not_be_spent_is_still_good() {
    for method in ["clients.find", "tokens.find_code", "accounts.active_user", "tokens.redeem"] {
        let Setup { faults, server, client } = setup_without_copies().await;
        let code = server.code(&Parameters::authorize(&client)).await;
        faults.take_down_at(&[method]);
        assert_unavailable(&server.redeem(&client, &code).await);
        faults.heal();
        assert_ok(&server.redeem(&client, &code).await);
    }
}

#[tokio::test]
async fn a_refresh_token_that_could_not_be_rotated_is_still_good() {
    for method in ["clients.find", "tokens.find_refresh", "accounts.active_user", "tokens.rotate"] {
        let Setup { faults, server, client } = setup_without_copies().await;
        let refresh = text(&server.tokens(&client).await, "refresh_token");
        faults.take_down_at(&[method]);
        assert_unavailable(&server.refresh(&client, &refresh).await);
        faults.heal();
        server.pass(3600);
        assert_ok(&server.refresh(&client, &refresh).await);
    }
}

#[tokio::test]
async fn a_replay_that_could_not_be_recorded_is_not_answered_as_one() {
    let Setup { faults, server, client } = setup().await;
    let code = server.code(&Parameters::authorize(&client)).await;
    server.redeem(&client, &code).await;
    faults.take_down_at(&["tokens.revoke_grant"]);
    assert_unavailable(&server.redeem(&client, &code).await);
    faults.heal();
    assert_bad_request(&server.redeem(&client, &code).await, "invalid_grant");
    assert!(!grant_of(&server, &code).await.is_active());
}

#[tokio::test]
async fn an_opaque_token_that_could_not_be_recorded_is_not_handed_out() {
    let Setup { faults, server, .. } = setup().await;
    let worker = server.create_client("worker", machine()).await;
    faults.take_down_at(&["tokens.record_access"]);
    let form = [("grant_type", "client_credentials"), ("resource", OPAQUE_RESOURCE)];
    assert_unavailable(&server.token(&worker, form).await);
}

#[tokio::test]
async fn an_assertion_whose_use_could_not_be_recorded_authenticates_nobody() {
    use gateward::{
        adapter::signing_key::SigningKey,
        domain::client::AuthenticationMethod,
        protocol::{
            client_authentication::JWT_BEARER,
            jose::{Algorithm, JwkSet},
        },
        service::administer_clients::ClientSpec,
    };
    let Setup { faults, server, .. } = setup().await;
    let key = SigningKey::generate(Algorithm::ES256).expect("a key");
    let spec = ClientSpec {
        authentication: AuthenticationMethod::PrivateKeyJwt,
        jwks: Some(JwkSet { keys: vec![key.public().clone()] }),
        ..machine()
    };
    server.create_client("signer", spec).await;
    let now = server.now().unix();
    let claims = json!({
        "iss": "signer", "sub": "signer", "aud": gateward::testing::server::ISSUER, "exp": now + 60, "jti": "1",
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&json!({ "alg": "ES256" })), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).expect("a signature"));
    let form = Parameters::from([("grant_type", "client_credentials"), ("client_assertion_type", JWT_BEARER)])
        .add("client_assertion", &format!("{message}.{signature}"));
    faults.take_down_at(&["tokens.use_once"]);
    assert_unavailable(&server.post("/oauth/token", &form).await);
    faults.heal();
    assert_ok(&server.post("/oauth/token", &form).await);
}

#[tokio::test]
async fn registration_and_its_management_are_unavailable() {
    let Setup { faults, server, .. } = setup().await;
    let metadata = json!({ "redirect_uris": [REDIRECT] });
    let registered = server.register(&metadata).await;
    let uri = format!("/oauth/register/{}", registered.member("client_id"));
    faults.take_down();
    assert_unavailable(&server.register(&metadata).await);
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let call = server.call(method, &uri).bearer(&registered.member("registration_access_token"));
        assert_unavailable(&call.json(&metadata).send().await);
    }
}

#[tokio::test]
async fn introspection_is_unavailable_and_does_not_guess() {
    let Setup { faults, server, client } = setup().await;
    let rs = server.create_client("rs", resource_server(RESOURCE)).await;
    let token = text(&server.tokens(&client).await, "access_token");
    let ask = || server.post_as(&rs, "/oauth/introspect", Parameters::from([("token", token.as_str())]));
    faults.take_down();
    assert_unavailable(&ask().await);
    for method in ["tokens.standing", "accounts.active_user", "clients.find"] {
        faults.take_down_at(&[method]);
        assert_unavailable(&ask().await);
    }
}

#[tokio::test]
async fn revocation_is_unavailable_and_does_not_pretend() {
    let Setup { faults, server, client } = setup().await;
    let tokens = server.tokens(&client).await;
    let revoke = |name: &str| {
        let form = Parameters::from([("token", text(&tokens, name).as_str())]);
        let (server, client) = (server.clone(), client.clone());
        async move { server.post_as(&client, "/oauth/revoke", form).await }
    };
    faults.take_down();
    assert_unavailable(&revoke("refresh_token").await);
    faults.take_down_at(&["tokens.revoke_grant"]);
    assert_unavailable(&revoke("refresh_token").await);
    faults.take_down_at(&["tokens.revoke_access"]);
    assert_unavailable(&revoke("access_token").await);
    faults.heal();
    assert_ok(&server.refresh(&client, &text(&tokens, "refresh_token")).await);
}

#[tokio::test]
async fn before_the_client_is_known_the_human_is_told() {
    let Setup { faults, server, client } = setup().await;
    faults.take_down();
    assert_page_unavailable(&server.visitor().authorize(&Parameters::authorize(&client)).await);
}

#[tokio::test]
async fn once_the_client_is_known_it_is_told_at_its_redirect_uri() {
    let Setup { faults, server, client } = setup().await;
    let mut visitor = server.visitor();
    visitor.code(&Parameters::authorize(&client)).await;
    // Then it has to be noted again that the client is used.
    server.pass(1800);
    for method in ["accounts.find_session", "accounts.consented", "clients.touch", "tokens.open_grant"] {
        faults.take_down_at(&[method]);
        let answer = visitor.authorize(&Parameters::authorize(&client)).await;
        assert_redirected_error(&answer, "temporarily_unavailable");
    }
}

#[tokio::test]
async fn a_decision_that_could_not_be_recorded_is_an_error_at_the_redirect_uri() {
    for method in ["tokens.use_once", "accounts.add_consent", "tokens.open_grant", "clients.touch"] {
        let Setup { faults, server, client } = setup().await;
        let mut visitor = server.visitor();
        let login = visitor.authorize(&Parameters::authorize(&client)).await;
        let consent = visitor.log_in(&login).await;
        faults.take_down_at(&[method]);
        assert_redirected_error(&visitor.decide(&consent, "approve").await, "temporarily_unavailable");
    }
}

#[tokio::test]
async fn a_login_is_unavailable_and_not_a_wrong_password() {
    for method in
        ["accounts.count_failure", "accounts.find_user_by_name", "accounts.open_session", "accounts.clear_failures"]
    {
        let Setup { faults, server, client } = setup().await;
        let mut visitor = server.visitor();
        let page = visitor.authorize(&Parameters::authorize(&client)).await;
        let before = visitor.cookie.clone();
        faults.take_down_at(&[method]);
        assert_page_unavailable(&visitor.log_in_as(&page, USERNAME, PASSWORD).await);
        assert_eq!(visitor.cookie, before);
    }
}

/// The page that is shown again needs the store too.
#[tokio::test]
async fn a_store_that_goes_down_after_a_wrong_password_is_unavailable() {
    for method in ["clients.find", "accounts.find_session"] {
        let Setup { faults, server, client } = setup().await;
        let mut visitor = server.visitor();
        let page = visitor.authorize(&Parameters::authorize(&client)).await;
        faults.take_down_at(&[method]);
        assert_page_unavailable(&visitor.log_in_as(&page, USERNAME, "wrong").await);
    }
}

#[tokio::test]
async fn signing_out_is_unavailable_and_does_not_pretend() {
    let Setup { faults, server, client } = setup().await;
    let mut visitor = server.visitor();
    let login = visitor.authorize(&Parameters::authorize(&client)).await;
    let consent = visitor.log_in(&login).await;
    let before = visitor.cookie.clone();
    faults.take_down();
    assert_page_unavailable(&visitor.post("/oauth/logout", [("request", consent.sealed())]).await);
    assert_eq!(visitor.cookie, before);
}

#[tokio::test]
async fn what_needs_no_store_goes_on() {
    let Setup { faults, server, .. } = setup().await;
    faults.take_down();
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json", "/livez", "/oauth/about"] {
        assert_ok(&server.get(path).await);
    }
}

#[tokio::test]
async fn a_machine_gets_its_jwt_only_if_the_client_could_be_read() {
    let Setup { faults, server, .. } = setup().await;
    let worker = server.create_client("worker", machine()).await;
    faults.take_down_at(&["clients.find"]);
    assert_unavailable(&server.token(&worker, [("grant_type", "client_credentials")]).await);
}

/// Its failure is told all the same.
#[tokio::test]
async fn a_store_that_cannot_forget_keeps_nobody_else_from_forgetting() {
    let Setup { faults, server, client } = setup().await;
    server.code(&Parameters::authorize(&client)).await;
    server.pass(100 * 24 * 3600);
    faults.take_down_at(&["tokens.purge"]);
    assert!(server.authority().purge(server.now()).await.is_err());
    assert_eq!(faults.calls("accounts.purge"), 2, "one batch with the session in it, and one with nothing");
}
