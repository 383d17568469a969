//! Asking a server that may be anything: slow, endless, or out to lead elsewhere.
//!
//! Every request has a time limit, all together have one, no answer is read beyond a limit, and no redirect is followed: where one leads is
//! itself something to judge.

use std::{error::Error, fmt, time::Duration};

use http::{HeaderMap, Method};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::report::quoted;
use crate::domain::issuer::Issuer;

/// The longest body that is read, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// Sends requests within limits.
#[derive(Clone)]
pub(super) struct Probe {
    http: reqwest::Client,
    per_request: Duration,
    end: Instant,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Of the peer, in DER; `None` without TLS.
    pub(super) certificate: Option<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct NoAnswer {
    pub(super) reason: String,
    /// The certificate is the reason.
    pub(super) is_certificate: bool,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Probe {
    /// Trusts what the machine trusts, and these authorities too.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub(super) fn new(
        authorities: &[reqwest::Certificate],
        per_request: Duration,
        total: Duration,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("gateward-doctor/", env!("CARGO_PKG_VERSION")))
            .tls_info(true)
            .tls_certs_merge(authorities.to_vec())
            .build()?;
        Ok(Self { http, per_request, end: Instant::now() + total })
    }

    /// With more time, to put things back in order.
    pub(super) fn overtime(&self) -> Self {
        Self { end: Instant::now() + 3 * self.per_request, ..self.clone() }
    }

    /// Starts a request.
    pub(super) fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        self.http.request(method, url)
    }

    pub(super) fn get(&self, url: &str) -> reqwest::RequestBuilder {
        self.request(Method::GET, url)
    }

    pub(super) fn post(&self, url: &str) -> reqwest::RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Sends a request. A body beyond the limit is cut off there: an event stream may never end.
    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, NoAnswer> {
        let now = Instant::now();
        if now >= self.end {
            return Err(NoAnswer::because("the time for the whole examination was over"));
        }
        let deadline = self.end.min(now + self.per_request);
        let mut response = match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(NoAnswer::of(&error.without_url())),
            Err(_) => return Err(NoAnswer::because(format!("no answer within {:?}", self.per_request))),
        };
        let tls = response.extensions().get::<reqwest::tls::TlsInfo>();
        let certificate = tls.and_then(|tls| tls.peer_certificate()).map(<[u8]>::to_vec);
        let mut body = Vec::new();
        // What has come by the deadline is what there is.
        while let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                body.truncate(MAX_BODY);
                break;
            }
        }
        Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), body, certificate })
    }
}

impl NoAnswer {
    fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_certificate: false }
    }

    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut reason = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            if let Some(tls) = certificate_error(cause) {
                return Self { reason: tls.to_string(), is_certificate: true };
            }
            let said = cause.to_string();
            if !reason.contains(&said) {
                reason = format!("{reason}: {said}");
            }
            next = cause.source();
        }
        Self::because(reason)
    }
}

/// The refusal of a certificate, which may hide inside of errors of input and output.
fn certificate_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::CertificateError> {
    if let Some(rustls::Error::InvalidCertificate(refusal)) = error.downcast_ref() {
        return Some(refusal);
    }
    let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    certificate_error(inner)
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, if it is a JSON object.
    pub(super) fn json(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The media type, without parameters, in lower case.
    pub(super) fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    pub(super) fn is_html(&self) -> bool {
        self.media_type() == "text/html" || self.body.trim_ascii_start().starts_with(b"<")
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn is_redirect(&self) -> bool {
        (300..400).contains(&self.status) && self.status != 304
    }

    /// Where a redirect leads, whole.
    pub(super) fn location(&self, asked: &str) -> Option<Url> {
        Url::parse(asked).ok()?.join(self.header("location")?).ok()
    }

    /// In a few words.
    pub(super) fn summary(&self) -> String {
        let kind = self.media_type();
        let kind = if kind.is_empty() { String::new() } else { format!(" ({})", quoted(&kind)) };
        match self.header("location").filter(|_| self.is_redirect()) {
            Some(location) => format!("{} to {}", self.status, quoted(location)),
            None => format!("{}{kind}", self.status),
        }
    }

    pub(super) fn is_not_stored(&self) -> bool {
        let value = self.header("cache-control").unwrap_or_default().to_ascii_lowercase();
        value.split(',').any(|directive| directive.trim() == "no-store")
    }
}

/// Where requests may go: a document must not send this program anywhere that its reader did not mean.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    /// The host of the URL that was given, if that was plain http.
    plain: Option<String>,
}

impl Reach {
    pub(super) fn from(url: &Url) -> Self {
        Self { plain: (url.scheme() == "http").then(|| url.host_str().unwrap_or_default().to_owned()) }
    }

    /// What a document names is asked if it is https, or plain http where the examination began so: on the same host, or between places
    /// of this machine.
    pub(super) fn permit(&self, text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|_| format!("{} is no absolute URL", quoted(text)))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(format!("{} has a user or a fragment", quoted(text)));
        }
        let permitted = match (url.scheme(), &self.plain) {
            ("https", _) => true,
            ("http", Some(host)) => {
                url.host_str() == Some(host) || is_this_machine(&url) && is_this_machine_by_name(host)
            }
            _ => false,
        };
        if permitted { Ok(url) } else { Err(format!("{} is not https", quoted(text))) }
    }
}

/// Whether it is http to a loopback host, the only plain http that issuers may speak.
pub(super) fn is_this_machine(url: &Url) -> bool {
    url.scheme() == "http" && Issuer::parse(&url.origin().ascii_serialization()).is_ok()
}

fn is_this_machine_by_name(host: &str) -> bool {
    Issuer::parse(&format!("http://{host}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(url: &str) -> Reach {
        Reach::from(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_document_on_the_web_cannot_send_requests_into_the_machine() {
        let web = reach("https://auth.example.com");
        assert!(web.permit("https://other.example/token").is_ok());
        for refused in [
            "http://127.0.0.1/token",
            "http://169.254.169.254/",
            "http://auth.example.com/token",
            "file:///etc/passwd",
            "/token",
        ] {
            assert!(web.permit(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine_or_where_it_was() {
        let local = reach("http://localhost:3000");
        assert!(local.permit("http://127.0.0.1:3001/mcp").is_ok());
        assert!(local.permit("http://[::1]:3001/mcp").is_ok());
        assert!(local.permit("http://192.168.0.1/token").is_err());
        assert!(reach("http://intern.example").permit("http://intern.example/token").is_ok());
        assert!(reach("http://intern.example").permit("http://127.0.0.1/token").is_err());
    }
}
