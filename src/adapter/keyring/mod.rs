//! The signing keys in use: signs access tokens, recognises them, publishes the public halves, and lets keys follow each other.
//!
//! ```text
//! key store --list, open, parse--> snapshot --> sign, verify, publish      (each request: no store, no lock while signing)
//!     ^                                ^
//!     +---- maintain, rotate ----------+---- refresh                       (each minute or so, and from the command line)
//! ```
//!
//! All instances share one key store and come to the same keys by its rules (`domain::key`): a key is published ahead of its
//! first signature for longer than instances refresh and verifiers cache, so every instance can verify what another one signs.
//! The first key of an algorithm and one that was rotated in at once have no such head start: another instance recognises their
//! tokens only after its next refresh.

mod rotation;
mod snapshot;

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
pub use rotation::{Maintenance, Revocation, Rotation};
use snapshot::{Snapshot, encode_part};
use thiserror::Error;
use tokio::sync::Mutex;

use super::signing_key::SigningKeyError;
use crate::{
    domain::{
        identifier::KeyId,
        key::{KeyPhase, KeyRecord},
        policy::KeyPolicy,
        time::Timestamp,
    },
    port::{
        crypto::{Sealer, SignError, TokenSigner},
        store::{KeyStore, StoreError},
    },
    protocol::{
        access_token::{ACCESS_TOKEN_TYPE, AccessTokenClaims},
        jose::{Algorithm, JwkSet},
        secret::Secret,
    },
    resource::jws::Jws,
};

/// The shortest secret for HS256 (RFC 7518 3.2): as long as the hash.
pub const MIN_SHARED_SECRET: usize = 32;

/// The keyring could not be read or changed. For the log.
#[derive(Debug, Error)]
pub enum KeyringError {
    #[error("the key store failed")]
    Store(#[from] StoreError),
    #[error(
        "the signing key {kid} does not open: it was sealed with another master key; start with the master key that this store \
         was made with"
    )]
    WrongMasterKey { kid: KeyId },
    #[error("the signing key {kid} opens, but is not the key that its record names")]
    Damaged { kid: KeyId },
    #[error("no signing key could be made")]
    Generate(#[from] SigningKeyError),
    #[error(
        "the secret for HS256 has {length} bytes: it needs at least {MIN_SHARED_SECRET}, e.g. from `openssl rand -base64 48`"
    )]
    WeakSharedSecret { length: usize },
    #[error("other instances keep adding {0} keys: try again")]
    Contended(Algorithm),
    #[error("stopped while a key was being made")]
    Stopped,
}

/// Signs HS256 tokens with the operator's secret, which is in no store and in no JWKS.
struct Shared {
    key: hmac::Key,
    header: String,
}

/// The keys of the key store, ready to use.
pub struct Keyring {
    store: Arc<dyn KeyStore>,
    sealer: Arc<dyn Sealer>,
    policy: KeyPolicy,
    shared: Option<Shared>,
    /// Replaced as a whole; whoever signs holds the lock only to count one more owner.
    snapshot: RwLock<Arc<Snapshot>>,
    /// Held while the store is read, so that an older reading never replaces a newer one.
    refreshing: Mutex<()>,
}

impl Keyring {
    /// Reads the key store and opens every key. Makes none: that is [`Keyring::maintain`].
    ///
    /// `shared_secret` enables HS256; it needs at least [`MIN_SHARED_SECRET`] bytes.
    pub async fn load(
        store: Arc<dyn KeyStore>,
        sealer: Arc<dyn Sealer>,
        policy: KeyPolicy,
        shared_secret: Option<&Secret>,
    ) -> Result<Self, KeyringError> {
        let shared = shared_secret.map(Shared::new).transpose()?;
        let (snapshot, refreshing) = (RwLock::default(), Mutex::default());
        let keyring = Self { store, sealer, policy, shared, snapshot, refreshing };
        keyring.refresh().await?;
        Ok(keyring)
    }

    /// Reads the key store again. On an error everything stays as it was.
    pub async fn refresh(&self) -> Result<(), KeyringError> {
        let _one_at_a_time = self.refreshing.lock().await;
        let records = self.store.list().await?;
        let next = Snapshot::open(records, &*self.sealer, &self.current())?;
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    /// Every key of the last reading with its phase at `now`, newest first; for the command line.
    pub fn keys(&self, now: Timestamp) -> Vec<(KeyRecord, KeyPhase)> {
        let snapshot = self.current();
        let phase = |key: &KeyRecord| self.policy.schedule.phase(key, &snapshot.records, now);
        snapshot.records.iter().map(|key| (key.clone(), phase(key))).collect()
    }

    fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TokenSigner for Keyring {
    fn sign(&self, algorithm: Algorithm, claims: &AccessTokenClaims, now: Timestamp) -> Result<String, SignError> {
        let failed = |reason| SignError { algorithm, reason };
        let claims = serde_json::to_vec(claims).map_err(|_| failed("the claims are no JSON"))?;
        let token = if algorithm == Algorithm::HS256 {
            let shared = self.shared.as_ref().ok_or_else(|| failed("no shared secret is configured"))?;
            assemble(&shared.header, &claims, |message| Ok(hmac::sign(&shared.key, message)))
        } else {
            let snapshot = self.current();
            let ready = snapshot.signing(algorithm, now).ok_or_else(|| failed("no key signs now"))?;
            assemble(&ready.header, &claims, |message| ready.key.sign(message))
        };
        token.map_err(|_| failed("the key failed"))
    }

    fn verify(&self, token: &Secret) -> Option<Arc<AccessTokenClaims>> {
        let jws = Jws::split(token.expose())?;
        let header = jws.header()?;
        // RFC 9068 4, RFC 8725 3.11: an assertion or an ID token is not an access token, whoever signed it.
        if !header.is_of_type(ACCESS_TOKEN_TYPE) {
            return None;
        }
        let algorithm: Algorithm = header.alg.parse().ok()?;
        match (algorithm == Algorithm::HS256, &header.kid) {
            (true, None) => {
                let key = &self.shared.as_ref()?.key;
                hmac::verify(key, jws.message, &jws.signature).ok().and_then(|()| jws.claims()).map(Arc::new)
            }
            (false, Some(kid)) => {
                let snapshot = self.current();
                let ready = snapshot.by_id(kid)?;
                // The key says how it is used, not the token (RFC 8725 3.1).
                (ready.key.algorithm() == algorithm).then(|| ready.signed_claims(token.expose(), &jws))?
            }
            (true, Some(_)) | (false, None) => None,
        }
    }

    fn published_keys(&self, now: Timestamp) -> JwkSet {
        let snapshot = self.current();
        let published = |record: &KeyRecord| match self.policy.schedule.phase(record, &snapshot.records, now) {
            KeyPhase::Pending | KeyPhase::Signing | KeyPhase::Verifying => true,
            KeyPhase::Retired => false,
        };
        let keys = snapshot.keys().filter(|(record, _)| published(record));
        JwkSet { keys: keys.map(|(_, ready)| ready.key.public().clone()).collect() }
    }
}

impl Shared {
    fn new(secret: &Secret) -> Result<Self, KeyringError> {
        let bytes = secret.expose().as_bytes();
        if bytes.len() < MIN_SHARED_SECRET {
            return Err(KeyringError::WeakSharedSecret { length: bytes.len() });
        }
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, bytes), header: header(Algorithm::HS256, None) })
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let snapshot = self.current();
        f.debug_list().entries(snapshot.keys().map(|(_, ready)| &ready.key)).finish()
    }
}

/// An encoded JOSE header with the dot after it (RFC 9068 2.1). Neither value needs escaping in JSON.
fn header(algorithm: Algorithm, kid: Option<&str>) -> String {
    let kid = kid.map(|kid| format!(r#","kid":"{kid}""#)).unwrap_or_default();
    encode_part(format!(r#"{{"alg":"{algorithm}","typ":"{ACCESS_TOKEN_TYPE}"{kid}}}"#).as_bytes())
}

/// Header, claims and signature in one text. Room for a 2048-bit RSA signature, so that it is allocated once.
fn assemble<S: AsRef<[u8]>>(
    header: &str,
    claims: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<S, SigningKeyError>,
) -> Result<String, SigningKeyError> {
    const SIGNATURE: usize = 1 + 256usize.div_ceil(3) * 4;
    let mut token = String::with_capacity(header.len() + claims.len().div_ceil(3) * 4 + SIGNATURE);
    token.push_str(header);
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

#[cfg(test)]
mod rotation_tests;
#[cfg(test)]
mod tests;
