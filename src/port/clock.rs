//! The time.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// Tells the time. Read once per request, at the door; everything below takes `now` as an argument.
pub trait Clock: Send + Sync {
    /// The current time, in Unix seconds.
    fn now(&self) -> Timestamp;

    /// How much time has passed since a moment that stays the same while the process lives. Only ever more, also when somebody sets
    /// the clock: for limits, which would otherwise shut everybody out for as long as it was set back.
    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.now().unix().unsigned_abs())
    }
}
