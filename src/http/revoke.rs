//! `POST /oauth/revoke` (RFC 7009).

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    App,
    audit::Scene,
    client::Caller,
    extract::PostedForm,
    limits::Class,
    respond::{TokenQueryFailure, no_store},
};
use crate::{
    domain::audit::Action,
    protocol::{client_authentication::present, revocation::TokenQuery},
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
    let query = TokenQuery::try_from(&read.form)?;
    let report = scene.report(&app, Action::TokenRevoke).by(client.client());
    report.tell(app.authority().revoke(&client, &query, scene.now).await)?;
    // Whoever presents no more than a public client's name has proven nothing.
    if !client.client().is_public() {
        caller.succeeded();
    }
    // RFC 7009 2.2: the same for revoked, unknown and other people's tokens.
    Ok(no_store(().into_response()))
}
