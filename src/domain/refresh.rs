//! Refresh tokens (RFC 6749 6, RFC 9700 4.14): rotated on every use, idempotently for a short while, replay-detecting after.
//!
//! A token is *current* until it is rotated. For a short window after that, while its successor is unused, presenting it again
//! is the same request arriving twice (a lost answer, two sessions of one agent), and gets the same successor. Any later
//! return is a replay: somebody holds a copy, and nobody can say who, so the grant ends.

use std::time::Duration;

use super::{
    code::ProvenReplay,
    credential::{Digest, RefreshToken},
    grant::{Grant, TargetRefused, choose_audience},
    identifier::ClientId,
    resource::{Resource, Resources},
    scope::Scope,
    time::Timestamp,
};
use crate::protocol::token::Refresh;

/// A refresh token when it is issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefresh {
    pub digest: Digest<RefreshToken>,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A refresh token as a store knows it, with its grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRecord {
    pub token: NewRefresh,
    pub grant: Grant,
    pub state: RefreshState,
}

/// The life-stages of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshState {
    /// It can be rotated.
    Current,
    /// It has a successor.
    Rotated(Rotated),
}

/// How a token was rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    pub at: Timestamp,
    /// The successor, sealed with a key that only the holder of the parent can derive.
    pub sealed_successor: Vec<u8>,
    /// Whether the successor has itself been rotated: then its holder has received it.
    pub successor_used: bool,
}

/// Why a refresh is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshRefusal {
    /// It was issued to another client.
    WrongClient,
    /// The grant was revoked.
    GrantRevoked,
    /// It was rotated too long ago, or its successor was used.
    Replayed(ProvenReplay),
    /// Too late.
    Expired,
    /// The request asks for more scope than was granted.
    ScopeWidened,
    /// The request asks for a resource beyond the grant.
    TargetRefused,
}

/// A refresh request that may get an access token: its own client, an active grant, a scope and audience within it.
#[derive(Debug)]
pub struct VerifiedRefresh<'a> {
    digest: Digest<RefreshToken>,
    grant: Grant,
    scope: Scope,
    audience: &'a Resource,
}

impl<'a> VerifiedRefresh<'a> {
    /// Names the token in the store.
    pub fn digest(&self) -> &Digest<RefreshToken> {
        &self.digest
    }

    /// What the human granted.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// What the human granted, once the token is rotated.
    pub fn into_grant(self) -> Grant {
        self.grant
    }

    /// The scope of the new access token.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The resource that the new access token is for.
    pub fn audience(&self) -> &'a Resource {
        self.audience
    }
}

/// What may happen next.
#[derive(Debug)]
pub enum RefreshVerdict<'a> {
    /// Rotate it.
    Rotate(VerifiedRefresh<'a>),
    /// The request came twice: hand out the successor that exists.
    Repeat { refresh: VerifiedRefresh<'a>, sealed_successor: Vec<u8> },
}

/// Judges a refresh by `client`, who has authenticated.
///
/// `window` is how long a rotated token may come back while its successor is unused.
pub fn verify<'a>(
    record: RefreshRecord,
    client: &ClientId,
    request: &Refresh,
    resources: &'a Resources,
    window: Duration,
    now: Timestamp,
) -> Result<RefreshVerdict<'a>, RefreshRefusal> {
    let RefreshRecord { token, grant, state } = record;
    // RFC 6749 6: bound to the client it was issued to.
    if grant.client_id != *client {
        return Err(RefreshRefusal::WrongClient);
    }
    if !grant.is_active() {
        return Err(RefreshRefusal::GrantRevoked);
    }
    let repeat = match state {
        RefreshState::Current => None,
        RefreshState::Rotated(rotated) => {
            // A clock that is behind the one that rotated it sees "the future"; that is still inside the window.
            if rotated.successor_used || rotated.at.plus(window).is_over(now) {
                return Err(RefreshRefusal::Replayed(ProvenReplay::of(grant.id)));
            }
            Some(rotated.sealed_successor)
        }
    };
    if token.expires_at.is_over(now) {
        return Err(RefreshRefusal::Expired);
    }
    let scope = match request.scope.as_deref().map(Scope::parse) {
        None => grant.scope.clone(),
        Some(Ok(asked)) if asked.is_within(&grant.scope) && !asked.is_empty() => asked,
        Some(_) => return Err(RefreshRefusal::ScopeWidened),
    };
    let audience = choose_audience(&grant.resources, &request.resources, resources)
        .map_err(|TargetRefused| RefreshRefusal::TargetRefused)?;
    let refresh = VerifiedRefresh { digest: token.digest, grant, scope, audience };
    Ok(match repeat {
        None => RefreshVerdict::Rotate(refresh),
        Some(sealed_successor) => RefreshVerdict::Repeat { refresh, sealed_successor },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::grant::{
            Revocation, RevocationReason,
            tests::{grant, resources},
        },
        protocol::secret::Secret,
    };

    const NOW: Timestamp = Timestamp::from_unix(2_000);
    const WINDOW: Duration = Duration::from_secs(60);

    fn record(state: RefreshState) -> RefreshRecord {
        RefreshRecord {
            token: NewRefresh {
                digest: Digest::of("token"),
                issued_at: Timestamp::from_unix(1_000),
                expires_at: Timestamp::from_unix(3_000),
            },
            grant: grant(),
            state,
        }
    }

    fn rotated(at: i64, successor_used: bool) -> RefreshState {
        RefreshState::Rotated(Rotated { at: Timestamp::from_unix(at), sealed_successor: vec![1], successor_used })
    }

    fn request(scope: Option<&str>) -> Refresh {
        Refresh { refresh_token: Secret::new("token"), scope: scope.map(str::to_owned), resources: vec![] }
    }

    /// The verdict as a word, with the scope of the new token.
    fn judge(
        record: RefreshRecord,
        client: &str,
        request: &Refresh,
        now: Timestamp,
    ) -> Result<(&'static str, String), RefreshRefusal> {
        let all = resources(&["https://a.example/mcp"]);
        verify(record, &ClientId::parse(client).unwrap(), request, &all, WINDOW, now).map(|verdict| match verdict {
            RefreshVerdict::Rotate(refresh) => ("rotate", refresh.scope().to_string()),
            RefreshVerdict::Repeat { refresh, .. } => ("repeat", refresh.scope().to_string()),
        })
    }

    #[test]
    fn a_current_token_is_rotated_with_the_granted_scope() {
        let verdict = judge(record(RefreshState::Current), "client", &request(None), NOW).unwrap();
        assert_eq!(verdict, ("rotate", "mcp:read mcp:write offline_access".into()));
    }

    #[test]
    fn inside_the_window_a_parent_with_an_unused_successor_is_a_repeated_request() {
        for at in [1_941, 2_000, 2_030] {
            assert_eq!(judge(record(rotated(at, false)), "client", &request(None), NOW).unwrap().0, "repeat", "{at}");
        }
    }

    #[test]
    fn after_the_window_a_parent_is_a_replay() {
        let verdict = judge(record(rotated(1_940, false)), "client", &request(None), NOW);
        assert!(matches!(verdict, Err(RefreshRefusal::Replayed(_))));
    }

    #[test]
    fn once_the_successor_was_used_a_parent_is_a_replay() {
        let verdict = judge(record(rotated(2_000, true)), "client", &request(None), NOW);
        assert!(matches!(verdict, Err(RefreshRefusal::Replayed(_))));
    }

    #[test]
    fn another_clients_token_is_refused_and_never_a_replay() {
        let verdict = judge(record(rotated(0, true)), "other", &request(None), NOW);
        assert_eq!(verdict, Err(RefreshRefusal::WrongClient));
    }

    #[test]
    fn a_revoked_grant_and_an_expired_token_are_refused() {
        let mut revoked = record(RefreshState::Current);
        revoked.grant.revocation = Some(Revocation { at: NOW, reason: RevocationReason::ByClient });
        assert_eq!(judge(revoked, "client", &request(None), NOW), Err(RefreshRefusal::GrantRevoked));
        let late = Timestamp::from_unix(3_000);
        assert_eq!(judge(record(RefreshState::Current), "client", &request(None), late), Err(RefreshRefusal::Expired));
    }

    #[test]
    fn scope_may_narrow_and_not_widen() {
        let ask = |scope| judge(record(RefreshState::Current), "client", &request(Some(scope)), NOW);
        assert_eq!(ask("mcp:read"), Ok(("rotate", "mcp:read".into())));
        assert_eq!(ask("mcp:read mcp:execute"), Err(RefreshRefusal::ScopeWidened));
        assert_eq!(ask("mcp:\"read"), Err(RefreshRefusal::ScopeWidened));
    }
}
