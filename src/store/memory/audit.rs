//! The audit trail in memory: the newest entries, for a server that may forget.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;

use super::lock;
use crate::{
    domain::{
        audit::{Action, Entry, EntryId, Filter},
        time::Timestamp,
    },
    port::store::{AuditStore, Page, StoreError, StoreResult},
};

/// The most entries: about 40 MB. The oldest makes room.
const MOST: usize = 100_000;

/// See [`AuditStore`].
#[derive(Default)]
pub(in crate::store) struct MemoryAudit {
    /// As JSON, each in one piece: the dozen small pieces of an entry would come from all over the memory, and go back there.
    entries: Mutex<BTreeMap<EntryId, Box<[u8]>>>,
}

fn corrupt(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!("an entry of the audit trail: {error}"))
}

fn read(entry: &[u8]) -> StoreResult<Entry> {
    serde_json::from_slice(entry).map_err(|error| corrupt(&error))
}

impl MemoryAudit {
    /// The newest entries that are wanted.
    fn newest(&self, before: Option<&EntryId>, limit: u32, wanted: impl Fn(&Entry) -> bool) -> StoreResult<Vec<Entry>> {
        let kept = lock(&self.entries);
        let older = kept.iter().rev().filter(|(id, _)| before.is_none_or(|before| *id < before));
        older
            .map(|(_, entry)| read(entry))
            .filter(|entry| entry.as_ref().map_or(true, &wanted))
            .take(limit as usize)
            .collect()
    }
}

#[async_trait]
impl AuditStore for MemoryAudit {
    async fn append(&self, entries: &[Entry]) -> StoreResult<()> {
        let mut kept = lock(&self.entries);
        for entry in entries {
            let written = serde_json::to_vec(entry).map_err(|error| corrupt(&error))?;
            kept.entry(entry.id.clone()).or_insert_with(|| written.into());
            if kept.len() > MOST {
                kept.pop_first();
            }
        }
        Ok(())
    }

    async fn list(&self, filter: &Filter, page: Page<EntryId>) -> StoreResult<Vec<Entry>> {
        self.newest(page.after.as_ref(), page.limit, |entry| filter.admits(entry))
    }

    async fn turns(&self, instance: &str, limit: u32) -> StoreResult<Vec<Entry>> {
        let turns = [Action::ServerStart, Action::ServerStop].map(Action::as_str);
        self.newest(None, limit, |entry| *entry.instance == *instance && turns.contains(&&*entry.event))
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
