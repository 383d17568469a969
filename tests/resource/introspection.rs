//! Tokens that the authorization server is asked about (RFC 7662).

use std::time::Duration;

use gateward::testing::server::{OPAQUE_RESOURCE, TestServer, public_client};
use serde_json::{Value, json};

use crate::{
    RESOURCE,
    authority::{Authority, with_token},
    guarded::{Guarded, assert_invalid, assert_passed, assert_unavailable},
    impostor::{INTROSPECTION, Impostor, Reply},
    mint::{Key, with, without},
};

async fn asking(authority: &Authority) -> Guarded {
    let resource = authority.resource(RESOURCE).scope("mcp:read");
    Guarded::new(resource.introspection(authority.credentials().await))
}

/// Offline, and by introspection what needs `mcp:execute`.
async fn both(authority: &Authority) -> Guarded {
    let resource = authority.resource(RESOURCE).scope("mcp:read").path("/mcp/launch", "mcp:execute");
    Guarded::new(resource.offline_and_introspection(authority.credentials().await, "mcp:execute"))
}

/// The status for a token about which introspection says this.
async fn status_of(answer: Value) -> u16 {
    let impostor = Impostor::start(&[]);
    impostor.say(INTROSPECTION, &answer);
    impostor.asking().get("opaque").await.status.as_u16()
}

async fn honest() -> Value {
    let impostor = Impostor::start(&[]);
    without(&impostor.active(), "iss")
}

#[tokio::test]
async fn a_token_of_either_form_gets_through() {
    let (authority, worker, token) = with_token().await;
    assert_passed(&asking(&authority).await.get(&token).await);
    let opaque = authority.token(&worker, OPAQUE_RESOURCE, "files:read").await;
    let credentials = {
        let client =
            authority.server.create_client("files", gateward::testing::server::resource_server(OPAQUE_RESOURCE));
        let client = client.await;
        gateward::resource::ClientCredentials::new(&client.id, client.secret())
    };
    let files = Guarded::new(authority.resource(OPAQUE_RESOURCE).scope("files:read").introspection(credentials));
    let answer = files.get(&opaque).await;
    assert_passed(&answer);
    assert_eq!(answer.json()["client_id"], worker.id.as_str());
    // Its token is for the other resource.
    assert_invalid(&files.get(&token).await);
}

#[tokio::test]
async fn opaque_tokens_get_through_beside_tokens_that_are_verified_offline() {
    let (authority, worker, _) = with_token().await;
    let opaque = authority.token(&worker, OPAQUE_RESOURCE, "files:read").await;
    let credentials = authority.credentials().await;
    let resource = authority.resource(OPAQUE_RESOURCE).offline_and_introspection(credentials, "files:write");
    assert_passed(&Guarded::new(resource).get(&opaque).await);
}

#[tokio::test]
async fn a_revoked_token_is_refused_when_the_answer_before_is_forgotten() {
    let (authority, worker, token) = with_token().await;
    let guarded = asking(&authority).await;
    assert_passed(&guarded.get(&token).await);
    authority.revoke(&worker, &token).await;
    authority.server.pass(4);
    assert_passed(&guarded.get(&token).await);
    authority.server.pass(1);
    assert_invalid(&guarded.get(&token).await);
}

#[tokio::test]
async fn without_a_memory_a_revocation_counts_at_once() {
    let (authority, worker, token) = with_token().await;
    let resource = authority.resource(RESOURCE).introspection(authority.credentials().await);
    let guarded = Guarded::new(resource.introspection_cache(Duration::ZERO));
    assert_passed(&guarded.get(&token).await);
    authority.revoke(&worker, &token).await;
    assert_invalid(&guarded.get(&token).await);
}

#[tokio::test]
async fn an_answer_is_never_remembered_beyond_the_end_of_the_token() {
    let impostor = Impostor::start(&[]);
    impostor.say(INTROSPECTION, &with(&impostor.active(), "exp", impostor.claims()["iat"].as_i64().map(|t| t + 2)));
    let guarded = impostor.asking();
    assert_passed(&guarded.get("opaque").await);
    impostor.clock.advance(Duration::from_secs(1));
    assert_passed(&guarded.get("opaque").await);
    impostor.clock.advance(Duration::from_secs(1));
    assert_invalid(&guarded.get("opaque").await);
    assert_eq!(impostor.asked(INTROSPECTION), 1);
}

#[tokio::test]
async fn an_answer_is_asked_for_again_when_the_clock_was_set_back() {
    let impostor = Impostor::start(&[]);
    impostor.say(INTROSPECTION, &impostor.active());
    let guarded = impostor.asking();
    assert_passed(&guarded.get("opaque").await);
    impostor.clock.set(gateward::testing::clock::ManualClock::START.minus(Duration::from_secs(2)));
    assert_passed(&guarded.get("opaque").await);
    assert_eq!(impostor.asked(INTROSPECTION), 2);
}

#[tokio::test]
async fn a_refusal_is_remembered_too() {
    let impostor = Impostor::start(&[]);
    impostor.say(INTROSPECTION, &json!({ "active": false }));
    let guarded = impostor.asking();
    for _ in 0..10 {
        assert_invalid(&guarded.get("opaque").await);
    }
    assert_eq!(impostor.asked(INTROSPECTION), 1);
    impostor.say(INTROSPECTION, &impostor.active());
    impostor.clock.advance(Duration::from_secs(5));
    assert_passed(&guarded.get("opaque").await);
}

#[tokio::test]
async fn fifty_requests_at_once_cause_one_question() {
    let impostor = Impostor::start(&[]);
    impostor.say(INTROSPECTION, &impostor.active());
    let guarded = impostor.asking();
    impostor.hold();
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let guarded = guarded.clone();
            tokio::spawn(async move { guarded.get("opaque").await.status.as_u16() })
        })
        .collect();
    tokio::task::yield_now().await;
    impostor.release();
    for request in requests {
        assert_eq!(request.await.expect("an answer"), 200);
    }
    assert_eq!(impostor.asked(INTROSPECTION), 1);
}

/// Whoever asked first hangs up: those who wait with them are answered all the same.
#[tokio::test]
async fn a_client_that_hangs_up_takes_nothing_from_others() {
    let impostor = Impostor::start(&[]);
    impostor.say(INTROSPECTION, &impostor.active());
    let guarded = impostor.asking();
    assert_passed(&guarded.get("another").await);
    impostor.hold();
    let ask = || {
        let guarded = guarded.clone();
        tokio::spawn(async move { guarded.get("opaque").await.status.as_u16() })
    };
    let first = ask();
    impostor.wait_for(INTROSPECTION, 2).await;
    let second = ask();
    tokio::task::yield_now().await;
    first.abort();
    impostor.release();
    assert_eq!(second.await.expect("an answer"), 200);
}

#[tokio::test]
async fn the_credentials_are_form_encoded_and_the_token_is_in_the_body() {
    let impostor = Impostor::start(&[]);
    impostor.say(INTROSPECTION, &impostor.active());
    assert_passed(&impostor.asking().get("opa+que/=").await);
    let question = &impostor.questions(INTROSPECTION)[0];
    // RFC 6749 2.3.1: guard%3A1:se+cret
    assert_eq!(question.headers["authorization"], "Basic Z3VhcmQlM0ExOnNlK2NyZXQ=");
    assert_eq!(question.body, "token=opa%2Bque%2F%3D&token_type_hint=access_token");
}

#[tokio::test]
async fn a_refresh_token_of_the_real_server_is_refused() {
    let authority = Authority::start().await;
    let server: TestServer = authority.server.clone().with_user().await;
    let client = server.create_client("app", public_client()).await;
    let tokens = server.tokens(&client).await;
    let guarded = asking(&authority).await;
    assert_passed(&guarded.get(tokens["access_token"].as_str().expect("a token")).await);
    assert_invalid(&guarded.get(tokens["refresh_token"].as_str().expect("a token")).await);
}

#[tokio::test]
async fn what_is_active_but_no_access_token_for_this_resource_is_refused() {
    let honest = honest().await;
    assert_eq!(status_of(honest.clone()).await, 200);
    // A refresh token has neither a token_type nor an audience.
    assert_eq!(status_of(without(&without(&honest, "token_type"), "aud")).await, 401);
    assert_eq!(status_of(without(&honest, "aud")).await, 401);
    assert_eq!(status_of(with(&honest, "aud", "https://other.example")).await, 401);
    assert_eq!(status_of(with(&honest, "aud", json!(["https://other.example", RESOURCE]))).await, 200);
    for kind in ["refresh_token", "DPoP", "mac", "N_A", ""] {
        assert_eq!(status_of(with(&honest, "token_type", kind)).await, 401, "{kind}");
    }
    assert_eq!(status_of(with(&honest, "iss", "https://other.example")).await, 401);
    assert_eq!(status_of(with(&honest, "active", false)).await, 401);
}

#[tokio::test]
async fn an_active_token_is_judged_by_its_times_as_well() {
    let honest = honest().await;
    let now = honest["iat"].as_i64().expect("a time");
    assert_eq!(status_of(with(&honest, "exp", now)).await, 401);
    assert_eq!(status_of(with(&honest, "nbf", now + 60)).await, 200);
    assert_eq!(status_of(with(&honest, "nbf", now + 61)).await, 401);
    assert_eq!(status_of(without(&honest, "exp")).await, 200);
}

#[tokio::test]
async fn an_answer_that_names_nobody_is_refused() {
    let honest = honest().await;
    assert_eq!(status_of(without(&honest, "client_id")).await, 401);
    assert_eq!(status_of(without(&honest, "sub")).await, 200, "a client that acts for itself");
    assert_eq!(status_of(without(&honest, "scope")).await, 403);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_no_answer() {
    let honest = honest().await;
    for odd in [json!([]), json!("x"), json!({}), json!({ "active": "true" }), json!({ "active": 1 }), json!(null)] {
        assert_eq!(status_of(odd.clone()).await, 503, "{odd}");
    }
    assert_eq!(status_of(with(&honest, "exp", "4102444800")).await, 503);
    assert_eq!(status_of(with(&honest, "scope", json!(["mcp:read"]))).await, 503);
}

#[tokio::test]
async fn wrong_credentials_are_the_servers_trouble_and_not_the_clients() {
    let (authority, _, token) = with_token().await;
    let wrong = gateward::resource::ClientCredentials::new("guard", "guessed");
    let guarded = Guarded::new(authority.resource(RESOURCE).introspection(wrong));
    assert_unavailable(&guarded.get(&token).await);
    assert_eq!(guarded.reached(), 0);
}

#[tokio::test]
async fn no_status_but_200_is_an_answer() {
    let impostor = Impostor::start(&[]);
    for status in [204, 301, 302, 307, 400, 401, 403, 404, 429, 500, 503] {
        let location = Some(format!("{}/elsewhere", impostor.issuer));
        impostor.say("/elsewhere", &impostor.active());
        let body = impostor.active().to_string();
        impostor.reply(INTROSPECTION, Reply { status, location, body });
        let answer = impostor.asking().get("opaque").await;
        assert_eq!(answer.status, 503, "{status}");
    }
    assert_eq!(impostor.asked("/elsewhere"), 0, "redirects are not followed");
}

#[tokio::test]
async fn failures_are_not_remembered_and_do_not_spread() {
    let impostor = Impostor::start(&[]);
    impostor.reply(INTROSPECTION, Reply::status(500));
    let guarded = impostor.asking();
    assert_unavailable(&guarded.get("opaque").await);
    impostor.say(INTROSPECTION, &impostor.active());
    assert_passed(&guarded.get("opaque").await);
    assert_passed(&guarded.get("another").await);
}

#[tokio::test]
async fn a_server_that_offers_no_introspection_is_asked_nothing() {
    let impostor = Impostor::start(&[]);
    impostor.say(crate::impostor::DISCOVERY, &without(&impostor.metadata(), "introspection_endpoint"));
    assert_unavailable(&impostor.asking().get("opaque").await);
    assert_eq!(impostor.asked(INTROSPECTION), 0);
}

#[tokio::test]
async fn what_is_sensitive_is_asked_about_and_a_revoked_jwt_refused_at_once() {
    let authority = Authority::start().await;
    let worker = authority.worker().await;
    let token = authority.token(&worker, RESOURCE, "mcp:read mcp:execute").await;
    let guarded = both(&authority).await;
    let launch = async || guarded.call("POST", "/mcp/launch").bearer(&token).send().await;
    assert_passed(&guarded.get(&token).await);
    authority.revoke(&worker, &token).await;
    assert_passed(&guarded.get(&token).await);
    assert_invalid(&launch().await);
    assert_eq!(guarded.reached(), 2);
}

#[tokio::test]
async fn what_is_sensitive_waits_for_a_server_that_is_away_and_nothing_else_does() {
    let mut authority = Authority::start().await;
    let worker = authority.worker().await;
    let token = authority.token(&worker, RESOURCE, "mcp:read mcp:execute").await;
    let guarded = both(&authority).await;
    assert_passed(&guarded.get(&token).await);
    authority.stop();
    assert_passed(&guarded.get(&token).await);
    assert_unavailable(&guarded.call("POST", "/mcp/launch").bearer(&token).send().await);
}

#[tokio::test]
async fn too_little_scope_is_no_reason_to_ask() {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let resource = impostor.resource().scope("mcp:execute");
    let guarded = Guarded::new(resource.offline_and_introspection(Impostor::credentials(), "mcp:execute"));
    assert_eq!(guarded.get(&key.token(&impostor.claims())).await.status, 403);
    assert_eq!(impostor.asked(INTROSPECTION), 0);
}

/// `mcp:*` as the sensitive scope means everything below it.
#[tokio::test]
async fn a_broader_name_makes_everything_below_it_sensitive() {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    impostor.say(INTROSPECTION, &json!({ "active": false }));
    for (needed, sensitive) in [("mcp:execute", "mcp:*"), ("mcp:*", "mcp:execute"), ("mcp:a", "x mcp:a")] {
        let resource = impostor.resource().scope(needed);
        let guarded = Guarded::new(resource.offline_and_introspection(Impostor::credentials(), sensitive));
        assert_invalid(&guarded.get(&key.token(&with(&impostor.claims(), "scope", "mcp:*"))).await);
    }
    let resource = impostor.resource().scope("mcp:read");
    let guarded = Guarded::new(resource.offline_and_introspection(Impostor::credentials(), "mcp:execute other:*"));
    assert_passed(&guarded.get(&key.token(&impostor.claims())).await);
}

/// RFC 7662 2.2: by now it may be less than what stands in the token.
#[tokio::test]
async fn what_is_sensitive_needs_what_the_server_says_that_a_token_permits() {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let resource = impostor.resource().scope("mcp:execute");
    let guarded = Guarded::new(resource.offline_and_introspection(Impostor::credentials(), "mcp:execute"));
    let token = |id| key.token(&with(&with(&impostor.claims(), "scope", "mcp:execute"), "jti", id));
    impostor.say(INTROSPECTION, &with(&impostor.active(), "scope", "mcp:read"));
    assert_eq!(guarded.get(&token("1")).await.status, 403);
    impostor.say(INTROSPECTION, &with(&impostor.active(), "scope", "mcp:execute"));
    assert_passed(&guarded.get(&token("2")).await);
    assert_eq!(guarded.reached(), 1);
}

/// An answer that was given before the revocation, and arrives after it, speaks for nobody who came later.
#[tokio::test]
async fn without_a_memory_no_request_takes_the_answer_to_another() {
    let impostor = Impostor::start(&[]);
    impostor.say(INTROSPECTION, &impostor.active());
    let resource = impostor.resource().scope("mcp:read").introspection(Impostor::credentials());
    let guarded = Guarded::new(resource.introspection_cache(Duration::ZERO));
    assert_passed(&guarded.get("opaque").await);
    impostor.hold();
    let ask = || {
        let guarded = guarded.clone();
        tokio::spawn(async move { guarded.get("opaque").await })
    };
    let before = ask();
    impostor.wait_for(INTROSPECTION, 2).await;
    impostor.say(INTROSPECTION, &json!({ "active": false }));
    let after = ask();
    impostor.wait_for(INTROSPECTION, 3).await;
    impostor.release();
    assert_passed(&before.await.expect("an answer"));
    assert_invalid(&after.await.expect("an answer"));
}
