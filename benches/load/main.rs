//! Requests per second and latencies of the program itself over real sockets, beside what can be had at the most.
//!
//! ```text
//! cargo bench --features testing --bench load             every operation, on every store
//! cargo bench --features testing --bench load -- memory   every operation, without a database
//! cargo bench --features testing --bench load -- gateway  the gateway, beside no gateway and nginx
//! cargo bench --features testing --bench load -- attack   honest traffic while somebody attacks
//! cargo bench --features testing --bench load -- growth   a Postgres that holds up to 10^7 tokens; takes some minutes
//! ```
//!
//! # What is measured
//!
//! `gateward serve`, built for release, with a configuration file of its own: sockets, HTTP, rules, signatures, store, log and
//! limits as an operator gets them. It has the first core for itself and the load generator the last one; 32 connections stay
//! open and ask one request at a time each. After a warm-up of half a second every answer within the window counts; it must be the
//! expected one, or the bench stops.
//!
//! Beside it, on the same core and under the same load: axum that does only what the operation cannot do without (`bare.rs`), once
//! bare and once under the layers that every such service has. Where a signature is made, that is nearly all of it. With memory as the
//! store, the three take turns at each operation, a quarter of a second each; the ratio is the median of the turns' ratios, and beside it is
//! what a quarter of the turns were below and above.
//!
//! Rows that write do it in one step of the store each: an opaque token, the rotation of a refresh token (every connection has
//! a chain of its own), a code for a browser that is logged in and agreed before, and its exchange. Such a step touches several rows
//! and comes after questions to the same store, while the limit of an engine is one row of 32 bytes and nothing else. The server
//! remembers what it issued (`stores.issued_copies`), so it need not look up a code or a refresh token; "issued elsewhere" is without.
//!
//! # What is not
//!
//! - **Databases share the two cores** with generator and server, so the figures of stores other than memory are a floor. So are
//!   the limits of the engines, which share them with `pgbench` or `redis-benchmark`.
//! - TLS, the network between machines, passwords and the consent page are missing.
//! - The limit of Postgres is for as many connections as the server's pool has (16); that of Redis for as many as the generator has,
//!   without pipelining, while the server sends the commands of all requests over one connection.
//! - The limit of SQLite is serial: it has one writer, and every transaction waits for the disk. The server commits what has
//!   arrived meanwhile together; the row with 64 for each commit says where that ends.
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
mod bare;
mod cores;
mod engine;
mod gateway;
mod generator;
mod growth;
mod nginx;
mod place;
mod program;
mod rows;
mod table;
mod talk;
mod turns;
mod weight;

use std::time::Duration;

use tokio::runtime::Runtime;

use self::{
    bare::Bare,
    generator::{Timing, get, ok},
    place::{Database, Keys},
    program::{FORGETS, Place, Program, REMEMBERS, secret_of},
    rows::Figures,
    table::{Column, Limit, Limits, Report},
};

/// As in the program, so that the limits beside it are not another allocator's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

fn main() {
    // `cargo test --benches` and `cargo nextest` only want to know whether it can be built.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = variable("GATEWARD_LOAD_SECONDS").map_or(3, |text| text.parse().expect("a number of seconds"));
    let timing =
        Timing { warm_up: Duration::from_millis(500), window: Duration::from_secs(seconds).clamp(SHORTEST, LONGEST) };
    let asked = |mode: &str| std::env::args().any(|argument| argument == mode);
    if asked("gateway") {
        println!("{}", gateway::measure(timing));
        return;
    }
    if asked("attack") {
        println!("{}", attack::measure());
        return;
    }
    let load = cores::pinned(cores::asking());
    if asked("growth") {
        println!("{}", growth::measure(&load, timing).expect("a Postgres that can be filled"));
        return;
    }
    let (memory, limits) = memory(&load, timing);
    let mut columns = vec![memory];
    if !asked("memory") {
        columns.push(sqlite(&load, timing));
        columns.push(postgres("Postgres", REMEMBERS, &load, timing));
        columns.push(postgres("Postgres, issued elsewhere", FORGETS, &load, timing));
        columns.push(redis("Redis", REMEMBERS, &load, timing));
        columns.push(redis("Redis, issued elsewhere", FORGETS, &load, timing));
        columns.push(postgres_and_redis(&load, timing));
    }
    println!("{}{}", Report { timing, limits, columns }, weight::measure(&load));
    load.shutdown_timeout(Duration::from_secs(5));
}

fn memory(load: &Runtime, timing: Timing) -> (Column, Limits) {
    let program = Program::start(&Place::at("memory:"), "").expect("memory needs nothing");
    let document = program.each_once(load, vec![get(gateward::http::path::METADATA)], ok("\"issuer\":")).remove(0);
    let (_, document) = document.split_once("\r\n\r\n").unwrap();
    let [bare, layered] = [false, true].map(|layered| Bare::start(document, &secret_of("worker"), layered));
    let mut found = rows::compared(&program, &[&bare, &layered], load, timing).into_iter();
    let mut next = || found.next().expect("figures of each");
    let (figures, of_bare, of_layered) = (next(), next(), next());
    bare.stop();
    layered.stop();
    let limits = Limits { bare: of_bare, layered: of_layered, signatures: engine::signatures(timing.window) };
    (Column { name: "memory", figures: Ok(figures), limits: vec![], settings: None }, limits)
}

/// Every row on one store. `Err` says why the store could not be opened; anything else that goes wrong stops the bench.
fn measure(place: &Place, load: &Runtime, timing: Timing) -> Result<Figures, String> {
    Ok(rows::program(&Program::start(place, "")?, load, timing))
}

fn sqlite(load: &Runtime, timing: Timing) -> Column {
    // Not where temporary files go, which may be memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let limit = |what, batch| Limit { what, rate: Ok(engine::sqlite(directory.path(), batch, timing.window)) };
    let limits = vec![limit("INSERT, 1 for each commit, serial", 1), limit("INSERT, 64 for each commit, serial", 64)];
    let place = Place::at(&format!("sqlite:{}", directory.path().join("load.db").display()));
    let figures = measure(&place, load, timing);
    Column { name: "SQLite", figures, limits, settings: Some("synchronous FULL, WAL".to_owned()) }
}

fn postgres(name: &'static str, settings: &'static str, load: &Runtime, timing: Timing) -> Column {
    let database = match Database::create() {
        Ok(database) => database,
        Err(why) => return Column::not_measured(name, why),
    };
    let rate = engine::postgres(database.url(), timing.window);
    let limit = Limit { what: "pgbench, INSERT of 32 bytes, 16 connections", rate };
    let figures = measure(&Place { settings, ..Place::at(database.url()) }, load, timing);
    Column { name, figures, limits: vec![limit], settings: engine::postgres_settings(database.url()).ok() }
}

fn redis(name: &'static str, settings: &'static str, load: &Runtime, timing: Timing) -> Column {
    let keys = match Keys::choose() {
        Ok(keys) => keys,
        Err(why) => return Column::not_measured(name, why),
    };
    let limit = redis_limit(&keys, timing);
    let figures = measure(&Place { settings, ..Place::at(&keys.store_url()) }, load, timing);
    Column { name, figures, limits: vec![limit], settings: engine::redis_settings(keys.url()).ok() }
}

/// Tokens in Redis, everything else in Postgres.
fn postgres_and_redis(load: &Runtime, timing: Timing) -> Column {
    let name = "Postgres + Redis";
    let (database, keys) = match (Database::create(), Keys::choose()) {
        (Ok(database), Ok(keys)) => (database, keys),
        (Err(why), _) | (_, Err(why)) => return Column::not_measured(name, why),
    };
    let limit = redis_limit(&keys, timing);
    let place = Place { tokens: Some(keys.store_url()), ..Place::at(database.url()) };
    let figures = measure(&place, load, timing);
    Column { name, figures, limits: vec![limit], settings: None }
}

fn redis_limit(keys: &Keys, timing: Timing) -> Limit {
    let rate = engine::redis(keys.url(), keys.prefix(), timing.window);
    Limit { what: "redis-benchmark, SET of 32 bytes", rate }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is set up by its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
