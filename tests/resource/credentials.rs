//! Where a token may stand (RFC 6750 2).

use crate::{
    METADATA,
    authority::with_token,
    guarded::{assert_bad_request, assert_invalid, assert_passed, challenge},
    impostor::Impostor,
    mint::Key,
};

#[tokio::test]
async fn a_token_of_the_authorization_server_gets_through_and_says_whose_it_is() {
    let (authority, worker, token) = with_token().await;
    let answer = authority.guarded().get(&token).await;
    assert_passed(&answer);
    let identity = answer.json();
    assert_eq!(identity["iss"], authority.server.authority().issuer.as_str());
    assert_eq!(identity["client_id"], worker.id.as_str());
    assert_eq!(identity["scope"], "mcp:read");
    assert_eq!(identity["human"], false);
}

#[tokio::test]
async fn the_scheme_may_be_in_any_case() {
    let (authority, _, token) = with_token().await;
    let guarded = authority.guarded();
    for scheme in ["bearer", "BEARER", "bEaReR "] {
        let call = guarded.call("GET", "/mcp").header("authorization", format!("{scheme} {token}"));
        assert_passed(&call.send().await);
    }
}

#[tokio::test]
async fn a_token_in_the_query_is_none() {
    let (authority, _, token) = with_token().await;
    let answer = authority.guarded().call("GET", &format!("/mcp?access_token={token}")).send().await;
    assert_eq!(answer.status, 401);
    assert!(!challenge(&answer).contains("error"), "{}", challenge(&answer));
}

#[tokio::test]
async fn a_token_in_the_form_is_none() {
    let (authority, _, token) = with_token().await;
    let call = authority.guarded().call("POST", "/mcp").body(format!("access_token={token}"));
    let answer = call.header("content-type", "application/x-www-form-urlencoded").send().await;
    assert_eq!(answer.status, 401);
    assert!(!challenge(&answer).contains("error"), "{}", challenge(&answer));
}

#[tokio::test]
async fn a_token_in_two_places_is_a_bad_request() {
    let (authority, _, token) = with_token().await;
    let guarded = authority.guarded();
    for query in ["access_token=x", "a=b&access%5ftoken=", "access_token"] {
        let answer = guarded.call("GET", &format!("/mcp?{query}")).bearer(&token).send().await;
        assert_bad_request(&answer);
        assert_eq!(
            challenge(&answer),
            format!(r#"Bearer resource_metadata="{METADATA}", scope="mcp:read", error="invalid_request""#)
        );
    }
    assert_eq!(guarded.reached(), 0);
}

#[tokio::test]
async fn two_authorization_headers_are_a_bad_request() {
    let (authority, _, token) = with_token().await;
    let guarded = authority.guarded();
    for other in [format!("Bearer {token}"), "Bearer x".to_owned(), "Basic YTpi".to_owned()] {
        assert_bad_request(&guarded.call("GET", "/mcp").bearer(&token).header("authorization", &other).send().await);
        assert_bad_request(&guarded.call("GET", "/mcp").header("authorization", &other).bearer(&token).send().await);
    }
}

#[tokio::test]
async fn a_malformed_header_is_a_bad_request() {
    let (authority, _, token) = with_token().await;
    let guarded = authority.guarded();
    for header in ["Bearer".to_owned(), format!("Bearer {token} x"), format!("Bearer {token},{token}")] {
        assert_bad_request(&guarded.call("GET", "/mcp").header("authorization", header).send().await);
    }
}

#[tokio::test]
async fn credentials_of_another_scheme_are_no_token() {
    let (authority, _, token) = with_token().await;
    for scheme in ["DPoP", "Basic", "Token", "Bearer\t"] {
        let call = authority.guarded().call("GET", "/mcp").header("authorization", format!("{scheme} {token}"));
        let answer = call.send().await;
        assert_eq!(answer.status, 401);
        assert!(!challenge(&answer).contains("error"), "{}", challenge(&answer));
    }
}

/// A header of that size gets through most servers; it must not cost anything behind.
#[tokio::test]
async fn a_token_of_17_kib_is_refused_without_a_question() {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let mut claims = impostor.claims();
    claims["padding"] = "x".repeat(13 * 1024).into();
    let token = key.token(&claims);
    assert!(token.len() > 17 * 1024);
    assert_invalid(&impostor.guarded().get(&token).await);
    assert_invalid(&impostor.asking().get(&token).await);
    assert_eq!(impostor.asked_at_all(), 0);
}

#[tokio::test]
async fn a_handler_that_is_not_behind_the_layer_sees_no_identity() {
    use axum::{Router, body::Body, http::Request, routing::get};
    use tower::ServiceExt;
    let router: Router = Router::new().route("/", get(|_: gateward::resource::Identity| async { "reached" }));
    let answer = router.oneshot(Request::new(Body::empty())).await.expect("an answer");
    assert_eq!(answer.status(), 500);
}
