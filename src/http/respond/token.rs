//! What the token endpoint says (RFC 6749 5.2).

use axum::http::StatusCode;

use super::{Challenge, LOCKED_OUT, Refusal, TOO_OFTEN};
use crate::{
    domain::{code::CodeRefusal, refresh::RefreshRefusal},
    http::{client::ClientRefusal, extract::FormRejection, limits::TooEarly},
    protocol::{
        client_authentication::PresentationError,
        error::TokenErrorCode::{self, *},
        form::FormError,
        token::TokenRequestError,
    },
    service::{
        IssueError, authenticate::AuthenticateError, client_credentials::ClientCredentialsError, redeem::RedeemError,
        refresh::RefreshError,
    },
};

/// Everything that can go wrong at the token endpoint.
#[derive(Debug)]
pub enum TokenFailure {
    Form(FormRejection),
    Request(TokenRequestError),
    Presentation(PresentationError),
    Authenticate(AuthenticateError),
    TooOften(TooEarly),
    LockedOut(TooEarly),
    Redeem(RedeemError),
    Refresh(RefreshError),
    ClientCredentials(ClientCredentialsError),
}

macro_rules! from {
    ($($source:ident => $variant:ident),+ $(,)?) => { $(
        impl From<$source> for TokenFailure {
            fn from(error: $source) -> Self { Self::$variant(error) }
        }
    )+ };
}
from! {
    FormRejection => Form,
    TokenRequestError => Request,
    PresentationError => Presentation,
    RedeemError => Redeem,
    RefreshError => Refresh,
    ClientCredentialsError => ClientCredentials,
}

impl From<ClientRefusal> for TokenFailure {
    fn from(refusal: ClientRefusal) -> Self {
        match refusal {
            ClientRefusal::TooOften(early) => Self::TooOften(early),
            ClientRefusal::LockedOut(early) => Self::LockedOut(early),
            ClientRefusal::Authenticate(error) => Self::Authenticate(error),
        }
    }
}

type Answer = Refusal<TokenErrorCode>;

impl From<&TokenFailure> for Answer {
    fn from(failure: &TokenFailure) -> Self {
        match failure {
            TokenFailure::Form(rejection) => of_form(rejection),
            TokenFailure::Request(error) => of_request(*error),
            TokenFailure::Presentation(error) => {
                let (unauthenticated, description) = of_presentation(*error);
                if unauthenticated {
                    invalid_client(description)
                } else {
                    Self::bad_request(InvalidRequest, description)
                }
            }
            TokenFailure::Authenticate(AuthenticateError::Store(error)) => Self::of_store(error),
            TokenFailure::Authenticate(error) => invalid_client(of_authentication(error)),
            TokenFailure::TooOften(early) => Self::too_many(TOO_OFTEN, *early),
            TokenFailure::LockedOut(early) => Self::too_many(LOCKED_OUT, *early),
            TokenFailure::Redeem(error) => of_redeem(error),
            TokenFailure::Refresh(error) => of_refresh(error),
            TokenFailure::ClientCredentials(error) => of_client_credentials(error),
        }
    }
}

impl axum::response::IntoResponse for TokenFailure {
    fn into_response(self) -> axum::response::Response {
        tracing::debug!(failure = ?self, "token request");
        Answer::from(&self).into_response()
    }
}

/// RFC 6749 5.2: 401 with a challenge, for unknown and deleted clients too, so that MCP clients register again.
const fn invalid_client(description: &'static str) -> Answer {
    Answer::bad_request(InvalidClient, description).challenge(Challenge::Basic)
}

fn of_form(rejection: &FormRejection) -> Answer {
    let (status, description) = form_text(*rejection);
    Answer::bad_request(InvalidRequest, description).status(status)
}

/// The status for a form that cannot be read.
pub const fn status_of(rejection: FormRejection) -> StatusCode {
    form_text(rejection).0
}

/// The status and text for a form that cannot be read; shared by every endpoint that takes one.
pub(super) const fn form_text(rejection: FormRejection) -> (StatusCode, &'static str) {
    match rejection {
        FormRejection::MediaType => (StatusCode::BAD_REQUEST, "The body must be application/x-www-form-urlencoded."),
        FormRejection::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
        FormRejection::TooSlow => (StatusCode::REQUEST_TIMEOUT, "The body took too long to arrive."),
        FormRejection::Aborted => (StatusCode::BAD_REQUEST, "The body ended early."),
        FormRejection::Malformed(FormError::BadEscape) => (StatusCode::BAD_REQUEST, "A percent escape is malformed."),
        FormRejection::Malformed(FormError::NotUtf8) => (StatusCode::BAD_REQUEST, "A parameter is not UTF-8."),
        FormRejection::Malformed(FormError::TooMany) => (StatusCode::BAD_REQUEST, "There are too many parameters."),
        FormRejection::Malformed(FormError::Repeated) => {
            (StatusCode::BAD_REQUEST, "A parameter appears more than once.")
        }
        FormRejection::SeveralAuthorizationHeaders => {
            (StatusCode::BAD_REQUEST, "There is more than one Authorization header.")
        }
    }
}

const fn of_request(error: TokenRequestError) -> Answer {
    match error {
        TokenRequestError::MissingGrantType => Answer::bad_request(InvalidRequest, "grant_type is missing."),
        TokenRequestError::UnsupportedGrantType => {
            Answer::bad_request(UnsupportedGrantType, "This grant type is not supported.")
        }
        TokenRequestError::MissingCode => Answer::bad_request(InvalidRequest, "code is missing."),
        TokenRequestError::MissingRefreshToken => Answer::bad_request(InvalidRequest, "refresh_token is missing."),
    }
}

/// Whether a 401 is due, and the text.
pub(super) const fn of_presentation(error: PresentationError) -> (bool, &'static str) {
    match error {
        PresentationError::Missing => (true, "The request does not say which client it is from."),
        PresentationError::MalformedHeader => (true, "The Authorization header is not well-formed Basic."),
        PresentationError::SeveralMethods => (false, "The request uses more than one client authentication method."),
        PresentationError::AssertionType => (
            false,
            "client_assertion needs client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer.",
        ),
        PresentationError::Contradiction => (false, "client_id is not the one of the Authorization header."),
    }
}

/// One text for everything that a stranger could learn something from; the log has the reason.
pub(super) const fn of_authentication(error: &AuthenticateError) -> &'static str {
    match error {
        AuthenticateError::NoClient(_) | AuthenticateError::WrongMethod | AuthenticateError::WrongSecret => {
            "Client authentication failed: unknown client, wrong secret, or not the registered method."
        }
        AuthenticateError::Assertion(_)
        | AuthenticateError::AssertionOfNobody(_)
        | AuthenticateError::AssertionClaims(_)
        | AuthenticateError::AssertionReplayed => {
            "Client authentication failed: the assertion is not acceptable (signature, iss, sub, aud, exp, jti)."
        }
        AuthenticateError::Store(_) => "The server cannot reach its store. Try again shortly.",
    }
}

fn of_issue(error: &IssueError) -> Answer {
    match error {
        IssueError::NothingGranted => {
            Answer::bad_request(InvalidScope, "Nothing that was granted means anything at this resource.")
        }
        IssueError::Sign(error) => Answer::internal(error),
    }
}

const NOT_FOR_THIS_CLIENT: Answer =
    Answer::bad_request(UnauthorizedClient, "This client is not registered for this grant type.");
const CODE_NOT_GOOD: Answer =
    Answer::bad_request(InvalidGrant, "The code is unknown, expired, spent, or not this client's.");
const REFRESH_NOT_GOOD: Answer =
    Answer::bad_request(InvalidGrant, "The refresh token is unknown, expired, revoked, or not this client's.");
const USER_GONE: Answer = Answer::bad_request(InvalidGrant, "The account behind this grant is disabled.");
const TARGET: Answer = Answer::bad_request(InvalidTarget, "The resource is unknown or was not granted.");

fn of_redeem(error: &RedeemError) -> Answer {
    match error {
        RedeemError::UnauthorizedClient => NOT_FOR_THIS_CLIENT,
        RedeemError::UnknownCode | RedeemError::LostRace | RedeemError::GrantRevoked => CODE_NOT_GOOD,
        RedeemError::Refused(refusal) => match refusal {
            CodeRefusal::WrongClient | CodeRefusal::Replayed(_) | CodeRefusal::Expired | CodeRefusal::GrantRevoked => {
                CODE_NOT_GOOD
            }
            CodeRefusal::RedirectMismatch => {
                Answer::bad_request(InvalidGrant, "redirect_uri is not the one of the authorization request.")
            }
            CodeRefusal::VerifierMissing => Answer::bad_request(InvalidGrant, "code_verifier is missing."),
            CodeRefusal::VerifierMismatch => {
                Answer::bad_request(InvalidGrant, "code_verifier does not fit the code_challenge.")
            }
            CodeRefusal::TargetRefused => TARGET,
        },
        RedeemError::UserDisabled => USER_GONE,
        RedeemError::Issue(error) => of_issue(error),
        RedeemError::Store(error) => Answer::of_store(error),
    }
}

fn of_refresh(error: &RefreshError) -> Answer {
    match error {
        RefreshError::UnauthorizedClient => NOT_FOR_THIS_CLIENT,
        RefreshError::UnknownToken | RefreshError::GrantRevoked => REFRESH_NOT_GOOD,
        RefreshError::Refused(refusal) => match refusal {
            RefreshRefusal::WrongClient
            | RefreshRefusal::GrantRevoked
            | RefreshRefusal::Replayed(_)
            | RefreshRefusal::Expired => REFRESH_NOT_GOOD,
            RefreshRefusal::ScopeWidened => {
                Answer::bad_request(InvalidScope, "The scope is malformed or more than was granted.")
            }
            RefreshRefusal::TargetRefused => TARGET,
        },
        RefreshError::UserDisabled => USER_GONE,
        RefreshError::Unsealable => Answer::internal(error),
        RefreshError::Issue(error) => of_issue(error),
        RefreshError::Store(error) => Answer::of_store(error),
    }
}

fn of_client_credentials(error: &ClientCredentialsError) -> Answer {
    match error {
        ClientCredentialsError::UnauthorizedClient => NOT_FOR_THIS_CLIENT,
        ClientCredentialsError::TargetRefused => {
            Answer::bad_request(InvalidTarget, "The resource is unknown or out of this client's reach.")
        }
        ClientCredentialsError::ScopeRefused => {
            Answer::bad_request(InvalidScope, "The scope is malformed or more than this client has at this resource.")
        }
        ClientCredentialsError::Issue(error) => of_issue(error),
        ClientCredentialsError::Store(error) => Answer::of_store(error),
    }
}
