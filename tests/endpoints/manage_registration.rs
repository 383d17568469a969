//! Management of registered clients (RFC 7592).

use axum::http::{Method, StatusCode};
use gateward::{
    domain::{
        client::{Client, ClientEntry, ClientStatus},
        identifier::ClientId,
        resource::ResourceUri,
    },
    testing::server::{Answer, OPAQUE_RESOURCE, Parameters, REDIRECT, TestClient, TestServer, public_client},
};
use serde_json::{Value, json};

use super::*;

struct Registered {
    server: TestServer,
    client: TestClient,
    token: String,
}

impl Registered {
    async fn new(metadata: Value) -> Self {
        let server = TestServer::start().await;
        let answer = server.register(&metadata).await;
        Self { client: TestClient::registered(&answer), token: answer.member("registration_access_token"), server }
    }

    async fn public() -> Self {
        Self::new(public()).await
    }

    fn path(&self) -> String {
        format!("/oauth/register/{}", self.client.id)
    }

    async fn read(&self) -> Answer {
        self.server.call(Method::GET, &self.path()).bearer(&self.token).send().await
    }

    async fn update(&self, metadata: &Value) -> Answer {
        self.server.call(Method::PUT, &self.path()).bearer(&self.token).json(metadata).send().await
    }

    async fn delete(&self) -> Answer {
        self.server.call(Method::DELETE, &self.path()).bearer(&self.token).send().await
    }

    async fn stored(&self) -> Client {
        let id = ClientId::parse(&self.client.id).expect("a client_id");
        match self.server.stores.clients.find(&id).await.expect("the store") {
            Some(ClientEntry::Registered(client)) => Client::clone(&client),
            other => panic!("{other:?}"),
        }
    }

    async fn store(&self, change: impl FnOnce(&mut Client)) {
        let mut client = self.stored().await;
        change(&mut client);
        self.server.stores.clients.replace(&client).await.expect("the store");
    }
}

fn public() -> Value {
    json!({
        "client_name": "Notebook",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    })
}

fn confidential() -> Value {
    json!({ "redirect_uris": [REDIRECT] })
}

fn assert_unauthorized(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
    assert_error(answer, StatusCode::UNAUTHORIZED, "invalid_token");
    assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")));
}

#[tokio::test]
async fn a_client_reads_what_it_is_registered_as() {
    let registered = Registered::public().await;
    let answer = registered.read().await;
    assert_ok(&answer);
    assert_no_store(&answer);
    let body = answer.json();
    assert_no_nulls(&body);
    assert_eq!(body["client_id"], registered.client.id);
    assert_eq!(body["client_name"], "Notebook");
    assert_eq!(body["registration_access_token"], registered.token);
    assert_eq!(body["registration_client_uri"], format!("http://localhost:3000{}", registered.path()));
}

#[tokio::test]
async fn a_secret_is_shown_once() {
    let registered = Registered::new(confidential()).await;
    assert_eq!(registered.read().await.json().get("client_secret"), None);
}

#[tokio::test]
async fn only_the_digest_of_the_registration_token_is_kept() {
    let registered = Registered::public().await;
    let kept = registered.stored().await.registration_token.expect("a digest");
    assert_eq!(kept, gateward::domain::credential::Digest::of(&registered.token));
}

#[tokio::test]
async fn without_or_with_a_wrong_token_nothing_is_read_changed_or_deleted() {
    let registered = Registered::public().await;
    let other = registered.server.register(&public()).await.member("registration_access_token");
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let call = || registered.server.call(method.clone(), &registered.path()).json(&public());
        assert_unauthorized(&call().send().await);
        assert_unauthorized(&call().bearer("gw_ra_wrong").send().await);
        assert_unauthorized(&call().bearer(&other).send().await);
    }
    assert_ok(&registered.read().await);
}

#[tokio::test]
async fn a_token_in_the_query_or_by_another_scheme_does_not_count() {
    let registered = Registered::public().await;
    let path = format!("{}?access_token={}", registered.path(), registered.token);
    assert_unauthorized(&registered.server.get(&path).await);
    let call = registered.server.call(Method::GET, &registered.path()).basic(&registered.client.id, &registered.token);
    assert_bad_request(&call.send().await, "invalid_request");
}

#[tokio::test]
async fn an_unknown_client_is_401_and_not_404() {
    let registered = Registered::public().await;
    for path in ["/oauth/register/nobody", "/oauth/register/%20", "/oauth/register/%ff", "/oauth/register/%00"] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let call = registered.server.call(method, path).bearer(&registered.token).json(&public());
            assert_unauthorized(&call.send().await);
        }
    }
}

#[tokio::test]
async fn an_operators_client_cannot_be_managed_this_way() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    assert_unauthorized(&server.call(Method::GET, "/oauth/register/app").bearer("x").send().await);
    assert_ok(&server.visitor().authorize(&Parameters::authorize(&client)).await);
}

#[tokio::test]
async fn an_update_replaces_everything_and_rotates_the_token() {
    let mut registered = Registered::public().await;
    let answer = registered
        .update(&json!({ "redirect_uris": ["https://new.example/cb"], "token_endpoint_auth_method": "none" }))
        .await;
    assert_ok(&answer);
    assert_no_store(&answer);
    let body = answer.json();
    assert_eq!(body["redirect_uris"], json!(["https://new.example/cb"]));
    assert_eq!(body.get("client_name"), None, "what is left out is reset");
    assert_eq!(body["grant_types"], json!(["authorization_code"]));
    assert_unauthorized(&registered.read().await);
    registered.token = text(&body, "registration_access_token");
    assert_ok(&registered.read().await);
}

#[tokio::test]
async fn an_update_may_repeat_the_client_id_and_secret_but_not_choose_others() {
    let registered = Registered::new(confidential()).await;
    for contradiction in [json!({ "client_id": "other" }), json!({ "client_secret": "chosen" })] {
        let mut metadata = confidential();
        metadata.as_object_mut().expect("an object").extend(contradiction.as_object().expect("an object").clone());
        assert_bad_request(&registered.update(&metadata).await, "invalid_client_metadata");
    }
    let mut metadata = confidential();
    metadata["client_id"] = json!(registered.client.id);
    metadata["client_secret"] = json!(registered.client.secret());
    assert_ok(&registered.update(&metadata).await);
}

#[tokio::test]
async fn a_refused_update_changes_nothing_and_keeps_the_token() {
    let registered = Registered::public().await;
    let before = registered.stored().await;
    assert_bad_request(&registered.update(&json!({ "redirect_uris": ["javascript:x"] })).await, "invalid_redirect_uri");
    assert_eq!(registered.stored().await, before);
    assert_ok(&registered.read().await);
}

#[tokio::test]
async fn an_update_keeps_a_secret_that_still_serves() {
    let registered = Registered::new(confidential()).await;
    let answer = registered.update(&json!({ "redirect_uris": [REDIRECT], "client_name": "new" })).await;
    assert_eq!(answer.json().get("client_secret"), None);
    let code = registered.server.code(&Parameters::authorize(&registered.client)).await;
    assert_ok(&registered.server.redeem(&registered.client, &code).await);
}

#[tokio::test]
async fn a_client_that_becomes_confidential_gets_a_secret() {
    let registered = Registered::public().await;
    let answer = registered.update(&confidential()).await;
    assert!(answer.json()["client_secret"].is_string());
    assert_eq!(answer.json()["client_secret_expires_at"], 0);
}

#[tokio::test]
async fn of_two_updates_at_once_one_counts() {
    let registered = Registered::public().await;
    let metadata = public();
    let (one, two) = tokio::join!(registered.update(&metadata), registered.update(&metadata));
    let mut statuses = [one.status, two.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::UNAUTHORIZED]);
}

/// What an operator took away, a client cannot give back to itself.
#[tokio::test]
async fn an_update_does_not_widen_what_an_operator_narrowed() {
    let registered = Registered::public().await;
    let only = ResourceUri::parse(OPAQUE_RESOURCE).expect("a resource");
    registered.store(|client| client.resources = vec![only.clone()]).await;
    registered.update(&public()).await;
    assert_eq!(registered.stored().await.resources, [only]);
}

#[tokio::test]
async fn a_disabled_client_cannot_enable_itself() {
    let registered = Registered::public().await;
    registered.store(|client| client.status = ClientStatus::Disabled).await;
    registered.update(&public()).await;
    assert_eq!(registered.stored().await.status, ClientStatus::Disabled);
}

#[tokio::test]
async fn a_deleted_client_is_gone_and_its_grants_with_it() {
    let registered = Registered::public().await;
    let code = registered.server.code(&Parameters::authorize(&registered.client)).await;
    let tokens = registered.server.redeem(&registered.client, &code).await.json();
    let answer = registered.delete().await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_no_store(&answer);
    assert!(answer.body.is_empty());

    let grant = grant_of(&registered.server, &code).await;
    assert!(!grant.is_active());
    assert_unauthorized(&registered.read().await);
    assert_unauthorized(&registered.delete().await);
    assert_invalid_client(&registered.server.refresh(&registered.client, &text(&tokens, "refresh_token")).await);
}

#[tokio::test]
async fn a_visit_for_a_deleted_client_gets_an_explanation() {
    let registered = Registered::public().await;
    registered.delete().await;
    let page = registered.server.visitor().authorize(&Parameters::authorize(&registered.client)).await;
    assert_page(&page, StatusCode::BAD_REQUEST);
    assert!(page.visible().contains("registration was deleted"), "{}", page.visible());
}

#[tokio::test]
async fn tokens_of_a_deleted_client_are_inactive_at_once() {
    let registered = Registered::public().await;
    let rs = gateward::testing::server::resource_server(gateward::testing::server::RESOURCE);
    let rs = registered.server.create_client("rs", rs).await;
    let token = text(&registered.server.tokens(&registered.client).await, "access_token");
    assert_eq!(registered.server.introspect(&rs, &token).await["active"], true);
    registered.delete().await;
    assert_eq!(registered.server.introspect(&rs, &token).await, inactive());
}
