//! A clock that stands still until somebody moves it.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use crate::{domain::time::Timestamp, port::clock::Clock};

/// A clock that tells what it was told.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// 2025-06-18T00:00:00Z.
    pub const START: Timestamp = Timestamp::from_unix(1_750_204_800);

    /// A clock that stands at `now`.
    pub const fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.unix()))
    }

    /// Moves it on, by whole seconds.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Sets it, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.unix(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Self::START)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::SeqCst))
    }
}
