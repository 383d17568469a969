//! The keys of the key store at one moment, opened and parsed.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::{KeyringError, header};
use crate::{
    adapter::signing_key::SigningKey,
    domain::{key::KeyRecord, time::Timestamp},
    port::crypto::{Purpose, Sealer},
    protocol::{access_token::AccessTokenClaims, jose::Algorithm},
    resource::jws::Jws,
};

/// How many tokens of one key are remembered as genuine; each takes less than a kilobyte.
const REMEMBERED: u64 = 16 * 1024;

/// A key that is ready to sign.
pub(super) struct Ready {
    pub(super) key: SigningKey,
    /// The encoded JOSE header of its tokens, with the dot.
    pub(super) header: String,
    /// What it was opened from: a record that still holds the same is not opened again.
    sealed: Vec<u8>,
    /// What tokens say whose signature was found to be by this key, by the digest of the whole token. Part of the key, so that it ends
    /// with it: a key that is no longer in the store vouches for nothing. Only what is genuine gets in, so nobody else can fill it.
    genuine: Cache<[u8; 32], Arc<AccessTokenClaims>>,
}

/// The keys, newest first; `records` and `ready` are in step.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) records: Vec<KeyRecord>,
    ready: Vec<Arc<Ready>>,
}

impl Snapshot {
    /// Opens the keys of `records`, except those that `before` has open.
    pub(super) fn open(mut records: Vec<KeyRecord>, sealer: &dyn Sealer, before: &Self) -> Result<Self, KeyringError> {
        records.sort_unstable_by(|a, b| (b.signs_from, &b.id).cmp(&(a.signs_from, &a.id)));
        let open = |record: &KeyRecord| {
            let known = before
                .by_id(record.id.as_str())
                .filter(|ready| ready.sealed == record.sealed_private && ready.key.algorithm() == record.algorithm);
            known.map_or_else(|| Ready::open(record, sealer).map(Arc::new), |ready| Ok(Arc::clone(ready)))
        };
        let ready = records.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { records, ready })
    }

    /// The key that signs: of those of the algorithm that have started, the newest. `KeySchedule::phase` says the same, more
    /// slowly.
    pub(super) fn signing(&self, algorithm: Algorithm, now: Timestamp) -> Option<&Ready> {
        let of_algorithm = |record: &KeyRecord| record.algorithm == algorithm && record.signs_from <= now;
        self.keys().find(|(record, _)| of_algorithm(record)).map(|(_, ready)| ready)
    }

    /// The key of that name. A handful of keys are compared faster than a name is hashed.
    pub(super) fn by_id(&self, id: &str) -> Option<&Arc<Ready>> {
        self.ready.iter().find(|ready| ready.key.id().as_str() == id)
    }

    /// Records and keys, newest first.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&KeyRecord, &Ready)> {
        self.records.iter().zip(self.ready.iter().map(Arc::as_ref))
    }
}

impl Ready {
    /// Opens the sealed key of a record and sees that it is the one whose name the record bears.
    pub(super) fn open(record: &KeyRecord, sealer: &dyn Sealer) -> Result<Self, KeyringError> {
        let kid = || record.id.clone();
        let context = context(record.algorithm, record.id.as_str());
        let pkcs8 = sealer
            .open(Purpose::SigningKey, &context, &record.sealed_private)
            .ok_or_else(|| KeyringError::WrongMasterKey { kid: kid() })?;
        let key = SigningKey::parse(record.algorithm, &pkcs8).map_err(|_| KeyringError::Damaged { kid: kid() })?;
        // What is published comes from the private key: whoever can write to the store cannot publish a key of their own.
        if *key.id() != record.id || *key.public() != record.public {
            return Err(KeyringError::Damaged { kid: kid() });
        }
        let header = header(record.algorithm, Some(record.id.as_str()));
        Ok(Self { key, header, sealed: record.sealed_private.clone(), genuine: Cache::new(REMEMBERED) })
    }

    /// What `jws`, which is `token` taken apart, says, if this key has signed it.
    ///
    /// A digest costs a hundredth of a signature check, and a token comes again and again. Whether it still counts is for the caller to
    /// judge each time.
    pub(super) fn signed_claims(&self, token: &str, jws: &Jws<'_>) -> Option<Arc<AccessTokenClaims>> {
        // Of the whole text: no two ways to take it apart have the same digest.
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(claims) = self.genuine.get(&digest) {
            return Some(claims);
        }
        if !self.key.verify(jws.message, &jws.signature) {
            return None;
        }
        let claims: Arc<AccessTokenClaims> = Arc::new(jws.claims()?);
        self.genuine.insert(digest, claims.clone());
        Some(claims)
    }
}

/// What a sealed key is bound to, so that boxes cannot be swapped in the store.
pub(super) fn context(algorithm: Algorithm, kid: &str) -> Vec<u8> {
    format!("{algorithm} {kid}").into_bytes()
}

/// Encodes `part` and the dot after it.
pub(super) fn encode_part(part: &[u8]) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(part);
    text.push('.');
    text
}
