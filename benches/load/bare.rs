//! The limit beside each row: axum that does only what the operation cannot do without, once bare and once under the layers that
//! any service of this kind has.
//!
//! It looks nothing up that could be refused, keeps no grant, judges no rule. What is left is reading the form, the digests, one entry
//! of a map, the signature, and writing the answer; on the core, with the allocator and under the load that gateward gets.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Response, StatusCode, header},
    routing::{get, post},
    serve::ListenerExt,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use gateward::{
    adapter::{entropy::OsEntropy, signing_key::SigningKey},
    http::path,
    port::entropy::Entropy,
    protocol::jose::Algorithm,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, runtime::Runtime};
use tower_http::{
    catch_panic::CatchPanicLayer, cors::CorsLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer,
    trace::TraceLayer,
};

use crate::cores;

/// What a token says, in bytes; as long as gateward's.
const CLAIMS: &str = r#"{"iss":"http://localhost:3000","sub":"worker","aud":"https://mcp.example.com/mcp","exp":1750003600,"iat":1750000000,"nbf":1750000000,"jti":"5zDXZsyPjNpcYkbrOtQCjJ","client_id":"worker","scope":"mcp:read"}"#;

/// How long a name is remembered here: a map that grows for as long as the bench runs would measure the allocator.
const KEPT: usize = 1 << 16;

/// A service that does nothing more than it must.
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    runtime: Runtime,
}

/// What it does not read from the request.
struct Known {
    metadata: Bytes,
    secret: [u8; 32],
    entropy: OsEntropy,
    keys: HashMap<&'static str, SigningKey>,
    header: String,
    kept: Mutex<HashMap<[u8; 32], Bytes>>,
}

impl Bare {
    /// Starts it; `metadata` is the document that it serves.
    pub(crate) fn start(metadata: &str, worker_secret: &str, layered: bool) -> Self {
        let runtime = cores::pinned(cores::working());
        let keys = [("ES256", Algorithm::ES256), ("EdDSA", Algorithm::EdDSA), ("RS256", Algorithm::RS256)];
        let known = Arc::new(Known {
            metadata: Bytes::copy_from_slice(metadata.as_bytes()),
            secret: Sha256::digest(worker_secret).into(),
            entropy: OsEntropy::new().unwrap(),
            keys: keys.map(|(name, algorithm)| (name, SigningKey::generate(algorithm).unwrap())).into(),
            header: URL_SAFE_NO_PAD
                .encode(r#"{"alg":"ES256","typ":"at+jwt","kid":"4Rf1pLz0xTq7d3v0Cw8uYb5nJm2sKe6hGaVtUyXoIrE"}"#),
            kept: Mutex::default(),
        });
        let routes = routes(&known);
        let routes = if layered { under_layers(routes) } else { routes };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        let serving = async move { axum::serve(listener, routes).await.unwrap() };
        runtime.spawn(serving);
        Self { address, runtime }
    }

    pub(crate) fn stop(self) {
        self.runtime.shutdown_timeout(Duration::from_secs(5));
    }
}

fn routes(known: &Arc<Known>) -> Router {
    type Operation = fn(&Known, &HeaderMap, &[u8]) -> String;
    let operation = |operation: Operation| {
        let known = known.clone();
        post(async move |headers: HeaderMap, body: Bytes| answer(operation(&known, &headers, &body)))
    };
    let document = known.metadata.clone();
    Router::new()
        .route("/livez", get(async || answer(r#"{"status":"ok"}"#)))
        .route(path::METADATA, get(async move || answer(document.clone())))
        .route("/opaque", operation(|known, headers, body| known.for_a_worker(headers, body, Known::opaque)))
        .route(
            "/ES256",
            operation(|known, headers, body| known.for_a_worker(headers, body, |known| known.jwt("ES256"))),
        )
        .route(
            "/EdDSA",
            operation(|known, headers, body| known.for_a_worker(headers, body, |known| known.jwt("EdDSA"))),
        )
        .route(
            "/RS256",
            operation(|known, headers, body| known.for_a_worker(headers, body, |known| known.jwt("RS256"))),
        )
        .route("/code", operation(|known, _, body| known.exchange(body, "code")))
        .route("/refresh", operation(|known, _, body| known.exchange(body, "refresh_token")))
        .route("/introspect/opaque", operation(Known::found))
        .route("/introspect/ES256", operation(|known, headers, body| known.verified(headers, body, "ES256")))
        .route("/introspect/EdDSA", operation(|known, headers, body| known.verified(headers, body, "EdDSA")))
}

/// What stands around the routes of a service that others can reach.
fn under_layers(routes: Router) -> Router {
    routes
        .layer(RequestBodyLimitLayer::new(64 * 1024))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(30)))
        .layer(CatchPanicLayer::new())
        .layer(CorsLayer::permissive())
        .layer(TraceLayer::new_for_http())
}

fn answer(body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

impl Known {
    /// The form, and the secret of a worker by HTTP Basic.
    fn authenticate(&self, headers: &HeaderMap, body: &[u8]) -> Vec<(String, String)> {
        let form = form(body);
        let basic = headers[header::AUTHORIZATION].to_str().unwrap().strip_prefix("Basic ").unwrap();
        let decoded = STANDARD.decode(basic).unwrap();
        let (_, secret) = std::str::from_utf8(&decoded).unwrap().split_once(':').unwrap();
        std::hint::black_box(Sha256::digest(secret)[..] == self.secret);
        form
    }

    /// A random text, and its digest in the map.
    fn drawn(&self) -> String {
        let mut random = [0; 32];
        self.entropy.fill(&mut random);
        let text = URL_SAFE_NO_PAD.encode(random);
        let mut kept = self.kept.lock().unwrap();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(Sha256::digest(&text).into(), Bytes::from_static(CLAIMS.as_bytes()));
        text
    }

    fn opaque(&self) -> String {
        response(&self.drawn(), None)
    }

    fn sign(&self, algorithm: &str) -> String {
        let claims: serde_json::Value = json!({
            "iss": "http://localhost:3000", "sub": "worker", "aud": "https://mcp.example.com/mcp", "exp": 1_750_003_600,
            "iat": 1_750_000_000, "nbf": 1_750_000_000, "jti": "5zDXZsyPjNpcYkbrOtQCjJ", "client_id": "worker", "scope": "mcp:read",
        });
        let mut token = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.keys[algorithm].sign(token.as_bytes()).unwrap();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    fn jwt(&self, algorithm: &str) -> String {
        response(&self.sign(algorithm), None)
    }

    fn for_a_worker(&self, headers: &HeaderMap, body: &[u8], issue: impl FnOnce(&Self) -> String) -> String {
        self.authenticate(headers, body);
        issue(self)
    }

    /// One credential for a refresh token and a JWT; with the verifier if one is sent.
    fn exchange(&self, body: &[u8], credential: &str) -> String {
        let form = form(body);
        let sent = |wanted: &str| form.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let digest: [u8; 32] = Sha256::digest(sent(credential).unwrap()).into();
        std::hint::black_box(self.kept.lock().unwrap().remove(&digest));
        if let Some(verifier) = sent("code_verifier") {
            std::hint::black_box(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
        }
        response(&self.sign("ES256"), Some(&self.drawn()))
    }

    fn found(&self, headers: &HeaderMap, body: &[u8]) -> String {
        let form = self.authenticate(headers, body);
        let digest: [u8; 32] = Sha256::digest(&form[0].1).into();
        std::hint::black_box(self.kept.lock().unwrap().get(&digest).cloned());
        active()
    }

    /// Every signature is checked. It is by another key of that algorithm, which takes as long to find out.
    fn verified(&self, headers: &HeaderMap, body: &[u8], algorithm: &str) -> String {
        let form = self.authenticate(headers, body);
        let (message, signature) = form[0].1.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        std::hint::black_box(self.keys[algorithm].verify(message.as_bytes(), &signature));
        let claims = URL_SAFE_NO_PAD.decode(message.split('.').nth(1).unwrap()).unwrap();
        std::hint::black_box(serde_json::from_slice::<serde_json::Value>(&claims).unwrap());
        active()
    }
}

fn form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

#[derive(serde::Serialize)]
struct Issued<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u32,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

fn response(access_token: &str, refresh_token: Option<&str>) -> String {
    let issued = Issued { access_token, token_type: "Bearer", expires_in: 3600, scope: "mcp:read", refresh_token };
    serde_json::to_string(&issued).unwrap()
}

#[derive(serde::Serialize)]
struct Active {
    active: bool,
    scope: &'static str,
    client_id: &'static str,
    token_type: &'static str,
    exp: u64,
    iat: u64,
    nbf: u64,
    sub: &'static str,
    aud: &'static str,
    iss: &'static str,
    jti: &'static str,
}

fn active() -> String {
    let active = Active {
        active: true,
        scope: "mcp:read",
        client_id: "worker",
        token_type: "Bearer",
        exp: 1_750_003_600,
        iat: 1_750_000_000,
        nbf: 1_750_000_000,
        sub: "worker",
        aud: "https://mcp.example.com/mcp",
        iss: "http://localhost:3000",
        jti: "5zDXZsyPjNpcYkbrOtQCjJ",
    };
    serde_json::to_string(&active).unwrap()
}
