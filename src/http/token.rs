//! `POST /oauth/token` (RFC 6749 3.2).

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};

use super::{
    App,
    audit::Scene,
    client::Caller,
    extract::PostedForm,
    limits::Class,
    respond::{TokenFailure, json, no_store},
};
use crate::{
    domain::audit::Action,
    protocol::{client_authentication::present, token::TokenRequest},
};

pub(super) async fn post(State(app): State<App>, scene: Scene, request: Request) -> Result<Response, TokenFailure> {
    let (authority, now) = (app.authority(), scene.now);
    let read = PostedForm::read(request, &app).await?;
    let token_request = TokenRequest::try_from(&read.form)?;
    let presented = present(read.authorization(), &read.form)?;
    let caller = Caller::new(&app, &scene, Class::Token, &presented);
    let client = caller.authenticate(&presented).await?;
    let report = |action| scene.report(&app, action).by(client.client());
    // In boxes: a request of one grant type need not carry room for the others.
    let issued = match token_request {
        TokenRequest::AuthorizationCode(exchange) => {
            report(Action::TokenCode).tell(Box::pin(authority.redeem(&client, &exchange, now)).await)?
        }
        TokenRequest::RefreshToken(refresh) => {
            report(Action::TokenRefresh).tell(Box::pin(authority.refresh(&client, &refresh, now)).await)?
        }
        TokenRequest::ClientCredentials(request) => {
            report(Action::TokenClientCredentials).tell(authority.client_credentials(&client, &request, now).await)?
        }
    };
    caller.succeeded();
    Ok(no_store(json(StatusCode::OK, &issued.response)))
}
