//! Why a request does not get through, and what it is told: the only place in this room where reasons become answers.

use std::fmt::Display;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body_util::Full;
use thiserror::Error;

use super::verifier::{Rejection, Unavailable, VerifyError};
use crate::{
    domain::request_path::AmbiguousPath,
    protocol::{
        mcp::UnreadableMessage,
        protected_resource::{BearerChallenge, BearerErrorCode},
    },
};

/// Seconds after which a request that nobody could judge may come again.
const RETRY_SECONDS: u32 = 2;

/// Why a request does not get through.
#[derive(Debug, Clone, Error)]
pub(super) enum Refusal {
    /// It shows no bearer token.
    #[error("no token")]
    NoToken,
    /// It shows one in a way that can be understood differently, or several.
    #[error("a malformed Authorization header, or more than one token")]
    MalformedCredentials,
    /// Its token does not count here.
    #[error("the token was rejected: {0}")]
    InvalidToken(#[from] Rejection),
    /// Its token permits less than it needs.
    #[error("the token permits too little")]
    InsufficientScope,
    /// Nobody can say what its token is worth.
    #[error("the token cannot be verified: {0}")]
    Unavailable(#[from] Unavailable),
    /// Its path means different things to different servers.
    #[error(transparent)]
    Path(#[from] AmbiguousPath),
    /// Its body could not be read, or says something else than its headers.
    #[error(transparent)]
    Message(#[from] UnreadableMessage),
    /// Its body is longer than the limit.
    #[error("the message is too long")]
    MessageTooLong,
    /// Its body did not arrive in time, or broke off.
    #[error("the message did not arrive")]
    MessageIncomplete,
    /// Its body is compressed, or in another charset: what it says cannot be seen.
    #[error("the message is encoded")]
    MessageEncoded,
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Rejected(rejection) => Self::InvalidToken(rejection),
            VerifyError::Unavailable(unavailable) => Self::Unavailable(unavailable),
        }
    }
}

impl Refusal {
    /// Status, error code and a sentence for the developer who reads it.
    pub(super) const fn answer(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoToken => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "An access token is needed; see WWW-Authenticate.")
            }
            Self::MalformedCredentials => {
                (StatusCode::BAD_REQUEST, "invalid_request", "Send one access token, in one Authorization header.")
            }
            Self::InvalidToken(_) => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "The access token is expired, revoked or not for this resource.",
            ),
            Self::InsufficientScope => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "The access token permits too little; WWW-Authenticate names what is needed.",
            ),
            Self::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "The access token cannot be verified at the moment. Try again shortly.",
            ),
            Self::Path(_) => (StatusCode::BAD_REQUEST, "invalid_request", "The path can be read in more than one way."),
            Self::Message(UnreadableMessage::Body) => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "The body is not one JSON-RPC message that can be read in only one way.",
            ),
            Self::Message(UnreadableMessage::Header) => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "Mcp-Method, Mcp-Name or MCP-Protocol-Version is missing, malformed, or there twice.",
            ),
            Self::Message(UnreadableMessage::Mismatch) => {
                (StatusCode::BAD_REQUEST, "invalid_request", "Mcp-Method or Mcp-Name does not match the body.")
            }
            Self::MessageTooLong => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "The message is too long."),
            Self::MessageIncomplete => {
                (StatusCode::REQUEST_TIMEOUT, "invalid_request", "The message did not arrive in time.")
            }
            Self::MessageEncoded => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", "The message must be UTF-8, and not encoded.")
            }
        }
    }

    /// What the challenge says; `None` where a token would not help.
    const fn challenge(&self) -> Option<Option<BearerErrorCode>> {
        match self {
            Self::NoToken => Some(None),
            Self::MalformedCredentials => Some(Some(BearerErrorCode::InvalidRequest)),
            Self::InvalidToken(_) => Some(Some(BearerErrorCode::InvalidToken)),
            Self::InsufficientScope => Some(Some(BearerErrorCode::InsufficientScope)),
            Self::Unavailable(_)
            | Self::Path(_)
            | Self::Message(_)
            | Self::MessageTooLong
            | Self::MessageIncomplete
            | Self::MessageEncoded => None,
        }
    }

    /// The whole answer. `needed` is all that the request needs, as far as it is known.
    pub(super) fn response(&self, metadata_url: &str, needed: &impl Display) -> Response<Full<Bytes>> {
        let (status, error, description) = self.answer();
        let body = if matches!(self, Self::Message(_)) {
            // What MCP clients recognise (Streamable HTTP, "Server Validation"): else they would take this for an old server.
            format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":-32020,"message":"{description}"}}}}"#)
        } else {
            format!(r#"{{"error":"{error}","error_description":"{description}"}}"#)
        };
        let mut response = json(status, body.into());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(error) = self.challenge() {
            let challenge = BearerChallenge { resource_metadata: metadata_url, scope: needed, error }.to_string();
            // URLs and scopes are printable ASCII.
            if let Ok(value) = HeaderValue::from_str(&challenge) {
                headers.insert(WWW_AUTHENTICATE, value);
            }
        }
        if matches!(self, Self::Unavailable(_)) {
            headers.insert(RETRY_AFTER, RETRY_SECONDS.into());
        }
        response
    }
}

pub(super) fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::scope::Scope;

    /// Status, error of the body, and error of the challenge; `-` for a challenge without, nothing for none.
    fn row(refusal: &Refusal) -> String {
        let response = refusal.response("https://a.example/.well-known/x", &Scope::none());
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(response.headers().contains_key(RETRY_AFTER), matches!(refusal, Refusal::Unavailable(_)));
        let challenge = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
        let error =
            challenge.map(|text| text.split_once("error=\"").map_or("-".to_owned(), |(_, rest)| rest.to_owned()));
        let (_, body, _) = refusal.answer();
        format!("{} {body} {}", response.status().as_u16(), error.unwrap_or_default().trim_end_matches('"'))
    }

    #[test]
    fn every_refusal_has_its_answer() {
        for (refusal, expected) in [
            (Refusal::NoToken, "401 unauthorized -"),
            (Refusal::MalformedCredentials, "400 invalid_request invalid_request"),
            (Refusal::InvalidToken(Rejection::Expired), "401 invalid_token invalid_token"),
            (Refusal::InsufficientScope, "403 insufficient_scope insufficient_scope"),
            (Refusal::Unavailable(Unavailable::new("x")), "503 temporarily_unavailable "),
            (Refusal::Path(AmbiguousPath), "400 invalid_request "),
            (Refusal::Message(UnreadableMessage::Body), "400 invalid_request "),
            (Refusal::Message(UnreadableMessage::Header), "400 invalid_request "),
            (Refusal::Message(UnreadableMessage::Mismatch), "400 invalid_request "),
            (Refusal::MessageTooLong, "413 invalid_request "),
            (Refusal::MessageIncomplete, "408 invalid_request "),
            (Refusal::MessageEncoded, "415 invalid_request "),
        ] {
            assert_eq!(row(&refusal), expected, "{refusal}");
        }
    }
}
