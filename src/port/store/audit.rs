//! The audit trail.

use async_trait::async_trait;

use super::{Page, StoreResult};
use crate::domain::{
    audit::{Entry, EntryId, Filter},
    time::Timestamp,
};

/// The store family of the audit trail. Entries are added and forgotten, and never changed.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Adds entries, all of them or, with an error, perhaps none. One that is there already is left as it is, so whoever does not
    /// know what became of a call does it again.
    async fn append(&self, entries: &[Entry]) -> StoreResult<()>;

    /// Entries that the filter admits, the newest first; a page goes on with what is older than `page.after`.
    async fn list(&self, filter: &Filter, page: Page<EntryId>) -> StoreResult<Vec<Entry>>;

    /// The last times that an instance started or stopped, at most `limit`, the newest first.
    async fn turns(&self, instance: &str, limit: u32) -> StoreResult<Vec<Entry>>;

    /// Forgets entries from before `before`, at most `limit`, the oldest first; how many.
    async fn purge(&self, before: Timestamp, limit: u32) -> StoreResult<u64>;

    /// Whether the store answers.
    async fn ping(&self) -> StoreResult<()>;
}
