//! The audit trail between whoever records an event and the store that keeps it.
//!
//! 1. [`record`](AuditTrail::record) puts the event into a bounded queue and returns: no lock, no store, no waiting.
//! 2. One task empties the queue ten times a second, or when it is half full, folds refusals that are alike (`folding`), and
//!    writes the rest in batches (`writer`).
//! 3. While the store is slow or away, events wait in memory, and the task tries again every second.
//! 4. What finds no room any more, and what still waits when the process has to end, is written to the log instead, each event
//!    whole (target `gateward::audit`), and counted. Once the store is back, an entry `audit.gap` says how many those were.
//! 5. At an orderly end everything is written before the stores close. A process that is killed loses what the queue held: the
//!    next start of the same instance finds a start without its stop, and says so with an `audit.gap`.

mod counted;
mod folding;
mod log;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
    oneshot,
};

pub use self::counted::CountedTrail;
use self::writer::{Control, Writer};
use crate::{
    domain::{
        audit::{Action, Entry, EntryId, Event, Outcome, Reason, Run},
        time::Timestamp,
    },
    port::{audit::AuditTrail, clock::Clock, store::AuditStore},
};

/// How many events may wait between two looks at the queue: some 3 MB at most.
const QUEUE: usize = 16_384;

/// How many starts and stops are looked at to find out how the last run ended.
const TURNS: u32 = 50;

/// What all parts of one process know.
struct Shared {
    run: Run,
    instance: Arc<str>,
    next: AtomicU64,
    /// How many events are in the log instead of the trail, and no entry says so yet.
    unwritten: AtomicU64,
    /// How many there were since the start.
    given_up: AtomicU64,
    /// Wakes the task before its time.
    wake: Notify,
}

impl Shared {
    fn entry(&self, event: Event) -> Entry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Entry::new(EntryId::new(event.at, &self.run, number), event, &self.instance)
    }

    /// For an event that nobody can keep.
    fn give_up(&self, entry: &Entry) {
        log::write(entry);
        self.unwritten.fetch_add(entry.times, Ordering::Relaxed);
        self.given_up.fetch_add(entry.times, Ordering::Relaxed);
    }
}

/// The way into the trail. The task behind it ends with the last way in.
pub struct Trail {
    queue: mpsc::Sender<Event>,
    control: mpsc::Sender<Control>,
    store: Arc<dyn AuditStore>,
    shared: Arc<Shared>,
    leave_out: Vec<Action>,
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trail").field("instance", &self.shared.instance).finish_non_exhaustive()
    }
}

impl AuditTrail for Trail {
    fn record(&self, event: Event) {
        if event.outcome == Outcome::Success && self.leave_out.contains(&event.action) {
            return;
        }
        match self.queue.try_send(event) {
            Ok(()) if self.queue.capacity() < QUEUE / 2 => self.shared.wake.notify_one(),
            Ok(()) => {}
            Err(TrySendError::Full(event) | TrySendError::Closed(event)) => {
                self.shared.give_up(&self.shared.entry(event));
            }
        }
    }
}

impl Trail {
    /// Starts the task that writes to `store`. `run` and `instance` name this process in every entry; successes of what `leave_out` names
    /// are not recorded.
    pub fn start(
        store: Arc<dyn AuditStore>,
        clock: Arc<dyn Clock>,
        run: Run,
        instance: &str,
        leave_out: Vec<Action>,
    ) -> Arc<Self> {
        let (queue, events) = mpsc::channel(QUEUE);
        let (control, orders) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            run,
            instance: instance.into(),
            next: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            wake: Notify::new(),
        });
        let writer = Writer::new(store.clone(), clock, shared.clone(), events);
        tokio::spawn(writer.run(orders));
        Arc::new(Self { queue, control, store, shared, leave_out })
    }

    /// A server begins to answer. If the last run of this instance has not stopped in order, the trail says that, too.
    pub async fn begin(&self, now: Timestamp) {
        match self.store.turns(&self.shared.instance, TURNS).await {
            Ok(turns) if ended_in_order(&turns) => {}
            Ok(_) => {
                let gap = Event::new(now, Action::AuditGap, Outcome::Failed, Some(Reason::UncleanStop));
                // Nobody knows how many.
                self.record(Event { times: 0, ..gap });
            }
            Err(error) => tracing::warn!(%error, "cannot tell from the audit trail how the last run ended"),
        }
        self.record(Event::success(now, Action::ServerStart));
    }

    /// How many events are in the log instead of the trail, since the start.
    pub fn given_up(&self) -> u64 {
        self.shared.given_up.load(Ordering::Relaxed)
    }

    /// Writes everything that was recorded before this call. `false` if the store does not take it; it is tried again later.
    pub async fn flush(&self) -> bool {
        let (done, written) = oneshot::channel();
        let asked = self.control.send(Control::Flush(done)).await;
        asked.is_ok() && written.await.unwrap_or(false)
    }

    /// Writes everything, and ends the task. What the store has not taken after `patience` goes to the log.
    pub async fn close(&self, patience: Duration) {
        let (done, closed) = oneshot::channel();
        if self.control.send(Control::Close { patience, done }).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// Whether the last start has its stop.
fn ended_in_order(turns: &[Entry]) -> bool {
    let is = |entry: &&Entry, action: Action| entry.event == action.as_str();
    let Some(start) = turns.iter().find(|entry| is(entry, Action::ServerStart)) else { return true };
    turns.iter().any(|entry| is(&entry, Action::ServerStop) && entry.id.is_of_run_of(&start.id))
}
