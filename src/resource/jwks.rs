//! The key set of the authorization server: fetched, kept, and fetched anew.
//!
//! - Keys younger than [`FRESH`] are used as they are. Older ones are still used, while somebody fetches them anew behind the
//!   request. So a server that is away is not noticed, until the keys are older than [`STALE`]: a key that was taken back must
//!   not count for ever because nobody heard of it.
//! - A token with an unknown `kid` waits for one more look at the server, which everybody shares who waits at that moment. Looks
//!   are [`PAUSE`] apart, so whoever invents `kid`s causes one request a second and no valid token is refused for it.
//! - Looks are tasks of their own: a client that hangs up takes nothing away from those who wait with it.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};

use super::{
    authorization_server::{AuthorizationServer, PAUSE},
    key_set::KeySet,
    verifier::Unavailable,
};
use crate::{
    domain::time::Timestamp,
    protocol::jose::{Jwk, JwkSet},
};

/// How long keys are used without a look at the server.
const FRESH: Duration = Duration::from_secs(300);
/// How long they are used while the server cannot be reached.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How many requests wait for a look at once; more are sent away.
const MAX_WAITING: usize = 4096;

/// A key set.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) set: Arc<KeySet>,
    /// Of the look that first brought these very keys: what was verified with them need not be verified again.
    pub(super) version: u64,
}

#[derive(Clone)]
pub(super) struct KeySource(Arc<Source>);

struct Source {
    server: Arc<AuthorizationServer>,
    known: RwLock<Option<Known>>,
    /// How many looks have begun.
    begun: AtomicU64,
    /// When the last one began, or was found to have failed, and what became of it. Held while somebody looks.
    last: Mutex<Option<(Instant, Result<(), Unavailable>)>>,
    refreshing: AtomicBool,
    waiting: Arc<Semaphore>,
}

struct Known {
    keys: Keys,
    published: JwkSet,
    /// The look that brought it.
    look: u64,
    at: Timestamp,
}

/// A key set as it comes. RFC 7517 5: keys that cannot be understood are passed over; they spoil nothing for the others.
#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl Document {
    fn readable(self) -> JwkSet {
        let readable = |key| serde_json::from_value::<Jwk>(key).ok();
        JwkSet { keys: self.keys.into_iter().filter_map(readable).collect() }
    }
}

impl KeySource {
    pub(super) fn new(server: Arc<AuthorizationServer>) -> Self {
        Self(Arc::new(Source {
            server,
            known: RwLock::default(),
            begun: AtomicU64::new(0),
            last: Mutex::default(),
            refreshing: AtomicBool::new(false),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        }))
    }

    /// The keys as they are known at `now`.
    pub(super) async fn current(&self, now: Timestamp) -> Result<Keys, Unavailable> {
        if let Some((keys, _, age)) = self.0.known(now)
            && age < STALE
        {
            if age >= FRESH {
                self.refresh_behind(now);
            }
            return Ok(keys);
        }
        self.look(0, now).await
    }

    /// How many looks have begun.
    pub(super) fn looks(&self) -> u64 {
        self.0.begun.load(Ordering::Acquire)
    }

    /// Keys from a look that began after there were so many: one that was under way when a token came may have been answered
    /// before its key was there.
    pub(super) async fn newer_than(&self, looks: u64, now: Timestamp) -> Result<Keys, Unavailable> {
        self.look(looks, now).await
    }

    async fn look(&self, seen: u64, now: Timestamp) -> Result<Keys, Unavailable> {
        let waiting = self.0.waiting.clone().try_acquire_owned();
        let waiting =
            waiting.map_err(|_| Unavailable::new("too many requests wait for the keys of the authorization server"))?;
        let source = self.0.clone();
        let looking = tokio::spawn(async move {
            let _waiting = waiting;
            source.look(seen, now).await
        });
        looking.await.unwrap_or_else(|_| Err(Unavailable::new("the process is ending")))
    }

    fn refresh_behind(&self, now: Timestamp) {
        if self.0.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let source = self.0.clone();
        tokio::spawn(async move {
            let seen = source.begun.load(Ordering::Acquire);
            // Whether that works or not, the known keys stay in use.
            drop(source.look(seen, now).await);
            source.refreshing.store(false, Ordering::Release);
        });
    }
}

impl Source {
    /// The keys, the look that brought them, and how long ago that was.
    fn known(&self, now: Timestamp) -> Option<(Keys, u64, Duration)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|known| {
            // Keys from the future: the clock was set back, and nobody knows how old they are.
            let age = if known.at > now { FRESH } else { now.since(known.at) };
            (known.keys.clone(), known.look, age)
        })
    }

    /// Keys of a later look than `seen`. Whoever comes while somebody looks waits, and takes what they brought.
    async fn look(&self, seen: u64, now: Timestamp) -> Result<Keys, Unavailable> {
        let mut last = self.last.lock().await;
        if let Some((keys, look, age)) = self.known(now)
            && look > seen
            && age < STALE
        {
            return Ok(keys);
        }
        if let Some((at, outcome)) = &*last {
            match outcome {
                // Nobody is kept waiting for a server that was just found to be away.
                Err(error) if at.elapsed() < PAUSE => return Err(error.clone()),
                Ok(()) | Err(_) => tokio::time::sleep_until(*at + PAUSE).await,
            }
        }
        let look = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let begun = Instant::now();
        let fetched = self.fetch().await;
        if let Err(error) = &fetched {
            tracing::warn!(%error, "the keys of the authorization server cannot be fetched; known ones stay in use");
        }
        // A failure counts from its end: a server that hangs would keep each of those who wait as long as the one before.
        let at = if fetched.is_ok() { begun } else { Instant::now() };
        *last = Some((at, fetched.as_ref().map(drop).map_err(Clone::clone)));
        Ok(self.keep(fetched?, look, now))
    }

    fn keep(&self, published: JwkSet, look: u64, now: Timestamp) -> Keys {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let same = known.as_ref().filter(|known| known.published == published).map(|known| known.keys.clone());
        let keys = same.unwrap_or_else(|| Keys { set: Arc::new(KeySet::new(&published)), version: look });
        *known = Some(Known { keys: keys.clone(), published, look, at: now });
        keys
    }

    async fn fetch(&self) -> Result<JwkSet, Unavailable> {
        let endpoints = self.server.endpoints().await?;
        let url = endpoints.jwks_uri.ok_or_else(|| Unavailable::new("the authorization server publishes no keys"))?;
        match self.server.get::<Document>(&url).await {
            Ok(document) => Ok(document.readable()),
            Err(error) => {
                self.server.forget().await;
                Err(error)
            }
        }
    }
}
