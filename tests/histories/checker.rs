//! Whether a history of concurrent operations could have happened one operation at a time.
//!
//! Each operation took effect at one moment between its call and its return, or the store is wrong. The checker looks for an
//! order of such moments in which every answer is the one that a single-threaded model gives (Wing and Gong's search, with
//! memory of the places it has been to, as Lowe proposed).

use std::{
    collections::HashSet,
    fmt::Debug,
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering},
};

/// What a single-threaded store would do.
pub(crate) trait Model: Clone + Eq + Hash + Default {
    type Operation: Debug + Clone;
    type Answer: Debug + Clone + PartialEq;

    /// Does it and says what the answer is.
    fn apply(&mut self, operation: &Self::Operation) -> Self::Answer;
}

/// Orders calls and returns as they happened: whatever returned before something else was called has the smaller number.
#[derive(Debug, Default)]
pub(crate) struct Ticks(AtomicU64);

impl Ticks {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// One operation as its caller saw it.
#[derive(Debug, Clone)]
pub(crate) struct Event<M: Model> {
    pub(crate) called: u64,
    /// `None`: the caller never heard of it, so it may have happened at any time since, or not at all.
    pub(crate) returned: Option<(u64, M::Answer)>,
    pub(crate) operation: M::Operation,
}

/// `true` if the events on one object, in any order, could have happened one at a time.
pub(crate) fn is_linearizable<M: Model>(events: &[Event<M>]) -> bool {
    let all = Taken::all_of(events, |event| event.returned.is_some());
    search(events, &all, Taken::none(events.len()), M::default(), &mut HashSet::new())
}

/// Which events have been given their moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Taken(Box<[u64]>);

impl Taken {
    fn none(events: usize) -> Self {
        Self(vec![0; events.div_ceil(64)].into())
    }

    fn all_of<T>(events: &[T], wanted: impl Fn(&T) -> bool) -> Self {
        let mut taken = Self::none(events.len());
        for at in (0..events.len()).filter(|at| wanted(&events[*at])) {
            taken.take(at);
        }
        taken
    }

    fn take(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine & theirs == *theirs)
    }
}

fn search<M: Model>(
    events: &[Event<M>],
    wanted: &Taken,
    taken: Taken,
    state: M,
    seen: &mut HashSet<(Taken, M)>,
) -> bool {
    if taken.covers(wanted) {
        return true;
    }
    if !seen.insert((taken.clone(), state.clone())) {
        return false;
    }
    // Nothing that was called after another one returned may come before that one.
    let open = (0..events.len()).filter(|at| !taken.has(*at));
    let first_return = open.clone().filter_map(|at| events[at].returned.as_ref().map(|(tick, _)| *tick)).min();
    for at in open.filter(|at| first_return.is_none_or(|tick| events[*at].called < tick)) {
        let mut next = state.clone();
        let answer = next.apply(&events[at].operation);
        if events[at].returned.as_ref().is_some_and(|(_, seen)| *seen != answer) {
            continue;
        }
        let mut taken = taken.clone();
        taken.take(at);
        if search(events, wanted, taken, next, seen) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something that can be taken once.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
    struct Ticket(bool);

    #[derive(Debug, Clone)]
    enum Do {
        Take,
        Look,
    }

    impl Model for Ticket {
        type Operation = Do;
        type Answer = bool;

        fn apply(&mut self, operation: &Do) -> bool {
            match operation {
                Do::Take => !std::mem::replace(&mut self.0, true),
                Do::Look => self.0,
            }
        }
    }

    fn event(operation: Do, called: u64, returned: u64, answer: bool) -> Event<Ticket> {
        Event { called, returned: Some((returned, answer)), operation }
    }

    #[test]
    fn two_who_both_took_the_one_ticket_are_found_out() {
        assert!(is_linearizable(&[event(Do::Take, 0, 3, true), event(Do::Take, 1, 2, false)]));
        assert!(!is_linearizable(&[event(Do::Take, 0, 3, true), event(Do::Take, 1, 2, true)]));
        assert!(!is_linearizable(&[event(Do::Take, 0, 3, false), event(Do::Take, 1, 2, false)]));
    }

    #[test]
    fn whoever_looks_afterwards_must_see_it_and_whoever_looks_meanwhile_may() {
        assert!(!is_linearizable(&[event(Do::Take, 0, 1, true), event(Do::Look, 2, 3, false)]));
        for seen in [false, true] {
            assert!(is_linearizable(&[event(Do::Take, 0, 3, true), event(Do::Look, 1, 2, seen)]));
        }
        let back_again = [event(Do::Take, 0, 9, true), event(Do::Look, 1, 2, true), event(Do::Look, 3, 4, false)];
        assert!(!is_linearizable(&back_again), "once seen it stays");
    }

    #[test]
    fn what_nobody_heard_of_may_have_happened_or_not() {
        let lost = Event { called: 0, returned: None, operation: Do::Take };
        for won in [false, true] {
            assert!(is_linearizable(&[lost.clone(), event(Do::Take, 1, 2, won)]));
        }
        assert!(
            !is_linearizable(&[event(Do::Take, 1, 2, false), Event { called: 3, ..lost }]),
            "not before it was asked"
        );
    }
}
