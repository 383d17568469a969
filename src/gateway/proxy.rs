//! The server behind: a request goes on to it, and its answer comes back, neither of them kept in memory.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{
        HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version,
        header::{CONTENT_LOCATION, HOST, LOCATION},
        uri::{Authority, Scheme},
    },
};
use http_body_util::LengthLimitError;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use thiserror::Error;
use tower::Service;
use tracing::warn;
use url::Url;

use super::{
    headers::{self, Sender},
    site::too_long,
    tunnel::{self, Upgrade},
    unavailable,
};
use crate::{
    domain::{correlation::RequestId, request_path::RequestPath},
    http::{Crossing, respond::plain_error},
    resource::{Identity, Lease, RequestBody, is_event_stream},
};

/// Idle connections that are kept to one server.
const POOL: usize = 64;
/// For how long.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// The connections to all servers behind.
#[derive(Clone)]
pub(super) struct Upstreams {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    response_timeout: Duration,
}

/// Why a server behind gave no answer.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// No connection, or one that broke.
    #[error("the server behind cannot be reached, or broke off")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    /// It did not begin to answer in time.
    #[error("the server behind does not answer")]
    Silent,
    /// The request was longer than the limit.
    #[error("the body is too long")]
    TooLong,
    /// It asks for credentials, which would send clients in circles.
    #[error("the server behind wants credentials of its own (401)")]
    WantsCredentials,
    /// It switched to a protocol that nobody asked for.
    #[error("the server behind switched protocols without being asked")]
    Switched,
    /// The request cannot be expressed towards it.
    #[error("the request cannot be passed on")]
    Unspeakable,
}

impl Upstreams {
    pub(super) fn new(connect_timeout: Duration, response_timeout: Duration) -> Result<Self, String> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(connect_timeout));
        http.set_keepalive(Some(Duration::from_secs(60)));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(provider)
            .map_err(|error| error.to_string())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL)
            .build(https);
        Ok(Self { client, response_timeout })
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        match tokio::time::timeout(self.response_timeout, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response.map(Body::new)),
            Ok(Err(error)) if is_too_long(&error) => Err(UpstreamError::TooLong),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(UpstreamError::Silent),
        }
    }
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source()).any(|error| error.is::<LengthLimitError>())
}

/// What stands in front of one server behind.
pub(super) struct Front {
    /// What clients see instead of its origin,
    pub(super) origin: String,
    /// and of its path: without a slash at the end.
    pub(super) path: String,
    /// Whether the pages for login and consent are of the same origin.
    pub(super) is_shared: bool,
}

/// The way to one server behind.
#[derive(Clone)]
pub(super) struct Proxy(Arc<Way>);

struct Way {
    upstreams: Upstreams,
    front: Front,
    /// What every request says of the front,
    forwarded: Forwarded,
    /// and of the server behind.
    behind: Behind,
}

/// Scheme, and host and port, of an origin.
fn halves(origin: &str) -> (&str, &str) {
    origin.split_once("://").unwrap_or_default()
}

/// Scheme, and host and port, that clients see.
struct Forwarded {
    scheme: HeaderValue,
    host: HeaderValue,
}

/// The server behind.
struct Behind {
    origin: String,
    scheme: Scheme,
    authority: Authority,
    /// `Host`, which the client would spell anew for each request.
    host: HeaderValue,
    /// Its path, without a slash at the end.
    base: String,
}

impl Proxy {
    /// # Errors
    ///
    /// A name that cannot stand in a request.
    pub(super) fn new(upstreams: &Upstreams, upstream: &Url, front: Front) -> Result<Self, http::Error> {
        let origin = upstream.origin().ascii_serialization();
        let (scheme, host) = halves(&origin);
        let behind = Behind {
            scheme: scheme.parse()?,
            authority: host.parse()?,
            host: host.parse()?,
            base: upstream.path().trim_end_matches('/').to_owned(),
            origin,
        };
        let (scheme, host) = halves(&front.origin);
        let forwarded = Forwarded { scheme: scheme.parse()?, host: host.parse()? };
        Ok(Self(Arc::new(Way { upstreams: upstreams.clone(), front, forwarded, behind })))
    }
}

impl Service<Request<RequestBody<Body>>> for Proxy {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<Body>>) -> Self::Future {
        let way = self.0.clone();
        // Whoever gets here has a token that counts.
        if let Some(crossing) = request.extensions().get::<Crossing>() {
            crossing.succeeded();
        }
        Box::pin(async move { Ok(way.pass(request.map(Body::new)).await.unwrap_or_else(|error| way.failed(&error))) })
    }
}

impl Way {
    async fn pass(&self, mut request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        let (Some(identity), Some(lease)) =
            (request.extensions().get::<Identity>().cloned(), request.extensions().get::<Lease>().cloned())
        else {
            return Err(UpstreamError::Unspeakable);
        };
        let upgrade = Upgrade::of(&mut request);
        let request_id = request.extensions().get::<RequestId>().cloned();
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(sender)| sender.ip());
        let uri = self.uri(request.uri())?;
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        let Forwarded { scheme, host } = &self.forwarded;
        let sender = Sender { identity: &identity, address, request_id: request_id.as_ref(), scheme, host };
        headers::towards_server(&mut headers, sender);
        headers.insert(HOST, self.behind.host.clone());
        if upgrade.is_some() {
            tunnel::ask(&mut headers);
        }
        let mut onward = Request::new(body);
        *onward.method_mut() = parts.method;
        *onward.uri_mut() = uri;
        *onward.version_mut() = Version::HTTP_11;
        *onward.headers_mut() = headers;

        let mut response = self.upstreams.send(onward).await?;
        match (response.status(), upgrade) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(upgrade)) => {
                upgrade.join(&mut response, lease);
                headers::towards_client(response.headers_mut());
                tunnel::ask(response.headers_mut());
                return Ok(response);
            }
            (StatusCode::SWITCHING_PROTOCOLS, None) => return Err(UpstreamError::Switched),
            (StatusCode::UNAUTHORIZED, _) => return Err(UpstreamError::WantsCredentials),
            (_, _) => {}
        }
        headers::towards_client(response.headers_mut());
        self.rewrite_locations(response.headers_mut());
        do_not_buffer(response.headers_mut());
        if self.front.is_shared {
            headers::confine(response.headers_mut());
        }
        Ok(response)
    }

    /// The same place at the server behind. The path is in the form in which rules were compared with it.
    fn uri(&self, seen: &Uri) -> Result<Uri, UpstreamError> {
        let path = RequestPath::parse(seen.path()).map_err(|_| UpstreamError::Unspeakable)?;
        let rest = path.as_str().strip_prefix(&*self.front.path).ok_or(UpstreamError::Unspeakable)?;
        let base = &*self.behind.base;
        let root = if base.is_empty() && rest.is_empty() { "/" } else { "" };
        let query = seen.query();
        let target = [base, rest, root, query.map_or("", |_| "?"), query.unwrap_or_default()].concat();
        let uri = Uri::builder().scheme(self.behind.scheme.clone()).authority(self.behind.authority.clone());
        uri.path_and_query(target).build().map_err(|_| UpstreamError::Unspeakable)
    }

    /// A redirect within the server behind is one within the site; its own name means nothing to clients, and is none of their business.
    fn rewrite_locations(&self, headers: &mut HeaderMap) {
        let Front { origin, path, .. } = &self.front;
        for name in [LOCATION, CONTENT_LOCATION] {
            let Some(location) = headers.get(&name).and_then(|value| value.to_str().ok()) else { continue };
            let own = location.strip_prefix(&self.behind.origin);
            let local = own.unwrap_or(location);
            let inside = local
                .strip_prefix(&self.behind.base)
                .filter(|rest| local.starts_with('/') && (rest.is_empty() || rest.starts_with(['/', '?'])));
            let inside = inside.map(|rest| format!("{origin}{path}{rest}"));
            if let Some(value) = inside.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            } else if own.is_some() {
                headers.remove(name);
            }
        }
    }

    fn failed(&self, error: &UpstreamError) -> Response<Body> {
        let causes = std::iter::successors(std::error::Error::source(error), |cause| (*cause).source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        warn!(upstream = %self.behind.origin, %error, causes = causes.join(": "), "a request was not passed on");
        match error {
            UpstreamError::Unreachable(error) if error.is_connect() => {
                unavailable(StatusCode::BAD_GATEWAY, "The server behind this gateway cannot be reached.")
            }
            UpstreamError::Unreachable(_) => {
                unavailable(StatusCode::BAD_GATEWAY, "The server behind this gateway broke off.")
            }
            UpstreamError::Silent => {
                unavailable(StatusCode::GATEWAY_TIMEOUT, "The server behind this gateway does not answer.")
            }
            UpstreamError::TooLong => too_long(),
            UpstreamError::WantsCredentials | UpstreamError::Switched => plain_error(
                StatusCode::BAD_GATEWAY,
                "server_error",
                "The server behind this gateway gave an answer that must not be passed on.",
            ),
            UpstreamError::Unspeakable => {
                plain_error(StatusCode::BAD_REQUEST, "invalid_request", "This request cannot be passed on.")
            }
        }
    }
}

/// Proxies in front of this one are not to hold events back.
fn do_not_buffer(headers: &mut HeaderMap) {
    if is_event_stream(headers) {
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    }
}
