//! The gateway beside the same upstream without it, and beside nginx.
//!
//! ```text
//! cargo bench --features testing --bench load -- gateway
//! ```
//!
//! The load generator has the last core for itself. Everything that it measures shares the first one: the upstream (axum, a small
//! JSON answer), `gateward serve` with its memory store, and nginx with one worker. So requests per second say how much work one request is
//! for all of them together, not how many a gateway on a core of its own would do; and the difference to the row without anything in
//! between is what that costs. Latency under full load is only the length of the queue, which is the number of connections; so it is
//! measured again with one connection, where nothing waits: what is added there is what a client notices.

use std::{fmt, net::SocketAddr, time::Duration};

use axum::{Json, Router, body::Bytes};
use gateward::{
    http::path,
    testing::server::{OPAQUE_RESOURCE, Parameters, RESOURCE},
};
use serde_json::json;
use tokio::{net::TcpListener, runtime::Runtime};

use crate::{
    cores,
    generator::{Asking, CONNECTIONS, Timing, member, ok, post},
    nginx::Nginx,
    program::{Place, Program, basic},
    table::{count, line, millis},
    talk::{Same, boxes},
    turns::{self, Contender, Measured},
};

/// What one connection sends again and again.
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{"a":1}}}"#;

/// What is asked for in one row.
struct Ask {
    name: &'static str,
    /// The row that it is compared with.
    direct: usize,
    address: SocketAddr,
    request: Vec<u8>,
}

/// What a row says beside its name.
struct Row {
    name: &'static str,
    /// With all connections.
    loaded: Measured,
    /// With one.
    alone: Measured,
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
    let load = cores::pinned(cores::asking());
    let behind = cores::pinned(cores::working());
    let upstream = serve_upstream(&behind);
    let [plain, reading] = ["", ABOUT_TOOLS].map(|rules| {
        let gateway = format!("required_scope = \"mcp:read\"\nupstream = \"http://{upstream}\"\n{rules}");
        Program::start(&Place::at("memory:"), &gateway).unwrap()
    });
    let [jwt, opaque] = [RESOURCE, OPAQUE_RESOURCE].map(|resource| token(&load, &plain, resource));
    let jwt_for_reading = token(&load, &reading, RESOURCE);

    let nginx = cores::on(cores::working(), || Nginx::start(upstream, plain.address));

    let mut asks = Vec::new();
    let mut row = |name, direct, address, request| asks.push(Ask { name, direct, address, request });
    let get_jwt = || get("mcp.example.com", "/mcp", Some(&jwt));
    let get_opaque = || get("files.example.com", "/", Some(&opaque));
    row("GET, nothing in between", 0, upstream, get("mcp.example.com", "/mcp", None));
    row("GET, gateway, ES256", 0, plain.address, get_jwt());
    row("GET, gateway, opaque token", 0, plain.address, get_opaque());
    row("POST, nothing in between", 3, upstream, call(None));
    row("POST, gateway, ES256, body passed", 3, plain.address, call(Some(&jwt)));
    row("POST, gateway, ES256, body read for a rule about tools", 3, reading.address, call(Some(&jwt_for_reading)));
    if let Ok(nginx) = &nginx {
        row("GET, nginx, no authentication", 0, nginx.plain, get("mcp.example.com", "/mcp", None));
        row("GET, nginx, auth_request to gateward, ES256", 0, nginx.asking, get_jwt());
        row("GET, nginx, auth_request to gateward, opaque token", 0, nginx.asking, get_opaque());
    }
    let rows = rows(&asks, &load, timing);
    let nginx = nginx.map(|nginx| nginx.version.clone());
    load.shutdown_timeout(Duration::from_secs(5));
    drop((plain, reading));
    behind.shutdown_timeout(Duration::from_secs(5));
    Report { timing, rows, nginx }
}

/// Every row in turns with the others, with all connections and then with one.
fn rows(asks: &[Ask], load: &Runtime, timing: Timing) -> Vec<Row> {
    let answer = ok("\"status\":\"ok\"");
    let measure = |connections: usize| {
        let asking = |Ask { address, request, .. }: &Ask| {
            let talks = boxes((0..connections).map(|_| Same::new(request.clone())));
            Contender { asking: load.block_on(Asking::open(*address, answer, talks)), used: None }
        };
        turns::measure(load, &mut asks.iter().map(asking).collect::<Vec<_>>(), timing)
    };
    let (loaded, alone) = (measure(CONNECTIONS), measure(1));
    let rows = asks.iter().zip(loaded).zip(alone);
    rows.map(|((ask, loaded), alone)| Row { name: ask.name, loaded, alone, direct: ask.direct }).collect()
}

/// One rule that depends on the message, so that every message is read.
const ABOUT_TOOLS: &str =
    "[[resources.rules]]\nmcp_method = \"tools/call\"\nmcp_name = \"launch-*\"\nscope = \"mcp:execute\"\n";

fn serve_upstream(runtime: &Runtime) -> SocketAddr {
    use axum::serve::ListenerExt;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    let routes = Router::new().fallback(async |_: Bytes| Json(json!({ "status": "ok" })));
    runtime.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

/// An access token of the worker, from the token endpoint.
fn token(load: &Runtime, program: &Program, resource: &str) -> String {
    let form = Parameters::from([("grant_type", "client_credentials"), ("scope", "mcp:read"), ("resource", resource)]);
    let request = post(path::TOKEN, Some(&basic("worker")), &form.encode());
    let answers = program.each_once(load, vec![request], ok("\"access_token\""));
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
            "Over loopback, {window:?} for each figure after {warm_up:?} of warm-up, in turns. The generator has a core for itself; upstream, \
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
                count(row.loaded.figure.rate),
                row.loaded.of(&direct.loaded).to_string(),
                format!("{} / {}", millis(row.loaded.figure.p50), millis(row.loaded.figure.p99)),
                format!("{} / {}", micros(row.alone.figure.p50), micros(row.alone.figure.p99)),
                (row.alone.figure.p50.as_micros() as i128 - direct.alone.figure.p50.as_micros() as i128).to_string(),
            ];
            line(f, row.name, cells.into_iter())?;
        }
        writeln!(f)?;
        match &self.nginx {
            Ok(version) => writeln!(f, "- {version}, configured as `benches/load/nginx.rs` says."),
            Err(why) => writeln!(f, "- nginx: not measured: {why}."),
        }
    }
}
