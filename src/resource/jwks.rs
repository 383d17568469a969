//! The key set of the authorization server: fetched, kept, and fetched anew.
//!
//! - Keys younger than [`FRESH`] are used as they are. Older ones are still used, while somebody fetches them anew behind the
//!   request. So a server that is away is not noticed, until the keys are older than [`STALE`]: a key that was taken back must
//!   not count for ever because nobody heard of it.
//! - A token with an unknown `kid` waits for one more look at the server, which everybody shares who waits at that moment. Looks
//!   are [`PAUSE`] apart, so whoever invents `kid`s causes one request a second and no valid token is refused for it.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use super::{
    authorization_server::{AuthorizationServer, PAUSE},
    key_set::KeySet,
    verifier::Unavailable,
};
use crate::{domain::time::Timestamp, protocol::jose::JwkSet};

/// How long keys are used without a look at the server.
const FRESH: Duration = Duration::from_secs(300);
/// How long they are used while the server cannot be reached.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How many tokens with unknown keys wait at once; more are sent away.
const MAX_WAITING: usize = 512;

/// A key set with the number of the look that brought it.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) set: Arc<KeySet>,
    pub(super) version: u64,
}

#[derive(Clone)]
pub(super) struct KeySource(Arc<Source>);

struct Source {
    server: Arc<AuthorizationServer>,
    known: RwLock<Option<Known>>,
    looks: Mutex<Looks>,
    refreshing: AtomicBool,
    waiting: AtomicUsize,
}

struct Known {
    keys: Keys,
    at: Timestamp,
}

#[derive(Default)]
struct Looks {
    /// How many there were.
    count: u64,
    last: Option<(Instant, Result<(), Unavailable>)>,
}

impl KeySource {
    pub(super) fn new(server: Arc<AuthorizationServer>) -> Self {
        Self(Arc::new(Source {
            server,
            known: RwLock::default(),
            looks: Mutex::default(),
            refreshing: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// The keys as they are known at `now`.
    pub(super) async fn current(&self, now: Timestamp) -> Result<Keys, Unavailable> {
        if let Some((keys, age)) = self.0.known(now)
            && age < STALE
        {
            if age >= FRESH {
                self.refresh_behind(now);
            }
            return Ok(keys);
        }
        // Apart, as it is rare: every request would have to carry the room that it needs.
        Box::pin(self.0.look(0, now)).await
    }

    /// Keys from a look that began after this was called.
    pub(super) async fn newer_than(&self, seen: &Keys, now: Timestamp) -> Result<Keys, Unavailable> {
        if self.0.waiting.fetch_add(1, Ordering::AcqRel) >= MAX_WAITING {
            self.0.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Unavailable::new("too many tokens with unknown keys"));
        }
        let _waiting = Waiting(&self.0.waiting);
        Box::pin(self.0.look(seen.version, now)).await
    }

    fn refresh_behind(&self, now: Timestamp) {
        if self.0.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let source = self.0.clone();
        tokio::spawn(async move {
            let seen = source.known(now).map_or(0, |(keys, _)| keys.version);
            if let Err(error) = source.look(seen, now).await {
                tracing::warn!(%error, "the keys of the authorization server cannot be refreshed; the known ones stay in use");
            }
            source.refreshing.store(false, Ordering::Release);
        });
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Source {
    fn known(&self, now: Timestamp) -> Option<(Keys, Duration)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|known| (known.keys.clone(), now.since(known.at)))
    }

    /// Keys of a later look than `seen`. Whoever comes while somebody looks waits, and takes what they brought.
    async fn look(&self, seen: u64, now: Timestamp) -> Result<Keys, Unavailable> {
        let mut looks = self.looks.lock().await;
        if let Some((keys, age)) = self.known(now)
            && keys.version > seen
            && age < STALE
        {
            return Ok(keys);
        }
        if let Some((at, outcome)) = &looks.last {
            match outcome {
                // Nobody is kept waiting for a server that was just found to be away.
                Err(error) if at.elapsed() < PAUSE => return Err(error.clone()),
                _ => tokio::time::sleep_until(*at + PAUSE).await,
            }
        }
        looks.count += 1;
        let begun = Instant::now();
        let fetched = self.fetch().await;
        looks.last = Some((begun, fetched.as_ref().map(drop).map_err(Clone::clone)));
        let keys = Keys { set: Arc::new(fetched?), version: looks.count };
        let known = Some(Known { keys: keys.clone(), at: now });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(keys)
    }

    async fn fetch(&self) -> Result<KeySet, Unavailable> {
        let endpoints = self.server.endpoints().await?;
        let url = endpoints.jwks_uri.ok_or_else(|| Unavailable::new("the authorization server publishes no keys"))?;
        match self.server.get::<JwkSet>(&url).await {
            Ok(published) => Ok(KeySet::new(&published)),
            Err(error) => {
                self.server.forget().await;
                Err(error)
            }
        }
    }
}
