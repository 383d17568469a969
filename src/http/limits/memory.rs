//! Two things that the door remembers of a sender, in tables that never grow: whoever comes later takes the place of somebody else, who
//! is then as little known as at the beginning.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::domain::time::Timestamp;

/// 1 MiB.
const CELLS: usize = 128 * 1024;

struct Table {
    cells: Box<[AtomicU64]>,
    hash: RandomState,
}

impl Table {
    fn new() -> Self {
        let cells = std::iter::repeat_with(AtomicU64::default).take(CELLS).collect();
        Self { cells, hash: RandomState::new() }
    }

    /// The place of a sender, and what tells it from others who have the same one.
    fn place(&self, sender: impl Hash) -> (&AtomicU64, u64) {
        let hash = self.hash.hash_one(sender);
        // An empty cell is nobody's mark.
        (&self.cells[hash as usize % CELLS], hash | 1)
    }
}

/// Senders that have proven something: a client that got what it asked for, from where it asked.
pub(super) struct Proven(Table);

impl Proven {
    pub(super) fn new() -> Self {
        Self(Table::new())
    }

    pub(super) fn knows(&self, sender: impl Hash) -> bool {
        let (cell, mark) = self.0.place(sender);
        cell.load(Ordering::Relaxed) == mark
    }

    pub(super) fn remember(&self, sender: impl Hash) {
        let (cell, mark) = self.0.place(sender);
        // Most are known already, and a line that nobody writes stays in every core's cache.
        if cell.load(Ordering::Relaxed) != mark {
            cell.store(mark, Ordering::Relaxed);
        }
    }
}

/// Senders that are locked out, until when.
pub(super) struct LockedOut(Table);

/// The upper half of a cell is the mark, the lower one the time.
const HALF: u32 = 32;

impl LockedOut {
    pub(super) fn new() -> Self {
        Self(Table::new())
    }

    /// Until when, if that lies ahead.
    pub(super) fn until(&self, sender: impl Hash, now: Timestamp) -> Option<Timestamp> {
        let (cell, mark) = self.0.place(sender);
        let found = cell.load(Ordering::Relaxed);
        let until = Timestamp::from_unix(i64::from(found as u32));
        (found >> HALF == mark >> HALF && !until.is_over(now)).then_some(until)
    }

    pub(super) fn lock(&self, sender: impl Hash, until: Timestamp) {
        let (cell, mark) = self.0.place(sender);
        // Good until 2106.
        let seconds = u32::try_from(until.unix()).unwrap_or(u32::MAX);
        cell.store((mark >> HALF << HALF) | u64::from(seconds), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_proven_something_is_known_and_others_are_not() {
        let proven = Proven::new();
        proven.remember("a");
        assert!(proven.knows("a") && !proven.knows("b"));
        proven.remember("b");
        assert!(proven.knows("a") && proven.knows("b"));
    }

    #[test]
    fn a_lock_ends_with_its_time() {
        let locked = LockedOut::new();
        let [now, until] = [1_000, 1_060].map(Timestamp::from_unix);
        locked.lock("a", until);
        assert_eq!(locked.until("a", now), Some(until));
        assert_eq!(locked.until("b", now), None);
        assert_eq!(locked.until("a", until), None);
    }

    #[test]
    fn nobody_is_known_or_locked_out_at_the_beginning() {
        let (proven, locked) = (Proven::new(), LockedOut::new());
        for sender in 0..10_000 {
            assert!(!proven.knows(sender) && locked.until(sender, Timestamp::EPOCH).is_none());
        }
    }

    #[test]
    fn more_senders_than_places_forget_some_and_invent_none() {
        let proven = Proven::new();
        for sender in 0..2 * CELLS {
            proven.remember(sender);
        }
        assert!((0..2 * CELLS).filter(|sender| proven.knows(sender)).count() <= CELLS);
        assert!((3 * CELLS..4 * CELLS).all(|sender| !proven.knows(sender)));
    }
}
