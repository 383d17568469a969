//! One use case per file, async and free of HTTP.
//!
//! A use case takes what the request said and `now`, asks the rules, and acts through ports. Its error enum says what
//! happened; which words go on the wire is for [`crate::http`] to say.

use std::sync::Arc;

use crate::{
    domain::{
        audit::Event,
        client::{Client, ClientEntry, Removal},
        identifier::ClientId,
        issuer::Issuer,
        policy::Policy,
        time::Timestamp,
    },
    port::{
        audit::AuditTrail,
        crypto::{AssertionVerifier, PasswordHasher, Sealer, TokenSigner},
        entropy::Entropy,
        store::{AccountStore, AuditStore, ClientStore, KeyStore, StoreError, TokenStore},
    },
};

pub mod administer_clients;
pub mod administer_grants;
pub mod administer_users;
pub mod authenticate;
pub mod authorize;
pub mod client_credentials;
pub mod interaction;
pub mod introspect;
mod issue;
mod issued_copies;
pub mod lockout;
pub mod log_in;
pub mod maintain;
pub mod ready;
pub mod redeem;
pub mod refresh;
pub mod register;
pub mod revoke;

pub use issue::{IssueError, Issued};
pub use issued_copies::IssuedCopies;

/// The authorization server: policy, and ports to everything it needs.
#[derive(Clone)]
pub struct Authority {
    pub issuer: Issuer,
    pub policy: Arc<Policy>,
    pub clients: Arc<dyn ClientStore>,
    pub tokens: Arc<dyn TokenStore>,
    /// Of what went to `tokens`.
    pub copies: Arc<IssuedCopies>,
    pub accounts: Arc<dyn AccountStore>,
    pub keys: Arc<dyn KeyStore>,
    pub audit: Arc<dyn AuditStore>,
    /// What leads to `audit`.
    pub trail: Arc<dyn AuditTrail>,
    pub signer: Arc<dyn TokenSigner>,
    pub assertions: Arc<dyn AssertionVerifier>,
    pub sealer: Arc<dyn Sealer>,
    pub passwords: Arc<dyn PasswordHasher>,
    pub entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Where the token endpoint is, below the issuer; also an audience of client assertions (RFC 7523 3).
pub const TOKEN_PATH: &str = "/oauth/token";
/// Where registration is, below the issuer; management adds the `client_id`.
pub const REGISTRATION_PATH: &str = "/oauth/register";

/// Why a `client_id` names nobody who may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoClient {
    /// Never registered here, as far as is remembered.
    Unknown,
    /// It was registered; this is why it is not any more.
    Removed(Removal),
    /// An operator disabled it.
    Disabled,
}

/// How stale `last_used_at` may get: a write per token would cost more than the knowledge is worth. No longer than the shortest time
/// after which a client is reaped.
const TOUCH_INTERVAL: std::time::Duration = std::time::Duration::from_secs(3600);

impl Authority {
    /// Notes in the audit trail what happened. Who did it from where is known at the door, so this is called there; a use case
    /// that nobody asked for calls it itself.
    pub fn record(&self, event: Event) {
        self.trail.record(event);
    }

    /// The client of this name, if it may act.
    async fn active_client(&self, id: &str) -> Result<Result<Arc<Client>, NoClient>, StoreError> {
        let Ok(id) = ClientId::parse(id) else { return Ok(Err(NoClient::Unknown)) };
        Ok(match self.clients.find(&id).await? {
            None => Err(NoClient::Unknown),
            Some(ClientEntry::Removed { reason, .. }) => Err(NoClient::Removed(reason)),
            Some(ClientEntry::Registered(client)) if client.is_active() => Ok(client),
            Some(ClientEntry::Registered(_)) => Err(NoClient::Disabled),
        })
    }

    /// Notes that a client was used, at most once an hour. What was issued counts whether or not this can be noted, so a
    /// failure is no reason to keep it from the client.
    async fn note_use(&self, client: &Client, now: Timestamp) {
        if !client.was_used_within(TOUCH_INTERVAL, now)
            && let Err(error) = self.clients.touch(&client.id, now).await
        {
            tracing::warn!(client_id = %client.id, %error, "cannot note that a client was used");
        }
    }
}
