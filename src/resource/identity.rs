//! Whom a verified token speaks for.

use std::sync::Arc;

use crate::domain::{
    resource::ResourceUri,
    scope::{Scope, ScopeToken},
    time::Timestamp,
};

/// Whom a request speaks for, and what it may do: what a verified access token says.
///
/// The layer puts it into the extensions of the request. It is cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(Arc<IdentityParts>);

/// What an [`Identity`] is made of, for verifiers of your own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityParts {
    /// `iss`: the authorization server that issued the token.
    pub issuer: String,
    /// `sub`: the human, or the client when it acts for itself.
    pub subject: String,
    /// A name for humans; only introspection tells it.
    pub username: Option<String>,
    /// `client_id`.
    pub client_id: String,
    /// What it may do.
    pub scope: Scope,
    /// The resource that the token is for, as it names it.
    pub resource: ResourceUri,
    /// `jti`.
    pub token_id: Option<String>,
    /// The grant it hangs off; none for client credentials.
    pub grant_id: Option<String>,
    /// `nbf`: before this point it does not count yet.
    pub not_before: Option<Timestamp>,
    /// `exp`: from this point on it no longer counts.
    pub expires_at: Timestamp,
}

impl From<IdentityParts> for Identity {
    fn from(parts: IdentityParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Identity {
    /// `iss`: the authorization server that vouches for all of this.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// `sub`: the human's identifier, or the client's when it acts for itself. Unique at its issuer, and stays.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The human's login name, if the token was introspected or passed the gateway. For display: it may be reused.
    pub fn username(&self) -> Option<&str> {
        self.0.username.as_deref()
    }

    /// `client_id`: the program that sends the request.
    pub fn client_id(&self) -> &str {
        &self.0.client_id
    }

    /// Whether a human granted this, rather than a client acting for itself (RFC 6749 4.4).
    pub fn is_human(&self) -> bool {
        self.0.subject != self.0.client_id
    }

    /// Everything that the token permits.
    pub fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// Whether one scope is permitted, by its own name or by a broader one such as `mcp:*`.
    pub fn has_scope(&self, name: &str) -> bool {
        ScopeToken::parse(name).is_ok_and(|needed| self.0.scope.satisfies(&[needed].into_iter().collect()))
    }

    /// The resource that the token is for.
    pub fn resource(&self) -> &ResourceUri {
        &self.0.resource
    }

    /// `jti`: one token's name.
    pub fn token_id(&self) -> Option<&str> {
        self.0.token_id.as_deref()
    }

    /// The grant that the token hangs off: equal for every token of one authorization; none for client credentials.
    pub fn grant_id(&self) -> Option<&str> {
        self.0.grant_id.as_deref()
    }

    /// `nbf`.
    pub fn not_before(&self) -> Option<Timestamp> {
        self.0.not_before
    }

    /// `exp`, in Unix seconds.
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }
}
