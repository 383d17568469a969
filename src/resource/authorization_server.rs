//! The authorization server as a protected resource sees it: where it says its keys and its introspection are (RFC 8414).
//!
//! Found out when it is first needed, so that neither has to be started before the other, and again when what was found out
//! stops working. Nothing is believed that does not name the very issuer that was configured.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use tokio::{sync::Mutex, time::Instant};
use url::Url;

use super::verifier::Unavailable;
use crate::domain::issuer::Issuer;

/// How long one answer of the authorization server may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 512 * 1024;
/// How long a failure is not tried again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Where it answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Endpoints {
    issuer: String,
    pub(super) jwks_uri: Option<String>,
    pub(super) introspection_endpoint: Option<String>,
}

pub(super) struct AuthorizationServer {
    pub(super) issuer: Issuer,
    pub(super) http: reqwest::Client,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    endpoints: Option<Endpoints>,
    failed: Option<(Instant, Unavailable)>,
}

impl AuthorizationServer {
    pub(super) fn new(issuer: Issuer, http: reqwest::Client) -> Self {
        Self { issuer, http, found: Mutex::default() }
    }

    /// A client that follows no redirects, which could lead anywhere.
    pub(super) fn http() -> Result<reqwest::Client, reqwest::Error> {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("gateward/", env!("CARGO_PKG_VERSION")))
            .build()
    }

    /// Where it answers, asked once by however many want to know.
    pub(super) async fn endpoints(&self) -> Result<Endpoints, Unavailable> {
        let mut found = self.found.lock().await;
        if let Some(endpoints) = &found.endpoints {
            return Ok(endpoints.clone());
        }
        if let Some((at, error)) = &found.failed
            && at.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        match self.discover().await {
            Ok(endpoints) => {
                *found = Found { endpoints: Some(endpoints.clone()), failed: None };
                Ok(endpoints)
            }
            Err(error) => {
                found.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// What was found out did not work: it is asked again the next time.
    pub(super) async fn forget(&self) {
        self.found.lock().await.endpoints = None;
    }

    async fn discover(&self) -> Result<Endpoints, Unavailable> {
        let (origin, path) = (self.issuer.origin(), self.issuer.path());
        let inserted = format!("{origin}/.well-known/oauth-authorization-server{path}");
        let appended = format!("{origin}{path}/.well-known/openid-configuration");
        let endpoints: Endpoints = match self.get(&inserted).await {
            Ok(endpoints) => endpoints,
            Err(first) => self.get(&appended).await.map_err(|_| first)?,
        };
        // RFC 8414 3.3: byte for byte.
        if endpoints.issuer != self.issuer.as_str() {
            return Err(Unavailable::new(format!(
                "{inserted} says that its issuer is {:?}, not {:?}",
                endpoints.issuer,
                self.issuer.as_str()
            )));
        }
        for url in [&endpoints.jwks_uri, &endpoints.introspection_endpoint].into_iter().flatten() {
            if !self.is_acceptable(url) {
                return Err(Unavailable::new(format!("{inserted} names {url:?}, which is not https")));
            }
        }
        Ok(endpoints)
    }

    /// Keys and credentials travel as safely as the issuer itself: over https, unless all of this is on one machine.
    fn is_acceptable(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| match url.scheme() {
            "https" => true,
            "http" => !self.issuer.is_https() && Issuer::parse(&url.origin().ascii_serialization()).is_ok(),
            _ => false,
        })
    }

    /// Fetches a document.
    pub(super) async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, Unavailable> {
        read(url, self.http.get(url).header("accept", "application/json")).await
    }
}

/// Sends a request and reads its answer, unless it is no success or too long.
pub(super) async fn read<T: DeserializeOwned>(url: &str, request: reqwest::RequestBuilder) -> Result<T, Unavailable> {
    let failed = |error: reqwest::Error| Unavailable::new(format!("{url}: {}", causes(&error.without_url())));
    // Here too, because the client may be somebody else's.
    let mut response = request.timeout(TIMEOUT).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(Unavailable::new(format!("{url}: {}", response.status())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Unavailable::new(format!("{url}: the answer is longer than {MAX_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    // Not the parser's own words: they may quote the document.
    serde_json::from_slice(&body).map_err(|_| Unavailable::new(format!("{url}: the answer is not what it should be")))
}

/// An error with everything that led to it: "error sending request" alone says nothing.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
