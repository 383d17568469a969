//! The layer among other layers: what tower asks of it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
    routing::get,
};
use gateward::resource::{ProtectedResource, RequestBody};
use tower::{Layer, Service, ServiceExt};

use crate::{RESOURCE, authority::with_token, guarded::silent_body};

/// A service that must be asked whether it is ready before each call, as tower says; its clones as well.
#[derive(Default)]
struct Particular {
    ready: bool,
}

impl Clone for Particular {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<RequestBody<Body>>> for Particular {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody<Body>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been asked");
        ready(Ok(Response::new(Body::empty())))
    }
}

#[tokio::test]
async fn the_service_that_is_called_is_the_one_that_said_it_is_ready() {
    let (authority, _, token) = with_token().await;
    let layer = authority.resource(RESOURCE).layer().expect("a layer");
    let mut service = layer.layer(Particular::default());
    for _ in 0..3 {
        let request = Request::get("/mcp").header("authorization", format!("Bearer {token}")).body(Body::empty());
        let request = request.expect("a request");
        assert_eq!(service.ready().await.expect("a service").call(request).await.expect("an answer").status(), 200);
    }
}

/// As the module says: in axum, what comes after the layer is public, and the metadata stays where clients look for it.
#[tokio::test]
async fn routes_beside_the_layer_are_public_and_leave_the_metadata_in_place() {
    let protected = || {
        let layer = ProtectedResource::new(RESOURCE, "https://auth.example.com").layer().expect("a layer");
        Router::new().route("/mcp", get(|| async { "secret" })).layer(layer)
    };
    let health = get(|| async { "ok" });
    for app in [protected().route("/health", health.clone()), Router::new().route("/health", health).merge(protected())]
    {
        let status = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            app.clone().oneshot(request).await.expect("an answer").status().as_u16()
        };
        assert_eq!(
            (status("/mcp").await, status("/health").await, status("/.well-known/oauth-protected-resource/mcp").await),
            (401, 200, 200)
        );
    }
}

/// Without a rule about messages the body goes through as it comes, however long it takes.
#[tokio::test]
async fn a_body_that_nobody_has_to_read_is_left_to_the_service() {
    let (authority, _, token) = with_token().await;
    let service = authority.resource(RESOURCE).layer().expect("a layer").layer(Particular::default());
    let (body, polled) = silent_body();
    let request = Request::post("/mcp").header("authorization", format!("Bearer {token}")).body(body);
    assert_eq!(service.oneshot(request.expect("a request")).await.expect("an answer").status(), 200);
    assert_eq!(polled.load(std::sync::atomic::Ordering::SeqCst), 0);
}
