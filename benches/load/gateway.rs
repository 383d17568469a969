//! The gateway beside the same upstream without it, and beside nginx.
//!
//! ```text
//! cargo bench --features testing --bench load -- gateway
//! ```
//!
//! The load generator has the last core for itself. Everything that it measures shares the first one: the upstream (axum, a small
//! JSON answer), gateward with its memory store, and nginx with one worker. So requests per second say how much work one request is
//! for all of them together, not how many a gateway on a core of its own would do; and the difference to the row without anything in
//! between is what that costs. Latency under full load is only the length of the queue, which is the number of connections; so it is
//! measured again with one connection, where nothing waits: what is added there is what a client notices.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Json, Router, body::Bytes};
use core_affinity::CoreId;
use gateward::{
    domain::{
        guarded::GuardedResource,
        resource::ResourceUri,
        scope::Scope,
        scope_rule::{Pattern, ScopeRule, ScopeRules},
    },
    gateway::{Gateway, GatewayOptions},
    http::{App, path, router},
    port::clock::Clock,
    resource::SystemClock,
    testing::server::{OPAQUE_RESOURCE, Parameters, RESOURCE},
};
use serde_json::json;
use tokio::{net::TcpListener, runtime::Runtime};

use crate::{
    boxes, each_once,
    generator::{CONNECTIONS, Figure, Timing, member, post, run},
    nginx::Nginx,
    place,
    subject::Subject,
    table::{count, line, millis},
    talk::Same,
};

/// What one connection sends again and again.
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{"a":1}}}"#;

/// What a row says beside its name.
struct Row {
    name: String,
    /// With all connections.
    loaded: Figure,
    /// With one.
    alone: Figure,
    /// The row that it is compared with.
    direct: usize,
}

/// What was found, as a table.
pub(crate) struct Report {
    timing: Timing,
    rows: Vec<Row>,
    nginx: Result<String, String>,
}

/// Measures every row.
pub(crate) fn measure(timing: Timing) -> Report {
    let (first, last) = cores();
    let load = pinned(last);
    let behind = pinned(first);
    let upstream = serve_upstream(&behind);
    let plain = gateway(first, upstream, ScopeRules { base: scope("mcp:read"), rules: vec![] });
    let reading = gateway(first, upstream, rules_about_tools());
    let [jwt, opaque] = [RESOURCE, OPAQUE_RESOURCE].map(|resource| token(&load, &plain, resource));
    let jwt_for_reading = token(&load, &reading, RESOURCE);

    let mut rows = Vec::new();
    let mut row = |name: &str, direct: usize, address: SocketAddr, request: Vec<u8>| {
        let talks = |count| boxes((0..count).map(|_| Same::new(request.clone())));
        let loaded = load.block_on(run(address, "\"status\":\"ok\"", talks(CONNECTIONS), timing));
        let alone = load.block_on(run(address, "\"status\":\"ok\"", talks(1), timing));
        eprintln!("{name}: {:.0}/s", loaded.rate);
        rows.push(Row { name: name.to_owned(), loaded, alone, direct });
    };
    let get_jwt = || get("mcp.example.com", "/mcp", Some(&jwt));
    let get_opaque = || get("files.example.com", "/", Some(&opaque));
    row("GET, nothing in between", 0, upstream, get("mcp.example.com", "/mcp", None));
    row("GET, gateway, ES256", 0, plain.address, get_jwt());
    row("GET, gateway, opaque token", 0, plain.address, get_opaque());
    row("POST, nothing in between", 3, upstream, call(None));
    row("POST, gateway, ES256, body passed", 3, plain.address, call(Some(&jwt)));
    row("POST, gateway, ES256, body read for a rule about tools", 3, reading.address, call(Some(&jwt_for_reading)));
    let nginx = std::thread::scope(|scope| {
        // A process runs where the thread that starts it may run.
        let start = || {
            core_affinity::set_for_current(first);
            Nginx::start(upstream, plain.address)
        };
        scope.spawn(start).join().unwrap()
    });
    if let Ok(nginx) = &nginx {
        row("GET, nginx, no authentication", 0, nginx.plain, get("mcp.example.com", "/mcp", None));
        row("GET, nginx, auth_request to gateward, ES256", 0, nginx.asking, get_jwt());
        row("GET, nginx, auth_request to gateward, opaque token", 0, nginx.asking, get_opaque());
    }
    let nginx = nginx.map(|nginx| nginx.version.clone());
    load.shutdown_timeout(Duration::from_secs(5));
    plain.stop();
    reading.stop();
    behind.shutdown_timeout(Duration::from_secs(5));
    Report { timing, rows, nginx }
}

/// The first and the last core that this process may use.
pub(crate) fn cores() -> (CoreId, CoreId) {
    let cores = core_affinity::get_core_ids().expect("cores that can be chosen");
    let (first, last) = (cores[0], cores[cores.len() - 1]);
    assert!(first != last, "generator and subject need a core each");
    (first, last)
}

/// One thread that stays on its core.
pub(crate) fn pinned(core: CoreId) -> Runtime {
    let stay = move || assert!(core_affinity::set_for_current(core), "a thread cannot be bound to its core");
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).on_thread_start(stay).enable_all().build().unwrap()
}

fn serve_upstream(runtime: &Runtime) -> SocketAddr {
    use axum::serve::ListenerExt;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    let routes = Router::new().fallback(async |_: Bytes| Json(json!({ "status": "ok" })));
    runtime.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

/// `gateward serve` with the resource of the tests that has JWTs, and the one that has opaque tokens, before the same upstream.
fn gateway(core: CoreId, upstream: SocketAddr, rules: ScopeRules) -> Subject {
    let site = |uri: &str| GuardedResource {
        uri: ResourceUri::parse(uri).unwrap(),
        name: "Notes".into(),
        rules: rules.clone(),
        scopes: scope("mcp:read mcp:execute"),
        upstream: Some(format!("http://{upstream}").parse().unwrap()),
        allowed_origins: vec![],
        trust_mcp_headers: false,
    };
    // As in `config/default.toml`.
    let options = GatewayOptions {
        body_limit: 4 * 1024 * 1024,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(60),
        recheck: Duration::from_secs(5),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let routes = |app: &App| {
        let gateway = Gateway::new(app, &clock, vec![site(RESOURCE), site(OPAQUE_RESOURCE)], &options).unwrap();
        gateway.around(router(app), app)
    };
    Subject::start_on(pinned(core), &place::everything_at("memory:"), routes).unwrap()
}

/// One rule that depends on the message, so that every message is read.
fn rules_about_tools() -> ScopeRules {
    let pattern = |text| Some(Pattern::parse(text).unwrap());
    let launch = ScopeRule {
        mcp_method: pattern("tools/call"),
        mcp_name: pattern("launch-*"),
        scope: scope("mcp:execute"),
        ..ScopeRule::default()
    };
    ScopeRules { base: scope("mcp:read"), rules: vec![launch] }
}

fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

/// An access token of the worker, from the token endpoint.
fn token(load: &Runtime, subject: &Subject, resource: &str) -> String {
    let form = Parameters::from([("grant_type", "client_credentials"), ("scope", "mcp:read"), ("resource", resource)]);
    let request = post(path::TOKEN, Some(&subject.callers.worker), &form.encode());
    let answers = load.block_on(each_once(subject, vec![request], "\"access_token\""));
    member(&answers[0], "access_token").to_owned()
}

fn get(host: &str, path: &str, token: Option<&str>) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: application/json\r\n{}\r\n", bearer(token)).into_bytes()
}

fn call(token: Option<&str>) -> Vec<u8> {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: mcp.example.com\r\naccept: application/json, text/event-stream\r\n\
         content-type: application/json\r\nmcp-protocol-version: 2025-11-25\r\n{}content-length: {}\r\n\r\n{CALL}",
        bearer(token),
        CALL.len()
    )
    .into_bytes()
}

fn bearer(token: Option<&str>) -> String {
    token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timing { warm_up, window } = self.timing;
        writeln!(
            f,
            "Over loopback, {window:?} for each figure after {warm_up:?} of warm-up. The generator has a core for itself; upstream, \
             gateward and nginx (one worker) share the other one, so requests/s count the work of all of them together.\n"
        )?;
        let alone = |what: &str| format!("1 connection: {what}");
        let titles = [
            "requests/s".to_owned(),
            "of nothing in between".to_owned(),
            format!("{CONNECTIONS} connections: p50 / p99, ms"),
            alone("p50 / p99, us"),
            alone("added p50, us"),
        ];
        let width = titles.len();
        line(f, &format!("{CONNECTIONS} connections"), titles.into_iter())?;
        line(f, "---", (0..width).map(|_| "---:".to_owned()))?;
        for row in &self.rows {
            let direct = &self.rows[row.direct];
            let micros = |time: Duration| time.as_micros();
            let cells = [
                count(row.loaded.rate),
                format!("{:.2}", row.loaded.rate / direct.loaded.rate),
                format!("{} / {}", millis(row.loaded.p50), millis(row.loaded.p99)),
                format!("{} / {}", micros(row.alone.p50), micros(row.alone.p99)),
                (row.alone.p50.as_micros() as i128 - direct.alone.p50.as_micros() as i128).to_string(),
            ];
            line(f, &row.name, cells.into_iter())?;
        }
        writeln!(f)?;
        match &self.nginx {
            Ok(version) => writeln!(f, "- {version}, configured as `benches/load/nginx.rs` says."),
            Err(why) => writeln!(f, "- nginx: not measured: {why}."),
        }
    }
}
