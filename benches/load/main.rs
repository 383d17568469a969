//! Requests per second and latencies over real sockets, on every store, beside what the engine does without this server.
//!
//! ```text
//! cargo bench --features testing --bench load
//! cargo bench --features testing --bench load -- gateway
//! cargo bench --features testing --bench load -- attack
//! ```
//!
//! The second one measures the gateway; see `gateway.rs`. The third one measures honest traffic under attack; see `attack/`. What follows
//! is about the first one.
//!
//! # What is measured
//!
//! The router, the serve loop, the rules, ES256 signatures and the store, as `gateward serve` puts them together, on a TCP
//! listener of the loopback interface. 64 connections stay open and ask one request at a time each. After a warm-up of a
//! second every answer within the window counts; it must be a 200 with the right member in its body, or the bench stops. The
//! first row is `/livez`, which does nothing: the limit of the sockets, of hyper and of the generator.
//!
//! Rows that write do it in one step of the store each: an opaque token, the rotation of a refresh token (every connection has
//! a chain of its own), the exchange of a code (the codes are put into the store beforehand, without login and consent). Such a
//! step touches several rows and comes after questions to the same store about the client and the credential, while the limit
//! beside it is one row of 32 bytes and nothing else.
//!
//! # What is not
//!
//! - **Generator, server and database share the processors**, so every figure is a floor. So are the limits of the engines,
//!   which share them with `pgbench` or `redis-benchmark`.
//! - No log is written, nothing is purged, TLS and the network between machines are missing, and so are login and consent.
//! - The limit of Postgres is for as many connections as the server's pool has (16); that of Redis for 64, without pipelining,
//!   while the server sends the commands of all requests over one connection, so its ratio may be over 1.
//! - The limit of SQLite is serial: it has one writer, and every transaction waits for the disk. The server commits what has
//!   arrived meanwhile together, so its ratio to one row for each commit may be over 1; the row with 64 for each commit says
//!   where that ends.
//! - `memory:` is compared with signatures on all cores, the most expensive thing that is left.
//!
//! # Settings
//!
//! | variable | |
//! |---|---|
//! | `GATEWARD_LOAD_SECONDS` | how long each figure is measured, 1 to 60; 3 if it is not set |
//! | `GATEWARD_TEST_POSTGRES` | a Postgres that may be played with, and whose user may create databases; needs `psql` and `pgbench` |
//! | `GATEWARD_TEST_REDIS` | a Redis, likewise; needs `redis-cli` and `redis-benchmark` |
//! | `GATEWARD_TEST_NGINX` | an nginx to compare the gateway with; the one in `PATH` if it is not set |
//!
//! Both URLs are without parameters of the server's own. What is made there (a database, keys with a prefix) has a random name
//! and is removed at the end. Where one is missing, its figures are "not measured".

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark may stop, and prints what it finds"
)]

mod attack;
mod engine;
mod gateway;
mod generator;
mod nginx;
mod place;
mod subject;
mod table;
mod talk;

use std::{sync::Arc, time::Duration};

use gateward::{
    http::path,
    testing::server::{OPAQUE_RESOURCE, Parameters},
};

use self::{
    generator::{CONNECTIONS, Connection, Figure, Talk, Timing, get, member, post, run},
    place::{Database, Keys},
    subject::{APP, Subject},
    table::{Column, Limit, Report},
    talk::{Chain, Codes, Same},
};

/// More codes than this are not put into a store beforehand; where they are spent sooner, the window ends sooner.
const MOST_CODES: usize = 200_000;

/// What each row is called, in the order of [`Figures`].
const ROWS: [&str; 7] = [
    "`GET /livez`, nothing behind it",
    "client_credentials, JWT",
    "client_credentials, opaque token (1 write)",
    "refresh (1 write)",
    "code exchange (1 write)",
    "introspection, JWT of a human's grant",
    "introspection, opaque token",
];

/// Where one signature is made for each request.
const SIGNING: &[usize] = &[1, 3, 4];

/// Where one record is made for each request.
const WRITING: &[usize] = &[2, 3, 4];

type Figures = [Figure; ROWS.len()];

fn main() {
    // `cargo test --benches` and `cargo nextest` only want to know whether it can be built.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = variable("GATEWARD_LOAD_SECONDS").map_or(3, |text| text.parse().expect("a number of seconds"));
    let timing =
        Timing { warm_up: Duration::from_secs(1), window: Duration::from_secs(seconds).clamp(SHORTEST, LONGEST) };
    if std::env::args().any(|argument| argument == "gateway") {
        println!("{}", gateway::measure(timing));
        return;
    }
    if std::env::args().any(|argument| argument == "attack") {
        println!("{}", attack::measure());
        return;
    }
    let report = Report {
        timing,
        columns: vec![memory(timing), sqlite(timing), postgres(timing), redis(timing), postgres_and_redis(timing)],
    };
    println!("{report}");
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

fn memory(timing: Timing) -> Column {
    let rate = Ok(engine::signatures(timing.window));
    let limits = vec![Limit { what: "ES256 signatures on all cores", rows: SIGNING, rate }];
    let figures = measure(&place::everything_at("memory:"), timing);
    Column { name: "memory", figures, limits, settings: None }
}

fn sqlite(timing: Timing) -> Column {
    // Not where temporary files go, which may be memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let rate = |batch| Ok(engine::sqlite(directory.path(), batch, timing.window));
    let limit = |what, batch| Limit { what, rows: WRITING, rate: rate(batch) };
    let limits = vec![limit("INSERT, 1 for each commit, serial", 1), limit("INSERT, 64 for each commit, serial", 64)];
    let figures =
        measure(&place::everything_at(&format!("sqlite:{}", directory.path().join("load.db").display())), timing);
    Column { name: "SQLite", figures, limits, settings: Some("synchronous FULL, WAL".to_owned()) }
}

fn postgres(timing: Timing) -> Column {
    let name = "Postgres";
    let database = match Database::create() {
        Ok(database) => database,
        Err(why) => return Column::not_measured(name, why),
    };
    let rate = engine::postgres(database.url(), timing.window);
    let limit = Limit { what: "pgbench, INSERT, 16 connections", rows: WRITING, rate };
    let figures = measure(&place::everything_at(database.url()), timing);
    Column { name, figures, limits: vec![limit], settings: engine::postgres_settings(database.url()).ok() }
}

fn redis(timing: Timing) -> Column {
    let name = "Redis";
    let keys = match Keys::choose() {
        Ok(keys) => keys,
        Err(why) => return Column::not_measured(name, why),
    };
    let limit = redis_limit(&keys, timing);
    let figures = measure(&place::everything_at(&keys.store_url()), timing);
    Column { name, figures, limits: vec![limit], settings: engine::redis_settings(keys.url()).ok() }
}

/// Tokens in Redis, everything else in Postgres.
fn postgres_and_redis(timing: Timing) -> Column {
    let name = "Postgres + Redis";
    let (database, keys) = match (Database::create(), Keys::choose()) {
        (Ok(database), Ok(keys)) => (database, keys),
        (Err(why), _) | (_, Err(why)) => return Column::not_measured(name, why),
    };
    let limit = redis_limit(&keys, timing);
    let figures = measure(&place::tokens_apart(database.url(), &keys.store_url()), timing);
    Column { name, figures, limits: vec![limit], settings: None }
}

fn redis_limit(keys: &Keys, timing: Timing) -> Limit {
    let rate = engine::redis(keys.url(), keys.prefix(), timing.window);
    Limit { what: "redis-benchmark, SET, 64 connections", rows: WRITING, rate }
}

/// Every row on one store. `Err` says why the store could not be opened; anything else that goes wrong stops the bench.
fn measure(urls: &gateward::store::StoreUrls, timing: Timing) -> Result<Figures, String> {
    let subject = Subject::start(urls)?;
    let load = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let measured = |row: usize, marker, talks| {
        let figure = load.block_on(run(subject.address, marker, talks, timing));
        eprintln!("{}: {:.0}/s", ROWS[row], figure.rate);
        figure
    };
    let alike = |request: Vec<u8>| boxes((0..CONNECTIONS).map(|_| Same::new(request.clone())));
    let token = |form: &Parameters, caller: Option<&str>| post(path::TOKEN, caller, &form.encode());

    // One code for each connection: its refresh token is the start of a chain, its JWT is introspected later.
    let mut codes = subject.open_grants(CONNECTIONS).into_iter();
    let redeem = (0..CONNECTIONS).map(|_| token(&talk::redemption(&codes.next().unwrap()), None)).collect();
    let tokens = load.block_on(each_once(&subject, redeem, "\"refresh_token\":\"gw_rt_"));
    let worker = Some(subject.callers.worker.as_str());
    let opaque = Parameters::from([("grant_type", "client_credentials"), ("resource", OPAQUE_RESOURCE)]);
    let opaque = token(&opaque, worker);
    let opaque_tokens = vec![opaque.clone(); CONNECTIONS];
    let opaque_tokens = load.block_on(each_once(&subject, opaque_tokens, "\"access_token\":\"gw_at_"));
    let about = |answers: &[Vec<u8>], caller: &str| {
        let ask = |answer: &Vec<u8>| {
            let form = Parameters::from([("token", member(answer, "access_token"))]);
            Same::new(post(path::INTROSPECT, Some(caller), &form.encode()))
        };
        boxes(answers.iter().map(ask))
    };

    let nothing = measured(0, "\"status\":\"ok\"", alike(get("/livez")));
    let form = Parameters::from([("grant_type", "client_credentials"), ("scope", "mcp:read")]);
    let machine = measured(1, "\"access_token\":\"eyJ", alike(token(&form, worker)));
    let opaque = measured(2, "\"access_token\":\"gw_at_", alike(opaque));
    let chains = boxes(tokens.iter().map(|answer| Chain::starting_with(member(answer, "refresh_token"), APP)));
    let refresh = measured(3, "\"refresh_token\":\"gw_rt_", chains);
    // Some more than there will be time for, if an exchange is about as fast as a rotation.
    let enough = 1.3 * refresh.rate * (timing.warm_up + timing.window).as_secs_f64();
    let codes = Arc::new(Codes::new(subject.open_grants((enough as usize).clamp(CONNECTIONS, MOST_CODES))));
    let exchange = measured(4, "\"refresh_token\":\"gw_rt_", boxes((0..CONNECTIONS).map(|_| codes.share())));
    let jwt = measured(5, "\"active\":true", about(&tokens, &subject.callers.resource_server));
    let known = measured(6, "\"active\":true", about(&opaque_tokens, &subject.callers.opaque_resource_server));
    load.shutdown_timeout(Duration::from_secs(5));
    subject.stop();
    Ok([nothing, machine, opaque, refresh, exchange, jwt, known])
}

fn boxes<T: Talk + 'static>(talks: impl Iterator<Item = T>) -> Vec<Box<dyn Talk>> {
    talks.map(|talk| Box::new(talk) as Box<dyn Talk>).collect()
}

/// The answers to some requests, one after the other.
async fn each_once(subject: &Subject, requests: Vec<Vec<u8>>, marker: &str) -> Vec<Vec<u8>> {
    let mut connection = Connection::open(subject.address).await;
    let mut answers = Vec::new();
    for request in requests {
        answers.push(connection.exchange(&request, marker).await.to_vec());
    }
    answers
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is set up by its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
