//! `POST /oauth/revoke` (RFC 7009).

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    App,
    extract::{Now, PostedForm},
    respond::{TokenQueryFailure, no_store},
};
use crate::protocol::{client_authentication::present, revocation::TokenQuery};

pub(super) async fn post(
    State(app): State<App>,
    Now(now): Now,
    request: Request,
) -> Result<Response, TokenQueryFailure> {
    let authority = app.authority();
    let read = PostedForm::read(request, &app).await?;
    let client = authority.authenticate(present(read.authorization(), &read.form)?, now).await?;
    authority.revoke(&client, &TokenQuery::try_from(&read.form)?, now).await?;
    // RFC 7009 2.2: the same for revoked, unknown and other people's tokens.
    Ok(no_store(().into_response()))
}
