//! The authorization code grant at the token endpoint (OAuth 2.1 4.1.3).

use axum::http::StatusCode;
use gateward::{
    domain::{
        account::{UserStatus, Username},
        client::{AuthenticationMethod, GrantType},
        grant::RevocationReason,
    },
    port::store::{GrantFilter, Page},
    service::administer_clients::ClientSpec,
    testing::server::{
        OPAQUE_RESOURCE, Parameters, REDIRECT, RESOURCE, TestClient, TestServer, USERNAME, VERIFIER, machine,
        public_client, resource_server,
    },
};

use super::*;

struct Issued {
    server: TestServer,
    client: TestClient,
    code: String,
}

async fn issued() -> Issued {
    issued_for(|query| query).await
}

async fn issued_for(change: impl FnOnce(Parameters) -> Parameters) -> Issued {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let code = server.code(&change(Parameters::authorize(&client))).await;
    Issued { server, client, code }
}

impl Issued {
    async fn redeem(&self, change: impl FnOnce(Parameters) -> Parameters) -> Answer {
        self.server.token(&self.client, change(Parameters::redeem(&self.code))).await
    }

    async fn is_active(&self) -> bool {
        grant_of(&self.server, &self.code).await.is_active()
    }

    async fn assert_still_good(&self) {
        assert!(self.is_active().await);
        assert_ok(&self.redeem(|form| form).await);
    }
}

#[tokio::test]
async fn a_code_is_exchanged_for_tokens_that_state_everything() {
    let issued = issued().await;
    let answer = issued.redeem(|form| form).await;
    assert_ok(&answer);
    assert_no_store(&answer);
    let body = answer.json();
    assert_no_nulls(&body);
    let mut members: Vec<_> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["access_token", "expires_in", "refresh_token", "scope", "token_type"]);
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["scope"], "mcp:read");
    assert!(text(&body, "refresh_token").starts_with("gw_rt_"));
}

#[tokio::test]
async fn a_refresh_token_does_not_depend_on_offline_access() {
    for scope in ["mcp:read", "mcp:read offline_access"] {
        let issued = issued_for(|query| query.set("scope", scope)).await;
        assert!(issued.redeem(|form| form).await.json()["refresh_token"].is_string());
    }
}

#[tokio::test]
async fn a_client_without_the_refresh_grant_gets_no_refresh_token() {
    let server = TestServer::start().await;
    let spec = ClientSpec { grant_types: vec![GrantType::AuthorizationCode], ..public_client() };
    let client = server.create_client("app", spec).await;
    let query = Parameters::authorize(&client).set("scope", "mcp:read offline_access");
    let code = server.code(&query).await;
    assert_eq!(server.redeem(&client, &code).await.json().get("refresh_token"), None);
}

#[tokio::test]
async fn only_the_digest_of_a_code_is_kept() {
    let issued = issued().await;
    let digest = gateward::domain::credential::Digest::of(&issued.code);
    assert_eq!(
        issued.server.stores.tokens.find_code(&digest).await.expect("the store").expect("it").code.digest,
        digest
    );
}

#[tokio::test]
async fn the_redirect_uri_may_be_left_out_or_repeated() {
    assert_ok(&issued().await.redeem(|form| form).await);
    assert_ok(&issued().await.redeem(|form| form.add("redirect_uri", REDIRECT)).await);
}

#[tokio::test]
async fn a_redirect_uri_that_is_sent_must_be_the_one_of_the_request() {
    let issued = issued().await;
    for uri in [
        "https://client.example.com/other",
        "https://client.example.com/callback/",
        "https://CLIENT.example.com/callback",
    ] {
        assert_bad_request(&issued.redeem(|form| form.add("redirect_uri", uri)).await, "invalid_grant");
    }
    issued.assert_still_good().await;
}

#[tokio::test]
async fn a_wrong_verifier_does_not_spend_the_code() {
    let issued = issued().await;
    let wrong = format!("{}X", &VERIFIER[..42]);
    for verifier in [wrong.as_str(), "short", &"a".repeat(129), &VERIFIER.replace('-', "+"), "é"] {
        assert_bad_request(&issued.redeem(|form| form.set("code_verifier", verifier)).await, "invalid_grant");
    }
    assert_bad_request(&issued.redeem(|form| form.without("code_verifier")).await, "invalid_grant");
    issued.assert_still_good().await;
}

#[tokio::test]
async fn verifiers_of_43_and_of_128_characters_work() {
    use sha2::{Digest, Sha256};
    for length in [43, 128] {
        let verifier: String = "aZ09-._~".chars().cycle().take(length).collect();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let issued = issued_for(|query| query.set("code_challenge", &challenge)).await;
        assert_ok(&issued.redeem(|form| form.set("code_verifier", &verifier)).await);
    }
}

#[tokio::test]
async fn another_clients_code_is_refused_and_stays_good() {
    let issued = issued().await;
    let thief = issued.server.create_client("thief", public_client()).await;
    assert_bad_request(&issued.server.redeem(&thief, &issued.code).await, "invalid_grant");
    issued.assert_still_good().await;
}

#[tokio::test]
async fn an_unknown_or_malformed_code_is_refused() {
    let issued = issued().await;
    let mut other = issued.code.clone();
    other.replace_range(10..11, if other.as_bytes()[10] == b'a' { "b" } else { "a" });
    for code in ["x", &other, &issued.code[1..], "gw_ac_"] {
        assert_bad_request(&issued.server.redeem(&issued.client, code).await, "invalid_grant");
    }
}

#[tokio::test]
async fn a_missing_code_is_an_invalid_request() {
    let issued = issued().await;
    assert_bad_request(&issued.redeem(|form| form.without("code")).await, "invalid_request");
    assert_bad_request(&issued.redeem(|form| form.set("code", "")).await, "invalid_request");
}

#[tokio::test]
async fn a_code_expires() {
    let issued = issued().await;
    issued.server.pass(60);
    assert_bad_request(&issued.redeem(|form| form).await, "invalid_grant");
}

#[tokio::test]
async fn a_code_works_to_its_last_second() {
    let issued = issued().await;
    issued.server.pass(59);
    assert_ok(&issued.redeem(|form| form).await);
}

#[tokio::test]
async fn a_client_without_the_grant_is_unauthorized() {
    let issued = issued().await;
    let worker = issued.server.create_client("worker", machine()).await;
    assert_bad_request(&issued.server.redeem(&worker, &issued.code).await, "unauthorized_client");
    issued.assert_still_good().await;
}

#[tokio::test]
async fn a_replay_is_refused_and_revokes_the_grant_and_everything_issued_from_it() {
    let issued = issued().await;
    let rs = issued.server.create_client("rs", resource_server(RESOURCE)).await;
    let tokens = issued.redeem(|form| form).await.json();
    let access = text(&tokens, "access_token");
    assert_eq!(issued.server.introspect(&rs, &access).await["active"], true);

    assert_bad_request(&issued.redeem(|form| form).await, "invalid_grant");
    let grant = grant_of(&issued.server, &issued.code).await;
    assert_eq!(grant.revocation.map(|revocation| revocation.reason), Some(RevocationReason::CodeReplayed));
    assert_eq!(issued.server.introspect(&rs, &access).await, inactive());
    let refresh = issued.server.refresh(&issued.client, &text(&tokens, "refresh_token")).await;
    assert_bad_request(&refresh, "invalid_grant");
}

#[tokio::test]
async fn a_replay_counts_after_the_code_has_expired_too() {
    let issued = issued().await;
    assert_ok(&issued.redeem(|form| form).await);
    issued.server.pass(3 * 24 * 3600);
    issued.server.authority().purge(issued.server.now()).await.expect("a purge");
    assert_bad_request(&issued.redeem(|form| form).await, "invalid_grant");
    assert!(!issued.is_active().await);
}

#[tokio::test]
async fn a_spent_code_in_an_invalid_request_changes_nothing() {
    let issued = issued().await;
    let tokens = issued.redeem(|form| form).await.json();
    let thief = issued.server.create_client("thief", public_client()).await;
    let wrong = format!("{}X", &VERIFIER[..42]);
    for answer in [
        issued.redeem(|form| form.set("code_verifier", &wrong)).await,
        issued.redeem(|form| form.without("code_verifier")).await,
        issued.redeem(|form| form.add("redirect_uri", "https://evil.example/")).await,
        issued.server.redeem(&thief, &issued.code).await,
    ] {
        assert_bad_request(&answer, "invalid_grant");
    }
    assert!(issued.is_active().await);
    assert_ok(&issued.server.refresh(&issued.client, &text(&tokens, "refresh_token")).await);
}

#[tokio::test]
async fn a_spent_code_with_failed_client_authentication_changes_nothing() {
    let server = TestServer::start().await;
    let spec = ClientSpec { authentication: AuthenticationMethod::ClientSecretBasic, ..public_client() };
    let client = server.create_client("app", spec).await;
    let code = server.code(&Parameters::authorize(&client)).await;
    assert_ok(&server.redeem(&client, &code).await);
    let liar = TestClient { secret: Some("wrong".to_owned()), ..client };
    assert_invalid_client(&server.redeem(&liar, &code).await);
    assert!(grant_of(&server, &code).await.is_active());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_redemptions_at_once_one_succeeds_and_the_grant_is_revoked() {
    let issued = issued().await;
    let rs = issued.server.create_client("rs", resource_server(RESOURCE)).await;
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(64));
    let redemptions: Vec<_> = (0..64)
        .map(|_| {
            let (server, client, code, start) =
                (issued.server.clone(), issued.client.clone(), issued.code.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                server.redeem(&client, &code).await
            })
        })
        .collect();
    let mut winners = Vec::new();
    for redemption in redemptions {
        let answer = redemption.await.expect("no panic");
        if answer.status == StatusCode::OK {
            winners.push(answer.json());
        } else {
            assert_bad_request(&answer, "invalid_grant");
        }
    }
    assert_eq!(winners.len(), 1);
    assert!(!issued.is_active().await);
    assert_eq!(issued.server.introspect(&rs, &text(&winners[0], "access_token")).await, inactive());
    let refresh = issued.server.refresh(&issued.client, &text(&winners[0], "refresh_token")).await;
    assert_bad_request(&refresh, "invalid_grant");
}

#[tokio::test]
async fn a_resource_may_narrow_but_never_widen() {
    let both = |query: Parameters| query.add("resource", RESOURCE).add("resource", OPAQUE_RESOURCE);
    let issued = issued_for(both).await;
    let answer = issued.redeem(|form| form.add("resource", "https://FILES.example.com")).await;
    assert_ok(&answer);
    assert!(text(&answer.json(), "access_token").starts_with("gw_at_"));
    assert_eq!(answer.json()["expires_in"], 1800);
}

#[tokio::test]
async fn a_resource_beyond_the_grant_is_an_invalid_target_and_does_not_spend_the_code() {
    let issued = issued().await;
    for resource in [OPAQUE_RESOURCE, "https://other.example.com/", "x"] {
        assert_bad_request(&issued.redeem(|form| form.add("resource", resource)).await, "invalid_target");
    }
    let two = issued.redeem(|form| form.add("resource", RESOURCE).add("resource", OPAQUE_RESOURCE)).await;
    assert_bad_request(&two, "invalid_target");
    issued.assert_still_good().await;
}

#[tokio::test]
async fn an_alias_of_the_resource_is_the_resource() {
    let issued = issued().await;
    let answer = issued.redeem(|form| form.add("resource", "https://alias.example.com/v1")).await;
    assert_eq!(claims_of(&text(&answer.json(), "access_token"))["aud"], RESOURCE);
}

#[tokio::test]
async fn an_opaque_token_is_issued_where_the_resource_says_so() {
    let issued = issued_for(|query| query.add("resource", OPAQUE_RESOURCE)).await;
    let rs = issued.server.create_client("rs", resource_server(OPAQUE_RESOURCE)).await;
    let token = text(&issued.redeem(|form| form).await.json(), "access_token");
    assert!(token.starts_with("gw_at_"));
    let active = issued.server.introspect(&rs, &token).await;
    assert_eq!(active["active"], true);
    assert_eq!(active["aud"], OPAQUE_RESOURCE);
}

#[tokio::test]
async fn scope_in_the_answer_is_what_means_something_at_the_resource() {
    let change = |query: Parameters| {
        query.add("resource", RESOURCE).add("resource", OPAQUE_RESOURCE).add("scope", "mcp:write files:read")
    };
    let issued = issued_for(change).await;
    let answer = issued.redeem(|form| form.add("resource", OPAQUE_RESOURCE)).await;
    assert_eq!(answer.json()["scope"], "files:read");
}

#[tokio::test]
async fn a_disabled_user_gets_no_tokens() {
    let issued = issued().await;
    let name = Username::parse(USERNAME).expect("a name");
    issued.server.authority().disable_user(&name, issued.server.now()).await.expect("disabled");
    assert_bad_request(&issued.redeem(|form| form).await, "invalid_grant");
}

#[tokio::test]
async fn a_user_who_is_disabled_but_whose_grants_are_not_yet_revoked_gets_no_tokens() {
    let issued = issued().await;
    let user = issued.server.stores.accounts.find_user_by_name(&Username::parse(USERNAME).expect("a name")).await;
    let user = user.expect("the store").expect("the user");
    issued.server.stores.accounts.set_status(&user.id, UserStatus::Disabled).await.expect("the store");
    assert_bad_request(&issued.redeem(|form| form).await, "invalid_grant");
}

#[tokio::test]
async fn a_revoked_grant_yields_no_tokens() {
    let issued = issued().await;
    let id = grant_of(&issued.server, &issued.code).await.id;
    issued.server.authority().revoke_grant(&id, issued.server.now()).await.expect("the store");
    assert_bad_request(&issued.redeem(|form| form).await, "invalid_grant");
}

#[tokio::test]
async fn one_login_makes_one_grant() {
    let issued = issued().await;
    issued.redeem(|form| form).await;
    let page = Page { after: None, limit: 10 };
    let grants = issued.server.stores.tokens.list_grants(&GrantFilter::default(), page).await.expect("the store");
    assert_eq!(grants.len(), 1);
}
