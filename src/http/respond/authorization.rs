//! What the authorization endpoint says: to the client at its redirect URI (RFC 6749 4.1.2.1), or to the human on a page.

use axum::http::StatusCode;

use super::Refusal;
use crate::{
    domain::{authorization::AuthorizationRefusal, client::Removal, pkce::ChallengeError, redirect::RedirectMismatch},
    protocol::error::AuthorizationErrorCode::{self, *},
    service::{
        NoClient,
        authorize::{Addressed, Unaddressed},
        interaction::BrokenInteraction,
    },
};

type Answer = Refusal<AuthorizationErrorCode>;

/// For the client. Only code and description travel; the status is not used in a redirect.
impl From<&Addressed> for Answer {
    fn from(why: &Addressed) -> Self {
        match why {
            Addressed::Refused(refusal) => of_refusal(*refusal),
            Addressed::Store(error) => Self::of_store(error),
        }
    }
}

const fn of_refusal(refusal: AuthorizationRefusal) -> Answer {
    let (code, description) = match refusal {
        AuthorizationRefusal::RepeatedParameter => (InvalidRequest, "A parameter appears more than once."),
        AuthorizationRefusal::RequestObject => (InvalidRequest, "request and request_uri are not supported."),
        AuthorizationRefusal::ResponseTypeMissing => (InvalidRequest, "response_type is missing."),
        AuthorizationRefusal::UnsupportedResponseType => {
            (UnsupportedResponseType, "Only the response type code is supported.")
        }
        AuthorizationRefusal::UnsupportedResponseMode => (InvalidRequest, "Only the response mode query is supported."),
        AuthorizationRefusal::UnauthorizedClient => {
            (UnauthorizedClient, "This client is not registered for the authorization code grant.")
        }
        AuthorizationRefusal::Challenge(ChallengeError::Missing) => (InvalidRequest, "code_challenge is required."),
        AuthorizationRefusal::Challenge(ChallengeError::MethodNotS256) => {
            (InvalidRequest, "code_challenge_method must be S256.")
        }
        AuthorizationRefusal::Challenge(ChallengeError::Malformed) => {
            (InvalidRequest, "code_challenge must be 43 characters of base64url.")
        }
        AuthorizationRefusal::TargetRefused => {
            (InvalidTarget, "The resource is unknown or out of this client's reach.")
        }
        AuthorizationRefusal::InvalidScope => (InvalidScope, "Nothing of the scope can be granted."),
        AuthorizationRefusal::InvalidPrompt => (InvalidRequest, "prompt is unknown, or none beside another value."),
        AuthorizationRefusal::InvalidMaxAge => (InvalidRequest, "max_age is not a number of seconds."),
        AuthorizationRefusal::LoginRequired => (LoginRequired, "The user is not logged in."),
        AuthorizationRefusal::ConsentRequired => (ConsentRequired, "The user has not agreed to this."),
        AuthorizationRefusal::Denied => (AccessDenied, "The user said no."),
    };
    Answer::bad_request(code, description)
}

/// For the human: what happened and what they can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorText {
    pub status: StatusCode,
    pub title: &'static str,
    pub explanation: &'static str,
    pub advice: &'static str,
    /// For the developer of the client.
    pub code: Option<&'static str>,
}

const NOT_YOU: &str = "You did nothing wrong.";

/// The page for a request that cannot be answered at a redirect URI.
pub fn error_page_of(error: &Unaddressed) -> ErrorText {
    let bad = |title, explanation, advice, code| ErrorText {
        status: StatusCode::BAD_REQUEST,
        title,
        explanation,
        advice,
        code: Some(code),
    };
    match error {
        Unaddressed::ClientMissing => bad(
            "The app did not say who it is",
            "The link that brought you here has no client_id.",
            "Go back to the app and start again. If that does not help, its developer has to look at it.",
            "invalid_request",
        ),
        Unaddressed::NoClient(NoClient::Unknown) => bad(
            "This server does not know the app",
            "The app that sent you here is not registered, or its registration was lost.",
            "Go back to the app, remove this connection and add it again; most apps register anew then.",
            "invalid_client",
        ),
        Unaddressed::NoClient(NoClient::Removed(Removal::NeverAuthorized | Removal::Idle)) => bad(
            "The app's registration has lapsed",
            "The app registered here and was then not used for a long time, so its registration was removed.",
            "Go back to the app, remove this connection and add it again.",
            "invalid_client",
        ),
        Unaddressed::NoClient(NoClient::Removed(Removal::Operator | Removal::Itself)) => bad(
            "The app's registration was deleted",
            "The app that sent you here may no longer use this server.",
            "If you still need it, add the connection again in the app, or ask the operator of this server.",
            "invalid_client",
        ),
        Unaddressed::NoClient(NoClient::Disabled) => bad(
            "The app is disabled",
            "The operator of this server has disabled the app that sent you here.",
            "Ask the operator if you think that this is a mistake.",
            "invalid_client",
        ),
        Unaddressed::Redirect(RedirectMismatch::Missing) => bad(
            "The app did not say where to send you back",
            "The link that brought you here has no redirect_uri, and the app has registered several or none.",
            "Go back to the app and start again. If that does not help, its developer has to look at it.",
            "invalid_request",
        ),
        Unaddressed::Redirect(RedirectMismatch::NotRegistered) => bad(
            "This link would send you to the wrong place",
            "The address to return to is not one that the app has registered. To protect you, nothing was sent there.",
            "Go back to the app and start again. If you got this link from somebody else, do not use it.",
            "invalid_request",
        ),
        Unaddressed::Interaction(BrokenInteraction::Unreadable) => bad(
            "This form cannot be used",
            "It was changed on its way, or it is not from this server. Nothing was done.",
            "Go back to the app and start again.",
            "invalid_request",
        ),
        Unaddressed::Interaction(BrokenInteraction::OtherBrowser(_)) => bad(
            "This page is out of date",
            "You have logged in or out in another tab since it was shown, or cookies are blocked. Nothing was done.",
            "Start again from here.",
            "invalid_request",
        ),
        Unaddressed::Interaction(BrokenInteraction::Expired(_)) => bad(
            "This page was open for too long",
            "To protect you, it can only be answered for a limited time. Nothing was done.",
            "Start again from here.",
            "invalid_request",
        ),
        Unaddressed::Interaction(BrokenInteraction::Changed(_)) => bad(
            "The app has changed",
            "It changed its registration while this page was open, so what you saw no longer holds. Nothing was done.",
            "Start again from here, and look once more at who asks for what.",
            "invalid_request",
        ),
        Unaddressed::Interaction(BrokenInteraction::Answered(_)) => bad(
            "You have answered this already",
            "The first answer counts; this one changed nothing.",
            "If the app is still waiting, start again from here.",
            "invalid_request",
        ),
        Unaddressed::SessionOver(_) => bad(
            "You are not logged in any more",
            "Your session ended before you answered. Nothing was done.",
            "Start again from here.",
            "login_required",
        ),
        Unaddressed::Store(error) => {
            let answer = Answer::of_store(error);
            ErrorText {
                status: answer.status,
                title: "The server cannot do this right now",
                explanation: NOT_YOU,
                advice: "Try again in a moment.",
                code: Some(answer.code.as_str()),
            }
        }
    }
}
