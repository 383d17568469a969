//! `POST /oauth/register` (RFC 7591) and `GET|PUT|DELETE /oauth/register/{client_id}` (RFC 7592).

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use super::{
    App,
    extract::{BearerRejection, Now, bearer, client_metadata},
    respond::{RegistrationFailure, json, no_store},
};

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

pub(super) async fn get(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let information = app.authority().read_registration(&id, &bearer(&headers)?).await?;
    Ok(no_store(json(StatusCode::OK, &information)))
}

pub(super) async fn put(State(app): State<App>, Now(now): Now, Path(id): Path<String>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let token = bearer(&parts.headers)?;
    let metadata = client_metadata(&parts.headers, body, &app).await?;
    let information = app.authority().update_registration(&id, &token, metadata, now).await?;
    Ok(no_store(json(StatusCode::OK, &information)))
}

pub(super) async fn delete(
    State(app): State<App>,
    Now(now): Now,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    app.authority().delete_registration(&id, &bearer(&headers)?, now).await?;
    Ok(no_store(StatusCode::NO_CONTENT.into_response()))
}
