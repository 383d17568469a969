//! Signing out, and the page after it.

use axum::http::StatusCode;
use gateward::testing::server::{Answer, Parameters, TestClient, TestServer, Visitor, public_client};

use super::*;

async fn signed_in() -> (TestServer, TestClient, Visitor, Answer) {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let mut visitor = server.visitor();
    let login = visitor.authorize(&Parameters::authorize(&client)).await;
    let consent = visitor.log_in(&login).await;
    (server, client, visitor, consent)
}

async fn is_signed_in(visitor: &mut Visitor, client: &TestClient) -> bool {
    !visitor.authorize(&Parameters::authorize(client)).await.text().contains(r#"name="password""#)
}

#[tokio::test]
async fn signing_out_ends_the_session_and_leads_to_a_page() {
    let (_, client, mut visitor, consent) = signed_in().await;
    let before = visitor.cookie.clone();
    let answer = visitor.post("/oauth/logout", [("request", consent.sealed())]).await;
    assert!(answer.location().starts_with("/oauth/signed-out?"));
    assert_ne!(visitor.cookie, before);
    assert!(!is_signed_in(&mut visitor, &client).await);
    visitor.cookie = before;
    assert!(!is_signed_in(&mut visitor, &client).await);
}

#[tokio::test]
async fn the_page_after_it_offers_to_go_on_with_the_request() {
    let (_, _, mut visitor, consent) = signed_in().await;
    let answer = visitor.post("/oauth/logout", [("request", consent.sealed())]).await;
    let next = answer.location().to_owned();
    let page = visitor.get(&next).await;
    assert_page(&page, StatusCode::OK);
    assert!(page.text().contains(r#"href="/oauth/authorize?response_type=code"#), "{}", page.text());
}

#[tokio::test]
async fn the_page_after_it_leads_nowhere_else() {
    let server = TestServer::start().await;
    for query in ["", "?continue=https://evil.example", "?redirect_uri=https://evil.example", "?x=%ff", "?a=1&a=2"] {
        let page = server.get(&format!("/oauth/signed-out{query}")).await;
        assert_page(&page, StatusCode::OK);
        assert!(!page.text().contains("evil.example"));
        assert!(!page.text().contains("Sign in again"));
    }
}

#[tokio::test]
async fn another_site_cannot_sign_anybody_out() {
    let (server, client, mut visitor, _) = signed_in().await;
    let other = server.visitor().authorize(&Parameters::authorize(&client)).await;
    for request in ["", "x", other.sealed()] {
        assert_page(&visitor.post("/oauth/logout", [("request", request)]).await, StatusCode::BAD_REQUEST);
    }
    assert!(is_signed_in(&mut visitor, &client).await);
}

#[tokio::test]
async fn a_consent_page_from_before_cannot_be_answered_afterwards() {
    let (_, _, mut visitor, consent) = signed_in().await;
    visitor.post("/oauth/logout", [("request", consent.sealed())]).await;
    assert_page(&visitor.decide(&consent, "approve").await, StatusCode::BAD_REQUEST);
}
