//! One protected resource: where it is, whose pages may call it, and what stands in front of its server.

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
            ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_LENGTH, ORIGIN, VARY,
        },
    },
};
use http_body_util::Limited;
use tower::{Layer, ServiceExt};
use url::Url;

use super::{
    GatewayOptions,
    proxy::{Front, Proxy, Upstreams},
    without_default_port,
};
use crate::{
    domain::{
        guarded::GuardedResource,
        request_path::{PathPrefix, RequestPath},
    },
    http::{App, respond::plain_error},
    resource::{InvalidProtection, ProtectedResource, Protection, ProtectionLayer, RequestHead},
};

pub(super) struct Site {
    /// Host and port, without a default one.
    host: String,
    scheme: String,
    path: PathPrefix,
    origin: String,
    allowed_origins: Vec<String>,
    /// Reads messages: for the gateway.
    protection: Protection,
    /// Sees heads only: for forward authentication.
    head_protection: Protection,
    upstream: Option<Url>,
    proxy: Option<(Proxy, usize)>,
}

impl Site {
    /// `common` is what holds for every site.
    pub(super) fn new(
        spec: GuardedResource,
        issuer: &str,
        options: &GatewayOptions,
        common: impl Fn(ProtectedResource) -> ProtectedResource,
    ) -> Result<Self, InvalidProtection> {
        let invalid = || InvalidProtection::Resource(spec.uri.as_str().to_owned());
        let url = Url::parse(spec.uri.as_str()).map_err(|_| invalid())?;
        let path = PathPrefix::parse(url.path()).map_err(|_| invalid())?;
        let origin = url.origin().ascii_serialization();
        let host = origin.split_once("://").map(|(_, host)| host.to_owned()).ok_or_else(invalid)?;
        let resource = || {
            let resource = ProtectedResource::new(spec.uri.as_str(), issuer)
                .name(&spec.name)
                .rules(spec.rules.clone())
                .also_supports(spec.scopes.clone())
                .message_limit(options.body_limit)
                .recheck(options.recheck);
            common(resource)
        };
        let head_protection =
            if spec.trust_mcp_headers { resource().trust_mcp_headers() } else { resource() }.protection()?;
        Ok(Self {
            protection: resource().protection()?,
            head_protection,
            host,
            scheme: url.scheme().to_owned(),
            path,
            origin,
            allowed_origins: spec.allowed_origins,
            upstream: spec.upstream,
            proxy: None,
        })
    }

    /// Puts the server behind it. `own_origin`: of the authorization server.
    ///
    /// # Errors
    ///
    /// A name that cannot stand in a request.
    pub(super) fn connect(
        &mut self,
        upstreams: &Upstreams,
        body_limit: usize,
        own_origin: &str,
    ) -> Result<(), http::Error> {
        let front = || Front {
            origin: self.origin.clone(),
            path: self.path.as_str().to_owned(),
            is_shared: self.origin == own_origin,
        };
        let proxy = self.upstream.as_ref().map(|url| Proxy::new(upstreams, url, front())).transpose()?;
        self.proxy = proxy.map(|proxy| (proxy, body_limit));
        Ok(())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.proxy.is_some()
    }

    /// In bytes, without a slash at the end.
    pub(super) fn path_length(&self) -> usize {
        self.path.as_str().len()
    }

    pub(super) fn is_host(&self, host: &str) -> bool {
        without_default_port(host, &self.scheme) == self.host
    }

    pub(super) fn is_path(&self, path: &str) -> bool {
        RequestPath::parse(path).is_ok_and(|path| path.is_below(&self.path))
    }

    /// The same to a server that does not tell upper from lower case.
    fn is_path_in_any_case(&self, path: &str) -> bool {
        RequestPath::parse(path).is_ok_and(|path| path.is_below_in_any_case(&self.path))
    }

    /// Whose a request is; nobody's, if a server behind could take it for that of a more specific site. `sites` are those in question,
    /// the most specific first.
    pub(super) fn of<'a>(sites: impl Iterator<Item = &'a Self> + Clone, host: &str, path: &str) -> Option<&'a Self> {
        let mut similar = sites.clone().filter(|site| site.is_host(host) && site.is_path_in_any_case(path));
        let most_specific = similar.next()?.path_length();
        let mut exact = sites.filter(|site| site.is_at(host, path));
        exact.next().filter(|site| site.path_length() == most_specific)
    }

    fn is_at(&self, host: &str, path: &str) -> bool {
        self.is_host(host) && self.is_path(path)
    }

    pub(super) fn metadata(&self, head: RequestHead<'_>) -> Option<Response<Body>> {
        self.protection.metadata(head).map(|response| response.map(Body::new))
    }

    pub(super) fn head_protection(&self) -> &Protection {
        &self.head_protection
    }

    /// MCP "Security & Endpoint": a page of another origin gets nothing. A request without `Origin` comes from no page.
    pub(super) fn judge_origin(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Box<Response<Body>>> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(None) };
        let is_allowed = |text: &str| {
            text == self.origin || self.allowed_origins.iter().any(|allowed| allowed == "*" || allowed == text)
        };
        let alone = origins.next().is_none();
        if alone && origin.to_str().is_ok_and(is_allowed) {
            return Ok(Some(origin.clone()));
        }
        Err(Box::new(plain_error(
            StatusCode::FORBIDDEN,
            "forbidden_origin",
            "Pages of this origin may not call this server; see resources.allowed_origins.",
        )))
    }

    /// Passes a request on, if it may pass.
    pub(super) async fn answer(&self, request: Request, app: &App) -> Response<Body> {
        let origin = match self.judge_origin(request.headers()) {
            Ok(origin) => origin,
            Err(refusal) => return *refusal,
        };
        let Some(origin) = origin else { return self.pass(request, app).await };
        let is_preflight =
            request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let mut response = if is_preflight { preflight(request.headers()) } else { self.pass(request, app).await };
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After"),
        );
        headers.append(VARY, HeaderValue::from_static("Origin"));
        response
    }

    async fn pass(&self, mut request: Request, app: &App) -> Response<Body> {
        // It names no path towards the server behind, and what would follow is no request.
        if request.method() == Method::CONNECT {
            return plain_error(StatusCode::NOT_IMPLEMENTED, "invalid_request", "There is no tunnel here.");
        }
        let Some((proxy, body_limit)) = &self.proxy else {
            return plain_error(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path.");
        };
        let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > *body_limit as u64) {
            return too_long();
        }
        let sender = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(sender)| sender.ip());
        if let Some(sender) = sender {
            // Before the token is looked at: looking costs a signature.
            match app.let_cross(sender, request.headers().get(AUTHORIZATION)) {
                Ok(crossing) => drop(request.extensions_mut().insert(crossing)),
                Err(refusal) => return *refusal,
            }
        }
        let request = request.map(|body| Body::new(Limited::new(body, *body_limit)));
        let guarded = ProtectionLayer::new(self.protection.clone()).layer(proxy.clone());
        match guarded.oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }
}

pub(super) fn too_long() -> Response<Body> {
    plain_error(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "The body is longer than gateway.body_limit.")
}

fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE, PUT, PATCH"));
    if let Some(asked) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    headers.append(VARY, HeaderValue::from_name(HeaderName::from_static("access-control-request-headers")));
    response
}
