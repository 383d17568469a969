//! `POST /oauth/revoke` (RFC 7009).

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    App,
    client::Caller,
    extract::{Now, Peer, PostedForm},
    limits::Class,
    respond::{TokenQueryFailure, no_store},
};
use crate::protocol::{client_authentication::present, revocation::TokenQuery};

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
    authority.revoke(&client, &TokenQuery::try_from(&read.form)?, now).await?;
    // Whoever presents no more than a public client's name has proven nothing.
    if !client.client().is_public() {
        caller.succeeded();
    }
    // RFC 7009 2.2: the same for revoked, unknown and other people's tokens.
    Ok(no_store(().into_response()))
}
