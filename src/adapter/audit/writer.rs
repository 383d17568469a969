//! The task that writes.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Interval, MissedTickBehavior, interval, timeout},
};

use super::{Shared, folding::Folding};
use crate::{
    domain::audit::{Action, Entry, Event, Outcome, Reason},
    port::{
        clock::Clock,
        store::{AuditStore, StoreError, StoreResult},
    },
};

/// How often the queue is emptied: how long an event takes to show in the trail, and what `kill -9` costs.
const TICK: Duration = Duration::from_millis(100);

/// How many ticks to wait after a failure of the store.
const PAUSE: u32 = 10;

/// The most entries that are written in one step: few enough not to keep anybody else in the store waiting.
const BATCH: usize = 500;

/// The most entries that wait for the store, about 8 MB.
pub(super) const MOST: usize = 16_384;

/// A store that takes longer does not answer.
const LONGEST: Duration = Duration::from_secs(15);

/// What the task is told.
pub(super) enum Control {
    Flush(oneshot::Sender<bool>),
    Close { patience: Duration, done: oneshot::Sender<()> },
}

/// See the module above.
pub(super) struct Writer {
    store: Arc<dyn AuditStore>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    events: mpsc::Receiver<Event>,
    folding: Folding,
    /// Handed to the store, which has not taken them yet.
    in_hand: Arc<Vec<Entry>>,
    /// Those after them, in the order in which they happened.
    waiting: VecDeque<Entry>,
    ticks: Interval,
    /// How many ticks to do nothing for.
    pause: u32,
    /// How many entries to write in one step.
    batch: usize,
}

impl Writer {
    pub(super) fn new(
        store: Arc<dyn AuditStore>,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
        events: mpsc::Receiver<Event>,
    ) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            store,
            clock,
            shared,
            events,
            folding: Folding::default(),
            in_hand: Arc::default(),
            waiting: VecDeque::new(),
            ticks,
            pause: 0,
            batch: BATCH,
        }
    }

    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Control>) {
        let shared = self.shared.clone();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Control::Flush(done)) => {
                        self.take_everything();
                        let written = self.write().await;
                        // Whoever asked may have stopped waiting.
                        let _ = done.send(written);
                    }
                    Some(Control::Close { patience, done }) => {
                        self.finish(patience).await;
                        let _ = done.send(());
                        return;
                    }
                    // Every way in is gone.
                    None => return self.finish(LONGEST).await,
                },
                _ = self.ticks.tick() => {
                    self.take_in();
                    self.pause = self.pause.saturating_sub(1);
                    if self.pause == 0 {
                        self.write().await;
                    }
                }
                () = shared.wake.notified() => self.take_in(),
            }
        }
    }

    /// Nothing comes in any more; what is there is written, to the store or else to the log.
    async fn finish(&mut self, patience: Duration) {
        self.events.close();
        self.take_everything();
        let written = async {
            while !self.write().await {
                self.ticks.tick().await;
            }
        };
        if timeout(patience, written).await.is_err() {
            self.in_hand.iter().chain(&self.waiting).for_each(|entry| self.shared.give_up(entry));
            let entries = self.shared.unwritten.load(std::sync::atomic::Ordering::Relaxed);
            tracing::error!(target: "gateward::audit", entries, "the audit trail could not be written; these are in the log alone");
        }
    }

    /// Empties the queue.
    fn take_in(&mut self) {
        for _ in 0..self.events.len() {
            let Ok(event) = self.events.try_recv() else { break };
            if let Some(event) = self.folding.admit(event) {
                self.keep(event);
            }
        }
        for event in self.folding.over(self.clock.now()) {
            self.keep(event);
        }
    }

    /// The same, without waiting for more of the kind.
    fn take_everything(&mut self) {
        self.take_in();
        for event in self.folding.all() {
            self.keep(event);
        }
    }

    fn keep(&mut self, event: Event) {
        let entry = self.shared.entry(event);
        if self.in_hand.len() + self.waiting.len() < MOST {
            self.waiting.push_back(entry);
        } else {
            self.shared.give_up(&entry);
        }
    }

    /// Writes what waits, batch by batch. `false` if the store does not take it.
    async fn write(&mut self) -> bool {
        loop {
            if self.in_hand.is_empty() {
                if self.waiting.is_empty() && !self.note_gap() {
                    return true;
                }
                let count = self.batch.min(self.waiting.len());
                self.in_hand = Arc::new(self.waiting.drain(..count).collect());
            }
            match self.append().await {
                Ok(()) => {
                    self.go_on();
                    // A store in memory never waits, and requests do.
                    tokio::task::yield_now().await;
                }
                Err(StoreError::Corrupt(what)) => self.single_out(&what),
                Err(StoreError::Unavailable(cause)) => {
                    let waiting = self.in_hand.len() + self.waiting.len();
                    tracing::error!(%cause, waiting, "the audit trail cannot be written now");
                    self.pause = PAUSE;
                    return false;
                }
            }
        }
    }

    /// Nothing is in hand any more.
    fn go_on(&mut self) {
        self.in_hand = Arc::default();
        self.batch = BATCH;
    }

    /// Goes on emptying the queue meanwhile: a slow store is no reason for it to run over.
    async fn append(&mut self) -> StoreResult<()> {
        let (store, shared, in_hand) = (self.store.clone(), self.shared.clone(), self.in_hand.clone());
        let append = timeout(LONGEST, store.append(&in_hand));
        tokio::pin!(append);
        loop {
            tokio::select! {
                biased;
                appended = &mut append => {
                    return appended.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".into())));
                }
                _ = self.ticks.tick() => self.take_in(),
                () = shared.wake.notified() => self.take_in(),
            }
        }
    }

    /// The store will never take this. Smaller batches lead to the entry that it is about, which goes to the log.
    fn single_out(&mut self, what: &str) {
        if self.in_hand.len() > 1 {
            self.batch = self.in_hand.len() / 2;
            let in_hand = std::mem::take(&mut self.in_hand);
            in_hand.iter().rev().for_each(|entry| self.waiting.push_front(entry.clone()));
            return;
        }
        tracing::error!(what, "the store refuses an entry of the audit trail");
        self.in_hand.iter().for_each(|entry| self.shared.give_up(entry));
        self.go_on();
    }

    /// The store takes entries again: one says what it has missed. `false` if that is nothing.
    fn note_gap(&mut self) -> bool {
        let missing = self.shared.unwritten.swap(0, std::sync::atomic::Ordering::Relaxed);
        if missing == 0 {
            return false;
        }
        let gap = Event::new(self.clock.now(), Action::AuditGap, Outcome::Failed, Some(Reason::Unwritten));
        self.keep(Event { times: missing, ..gap });
        true
    }
}
