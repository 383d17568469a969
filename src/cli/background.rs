//! What a server does besides answering: keys are read anew and rotated on schedule, what has expired is forgotten.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tracing::{debug, error, info};

use crate::{
    adapter::keyring::Keyring,
    http::{App, respond::log_failure},
    port::clock::Clock,
};

/// How often the key store is read: what another instance or `gateward key rotate` did takes effect within this time.
const KEYS: Duration = Duration::from_secs(30);
/// How often what has expired is forgotten.
const PURGE: Duration = Duration::from_secs(60);

/// Starts the work; it ends when the handles are aborted.
pub(super) fn start(app: &App, keyring: &Arc<Keyring>, clock: &Arc<dyn Clock>) -> Vec<JoinHandle<()>> {
    let (keyring, keys_clock) = (keyring.clone(), clock.clone());
    let keys = every(KEYS, move || {
        let (keyring, now) = (keyring.clone(), keys_clock.now());
        async move {
            match keyring.maintain(now).await {
                Ok(done) if done.added.is_empty() && done.removed.is_empty() => {}
                Ok(done) => info!(added = ?done.added, removed = ?done.removed, "signing keys changed"),
                Err(error) => log_failure(&error),
            }
        }
    });
    let (app, purge_clock) = (app.clone(), clock.clone());
    let purge = every(PURGE, move || {
        let (app, now) = (app.clone(), purge_clock.now());
        async move {
            app.forget_idle_senders();
            match app.authority().purge(now).await {
                Ok(purged) if purged.is_empty() => debug!("nothing to forget"),
                Ok(purged) => info!(?purged, "forgot what has expired"),
                Err(failure) => error!(error = %failure, "cannot forget what has expired"),
            }
        }
    });
    vec![keys, purge]
}

fn every<F: Future<Output = ()> + Send>(
    period: Duration,
    mut work: impl FnMut() -> F + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            work().await;
        }
    })
}
