//! Client assertions (RFC 7523 3): what a signed statement "I am this client" must say. The signature is checked before.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{
    identifier::ClientId,
    policy::{CLOCK_SKEW, remembered_until},
    time::Timestamp,
};
use crate::protocol::jose::AssertionClaims;

/// Why an assertion's claims are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AssertionRefusal {
    /// `iss` and `sub` are not both the client.
    #[error("iss and sub are not the client")]
    WrongClient,
    /// `aud` is neither the issuer nor the token endpoint.
    #[error("aud is not this server")]
    WrongAudience,
    /// `exp` has passed.
    #[error("expired")]
    Expired,
    /// `exp` is further away than allowed.
    #[error("valid for too long")]
    TooLong,
    /// `nbf` or `iat` lies ahead.
    #[error("not valid yet")]
    NotYet,
    /// `jti` is empty or longer than 255 bytes.
    #[error("jti is empty or too long")]
    BadId,
}

/// Names something that is counted or must happen once, such as one use of one assertion: a digest of what tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReplayId([u8; 32]);

impl ReplayId {
    /// From whatever must be used once only: `parts` are told apart by their lengths.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// From the bytes that a store kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For a store to keep.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A use that a store must see for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SingleUse {
    pub id: ReplayId,
    /// It may be forgotten then, because it would be refused anyway.
    pub until: Timestamp,
}

impl SingleUse {
    /// Of something that is accepted for the last time just before `end`; it is [remembered](remembered_until) for longer.
    pub fn accepted_until(end: Timestamp, id: ReplayId) -> Self {
        Self { id, until: remembered_until(end) }
    }
}

/// Judges the claims of an assertion by `client`; what is left to do is to see that it is used once.
pub fn verify(
    claims: &AssertionClaims,
    client: &ClientId,
    audiences: &[&str],
    longest: Duration,
    now: Timestamp,
) -> Result<SingleUse, AssertionRefusal> {
    // RFC 7523 3 (1, 2).
    if claims.iss != client.as_str() || claims.sub != client.as_str() {
        return Err(AssertionRefusal::WrongClient);
    }
    // RFC 7523 3 (3): one string, compared exactly.
    if !audiences.contains(&claims.aud.as_str()) {
        return Err(AssertionRefusal::WrongAudience);
    }
    let expires_at = Timestamp::from_unix(claims.exp);
    if expires_at.plus(CLOCK_SKEW).is_over(now) {
        return Err(AssertionRefusal::Expired);
    }
    if expires_at > now.plus(longest).plus(CLOCK_SKEW) {
        return Err(AssertionRefusal::TooLong);
    }
    let starts = claims.nbf.into_iter().chain(claims.iat).max();
    if starts.is_some_and(|start| Timestamp::from_unix(start) > now.plus(CLOCK_SKEW)) {
        return Err(AssertionRefusal::NotYet);
    }
    if claims.jti.is_empty() || claims.jti.len() > 255 {
        return Err(AssertionRefusal::BadId);
    }
    let id = ReplayId::of(&[b"client assertion", client.as_str().as_bytes(), claims.jti.as_bytes()]);
    Ok(SingleUse::accepted_until(expires_at.plus(CLOCK_SKEW), id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::LONGEST_REQUEST;

    const NOW: Timestamp = Timestamp::from_unix(10_000);
    const LONGEST: Duration = Duration::from_secs(600);

    fn claims() -> AssertionClaims {
        AssertionClaims {
            iss: "client".into(),
            sub: "client".into(),
            aud: "https://auth.example".into(),
            exp: 10_300,
            nbf: None,
            iat: Some(10_000),
            jti: "one".into(),
        }
    }

    fn judge(claims: &AssertionClaims) -> Result<SingleUse, AssertionRefusal> {
        let client = ClientId::parse("client").unwrap();
        verify(claims, &client, &["https://auth.example", "https://auth.example/oauth/token"], LONGEST, NOW)
    }

    #[test]
    fn issuer_and_token_endpoint_are_both_good_audiences() {
        assert!(judge(&claims()).is_ok());
        assert!(judge(&AssertionClaims { aud: "https://auth.example/oauth/token".into(), ..claims() }).is_ok());
    }

    #[test]
    fn each_claim_is_judged() {
        use AssertionRefusal::*;
        for (bad, why) in [
            (AssertionClaims { iss: "other".into(), ..claims() }, WrongClient),
            (AssertionClaims { sub: "other".into(), ..claims() }, WrongClient),
            (AssertionClaims { aud: "https://auth.example/".into(), ..claims() }, WrongAudience),
            (AssertionClaims { exp: 9_940, ..claims() }, Expired),
            (AssertionClaims { exp: 10_661, ..claims() }, TooLong),
            (AssertionClaims { nbf: Some(10_061), ..claims() }, NotYet),
            (AssertionClaims { iat: Some(10_061), ..claims() }, NotYet),
            (AssertionClaims { jti: String::new(), ..claims() }, BadId),
            (AssertionClaims { jti: "x".repeat(256), ..claims() }, BadId),
        ] {
            assert_eq!(judge(&bad), Err(why));
        }
    }

    /// By whoever judged it last, a slow request and a fast clock included.
    #[test]
    fn a_use_is_remembered_for_longer_than_the_assertion_is_accepted() {
        let client = ClientId::parse("client").unwrap();
        let judge = |now| verify(&claims(), &client, &["https://auth.example"], LONGEST, now);
        let last = Timestamp::from_unix(10_359);
        assert_eq!(judge(last.plus(Duration::from_secs(1))), Err(AssertionRefusal::Expired));
        let arrives = last.plus(LONGEST_REQUEST).plus(CLOCK_SKEW);
        assert!(!judge(last).unwrap().until.is_over(arrives));
        assert!(!judge(NOW).unwrap().until.is_over(arrives));
    }

    #[test]
    fn one_jti_of_two_clients_is_two_uses() {
        let ids = ["a", "b"].map(|client| ReplayId::of(&[client.as_bytes(), b"one"]));
        assert_ne!(ids[0], ids[1]);
        assert_ne!(ReplayId::of(&[b"ab", b"c"]), ReplayId::of(&[b"a", b"bc"]));
    }
}
