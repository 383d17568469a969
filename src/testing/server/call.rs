//! Requests to a test server, and what comes back.
#![expect(clippy::expect_used, clippy::panic, reason = "an answer that cannot be read has failed the test")]

use std::net::SocketAddr;

use axum::{
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, LOCATION},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::BodyExt;
use url::form_urlencoded;

use super::{CHALLENGE, REDIRECT, STATE, TestClient, VERIFIER};
use crate::{domain::client::AuthenticationMethod, http::Routes};

/// Names and values in order, as a query or a form has them.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// A complete authorization request.
    pub fn authorize(client: &TestClient) -> Self {
        Self::from([
            ("response_type", "code"),
            ("client_id", &client.id),
            ("redirect_uri", REDIRECT),
            ("state", STATE),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ])
    }

    /// A code exchange, without client authentication.
    pub fn redeem(code: &str) -> Self {
        Self::from([("grant_type", "authorization_code"), ("code", code), ("code_verifier", VERIFIER)])
    }

    /// A refresh, without client authentication.
    pub fn refresh(refresh_token: &str) -> Self {
        Self::from([("grant_type", "refresh_token"), ("refresh_token", refresh_token)])
    }

    /// Replaces every parameter of that name by one, or adds it.
    #[must_use]
    pub fn set(self, name: &str, value: &str) -> Self {
        self.without(name).add(name, value)
    }

    /// One more parameter.
    #[must_use]
    pub fn add(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a parameter out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// As `application/x-www-form-urlencoded`.
    pub fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Parameters {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}

impl From<&Self> for Parameters {
    fn from(parameters: &Self) -> Self {
        parameters.clone()
    }
}

/// A request that has not been sent yet.
#[derive(Debug)]
pub struct Call {
    router: Routes,
    request: Request<Body>,
}

impl Call {
    /// Starts a request.
    pub(super) fn new(router: Routes, method: Method, uri: &str) -> Self {
        Self { router, request: Request::new(Body::empty()) }.method(method).uri(uri)
    }

    fn method(mut self, method: Method) -> Self {
        *self.request.method_mut() = method;
        self.from("192.0.2.1")
    }

    fn uri(mut self, uri: &str) -> Self {
        *self.request.uri_mut() = uri.parse().unwrap_or_else(|error| panic!("{uri}: {error}"));
        self
    }

    /// The address that it comes from.
    #[must_use]
    pub fn from(mut self, address: &str) -> Self {
        let peer = SocketAddr::new(address.parse().expect("an address"), 49152);
        self.request.extensions_mut().insert(ConnectInfo(peer));
        self
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.request.headers_mut().append(name, HeaderValue::from_bytes(value.as_ref()).expect("a header value"));
        self
    }

    /// A body, whatever it is.
    #[must_use]
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// A form.
    #[must_use]
    pub fn form(self, form: impl Into<Parameters>) -> Self {
        self.raw_form(form.into().encode())
    }

    /// A body that says that it is a form.
    #[must_use]
    pub fn raw_form(self, body: impl Into<Body>) -> Self {
        self.header(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded").body(body)
    }

    /// A form of a client that authenticates by its registered method.
    #[must_use]
    pub fn form_as(self, client: &TestClient, form: impl Into<Parameters>) -> Self {
        let form = form.into();
        match client.method {
            AuthenticationMethod::None => self.form(form.add("client_id", &client.id)),
            AuthenticationMethod::ClientSecretBasic => self.basic(&client.id, client.secret()).form(form),
            AuthenticationMethod::ClientSecretPost => {
                self.form(form.add("client_id", &client.id).add("client_secret", client.secret()))
            }
            AuthenticationMethod::PrivateKeyJwt => panic!("sign an assertion"),
        }
    }

    /// JSON.
    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header(CONTENT_TYPE.as_str(), "application/json").body(body.to_string())
    }

    /// RFC 6749 2.3.1: form-encoded, joined, base64.
    #[must_use]
    pub fn basic(self, id: &str, secret: &str) -> Self {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
        self.header(AUTHORIZATION.as_str(), format!("Basic {pair}"))
    }

    /// A bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {token}"))
    }

    /// Sends it, and waits for the whole answer.
    pub async fn send(self) -> Answer {
        let response = self.router.answer(self.request).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The body as JSON, which its media type promises.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{} {}", self.status, self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A text member of the JSON body.
    pub fn member(&self, name: &str) -> String {
        let body = self.json();
        body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned()
    }

    /// The one value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} appears twice");
        Some(value.to_str().expect("a printable header"))
    }

    /// Where a 303 leads.
    pub fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text());
        self.header(LOCATION.as_str()).expect("a Location")
    }

    /// A parameter in the query of [`Answer::location`].
    pub fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.location().split_once('?')?;
        form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// The sealed request that the page's form carries.
    pub fn sealed(&self) -> &str {
        let marker = r#"name="request" value=""#;
        let (_, rest) = self.text().split_once(marker).unwrap_or_else(|| panic!("no form in {}", self.text()));
        rest.split('"').next().unwrap_or_default()
    }

    /// What a reader of the page sees, with single spaces.
    pub fn visible(&self) -> String {
        let (_, main) = self.text().split_once("<main").unwrap_or_else(|| panic!("no page: {}", self.text()));
        let mut inside = true;
        let mut text = String::new();
        for c in main.chars() {
            match c {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    text.push(' ');
                }
                c if !inside => text.push(c),
                _ => {}
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
