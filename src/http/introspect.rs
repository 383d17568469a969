//! `POST /oauth/introspect` (RFC 7662).

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};

use super::{
    App,
    client::Caller,
    extract::{Now, Peer, PostedForm},
    limits::Class,
    respond::{TokenQueryFailure, json, no_store, with_type},
};
use crate::protocol::{client_authentication::present, introspection::INACTIVE, revocation::TokenQuery};

pub(super) async fn post(
    State(app): State<App>,
    Now(now): Now,
    Peer(address): Peer,
    request: Request,
) -> Result<Response, TokenQueryFailure> {
    let authority = app.authority();
    let read = PostedForm::read(request, &app).await?;
    let presented = present(read.authorization(), &read.form)?;
    let caller = Caller::new(&app, Class::TokenQuery, address, &presented);
    let client = caller.authenticate(&presented, now).await?;
    // RFC 7662 2.1: authorized callers only, against token scanning; knowing a public client's name proves nothing.
    if client.client().is_public() {
        return Err(TokenQueryFailure::PublicClient);
    }
    let query = TokenQuery::try_from(&read.form)?;
    let answer = match authority.introspect(&client, &query, now).await? {
        Some(active) => json(StatusCode::OK, &active),
        None => with_type(StatusCode::OK, "application/json", INACTIVE),
    };
    caller.succeeded();
    Ok(no_store(answer))
}
