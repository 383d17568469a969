//! Forward authentication: somebody else's proxy asks before it passes a request on.
//!
//! It shows the head of the request: its headers as they came, and either
//!
//! - `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri` (nginx, Traefik, Caddy), which it must write itself, for whoever writes them
//!   decides which rules hold; or
//! - the request's own method and `Host`, with its path and query behind that of this endpoint (Envoy's `path_prefix`).
//!
//! The answer is 200 with the identity in headers, or what the client is to be told. As no body is seen, rules about MCP messages fit
//! everything that they could fit, unless the resource has `trust_mcp_headers`.
//!
//! Whoever asks with a token of their own learns what it is worth, as they would from the resource itself; so nobody is kept from it.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Response, StatusCode, request::Parts},
};

use tracing::debug;

use super::{Gateway, headers::write_identity, host, site::Site, without_default_port};
use crate::{
    http::respond::{no_store, plain_error},
    resource::RequestHead,
};

/// Where it is, below the issuer.
pub const FORWARD_AUTH: &str = "/oauth/forward-auth";

impl Gateway {
    /// `path`: where this endpoint is.
    pub(super) async fn forward_auth(&self, request: Request, path: &str) -> Response<Body> {
        let (parts, _) = request.into_parts();
        no_store(match self.judge(&parts, path).await {
            Ok(response) => response,
            Err(response) => *response,
        })
    }

    async fn judge(&self, parts: &Parts, own_path: &str) -> Result<Response<Body>, Box<Response<Body>>> {
        let headers = &parts.headers;
        let asked = match parts.uri.path().strip_prefix(own_path) {
            Some("") | None => Asked::stated(headers),
            Some(path) => Asked::itself(parts, path),
        };
        let asked = asked.ok_or_else(|| {
            Box::new(plain_error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "The proxy has to state X-Forwarded-Method, X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-Uri, once each.",
            ))
        })?;
        let site = Site::of(self.0.sites.iter(), &asked.host, asked.path).ok_or_else(|| {
            // The answer stays with the proxy, and whoever has to correct its configuration sees only a 403.
            debug!(host = asked.host, path = asked.path, "a proxy asks about a place where no resource is");
            Box::new(plain_error(
                StatusCode::FORBIDDEN,
                "access_denied",
                "No resource is at the host and path that the proxy states.",
            ))
        })?;
        site.judge_origin(headers)?;
        let head = RequestHead { method: asked.method, path: asked.path, query: asked.query, headers };
        let identity = site.head_protection().judge_head(head).await;
        let identity = identity.map_err(|refusal| Box::new(refusal.map(Body::new)))?;
        let mut response = Response::new(Body::empty());
        write_identity(response.headers_mut(), &identity);
        Ok(response)
    }
}

/// The request that is asked about.
struct Asked<'a> {
    method: &'a str,
    /// In lower case.
    host: String,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn itself(parts: &'a Parts, path: &'a str) -> Option<Self> {
        let host = host(&parts.uri, &parts.headers).ok()?;
        Some(Self { method: parts.method.as_str(), host, path, query: parts.uri.query() })
    }

    fn stated(headers: &'a HeaderMap) -> Option<Self> {
        let once = |name| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            (values.next().is_none() && !value.is_empty()).then_some(value)
        };
        let (method, scheme) = (once("x-forwarded-method")?, once("x-forwarded-proto")?);
        let host = without_default_port(once("x-forwarded-host")?, scheme).to_ascii_lowercase();
        let uri = once("x-forwarded-uri")?;
        let (path, query) = uri.split_once('?').map_or((uri, None), |(path, query)| (path, Some(query)));
        Some(Self { method, host, path, query })
    }
}
