//! `POST /oauth/register` (RFC 7591) and `GET|PUT|DELETE /oauth/register/{client_id}` (RFC 7592).

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use super::{
    App,
    audit::Scene,
    extract::{BearerRejection, bearer, client_metadata},
    respond::{RegistrationFailure, json, no_store},
};
use crate::{domain::audit::Action, service::register::RegisterError};

type Answer = Result<Response, RegistrationFailure>;

pub(super) async fn post(State(app): State<App>, scene: Scene, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let initial_token = match bearer(&parts.headers) {
        Ok(token) => Some(token),
        Err(BearerRejection::Missing) => None,
        Err(BearerRejection::Malformed) => return Err(BearerRejection::Malformed.into()),
    };
    let metadata = client_metadata(&parts.headers, body, &app).await?;
    let report = scene.report(&app, Action::ClientRegister);
    let information = report.tell(app.authority().register(metadata, initial_token.as_ref(), scene.now).await)?;
    Ok(no_store(json(StatusCode::CREATED, &information)))
}

pub(super) async fn get(
    State(app): State<App>,
    scene: Scene,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    let (id, token) = (id(path)?, bearer(&headers)?);
    let report = scene.report(&app, Action::ClientRead).claiming(&id);
    let information = report.tell(app.authority().read_registration(&id, &token).await)?;
    Ok(no_store(json(StatusCode::OK, &information)))
}

pub(super) async fn put(
    State(app): State<App>,
    scene: Scene,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let token = bearer(&parts.headers)?;
    let metadata = client_metadata(&parts.headers, body, &app).await?;
    let id = id(path)?;
    let report = scene.report(&app, Action::ClientUpdate).claiming(&id);
    let information = app.authority().update_registration(&id, &token, metadata, scene.now).await;
    let information = report.tell(information)?;
    Ok(no_store(json(StatusCode::OK, &information)))
}

pub(super) async fn delete(
    State(app): State<App>,
    scene: Scene,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    let (id, token) = (id(path)?, bearer(&headers)?);
    let report = scene.report(&app, Action::ClientDelete).claiming(&id);
    report.tell(app.authority().delete_registration(&id, &token, scene.now).await)?;
    Ok(no_store(StatusCode::NO_CONTENT.into_response()))
}

/// A path that does not decode names nobody.
fn id(path: Result<Path<String>, PathRejection>) -> Result<String, RegisterError> {
    path.map(|Path(id)| id).map_err(|_| RegisterError::Unauthorized)
}
