//! Who waits to be taken along, and when a statement sets out.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};

use super::batch::Batched;
use crate::port::store::StoreResult;

/// Statements of one kind that may be under way at once.
const LANES: usize = 2;

/// A statement that carries so many calls carries many.
const MANY: usize = 4;

/// One that is under way for so long is not soon answered, and nobody waits for it.
pub(super) const SOON: Duration = Duration::from_millis(50);

/// More of them while those are stuck.
const SPARE: usize = 2;

/// A line that has not moved for so long is stuck. Statements take milliseconds; a server that is merely slow gets a few more at once,
/// and no more than that.
const STUCK: Duration = Duration::from_millis(250);

/// Calls in one statement.
const TOGETHER: usize = 64;

pub(super) type Caller<C> = oneshot::Sender<StoreResult<<C as Batched>::Answer>>;

/// A call whose caller waits.
pub(super) struct Pending<C: Batched> {
    pub(super) call: C,
    pub(super) tell: Caller<C>,
}

/// Those who wait to be taken along.
struct Line<C: Batched> {
    waiting: VecDeque<Pending<C>>,
    expected: Expected,
    /// When somebody was last taken along, or began to wait where nobody did.
    moved_at: Instant,
}

/// The lane that came by last.
struct Expected {
    /// Which turn that was, of all lanes.
    turn: u64,
    /// Until when it can be expected to come by again.
    until: Instant,
}

/// The right to make statements, one after the other.
pub(super) struct Lane {
    /// Given back only under the lock of the line, so that no call is left behind by a lane that ends.
    _permit: OwnedSemaphorePermit,
    spare: bool,
    /// When it last came by, in turns of all lanes.
    turn: u64,
}

/// Where calls of one kind meet.
pub(super) struct Batches<C: Batched> {
    line: Mutex<Line<C>>,
    lanes: Arc<Semaphore>,
    /// Taken only while the lanes are stuck.
    spare: Arc<Semaphore>,
}

impl<C: Batched> Line<C> {
    /// Whether those in line are better off waiting for the lane that is expected.
    fn can_wait(&self) -> bool {
        self.waiting.len() <= TOGETHER && Instant::now() < self.expected.until
    }

    /// The next turn, of a lane that will soon come by again, or of one for which nobody needs to wait.
    fn turn(&mut self, soon: bool) -> u64 {
        let now = Instant::now();
        self.expected = Expected { turn: self.expected.turn + 1, until: if soon { now + SOON } else { now } };
        self.expected.turn
    }
}

impl<C: Batched> Default for Batches<C> {
    fn default() -> Self {
        let now = Instant::now();
        let line = Line { waiting: VecDeque::new(), expected: Expected { turn: 0, until: now }, moved_at: now };
        let [lanes, spare] = [LANES, SPARE].map(|count| Arc::new(Semaphore::new(count)));
        Self { line: Mutex::new(line), lanes, spare }
    }
}

impl<C: Batched> Batches<C> {
    fn line(&self) -> MutexGuard<'_, Line<C>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines up, and returns the lane that has to be set in motion, if there is need of one and one is free.
    pub(super) fn line_up(&self, pending: Pending<C>) -> Option<Lane> {
        let mut line = self.line();
        if line.waiting.is_empty() {
            line.moved_at = Instant::now();
        }
        line.waiting.push_back(pending);
        self.free_lane(&mut line)
    }

    /// The lane that has to be set in motion because the one that was expected did not come soon. Those in line have to ask for it.
    pub(super) fn set_out(&self) -> Option<Lane> {
        self.free_lane(&mut self.line())
    }

    fn free_lane(&self, line: &mut Line<C>) -> Option<Lane> {
        if line.waiting.is_empty() || line.can_wait() {
            return None;
        }
        let permit = Arc::clone(&self.lanes).try_acquire_owned().ok()?;
        Some(Lane { _permit: permit, spare: false, turn: line.turn(true) })
    }

    /// One more lane that has to be set in motion, if those that there are do not come by any more.
    pub(super) fn widen(&self) -> Option<Lane> {
        let mut line = self.line();
        if line.waiting.is_empty() || line.moved_at.elapsed() < STUCK {
            return None;
        }
        let permit = Arc::clone(&self.spare).try_acquire_owned().ok()?;
        Some(Lane { _permit: permit, spare: true, turn: line.turn(true) })
    }

    /// Keeps the lane if somebody waits who had better not wait for another one.
    pub(super) fn keep(&self, lane: Lane) -> Option<Lane> {
        let mut line = self.line();
        if line.expected.turn == lane.turn {
            // It has come.
            line.expected.until = Instant::now();
        }
        let needed = !line.waiting.is_empty() && (lane.spare || !line.can_wait());
        let kept = needed.then_some(lane);
        drop(line);
        kept
    }

    /// Adds those in line that can go with `taken`, and leaves out whoever does not wait any more.
    pub(super) fn fill(&self, lane: &mut Lane, taken: &mut Vec<Pending<C>>) {
        taken.retain(|pending| !pending.tell.is_closed());
        let mut line = self.line();
        let before = taken.len();
        let mut later = VecDeque::new();
        while taken.len() < TOGETHER
            && let Some(next) = line.waiting.pop_front()
        {
            if next.tell.is_closed() {
                continue;
            }
            if taken.iter().all(|other| next.call.goes_with(&other.call)) {
                taken.push(next);
            } else {
                later.push_back(next);
            }
        }
        later.append(&mut line.waiting);
        line.waiting = later;
        lane.turn = line.turn(taken.len() >= MANY);
        if taken.len() > before {
            line.moved_at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::{
        domain::{account::User, identifier::UserId},
        store::postgres::look_up::FindUser,
    };

    type Meeting = Batches<FindUser>;
    type Callers = Vec<oneshot::Receiver<StoreResult<Option<User>>>>;

    /// Somebody lines up; the lane that has to be set in motion.
    fn ask(meeting: &Meeting, callers: &mut Callers) -> Option<Lane> {
        let (tell, heard) = oneshot::channel();
        callers.push(heard);
        meeting.line_up(Pending { call: FindUser(UserId::parse("ada").unwrap()), tell })
    }

    /// So many line up and are under way, in one statement.
    fn under_way(meeting: &Meeting, count: usize, callers: &mut Callers) -> Lane {
        let lanes: Vec<_> = (0..count).filter_map(|_| ask(meeting, callers)).collect();
        assert_eq!(lanes.len(), 1, "the first sets a lane in motion, and the others go along");
        let mut lane = lanes.into_iter().find_map(|lane| meeting.keep(lane)).expect("a lane");
        let mut taken = Vec::new();
        meeting.fill(&mut lane, &mut taken);
        assert_eq!(taken.len(), count);
        lane
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_goes_at_once_beside_few_and_with_the_next_statement_after_many() {
        for (count, goes) in [(MANY - 1, true), (MANY, false)] {
            let (meeting, mut callers) = (Meeting::default(), Vec::new());
            let lane = under_way(&meeting, count, &mut callers);
            assert_eq!(ask(&meeting, &mut callers).is_some(), goes, "beside {count}");
            assert_eq!(meeting.keep(lane).is_some(), !goes, "after {count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_statement_that_is_not_soon_answered() {
        let (meeting, mut callers) = (Meeting::default(), Vec::new());
        let _stuck = under_way(&meeting, MANY, &mut callers);
        advance(SOON).await;
        let mut lane = under_way(&meeting, MANY, &mut callers);
        for _ in 0..3 {
            assert!(ask(&meeting, &mut callers).is_none());
            lane = meeting.keep(lane).expect("the lane that is not stuck comes by");
            meeting.fill(&mut lane, &mut Vec::new());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_in_line_set_out_when_the_lane_that_they_wait_for_does_not_come_soon() {
        let (meeting, mut callers) = (Meeting::default(), Vec::new());
        let _stuck = under_way(&meeting, MANY, &mut callers);
        assert!(ask(&meeting, &mut callers).is_none());
        assert!(meeting.set_out().is_none(), "it is still expected");
        advance(SOON).await;
        let lane = meeting.set_out().and_then(|lane| meeting.keep(lane)).expect("a lane of their own");
        assert!(meeting.set_out().is_none(), "there are no more");
        meeting.fill(&mut { lane }, &mut Vec::new());
        assert!(meeting.set_out().is_none(), "nobody waits");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_do_not_fit_into_the_next_statement_go_beside_it() {
        let (meeting, mut callers) = (Meeting::default(), Vec::new());
        let _lane = under_way(&meeting, MANY, &mut callers);
        let lanes = (0..=TOGETHER).filter_map(|_| ask(&meeting, &mut callers)).count();
        assert_eq!(lanes, 1);
    }
}
