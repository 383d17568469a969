//! Clients (RFC 6749 2): who may ask, how they prove who they are, and what they may ask for.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    credential::{ClientSecret, Digest, RegistrationToken},
    identifier::ClientId,
    redirect::RedirectUri,
    resource::ResourceUri,
    scope::Scope,
    time::Timestamp,
};
use crate::protocol::{jose::JwkSet, secret::Secret};

/// `grant_type` values that a client can be registered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
}

impl GrantType {
    /// Every grant type of this server.
    pub const ALL: &[Self] = &[Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials];

    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
        }
    }

    /// `None` if the text names no grant type of this server.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|g| g.as_str() == text)
    }
}

/// `token_endpoint_auth_method`: the one method that the client registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationMethod {
    /// A public client: `client_id` only.
    None,
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
}

impl AuthenticationMethod {
    /// Every method of this server.
    pub const ALL: &[Self] = &[Self::None, Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt];

    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// `None` if the text names no method of this server.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|m| m.as_str() == text)
    }

    /// Whether the client shares a secret with this server.
    pub const fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// `application_type` (OpenID Connect Registration 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationType {
    Web,
    Native,
}

impl ApplicationType {
    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Native => "native",
        }
    }
}

/// Who put the client here, and so how far its name can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Declared in the configuration file; follows it at every start.
    Configured,
    /// Made by an operator on the command line.
    Operator,
    /// Registered itself (RFC 7591): everything it says of itself is its own claim.
    Dynamic,
}

impl Provenance {
    /// A word for operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Operator => "operator",
            Self::Dynamic => "dynamic",
        }
    }
}

/// Whether the client may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientStatus {
    Active,
    Disabled,
}

/// A client secret as kept: its digest, and when it stops working.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    pub digest: Digest<ClientSecret>,
    /// `None`: until it is rotated.
    pub expires_at: Option<Timestamp>,
}

/// A registered client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub id: ClientId,
    pub name: Option<String>,
    pub uri: Option<String>,
    pub provenance: Provenance,
    pub status: ClientStatus,
    pub authentication: AuthenticationMethod,
    /// The newest first; older ones keep working until their overlap ends.
    pub secrets: Vec<SecretRecord>,
    pub jwks: Option<JwkSet>,
    pub redirect_uris: Vec<RedirectUri>,
    pub grant_types: Vec<GrantType>,
    pub application_type: ApplicationType,
    /// What it registered for. A ceiling for clients that an operator vouches for; for a dynamic client policy is the ceiling.
    pub scope: Scope,
    /// The resources that it may reach; empty means all.
    pub resources: Vec<ResourceUri>,
    /// Whether it may ask about tokens at introspection, as the server of `resources`.
    pub may_introspect: bool,
    pub software_id: Option<String>,
    pub software_version: Option<String>,
    /// For RFC 7592 management.
    pub registration_token: Option<Digest<RegistrationToken>>,
    pub created_at: Timestamp,
    /// When it last got a token or a human's approval, to the hour.
    pub last_used_at: Option<Timestamp>,
    /// Counts changes: an update that was computed from an older version is refused.
    pub version: u64,
}

impl Client {
    /// A public client that may do nothing yet.
    pub fn new(id: ClientId, provenance: Provenance, now: Timestamp) -> Self {
        Self {
            id,
            name: None,
            uri: None,
            provenance,
            status: ClientStatus::Active,
            authentication: AuthenticationMethod::None,
            secrets: vec![],
            jwks: None,
            redirect_uris: vec![],
            grant_types: vec![],
            application_type: ApplicationType::Web,
            scope: Scope::none(),
            resources: vec![],
            may_introspect: false,
            software_id: None,
            software_version: None,
            registration_token: None,
            created_at: now,
            last_used_at: None,
            version: 0,
        }
    }

    /// Whether it cannot keep a secret (RFC 6749 2.1).
    pub fn is_public(&self) -> bool {
        self.authentication == AuthenticationMethod::None
    }

    /// Whether it may act.
    pub fn is_active(&self) -> bool {
        self.status == ClientStatus::Active
    }

    /// Whether it was used less than `period` ago, as far as was noted.
    pub fn was_used_within(&self, period: Duration, now: Timestamp) -> bool {
        self.last_used_at.is_some_and(|last| now.since(last) < period)
    }

    /// Whether it may use a grant type.
    pub fn may_use(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    /// Whether it may send humans here for their approval.
    pub fn may_ask_humans(&self) -> bool {
        self.may_use(GrantType::AuthorizationCode)
    }

    /// Whether it may reach a resource.
    pub fn may_reach(&self, resource: &ResourceUri) -> bool {
        self.resources.is_empty() || self.resources.contains(resource)
    }

    /// What to call it in front of a human: its name, else its identifier.
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.id.as_str())
    }

    /// Whether `presented` is one of its secrets that still work. Every comparison is made, each in constant time.
    pub fn accepts_secret(&self, presented: &Secret, now: Timestamp) -> bool {
        let presented = Digest::of(presented.expose());
        self.secrets.iter().fold(false, |found, secret| {
            let works = secret.expires_at.is_none_or(|end| !end.is_over(now));
            (secret.digest.matches(&presented) & works) | found
        })
    }

    /// Puts a new secret first; those before it end at `now + overlap` at the latest, and only one of them stays.
    pub fn rotate_secret(&mut self, new: Digest<ClientSecret>, overlap: Duration, now: Timestamp) {
        let end = now.plus(overlap);
        let previous = self.secrets.first().map(|old| SecretRecord {
            digest: old.digest,
            expires_at: Some(old.expires_at.map_or(end, |e| e.min(end))),
        });
        self.secrets = vec![SecretRecord { digest: new, expires_at: None }];
        self.secrets.extend(previous.filter(|old| old.expires_at.is_some_and(|e| !e.is_over(now))));
    }
}

/// Why a client is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// By an operator or by its absence from the configuration.
    Operator,
    /// By itself (RFC 7592 2.3).
    Itself,
    /// Registered and never authorized.
    NeverAuthorized,
    /// Not used for a long time.
    Idle,
}

/// What a store knows of a `client_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEntry {
    /// It is registered. Shared, because every request asks for one and few change it.
    Registered(Arc<Client>),
    /// It was, and this is why it is not any more.
    Removed { reason: Removal, at: Timestamp },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client {
            secrets: vec![SecretRecord { digest: Digest::of("first"), expires_at: None }],
            ..Client::new(ClientId::parse("client").unwrap(), Provenance::Operator, Timestamp::EPOCH)
        }
    }

    #[test]
    fn after_a_rotation_the_old_secret_works_until_the_overlap_ends() {
        let (mut client, now) = (client(), Timestamp::from_unix(1_000));
        client.rotate_secret(Digest::of("second"), Duration::from_secs(60), now);
        assert!(client.accepts_secret(&Secret::new("second"), now));
        assert!(client.accepts_secret(&Secret::new("first"), Timestamp::from_unix(1_059)));
        assert!(!client.accepts_secret(&Secret::new("first"), Timestamp::from_unix(1_060)));
    }

    #[test]
    fn a_rotation_without_overlap_ends_the_old_secret_at_once() {
        let (mut client, now) = (client(), Timestamp::from_unix(1_000));
        client.rotate_secret(Digest::of("second"), Duration::ZERO, now);
        assert!(!client.accepts_secret(&Secret::new("first"), now));
    }

    #[test]
    fn a_second_rotation_does_not_give_the_oldest_secret_more_time() {
        let (mut client, now) = (client(), Timestamp::from_unix(1_000));
        client.rotate_secret(Digest::of("second"), Duration::from_secs(600), now);
        client.rotate_secret(Digest::of("third"), Duration::from_secs(600), now);
        assert!(!client.accepts_secret(&Secret::new("first"), now));
        assert!(client.accepts_secret(&Secret::new("second"), now));
    }

    #[test]
    fn a_client_without_secrets_accepts_none() {
        let client = Client { secrets: vec![], ..client() };
        assert!(!client.accepts_secret(&Secret::new(""), Timestamp::EPOCH));
    }
}
