//! Registered clients.

use async_trait::async_trait;

use super::{Page, StoreResult};
use crate::domain::{
    client::{Client, ClientEntry, Removal},
    identifier::ClientId,
    time::Timestamp,
};

/// What became of a new client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    Inserted,
    /// The identifier is taken, or was once.
    Taken,
    /// There are as many dynamic clients as the limit allows.
    LimitReached,
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    Replaced,
    /// Somebody else changed the client since it was read.
    Conflict,
    /// The client is gone.
    Gone,
}

/// Which dynamic clients are candidates for removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReapRule {
    /// Never used, and created before this.
    pub never_used_before: Timestamp,
    /// Last used before this.
    pub idle_before: Timestamp,
}

/// The store family of clients.
#[async_trait]
pub trait ClientStore: Send + Sync {
    /// Adds a client. With `max_dynamic`, only if fewer dynamic clients than that exist.
    async fn insert(&self, client: &Client, max_dynamic: Option<u64>) -> StoreResult<Insertion>;

    /// What is known of an identifier; `None` if nothing ever was (or its tombstone was purged).
    async fn find(&self, id: &ClientId) -> StoreResult<Option<ClientEntry>>;

    /// Replaces the client of the same identifier if its version still is `client.version`; the stored version is one higher
    /// then. `last_used_at` and `created_at` are kept as they are in the store.
    async fn replace(&self, client: &Client) -> StoreResult<Replacement>;

    /// Removes a client and leaves a tombstone. `false` if it was not there.
    async fn remove(&self, id: &ClientId, reason: Removal, now: Timestamp) -> StoreResult<bool>;

    /// Notes a use: `last_used_at` becomes `now` unless it is later already. Does not change the version. `false` if the
    /// client is gone.
    async fn touch(&self, id: &ClientId, now: Timestamp) -> StoreResult<bool>;

    /// Registered clients in the order of their identifiers.
    async fn list(&self, page: Page<ClientId>) -> StoreResult<Vec<Client>>;

    /// Dynamic clients that the rule covers, at most `limit`.
    async fn reapable(&self, rule: ReapRule, limit: u32) -> StoreResult<Vec<Client>>;

    /// Removes a dynamic client and leaves a tombstone, but only if its `last_used_at` still is what `client` says: a client
    /// that is being authorized at this moment is touched first. `false` if it was spared or not there.
    async fn reap(&self, client: &Client, reason: Removal, now: Timestamp) -> StoreResult<bool>;

    /// Forgets tombstones from before `before`, at most `limit`; how many.
    async fn purge_tombstones(&self, before: Timestamp, limit: u32) -> StoreResult<u64>;

    /// Whether the store answers.
    async fn ping(&self) -> StoreResult<()>;
}
