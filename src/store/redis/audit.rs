//! The audit trail in Redis: one list, in one slot.
//!
//! A member is the name of an entry and the entry as JSON. All scores are the same, so members are in the order of their names,
//! which begin with their time. Beside it there is the same list of starts and stops alone. What a filter asks for beside a period
//! is picked out here, from newest to oldest.

use async_trait::async_trait;

use super::{Keyed, Redis, columns::read};
use crate::{
    domain::{
        audit::{Action, Entry, EntryId, Filter},
        time::Timestamp,
    },
    port::store::{AuditStore, Page, StoreResult},
    store::record::{corrupt, to_json},
};

/// How many members are read at a time.
const PART: u32 = 500;

/// How many starts and stops of all instances are looked through for those of one.
const TURNS: u32 = 1_000;

fn member(entry: &Entry) -> StoreResult<String> {
    Ok(format!("{} {}", entry.id, to_json(entry)?))
}

/// The entry of a member.
pub(super) fn from_member(member: &[u8]) -> StoreResult<Entry> {
    let space = member.iter().position(|byte| *byte == b' ').ok_or_else(|| corrupt("an entry without a name"))?;
    serde_json::from_slice(&member[space..]).map_err(corrupt)
}

fn is_turn(entry: &&Entry) -> bool {
    [Action::ServerStart, Action::ServerStop].map(Action::as_str).contains(&&*entry.event)
}

fn add<'e>(list: String, entries: impl Iterator<Item = &'e Entry>) -> StoreResult<Keyed> {
    let mut add = Keyed::new("ZADD", list);
    for entry in entries {
        add = add.arg(0).arg(member(entry)?);
    }
    Ok(add)
}

impl Redis {
    /// Members between two bounds, the greatest first.
    async fn newest(&self, list: String, below: &str, from: &str, limit: u32) -> StoreResult<Vec<Vec<u8>>> {
        let range = Keyed::new("ZRANGE", list).arg(below).arg(from).arg("BYLEX").arg("REV");
        read(self.read_one(range.arg("LIMIT").arg(0).arg(limit)).await?)
    }
}

#[async_trait]
impl AuditStore for Redis {
    async fn append(&self, entries: &[Entry]) -> StoreResult<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let all = add(self.names.audit("entries"), entries.iter())?;
        // What is there already is added again to no effect.
        if entries.iter().any(|entry| is_turn(&entry)) {
            let turns = add(self.names.audit("turns"), entries.iter().filter(is_turn))?;
            self.put([turns, all]).await?;
        } else {
            self.put([all]).await?;
        }
        Ok(())
    }

    async fn list(&self, filter: &Filter, page: Page<EntryId>) -> StoreResult<Vec<Entry>> {
        let from = filter.since.map_or_else(|| "-".to_owned(), |since| format!("[{}", EntryId::begin(since)));
        let until = filter.until.map(EntryId::begin);
        let ends = until.into_iter().chain(page.after.map(|id| id.as_str().to_owned()));
        let mut below = ends.min().map_or_else(|| "+".to_owned(), |end| format!("({end}"));
        let mut found = Vec::new();
        while found.len() < page.limit as usize {
            let part = self.newest(self.names.audit("entries"), &below, &from, PART).await?;
            let entries = part.iter().map(|member| from_member(member)).collect::<StoreResult<Vec<_>>>()?;
            let Some(oldest) = entries.last() else { break };
            below = format!("({}", oldest.id);
            found.extend(entries.into_iter().filter(|entry| filter.admits(entry)));
        }
        found.truncate(page.limit as usize);
        Ok(found)
    }

    async fn turns(&self, instance: &str, limit: u32) -> StoreResult<Vec<Entry>> {
        let turns = self.newest(self.names.audit("turns"), "+", "-", TURNS).await?;
        let mut turns = turns.iter().map(|member| from_member(member)).collect::<StoreResult<Vec<_>>>()?;
        turns.retain(|entry| *entry.instance == *instance);
        turns.truncate(limit as usize);
        Ok(turns)
    }

    async fn purge(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        let [entries, turns] = ["entries", "turns"].map(|kind| self.names.audit(kind));
        let before = format!("({}", EntryId::begin(before));
        let old = Keyed::new("ZRANGE", entries.clone()).arg("-").arg(&before).arg("BYLEX");
        let old: Vec<Vec<u8>> = read(self.read_one(old.arg("LIMIT").arg(0).arg(limit)).await?)?;
        let Some(last) = old.last() else { return Ok(0) };
        let last = [b"[", last.as_slice()].concat();
        let turns = Keyed::new("ZREMRANGEBYLEX", turns).arg("-").arg(&last);
        let entries = Keyed::new("ZREMRANGEBYLEX", entries).arg("-").arg(&last);
        read(self.put([turns, entries]).await?)
    }

    async fn ping(&self) -> StoreResult<()> {
        self.answers().await
    }
}
