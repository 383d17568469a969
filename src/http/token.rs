//! `POST /oauth/token` (RFC 6749 3.2).

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
    respond::{TokenFailure, json, no_store},
};
use crate::protocol::{client_authentication::present, token::TokenRequest};

pub(super) async fn post(
    State(app): State<App>,
    Now(now): Now,
    Peer(address): Peer,
    request: Request,
) -> Result<Response, TokenFailure> {
    let authority = app.authority();
    let read = PostedForm::read(request, &app).await?;
    let token_request = TokenRequest::try_from(&read.form)?;
    let presented = present(read.authorization(), &read.form)?;
    let caller = Caller::new(&app, Class::Token, address, &presented);
    let client = caller.authenticate(&presented, now).await?;
    let response = match token_request {
        TokenRequest::AuthorizationCode(exchange) => authority.redeem(&client, &exchange, now).await?,
        TokenRequest::RefreshToken(refresh) => authority.refresh(&client, &refresh, now).await?,
        TokenRequest::ClientCredentials(request) => authority.client_credentials(&client, &request, now).await?,
    };
    caller.succeeded();
    Ok(no_store(json(StatusCode::OK, &response)))
}
