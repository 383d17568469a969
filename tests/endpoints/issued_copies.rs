//! What an instance remembers that it issued: it saves a look-up, and changes no answer, whatever other instances did meanwhile.

use axum::http::StatusCode;
use gateward::{
    domain::{
        account::{UserStatus, Username},
        audit::Action,
        grant::RevocationReason,
    },
    testing::server::{Parameters, TestClient, TestServer, USERNAME, public_client},
};

use super::{faults::Faults, *};

/// Two instances on one store. What is asked of the store is counted for both.
struct Pair {
    faults: Faults,
    here: TestServer,
    elsewhere: TestServer,
    client: TestClient,
}

async fn pair() -> Pair {
    let faults = Faults::default();
    let here = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await.with_user().await;
    let client = here.create_client("app", public_client()).await;
    let elsewhere = here.beside();
    Pair { faults, here, elsewhere, client }
}

impl Pair {
    /// A code that was issued here.
    async fn code(&self) -> String {
        self.here.code(&Parameters::authorize(&self.client)).await
    }

    /// A refresh token that was issued here, and the code that it was issued for.
    async fn token(&self) -> (String, String) {
        let code = self.code().await;
        let answer = self.here.redeem(&self.client, &code).await;
        assert_ok(&answer);
        (answer.member("refresh_token"), code)
    }

    async fn refreshed(&self, server: &TestServer, token: &str) -> String {
        let answer = server.refresh(&self.client, token).await;
        assert_ok(&answer);
        answer.member("refresh_token")
    }

    /// Why the grant of a code has ended.
    async fn end(&self, code: &str) -> Option<RevocationReason> {
        grant_of(&self.here, code).await.revocation.map(|revocation| revocation.reason)
    }
}

#[tokio::test]
async fn who_issued_a_code_and_a_chain_of_refresh_tokens_looks_none_of_them_up() {
    let pair = pair().await;
    let (mut token, _) = pair.token().await;
    for _ in 0..3 {
        token = pair.refreshed(&pair.here, &token).await;
    }
    assert_eq!(pair.faults.calls("tokens.find_code"), 0);
    assert_eq!(pair.faults.calls("tokens.find_refresh"), 0);
}

#[tokio::test]
async fn who_issued_nothing_of_it_looks_each_up() {
    let pair = pair().await;
    let code = pair.code().await;
    let answer = pair.elsewhere.redeem(&pair.client, &code).await;
    assert_ok(&answer);
    assert_eq!(pair.faults.calls("tokens.find_code"), 1);
    pair.refreshed(&pair.here, &answer.member("refresh_token")).await;
    assert_eq!(pair.faults.calls("tokens.find_refresh"), 1);
}

#[tokio::test]
async fn a_code_that_was_spent_elsewhere_is_a_replay_here() {
    let pair = pair().await;
    let code = pair.code().await;
    assert_ok(&pair.elsewhere.redeem(&pair.client, &code).await);
    assert_bad_request(&pair.here.redeem(&pair.client, &code).await, "invalid_grant");
    assert_eq!(pair.faults.calls("tokens.redeem"), 2, "the copy was tried");
    assert_eq!(pair.end(&code).await, Some(RevocationReason::CodeReplayed));
    let ends = pair.here.audited().await.into_iter().filter(|entry| entry.event == Action::GrantRevoke.as_str());
    assert_eq!(ends.count(), 1, "told once");
}

#[tokio::test]
async fn a_code_that_was_spent_elsewhere_is_a_replay_here_after_it_has_expired_too() {
    let pair = pair().await;
    let code = pair.code().await;
    assert_ok(&pair.elsewhere.redeem(&pair.client, &code).await);
    pair.here.pass(3600);
    assert_bad_request(&pair.here.redeem(&pair.client, &code).await, "invalid_grant");
    assert_eq!(pair.end(&code).await, Some(RevocationReason::CodeReplayed));
}

#[tokio::test]
async fn a_token_that_was_rotated_elsewhere_gets_the_same_successor_here() {
    let pair = pair().await;
    let (token, _) = pair.token().await;
    let successor = pair.refreshed(&pair.elsewhere, &token).await;
    assert_eq!(pair.refreshed(&pair.here, &token).await, successor);
    assert_eq!(pair.faults.calls("tokens.rotate"), 2, "the copy was tried");
}

#[tokio::test]
async fn a_token_that_was_rotated_elsewhere_is_a_replay_here_after_the_window() {
    let pair = pair().await;
    let (token, code) = pair.token().await;
    pair.refreshed(&pair.elsewhere, &token).await;
    pair.here.pass(61);
    assert_bad_request(&pair.here.refresh(&pair.client, &token).await, "invalid_grant");
    assert_eq!(pair.end(&code).await, Some(RevocationReason::RefreshReplayed));
}

#[tokio::test]
async fn a_replay_that_also_asks_for_too_much_is_a_replay() {
    let pair = pair().await;
    let (token, code) = pair.token().await;
    pair.refreshed(&pair.elsewhere, &token).await;
    pair.here.pass(61);
    let wide = Parameters::refresh(&token).set("scope", "mcp:read mcp:execute");
    assert_bad_request(&pair.here.token(&pair.client, wide).await, "invalid_grant");
    assert_eq!(pair.end(&code).await, Some(RevocationReason::RefreshReplayed));
}

#[tokio::test]
async fn what_hangs_off_a_grant_that_ended_elsewhere_is_refused_here() {
    let pair = pair().await;
    let (token, code) = pair.token().await;
    assert_bad_request(&pair.elsewhere.redeem(&pair.client, &code).await, "invalid_grant");
    assert_bad_request(&pair.here.refresh(&pair.client, &token).await, "invalid_grant");
    assert_eq!(pair.end(&code).await, Some(RevocationReason::CodeReplayed));
}

#[tokio::test]
async fn a_code_of_somebody_who_was_disabled_elsewhere_is_refused_here() {
    let pair = pair().await;
    let code = pair.code().await;
    let name = Username::parse(USERNAME).expect("a name");
    let user = pair.elsewhere.authority().user(&name).await.expect("the user");
    // And whose grants are not revoked yet.
    pair.elsewhere.stores.accounts.set_status(&user.id, UserStatus::Disabled).await.expect("the store");
    assert_bad_request(&pair.here.redeem(&pair.client, &code).await, "invalid_grant");
}

#[tokio::test]
async fn who_may_not_use_it_takes_nothing_from_who_may() {
    let pair = pair().await;
    let (other, code) = (pair.here.create_client("other", public_client()).await, pair.code().await);
    assert_bad_request(&pair.here.redeem(&other, &code).await, "invalid_grant");
    let wrong = Parameters::redeem(&code).set("code_verifier", &"x".repeat(43));
    assert_bad_request(&pair.here.token(&pair.client, wrong).await, "invalid_grant");
    let answer = pair.here.redeem(&pair.client, &code).await;
    assert_ok(&answer);
    let token = answer.member("refresh_token");
    assert_bad_request(&pair.here.refresh(&other, &token).await, "invalid_grant");
    pair.refreshed(&pair.here, &token).await;
}

#[tokio::test]
async fn a_store_that_is_down_is_asked_once_and_what_could_not_be_spent_is_still_good() {
    let pair = pair().await;
    let code = pair.code().await;
    pair.faults.take_down_at(&["tokens.redeem"]);
    assert_unavailable(&pair.here.redeem(&pair.client, &code).await);
    assert_eq!((pair.faults.calls("tokens.redeem"), pair.faults.calls("tokens.find_code")), (1, 0));
    pair.faults.heal();
    let answer = pair.here.redeem(&pair.client, &code).await;
    assert_ok(&answer);
    let token = answer.member("refresh_token");
    pair.faults.take_down_at(&["tokens.rotate"]);
    assert_unavailable(&pair.here.refresh(&pair.client, &token).await);
    assert_eq!((pair.faults.calls("tokens.rotate"), pair.faults.calls("tokens.find_refresh")), (1, 0));
    pair.faults.heal();
    pair.refreshed(&pair.here, &token).await;
}

#[tokio::test]
async fn a_server_that_remembers_nothing_looks_everything_up() {
    let faults = Faults::default();
    let builder = TestServer::builder().stores(|stores| faults.wrap(stores)).issued_copies(0);
    let server = builder.start().await.with_user().await;
    let client = server.create_client("app", public_client()).await;
    let tokens = server.tokens(&client).await;
    assert_eq!(server.refresh(&client, &text(&tokens, "refresh_token")).await.status, StatusCode::OK);
    assert_eq!((faults.calls("tokens.find_code"), faults.calls("tokens.find_refresh")), (1, 1));
}
