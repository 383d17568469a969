//! The audit trail in memory: the newest entries, for a server that may forget.

use std::{collections::BTreeMap, sync::Mutex};

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
    entries: Mutex<BTreeMap<EntryId, Entry>>,
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
        let older = |entry: &&Entry| page.after.as_ref().is_none_or(|after| entry.id < *after) && filter.admits(entry);
        Ok(lock(&self.entries).values().rev().filter(older).take(page.limit as usize).cloned().collect())
    }

    async fn turns(&self, instance: &str, limit: u32) -> StoreResult<Vec<Entry>> {
        let turns = [Action::ServerStart, Action::ServerStop].map(Action::as_str);
        let wanted = |entry: &&Entry| *entry.instance == *instance && turns.contains(&&*entry.event);
        Ok(lock(&self.entries).values().rev().filter(wanted).take(limit as usize).cloned().collect())
    }

    async fn purge(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        let mut kept = lock(&self.entries);
        let mut purged = 0;
        while purged < u64::from(limit)
            && let Some(oldest) = kept.first_entry().filter(|oldest| oldest.get().at < before)
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
