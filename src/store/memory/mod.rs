//! Everything in this process's memory: for tests, and for a server that may forget.
//!
//! A map is cut into 256 shards, each behind its own lock. That keeps writers apart, and it keeps a map from stalling everybody
//! while it grows past millions of entries. What has to change in one step sits in one value of one shard: a grant with all
//! that hangs off it, an account with its sessions. Maps that only say where something is are *indexes*.
//!
//! The order of locks: a family before an index, and never two locks of the same map. No lock is held across an `await`.

mod accounts;
mod audit;
mod clients;
mod keys;
mod tokens;

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{
    accounts::MemoryAccounts, audit::MemoryAudit, clients::MemoryClients, keys::MemoryKeys, tokens::MemoryTokens,
};
use crate::{
    domain::time::Timestamp,
    port::store::{Page, StoreError},
};

/// The five families; they share nothing.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) clients: Arc<MemoryClients>,
    pub(super) tokens: Arc<MemoryTokens>,
    pub(super) accounts: Arc<MemoryAccounts>,
    pub(super) keys: Arc<MemoryKeys>,
    pub(super) audit: Arc<MemoryAudit>,
}

const SHARDS: usize = 256;

/// A hash map in 256 parts.
struct Shards<K, V> {
    parts: Box<[Mutex<HashMap<K, V>>]>,
    hasher: RandomState,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self { parts: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl<K: Eq + Hash, V> Shards<K, V> {
    /// The part that `key` belongs to, locked.
    fn of(&self, key: &K) -> MutexGuard<'_, HashMap<K, V>> {
        // Masked, so that the number cannot be out of bounds.
        let part = self.hasher.hash_one(key) as usize & (SHARDS - 1);
        lock(&self.parts[part])
    }

    /// Every part in turn, locked while it is looked at.
    fn parts(&self) -> impl Iterator<Item = MutexGuard<'_, HashMap<K, V>>> {
        self.parts.iter().map(lock)
    }

    fn get(&self, key: &K) -> Option<V>
    where
        V: Clone,
    {
        self.of(key).get(key).cloned()
    }

    fn contains(&self, key: &K) -> bool {
        self.of(key).contains_key(key)
    }

    fn insert(&self, key: K, value: V) {
        self.of(&key).insert(key, value);
    }

    fn remove(&self, key: &K) -> Option<V> {
        self.of(key).remove(key)
    }

    /// Removes what `over` says, until `budget` is used up.
    fn drain(&self, budget: &mut Budget, over: impl Fn(&K, &V) -> bool) {
        for mut part in self.parts() {
            if budget.is_spent() {
                return;
            }
            part.retain(|key, value| !(over(key, value) && budget.take()));
        }
    }
}

/// Nothing in here panics while it holds a lock; if something did, what it left is still whole values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much a purge may still remove of one kind, and how much it has.
struct Budget {
    limit: u32,
    used: u32,
}

impl Budget {
    const fn of(limit: u32) -> Self {
        Self { limit, used: 0 }
    }

    const fn is_spent(&self) -> bool {
        self.used >= self.limit
    }

    /// Takes one, if there is one left.
    const fn take(&mut self) -> bool {
        let left = !self.is_spent();
        self.used += left as u32;
        left
    }
}

/// What `page` shows of `all`, which may come in any order.
fn paged<K: Ord, V>(all: impl Iterator<Item = V>, key: impl Fn(&V) -> &K, page: &Page<K>) -> Vec<V> {
    let mut rows: Vec<V> = all.filter(|v| page.after.as_ref().is_none_or(|after| key(v) > after)).collect();
    rows.sort_by(|a, b| key(a).cmp(key(b)));
    rows.truncate(page.limit as usize);
    rows
}

/// The later of two times, where one may be missing.
fn later(current: Option<Timestamp>, now: Timestamp) -> Timestamp {
    current.map_or(now, |at| at.max(now))
}

/// For what cannot be, because the caller draws 128 random bits for every name.
fn taken(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a new {what} has the name of an old one"))
}
