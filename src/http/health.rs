//! `/livez`: the process runs. `/readyz`: it should get traffic.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;

use super::{
    App,
    respond::{json, log_failure, no_store},
};

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

pub(super) async fn livez() -> Response {
    no_store(json(StatusCode::OK, &Health { status: "ok" }))
}

pub(super) async fn readyz(State(app): State<App>) -> Response {
    let (code, status) = if app.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else {
        let authority = app.authority();
        let pings = async {
            authority.clients.ping().await?;
            authority.tokens.ping().await?;
            authority.accounts.ping().await?;
            authority.keys.ping().await
        };
        match pings.await {
            Ok(()) => (StatusCode::OK, "ok"),
            Err(error) => {
                log_failure(&error);
                (StatusCode::SERVICE_UNAVAILABLE, "store unavailable")
            }
        }
    };
    no_store(json(code, &Health { status }))
}
