//! `POST /oauth/introspect` (RFC 7662).

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};

use super::{
    App,
    extract::{Now, PostedForm},
    respond::{TokenQueryFailure, json, no_store, with_type},
};
use crate::protocol::{client_authentication::present, introspection::INACTIVE, revocation::TokenQuery};

pub(super) async fn post(
    State(app): State<App>,
    Now(now): Now,
    request: Request,
) -> Result<Response, TokenQueryFailure> {
    let authority = app.authority();
    let read = PostedForm::read(request, &app).await?;
    let client = authority.authenticate(present(read.authorization(), &read.form)?, now).await?;
    // RFC 7662 2.1: authorized callers only, against token scanning; knowing a public client's name proves nothing.
    if client.client().is_public() {
        return Err(TokenQueryFailure::PublicClient);
    }
    let query = TokenQuery::try_from(&read.form)?;
    let answer = match authority.introspect(&client, &query, now).await? {
        Some(active) => json(StatusCode::OK, &active),
        None => with_type(StatusCode::OK, "application/json", INACTIVE),
    };
    Ok(no_store(answer))
}
