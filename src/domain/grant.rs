//! A grant: one act of a human granting one client some scope at some resources. Everything issued hangs off it.

use serde::{Deserialize, Serialize};

use super::{
    identifier::{ClientId, GrantId, UserId},
    resource::{Resource, ResourceUri, Resources},
    scope::Scope,
    time::Timestamp,
};

/// Why a grant ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReason {
    /// The client revoked its refresh token (RFC 7009).
    ByClient,
    /// A spent code came back (RFC 6749 4.1.2).
    CodeReplayed,
    /// A rotated refresh token came back (RFC 9700 4.14.2).
    RefreshReplayed,
    /// An operator ended it.
    ByOperator,
    /// The client was deleted.
    ClientRemoved,
    /// The human's account was disabled.
    UserDisabled,
}

/// That a grant ended early, when and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub at: Timestamp,
    pub reason: RevocationReason,
}

/// One authorization of a client by a human.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub id: GrantId,
    pub client_id: ClientId,
    pub user_id: UserId,
    pub scope: Scope,
    /// Never empty; the first one is the audience of tokens whose request names none.
    pub resources: Vec<ResourceUri>,
    /// When the human proved who they are.
    pub auth_time: Timestamp,
    pub created_at: Timestamp,
    /// When the last thing issued from it expires; it may be purged then.
    pub expires_at: Timestamp,
    /// `None` while it is active.
    pub revocation: Option<Revocation>,
}

impl Grant {
    /// Whether it has not been revoked.
    pub fn is_active(&self) -> bool {
        self.revocation.is_none()
    }
}

/// A token request asks for a resource that the grant does not cover (RFC 8707 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the resource is not covered by the grant")]
pub struct TargetRefused;

/// The resource that a token is for: the one that the request names, which must be among `granted`; else the first of them.
///
/// A token has one audience, so a request that names several different ones is refused.
pub fn choose_audience<'a>(
    granted: &[ResourceUri],
    requested: &[String],
    resources: &'a Resources,
) -> Result<&'a Resource, TargetRefused> {
    let mut named = requested.iter().map(|name| resources.find(name).ok_or(TargetRefused));
    let audience = match named.next() {
        Some(first) => first?,
        // A resource that has left the configuration gets no more tokens.
        None => granted.first().and_then(|uri| resources.find(uri.as_str())).ok_or(TargetRefused)?,
    };
    for other in named {
        if other?.uri != audience.uri {
            return Err(TargetRefused);
        }
    }
    if granted.contains(&audience.uri) { Ok(audience) } else { Err(TargetRefused) }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{domain::resource::TokenFormat, protocol::jose::Algorithm};

    pub(crate) fn resources(uris: &[&str]) -> Resources {
        let resource = |uri: &&str| Resource {
            uri: ResourceUri::parse(uri).unwrap(),
            aliases: vec![],
            name: (*uri).to_owned(),
            scopes: vec![],
            default_scope: Scope::none(),
            token_format: TokenFormat::Jwt(Algorithm::ES256),
            token_lifetime: Duration::from_secs(3600),
        };
        Resources::new(uris.iter().map(resource).collect()).unwrap()
    }

    pub(crate) fn grant() -> Grant {
        Grant {
            id: GrantId::parse("grant").unwrap(),
            client_id: ClientId::parse("client").unwrap(),
            user_id: UserId::parse("user").unwrap(),
            scope: Scope::parse("mcp:read mcp:write offline_access").unwrap(),
            resources: vec![ResourceUri::parse("https://a.example/mcp").unwrap()],
            auth_time: Timestamp::from_unix(900),
            created_at: Timestamp::from_unix(1_000),
            expires_at: Timestamp::from_unix(9_000),
            revocation: None,
        }
    }

    #[test]
    fn a_request_may_narrow_the_audience_and_not_widen_it() {
        let all = resources(&["https://a.example/mcp", "https://b.example/mcp", "https://c.example/mcp"]);
        let granted: Vec<_> = all.iter().take(2).map(|r| r.uri.clone()).collect();
        let choose = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|n| (*n).to_owned()).collect();
            choose_audience(&granted, &names, &all).map(|r| r.uri.as_str())
        };
        assert_eq!(choose(&[]), Ok("https://a.example/mcp"));
        assert_eq!(choose(&["https://B.example/mcp"]), Ok("https://b.example/mcp"));
        assert_eq!(choose(&["https://c.example/mcp"]), Err(TargetRefused));
        assert_eq!(choose(&["https://unknown.example/"]), Err(TargetRefused));
    }

    #[test]
    fn a_token_has_one_audience() {
        let all = resources(&["https://a.example/mcp", "https://b.example/mcp"]);
        let granted: Vec<_> = all.iter().map(|r| r.uri.clone()).collect();
        let twice = ["https://a.example/mcp".to_owned(), "https://a.example/mcp".to_owned()];
        assert!(choose_audience(&granted, &twice, &all).is_ok());
        let two = ["https://a.example/mcp".to_owned(), "https://b.example/mcp".to_owned()];
        assert_eq!(choose_audience(&granted, &two, &all), Err(TargetRefused));
    }
}
