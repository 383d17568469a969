//! How many requests are worked on at once: whoever comes when there are as many as the server can bear is told so at once, which costs
//! nothing, instead of waiting for what nobody will wait for.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The requests that are being worked on.
#[derive(Debug)]
pub(in crate::http) struct InFlight {
    most: usize,
    now: AtomicUsize,
}

/// One of them; dropping it is its end.
#[derive(Debug)]
pub(in crate::http) struct Flight<'a>(&'a AtomicUsize);

impl InFlight {
    pub(in crate::http) const fn new(most: usize) -> Self {
        Self { most, now: AtomicUsize::new(0) }
    }

    /// One more, if it may be.
    pub(in crate::http) fn begin(&self) -> Option<Flight<'_>> {
        let flight = Flight(&self.now);
        // Counted first, so that many at once cannot slip in together; too many are given back by the drop.
        (self.now.fetch_add(1, Ordering::Relaxed) < self.most).then_some(flight)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_may_be_and_each_end_makes_room() {
        let in_flight = InFlight::new(2);
        let (first, second) = (in_flight.begin(), in_flight.begin());
        assert!(first.is_some() && second.is_some());
        for _ in 0..100 {
            assert!(in_flight.begin().is_none());
        }
        drop(first);
        assert!(in_flight.begin().is_some());
        assert_eq!(in_flight.now.load(Ordering::Relaxed), 1);
    }
}
