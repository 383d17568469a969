//! Whoever asks too often at the gateway.

use std::num::NonZeroU32;

use axum::http::{Method, StatusCode};
use gateward::http::{Rejection, limits::Rates};

use crate::world::World;

const ONE: Option<NonZeroU32> = NonZeroU32::new(1);
/// With one request a second: what may come at once.
const BURST: usize = 10;
const HERE: &str = "198.51.100.7";

async fn limited(rates: Rates) -> World {
    World::with_limits(|limits| limits.gateway = rates).await
}

async fn status(world: &World, token: &str, from: &str) -> StatusCode {
    world.call(Method::GET, "/mcp/notes").from(from).bearer(token).send().await.status
}

#[tokio::test]
async fn a_flood_of_invented_tokens_is_not_in_the_way_of_a_good_one() {
    let world = limited(Rates { per_address: ONE, per_client: None }).await;
    let (known, new) = (world.token("mcp:read").await, world.token("mcp:read").await);
    assert_eq!(status(&world, &known, HERE).await, StatusCode::OK);
    for n in 1..BURST {
        assert_eq!(status(&world, &format!("invented-{n}"), HERE).await, StatusCode::UNAUTHORIZED);
    }
    let refused = world.call(Method::GET, "/mcp/notes").from(HERE).bearer("another").send().await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(world.server.app.rejections().count(Rejection::TooOften), 1);
    for _ in 0..2 * BURST {
        assert_eq!(status(&world, &known, HERE).await, StatusCode::OK);
    }
    assert_eq!(status(&world, &new, HERE).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(&world, &new, "203.0.113.9").await, StatusCode::OK);
    world.server.pass(1);
    assert_eq!(status(&world, &new, HERE).await, StatusCode::OK);
}

#[tokio::test]
async fn a_token_has_a_limit_of_its_own() {
    let world = limited(Rates { per_address: None, per_client: ONE }).await;
    let (busy, other) = (world.token("mcp:read").await, world.token("mcp:read").await);
    for _ in 0..=BURST {
        assert_eq!(status(&world, &busy, HERE).await, StatusCode::OK);
    }
    assert_eq!(status(&world, &busy, HERE).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(&world, &other, HERE).await, StatusCode::OK);
    world.server.pass(1);
    assert_eq!(status(&world, &busy, HERE).await, StatusCode::OK);
}

/// Pages of an origin that may call are told in a way that they can read.
#[tokio::test]
async fn a_page_may_read_the_refusal() {
    let world = limited(Rates { per_address: ONE, per_client: None }).await;
    let ask = async || {
        let call = world.call(Method::GET, "/mcp/notes").from(HERE).header("origin", "https://app.example.com");
        call.bearer("invented").send().await
    };
    for _ in 0..BURST {
        ask().await;
    }
    let refused = ask().await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["access-control-allow-origin"], "https://app.example.com");
}
