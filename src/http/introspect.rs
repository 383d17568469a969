//! `POST /oauth/introspect` (RFC 7662).

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
    respond::{TokenQueryFailure, json, no_store, with_type},
};
use crate::{
    domain::audit::{Action, Reason},
    protocol::{client_authentication::present, introspection::INACTIVE, revocation::TokenQuery},
};

pub(super) async fn post(
    State(app): State<App>,
    scene: Scene,
    request: Request,
) -> Result<Response, TokenQueryFailure> {
    let read = PostedForm::read(request, &app).await?;
    let presented = present(read.authorization(), &read.form)?;
    let caller = Caller::new(&app, &scene, Class::TokenQuery, &presented);
    let client = caller.authenticate(&presented).await?;
    // RFC 7662 2.1: authorized callers only, against token scanning; knowing a public client's name proves nothing.
    if client.client().is_public() {
        scene.report(&app, Action::TokenIntrospect).by(client.client()).refuse(Reason::PublicClient);
        return Err(TokenQueryFailure::PublicClient);
    }
    let query = TokenQuery::try_from(&read.form)?;
    let answer = match app.authority().introspect(&client, &query, scene.now).await? {
        Some(active) => json(StatusCode::OK, &active),
        None => with_type(StatusCode::OK, "application/json", INACTIVE),
    };
    caller.succeeded();
    Ok(no_store(answer))
}
