//! The life of signing keys: published before use, in use, still published for verification, retired.
//!
//! Nothing but the start of signing is recorded; every other point follows from it and from the next key of the same
//! algorithm, so that all instances come to the same answer.

use std::time::Duration;

use super::{identifier::KeyId, time::Timestamp};
use crate::protocol::jose::{Algorithm, Jwk};

/// A signing key as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    pub id: KeyId,
    pub algorithm: Algorithm,
    /// What JWKS publishes.
    pub public: Jwk,
    /// The private key (PKCS#8), sealed with the master key.
    pub sealed_private: Vec<u8>,
    pub created_at: Timestamp,
    /// When it starts to sign.
    pub signs_from: Timestamp,
}

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPhase {
    /// Published, and does not sign yet.
    Pending,
    /// Signs.
    Signing,
    /// Signs no more; tokens that it signed may still be valid.
    Verifying,
    /// Every token that it signed has expired: it may be removed.
    Retired,
}

/// How keys follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySchedule {
    /// How long a key signs.
    pub rotation_period: Duration,
    /// How long a key is published before it signs: longer than verifiers cache JWKS.
    pub publish_ahead: Duration,
    /// How long a key stays published after its last signature: the longest token lifetime, and some skew.
    pub verify_after: Duration,
}

impl KeySchedule {
    /// Where `key` stands among `all` keys at `now`.
    pub fn phase(&self, key: &KeyRecord, all: &[KeyRecord], now: Timestamp) -> KeyPhase {
        if now < key.signs_from {
            return KeyPhase::Pending;
        }
        match successor(key, all) {
            None => KeyPhase::Signing,
            Some(next) if now < next.signs_from => KeyPhase::Signing,
            Some(next) if now < next.signs_from.plus(self.verify_after) => KeyPhase::Verifying,
            Some(_) => KeyPhase::Retired,
        }
    }

    /// When the successor of the newest key of `algorithm` has to be made; `None` if there is no key to succeed.
    pub fn successor_due_at(&self, algorithm: Algorithm, all: &[KeyRecord]) -> Option<Timestamp> {
        newest(algorithm, all).map(|key| key.signs_from.plus(self.rotation_period).minus(self.publish_ahead))
    }
}

/// The newest key of an algorithm.
pub fn newest(algorithm: Algorithm, all: &[KeyRecord]) -> Option<&KeyRecord> {
    all.iter().filter(|k| k.algorithm == algorithm).max_by_key(|k| (k.signs_from, &k.id))
}

fn successor<'a>(key: &KeyRecord, all: &'a [KeyRecord]) -> Option<&'a KeyRecord> {
    all.iter()
        .filter(|k| k.algorithm == key.algorithm && (k.signs_from, &k.id) > (key.signs_from, &key.id))
        .min_by_key(|k| (k.signs_from, &k.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: KeySchedule = KeySchedule {
        rotation_period: Duration::from_secs(1_000),
        publish_ahead: Duration::from_secs(100),
        verify_after: Duration::from_secs(50),
    };

    fn key(id: &str, signs_from: i64) -> KeyRecord {
        KeyRecord {
            id: KeyId::parse(id).unwrap(),
            algorithm: Algorithm::ES256,
            public: Jwk {
                kty: "EC".into(),
                public_key_use: None,
                alg: None,
                kid: None,
                crv: None,
                x: None,
                y: None,
                n: None,
                e: None,
            },
            sealed_private: vec![],
            created_at: Timestamp::EPOCH,
            signs_from: Timestamp::from_unix(signs_from),
        }
    }

    #[test]
    fn a_key_is_published_then_signs_then_verifies_then_retires() {
        let all = [key("old", 0), key("new", 1_000)];
        let phase = |i: usize, now| SCHEDULE.phase(&all[i], &all, Timestamp::from_unix(now));
        assert_eq!((phase(0, 999), phase(1, 999)), (KeyPhase::Signing, KeyPhase::Pending));
        assert_eq!((phase(0, 1_000), phase(1, 1_000)), (KeyPhase::Verifying, KeyPhase::Signing));
        assert_eq!((phase(0, 1_050), phase(1, 1_050)), (KeyPhase::Retired, KeyPhase::Signing));
    }

    #[test]
    fn at_any_time_exactly_one_key_of_an_algorithm_signs() {
        let all = [key("a", 0), key("b", 1_000), key("c", 1_000), key("d", 2_000)];
        for now in [0, 999, 1_000, 1_001, 1_999, 2_000, 9_999] {
            let signing =
                all.iter().filter(|k| SCHEDULE.phase(k, &all, Timestamp::from_unix(now)) == KeyPhase::Signing);
            assert_eq!(signing.count(), 1, "{now}");
        }
    }

    #[test]
    fn a_successor_is_due_early_enough_to_be_published_ahead() {
        assert_eq!(SCHEDULE.successor_due_at(Algorithm::ES256, &[key("a", 0)]), Some(Timestamp::from_unix(900)));
        assert_eq!(SCHEDULE.successor_due_at(Algorithm::RS256, &[key("a", 0)]), None);
    }
}
