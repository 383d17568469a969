//! `/livez`: the process runs. `/readyz`: it should get traffic.

use axum::{
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::Response,
};
use serde::Serialize;

use super::{
    App,
    respond::{STORE_RETRY_SECONDS, json, log_failure, no_store},
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
    let mut response = no_store(json(code, &Health { status }));
    if code == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, STORE_RETRY_SECONDS.into());
    }
    response
}
