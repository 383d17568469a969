//! What introspection (RFC 7662 2.3) and revocation (RFC 7009 2.2.1) say when they refuse the request or its client.

use axum::response::{IntoResponse, Response};

use super::{
    Challenge, LOCKED_OUT, Refusal, TOO_OFTEN,
    token::{form_text, of_authentication, of_presentation},
};
use crate::{
    http::{client::ClientRefusal, extract::FormRejection, limits::TooEarly},
    port::store::StoreError,
    protocol::{
        client_authentication::PresentationError,
        error::TokenQueryErrorCode::{self, *},
        revocation::MissingToken,
    },
    service::authenticate::AuthenticateError,
};

/// Everything that can go wrong at these two endpoints.
#[derive(Debug)]
pub enum TokenQueryFailure {
    Form(FormRejection),
    MissingToken,
    Presentation(PresentationError),
    Authenticate(AuthenticateError),
    TooOften(TooEarly),
    LockedOut(TooEarly),
    /// A public client asks about tokens: anybody could.
    PublicClient,
    Store(StoreError),
}

impl From<FormRejection> for TokenQueryFailure {
    fn from(rejection: FormRejection) -> Self {
        Self::Form(rejection)
    }
}
impl From<MissingToken> for TokenQueryFailure {
    fn from(MissingToken: MissingToken) -> Self {
        Self::MissingToken
    }
}
impl From<PresentationError> for TokenQueryFailure {
    fn from(error: PresentationError) -> Self {
        Self::Presentation(error)
    }
}
impl From<ClientRefusal> for TokenQueryFailure {
    fn from(refusal: ClientRefusal) -> Self {
        match refusal {
            ClientRefusal::TooOften(early) => Self::TooOften(early),
            ClientRefusal::LockedOut(early) => Self::LockedOut(early),
            ClientRefusal::Authenticate(error) => Self::Authenticate(error),
        }
    }
}
impl From<StoreError> for TokenQueryFailure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

type Answer = Refusal<TokenQueryErrorCode>;

const fn invalid_client(description: &'static str) -> Answer {
    Answer::bad_request(InvalidClient, description).challenge(Challenge::Basic)
}

impl From<&TokenQueryFailure> for Answer {
    fn from(failure: &TokenQueryFailure) -> Self {
        match failure {
            TokenQueryFailure::Form(rejection) => {
                let (status, description) = form_text(*rejection);
                Self::bad_request(InvalidRequest, description).status(status)
            }
            TokenQueryFailure::MissingToken => Self::bad_request(InvalidRequest, "token is missing."),
            TokenQueryFailure::Presentation(error) => {
                let (unauthenticated, description) = of_presentation(*error);
                if unauthenticated {
                    invalid_client(description)
                } else {
                    Self::bad_request(InvalidRequest, description)
                }
            }
            TokenQueryFailure::Authenticate(AuthenticateError::Store(error)) | TokenQueryFailure::Store(error) => {
                Self::of_store(error)
            }
            TokenQueryFailure::Authenticate(error) => invalid_client(of_authentication(error)),
            TokenQueryFailure::TooOften(early) => Self::too_many(TOO_OFTEN, *early),
            TokenQueryFailure::LockedOut(early) => Self::too_many(LOCKED_OUT, *early),
            TokenQueryFailure::PublicClient => invalid_client("A public client cannot ask about tokens."),
        }
    }
}

impl IntoResponse for TokenQueryFailure {
    fn into_response(self) -> Response {
        tracing::debug!(failure = ?self, "token query");
        Answer::from(&self).into_response()
    }
}
