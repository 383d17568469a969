//! Offline verification of JWT access tokens (RFC 9068 4).
//!
//! 1. The header must say `at+jwt`, and name an algorithm with a public key: an ID token, a client assertion, `none` and a MAC end
//!    here.
//! 2. The signature must be by a key that the issuer publishes.
//! 3. The claims must name this issuer, this resource, and a time that is now.
//!
//! What was verified once is remembered, by the digest of the whole token: a signature costs fifty times as much as a digest.
//! Remembered is what the token says, not that it counts: its times are compared at each use, and it is verified again when
//! the issuer publishes other keys.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    identity::{Identity, IdentityParts},
    jwks::KeySource,
    jws::Jws,
    key_set::Signed,
    verifier::{Rejection, VerifyError, judge_audience, judge_times},
};
use crate::{
    domain::{resource::ResourceUri, scope::Scope, time::Timestamp},
    protocol::{access_token::ACCESS_TOKEN_TYPE, jose::Algorithm},
};

/// How many verified tokens are remembered; each takes about a kilobyte.
const REMEMBERED: u64 = 16 * 1024;

pub(super) struct JwtVerifier {
    issuer: String,
    resource: ResourceUri,
    keys: KeySource,
    verified: moka::sync::Cache<[u8; 32], Verified>,
}

#[derive(Clone)]
struct Verified {
    identity: Identity,
    /// Of the keys that it was verified with.
    version: u64,
}

/// The claims that decide anything; an issuer may add others.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    jti: Option<String>,
    client_id: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    grant_id: Option<String>,
}

/// RFC 7519 4.1.3: one, or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

impl JwtVerifier {
    pub(super) fn new(issuer: String, resource: ResourceUri, keys: KeySource) -> Self {
        Self { issuer, resource, keys, verified: moka::sync::Cache::new(REMEMBERED) }
    }

    pub(super) async fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, VerifyError> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(Verified { identity, version }) = self.verified.get(&digest)
            && version == self.keys.current(now).await?.version
        {
            judge_times(identity.not_before(), identity.expires_at(), now)?;
            return Ok(identity);
        }
        let jws = Jws::split(token).ok_or(Rejection::Malformed)?;
        let header = jws.header().ok_or(Rejection::Malformed)?;
        if !header.is_of_type(ACCESS_TOKEN_TYPE) {
            return Err(Rejection::WrongType.into());
        }
        let algorithm: Algorithm = header.alg.parse().map_err(|_| Rejection::Algorithm)?;
        if !Algorithm::ASYMMETRIC.contains(&algorithm) {
            return Err(Rejection::Algorithm.into());
        }
        // What cannot be a token is not worth a question.
        let looks = self.keys.looks();
        let mut keys = self.keys.current(now).await?;
        let check =
            |set: &super::key_set::KeySet| set.check(algorithm, header.kid.as_deref(), jws.message, &jws.signature);
        let mut signed = check(&keys.set);
        if signed == Signed::UnknownKey {
            keys = self.keys.newer_than(looks, now).await?;
            signed = check(&keys.set);
        }
        match signed {
            Signed::Genuine => {}
            Signed::Forged => return Err(Rejection::BadSignature.into()),
            Signed::UnknownKey => return Err(Rejection::UnknownKey.into()),
        }
        let claims = jws.claims().ok_or(Rejection::Malformed)?;
        let identity = self.judge(claims, now)?;
        self.verified.insert(digest, Verified { identity: identity.clone(), version: keys.version });
        Ok(identity)
    }

    /// RFC 9068 4, from the issuer on.
    fn judge(&self, claims: Claims, now: Timestamp) -> Result<Identity, Rejection> {
        if claims.iss != self.issuer {
            return Err(Rejection::WrongIssuer);
        }
        judge_audience(claims.aud.all(), &self.resource)?;
        let (not_before, expires_at) = (claims.nbf.map(Timestamp::from_unix), Timestamp::from_unix(claims.exp));
        judge_times(not_before, expires_at, now)?;
        Ok(Identity::from(IdentityParts {
            issuer: claims.iss,
            subject: claims.sub,
            username: None,
            client_id: claims.client_id,
            scope: Scope::parse(&claims.scope).map_err(|_| Rejection::Malformed)?,
            resource: self.resource.clone(),
            token_id: claims.jti,
            grant_id: claims.grant_id,
            not_before,
            expires_at,
        }))
    }
}
