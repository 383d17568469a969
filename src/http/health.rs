//! `/livez`: the process runs. `/readyz`: it should get traffic.

use axum::{
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::Response,
};
use serde::Serialize;

use super::{
    App,
    extract::Now,
    respond::{STORE_RETRY_SECONDS, json, no_store},
};

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

pub(super) async fn livez() -> Response {
    no_store(json(StatusCode::OK, &Health { status: "ok" }))
}

pub(super) async fn readyz(State(app): State<App>, Now(now): Now) -> Response {
    let (code, status) = if app.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if app.authority().is_ready(&app.0.readiness, now).await {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "store unavailable")
    };
    let mut response = no_store(json(code, &Health { status }));
    if code == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, STORE_RETRY_SECONDS.into());
    }
    response
}
