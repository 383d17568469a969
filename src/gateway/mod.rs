//! The gateway: an authenticating reverse proxy for MCP servers that know nothing of OAuth, and an endpoint for the proxies of others.
//!
//! ```text
//! request -> site (Host, path) -> Origin -> the layer of `resource` -> headers -> upstream
//!               |  none                        |  asks the authority itself
//!               v                              v
//!        authorization server          401, 403 with a challenge
//! ```
//!
//! 1. A request belongs to a *site*, a protected resource, by the host and the path that clients see. What belongs to none is the
//!    authorization server's.
//! 2. A page of another origin is turned away, and so is a host that is none of ours: whoever makes a name of theirs resolve to this
//!    machine gets nowhere (DNS rebinding).
//! 3. The layer judges it, with the authority's own knowledge: a revoked token is refused at once.
//! 4. What crosses is in `headers`. The client's token never does.
//! 5. Streams and WebSockets end with the token.

mod forward_auth;
mod headers;
mod proxy;
mod site;
mod tunnel;
mod verifier;

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{
        HeaderMap, Response, StatusCode, Uri,
        header::{HOST, RETRY_AFTER},
        uri::Authority as HostAndPort,
    },
};
use tokio::sync::watch;

pub use self::{forward_auth::FORWARD_AUTH, proxy::UpstreamError};
use self::{proxy::Upstreams, site::Site, verifier::AuthorityVerifier};
use crate::{
    domain::guarded::GuardedResource,
    http::{App, Endpoint, Routes, respond::plain_error},
    port::clock::Clock,
    protocol::protected_resource::WELL_KNOWN,
    resource::{InvalidProtection, RequestHead},
};

/// What the operator decides about every site.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// The longest request body, in bytes.
    pub body_limit: usize,
    /// How long a connection (TCP) to a server behind may take.
    pub connect_timeout: Duration,
    /// How long a server behind may take until it begins to answer, from the moment at which the request is passed on.
    pub response_timeout: Duration,
    /// How often the token behind an open stream is looked at again.
    pub recheck: Duration,
}

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum NoGateway {
    /// A site makes no sense.
    #[error(transparent)]
    Site(#[from] InvalidProtection),
    /// A server behind, or its site, has a name that cannot stand in a request.
    #[error("a server behind: {0}")]
    Upstream(#[from] http::Error),
    /// TLS towards servers behind cannot be set up.
    #[error("TLS towards the servers behind: {0}")]
    Tls(String),
}

/// All sites.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    /// The host and port of the authorization server itself.
    own_host: String,
    own_scheme: &'static str,
    sites: Vec<Site>,
    /// Whether any has a server behind.
    is_connected: bool,
    app: App,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("sites", &self.0.sites.len()).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Stands before an authority. `specs` are all protected resources, with and without a server behind.
    ///
    /// # Errors
    ///
    /// A site that makes no sense, or a machine without certificates.
    pub fn new(
        app: &App,
        clock: &Arc<dyn Clock>,
        specs: Vec<GuardedResource>,
        options: &GatewayOptions,
    ) -> Result<Self, NoGateway> {
        let authority = app.authority();
        let upstreams = Upstreams::new(options.connect_timeout, options.response_timeout).map_err(NoGateway::Tls)?;
        let streams_end: watch::Receiver<bool> = app.streams_end();
        let site = |spec: GuardedResource| {
            let unreachable = spec.upstream.is_none();
            let verifier = Arc::new(AuthorityVerifier::new(authority.clone(), spec.uri.clone()));
            let site = Site::new(spec, authority.issuer.as_str(), options, |resource| {
                resource.verifier(verifier.clone()).clock(clock.clone()).closing(streams_end.clone())
            });
            match site {
                // Tokens may be for what is no place on the web.
                Err(InvalidProtection::Resource(_)) if unreachable => Ok(None),
                site => site.map(Some),
            }
        };
        let sites = specs.into_iter().map(site).collect::<Result<Vec<Option<Site>>, InvalidProtection>>()?;
        let mut sites: Vec<Site> = sites.into_iter().flatten().collect();
        for site in &mut sites {
            site.connect(&upstreams, options.body_limit, authority.issuer.origin())?;
        }
        // The most specific path decides.
        sites.sort_by_key(|site| std::cmp::Reverse(site.path_length()));
        let origin = authority.issuer.origin();
        let (own_scheme, own_host) = match origin.split_once("://") {
            Some(("http", host)) => ("http", host),
            Some((_, host)) => ("https", host),
            None => ("https", origin),
        };
        Ok(Self(Arc::new(Inner {
            own_host: own_host.to_owned(),
            own_scheme,
            is_connected: sites.iter().any(Site::is_connected),
            sites,
            app: app.clone(),
        })))
    }

    /// The authorization server, with the gateway in front of it.
    pub fn around(&self, own: Routes) -> Routes {
        let gateway = self.clone();
        let asked_at: Arc<str> = format!("{}{FORWARD_AUTH}", self.0.app.authority().issuer.path()).into();
        Routes::new(move |request| {
            let path = request.uri().path();
            let below = path.strip_prefix(&*asked_at);
            let is_asked = below.is_some_and(|below| below.is_empty() || below.starts_with('/'));
            // The authorization server is not to pay for what is not there.
            if !is_asked && !gateway.0.is_connected && !path.starts_with(WELL_KNOWN) {
                return own.answer(request);
            }
            let (gateway, own, asked_at) = (gateway.clone(), own.clone(), asked_at.clone());
            Box::pin(async move {
                match gateway.answer(request).await {
                    Ok(response) => response,
                    Err(request) if is_asked => {
                        let answer = |request| gateway.forward_auth(request, &asked_at);
                        gateway.0.app.enter(Endpoint::ForwardAuth, request, answer).await
                    }
                    Err(request) => own.answer(request).await,
                }
            })
        })
    }

    /// The answer of a site, or the request if it belongs to none.
    async fn answer(&self, request: Request) -> Result<Response<Body>, Request> {
        let host = match host(request.uri(), request.headers()) {
            Ok(host) => host,
            // The authorization server does not care; no site is reached without a host.
            Err(NoHost) => return Err(request),
        };
        let app = &self.0.app;
        let head = RequestHead::new(request.method(), request.uri(), request.headers());
        if let Some(metadata) = self.metadata(&host, head) {
            return Ok(app.enter(Endpoint::ResourceMetadata, request, async |_| metadata).await);
        }
        let path = request.uri().path();
        match Site::of(self.0.sites.iter().filter(|site| site.is_connected()), &host, path) {
            Some(site) => Ok(app.enter(Endpoint::Gateway, request, |request| site.answer(request, app)).await),
            None if self.is_misdirected(&host, path) => {
                Ok(app.enter(Endpoint::Gateway, request, async |_| misdirected()).await)
            }
            None => Err(request),
        }
    }

    /// The metadata of a site (RFC 9728). Below the host alone, that of its only site, or of the one that has no path.
    fn metadata(&self, host: &str, head: RequestHead<'_>) -> Option<Response<Body>> {
        if !head.path.starts_with(WELL_KNOWN) {
            return None;
        }
        let mut here = self.0.sites.iter().filter(|site| site.is_host(host));
        if head.path.trim_end_matches('/') != WELL_KNOWN {
            return here.find_map(|site| site.metadata(head));
        }
        let only = here.clone().count() == 1;
        here.find(|site| only || site.path_length() == 0).and_then(|site| site.metadata(head))
    }

    /// Whether a request would belong to a site, were it not for its host. A site without a path says nothing: probes and
    /// proxies reach this server under many names.
    fn is_misdirected(&self, host: &str, path: &str) -> bool {
        let would_be = |site: &Site| site.is_connected() && site.path_length() > 0 && site.is_path(path);
        !self.is_own_host(host) && self.0.sites.iter().any(would_be)
    }

    fn is_own_host(&self, host: &str) -> bool {
        without_default_port(host, self.0.own_scheme) == self.0.own_host
    }
}

struct NoHost;

/// The host and port that a request is for, in lower case. A request target that names one must name the same as `Host`
/// (RFC 9112 3.2.2 lets the target win; two different ones mean no good).
fn host(uri: &Uri, headers: &HeaderMap) -> Result<String, NoHost> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).ok_or(NoHost)?;
    let several = hosts.next().is_some();
    let other = uri.authority().is_some_and(|target| !target.as_str().eq_ignore_ascii_case(host));
    let parsed: HostAndPort = host.parse().map_err(|_| NoHost)?;
    if several || other || parsed.as_str().contains('@') {
        return Err(NoHost);
    }
    Ok(host.to_ascii_lowercase())
}

/// A host as an origin spells it.
fn without_default_port<'a>(host: &'a str, scheme: &str) -> &'a str {
    let default = if scheme == "http" { ":80" } else { ":443" };
    host.strip_suffix(default).unwrap_or(host)
}

fn misdirected() -> Response<Body> {
    plain_error(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected_request",
        "No protected resource has this host. A proxy in front has to pass on the Host that clients see.",
    )
}

/// The server behind did not answer: `status`, and when to come again.
fn unavailable(status: StatusCode, description: &'static str) -> Response<Body> {
    let mut response = plain_error(status, "temporarily_unavailable", description);
    response.headers_mut().insert(RETRY_AFTER, 2.into());
    response
}
