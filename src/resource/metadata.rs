//! The metadata of a protected resource (RFC 9728), at its two addresses.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CACHE_CONTROL,
    },
};
use http_body_util::Full;
use url::Url;

use super::{protection::RequestHead, refusal::json};
use crate::{
    domain::{resource::ResourceUri, scope::Scope},
    protocol::protected_resource::{ResourceMetadata, WELL_KNOWN},
};

/// The document and where it is.
pub(super) struct Metadata {
    /// Absolute.
    pub(super) url: String,
    /// The path of `url`: the well-known one with that of the resource behind it (RFC 9728 3.1).
    inserted: String,
    document: Bytes,
}

impl Metadata {
    /// `None` for a resource that no HTTP server can be.
    pub(super) fn new(
        resource: &ResourceUri,
        url: &Url,
        issuer: String,
        name: Option<String>,
        scopes: &Scope,
    ) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || !url.username().is_empty() {
            return None;
        }
        // RFC 9728 3.1: only the slash of an empty path goes. Clients that take the well-known part out again must find the
        // resource (3.3).
        let path = if url.path() == "/" { "" } else { url.path() };
        let inserted = format!("{WELL_KNOWN}{path}");
        let document = ResourceMetadata {
            resource: resource.as_str().to_owned(),
            authorization_servers: vec![issuer],
            scopes_supported: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            bearer_methods_supported: ["header"],
            resource_name: name,
        };
        Some(Self {
            url: format!("{}{inserted}", url.origin().ascii_serialization()),
            inserted,
            document: serde_json::to_vec(&document).ok()?.into(),
        })
    }

    /// The answer, if this is what is asked for. Scripts may read it from anywhere: it is no secret.
    pub(super) fn answer(&self, head: RequestHead<'_>) -> Option<Response<Full<Bytes>>> {
        let path = bare(head.path);
        if path != WELL_KNOWN && path != bare(&self.inserted) {
            return None;
        }
        let mut response = if head.method == Method::GET || head.method == Method::HEAD {
            let mut response = json(StatusCode::OK, self.document.clone());
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
            response
        } else if head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*, mcp-protocol-version"));
            response
        } else {
            let mut response = json(
                StatusCode::METHOD_NOT_ALLOWED,
                Bytes::from_static(br#"{"error":"invalid_request","error_description":"Use GET."}"#),
            );
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        };
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        Some(response)
    }
}

/// Without a slash at the end, which nobody is sure about.
fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}
