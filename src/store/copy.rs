//! Moving everything from one store to another, whatever they are.
//!
//! 1. Kind after kind is read in parts and recorded at the destination, where an entry replaces one of the same name. After each
//!    part the caller hears how far it went; whoever was interrupted goes on from there, and doing a part again changes nothing.
//! 2. Both sides are read again and compared by number and by the fingerprints of all entries. The audit trail is compared as far as it
//!    is at the source: what servers on the destination added to it, and what the source has forgotten meanwhile, is no difference.
//!
//! The source is only read, so servers may go on answering from it meanwhile. What they *write* meanwhile may be missed: for the
//! last pass they stand still.

use std::{io, sync::Arc, vec};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Stores;
use crate::{
    domain::audit::EntryId,
    port::store::{Archive, Entry, EntryKind, StoreError, StoreResult},
};

/// How many entries travel together. Few enough that a part is read and recorded within the time that a store gives a call.
const PART: u32 = 100;

/// How far a copy went: everything of the kinds before `kind`, and of `kind` itself up to `cursor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub kind: EntryKind,
    /// `None`: nothing of it yet.
    pub cursor: Option<String>,
}

/// All entries of a kind, in two numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub entries: u64,
    /// The fingerprints of all of them, each exactly once in whatever order, combined by exclusive or.
    pub digest: [u8; 32],
}

/// Something to show to whoever waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A kind begins; it has about so many entries.
    Kind { kind: EntryKind, entries: u64 },
    /// So many more are at the destination, and the next part would begin here.
    Copied { entries: u64, next: Position },
    /// Both sides hold the same entries of a kind.
    Verified { kind: EntryKind, summary: Summary },
}

/// Why nothing, or not everything, was copied.
#[derive(Debug, Error)]
pub enum CopyError {
    #[error("the store of the {0} keeps nothing, so there is nothing to copy from it or to it")]
    KeepsNothing(EntryKind),
    #[error("the source failed while {0} were read")]
    Source(EntryKind, #[source] StoreError),
    #[error("the destination failed while {0} were recorded")]
    Destination(EntryKind, #[source] StoreError),
    /// Whoever watches could not write down how far it went.
    #[error("cannot note how far it went")]
    Watcher(#[source] io::Error),
    #[error(
        "the {kind} differ: {} at the source, {} at the destination. Either somebody writes to one of them: stop that, and copy \
         again with --overwrite. Or the destination held others before: copy to one that is empty", here.entries, there.entries
    )]
    Differ { kind: EntryKind, here: Box<Summary>, there: Box<Summary> },
}

/// Whoever is told how far it went.
pub type Watcher<'w> = dyn FnMut(&Progress) -> io::Result<()> + Send + 'w;

/// Copies `kinds` from one store to the other, from `start` on if it is given, and compares both sides afterwards.
///
/// Whoever drops this future leaves a part of the entries at the destination, each of them whole.
pub async fn copy(
    source: &Stores,
    destination: &Stores,
    kinds: &[EntryKind],
    start: Option<Position>,
    watch: &mut Watcher<'_>,
) -> Result<(), CopyError> {
    let begun = start.as_ref().and_then(|start| kinds.iter().position(|kind| *kind == start.kind)).unwrap_or_default();
    let mut start = start;
    for &kind in &kinds[begun..] {
        let cursor = start.take().and_then(|start| start.cursor);
        let (from, to) = (source.archive_of(kind)?, destination.archive_of(kind)?);
        let entries = from.count(kind).await.map_err(|error| CopyError::Source(kind, error))?;
        watch(&Progress::Kind { kind, entries }).map_err(CopyError::Watcher)?;
        copy_kind(&*from, &*to, kind, cursor, watch).await?;
    }
    for &kind in kinds {
        let (here, there) = (source.archive_of(kind)?, destination.archive_of(kind)?);
        let (from, to) = if kind == EntryKind::AuditEntry {
            common(&*here, &*there, kind).await?
        } else {
            let from = summary(&*here, kind).await.map_err(|error| CopyError::Source(kind, error))?;
            (from, summary(&*there, kind).await.map_err(|error| CopyError::Destination(kind, error))?)
        };
        if from != to {
            return Err(CopyError::Differ { kind, here: Box::new(from), there: Box::new(to) });
        }
        watch(&Progress::Verified { kind, summary: from }).map_err(CopyError::Watcher)?;
    }
    Ok(())
}

async fn copy_kind(
    from: &dyn Archive,
    to: &dyn Archive,
    kind: EntryKind,
    mut cursor: Option<String>,
    watch: &mut Watcher<'_>,
) -> Result<(), CopyError> {
    loop {
        let part = from.export(kind, cursor.as_deref(), PART).await;
        let part = part.map_err(|error| CopyError::Source(kind, error))?;
        to.import(&part.entries).await.map_err(|error| CopyError::Destination(kind, error))?;
        let last = part.next.is_none();
        cursor = part.next.or(cursor);
        let entries = part.entries.len() as u64;
        watch(&Progress::Copied { entries, next: Position { kind, cursor: cursor.clone() } })
            .map_err(CopyError::Watcher)?;
        if last {
            return Ok(());
        }
    }
}

impl Summary {
    fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        for (sum, byte) in self.digest.iter_mut().zip(entry.fingerprint()) {
            *sum ^= byte;
        }
    }
}

/// All entries of a kind, one after the other.
struct Reading<'a> {
    archive: &'a dyn Archive,
    kind: EntryKind,
    part: vec::IntoIter<Entry>,
    /// Where the next part begins; `None` if this is the last.
    next: Option<Option<String>>,
}

impl<'a> Reading<'a> {
    fn new(archive: &'a dyn Archive, kind: EntryKind) -> Self {
        Self { archive, kind, part: Vec::new().into_iter(), next: Some(None) }
    }

    async fn next(&mut self) -> StoreResult<Option<Entry>> {
        loop {
            if let Some(entry) = self.part.next() {
                return Ok(Some(entry));
            }
            let Some(cursor) = self.next.take() else { return Ok(None) };
            let part = self.archive.export(self.kind, cursor.as_deref(), PART).await?;
            self.part = part.entries.into_iter();
            self.next = part.next.map(Some);
        }
    }
}

/// Reads all entries of a kind.
async fn summary(archive: &dyn Archive, kind: EntryKind) -> StoreResult<Summary> {
    let mut summary = Summary::default();
    let mut entries = Reading::new(archive, kind);
    while let Some(entry) = entries.next().await? {
        summary.add(&entry);
    }
    Ok(summary)
}

/// Reads all entries at the source, and those at the destination that have the same names. Both are read in the order of the names.
async fn common(here: &dyn Archive, there: &dyn Archive, kind: EntryKind) -> Result<(Summary, Summary), CopyError> {
    let (mut from, mut to) = (Summary::default(), Summary::default());
    let (mut here, mut there) = (Reading::new(here, kind), Reading::new(there, kind));
    let mut other: Option<Entry> = None;
    while let Some(entry) = here.next().await.map_err(|error| CopyError::Source(kind, error))? {
        from.add(&entry);
        while other.as_ref().is_none_or(|other| name(other) < name(&entry)) {
            other = there.next().await.map_err(|error| CopyError::Destination(kind, error))?;
            if other.is_none() {
                break;
            }
        }
        if let Some(same) = other.take_if(|other| name(other) == name(&entry)) {
            to.add(&same);
        }
    }
    Ok((from, to))
}

/// The name of an entry of the audit trail.
fn name(entry: &Entry) -> Option<&EntryId> {
    if let Entry::AuditEntry(entry) = entry { Some(&entry.id) } else { None }
}

impl Stores {
    fn archive_of(&self, kind: EntryKind) -> Result<Arc<dyn Archive>, CopyError> {
        self.archive(kind.family()).ok_or(CopyError::KeepsNothing(kind))
    }

    /// Whether it holds nothing of these kinds.
    pub async fn is_empty(&self, kinds: &[EntryKind]) -> Result<bool, CopyError> {
        for &kind in kinds {
            let count = self.archive_of(kind)?.count(kind).await;
            if count.map_err(|error| CopyError::Destination(kind, error))? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
