//! What registration (RFC 7591 3.2.2) and its management (RFC 7592) say when they refuse.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{Challenge, Refusal};
use crate::{
    domain::{redirect::InvalidRedirectUri, registration::RegistrationRefusal},
    http::extract::{BearerRejection, JsonRejection},
    protocol::error::RegistrationErrorCode::{self, AccessDenied, InvalidClientMetadata, InvalidRequest, InvalidToken},
    service::register::RegisterError,
};

/// Everything that can go wrong at registration and its management.
#[derive(Debug)]
pub enum RegistrationFailure {
    Json(JsonRejection),
    Bearer(BearerRejection),
    Register(RegisterError),
}

type Answer = Refusal<RegistrationErrorCode>;

impl From<JsonRejection> for Answer {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MediaType => Self::bad_request(InvalidRequest, "The body must be application/json."),
            JsonRejection::TooLarge => {
                Self::bad_request(InvalidRequest, "The body is too large.").status(StatusCode::PAYLOAD_TOO_LARGE)
            }
            JsonRejection::TooSlow => Self::bad_request(InvalidRequest, "The body took too long to arrive.")
                .status(StatusCode::REQUEST_TIMEOUT),
            JsonRejection::Aborted => Self::bad_request(InvalidRequest, "The body ended early."),
            JsonRejection::NotJson => Self::bad_request(InvalidRequest, "The body is not a JSON object."),
            JsonRejection::WrongShape => {
                Self::bad_request(InvalidClientMetadata, "A member has a type that cannot be used.")
            }
        }
    }
}

impl From<BearerRejection> for Answer {
    fn from(rejection: BearerRejection) -> Self {
        match rejection {
            BearerRejection::Missing => {
                Self::bad_request(InvalidToken, "A bearer token is required.").challenge(Challenge::Bearer)
            }
            BearerRejection::Malformed => {
                Self::bad_request(InvalidRequest, "The Authorization header is not one well-formed Bearer token.")
            }
        }
    }
}

impl From<&RegisterError> for Answer {
    fn from(error: &RegisterError) -> Self {
        match error {
            RegisterError::Closed => {
                Self::bad_request(AccessDenied, "Registration is closed. Ask the operator for a client.")
                    .status(StatusCode::FORBIDDEN)
            }
            RegisterError::InitialAccessToken => {
                Self::bad_request(InvalidToken, "Registration needs an initial access token from the operator.")
                    .challenge(Challenge::BearerInvalid)
            }
            RegisterError::Refused(refusal) => of_refusal(*refusal),
            RegisterError::LimitReached => Self {
                retry_after: Some(3600),
                ..Self::bad_request(AccessDenied, "There are too many registered clients. Try again later.")
                    .status(StatusCode::TOO_MANY_REQUESTS)
            },
            RegisterError::Unauthorized => {
                Self::bad_request(InvalidToken, "The registration access token is not good for this client.")
                    .challenge(Challenge::BearerInvalid)
            }
            RegisterError::Contradiction => {
                Self::bad_request(InvalidClientMetadata, "client_id or client_secret is not this client's.")
            }
            RegisterError::Store(error) => Self::of_store(error),
        }
    }
}

const fn of_refusal(refusal: RegistrationRefusal) -> Answer {
    match refusal {
        RegistrationRefusal::NoRedirectUri => Answer::bad_request(
            RegistrationErrorCode::InvalidRedirectUri,
            "authorization_code needs at least one redirect URI.",
        ),
        RegistrationRefusal::TooManyRedirectUris => {
            Answer::bad_request(RegistrationErrorCode::InvalidRedirectUri, "There are more than 20 redirect URIs.")
        }
        RegistrationRefusal::RedirectUri(InvalidRedirectUri::NotAbsolute) => {
            Answer::bad_request(RegistrationErrorCode::InvalidRedirectUri, "A redirect URI is not an absolute URI.")
        }
        RegistrationRefusal::RedirectUri(InvalidRedirectUri::ForbiddenPart) => Answer::bad_request(
            RegistrationErrorCode::InvalidRedirectUri,
            "A redirect URI has a fragment, user, wildcard, dot segment or forbidden character.",
        ),
        RegistrationRefusal::RedirectUri(InvalidRedirectUri::NotLoopback) => Answer::bad_request(
            RegistrationErrorCode::InvalidRedirectUri,
            "A redirect URI with http must be on 127.0.0.1, [::1] or localhost; use https.",
        ),
        RegistrationRefusal::RedirectUri(InvalidRedirectUri::ForbiddenScheme) => Answer::bad_request(
            RegistrationErrorCode::InvalidRedirectUri,
            "A redirect URI has a scheme that may not receive codes.",
        ),
        RegistrationRefusal::NoGrantType => {
            Answer::bad_request(InvalidClientMetadata, "None of the grant types is available to this client.")
        }
        RegistrationRefusal::NoResponseType => {
            Answer::bad_request(InvalidClientMetadata, "authorization_code needs the response type code.")
        }
        RegistrationRefusal::NoKey => Answer::bad_request(
            InvalidClientMetadata,
            "private_key_jwt needs jwks with a public EC, OKP or RSA key; jwks_uri is not fetched.",
        ),
        RegistrationRefusal::TooManyKeys => {
            Answer::bad_request(InvalidClientMetadata, "jwks has more than 10 keys, or a member that is too long.")
        }
        RegistrationRefusal::Contradiction => Answer::bad_request(
            InvalidClientMetadata,
            "application_type web contradicts a redirect URI on this machine or with a private scheme.",
        ),
        RegistrationRefusal::TooLong => {
            Answer::bad_request(InvalidClientMetadata, "client_name, software_id or software_version is too long.")
        }
    }
}

impl From<JsonRejection> for RegistrationFailure {
    fn from(rejection: JsonRejection) -> Self {
        Self::Json(rejection)
    }
}
impl From<BearerRejection> for RegistrationFailure {
    fn from(rejection: BearerRejection) -> Self {
        Self::Bearer(rejection)
    }
}
impl From<RegisterError> for RegistrationFailure {
    fn from(error: RegisterError) -> Self {
        Self::Register(error)
    }
}

impl From<&RegistrationFailure> for Answer {
    fn from(failure: &RegistrationFailure) -> Self {
        match failure {
            RegistrationFailure::Json(rejection) => Self::from(*rejection),
            RegistrationFailure::Bearer(rejection) => Self::from(*rejection),
            RegistrationFailure::Register(error) => Self::from(error),
        }
    }
}

impl IntoResponse for RegistrationFailure {
    fn into_response(self) -> Response {
        tracing::debug!(failure = ?self, "registration");
        Answer::from(&self).into_response()
    }
}
