//! From what happened to what is said: the only place where errors become answers.
//!
//! The text of an answer is fixed (`&'static str`), so nothing internal can reach the wire; what is internal goes to the log.
//! A [`Refusal`] is typed with the error codes of its endpoint, so an endpoint can only say what its specification lets it say.

mod authorization;
mod registration;
mod token;
mod token_query;

use std::error::Error;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::IntoResponse,
};
use serde::Serialize;
use tracing::{debug, error, info};

pub use self::{
    authorization::{ErrorText, error_page_of},
    registration::RegistrationFailure,
    token::{TokenFailure, status_of},
    token_query::TokenQueryFailure,
};
use crate::{
    http::limits::TooEarly,
    port::store::StoreError,
    protocol::error::{AuthorizationErrorCode, ErrorBody, RegistrationErrorCode, TokenErrorCode, TokenQueryErrorCode},
};

/// Seconds after which a client may ask a store that was down again.
pub const STORE_RETRY_SECONDS: u32 = 2;

/// The error codes of one endpoint.
pub trait WireCode: Copy {
    /// The spelling on the wire.
    fn text(self) -> &'static str;
    /// The code for a store that is down, and for whoever has to come back later.
    const UNAVAILABLE: Self;
    /// The code for anything else that is not the client's doing.
    fn server_error() -> Self;
}

macro_rules! wire_code {
    ($($name:ident),+) => { $(
        impl WireCode for $name {
            fn text(self) -> &'static str { self.as_str() }
            const UNAVAILABLE: Self = Self::TemporarilyUnavailable;
            fn server_error() -> Self { Self::ServerError }
        }
    )+ };
}
wire_code!(AuthorizationErrorCode, RegistrationErrorCode, TokenErrorCode, TokenQueryErrorCode);

/// How a 401 says what would help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// Client authentication (RFC 6749 5.2).
    Basic,
    /// A bearer token is missing (RFC 6750 3.1: no error code then).
    Bearer,
    /// The bearer token is wrong.
    BearerInvalid,
}

impl Challenge {
    const fn text(self) -> &'static str {
        match self {
            Self::Basic => r#"Basic realm="gateward", charset="UTF-8""#,
            Self::Bearer => r#"Bearer realm="gateward""#,
            Self::BearerInvalid => r#"Bearer realm="gateward", error="invalid_token""#,
        }
    }
}

/// An error answer of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<C> {
    pub status: StatusCode,
    pub code: C,
    /// One sentence for the developer who reads it.
    pub description: &'static str,
    pub challenge: Option<Challenge>,
    /// Seconds.
    pub retry_after: Option<u32>,
}

impl<C: WireCode> Refusal<C> {
    /// A 400.
    pub const fn bad_request(code: C, description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description, challenge: None, retry_after: None }
    }

    /// The same with another status.
    #[must_use]
    pub const fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// A 401 with a challenge.
    #[must_use]
    pub const fn challenge(self, challenge: Challenge) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, challenge: Some(challenge), ..self }
    }

    /// A 429: the limits of the door.
    pub const fn too_many(description: &'static str, early: TooEarly) -> Self {
        Self {
            retry_after: Some(early.retry_after),
            ..Self::bad_request(C::UNAVAILABLE, description).status(StatusCode::TOO_MANY_REQUESTS)
        }
    }

    /// What a failing store means to whoever is waiting. Logs the reason.
    pub fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                log_failure(error);
                Self {
                    retry_after: Some(STORE_RETRY_SECONDS),
                    ..Self::bad_request(C::UNAVAILABLE, "The server cannot reach its store. Try again shortly.")
                        .status(StatusCode::SERVICE_UNAVAILABLE)
                }
            }
            StoreError::Corrupt(_) => Self::internal(error),
        }
    }

    /// A failure that is nobody's doing but ours. Logs the reason.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        log_failure(error);
        Self::bad_request(C::server_error(), "Something failed in this server.")
            .status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl<C: WireCode> IntoResponse for Refusal<C> {
    fn into_response(self) -> Response<Body> {
        // Whoever floods the server is not to flood its log as well.
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            debug!(description = self.description, "refused");
        } else {
            info!(status = self.status.as_u16(), error = self.code.text(), description = self.description, "refused");
        }
        let body = ErrorBody { error: self.code.text(), error_description: self.description };
        let mut response = no_store(json(self.status, &body));
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge.text()));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Logs an error with its causes.
pub fn log_failure(error: &(dyn Error + 'static)) {
    let causes: Vec<String> = std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source())
        .map(ToString::to_string)
        .collect();
    error!(error = %error, causes = causes.join(": "), "failed");
}

/// Most answers are no longer than this, in bytes.
const USUAL_ANSWER: usize = 1024;

/// And most have no more headers.
const USUAL_HEADERS: usize = 8;

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let mut bytes = Vec::with_capacity(USUAL_ANSWER);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => with_type(status, "application/json", bytes),
        Err(error) => {
            log_failure(&error);
            with_type(StatusCode::INTERNAL_SERVER_ERROR, "application/json", r#"{"error":"server_error"}"#)
        }
    }
}

/// An answer of a media type.
pub fn with_type(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut headers = HeaderMap::with_capacity(USUAL_HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// RFC 6749 5.1: nobody keeps a copy.
pub fn no_store(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// What a client is told that asks too often.
pub(super) const TOO_OFTEN: &str = "There are too many requests from here. Try again later.";
/// What a client is told that got its credentials wrong too often.
pub(super) const LOCKED_OUT: &str = "Client authentication failed too often from here. Try again later.";

/// A JSON error outside the OAuth endpoints: unknown paths, wrong methods, bodies that are too large or too slow.
pub fn plain_error(status: StatusCode, error: &'static str, description: &'static str) -> Response<Body> {
    no_store(json(status, &ErrorBody { error, error_description: description }))
}
