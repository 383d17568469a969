//! The time.

use crate::domain::time::Timestamp;

/// Tells the time. Read once per request, at the door; everything below takes `now` as an argument.
pub trait Clock: Send + Sync {
    /// The current time, in Unix seconds.
    fn now(&self) -> Timestamp;
}
