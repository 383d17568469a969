//! A worker that gets tokens, and an MCP server that asks about them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use gateward::{http::path, testing::server::Parameters};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{MCP_SERVER, WORKER, wire::Wire};
use crate::generator::{now, post};
use crate::program::basic;

/// Between two questions of one of them.
const PERIOD: Duration = Duration::from_millis(10);
/// Whoever gets no answer within this has failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the honest waited.
pub(super) struct Waited {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// Other answers than 200, and none.
    pub(super) errors: usize,
}

/// Both, until `end`; what comes before `from` does not count.
pub(super) async fn ask(to: SocketAddr, from: Duration, end: Duration) -> Waited {
    let grant = Parameters::from([("grant_type", "client_credentials")]);
    let token = post(path::TOKEN, Some(&basic("worker")), &grant.encode());
    let first = exchange(&mut None, WORKER, to, &token).await.expect("a token while nobody attacks yet");
    let (_, rest) = first.split_once("\"access_token\":\"").expect("a token");
    let about = Parameters::from([("token", rest.split('"').next().unwrap_or_default())]);
    let question = post(path::INTROSPECT, Some(&basic("mcp")), &about.encode());
    let (worker, server) = tokio::join!(paced(WORKER, to, &token, end), paced(MCP_SERVER, to, &question, end));
    let seen: Vec<_> = [worker, server].concat().into_iter().filter(|(at, _)| *at >= from).collect();
    let mut waited: Vec<Duration> = seen.iter().filter_map(|(_, waited)| *waited).collect();
    waited.sort_unstable();
    let share = |hundredth: usize| waited.get((waited.len().max(1) - 1) * hundredth / 100).copied().unwrap_or(PATIENCE);
    Waited { p50: share(50), p99: share(99), errors: seen.len() - waited.len() }
}

/// When each question was meant to be asked, and how long its answer took from then on, if it was a 200.
async fn paced(address: Ipv4Addr, to: SocketAddr, request: &[u8], end: Duration) -> Vec<(Duration, Option<Duration>)> {
    let start = Instant::from_std(now());
    let mut ticks = interval_at(start, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut connection = None;
    let mut seen = Vec::new();
    loop {
        let meant = ticks.tick().await;
        if meant - start >= end {
            return seen;
        }
        let answer = timeout(PATIENCE, exchange(&mut connection, address, to, request)).await;
        if answer.is_err() {
            connection = None;
        }
        let answered = answer.ok().flatten().is_some();
        seen.push((meant - start, answered.then(|| Instant::from_std(now()) - meant)));
    }
}

/// The body of a 200. A connection that the server has closed is opened again.
async fn exchange(connection: &mut Option<Wire>, address: Ipv4Addr, to: SocketAddr, request: &[u8]) -> Option<String> {
    let mut wire = match connection.take() {
        Some(wire) => wire,
        None => Wire::open(address, to).await.ok()?,
    };
    wire.send(request).await.ok()?;
    let answer = wire.answer().await.ok()?;
    if answer.keeps {
        *connection = Some(wire);
    }
    (answer.status == "200").then_some(answer.text)
}
