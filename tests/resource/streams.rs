//! Event streams end with their token; other answers do not.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use gateward::{
    resource::{Lease, ProtectedResource},
    testing::server::TestClient,
};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::watch;

use crate::{
    RESOURCE,
    authority::{Authority, with_token},
    guarded::{Events, Guarded},
    impostor::{INTROSPECTION, Impostor, Reply},
    mint::{Key, with},
    time::StandingTime,
};

const MINUTE: Duration = Duration::from_secs(60);

/// What can be read of a body at this moment; `None` at its end.
async fn next(body: &mut Body) -> Option<Bytes> {
    let frame = body.frame().await?.expect("no error");
    Some(frame.into_data().expect("data"))
}

fn send(events: &Events, text: &'static str) {
    events.send(Ok(http_body::Frame::data(Bytes::from_static(text.as_bytes())))).expect("somebody reads");
}

async fn open(guarded: &Guarded, path: &str, token: &str) -> (Events, Body) {
    let events = guarded.events();
    let response: Response = guarded.call("GET", path).bearer(token).open().await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    send(&events, "first");
    assert_eq!(next(&mut body).await.expect("an event"), "first");
    (events, body)
}

/// Whether the stream goes on: an event that is sent arrives.
async fn goes_on(events: &Events, body: &mut Body) -> bool {
    if events.send(Ok(http_body::Frame::data(Bytes::from_static(b"event")))).is_err() {
        return false;
    }
    next(body).await.is_some()
}

async fn asking(
    change: impl FnOnce(ProtectedResource) -> ProtectedResource,
) -> (Authority, TestClient, String, Guarded) {
    let (authority, worker, token) = with_token().await;
    let resource = authority.resource(RESOURCE).scope("mcp:read").introspection(authority.credentials().await);
    let guarded = Guarded::new(change(resource));
    (authority, worker, token, guarded)
}

#[tokio::test]
async fn an_event_stream_ends_when_its_token_expires() {
    let (authority, _, token) = with_token().await;
    let (events, mut body) = open(&authority.guarded(), "/events", &token).await;
    let time = StandingTime::begin();
    authority.server.pass(3599);
    time.advance(MINUTE).await;
    assert!(goes_on(&events, &mut body).await);
    authority.server.pass(1);
    time.advance(MINUTE).await;
    assert_eq!(next(&mut body).await, None);
    assert!(events.is_closed(), "the service notices");
    assert_eq!(next(&mut body).await, None, "and nobody minds another look");
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn the_media_type_of_an_event_stream_may_have_parameters_and_any_case() {
    let (authority, _, token) = with_token().await;
    let (_events, mut body) = open(&authority.guarded(), "/events-in-capitals", &token).await;
    let time = StandingTime::begin();
    authority.server.pass(3600);
    time.advance(MINUTE).await;
    assert_eq!(next(&mut body).await, None);
}

/// Nobody sends anything: the end comes by itself, to a reader who was waiting.
#[tokio::test]
async fn the_end_reaches_a_reader_who_waits() {
    let (authority, _, token) = with_token().await;
    let (_events, mut body) = open(&authority.guarded(), "/events", &token).await;
    let time = StandingTime::begin();
    let reader = tokio::spawn(async move { next(&mut body).await });
    time.settle().await;
    assert!(!reader.is_finished());
    authority.server.pass(3600);
    time.advance(Duration::from_secs(6)).await;
    assert_eq!(reader.await.expect("a reader"), None);
}

#[tokio::test]
async fn an_answer_that_is_no_event_stream_is_not_cut_off() {
    let (authority, worker, token, guarded) = asking(|resource| resource).await;
    let (events, mut body) = open(&guarded, "/download", &token).await;
    let time = StandingTime::begin();
    authority.revoke(&worker, &token).await;
    authority.server.pass(3600);
    time.advance(MINUTE).await;
    assert!(goes_on(&events, &mut body).await);
    drop(events);
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn an_event_stream_ends_when_its_token_is_revoked_if_tokens_are_introspected() {
    let (authority, worker, token, guarded) = asking(|resource| resource).await;
    let (_events, mut body) = open(&guarded, "/events", &token).await;
    let time = StandingTime::begin();
    authority.revoke(&worker, &token).await;
    // The answer of the first question is forgotten, and the period is over.
    authority.server.pass(5);
    time.advance(Duration::from_secs(6)).await;
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn an_event_stream_goes_on_while_its_token_counts() {
    let impostor = Impostor::start(&[]);
    impostor.say(INTROSPECTION, &impostor.active());
    let (events, mut body) = open(&impostor.asking(), "/events", "opaque").await;
    let time = StandingTime::begin();
    impostor.clock.advance(Duration::from_secs(6));
    time.advance(Duration::from_secs(6)).await;
    assert!(goes_on(&events, &mut body).await);
    impostor.wait_for(INTROSPECTION, 2).await;
    assert!(goes_on(&events, &mut body).await);
}

#[tokio::test]
async fn a_revocation_does_not_end_a_stream_that_was_verified_offline() {
    let (authority, worker, token) = with_token().await;
    let (events, mut body) = open(&authority.guarded(), "/events", &token).await;
    let time = StandingTime::begin();
    authority.revoke(&worker, &token).await;
    authority.server.pass(60);
    time.advance(MINUTE).await;
    assert!(goes_on(&events, &mut body).await);
}

#[tokio::test]
async fn a_stream_goes_on_while_nobody_can_say_and_ends_with_its_time_all_the_same() {
    let (mut authority, _, token, guarded) = asking(|resource| resource).await;
    let (events, mut body) = open(&guarded, "/events", &token).await;
    authority.stop();
    let time = StandingTime::begin();
    authority.server.pass(60);
    for _ in 0..5 {
        time.advance(Duration::from_secs(6)).await;
        assert!(goes_on(&events, &mut body).await);
    }
    authority.server.pass(3600);
    let ended = tokio::spawn(async move { next(&mut body).await });
    while !ended.is_finished() {
        time.advance(Duration::from_secs(6)).await;
        time.settle().await;
    }
    assert_eq!(ended.await.expect("a reader"), None);
}

#[tokio::test]
async fn a_stream_ends_when_the_service_closes() {
    let (closing, closes) = watch::channel(false);
    let (authority, _, token) = with_token().await;
    let guarded = Guarded::new(authority.resource(RESOURCE).closing(closes));
    let (events, mut body) = open(&guarded, "/events", &token).await;
    assert!(goes_on(&events, &mut body).await);
    closing.send_replace(true);
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn a_closing_signal_that_is_gone_ends_nothing() {
    let (closing, closes) = watch::channel(false);
    let (authority, _, token) = with_token().await;
    let guarded = Guarded::new(authority.resource(RESOURCE).closing(closes));
    let (events, mut body) = open(&guarded, "/events", &token).await;
    drop(closing);
    assert!(goes_on(&events, &mut body).await);
}

#[tokio::test]
async fn an_event_stream_of_the_service_ends_when_the_service_says_so() {
    let (authority, _, token) = with_token().await;
    let (events, mut body) = open(&authority.guarded(), "/events", &token).await;
    drop(events);
    assert_eq!(next(&mut body).await, None);
}

/// A period that makes no sense is neither a busy loop nor a panic.
#[tokio::test]
async fn no_period_of_rechecks_does_harm() {
    let impostor = Impostor::start(&[]);
    impostor.say(INTROSPECTION, &with(&impostor.active(), "exp", i64::MAX));
    let _time = StandingTime::begin();
    for period in [Duration::ZERO, Duration::MAX] {
        let resource = impostor.resource().introspection(Impostor::credentials()).introspection_cache(Duration::ZERO);
        let guarded = Guarded::new(resource.recheck(period));
        let (events, mut body) = open(&guarded, "/events", "opaque").await;
        let asked = impostor.asked(INTROSPECTION);
        for others in 1..=10 {
            assert!(goes_on(&events, &mut body).await);
            assert_eq!(guarded.get("another").await.status, 200);
            assert_eq!(impostor.asked(INTROSPECTION), asked + others, "nobody asks about the stream");
        }
    }
}

/// What a handler with a connection of another kind waits for.
async fn lease(guarded: ProtectedResource, token: &str) -> Lease {
    use axum::{Extension, Router, http::Request, routing::get};
    use tower::ServiceExt;
    let (leases, mut lease) = tokio::sync::mpsc::unbounded_channel();
    let handler = get(move |Extension(lease): Extension<Lease>| async move { leases.send(lease).expect("a test") });
    let router = Router::new().route("/", handler).layer(guarded.layer().expect("a layer"));
    let request = Request::get("/").header("authorization", format!("Bearer {token}")).body(Body::empty());
    let answer = router.oneshot(request.expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    lease.recv().await.expect("a lease")
}

#[tokio::test]
async fn a_lease_tells_an_expired_token_from_a_revoked_one() {
    use gateward::resource::Ended;
    let key = Key::es256("a");
    let impostor = Impostor::start(&[&key]);
    let resource = || impostor.resource().introspection(Impostor::credentials());
    let ended = async |pass: u64| {
        impostor.say(INTROSPECTION, &impostor.active());
        impostor.clock.set(gateward::testing::clock::ManualClock::START);
        let lease = lease(resource(), "opaque").await;
        let time = StandingTime::begin();
        let waiting = tokio::spawn(async move { lease.ended().await });
        time.settle().await;
        // Expired or revoked, the authorization server says the same.
        impostor.reply(INTROSPECTION, Reply::json(&serde_json::json!({ "active": false })));
        impostor.clock.advance(Duration::from_secs(pass));
        time.advance(Duration::from_secs(6)).await;
        let ended = waiting.await.expect("a lease");
        drop(time);
        tokio::time::resume();
        ended
    };
    assert_eq!(ended(60).await, Ended::Revoked);
    assert_eq!(ended(3600).await, Ended::Expired);
}

#[tokio::test]
async fn a_lease_shows_no_token() {
    let (authority, _, token) = with_token().await;
    let lease = lease(authority.resource(RESOURCE), &token).await;
    let shown = format!("{lease:?}");
    assert!(shown.contains("worker") && !shown.contains(&token[20..40]), "{shown}");
}
