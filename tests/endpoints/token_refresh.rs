//! The refresh token grant: idempotent rotation, and the end of a grant whose token comes back later.

use axum::http::StatusCode;
use gateward::{
    domain::{
        account::Username,
        client::{AuthenticationMethod, ClientStatus, GrantType},
        grant::RevocationReason,
        identifier::{ClientId, GrantId},
    },
    service::administer_clients::ClientSpec,
    testing::server::{
        OPAQUE_RESOURCE, Parameters, RESOURCE, TestClient, TestServer, USERNAME, machine, public_client,
        resource_server,
    },
};
use serde_json::Value;

use super::*;

struct Issued {
    server: TestServer,
    client: TestClient,
    tokens: Value,
}

async fn issued() -> Issued {
    issued_for(|query| query).await
}

async fn issued_for(change: impl FnOnce(Parameters) -> Parameters) -> Issued {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let code = server.code(&change(Parameters::authorize(&client))).await;
    let tokens = server.redeem(&client, &code).await.json();
    Issued { server, client, tokens }
}

impl Issued {
    fn token(&self) -> String {
        text(&self.tokens, "refresh_token")
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.server.refresh(&self.client, token).await
    }

    async fn refresh_with(&self, change: impl FnOnce(Parameters) -> Parameters) -> Answer {
        self.server.token(&self.client, change(Parameters::refresh(&self.token()))).await
    }

    /// The successor of a token.
    async fn successor(&self, token: &str) -> String {
        let answer = self.refresh(token).await;
        assert_ok(&answer);
        answer.member("refresh_token")
    }

    async fn revocation(&self) -> Option<RevocationReason> {
        let id = text(&claims_of(&text(&self.tokens, "access_token")), "grant_id");
        let id = GrantId::parse(&id).expect("a grant id");
        grant(&self.server, &id).await.revocation.map(|revocation| revocation.reason)
    }
}

#[tokio::test]
async fn a_refresh_token_is_rotated_and_the_answer_states_everything() {
    let issued = issued().await;
    let answer = issued.refresh(&issued.token()).await;
    assert_ok(&answer);
    assert_no_store(&answer);
    let body = answer.json();
    assert_no_nulls(&body);
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["scope"], "mcp:read");
    assert_ne!(body["refresh_token"], issued.tokens["refresh_token"]);
    assert_ne!(body["access_token"], issued.tokens["access_token"]);
}

#[tokio::test]
async fn a_confidential_clients_token_is_rotated_as_well() {
    let server = TestServer::start().await;
    let spec = ClientSpec { authentication: AuthenticationMethod::ClientSecretPost, ..public_client() };
    let client = server.create_client("app", spec).await;
    let tokens = server.tokens(&client).await;
    let answer = server.refresh(&client, &text(&tokens, "refresh_token")).await;
    assert_ne!(answer.json()["refresh_token"], tokens["refresh_token"]);
}

#[tokio::test]
async fn within_the_window_a_parent_gets_the_same_successor() {
    let issued = issued().await;
    let first = issued.refresh(&issued.token()).await.json();
    issued.server.pass(59);
    let second = issued.refresh(&issued.token()).await.json();
    assert_eq!(second["refresh_token"], first["refresh_token"]);
    assert_ne!(second["access_token"], first["access_token"]);
    assert_eq!(issued.revocation().await, None);
    assert_ok(&issued.refresh(&text(&first, "refresh_token")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_refreshes_at_once_all_get_the_same_successor() {
    let issued = issued().await;
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(64));
    let refreshes: Vec<_> = (0..64)
        .map(|_| {
            let (server, client, token, start) =
                (issued.server.clone(), issued.client.clone(), issued.token(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                server.refresh(&client, &token).await
            })
        })
        .collect();
    let mut successors = std::collections::BTreeSet::new();
    for refresh in refreshes {
        let answer = refresh.await.expect("no panic");
        assert_ok(&answer);
        successors.insert(answer.member("refresh_token"));
    }
    assert_eq!(successors.len(), 1);
    assert_eq!(issued.revocation().await, None);
    let only = successors.pop_first().expect("one");
    assert_ok(&issued.refresh(&only).await);
}

#[tokio::test]
async fn after_the_window_a_parent_that_comes_back_ends_the_grant() {
    let issued = issued().await;
    let rs = issued.server.create_client("rs", resource_server(RESOURCE)).await;
    let answer = issued.refresh(&issued.token()).await.json();
    issued.server.pass(60);
    assert_bad_request(&issued.refresh(&issued.token()).await, "invalid_grant");
    assert_eq!(issued.revocation().await, Some(RevocationReason::RefreshReplayed));
    assert_bad_request(&issued.refresh(&text(&answer, "refresh_token")).await, "invalid_grant");
    assert_eq!(issued.server.introspect(&rs, &text(&answer, "access_token")).await, inactive());
}

#[tokio::test]
async fn once_the_successor_was_used_a_parent_that_comes_back_ends_the_grant() {
    let issued = issued().await;
    let child = issued.successor(&issued.token()).await;
    let grandchild = issued.successor(&child).await;
    assert_bad_request(&issued.refresh(&issued.token()).await, "invalid_grant");
    assert_eq!(issued.revocation().await, Some(RevocationReason::RefreshReplayed));
    assert_bad_request(&issued.refresh(&grandchild).await, "invalid_grant");
}

#[tokio::test]
async fn a_window_of_zero_takes_no_token_twice() {
    let builder =
        TestServer::builder().policy(|policy| policy.lifetimes.refresh_reuse_window = std::time::Duration::ZERO);
    let server = builder.start().await.with_user().await;
    let client = server.create_client("app", public_client()).await;
    let tokens = server.tokens(&client).await;
    let issued = Issued { server, client, tokens };
    issued.successor(&issued.token()).await;
    assert_bad_request(&issued.refresh(&issued.token()).await, "invalid_grant");
    assert_eq!(issued.revocation().await, Some(RevocationReason::RefreshReplayed));
}

#[tokio::test]
async fn another_client_can_neither_use_nor_end_it() {
    let issued = issued().await;
    let thief = issued.server.create_client("thief", public_client()).await;
    assert_bad_request(&issued.server.refresh(&thief, &issued.token()).await, "invalid_grant");
    issued.successor(&issued.token()).await;
    issued.server.pass(61);
    // Even now that it would count as a replay.
    assert_bad_request(&issued.server.refresh(&thief, &issued.token()).await, "invalid_grant");
    assert_eq!(issued.revocation().await, None);
}

#[tokio::test]
async fn a_narrower_scope_is_allowed_for_the_new_access_token_only() {
    let issued = issued_for(|query| query.set("scope", "mcp:read mcp:write offline_access")).await;
    let narrow = issued.refresh_with(|form| form.add("scope", "mcp:read")).await.json();
    assert_eq!(narrow["scope"], "mcp:read");
    assert_eq!(claims_of(&text(&narrow, "access_token"))["scope"], "mcp:read");
    let wide = issued.refresh(&text(&narrow, "refresh_token")).await.json();
    assert_eq!(wide["scope"], "mcp:read mcp:write offline_access");
}

#[tokio::test]
async fn a_wider_scope_is_refused_and_nothing_is_rotated() {
    let issued = issued().await;
    for scope in ["mcp:read mcp:write", "openid", "mcp:read \u{7}", "\""] {
        assert_bad_request(&issued.refresh_with(|form| form.add("scope", scope)).await, "invalid_scope");
    }
    issued.server.pass(61);
    assert_ok(&issued.refresh(&issued.token()).await);
}

#[tokio::test]
async fn a_resource_may_narrow_but_never_widen() {
    let both = |query: Parameters| query.add("resource", RESOURCE).add("resource", OPAQUE_RESOURCE);
    let issued = issued_for(both).await;
    let answer = issued.refresh_with(|form| form.add("resource", OPAQUE_RESOURCE)).await;
    assert!(answer.member("access_token").starts_with("gw_at_"));
    for resource in ["https://other.example.com/", "x"] {
        assert_bad_request(&issued.refresh_with(|form| form.add("resource", resource)).await, "invalid_target");
    }
}

#[tokio::test]
async fn an_unknown_or_malformed_token_is_refused() {
    let issued = issued().await;
    let access = text(&issued.tokens, "access_token");
    for token in ["x", "gw_rt_", &issued.token()[1..], &access] {
        assert_bad_request(&issued.refresh(token).await, "invalid_grant");
    }
    assert_bad_request(&issued.refresh("").await, "invalid_request");
}

#[tokio::test]
async fn a_refresh_token_expires_and_every_rotation_starts_anew() {
    let issued = issued().await;
    let week = 7 * 24 * 3600;
    issued.server.pass(week - 1);
    let child = issued.successor(&issued.token()).await;
    issued.server.pass(week - 1);
    let grandchild = issued.successor(&child).await;
    issued.server.pass(week);
    assert_bad_request(&issued.refresh(&grandchild).await, "invalid_grant");
}

#[tokio::test]
async fn a_client_without_the_grant_is_unauthorized() {
    let issued = issued().await;
    let worker = issued.server.create_client("worker", machine()).await;
    assert_bad_request(&issued.server.refresh(&worker, &issued.token()).await, "unauthorized_client");
    let grant_types = vec![GrantType::AuthorizationCode];
    let other = issued.server.create_client("other", ClientSpec { grant_types, ..public_client() }).await;
    assert_bad_request(&issued.server.refresh(&other, &issued.token()).await, "unauthorized_client");
}

#[tokio::test]
async fn a_disabled_users_token_is_refused() {
    let issued = issued().await;
    let name = Username::parse(USERNAME).expect("a name");
    issued.server.authority().disable_user(&name, issued.server.now()).await.expect("disabled");
    assert_bad_request(&issued.refresh(&issued.token()).await, "invalid_grant");
    // What was revoked stays revoked.
    issued.server.authority().enable_user(&name).await.expect("enabled");
    assert_bad_request(&issued.refresh(&issued.token()).await, "invalid_grant");
}

#[tokio::test]
async fn a_user_who_is_disabled_but_whose_grants_are_not_yet_revoked_is_refused() {
    let issued = issued().await;
    let name = Username::parse(USERNAME).expect("a name");
    let user = issued.server.authority().user(&name).await.expect("the user");
    let disabled = gateward::domain::account::UserStatus::Disabled;
    issued.server.stores.accounts.set_status(&user.id, disabled).await.expect("the store");
    assert_bad_request(&issued.refresh(&issued.token()).await, "invalid_grant");
}

#[tokio::test]
async fn a_disabled_clients_token_is_refused_as_invalid_client() {
    let issued = issued().await;
    let id = ClientId::parse(&issued.client.id).expect("a client_id");
    let mut stored = issued.server.authority().client(&id).await.expect("the client");
    stored.status = ClientStatus::Disabled;
    issued.server.stores.clients.replace(&stored).await.expect("the store");
    assert_invalid_client(&issued.refresh(&issued.token()).await);
}

#[tokio::test]
async fn the_successor_is_not_readable_in_the_store() {
    let issued = issued().await;
    let child = issued.successor(&issued.token()).await;
    let digest = gateward::domain::credential::Digest::of(&issued.token());
    let record = issued.server.stores.tokens.find_refresh(&digest).await.expect("the store").expect("the token");
    let gateward::domain::refresh::RefreshState::Rotated(rotated) = record.state else { panic!("not rotated") };
    let sealed = String::from_utf8_lossy(&rotated.sealed_successor).into_owned();
    assert!(!sealed.contains(&child) && !sealed.contains("gw_rt_"));
}

#[tokio::test]
async fn a_repeated_request_for_an_opaque_token_gets_a_token_that_works() {
    let issued = issued_for(|query| query.add("resource", OPAQUE_RESOURCE)).await;
    let rs = issued.server.create_client("rs", resource_server(OPAQUE_RESOURCE)).await;
    for _ in 0..2 {
        let token = issued.refresh(&issued.token()).await.member("access_token");
        assert_eq!(issued.server.introspect(&rs, &token).await["active"], true);
    }
}

#[tokio::test]
async fn a_client_that_lost_the_grant_type_meanwhile_is_unauthorized() {
    let issued = issued().await;
    let id = ClientId::parse(&issued.client.id).expect("a client_id");
    let narrowed = issued.server.authority().update_client(&id, |client| {
        client.grant_types = vec![GrantType::AuthorizationCode];
        Ok(())
    });
    narrowed.await.expect("an update");
    let answer = issued.refresh(&issued.token()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_bad_request(&answer, "unauthorized_client");
}

#[tokio::test]
async fn what_an_operator_took_from_the_client_is_not_in_new_tokens() {
    let issued = issued_for(|query| query.set("scope", "mcp:read mcp:write")).await;
    let id = ClientId::parse(&issued.client.id).expect("a client_id");
    let narrow = |scope: &'static str, resource: Option<&'static str>| {
        issued.server.authority().update_client(&id, move |client| {
            client.scope = Scope::parse(scope).expect("a scope");
            client.resources = resource
                .iter()
                .map(|uri| gateward::domain::resource::ResourceUri::parse(uri).expect("a URI"))
                .collect();
            Ok(())
        })
    };
    narrow("mcp:read", None).await.expect("an update");
    let answer = issued.refresh(&issued.token()).await;
    assert_eq!(answer.json()["scope"], "mcp:read");
    narrow("mcp:read", Some(OPAQUE_RESOURCE)).await.expect("an update");
    let answer = issued.refresh(&answer.member("refresh_token")).await;
    assert_bad_request(&answer, "invalid_scope");
}
