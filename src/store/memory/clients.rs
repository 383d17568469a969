//! Clients in memory. The limit of dynamic clients is one number beside the shards.

use std::{
    collections::hash_map::Entry,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;

use super::{Budget, Shards, later, paged};
use crate::{
    domain::{
        client::{Client, ClientEntry, Provenance, Removal},
        identifier::ClientId,
        time::Timestamp,
    },
    port::store::{ClientStore, Insertion, Page, ReapRule, Replacement, StoreResult},
};

/// See [`ClientStore`].
#[derive(Default)]
pub(in crate::store) struct MemoryClients {
    entries: Shards<ClientId, ClientEntry>,
    /// How many registered clients are dynamic.
    dynamic: AtomicU64,
}

impl MemoryClients {
    /// Makes room for one more dynamic client, unless that would exceed the limit. Reserving before inserting is what keeps
    /// the limit when many register at once in different shards.
    fn reserve(&self, client: &Client, max_dynamic: Option<u64>) -> bool {
        let more = u64::from(is_dynamic(client));
        let limit = max_dynamic.unwrap_or(u64::MAX);
        self.dynamic
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < limit).then_some(count + more))
            .is_ok()
    }

    fn release(&self, client: &Client) {
        self.dynamic.fetch_sub(u64::from(is_dynamic(client)), Ordering::AcqRel);
    }

    /// Puts a tombstone in the place of a client that `condition` holds for.
    fn bury(&self, id: &ClientId, reason: Removal, now: Timestamp, condition: impl Fn(&Client) -> bool) -> bool {
        let mut part = self.entries.of(id);
        match part.get_mut(id) {
            Some(entry) => match entry {
                ClientEntry::Registered(client) if condition(client) => {
                    self.release(client);
                    *entry = ClientEntry::Removed { reason, at: now };
                    true
                }
                ClientEntry::Registered(_) | ClientEntry::Removed { .. } => false,
            },
            None => false,
        }
    }

    fn registered(&self, condition: impl Fn(&Client) -> bool) -> Vec<Client> {
        let mut found = Vec::new();
        for part in self.entries.parts() {
            for entry in part.values() {
                match entry {
                    ClientEntry::Registered(client) if condition(client) => found.push(Client::clone(client)),
                    ClientEntry::Registered(_) | ClientEntry::Removed { .. } => {}
                }
            }
        }
        found
    }
}

fn is_dynamic(client: &Client) -> bool {
    client.provenance == Provenance::Dynamic
}

#[async_trait]
impl ClientStore for MemoryClients {
    async fn insert(&self, client: &Client, max_dynamic: Option<u64>) -> StoreResult<Insertion> {
        match self.entries.of(&client.id).entry(client.id.clone()) {
            Entry::Occupied(_) => Ok(Insertion::Taken),
            Entry::Vacant(place) => {
                if !self.reserve(client, max_dynamic) {
                    return Ok(Insertion::LimitReached);
                }
                place.insert(ClientEntry::Registered(Arc::new(client.clone())));
                Ok(Insertion::Inserted)
            }
        }
    }

    async fn find(&self, id: &ClientId) -> StoreResult<Option<ClientEntry>> {
        Ok(self.entries.get(id))
    }

    async fn replace(&self, client: &Client) -> StoreResult<Replacement> {
        match self.entries.of(&client.id).get_mut(&client.id) {
            Some(ClientEntry::Registered(stored)) if stored.version == client.version => {
                if is_dynamic(stored) != is_dynamic(client) {
                    self.release(stored);
                    self.reserve(client, None);
                }
                *stored = Arc::new(Client {
                    created_at: stored.created_at,
                    last_used_at: stored.last_used_at,
                    version: stored.version + 1,
                    ..client.clone()
                });
                Ok(Replacement::Replaced)
            }
            Some(ClientEntry::Registered(_)) => Ok(Replacement::Conflict),
            Some(ClientEntry::Removed { .. }) | None => Ok(Replacement::Gone),
        }
    }

    async fn remove(&self, id: &ClientId, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        Ok(self.bury(id, reason, now, |_| true))
    }

    async fn touch(&self, id: &ClientId, now: Timestamp) -> StoreResult<bool> {
        match self.entries.of(id).get_mut(id) {
            Some(ClientEntry::Registered(client)) => {
                let client = Arc::make_mut(client);
                client.last_used_at = Some(later(client.last_used_at, now));
                Ok(true)
            }
            Some(ClientEntry::Removed { .. }) | None => Ok(false),
        }
    }

    async fn list(&self, page: Page<ClientId>) -> StoreResult<Vec<Client>> {
        let all = self.registered(|client| page.after.as_ref().is_none_or(|after| client.id > *after));
        Ok(paged(all.into_iter(), |client| &client.id, &page))
    }

    async fn reapable(&self, rule: ReapRule, limit: u32) -> StoreResult<Vec<Client>> {
        let covered = |client: &Client| match client.last_used_at {
            None => client.created_at < rule.never_used_before,
            Some(used) => used < rule.idle_before,
        };
        let all = self.registered(|client| is_dynamic(client) && covered(client));
        Ok(paged(all.into_iter(), |client| &client.id, &Page { after: None, limit }))
    }

    async fn reap(&self, client: &Client, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        let unused_since = |stored: &Client| is_dynamic(stored) && stored.last_used_at == client.last_used_at;
        Ok(self.bury(&client.id, reason, now, unused_since))
    }

    async fn purge_tombstones(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        let mut budget = Budget::of(limit);
        self.entries.drain(&mut budget, |_, entry| match entry {
            ClientEntry::Registered(_) => false,
            ClientEntry::Removed { at, .. } => *at < before,
        });
        Ok(budget.used.into())
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}
