//! The system clock.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{domain::time::Timestamp, port::clock::Clock};

/// The wall clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Milliseconds since 1970, for what has to be told apart within a second; 0 before.
    #[cfg(feature = "server")]
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time comes in")]
    pub(crate) fn milliseconds(self) -> u128 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time comes in")]
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp::EPOCH.plus(since),
            // A clock before 1970 is wrong, but it is what the machine says.
            Err(before) => Timestamp::EPOCH.minus(before.duration()),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place where time comes in")]
    fn elapsed(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        let now = Instant::now();
        now.duration_since(*START.get_or_init(|| now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_tells_a_time_after_this_was_written() {
        assert!(SystemClock.now() > Timestamp::from_unix(1_785_000_000 - 366 * 86_400));
    }
}
