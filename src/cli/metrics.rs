//! What is measured beside requests and the calls of stores, and where all of it is read.

use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};

use super::{certificate::Certificate, compose::Assembly, failure::Failure, output, process};
use crate::{
    adapter::{audit::Trail, keyring::Keyring, password::Argon2Hasher},
    domain::{key::KeyPhase, time::Timestamp},
    http::{App, serve_metrics},
    metrics::{Counter, Gauge, Labels, Metrics},
    port::{clock::Clock, store::StoreError},
    service::maintain::Purged,
};

/// Takes the address where figures are read, if there is to be one.
pub(super) async fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Failure::configuration(format!("cannot listen on {address}: {error}; see metrics.listen")))?;
    Ok(Some(listener))
}

/// What goes on for the sake of figures.
pub(super) struct Measured {
    pub(super) purges: Purges,
    pub(super) reading: JoinHandle<()>,
}

/// Tells whatever is known at any time, and lets it be read at `listener`.
pub(super) fn start(
    listener: Option<TcpListener>,
    app: &App,
    assembly: &mut Assembly,
    certificate: Option<Arc<Certificate>>,
) -> Result<Option<Measured>, Failure> {
    let (Some(listener), Some(mut metrics)) = (listener, assembly.metrics.take()) else { return Ok(None) };
    app.measure(&mut metrics);
    keys(&mut metrics, assembly.keyring.clone(), assembly.clock.clone());
    passwords(&mut metrics, assembly.passwords.clone());
    gaps(&mut metrics, assembly.trail.clone());
    if let Some(certificate) = certificate {
        expiry(&mut metrics, certificate);
    }
    process::measure(&mut metrics, assembly.now());
    let purges = Purges::new(&mut metrics);
    if let Ok(address) = listener.local_addr() {
        output::line(&format!("metrics at http://{address}/metrics"))?;
    }
    Ok(Some(Measured { purges, reading: tokio::spawn(serve_metrics(listener, Arc::new(metrics))) }))
}

fn keys(metrics: &mut Metrics, keyring: Arc<Keyring>, clock: Arc<dyn Clock>) {
    let read = move || {
        let now = clock.now();
        let signing = keyring.keys(now).into_iter().filter(|(_, phase)| *phase == KeyPhase::Signing);
        let age = |signs_from| now.since(signs_from).as_secs_f64();
        signing.map(|(key, _)| (vec![("algorithm", key.algorithm.as_str())], age(key.signs_from))).collect()
    };
    metrics.readings("gateward_signing_key_age_seconds", "For how long the key of an algorithm has been signing", read);
}

fn expiry(metrics: &mut Metrics, certificate: Arc<Certificate>) {
    let read = move || vec![(vec![], certificate.expires().unix() as f64)];
    metrics.readings(
        "gateward_certificate_expiry_timestamp_seconds",
        "When the certificate of this server expires",
        read,
    );
}

fn passwords(metrics: &mut Metrics, passwords: Arc<Argon2Hasher>) {
    let read = move || {
        let load = passwords.load();
        let of = |state, count: usize| -> (Labels, f64) { (vec![("state", state)], count as f64) };
        vec![of("running", load.running), of("waiting", load.waiting), of("free", load.free)]
    };
    metrics.readings(
        "gateward_password_hashes",
        "Passwords that are hashed, that wait for it, and that could wait",
        read,
    );
}

fn gaps(metrics: &mut Metrics, trail: Arc<Trail>) {
    let read = move || vec![(vec![], trail.given_up() as f64)];
    metrics.totals("gateward_audit_unwritten", "Events that the audit trail could not keep: the log has them", read);
}

/// What is told about forgetting what has expired.
#[derive(Debug, Clone)]
pub(super) struct Purges {
    forgotten: [Counter; 5],
    failures: Counter,
    last_success: Gauge,
}

impl Purges {
    fn new(metrics: &mut Metrics) -> Self {
        let rows = metrics.counters("gateward_purged_rows", "What had expired and was forgotten");
        Self {
            forgotten: ["tokens", "accounts", "clients", "tombstones", "audit"]
                .map(|kind| rows.with(vec![("kind", kind)])),
            failures: metrics.counter("gateward_purge_failures", "Purges that a store did not let come to their end"),
            last_success: metrics.gauge(
                "gateward_purge_last_success_timestamp_seconds",
                "When everything that had expired was forgotten the last time; 0: not since the start",
            ),
        }
    }

    /// A purge has ended.
    pub(super) fn note(&self, purged: &Result<Purged, StoreError>, now: Timestamp) {
        match purged {
            Ok(Purged { tokens, accounts, clients, tombstones, audit }) => {
                for (counter, rows) in self.forgotten.iter().zip([tokens, accounts, clients, tombstones, audit]) {
                    counter.inc_by(*rows);
                }
                self.last_success.set(now.unix());
            }
            Err(_) => {
                self.failures.inc();
            }
        }
    }
}
