//! Cryptography with long-lived or slow secrets.

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::{
    domain::{account::PasswordHash, time::Timestamp},
    protocol::{
        access_token::AccessTokenClaims,
        jose::{Algorithm, AssertionClaims, JwkSet},
        secret::Secret,
    },
};

/// No token could be signed: there is no key for the algorithm, or the key failed.
#[derive(Debug, Error)]
#[error("cannot sign with {algorithm}: {reason}")]
pub struct SignError {
    pub algorithm: Algorithm,
    pub reason: &'static str,
}

/// Signs access tokens, and recognises those that it signed.
pub trait TokenSigner: Send + Sync {
    /// A compact JWS with `typ: at+jwt` (RFC 9068 2.1), signed by the key of `algorithm` that signs at `now`.
    fn sign(&self, algorithm: Algorithm, claims: &AccessTokenClaims, now: Timestamp) -> Result<String, SignError>;

    /// The claims of a token that one of our keys signed; `None` for anything else. Only the signature and the header are
    /// judged: issuer, time and standing are the caller's to check.
    fn verify(&self, token: &Secret) -> Option<Arc<AccessTokenClaims>>;

    /// The public keys that verifiers need at `now`.
    fn published_keys(&self, now: Timestamp) -> JwkSet;
}

/// Why a client assertion's signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AssertionError {
    /// Not a compact JWS with the claims of RFC 7523 3.
    #[error("malformed")]
    Malformed,
    /// An algorithm that is not accepted, `none` and HS256 included.
    #[error("algorithm not accepted")]
    Algorithm,
    /// No key of the client fits the header.
    #[error("no fitting key")]
    NoKey,
    /// The signature is wrong.
    #[error("bad signature")]
    BadSignature,
}

/// Checks the signatures of client assertions (RFC 7523).
pub trait AssertionVerifier: Send + Sync {
    /// The claims, once one of the client's `keys` has been seen to have signed them.
    fn verify(&self, assertion: &Secret, keys: &JwkSet) -> Result<AssertionClaims, AssertionError>;
}

/// What a sealed box is for: a box made for one purpose does not open for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The private half of a signing key, in the key store.
    SigningKey,
    /// An authorization request on its way through the browser.
    AuthorizationRequest,
}

impl Purpose {
    /// The label that separates the derived keys.
    pub const fn label(self) -> &'static [u8] {
        match self {
            Self::SigningKey => b"gateward signing key v1",
            Self::AuthorizationRequest => b"gateward authorization request v1",
        }
    }
}

/// Authenticated encryption.
pub trait Sealer: Send + Sync {
    /// Encrypts with the master key; `context` must be the same when it is opened.
    fn seal(&self, purpose: Purpose, context: &[u8], plaintext: &[u8]) -> Vec<u8>;

    /// Opens what [`Sealer::seal`] made; `None` if anything about it differs.
    fn open(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>>;

    /// Encrypts with a key derived from `secret` alone: whoever holds the secret can open it, nobody else, not even this
    /// server. The secret must have 256 bits of entropy.
    fn seal_with(&self, secret: &str, plaintext: &[u8]) -> Vec<u8>;

    /// Opens what [`Sealer::seal_with`] made.
    fn open_with(&self, secret: &str, sealed: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>>;
}

/// A password could not be hashed or checked: the hasher is out of memory or threads.
#[derive(Debug, Error)]
#[error("password hashing failed: {0}")]
pub struct PasswordError(pub String);

/// A place among the passwords that a [`PasswordHasher`] works on or has waiting. Dropping it gives it back.
pub struct HashingPlace {
    _held: Box<dyn Send + Sync>,
}

impl HashingPlace {
    /// Keeps `held` for as long as the place is kept.
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self { _held: Box::new(held) }
    }
}

impl std::fmt::Debug for HashingPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashingPlace").finish_non_exhaustive()
    }
}

/// Slow hashing of human passwords, off the reactor and a few at a time.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Takes a place, or says at once that there is none: whoever asks may come back later.
    fn place(&self) -> Result<HashingPlace, PasswordError>;

    /// Hashes a password.
    async fn hash(&self, password: Secret) -> Result<PasswordHash, PasswordError>;

    /// Whether the password is the one of `hash`. `None` stands for an unknown user: it takes the same time and is `false`.
    async fn verify(
        &self,
        place: HashingPlace,
        password: Secret,
        hash: Option<PasswordHash>,
    ) -> Result<bool, PasswordError>;
}
