//! What was turned away, and why: every limit of the door counts here, whether or not anybody could be told.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why somebody was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// A connection more than `server.max_connections`: closed without a word.
    Connections,
    /// A connection more than `server.max_connections_per_address`: closed without a word.
    ConnectionsOfAddress,
    /// The head of a request was not there within `server.header_timeout`: closed.
    SlowHead,
    /// The head of a request was too large: 431 or 414.
    LargeHead,
    /// A body that did not arrive in time: 408.
    SlowBody,
    /// A body over `server.body_limit`: 413.
    LargeBody,
    /// A request more at once than `server.max_in_flight`: 503.
    Busy,
    /// A request more than the rates of `[limits]` allow: 429.
    TooOften,
    /// A request of a client that got its credentials wrong too often: 429.
    LockedOut,
    /// A login that nobody may try now, because too many failed: 429.
    TooManyLogins,
    /// A login that found the hasher busy: 503.
    HasherBusy,
    /// A registration more than `registration.per_address` allows: 429.
    Registrations,
}

impl Rejection {
    /// Every reason, in the order of [`Rejections`].
    pub const ALL: [Self; 12] = [
        Self::Connections,
        Self::ConnectionsOfAddress,
        Self::SlowHead,
        Self::LargeHead,
        Self::SlowBody,
        Self::LargeBody,
        Self::Busy,
        Self::TooOften,
        Self::LockedOut,
        Self::TooManyLogins,
        Self::HasherBusy,
        Self::Registrations,
    ];

    /// The name of the reason, for a metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsOfAddress => "connections_of_address",
            Self::SlowHead => "slow_head",
            Self::LargeHead => "large_head",
            Self::SlowBody => "slow_body",
            Self::LargeBody => "large_body",
            Self::Busy => "busy",
            Self::TooOften => "too_often",
            Self::LockedOut => "locked_out",
            Self::TooManyLogins => "too_many_logins",
            Self::HasherBusy => "hasher_busy",
            Self::Registrations => "registrations",
        }
    }
}

/// How many were turned away since the start, by reason.
#[derive(Debug, Default)]
pub struct Rejections([AtomicU64; Rejection::ALL.len()]);

impl Rejections {
    pub(super) fn note(&self, why: Rejection) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many for one reason.
    pub fn count(&self, why: Rejection) -> u64 {
        self.0[why as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_counts_for_itself_under_a_name_of_its_own() {
        let rejections = Rejections::default();
        for (index, why) in Rejection::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, index, "{why:?}");
            (0..=index).for_each(|_| rejections.note(why));
        }
        let counts: Vec<u64> = Rejection::ALL.map(|why| rejections.count(why)).into();
        assert!(counts.iter().zip(1..).all(|(count, expected)| *count == expected), "{counts:?}");
        let names: std::collections::BTreeSet<_> = Rejection::ALL.map(Rejection::as_str).into();
        assert_eq!(names.len(), Rejection::ALL.len());
    }
}
