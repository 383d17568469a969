//! Moving everything from one store to another, whatever they are.
//!
//! 1. Kind after kind is read in parts and recorded at the destination, where an entry replaces one of the same name. After each
//!    part the caller hears how far it went; whoever was interrupted goes on from there, and doing a part again changes nothing.
//! 2. Both sides are read again and compared by number and by the fingerprints of all entries.
//!
//! The source is only read, so servers may go on answering from it meanwhile. What they *write* meanwhile may be missed: for the
//! last pass they stand still.

use std::{io, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Stores;
use crate::port::store::{Archive, EntryKind, StoreError, StoreResult};

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
        let from = summary(&*source.archive_of(kind)?, kind).await.map_err(|error| CopyError::Source(kind, error))?;
        let to = summary(&*destination.archive_of(kind)?, kind).await;
        let to = to.map_err(|error| CopyError::Destination(kind, error))?;
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

/// Reads all entries of a kind.
async fn summary(archive: &dyn Archive, kind: EntryKind) -> StoreResult<Summary> {
    let mut summary = Summary::default();
    let mut cursor = None;
    loop {
        let part = archive.export(kind, cursor.as_deref(), PART).await?;
        for entry in &part.entries {
            summary.entries += 1;
            for (sum, byte) in summary.digest.iter_mut().zip(entry.fingerprint()) {
                *sum ^= byte;
            }
        }
        match part.next {
            Some(next) => cursor = Some(next),
            None => return Ok(summary),
        }
    }
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
