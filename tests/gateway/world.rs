//! An authority with a clock that stands still, the gateway in front of it, and a server behind.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode},
};
use gateward::{
    domain::{
        guarded::GuardedResource,
        request_path::PathPrefix,
        resource::ResourceUri,
        scope::Scope,
        scope_rule::{Pattern, ScopeRule, ScopeRules},
    },
    gateway::{Gateway, GatewayOptions},
    http::{
        Routes, TrustedProxies,
        limits::LimitOptions,
        router,
        serve::{ServeOptions, serve},
    },
    port::clock::Clock,
    service::administer_clients::ClientSpec,
    testing::server::{Builder, ISSUER, RESOURCE, TestClient, TestServer, machine},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{faults::Faults, upstream::Upstream};

/// The host of [`RESOURCE`], the site of every world.
pub(crate) const HOST: &str = "mcp.example.com";
pub(crate) const METADATA_URL: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";

pub(crate) struct World {
    pub(crate) server: TestServer,
    pub(crate) upstream: Upstream,
    /// Of the stores.
    pub(crate) faults: Faults,
    pub(crate) routes: Routes,
    worker: TestClient,
}

/// The rules of the site: `mcp:read` for all, more for some.
pub(crate) fn rules() -> ScopeRules {
    let scope = |text| Scope::parse(text).unwrap();
    ScopeRules {
        base: scope("mcp:read"),
        rules: vec![
            ScopeRule {
                path: Some(PathPrefix::parse("/mcp/admin").unwrap()),
                scope: scope("mcp:write"),
                ..ScopeRule::default()
            },
            ScopeRule {
                mcp_method: Some(Pattern::parse("tools/call").unwrap()),
                mcp_name: Some(Pattern::parse("launch-specialist").unwrap()),
                scope: scope("mcp:execute"),
                ..ScopeRule::default()
            },
        ],
    }
}

/// What the operator says, unless a test says otherwise.
pub(crate) fn site(upstream: &Upstream) -> GuardedResource {
    GuardedResource {
        uri: ResourceUri::parse(RESOURCE).unwrap(),
        name: "Notes".into(),
        rules: rules(),
        scopes: Scope::parse("mcp:read mcp:write mcp:execute").unwrap(),
        upstream: Some(upstream.url().parse().unwrap()),
        allowed_origins: vec!["https://app.example.com".into()],
        trust_mcp_headers: false,
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|site| site).await
    }

    pub(crate) async fn with(change: impl FnOnce(GuardedResource) -> GuardedResource) -> Self {
        Self::with_sites(|upstream| vec![change(site(upstream))]).await
    }

    pub(crate) async fn with_sites(sites: impl FnOnce(&Upstream) -> Vec<GuardedResource>) -> Self {
        Self::at(ISSUER, sites).await
    }

    /// With limits for whoever asks.
    pub(crate) async fn with_limits(change: impl FnOnce(&mut LimitOptions)) -> Self {
        let builder = TestServer::builder().options(|options| change(&mut options.limits));
        Self::before(builder, |upstream| vec![site(upstream)]).await
    }

    /// Another issuer.
    pub(crate) async fn at(issuer: &str, sites: impl FnOnce(&Upstream) -> Vec<GuardedResource>) -> Self {
        Self::before(TestServer::builder().issuer(issuer), sites).await
    }

    async fn before(builder: Builder, sites: impl FnOnce(&Upstream) -> Vec<GuardedResource>) -> Self {
        let faults = Faults::default();
        let server = builder
            .options(|options| options.trusted_proxies = TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]))
            .stores(|stores| faults.wrap(stores))
            .start()
            .await
            .with_user()
            .await;
        let upstream = Upstream::start().await;
        let options = GatewayOptions {
            body_limit: 1024,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_millis(200),
            recheck: Duration::from_millis(20),
        };
        let clock: Arc<dyn Clock> = server.clock.clone();
        let gateway = Gateway::new(&server.app, &clock, sites(&upstream), &options).unwrap();
        let routes = gateway.around(router(&server.app));
        let spec = ClientSpec { scope: Scope::parse("mcp:read mcp:write mcp:execute").unwrap(), ..machine() };
        let worker = server.create_client("worker", spec).await;
        Self { server, upstream, faults, routes, worker }
    }

    /// A token of the worker for the site.
    pub(crate) async fn token(&self, scope: &str) -> String {
        self.token_for(RESOURCE, scope).await
    }

    pub(crate) async fn token_for(&self, resource: &str, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", scope), ("resource", resource)];
        self.server.token(&self.worker, form).await.member("access_token")
    }

    pub(crate) async fn revoke(&self, token: &str) {
        let answer = self.server.post_as(&self.worker, "/oauth/revoke", [("token", token)]).await;
        assert_eq!(answer.status, StatusCode::OK);
    }

    /// A request to the site.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        Call { world: self, request }.header("host", HOST)
    }

    /// A request to the site, with a token.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let token = self.token("mcp:read").await;
        self.call(Method::GET, path).bearer(&token).send().await
    }

    /// Listens on loopback, until the sender is used: for what needs a connection.
    pub(crate) async fn listen(&self) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (app, routes) = (self.server.app.clone(), self.routes.clone());
        let options = ServeOptions {
            stall_timeout: Duration::from_secs(1),
            grace: Duration::from_secs(60),
            ..ServeOptions::default()
        };
        let serving = tokio::spawn(async move {
            serve(&app, routes, vec![listener], options, async { stopped.await.unwrap_or_default() }).await;
        });
        (address, stop, serving)
    }
}

/// A request that has not been sent yet.
pub(crate) struct Call<'a> {
    world: &'a World,
    request: Request<Body>,
}

impl Call<'_> {
    /// One more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    /// Another host.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.request.headers_mut().remove("host");
        self.header("host", host)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn from(mut self, peer: &str) -> Self {
        self.request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 49152)));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// The head of the answer, with its body still to come.
    pub(crate) async fn begin(self) -> Response<Body> {
        self.world.routes.answer(self.request).await
    }

    pub(crate) async fn send(self) -> Answer {
        let (parts, body) = self.begin().await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} appears twice");
        Some(value.to_str().unwrap())
    }

    /// What the server behind saw.
    pub(crate) fn seen(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }

    /// The headers that the server behind saw, of this name.
    pub(crate) fn seen_header(&self, name: &str) -> Vec<String> {
        let seen = self.seen();
        let lines = seen["headers"].as_array().unwrap().iter().filter_map(Value::as_str);
        let wanted = format!("{name}: ");
        lines.filter_map(|line| line.strip_prefix(&wanted)).map(str::to_owned).collect()
    }

    /// The challenge, less where the metadata is.
    pub(crate) fn challenge(&self) -> &str {
        let value = self.header("www-authenticate").expect("a challenge");
        let start = format!(r#"Bearer resource_metadata="{METADATA_URL}""#);
        value.strip_prefix(&start).unwrap_or_else(|| panic!("{value}")).trim_start_matches(", ")
    }
}
