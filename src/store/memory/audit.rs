//! The audit trail in memory: the newest entries, for a server that may forget.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Mutex,
};

use async_trait::async_trait;

use super::lock;
use crate::{
    domain::{
        audit::{Action, Entry, EntryId, Filter},
        time::Timestamp,
    },
    port::store::{AuditStore, Page, StoreResult},
};

/// The most entries: about 40 MB. The oldest makes room.
const MOST: usize = 100_000;

/// See [`AuditStore`].
#[derive(Default)]
pub(in crate::store) struct MemoryAudit {
    /// Not all come in the order of their names: what stands for many refusals has the time of the first.
    entries: Mutex<BTreeMap<EntryId, Entry>>,
}

impl MemoryAudit {
    /// The newest entries that are wanted.
    fn newest(&self, before: Option<&EntryId>, limit: u32, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let kept = lock(&self.entries);
        let older = kept.range((Unbounded, before.map_or(Unbounded, Excluded))).rev().map(|(_, entry)| entry);
        older.filter(|entry| wanted(entry)).take(limit as usize).cloned().collect()
    }
}

#[async_trait]
impl AuditStore for MemoryAudit {
    async fn append(&self, entries: &[Entry]) -> StoreResult<()> {
        let mut kept = lock(&self.entries);
        for entry in entries {
            kept.entry(entry.id.clone()).or_insert_with(|| entry.clone());
            if kept.len() > MOST {
                kept.pop_first();
            }
        }
        Ok(())
    }

    async fn list(&self, filter: &Filter, page: Page<EntryId>) -> StoreResult<Vec<Entry>> {
        Ok(self.newest(page.after.as_ref(), page.limit, |entry| filter.admits(entry)))
    }

    async fn turns(&self, instance: &str, limit: u32) -> StoreResult<Vec<Entry>> {
        let turns = [Action::ServerStart, Action::ServerStop].map(Action::as_str);
        Ok(self.newest(None, limit, |entry| *entry.instance == *instance && turns.contains(&&*entry.event)))
    }

    async fn purge(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        let mut kept = lock(&self.entries);
        let (mut purged, before) = (0, EntryId::begin(before));
        while purged < u64::from(limit)
            && let Some(oldest) = kept.first_entry().filter(|oldest| *oldest.key().as_str() < *before)
        {
            oldest.remove();
            purged += 1;
        }
        Ok(purged)
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}
