//! Revocation (RFC 7009): a client gives back what is its own.

use axum::http::StatusCode;
use gateward::{
    domain::{client::AuthenticationMethod, grant::RevocationReason, identifier::GrantId},
    service::administer_clients::ClientSpec,
    testing::server::{
        OPAQUE_RESOURCE, Parameters, RESOURCE, TestClient, TestServer, machine, public_client, resource_server,
    },
};
use serde_json::Value;

use super::*;

const REVOKE: &str = "/oauth/revoke";

struct Issued {
    server: TestServer,
    client: TestClient,
    rs: TestClient,
    tokens: Value,
}

async fn issued_at(resource: &str) -> Issued {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
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

    async fn revoke(&self, client: &TestClient, token: &str) -> Answer {
        self.server.post_as(client, REVOKE, [("token", token)]).await
    }

    async fn is_active(&self) -> bool {
        self.server.introspect(&self.rs, &self.access()).await["active"] == true
    }
}

/// RFC 7009 2.2: 200, and an empty body.
#[track_caller]
fn assert_revoked(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert!(answer.body.is_empty());
    assert_no_store(answer);
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_grant_with_every_access_token() {
    for resource in [RESOURCE, OPAQUE_RESOURCE] {
        let issued = issued_at(resource).await;
        let id = text(&issued.server.introspect(&issued.rs, &issued.access()).await, "grant_id");
        assert_revoked(&issued.revoke(&issued.client, &issued.refresh()).await);
        assert!(!issued.is_active().await);
        assert_bad_request(&issued.server.refresh(&issued.client, &issued.refresh()).await, "invalid_grant");
        let grant = grant(&issued.server, &GrantId::parse(&id).expect("a grant id")).await;
        assert_eq!(grant.revocation.map(|revocation| revocation.reason), Some(RevocationReason::ByClient));
    }
}

#[tokio::test]
async fn revoking_a_rotated_refresh_token_ends_the_grant_too() {
    let issued = issued().await;
    let next = issued.server.refresh(&issued.client, &issued.refresh()).await.member("refresh_token");
    assert_revoked(&issued.revoke(&issued.client, &issued.refresh()).await);
    assert_bad_request(&issued.server.refresh(&issued.client, &next).await, "invalid_grant");
}

#[tokio::test]
async fn revoking_an_access_token_ends_that_token_only() {
    for resource in [RESOURCE, OPAQUE_RESOURCE] {
        let issued = issued_at(resource).await;
        assert_revoked(&issued.revoke(&issued.client, &issued.access()).await);
        assert!(!issued.is_active().await);
        let next = issued.server.refresh(&issued.client, &issued.refresh()).await;
        assert_ok(&next);
        assert_eq!(issued.server.introspect(&issued.rs, &next.member("access_token")).await["active"], true);
    }
}

#[tokio::test]
async fn a_revoked_jwt_stays_revoked_until_it_expires_and_after_the_purge() {
    let issued = issued().await;
    assert_revoked(&issued.revoke(&issued.client, &issued.access()).await);
    issued.server.pass(3599);
    issued.server.authority().purge(issued.server.now()).await.expect("a purge");
    assert!(!issued.is_active().await);
}

#[tokio::test]
async fn a_revocation_is_remembered_by_a_purge_whose_clock_is_ahead() {
    let issued = issued().await;
    assert_revoked(&issued.revoke(&issued.client, &issued.access()).await);
    issued.server.pass(3570);
    let ahead = issued.server.now().plus(std::time::Duration::from_secs(30));
    issued.server.authority().purge(ahead).await.expect("a purge");
    assert!(!issued.is_active().await);
}

#[tokio::test]
async fn a_machine_revokes_its_own_token() {
    let issued = issued().await;
    let worker = issued.server.create_client("worker", machine()).await;
    let token = issued.server.token(&worker, [("grant_type", "client_credentials")]).await.member("access_token");
    assert_revoked(&issued.revoke(&worker, &token).await);
    assert_eq!(issued.server.introspect(&issued.rs, &token).await, inactive());
}

#[tokio::test]
async fn revoking_twice_is_the_same() {
    let issued = issued().await;
    for _ in 0..2 {
        assert_revoked(&issued.revoke(&issued.client, &issued.access()).await);
        assert_revoked(&issued.revoke(&issued.client, &issued.refresh()).await);
    }
}

#[tokio::test]
async fn unknown_malformed_and_expired_tokens_are_answered_alike() {
    let issued = issued().await;
    for token in ["x", "gw_rt_x", "gw_at_x", "a.b.c", "é", &issued.access()[1..]] {
        assert_revoked(&issued.revoke(&issued.client, token).await);
    }
    assert!(issued.is_active().await);
    issued.server.pass(3600);
    assert_revoked(&issued.revoke(&issued.client, &issued.access()).await);
}

#[tokio::test]
async fn other_peoples_tokens_are_answered_alike_and_stay_good() {
    for resource in [RESOURCE, OPAQUE_RESOURCE] {
        let issued = issued_at(resource).await;
        let other = issued.server.create_client("other", public_client()).await;
        for thief in [&other, &issued.rs] {
            assert_revoked(&issued.revoke(thief, &issued.access()).await);
            assert_revoked(&issued.revoke(thief, &issued.refresh()).await);
        }
        assert!(issued.is_active().await);
        assert_ok(&issued.server.refresh(&issued.client, &issued.refresh()).await);
    }
}

#[tokio::test]
async fn an_unsupported_hint_is_ignored() {
    for hint in ["refresh_token", "access_token", "id_token", "x"] {
        let issued = issued().await;
        let form = Parameters::from([("token", issued.access().as_str()), ("token_type_hint", hint)]);
        assert_revoked(&issued.server.post_as(&issued.client, REVOKE, form).await);
        assert!(!issued.is_active().await);
    }
}

#[tokio::test]
async fn a_public_client_says_its_name() {
    let issued = issued().await;
    assert_invalid_client(&issued.server.post(REVOKE, [("token", issued.access().as_str())]).await);
    let form = Parameters::from([("token", issued.access().as_str()), ("client_id", "app")]);
    assert_revoked(&issued.server.post(REVOKE, form).await);
}

#[tokio::test]
async fn a_confidential_client_has_to_authenticate() {
    let server = TestServer::start().await;
    let spec = ClientSpec { authentication: AuthenticationMethod::ClientSecretBasic, ..public_client() };
    let client = server.create_client("app", spec).await;
    let tokens = server.tokens(&client).await;
    let form = Parameters::from([("token", text(&tokens, "refresh_token").as_str()), ("client_id", "app")]);
    assert_invalid_client(&server.post(REVOKE, form).await);
    let liar = TestClient { secret: Some("wrong".to_owned()), ..client.clone() };
    let form = || Parameters::from([("token", text(&tokens, "refresh_token").as_str())]);
    assert_invalid_client(&server.post_as(&liar, REVOKE, form()).await);
    assert_ok(&server.refresh(&client, &text(&tokens, "refresh_token")).await);
}

#[tokio::test]
async fn a_missing_token_is_an_invalid_request() {
    let issued = issued().await;
    assert_bad_request(&issued.server.post_as(&issued.client, REVOKE, Parameters::default()).await, "invalid_request");
}
