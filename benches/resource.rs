//! What the layer of protected resources costs: verification beside the bare signature check, a request through a trivial axum
//! route with and without it, and how often it allocates.
//!
//! `cargo bench --bench resource`. Compare with `bare` in each group of `layer`, and with `without the layer` in `route`. Keys and
//! introspection come over HTTP from a server on the loopback interface, before anything is measured. The allocator counts; what
//! that costs is on both sides of each comparison.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may stop, and prints what it finds")]

use std::{
    convert::Infallible,
    hint::black_box,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::{Json, Router, body::Body, response::Response, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gateward::{
    adapter::signing_key::SigningKey,
    port::clock::Clock,
    protocol::jose::{Algorithm, JwkSet},
    resource::{ClientCredentials, ProtectedResource, ProtectionLayer, RequestBody, SystemClock},
};
use http::Request;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};
use tower::{Layer, Service, ServiceExt, service_fn};

const RESOURCE: &str = "https://mcp.example.com/mcp";
const ALLOCATIONS_OVER: u64 = 10_000;

/// An authorization server of one key, which remembers nothing.
struct Issuer {
    url: String,
    key: SigningKey,
    issued: AtomicU64,
}

impl Issuer {
    fn start(runtime: &Runtime, algorithm: Algorithm) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (url, key) = (format!("http://{address}"), SigningKey::generate(algorithm).unwrap());
        let jwks = JwkSet { keys: vec![key.public().clone()] };
        let metadata = json!({
            "issuer": url,
            "jwks_uri": format!("{url}/jwks"),
            "introspection_endpoint": format!("{url}/introspect"),
        });
        let mut active = claims(&url, 0);
        active["active"] = true.into();
        let routes = Router::new()
            .route("/.well-known/oauth-authorization-server", get(async move || Json(metadata)))
            .route("/jwks", get(async move || Json(jwks)))
            .route("/introspect", axum::routing::post(async move || Json(active)));
        runtime.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, key, issued: AtomicU64::new(0) }
    }

    /// A token like no other.
    fn token(&self) -> String {
        let header = format!(r#"{{"alg":"{}","typ":"at+jwt","kid":"{}"}}"#, self.key.algorithm(), self.key.id());
        let claims = claims(&self.url, self.issued.fetch_add(1, Ordering::Relaxed)).to_string();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes()).unwrap());
        format!("{message}.{signature}")
    }

    fn resource(&self) -> ProtectedResource {
        ProtectedResource::new(RESOURCE, &self.url).scope("mcp:read")
    }
}

fn claims(issuer: &str, number: u64) -> Value {
    let now = SystemClock.now().unix();
    json!({
        "iss": issuer,
        "sub": "0123456789abcdefghijkl",
        "aud": RESOURCE,
        "exp": now + 3600,
        "iat": now,
        "nbf": now,
        "jti": format!("{number:022}"),
        "client_id": "0123456789abcdefghijkl",
        "scope": "mcp:read mcp:write mcp:execute",
        "grant_id": "0123456789abcdefghijkl",
        "auth_time": now - 60,
    })
}

/// What is signed, and the signature.
fn taken_apart(token: &str) -> (String, Vec<u8>) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    (message.to_owned(), URL_SAFE_NO_PAD.decode(signature).unwrap())
}

fn request(token: &str) -> Request<Body> {
    let request = Request::get("/mcp").header("host", "mcp.example.com").header("accept", "application/json");
    request.header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap()
}

/// A service that does nothing.
fn nothing(layer: &ProtectionLayer) -> impl Service<Request<Body>, Response: Send, Error = Infallible> + Clone + use<> {
    layer.layer(service_fn(async |_: Request<RequestBody<Body>>| Ok::<_, Infallible>(Response::new(Body::empty()))))
}

fn route() -> Router {
    Router::new().route("/mcp", get(async || Json(json!({ "status": "ok" }))))
}

/// An answer that must be a 200.
async fn answer(router: Router, request: Request<Body>) {
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    black_box(response);
}

/// One thread serves what is fetched; the other one measures.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn layer(criterion: &mut Criterion) {
    let runtime = runtime();
    for &algorithm in Algorithm::ASYMMETRIC {
        let issuer = Issuer::start(&runtime, algorithm);
        let service = nothing(&issuer.resource().layer().unwrap());
        let seen = issuer.token();
        runtime.block_on(service.clone().oneshot(request(&seen))).unwrap();

        let mut group = criterion.benchmark_group(format!("layer/{algorithm}"));
        // Another one each time here too: the processor learns the branches of one signature by heart.
        group.bench_function("bare", |b| {
            b.iter_batched(
                || taken_apart(&issuer.token()),
                |(message, signature)| assert!(issuer.key.verify(black_box(message.as_bytes()), &signature)),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("a token never seen before", |b| {
            b.to_async(&runtime).iter_batched(
                || request(&issuer.token()),
                |request| service.clone().oneshot(request),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("a token seen before", |b| {
            b.to_async(&runtime).iter_batched(
                || request(&seen),
                |request| service.clone().oneshot(request),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

/// A trivial route: bare, and behind the layer with what it has seen before.
struct Routes {
    bare: Router,
    offline: Router,
    introspected: Router,
    token: String,
}

impl Routes {
    fn new(runtime: &Runtime) -> Self {
        let issuer = Issuer::start(runtime, Algorithm::ES256);
        let credentials = ClientCredentials::new("mcp", "secret");
        let introspecting = issuer.resource().introspection(credentials).introspection_cache(Duration::from_secs(3600));
        let routes = Self {
            bare: route(),
            offline: route().layer(issuer.resource().layer().unwrap()),
            introspected: route().layer(introspecting.layer().unwrap()),
            token: issuer.token(),
        };
        for (_, router) in routes.each() {
            runtime.block_on(answer(router.clone(), request(&routes.token)));
        }
        routes
    }

    fn each(&self) -> [(&'static str, &Router); 3] {
        [
            ("without the layer", &self.bare),
            ("with it, JWT seen before", &self.offline),
            ("with it, introspected before", &self.introspected),
        ]
    }
}

fn routes(criterion: &mut Criterion) {
    let runtime = runtime();
    let routes = Routes::new(&runtime);
    let mut group = criterion.benchmark_group("route");
    for (name, router) in routes.each() {
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter_batched(
                || request(&routes.token),
                |request| answer(router.clone(), request),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    for (name, router) in routes.each() {
        let requests: Vec<Request<Body>> = (0..ALLOCATIONS_OVER).map(|_| request(&routes.token)).collect();
        let counted = allocation_counter::measure(|| {
            runtime.block_on(async {
                for request in requests {
                    answer(router.clone(), request).await;
                }
            });
        });
        let each = |count: u64| count as f64 / ALLOCATIONS_OVER as f64;
        println!("route/{name}: {:.2} allocations, {:.0} bytes", each(counted.count_total), each(counted.bytes_total));
    }
}

criterion_group!(benches, layer, routes);
criterion_main!(benches);
