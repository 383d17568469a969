//! Whole use cases beside the bare signature: a client_credentials request from its bytes to its answer, and the rotation of a
//! refresh token on each embedded store.
//!
//! `cargo bench --bench tokens --features testing`; compare with `bare` of the same run.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark may stop, and measures time")]

use std::{
    cell::{Cell, RefCell},
    hint::black_box,
    net::SocketAddr,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, header},
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gateward::{
    adapter::{audit::Trail, signing_key::SigningKey},
    domain::{
        audit::{Action, Entry, EntryId, Event, Run},
        correlation::RequestId,
        identifier::{ClientId, TokenId},
        time::Timestamp,
    },
    http::{
        AddressBlocks, App, HttpOptions, Routes,
        limits::{LimitOptions, Rates},
        router,
    },
    port::audit::AuditTrail,
    protocol::{
        client_authentication::present,
        form::Form,
        jose::Algorithm,
        token::{Refresh, TokenRequest},
    },
    resource::SystemClock,
    service::authenticate::AuthenticatedClient,
    store::Stores,
    testing::server::{Parameters, TestClient, TestServer, machine, public_client},
};
use tokio::runtime::Runtime;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// The signature alone, over as many bytes as a token's header and claims have.
fn bare(criterion: &mut Criterion) {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let message = [b'x'; 420];
    criterion.bench_function("bare/ES256", |b| b.iter(|| key.sign(black_box(&message)).unwrap()));
}

fn client_credentials(criterion: &mut Criterion) {
    let runtime = runtime();
    let server = runtime.block_on(TestServer::start());
    let worker = runtime.block_on(server.create_client("worker", machine()));
    let body = "grant_type=client_credentials&scope=mcp:read".to_owned();
    let basic = format!("Basic {}", base64(&format!("worker:{}", worker.secret())));

    let mut group = criterion.benchmark_group("client_credentials");
    group.bench_function("parse, authenticate, sign", |b| {
        b.iter(|| {
            let form = Form::parse(black_box(body.as_bytes())).unwrap();
            let TokenRequest::ClientCredentials(request) = TokenRequest::try_from(&form).unwrap() else { return };
            let presented = present(Some(basic.as_bytes()), &form).unwrap();
            runtime.block_on(async {
                let client = server.authority().authenticate(&presented, server.now()).await.unwrap();
                black_box(server.authority().client_credentials(&client, &request, server.now()).await.unwrap());
            });
        });
    });
    // More than the bench can ask: what is measured is the counting.
    let most = NonZeroU32::new(100_000_000);
    let rates = Rates { per_address: most, per_client: most };
    let exempt = AddressBlocks::new(["10.0.0.0/8".parse().unwrap()]);
    let limits = LimitOptions { token: rates, exempt, ..LimitOptions::default() };
    for (name, limits) in [("through the router", LimitOptions::default()), ("the same with rates", limits)] {
        let options = HttpOptions { limits, ..HttpOptions::default() };
        let router = router(&App::new(server.authority().clone(), Arc::new(SystemClock), options));
        group.bench_function(name, |b| b.iter(|| runtime.block_on(post(&router, &basic, &body))));
    }
    group.finish();
}

async fn post(router: &Routes, basic: &str, body: &str) {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/oauth/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, basic)
        .extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 49152))))
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = router.answer(request).await;
    assert_eq!(response.status(), 200);
}

fn base64(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

fn rotation(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("bench.db").display());
    for (name, url) in [("memory", "memory:"), ("sqlite", url.as_str())] {
        let runtime = runtime();
        let (server, client, first) = runtime.block_on(set_up(url));
        let current = RefCell::new(first);
        criterion.bench_function(&format!("refresh/{name}"), |b| {
            b.iter_batched(
                || current.borrow().clone(),
                |token| {
                    let form = Parameters::refresh(&token).encode();
                    let form = Form::parse(form.as_bytes()).unwrap();
                    let TokenRequest::RefreshToken(request) = TokenRequest::try_from(&form).unwrap() else { return };
                    *current.borrow_mut() = runtime.block_on(rotate(&server, &client, &request));
                },
                BatchSize::PerIteration,
            );
        });
    }
}

async fn set_up(url: &str) -> (TestServer, AuthenticatedClient, String) {
    let stores = Stores::open(url).await.unwrap();
    let server = TestServer::builder().stores(|place| *place = stores).start().await.with_user().await;
    let client: TestClient = server.create_client("app", public_client()).await;
    let tokens = server.tokens(&client).await;
    let form = Form::parse(b"client_id=app").unwrap();
    let presented = present(None, &form).unwrap();
    let authenticated = server.authority().authenticate(&presented, server.now()).await.unwrap();
    (server, authenticated, tokens["refresh_token"].as_str().unwrap().to_owned())
}

async fn rotate(server: &TestServer, client: &AuthenticatedClient, request: &Refresh) -> String {
    server.authority().refresh(client, request, server.now()).await.unwrap().response.refresh_token.unwrap()
}

/// What the audit trail costs whoever records an event, and the task that writes it.
fn audit(criterion: &mut Criterion) {
    const MANY: u64 = 8_000;
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("audit.db").display());
    let event = |number: u64| Event {
        client: ClientId::parse("worker").ok(),
        token: Some(TokenId::from_entropy(u128::from(number).to_be_bytes())),
        address: Some([192, 0, 2, 1].into()),
        request: Some(RequestId::from_entropy(u128::from(number).to_be_bytes())),
        ..Event::success(Timestamp::from_unix(1_800_000_000), Action::TokenClientCredentials)
    };
    for (name, url) in [("memory", "memory:"), ("sqlite", url.as_str())] {
        let runtime = runtime();
        let store = runtime.block_on(Stores::open(url)).unwrap().audit;
        let trail = {
            let _inside = runtime.enter();
            Trail::start(store.clone(), Arc::new(SystemClock), Run::from_entropy([1; 16]), "bench", vec![])
        };
        criterion.bench_function(&format!("audit/record/{name}"), |b| {
            b.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for part in 0..times.div_ceil(MANY) {
                    let events: Vec<Event> = (0..MANY.min(times - part * MANY)).map(event).collect();
                    let before = Instant::now();
                    events.into_iter().for_each(|event| trail.record(event));
                    spent += before.elapsed();
                    assert!(runtime.block_on(trail.flush()));
                }
                spent
            });
        });
        let (run, next) = (Run::from_entropy([2; 16]), Cell::new(0));
        let instance = "bench".into();
        criterion.bench_function(&format!("audit/append 500/{name}"), |b| {
            b.iter_batched(
                || {
                    let entry = |number| Entry::new(EntryId::new(event(0).at, &run, number), event(number), &instance);
                    (next.get()..next.replace(next.get() + 500) + 500).map(entry).collect::<Vec<_>>()
                },
                |entries| runtime.block_on(store.append(&entries)).unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, bare, client_credentials, rotation, audit);
criterion_main!(benches);
