//! gateward itself, with a gateway in front of an MCP server, on loopback; and somebody in between who breaks one thing.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, request::Parts},
};
use gateward::{
    doctor::{INSPECTOR, Kind, Options, Report, Target, Verdict, examine},
    domain::{
        guarded::GuardedResource,
        resource::{ResourceUri, TokenFormat},
        scope::Scope,
        scope_rule::ScopeRules,
    },
    gateway::{Gateway, GatewayOptions},
    http::{Routes, router},
    port::clock::Clock,
    protocol::jose::Algorithm,
    resource::SystemClock,
    testing::server::{TestServer, resource},
};
use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;

/// A resource without a path, elsewhere.
pub(crate) const FILES: &str = "https://files.example.com";

/// What was asked.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    url: Url,
}

/// What is told, and can be changed.
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Where the server is.
    pub(crate) origin: String,
}

/// Breaks one thing.
pub(crate) type Defect = fn(&Asked, &mut Told);

impl Asked {
    fn new(parts: &Parts, body: &[u8], origin: &str) -> Self {
        Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            headers: parts.headers.clone(),
            body: String::from_utf8_lossy(body).into_owned(),
            url: Url::parse(&format!("{origin}{}", parts.uri)).unwrap(),
        }
    }

    pub(crate) fn is(&self, method: Method, path: &str) -> bool {
        self.method == method && self.path == path
    }

    pub(crate) fn has(&self, header: &str) -> bool {
        self.headers.contains_key(header)
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl Told {
    pub(crate) fn set(&mut self, header: &'static str, value: &str) {
        self.headers.insert(HeaderName::from_static(header), HeaderValue::from_str(value).unwrap());
    }

    pub(crate) fn remove(&mut self, header: &str) {
        self.headers.remove(header);
    }

    /// Another answer altogether; CORS stays.
    pub(crate) fn become_json(&mut self, status: u16, body: &str) {
        self.status = StatusCode::from_u16(status).unwrap();
        self.set("content-type", "application/json");
        self.body = body.as_bytes().to_vec();
    }

    pub(crate) fn become_page(&mut self, status: u16) {
        self.status = StatusCode::from_u16(status).unwrap();
        self.set("content-type", "text/html; charset=utf-8");
        self.body = b"<!doctype html><p>Hello</p>".to_vec();
    }

    pub(crate) fn become_nothing(&mut self) {
        self.become_json(404, r#"{"error":"not_found"}"#);
    }

    pub(crate) fn redirect(&mut self, to: &str) {
        self.status = StatusCode::SEE_OTHER;
        self.set("location", to);
        self.body.clear();
    }

    /// Changes a JSON document.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let mut document = serde_json::from_slice(&self.body).unwrap();
        change(&mut document);
        self.body = serde_json::to_vec(&document).unwrap();
    }

    /// Changes where a redirect leads.
    pub(crate) fn edit_location(&mut self, change: impl FnOnce(String) -> String) {
        if let Some(location) = self.headers.get("location").map(|value| value.to_str().unwrap().to_owned()) {
            self.set("location", &change(location));
        }
    }
}

/// A server that runs until the test ends.
pub(crate) struct World {
    pub(crate) issuer: String,
    pub(crate) mcp: String,
}

impl World {
    pub(crate) async fn start(defect: Defect) -> Self {
        Self::below("", defect).await
    }

    /// An issuer with a path.
    pub(crate) async fn below(path: &str, defect: Defect) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (routes, world) = Self::routes(&origin, path).await;
        let routes = distorted(routes, origin, defect);
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        world
    }

    /// gateward at an origin.
    pub(crate) async fn routes(origin: &str, path: &str) -> (Routes, Self) {
        let world = Self { issuer: format!("{origin}{path}"), mcp: format!("{origin}/mcp") };
        let jwt = TokenFormat::Jwt(Algorithm::ES256);
        let resources = vec![resource(&world.mcp, &["mcp:read"], jwt), resource(FILES, &["files:read"], jwt)];
        let server = TestServer::builder()
            .issuer(&world.issuer)
            .resources(resources)
            .options(|options| options.registration_burst = NonZeroU32::new(100).unwrap())
            .start()
            .await;
        let site = GuardedResource {
            uri: ResourceUri::parse(&world.mcp).unwrap(),
            name: "Notes".into(),
            rules: ScopeRules { base: Scope::parse("mcp:read").unwrap(), rules: vec![] },
            scopes: Scope::parse("mcp:read").unwrap(),
            // Nobody gets that far without a token.
            upstream: Some("http://127.0.0.1:9/mcp".parse().unwrap()),
            allowed_origins: vec![INSPECTOR.to_owned()],
            trust_mcp_headers: false,
        };
        let options = GatewayOptions {
            body_limit: 64 * 1024,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            recheck: Duration::from_secs(1),
        };
        let clock: Arc<dyn Clock> = server.clock.clone();
        let gateway = Gateway::new(&server.app, &clock, vec![site], &options).unwrap();
        (gateway.around(router(&server.app)), world)
    }

    /// Everything that can be examined.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let resources = vec![self.mcp.clone(), FILES.to_owned()];
        let issuer = Target { kind: Some(Kind::AuthorizationServer), resources, ..Target::at(&self.issuer) };
        vec![issuer, Target { kind: Some(Kind::McpServer), ..Target::at(&self.mcp) }]
    }

    pub(crate) async fn examine(&self) -> Report {
        self.examine_with(&Options::default()).await
    }

    pub(crate) async fn examine_with(&self, options: &Options) -> Report {
        examine(&self.targets(), options, &SystemClock).await.unwrap()
    }
}

/// Puts somebody in between who breaks one thing.
pub(crate) fn distorted(routes: Routes, origin: String, defect: Defect) -> Router {
    let meddle = move |request: Request| {
        let (routes, origin) = (routes.clone(), origin.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let asked = Asked::new(&parts, &body, &origin);
            let answer = routes.answer(Request::from_parts(parts, Body::from(body))).await;
            let (parts, body) = answer.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
            let mut told = Told { status: parts.status, headers: parts.headers, body, origin };
            defect(&asked, &mut told);
            told.headers.remove("content-length");
            let mut answer = Response::new(Body::from(told.body));
            (*answer.status_mut(), *answer.headers_mut()) = (told.status, told.headers);
            answer
        }
    };
    Router::new().fallback(meddle)
}

/// Nothing is broken.
pub(crate) fn nothing(_: &Asked, _: &mut Told) {}

/// The checks that did not pass, as `check verdict`, with all that was said about them.
pub(crate) fn complaints(report: &Report) -> Vec<(String, String)> {
    let findings = report.sections.iter().flat_map(|section| &section.findings);
    let complaints = findings.filter(|finding| matches!(finding.verdict, Verdict::Warning | Verdict::Failure));
    complaints.map(|finding| (finding.check.to_owned(), format!("{:?}: {}", finding.verdict, finding.saw))).collect()
}

/// Exactly these checks complain, and the first of them in these words.
pub(crate) fn assert_complaints(report: &Report, expected: &[&str], words: &str) {
    let found = complaints(report);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, expected, "{found:#?}");
    let said = found.iter().find(|(name, _)| name == expected[0]).map(|(_, said)| said.as_str()).unwrap();
    assert!(said.contains(words), "{said}");
}

/// A server in which this is broken makes exactly these checks complain.
pub(crate) async fn breaks(expected: &[&str], words: &str, defect: Defect) {
    assert_complaints(&World::start(defect).await.examine().await, expected, words);
}

/// Defects as data: a test for each, and the names of the checks that it breaks.
macro_rules! defects {
    ($($test:ident: $check:literal $(and $also:literal)*, $words:literal, $defect:expr;)*) => {
        pub(crate) const BROKEN: &[&str] = &[$($check),*];
        $(
            #[tokio::test]
            async fn $test() {
                crate::world::breaks(&[$check $(, $also)*], $words, $defect).await;
            }
        )*
    };
}
pub(crate) use defects;
