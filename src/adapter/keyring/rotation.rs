//! How keys follow each other: the first one, successors on schedule, removal, rotation and revocation by hand.
//!
//! Every instance may run this at any time. `KeyStore::add` lets one of several win; the others read again and find the work
//! done.

use super::{Keyring, KeyringError, snapshot};
use crate::{
    adapter::signing_key::SigningKey,
    domain::{
        identifier::KeyId,
        key::{self, KeyPhase, KeyRecord},
        policy::CLOCK_SKEW,
        time::Timestamp,
    },
    port::{
        crypto::Purpose,
        store::{Addition, KeyStore},
    },
    protocol::jose::Algorithm,
};

/// What [`Keyring::maintain`] did; for the log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Maintenance {
    pub added: Vec<KeyId>,
    pub removed: Vec<KeyId>,
}

/// What [`Keyring::rotate`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The key that signs next.
    pub id: KeyId,
    pub signs_from: Timestamp,
    /// `false`: that key had been published before, and nothing was added.
    pub added: bool,
}

/// What [`Keyring::revoke`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub algorithm: Algorithm,
    /// The key that was made to sign in its place, if it was the one that signed.
    pub successor: Option<KeyId>,
}

/// How often a rotation by hand is tried against other instances.
const ATTEMPTS: usize = 4;

impl Keyring {
    /// Brings the key store in line with the policy: each algorithm has a key, a successor is published in time, and keys
    /// whose last token has expired are removed. Reads the store before and after.
    pub async fn maintain(&self, now: Timestamp) -> Result<Maintenance, KeyringError> {
        self.refresh().await?;
        let mut done = Maintenance::default();
        for &algorithm in self.policy.algorithms.iter().filter(|a| **a != Algorithm::HS256) {
            let Some((signs_from, newest)) = self.due(algorithm, now) else { continue };
            match self.add(algorithm, signs_from, newest.as_ref(), now).await? {
                Some(id) => done.added.push(id),
                None => tracing::debug!(%algorithm, "another instance added the key first"),
            }
        }
        for (record, phase) in self.keys(now) {
            if phase == KeyPhase::Retired && self.store.remove(&record.id).await? {
                done.removed.push(record.id);
            }
        }
        self.refresh().await?;
        Ok(done)
    }

    /// Makes a new key take over. Usually it is published ahead, and a successor that already is counts as it; `at_once` is for
    /// a key that may have leaked: the new one signs from `now`, and the old one is still accepted until its tokens have expired.
    pub async fn rotate(&self, algorithm: Algorithm, at_once: bool, now: Timestamp) -> Result<Rotation, KeyringError> {
        for _ in 0..ATTEMPTS {
            self.refresh().await?;
            let snapshot = self.current();
            let keys = || snapshot.records.iter().filter(|key| key.algorithm == algorithm);
            let usual = now.plus(self.policy.schedule.publish_ahead);
            // One that starts later than a new one would does not count: a clock that ran ahead has made it.
            let pending = keys().find(|key| now < key.signs_from && key.signs_from <= usual);
            if let Some(pending) = pending.filter(|_| !at_once) {
                return Ok(Rotation { id: pending.id.clone(), signs_from: pending.signs_from, added: false });
            }
            let current = keys().map(|key| key.signs_from).filter(|start| *start <= now).max();
            let newest = key::newest(algorithm, &snapshot.records);
            let signs_from = match (current, at_once) {
                (None, _) => first_signs_from(now),
                (Some(_), false) => usual,
                // Later than the key that it replaces, even if that one started in this very second.
                (Some(current), true) => now.max(Timestamp::from_unix(current.unix().saturating_add(1))),
            };
            if let Some(id) = self.add(algorithm, signs_from, newest.map(|newest| &newest.id), now).await? {
                self.refresh().await?;
                return Ok(Rotation { id, signs_from, added: true });
            }
        }
        Err(KeyringError::Contended(algorithm))
    }

    /// Takes back a key that others may know: it signs no more, is not published, and what it signed is not recognised. The other
    /// instances follow when they next read the key store. `None` if there is no such key.
    ///
    /// If it is the one that signs, another one takes over first: whoever is interrupted in between has not taken it back, and
    /// may do so again; nobody is left without a key.
    pub async fn revoke(&self, id: &KeyId, now: Timestamp) -> Result<Option<Revocation>, KeyringError> {
        self.refresh().await?;
        let Some((key, phase)) = self.keys(now).into_iter().find(|(key, _)| key.id == *id) else { return Ok(None) };
        let signs = match phase {
            KeyPhase::Signing => self.policy.algorithms.contains(&key.algorithm),
            KeyPhase::Pending | KeyPhase::Verifying | KeyPhase::Retired => false,
        };
        let successor = if signs { Some(self.rotate(key.algorithm, true, now).await?.id) } else { None };
        // If it is gone meanwhile, somebody else has done the same.
        self.store.remove(id).await?;
        self.refresh().await?;
        Ok(Some(Revocation { algorithm: key.algorithm, successor }))
    }

    /// When the next key has to start, if it has to be made now, and the key that it follows.
    fn due(&self, algorithm: Algorithm, now: Timestamp) -> Option<(Timestamp, Option<KeyId>)> {
        let (snapshot, schedule) = (self.current(), self.policy.schedule);
        let (Some(newest), Some(due_at)) =
            (key::newest(algorithm, &snapshot.records), schedule.successor_due_at(algorithm, &snapshot.records))
        else {
            return Some((first_signs_from(now), None));
        };
        // A clock that ran ahead has made the only keys, and they start to sign far from now: somebody must until then.
        let of_algorithm = || snapshot.records.iter().filter(|key| key.algorithm == algorithm);
        if of_algorithm().all(|key| now < key.signs_from) {
            return Some((first_signs_from(now), Some(newest.id.clone())));
        }
        if now < due_at {
            return None;
        }
        // After a long stop the time has passed already: published ahead all the same, while the old key goes on.
        let on_time = newest.signs_from.plus(schedule.rotation_period);
        Some((on_time.max(now.plus(schedule.publish_ahead)), Some(newest.id.clone())))
    }

    /// Makes a key and adds it, unless another instance was first.
    pub(super) async fn add(
        &self,
        algorithm: Algorithm,
        signs_from: Timestamp,
        newest: Option<&KeyId>,
        now: Timestamp,
    ) -> Result<Option<KeyId>, KeyringError> {
        // Hundreds of milliseconds for RSA.
        let made = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm));
        let key = made.await.map_err(|_| KeyringError::Stopped)??;
        let context = snapshot::context(algorithm, key.id().as_str());
        let record = KeyRecord {
            id: key.id().clone(),
            algorithm,
            public: key.public().clone(),
            sealed_private: self.sealer.seal(Purpose::SigningKey, &context, &key.to_pkcs8()?),
            created_at: now,
            signs_from,
        };
        // A key that could not be opened again would stop every instance.
        snapshot::Ready::open(&record, &*self.sealer)?;
        match KeyStore::add(&*self.store, &record, newest).await? {
            Addition::Added => Ok(Some(record.id)),
            Addition::Superseded => Ok(None),
        }
    }
}

/// The first key of an algorithm signs at once, and on instances whose clock is a little behind as well.
fn first_signs_from(now: Timestamp) -> Timestamp {
    now.minus(CLOCK_SKEW)
}
