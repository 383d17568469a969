//! What was read a moment ago, so that a token request need not ask a store on another machine who is calling, and whether the
//! human whom it speaks for may still act.
//!
//! A copy is given up when this instance changes what it was made of, when news of a change arrive ([`Change`]), and in any case
//! after a short time. So a client or a human who is disabled on another instance is disabled here at once, and after that time
//! even if the news are lost. What was not there is not remembered: what was made elsewhere a moment ago is found.

mod accounts;
mod clients;

use std::{
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use moka::sync::Cache;
use tokio::time::Instant;

pub(super) use self::{accounts::CopiedAccounts, clients::CopiedClients};
#[cfg(doc)]
use crate::port::store::Change;

/// The most copies of a kind; a client with everything set has a few KiB.
const CAPACITY: u64 = 10_000;

/// Something as it was at some time after it was asked for.
#[derive(Clone)]
struct Kept<V> {
    value: V,
    asked_at: Instant,
}

/// A question that was just put to the store.
struct Reading {
    asked_at: Instant,
    given_up: u64,
}

/// Copies of one kind.
struct Copies<K, V> {
    kept: Cache<K, Kept<V>>,
    bound: Duration,
    /// How often something was given up. A reading that began before the last time may be older than the change.
    given_up: AtomicU64,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Copies<K, V> {
    /// Copies that are used for at most `bound`.
    fn new(bound: Duration) -> Self {
        let kept = Cache::builder().max_capacity(CAPACITY).time_to_live(bound).build();
        Self { kept, bound, given_up: AtomicU64::new(0) }
    }

    /// The copy of this, if there is one that may still be used.
    fn get(&self, key: &K) -> Option<V> {
        // A store that is slow answers with what was so long ago, so the cache's own count from the answer is too generous.
        self.kept.get(key).filter(|copy| copy.asked_at.elapsed() < self.bound).map(|copy| copy.value)
    }

    /// Before the store is asked.
    fn reading(&self) -> Reading {
        Reading { asked_at: Instant::now(), given_up: self.given_up.load(Ordering::SeqCst) }
    }

    /// Keeps what the store has answered, unless something was given up since it was asked.
    fn keep(&self, key: &K, value: V, Reading { asked_at, given_up }: Reading) {
        let overtaken = || self.given_up.load(Ordering::SeqCst) != given_up;
        if overtaken() {
            return;
        }
        self.kept.insert(key.clone(), Kept { value, asked_at });
        // Once more after the copy is there: whoever gives it up counts first, so one of the two sees the other.
        if overtaken() {
            self.kept.invalidate(key);
        }
    }

    fn give_up(&self, key: &K) {
        self.given_up.fetch_add(1, Ordering::SeqCst);
        self.kept.invalidate(key);
    }

    fn give_up_all(&self) {
        self.given_up.fetch_add(1, Ordering::SeqCst);
        self.kept.invalidate_all();
    }
}
