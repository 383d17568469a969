//! `POST /oauth/register` (RFC 7591) and `GET|PUT|DELETE /oauth/register/{client_id}` (RFC 7592).

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use super::{
    App,
    extract::{BearerRejection, Now, bearer, client_metadata},
    respond::{RegistrationFailure, json, no_store},
};
use crate::service::register::RegisterError;

type Answer = Result<Response, RegistrationFailure>;

pub(super) async fn post(State(app): State<App>, Now(now): Now, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let initial_token = match bearer(&parts.headers) {
        Ok(token) => Some(token),
        Err(BearerRejection::Missing) => None,
        Err(BearerRejection::Malformed) => return Err(BearerRejection::Malformed.into()),
    };
    let metadata = client_metadata(&parts.headers, body, &app).await?;
    let information = app.authority().register(metadata, initial_token.as_ref(), now).await?;
    Ok(no_store(json(StatusCode::CREATED, &information)))
}

pub(super) async fn get(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    let information = app.authority().read_registration(&id(path)?, &bearer(&headers)?).await?;
    Ok(no_store(json(StatusCode::OK, &information)))
}

pub(super) async fn put(
    State(app): State<App>,
    Now(now): Now,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let token = bearer(&parts.headers)?;
    let metadata = client_metadata(&parts.headers, body, &app).await?;
    let information = app.authority().update_registration(&id(path)?, &token, metadata, now).await?;
    Ok(no_store(json(StatusCode::OK, &information)))
}

pub(super) async fn delete(
    State(app): State<App>,
    Now(now): Now,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    app.authority().delete_registration(&id(path)?, &bearer(&headers)?, now).await?;
    Ok(no_store(StatusCode::NO_CONTENT.into_response()))
}

/// A path that does not decode names nobody.
fn id(path: Result<Path<String>, PathRejection>) -> Result<String, RegisterError> {
    path.map(|Path(id)| id).map_err(|_| RegisterError::Unauthorized)
}
