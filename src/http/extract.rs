//! What a request says: the time it came, its form, its JSON, its credentials, its browser. Raw text ends here.

use std::{convert::Infallible, net::IpAddr, net::SocketAddr};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, FromRequestParts, Request},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, COOKIE},
        request::Parts,
    },
};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{App, rejections::Rejection};
use crate::{
    domain::{credential::Credential, time::Timestamp},
    protocol::{
        form::{Form, FormError},
        registration::ClientMetadata,
        secret::Secret,
    },
    service::interaction::BrowserToken,
};

/// When the request came: the clock is read once, here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now(pub(super) Timestamp);

impl FromRequestParts<App> for Now {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self(app.0.clock.now()))
    }
}

/// Why a body could not be read.
enum BodyRejection {
    TooLarge,
    TooSlow,
    Aborted,
}

async fn read_body(body: Body, app: &App) -> Result<Bytes, BodyRejection> {
    let options = &app.0.options;
    let body = Limited::new(body, options.body_limit).collect();
    match tokio::time::timeout(options.body_timeout, body).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            app.rejections().note(Rejection::LargeBody);
            Err(BodyRejection::TooLarge)
        }
        Ok(Err(_)) => Err(BodyRejection::Aborted),
        Err(_) => {
            app.rejections().note(Rejection::SlowBody);
            Err(BodyRejection::TooSlow)
        }
    }
}

fn has_media_type(headers: &HeaderMap, expected: &str) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}

/// The form of a post, and its `Authorization` header.
pub(super) struct PostedForm {
    pub(super) form: Form,
    authorization: Option<Secret>,
    unprintable: bool,
}

/// Why a form could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormRejection {
    /// Not `application/x-www-form-urlencoded`.
    MediaType,
    /// Over the limit.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// The connection ended first.
    Aborted,
    /// Two `Authorization` headers: which one counts?
    SeveralAuthorizationHeaders,
    /// The form itself.
    Malformed(FormError),
}

impl From<BodyRejection> for FormRejection {
    fn from(rejection: BodyRejection) -> Self {
        match rejection {
            BodyRejection::TooLarge => Self::TooLarge,
            BodyRejection::TooSlow => Self::TooSlow,
            BodyRejection::Aborted => Self::Aborted,
        }
    }
}

impl PostedForm {
    /// Reads a request. Not an axum extractor, because each endpoint answers a bad form with its own error codes.
    pub(super) async fn read(request: Request, app: &App) -> Result<Self, FormRejection> {
        let (parts, body) = request.into_parts();
        if !has_media_type(&parts.headers, "application/x-www-form-urlencoded") {
            return Err(FormRejection::MediaType);
        }
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        let authorization = headers.next();
        if headers.next().is_some() {
            return Err(FormRejection::SeveralAuthorizationHeaders);
        }
        let unprintable = authorization.is_some_and(|value| value.to_str().is_err());
        let authorization = authorization.and_then(|value| value.to_str().ok()).map(Secret::new);
        let body = read_body(body, app).await?;
        let form = Form::parse(&body).map_err(FormRejection::Malformed)?;
        Ok(Self { form, authorization, unprintable })
    }

    /// The header's value; one that is no text stays recognisable as malformed.
    pub(super) fn authorization(&self) -> Option<&[u8]> {
        if self.unprintable { Some(b"\xff") } else { self.authorization.as_ref().map(|a| a.expose().as_bytes()) }
    }
}

/// Why JSON could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonRejection {
    /// Not `application/json`.
    MediaType,
    /// Over the limit.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// The connection ended first.
    Aborted,
    /// Not JSON, or not an object.
    NotJson,
    /// A member that matters has the wrong type.
    WrongShape,
}

/// Reads client metadata.
pub(super) async fn client_metadata(
    headers: &HeaderMap,
    body: Body,
    app: &App,
) -> Result<ClientMetadata, JsonRejection> {
    if !has_media_type(headers, "application/json") {
        return Err(JsonRejection::MediaType);
    }
    let bytes = read_body(body, app).await.map_err(|rejection| match rejection {
        BodyRejection::TooLarge => JsonRejection::TooLarge,
        BodyRejection::TooSlow => JsonRejection::TooSlow,
        BodyRejection::Aborted => JsonRejection::Aborted,
    })?;
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&bytes).map_err(|_| JsonRejection::NotJson)?;
    serde_json::from_value(object.into()).map_err(|_| JsonRejection::WrongShape)
}

/// Why no bearer token could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerRejection {
    /// No `Authorization` header.
    Missing,
    /// Several headers, or not `Bearer` and one token (RFC 6750 2.1).
    Malformed,
}

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Secret, BearerRejection> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(BearerRejection::Missing)?;
    let text = value.to_str().map_err(|_| BearerRejection::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(BearerRejection::Malformed)?;
    let token = token.trim_start_matches(' ');
    // RFC 6750 2.1: b64token.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    let fits = !token.is_empty() && token.bytes().all(allowed) && scheme.eq_ignore_ascii_case("bearer");
    if values.next().is_some() || !fits { Err(BearerRejection::Malformed) } else { Ok(Secret::new(token)) }
}

/// The browser that a request comes from: the value of its cookie.
pub(super) struct Browser(pub(super) Option<BrowserToken>);

/// The cookie's name. `__Host-` keeps other hosts and paths from setting it, and needs https.
pub(super) fn cookie_name(app: &App) -> &'static str {
    if app.authority().issuer.is_https() { "__Host-gateward" } else { "gateward" }
}

impl FromRequestParts<App> for Browser {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let name = cookie_name(app);
        let pairs =
            parts.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(';'));
        let token = pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(found, _)| *found == name)
            .find_map(|(_, value)| Credential::parse(value));
        Ok(Self(token))
    }
}

/// The address that the request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

impl FromRequestParts<App> for Peer {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        let peer = ConnectInfo::<SocketAddr>::from_request_parts(parts, app).await;
        // Only a server that was wired wrongly has none; guessing would put everybody into one bucket.
        peer.map(|ConnectInfo(address)| Self(address.ip())).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }
}
