//! How often each of many senders may ask, in a fixed amount of memory.
//!
//! governor decides (GCRA), but not in its own map: that has an entry for every sender there ever was, and whoever has an IPv6 prefix can
//! be more senders than there is memory. Here a sender has two cells out of two rows, at places that a keyed hash picks at random, and is
//! turned away when both are exhausted. Nothing is allocated, locked or purged after the start. Two senders meet in both cells once in a
//! billion pairs; somebody who floods from countless addresses fills all cells a little, which needs millions of requests a second to be
//! felt by others.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock as GovernorClock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};

use crate::port::clock::Clock;

/// Cells in a row: 256 KiB.
const CELLS: usize = 32 * 1024;
/// Whoever was silent may ask so many seconds' worth at once.
const BURST_SECONDS: u32 = 10;

/// Time as governor counts it.
#[derive(Clone)]
struct Elapsed(Arc<dyn Clock>);

impl GovernorClock for Elapsed {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// One row.
struct Row(Box<[InMemoryState]>);

impl StateStore for Row {
    type Key = usize;

    fn measure_and_replace<T, F, E>(&self, cell: &usize, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0[cell % CELLS].measure_and_replace(&NotKeyed::NonKey, measure)
    }
}

type Limiter = RateLimiter<usize, Row, Elapsed, NoOpMiddleware<Duration>>;

/// So many requests a second for each sender.
pub(super) struct Rate<S = RandomState> {
    rows: [Limiter; 2],
    hash: S,
}

impl Rate {
    /// `per_second` in the long run, and ten times as many at once.
    pub(super) fn new(per_second: NonZeroU32, clock: &Arc<dyn Clock>) -> Self {
        Self::keyed(RandomState::new(), per_second, clock)
    }
}

impl<S: BuildHasher> Rate<S> {
    fn keyed(hash: S, per_second: NonZeroU32, clock: &Arc<dyn Clock>) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(per_second.saturating_mul(BURST));
        let row = || {
            let cells = std::iter::repeat_with(InMemoryState::default).take(CELLS).collect();
            RateLimiter::new(quota, Row(cells), Elapsed(clock.clone()))
        };
        Self { rows: [row(), row()], hash }
    }

    /// Counts a request; when it is one too many, how long to wait.
    pub(super) fn check(&self, sender: impl Hash) -> Result<(), Duration> {
        let hash = self.hash.hash_one(sender);
        let cells = [hash as usize, (hash >> 32) as usize];
        let [first, second] = [0, 1].map(|row| self.rows[row].check_key(&cells[row]));
        match (first, second) {
            (Err(first), Err(second)) => {
                let now = self.rows[0].clock().now();
                Err(first.wait_time_from(now).min(second.wait_time_from(now)))
            }
            _ => Ok(()),
        }
    }
}

/// So many a second, whoever asks.
pub(super) struct Budget(RateLimiter<NotKeyed, InMemoryState, Elapsed, NoOpMiddleware<Duration>>);

impl Budget {
    pub(super) fn new(per_second: NonZeroU32, clock: &Arc<dyn Clock>) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(per_second.saturating_mul(BURST));
        Self(RateLimiter::direct_with_clock(quota, Elapsed(clock.clone())))
    }

    /// Takes one, if there is one.
    pub(super) fn spend(&self) -> bool {
        self.0.check().is_ok()
    }
}

const BURST: NonZeroU32 = match NonZeroU32::new(BURST_SECONDS) {
    Some(burst) => burst,
    None => NonZeroU32::MIN,
};

#[cfg(test)]
mod tests {
    use std::{
        hash::{BuildHasherDefault, DefaultHasher},
        sync::atomic::{AtomicU64, Ordering},
    };

    use super::*;
    use crate::domain::time::Timestamp;

    /// Seconds that pass when a test says so.
    #[derive(Default)]
    struct Seconds(AtomicU64);

    impl Seconds {
        fn pass(&self, seconds: u64) {
            self.0.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    impl Clock for Seconds {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH
        }

        fn elapsed(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    /// The same key each time: how many senders meet is then a fact, and not luck.
    type FixedKey = BuildHasherDefault<DefaultHasher>;

    fn rate(per_second: u32) -> (Rate<FixedKey>, Arc<Seconds>) {
        let clock = Arc::new(Seconds::default());
        let port: Arc<dyn Clock> = clock.clone();
        (Rate::keyed(FixedKey::default(), NonZeroU32::new(per_second).unwrap(), &port), clock)
    }

    fn admitted(rate: &Rate<FixedKey>, sender: u64, requests: usize) -> usize {
        (0..requests).filter(|_| rate.check(sender).is_ok()).count()
    }

    #[test]
    fn ten_seconds_worth_at_once_and_then_as_many_as_there_are_seconds() {
        let (rate, clock) = rate(5);
        assert_eq!(admitted(&rate, 1, 100), 50);
        clock.pass(3);
        assert_eq!(admitted(&rate, 1, 100), 15);
        clock.pass(3600);
        assert_eq!(admitted(&rate, 1, 100), 50);
    }

    #[test]
    fn whoever_is_turned_away_hears_when_to_come_back_and_is_let_in_then() {
        let (rate, clock) = rate(1);
        assert_eq!(admitted(&rate, 1, 10), 10);
        assert_eq!(rate.check(1_u64), Err(Duration::from_secs(1)));
        clock.pass(1);
        assert_eq!(rate.check(1_u64), Ok(()));
    }

    /// A thousand senders that came before, each with all it may have, are in nobody's way.
    #[test]
    fn senders_do_not_share() {
        let (rate, _) = rate(1);
        for sender in 0..1000 {
            admitted(&rate, sender, 10);
        }
        let free = (1000..2000).filter(|sender| admitted(&rate, *sender, 10) == 10).count();
        assert!(free >= 995, "{free}");
    }

    /// A million addresses, one request each, within ten seconds; and one who asks as often as is allowed.
    #[test]
    fn a_flood_of_invented_senders_leaves_room_for_a_real_one() {
        let (rate, clock) = rate(20);
        let mut served = 0;
        for second in 0..10 {
            for sender in 0..100_000_u64 {
                let _ = rate.check(1 + second * 100_000 + sender);
            }
            served += admitted(&rate, 0, 20);
            clock.pass(1);
        }
        assert_eq!(served, 200);
    }
}
