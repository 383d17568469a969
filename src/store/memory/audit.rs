//! The audit trail in memory: the newest entries, for a server that may forget.

use std::{collections::VecDeque, sync::Mutex};

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
    /// Sorted by name.
    entries: Mutex<VecDeque<Entry>>,
}

/// Where an entry is, or else where it belongs. Nearly always that is the end.
fn place(kept: &VecDeque<Entry>, id: &EntryId) -> Result<usize, usize> {
    if kept.back().is_none_or(|newest| newest.id < *id) {
        return Err(kept.len());
    }
    kept.binary_search_by(|other| other.id.cmp(id))
}

impl MemoryAudit {
    /// The newest entries that are wanted.
    fn newest(&self, before: Option<&EntryId>, limit: u32, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let kept = lock(&self.entries);
        let older = before.map_or(kept.len(), |before| kept.partition_point(|entry| entry.id < *before));
        kept.range(..older).rev().filter(|entry| wanted(entry)).take(limit as usize).cloned().collect()
    }
}

#[async_trait]
impl AuditStore for MemoryAudit {
    async fn append(&self, entries: &[Entry]) -> StoreResult<()> {
        let mut kept = lock(&self.entries);
        for entry in entries {
            let Err(place) = place(&kept, &entry.id) else { continue };
            kept.insert(place, entry.clone());
            if kept.len() > MOST {
                kept.pop_front();
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
        let before = EntryId::begin(before);
        let over = kept.partition_point(|entry| *entry.id.as_str() < *before).min(limit as usize);
        Ok(kept.drain(..over).count() as u64)
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}
