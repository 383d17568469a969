//! The keys of the authorization server: where they are looked for, and which of them count.

use std::time::Duration;

use gateward::resource::ProtectedResource;
use serde_json::{Value, json};

use crate::{
    RESOURCE,
    guarded::{Guarded, assert_invalid, assert_passed, assert_unavailable},
    impostor::{DISCOVERY, Impostor, JWKS, Reply},
    mint::{Key, with, without},
};

const OPENID: &str = "/.well-known/openid-configuration";

fn setting() -> (Key, Impostor, Guarded, String) {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let (guarded, token) = (impostor.guarded(), key.token(&impostor.claims()));
    (key, impostor, guarded, token)
}

#[tokio::test]
async fn nothing_is_asked_before_there_is_a_token_to_verify() {
    let (key, impostor, guarded, token) = setting();
    guarded.call("GET", "/mcp").send().await;
    guarded.call("GET", "/.well-known/oauth-protected-resource").send().await;
    assert_invalid(&guarded.get("x").await);
    assert_invalid(&guarded.get("a.b.c").await);
    let typed_wrongly = key.with_header(&without(&key.header(), "typ"), &impostor.claims());
    assert_invalid(&guarded.get(&typed_wrongly).await);
    assert_eq!(impostor.asked_at_all(), 0);
    assert_passed(&guarded.get(&token).await);
    assert_eq!((impostor.asked(DISCOVERY), impostor.asked(JWKS)), (1, 1));
}

#[tokio::test]
async fn keys_are_not_fetched_again_for_tokens_that_they_verify() {
    let (key, impostor, guarded, _) = setting();
    for id in 0..20 {
        assert_passed(&guarded.get(&key.token(&with(&impostor.claims(), "jti", id.to_string()))).await);
    }
    assert_eq!(impostor.asked_at_all(), 2);
}

#[tokio::test]
async fn a_document_of_another_issuer_is_not_believed() {
    let (_, impostor, guarded, token) = setting();
    let slashed = format!("{}/", impostor.issuer);
    for issuer in ["https://auth.example.com", &slashed, ""] {
        impostor.say(DISCOVERY, &with(&impostor.metadata(), "issuer", issuer));
        assert_unavailable(&impostor.guarded().get(&token).await);
    }
    impostor.say(DISCOVERY, &without(&impostor.metadata(), "issuer"));
    assert_unavailable(&impostor.guarded().get(&token).await);
    assert_eq!(impostor.asked(JWKS), 0);
    impostor.say(DISCOVERY, &impostor.metadata());
    assert_passed(&guarded.get(&token).await);
}

#[tokio::test]
async fn the_document_of_openid_is_taken_where_there_is_no_other() {
    let (_, impostor, guarded, token) = setting();
    impostor.reply(DISCOVERY, Reply::status(404));
    impostor.say(OPENID, &impostor.metadata());
    assert_passed(&guarded.get(&token).await);
}

#[tokio::test]
async fn an_issuer_with_a_path_has_its_documents_inserted_or_appended() {
    let (key, impostor, _, _) = setting();
    let issuer = format!("{}/tenant", impostor.issuer);
    let token = key.token(&with(&impostor.claims(), "iss", issuer.as_str()));
    let metadata = with(&impostor.metadata(), "issuer", issuer.as_str());
    let guarded = || Guarded::new(ProtectedResource::new(RESOURCE, &issuer).clock(impostor.clock.clone()));
    assert_unavailable(&guarded().get(&token).await);
    impostor.say("/tenant/.well-known/openid-configuration", &metadata);
    assert_passed(&guarded().get(&token).await);
    impostor.reply("/tenant/.well-known/openid-configuration", Reply::status(404));
    impostor.say("/.well-known/oauth-authorization-server/tenant", &metadata);
    assert_passed(&guarded().get(&token).await);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (_, impostor, _, token) = setting();
    impostor.say("/elsewhere", &impostor.metadata());
    let location = Some(format!("{}/elsewhere", impostor.issuer));
    for path in [DISCOVERY, JWKS] {
        impostor.reply(path, Reply { status: 302, location: location.clone(), body: String::new() });
        assert_unavailable(&impostor.guarded().get(&token).await);
        impostor.say(DISCOVERY, &impostor.metadata());
    }
    assert_eq!(impostor.asked("/elsewhere"), 0);
}

#[tokio::test]
async fn keys_in_the_clear_are_for_this_machine_only() {
    let (_, impostor, _, token) = setting();
    for uri in ["http://192.0.2.1/jwks", "http://mcp.example.com/jwks", "file:///etc/passwd", "data:,x", "x", ""] {
        impostor.say(DISCOVERY, &with(&impostor.metadata(), "jwks_uri", uri));
        assert_unavailable(&impostor.guarded().get(&token).await);
    }
    impostor.say(DISCOVERY, &without(&impostor.metadata(), "jwks_uri"));
    assert_unavailable(&impostor.guarded().get(&token).await);
}

#[tokio::test]
async fn a_huge_key_set_is_not_read_to_its_end() {
    let (key, impostor, _, token) = setting();
    let huge = json!({ "keys": [key.jwk()], "padding": "x".repeat(512 * 1024) });
    impostor.say(JWKS, &huge);
    assert_unavailable(&impostor.guarded().get(&token).await);
    let large = json!({ "keys": [key.jwk()], "padding": "x".repeat(500 * 1024) });
    impostor.say(JWKS, &large);
    assert_passed(&impostor.guarded().get(&token).await);
}

#[tokio::test]
async fn what_is_no_key_set_is_no_answer() {
    let (_, impostor, _, token) = setting();
    for odd in [json!([]), json!({}), json!({ "keys": {} }), json!("x")] {
        impostor.say(JWKS, &odd);
        assert_unavailable(&impostor.guarded().get(&token).await);
    }
    impostor.reply(JWKS, Reply { status: 200, location: None, body: "<html>".to_owned() });
    assert_unavailable(&impostor.guarded().get(&token).await);
}

/// RFC 7517 5.
#[tokio::test]
async fn keys_that_cannot_be_understood_spoil_nothing_for_the_others() {
    let (key, impostor, guarded, token) = setting();
    let odd = [
        json!(null),
        json!("x"),
        json!({}),
        json!({ "kty": "oct", "k": "AAAA", "kid": "a", "alg": "HS256" }),
        json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "a" }),
        json!({ "kty": "FUTURE", "kid": 5 }),
        json!({ "kty": "EC", "crv": "P-256", "x": "!", "y": 1, "kid": "a" }),
    ];
    let keys: Vec<Value> = odd.into_iter().chain([key.jwk()]).collect();
    impostor.say(JWKS, &json!({ "keys": keys }));
    assert_passed(&guarded.get(&token).await);
}

#[tokio::test]
async fn a_key_for_something_else_verifies_nothing() {
    let (key, impostor, _, token) = setting();
    for jwk in [with(&key.jwk(), "use", "enc"), with(&key.jwk(), "alg", "ES384"), with(&key.jwk(), "kid", "b")] {
        impostor.say(JWKS, &json!({ "keys": [jwk] }));
        assert_invalid(&impostor.guarded().get(&token).await);
    }
    impostor.say(JWKS, &json!({ "keys": [without(&without(&key.jwk(), "use"), "alg")] }));
    assert_passed(&impostor.guarded().get(&token).await);
}

/// Not from memory either: the token was verified before.
#[tokio::test]
async fn a_key_that_was_taken_back_counts_no_longer_than_five_minutes() {
    let (_, impostor, guarded, token) = setting();
    assert_passed(&guarded.get(&token).await);
    impostor.publish(&[&Key::es256("next")]);
    impostor.clock.advance(Duration::from_secs(299));
    assert_passed(&guarded.get(&token).await);
    assert_eq!(impostor.asked(JWKS), 1);
    impostor.clock.advance(Duration::from_secs(1));
    // This request still passes, and has the keys fetched behind it.
    assert_passed(&guarded.get(&token).await);
    impostor.wait_for(JWKS, 2).await;
    while guarded.get(&token).await.status == 200 {
        tokio::task::yield_now().await;
    }
    assert_invalid(&guarded.get(&token).await);
}

#[tokio::test]
async fn keys_are_looked_at_again_when_the_clock_was_set_back() {
    let (_, impostor, guarded, token) = setting();
    impostor.clock.advance(Duration::from_secs(600));
    assert_passed(&guarded.get(&token).await);
    impostor.clock.advance(Duration::ZERO);
    impostor.clock.set(gateward::testing::clock::ManualClock::START);
    assert_passed(&guarded.get(&token).await);
    impostor.wait_for(JWKS, 2).await;
}
