//! Forward authentication: somebody else's proxy asks before it passes a request on.
//!
//! It shows the head of the request: its headers as they came, and `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`, which it must
//! write itself, for whoever writes them decides which rules hold. The answer is 200 with the identity in headers, or what the client is to
//! be told. As no body is seen, rules about MCP messages fit everything that they could fit, unless the resource has
//! `trust_mcp_headers`.
//!
//! Whoever asks with a token of their own learns what it is worth, as they would from the resource itself; so nobody is kept from it.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Response, StatusCode},
};

use super::{Gateway, headers::write_identity, without_default_port};
use crate::{
    http::respond::{no_store, plain_error},
    resource::RequestHead,
};

/// Where it is, below the issuer.
pub const FORWARD_AUTH: &str = "/oauth/forward-auth";

impl Gateway {
    pub(super) async fn forward_auth(self, request: Request) -> Response<Body> {
        no_store(match self.judge(request.headers()).await {
            Ok(response) => response,
            Err(response) => *response,
        })
    }

    async fn judge(&self, headers: &HeaderMap) -> Result<Response<Body>, Box<Response<Body>>> {
        let asked = Asked::read(headers).ok_or_else(|| {
            Box::new(plain_error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "The proxy has to state X-Forwarded-Method, X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-Uri, once each.",
            ))
        })?;
        let site = self.0.sites.iter().find(|site| site.is_at(&asked.host, asked.path)).ok_or_else(|| {
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
    /// In lower case, without a default port.
    host: String,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn read(headers: &'a HeaderMap) -> Option<Self> {
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
