//! What a server does besides answering: keys are read anew and rotated on schedule, what has expired is forgotten, and what
//! other instances changed is noted.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tracing::{debug, error, info};

use super::{certificate::Certificate, compose::Assembly, metrics::Measured};
use crate::{
    adapter::keyring::{Keyring, KeyringError},
    domain::{
        audit::{Action, Event, Reason},
        time::Timestamp,
    },
    http::{App, respond::log_failure},
    port::{
        clock::Clock,
        store::{Change, ChangeFeed},
    },
    service::Authority,
    store::Stores,
};

/// How often the key store is read: what another instance or `gateward key rotate` did takes effect within this time even if
/// the news of it are lost.
const KEYS: Duration = Duration::from_secs(10);
/// How often what has expired is forgotten.
const PURGE: Duration = Duration::from_secs(60);

/// Starts the work; it ends when the handles are aborted.
pub(super) fn start(app: &App, assembly: &Assembly, measured: Option<Measured>) -> Vec<JoinHandle<()>> {
    let (purges, reading) = measured.map(|measured| (measured.purges, measured.reading)).unzip();
    let keys = Keys {
        authority: assembly.authority.clone(),
        keyring: assembly.keyring.clone(),
        clock: assembly.clock.clone(),
    };
    let maintained = keys.clone();
    let maintenance = every(KEYS, move || {
        let keys = maintained.clone();
        async move { keys.maintain().await }
    });
    let (app, clock) = (app.clone(), assembly.clock.clone());
    let purge = every(PURGE, move || {
        let (app, now, purges) = (app.clone(), clock.now(), purges.clone());
        async move {
            app.forget_idle_senders();
            let purged = app.authority().purge(now).await;
            if let Some(purges) = purges {
                purges.note(&purged, now);
            }
            match purged {
                Ok(purged) if purged.is_empty() => debug!("nothing to forget"),
                Ok(purged) => info!(?purged, "forgot what has expired"),
                Err(failure) => error!(error = %failure, "cannot forget what has expired"),
            }
        }
    });
    let follow = |feed| tokio::spawn(follow(feed, assembly.stores.clone(), keys.clone()));
    let feeds = assembly.stores.watch().into_iter().map(follow);
    feeds.chain([maintenance, purge]).chain(reading).collect()
}

/// Notices when the files of the certificate change.
pub(super) fn follow_certificate(certificate: &Arc<Certificate>) -> JoinHandle<()> {
    let certificate = certificate.clone();
    every(certificate.period(), move || {
        let certificate = certificate.clone();
        async move { certificate.refresh().await }
    })
}

/// The signing keys, and who hears of their changes.
#[derive(Clone)]
struct Keys {
    authority: Authority,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
}

impl Keys {
    async fn maintain(&self) {
        if let Err(error) = maintain_keys(&self.authority, &self.keyring, self.clock.now()).await {
            log_failure(&error);
        }
    }
}

/// Brings the signing keys in line with their schedule.
pub(super) async fn maintain_keys(
    authority: &Authority,
    keyring: &Keyring,
    now: Timestamp,
) -> Result<(), KeyringError> {
    let done = keyring.maintain(now).await?;
    for (action, keys) in [(Action::KeyAdd, &done.added), (Action::KeyRemove, &done.removed)] {
        for key in keys {
            info!(%key, %action, "the signing keys changed");
            authority.record(Event::success(now, action).because(Reason::BySchedule).about_key(key));
        }
    }
    Ok(())
}

/// Gives up copies as news come in.
async fn follow(mut feed: Box<dyn ChangeFeed>, stores: Stores, keys: Keys) {
    loop {
        let change = feed.next().await;
        debug!(?change, "news from the store");
        stores.note(&change);
        match change {
            Change::Client(_) | Change::User(_) => {}
            Change::SigningKeys | Change::Anything => keys.maintain().await,
        }
    }
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
