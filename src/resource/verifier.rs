//! How a token becomes an [`Identity`], or does not.

use std::fmt;

use async_trait::async_trait;
use thiserror::Error;

use super::{identity::Identity, introspection::Introspector, jws, jwt::JwtVerifier};
use crate::domain::{policy::CLOCK_SKEW, resource::ResourceUri, scope::Scope, time::Timestamp};

/// Why a token does not count. The client hears `invalid_token`, whatever it is; this is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Rejection {
    #[error("not a JWT access token that can be read in only one way")]
    Malformed,
    #[error("its typ is not at+jwt")]
    WrongType,
    #[error("signed in a way that is not accepted")]
    Algorithm,
    #[error("the authorization server publishes no such key")]
    UnknownKey,
    #[error("the signature is wrong")]
    BadSignature,
    #[error("issued by somebody else")]
    WrongIssuer,
    #[error("for another resource")]
    WrongAudience,
    #[error("expired")]
    Expired,
    #[error("not valid yet")]
    NotYetValid,
    #[error("the authorization server says that it is not active")]
    Inactive,
}

/// Nobody can say whether the token counts: the authorization server cannot be reached.
#[derive(Debug, Clone, Error)]
#[error("{0}")]
pub struct Unavailable(pub(super) String);

impl Unavailable {
    /// Says what could not be done.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

/// Why there is no identity.
#[derive(Debug, Clone, Error)]
pub enum VerifyError {
    /// The token does not count: 401.
    #[error("the token was rejected: {0}")]
    Rejected(#[from] Rejection),
    /// Nobody can say: 503.
    #[error("the token cannot be verified: {0}")]
    Unavailable(#[from] Unavailable),
}

/// Verifies tokens in a way of its own: for [`ProtectedResource::verifier`](super::ProtectedResource::verifier). To implement it, write
/// `#[async_trait::async_trait]` above the `impl`.
#[async_trait]
pub trait TokenVerifier: Send + Sync {
    /// Judges a token at `now`.
    ///
    /// What comes back speaks for a token of the right issuer, for the right resource, that counts at `now`.
    async fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, VerifyError>;
}

/// How a protected resource verifies.
pub(super) enum Verifier {
    Offline(JwtVerifier),
    Introspection(Introspector),
    /// Offline what is a JWT, by introspection what is not, and by both what would do one of `always`.
    Both {
        offline: JwtVerifier,
        introspection: Introspector,
        always: Scope,
    },
    Other(std::sync::Arc<dyn TokenVerifier>),
}

impl Verifier {
    pub(super) async fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, VerifyError> {
        match self {
            Self::Offline(offline) => offline.verify(token, now).await,
            Self::Introspection(introspection) => introspection.verify(token, now).await,
            Self::Both { offline, introspection, .. } => {
                if jws::is_compact(token) {
                    offline.verify(token, now).await
                } else {
                    introspection.verify(token, now).await
                }
            }
            Self::Other(verifier) => verifier.verify(token, now).await,
        }
    }

    /// A second look, at a token that was verified offline and would do something sensitive: what the authorization server says of it
    /// now; `None` where there is no need to ask.
    pub(super) async fn confirm(
        &self,
        token: &str,
        needed: &Scope,
        now: Timestamp,
    ) -> Result<Option<Identity>, VerifyError> {
        match self {
            Self::Both { introspection, always, .. } if jws::is_compact(token) && overlap(needed, always) => {
                introspection.verify(token, now).await.map(Some)
            }
            Self::Both { .. } | Self::Offline(_) | Self::Introspection(_) | Self::Other(_) => Ok(None),
        }
    }

    /// Whether a token that counted when its stream began still does.
    pub(super) async fn verify_again(&self, token: &str, now: Timestamp) -> Result<(), VerifyError> {
        match self {
            // Nobody but the authorization server knows of a revocation.
            Self::Introspection(introspection) | Self::Both { introspection, .. } => {
                introspection.verify(token, now).await.map(drop)
            }
            Self::Offline(_) => self.verify(token, now).await.map(drop),
            Self::Other(verifier) => verifier.verify(token, now).await.map(drop),
        }
    }
}

/// Whether the two have anything in common, under a name of its own or a broader one.
fn overlap(needed: &Scope, always: &Scope) -> bool {
    needed.iter().any(|needed| always.iter().any(|always| always.covers(needed) || needed.covers(always)))
}

/// Whether `now` lies between the two ends of a token (RFC 7519 4.1.4, 4.1.5). An end gets no leeway, a beginning does: the clock of
/// whoever issued it may be ahead.
pub(super) fn judge_times(
    not_before: Option<Timestamp>,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), Rejection> {
    if expires_at.is_over(now) {
        return Err(Rejection::Expired);
    }
    if not_before.is_some_and(|start| start > now.plus(CLOCK_SKEW)) {
        return Err(Rejection::NotYetValid);
    }
    Ok(())
}

/// RFC 8707 2: one of the audiences is this resource, under whatever spelling.
pub(super) fn judge_audience(audiences: &[String], resource: &ResourceUri) -> Result<(), Rejection> {
    let is_here = |audience: &String| {
        audience == resource.as_str() || ResourceUri::parse(audience).is_ok_and(|audience| audience == *resource)
    };
    if audiences.iter().any(is_here) { Ok(()) } else { Err(Rejection::WrongAudience) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_gets_no_leeway_and_a_beginning_a_minute() {
        let at = Timestamp::from_unix;
        assert_eq!(judge_times(None, at(100), at(99)), Ok(()));
        assert_eq!(judge_times(None, at(100), at(100)), Err(Rejection::Expired));
        assert_eq!(judge_times(Some(at(159)), at(200), at(99)), Ok(()));
        assert_eq!(judge_times(Some(at(160)), at(200), at(99)), Err(Rejection::NotYetValid));
        assert_eq!(judge_times(Some(at(i64::MAX)), at(i64::MAX), at(0)), Err(Rejection::NotYetValid));
        assert_eq!(judge_times(Some(at(i64::MIN)), at(i64::MAX), at(0)), Ok(()));
        assert_eq!(judge_times(None, at(i64::MIN), at(0)), Err(Rejection::Expired));
    }

    #[test]
    fn an_audience_is_this_resource_in_any_spelling_and_no_other() {
        let resource = ResourceUri::parse("https://mcp.example.com/mcp").unwrap();
        let judge = |audiences: &[&str]| {
            let audiences: Vec<String> = audiences.iter().map(|audience| (*audience).to_owned()).collect();
            judge_audience(&audiences, &resource).is_ok()
        };
        assert!(judge(&["https://mcp.example.com/mcp"]) && judge(&["x", "HTTPS://mcp.EXAMPLE.com:443/mcp"]));
        for other in ["", "https://mcp.example.com", "https://mcp.example.com/mcp/", "https://mcp.example.com/mcp?x"] {
            assert!(!judge(&[other]), "{other}");
        }
        assert!(!judge(&[]));
    }

    #[test]
    fn scopes_overlap_when_one_of_them_covers_the_other() {
        let overlap = |a: &str, b: &str| overlap(&Scope::parse(a).unwrap(), &Scope::parse(b).unwrap());
        assert!(overlap("a b", "b c") && overlap("mcp:x", "mcp:*") && overlap("mcp:*", "mcp:x"));
        assert!(!overlap("a", "b") && !overlap("", "a") && !overlap("a", "") && !overlap("mcp:x", "mcp:y other:*"));
    }
}
