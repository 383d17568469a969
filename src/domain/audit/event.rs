//! Something that happened.

use std::net::IpAddr;

use super::{Action, Outcome, Reason};
use crate::domain::{
    correlation::{AttemptId, RequestId},
    identifier::{ClientId, GrantId, KeyId, TokenId, UserId},
    time::Timestamp,
};

/// Who did what, for whom, from where, how it ended and why. Made where it happened and handed over at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub at: Timestamp,
    pub action: Action,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub client: Option<ClientId>,
    pub user: Option<UserId>,
    pub grant: Option<GrantId>,
    /// `jti` of the access token.
    pub token: Option<TokenId>,
    pub key: Option<KeyId>,
    /// Where the request came from, as trusted proxies tell it.
    pub address: Option<IpAddr>,
    /// The request that it happened in.
    pub request: Option<RequestId>,
    /// The authorization attempt that the request belongs to.
    pub attempt: Option<AttemptId>,
    /// How many like it this one stands for.
    pub times: u64,
}

impl Event {
    /// An event without circumstances.
    pub const fn new(at: Timestamp, action: Action, outcome: Outcome, reason: Option<Reason>) -> Self {
        Self {
            at,
            action,
            outcome,
            reason,
            client: None,
            user: None,
            grant: None,
            token: None,
            key: None,
            address: None,
            request: None,
            attempt: None,
            times: 1,
        }
    }

    /// Something that was done.
    pub const fn success(at: Timestamp, action: Action) -> Self {
        Self::new(at, action, Outcome::Success, None)
    }

    /// Something that the rules did not allow.
    pub const fn refused(at: Timestamp, action: Action, reason: Reason) -> Self {
        Self::new(at, action, Outcome::Refused, Some(reason))
    }

    /// The same, for this reason or in this way.
    #[must_use]
    pub fn because(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// The same, of this client.
    #[must_use]
    pub fn of_client(self, client: &ClientId) -> Self {
        Self { client: Some(client.clone()), ..self }
    }

    /// The same, of this human.
    #[must_use]
    pub fn of_user(self, user: &UserId) -> Self {
        Self { user: Some(user.clone()), ..self }
    }

    /// The same, under this grant.
    #[must_use]
    pub fn under(self, grant: &GrantId) -> Self {
        Self { grant: Some(grant.clone()), ..self }
    }

    /// The same, about this signing key.
    #[must_use]
    pub fn about_key(self, key: &KeyId) -> Self {
        Self { key: Some(key.clone()), ..self }
    }
}
