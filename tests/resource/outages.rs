//! The authorization server is away, slow or comes back: what is known goes on counting, and nothing else ever does.

use std::time::Duration;

use crate::{
    RESOURCE,
    authority::{Authority, with_token},
    guarded::{assert_invalid, assert_passed, assert_unavailable},
    impostor::{DISCOVERY, Impostor, JWKS},
    mint::{Key, with},
    time::StandingTime,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn known_keys_go_on_verifying_for_a_day() {
    let key = Key::es256("a");
    let mut impostor = Impostor::start(&[&key]);
    let guarded = impostor.guarded();
    let token = |id: &str| {
        let claims = with(&impostor.claims(), "exp", i64::from(u32::MAX));
        key.token(&with(&claims, "jti", id))
    };
    let (first, second, third) = (token("1"), token("2"), token("3"));
    assert_passed(&guarded.get(&first).await);
    impostor.stop();
    impostor.clock.advance(DAY - Duration::from_secs(1));
    assert_passed(&guarded.get(&first).await);
    assert_passed(&guarded.get(&second).await);
    impostor.clock.advance(Duration::from_secs(1));
    assert_unavailable(&guarded.get(&first).await);
    assert_unavailable(&guarded.get(&third).await);
}

#[tokio::test]
async fn tokens_end_during_an_outage_as_ever() {
    let (mut authority, _, token) = with_token().await;
    let guarded = authority.guarded();
    assert_passed(&guarded.get(&token).await);
    authority.stop();
    authority.server.pass(3600);
    assert_invalid(&guarded.get(&token).await);
}

#[tokio::test]
async fn a_key_that_nobody_has_seen_verifies_nothing_during_an_outage() {
    let (mut authority, worker, token) = with_token().await;
    let guarded = authority.guarded();
    assert_passed(&guarded.get(&token).await);
    authority.stop();
    rotate(&authority).await;
    let token = authority.token(&worker, RESOURCE, "mcp:read").await;
    for _ in 0..20 {
        assert_unavailable(&guarded.get(&token).await);
    }
    assert_unavailable(&guarded.get(&Key::es256("own").token(&serde_json::json!({}))).await);
    assert_eq!(guarded.reached(), 1);
}

#[tokio::test]
async fn a_forgery_is_refused_during_an_outage() {
    let (mut authority, _, token) = with_token().await;
    let guarded = authority.guarded();
    assert_passed(&guarded.get(&token).await);
    authority.stop();
    let (message, _) = token.rsplit_once('.').expect("a JWS");
    assert_invalid(&guarded.get(&format!("{message}.{}", "A".repeat(86))).await);
}

async fn rotate(authority: &Authority) {
    let rotation =
        authority.server.keyring.rotate(gateward::protocol::jose::Algorithm::ES256, true, authority.server.now());
    rotation.await.expect("another key");
}

#[tokio::test]
async fn a_service_that_starts_first_works_as_soon_as_the_server_is_there() {
    let (mut authority, _, token) = with_token().await;
    authority.stop();
    let guarded = authority.guarded();
    let time = StandingTime::begin();
    assert_unavailable(&guarded.get(&token).await);
    authority.come_back();
    // Nobody waits, and nobody asks, for a second.
    assert_unavailable(&guarded.get(&token).await);
    time.advance(Duration::from_millis(1001)).await;
    assert_passed(&guarded.get(&token).await);
}

#[tokio::test]
async fn after_an_outage_new_keys_are_found_by_themselves() {
    let (mut authority, worker, token) = with_token().await;
    let guarded = authority.guarded();
    assert_passed(&guarded.get(&token).await);
    authority.stop();
    rotate(&authority).await;
    let fresh = authority.token(&worker, RESOURCE, "mcp:read").await;
    let time = StandingTime::begin();
    time.advance(Duration::from_secs(2)).await;
    assert_unavailable(&guarded.get(&fresh).await);
    authority.come_back();
    time.advance(Duration::from_millis(1001)).await;
    assert_passed(&guarded.get(&fresh).await);
    assert_passed(&guarded.get(&token).await);
}

/// It accepts connections and says nothing.
#[tokio::test]
async fn a_server_that_hangs_delays_nobody_whose_key_is_known() {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let guarded = impostor.guarded();
    let token = key.token(&impostor.claims());
    assert_passed(&guarded.get(&token).await);
    impostor.hold();
    impostor.clock.advance(Duration::from_secs(301));
    let _time = StandingTime::begin();
    for _ in 0..20 {
        assert_passed(&guarded.get(&token).await);
    }
    assert_passed(&guarded.get(&key.token(&with(&impostor.claims(), "jti", "2"))).await);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let slow = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    impostor.hold();
    for resource in [impostor.resource(), impostor.resource().http_client(slow)] {
        let guarded = crate::guarded::Guarded::new(resource);
        let before = (impostor.asked(DISCOVERY), impostor.asked("/.well-known/openid-configuration"));
        let time = StandingTime::begin();
        let token = key.token(&impostor.claims());
        let answer = tokio::spawn(async move { guarded.get(&token).await });
        impostor.wait_for(DISCOVERY, before.0 + 1).await;
        time.advance(Duration::from_millis(5001)).await;
        impostor.wait_for("/.well-known/openid-configuration", before.1 + 1).await;
        time.advance(Duration::from_millis(5001)).await;
        assert_unavailable(&answer.await.expect("an answer"));
        drop(time);
        tokio::time::resume();
    }
    assert_eq!(impostor.asked(JWKS), 0);
}

/// Otherwise each of them would wait for as long as the one before, and somebody who invents names of keys could keep everybody waiting.
#[tokio::test]
async fn those_who_wait_for_keys_that_do_not_come_are_sent_away_together() {
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let guarded = impostor.guarded();
    assert_passed(&guarded.get(&key.token(&impostor.claims())).await);
    let time = StandingTime::begin();
    time.advance(Duration::from_millis(1001)).await;
    impostor.fall_silent(JWKS);
    let waiting: Vec<_> = (0..20)
        .map(|i| {
            let (guarded, token) = (guarded.clone(), Key::es256(&i.to_string()).token(&impostor.claims()));
            tokio::spawn(async move { guarded.get(&token).await })
        })
        .collect();
    impostor.wait_for(JWKS, 2).await;
    time.settle().await;
    time.advance(Duration::from_millis(5001)).await;
    time.settle().await;
    assert!(waiting.iter().all(tokio::task::JoinHandle::is_finished));
    for answer in waiting {
        assert_unavailable(&answer.await.expect("an answer"));
    }
    assert_eq!(impostor.asked(JWKS), 2);
}

#[tokio::test]
async fn a_server_that_moved_its_keys_is_found_again() {
    let (old, new) = (Key::es256("old"), Key::es256("new"));
    let impostor = Impostor::start(&[&old]);
    let guarded = impostor.guarded();
    assert_passed(&guarded.get(&old.token(&impostor.claims())).await);
    impostor.reply(JWKS, crate::impostor::Reply::status(410));
    impostor.say("/moved", &serde_json::json!({ "keys": [new.jwk()] }));
    impostor.say(DISCOVERY, &with(&impostor.metadata(), "jwks_uri", format!("{}/moved", impostor.issuer)));
    let time = StandingTime::begin();
    time.advance(Duration::from_secs(2)).await;
    assert_unavailable(&guarded.get(&new.token(&impostor.claims())).await);
    time.advance(Duration::from_secs(2)).await;
    assert_passed(&guarded.get(&new.token(&impostor.claims())).await);
}
