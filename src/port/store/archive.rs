//! Everything that a store holds, entry by entry, for moving it to another store.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Change, StoreResult};
use crate::domain::{
    access::{OpaqueRecord, Subject},
    account::{Consent, Session, User},
    assertion::{ReplayId, SingleUse},
    audit,
    client::{Client, Removal},
    code::NewCode,
    credential::{Digest, RefreshToken},
    grant::Grant,
    identifier::{ClientId, TokenId},
    key::KeyRecord,
    refresh::NewRefresh,
    time::Timestamp,
};

/// The kinds of entries, in an order in which they can be recorded: a session comes after its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Client,
    RemovedClient,
    Grant,
    AccessToken,
    RevokedAccess,
    SingleUse,
    User,
    Session,
    Consent,
    LoginFailures,
    SigningKey,
    AuditEntry,
}

/// Which of the five families a kind belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    Clients,
    Tokens,
    Accounts,
    Keys,
    Audit,
}

impl Family {
    /// In the words of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Tokens => "tokens",
            Self::Accounts => "accounts",
            Self::Keys => "keys",
            Self::Audit => "audit",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EntryKind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Client,
        Self::RemovedClient,
        Self::Grant,
        Self::AccessToken,
        Self::RevokedAccess,
        Self::SingleUse,
        Self::User,
        Self::Session,
        Self::Consent,
        Self::LoginFailures,
        Self::SigningKey,
        Self::AuditEntry,
    ];

    /// The family whose store holds it.
    pub const fn family(self) -> Family {
        match self {
            Self::Client | Self::RemovedClient => Family::Clients,
            Self::Grant | Self::AccessToken | Self::RevokedAccess | Self::SingleUse => Family::Tokens,
            Self::User | Self::Session | Self::Consent | Self::LoginFailures => Family::Accounts,
            Self::SigningKey => Family::Keys,
            Self::AuditEntry => Family::Audit,
        }
    }

    /// In words, in the plural.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "clients",
            Self::RemovedClient => "removed clients",
            Self::Grant => "grants",
            Self::AccessToken => "access tokens",
            Self::RevokedAccess => "revoked access tokens",
            Self::SingleUse => "single uses",
            Self::User => "accounts",
            Self::Session => "sessions",
            Self::Consent => "consents",
            Self::LoginFailures => "failed logins",
            Self::SigningKey => "signing keys",
            Self::AuditEntry => "audit entries",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a refresh token was rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succession {
    pub at: Timestamp,
    pub sealed_successor: Vec<u8>,
    pub successor: Option<Digest<RefreshToken>>,
}

/// A grant with everything that hangs off it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantFamily {
    pub grant: Grant,
    /// With the time when it was spent; `None` once it is purged.
    pub code: Option<(NewCode, Option<Timestamp>)>,
    /// In the order of their digests; with how each was rotated.
    pub refresh: Vec<(NewRefresh, Option<Succession>)>,
    /// In the order of their digests.
    pub access: Vec<OpaqueRecord>,
}

/// One thing that a store holds under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Client(Box<Client>),
    /// A tombstone.
    RemovedClient {
        id: ClientId,
        reason: Removal,
        at: Timestamp,
    },
    Grant(Box<GrantFamily>),
    /// An opaque access token that hangs off no grant.
    AccessToken(OpaqueRecord),
    RevokedAccess {
        id: TokenId,
        expires_at: Timestamp,
    },
    SingleUse(SingleUse),
    User(User),
    Session(Session),
    Consent(Consent),
    LoginFailures {
        key: ReplayId,
        failures: u32,
        window_ends_at: Timestamp,
    },
    SigningKey(Box<KeyRecord>),
    AuditEntry(Box<audit::Entry>),
}

impl Entry {
    /// Which kind it is.
    pub const fn kind(&self) -> EntryKind {
        match self {
            Self::Client(_) => EntryKind::Client,
            Self::RemovedClient { .. } => EntryKind::RemovedClient,
            Self::Grant(_) => EntryKind::Grant,
            Self::AccessToken(_) => EntryKind::AccessToken,
            Self::RevokedAccess { .. } => EntryKind::RevokedAccess,
            Self::SingleUse(_) => EntryKind::SingleUse,
            Self::User(_) => EntryKind::User,
            Self::Session(_) => EntryKind::Session,
            Self::Consent(_) => EntryKind::Consent,
            Self::LoginFailures { .. } => EntryKind::LoginFailures,
            Self::SigningKey(_) => EntryKind::SigningKey,
            Self::AuditEntry(_) => EntryKind::AuditEntry,
        }
    }

    /// What others have to hear of when it is recorded.
    pub fn change(&self) -> Option<Change> {
        match self {
            Self::Client(client) => Some(Change::Client(client.id.clone())),
            Self::RemovedClient { id, .. } => Some(Change::Client(id.clone())),
            Self::SigningKey(_) => Some(Change::SigningKeys),
            Self::User(user) => Some(Change::User(user.id.clone())),
            Self::Grant(_)
            | Self::AccessToken(_)
            | Self::RevokedAccess { .. }
            | Self::SingleUse(_)
            | Self::Session(_)
            | Self::Consent(_)
            | Self::LoginFailures { .. }
            | Self::AuditEntry(_) => None,
        }
    }

    /// SHA-256 of all that it says: two entries are the same if and only if these are.
    pub fn fingerprint(&self) -> [u8; 32] {
        let said = match self {
            Self::Client(client) => json!(client),
            Self::RemovedClient { id, reason, at } => json!([id, reason, at]),
            Self::Grant(family) => grant_family(family),
            Self::AccessToken(access) => opaque(access),
            Self::RevokedAccess { id, expires_at } => json!([id, expires_at]),
            Self::SingleUse(single) => json!([single.id, single.until]),
            Self::User(user) => {
                json!([user.id, user.username, user.password.expose(), user.status, user.created_at])
            }
            Self::Session(session) => {
                json!([session.digest, session.user_id, session.auth_time, session.last_seen_at])
            }
            Self::Consent(consent) => {
                json!([consent.user_id, consent.client_id, consent.resource, consent.scope, consent.updated_at])
            }
            Self::LoginFailures { key, failures, window_ends_at } => json!([key, failures, window_ends_at]),
            Self::SigningKey(key) => {
                json!([key.id, key.algorithm.as_str(), key.public, key.sealed_private, key.created_at, key.signs_from])
            }
            Self::AuditEntry(entry) => json!(entry),
        };
        let mut hash = Sha256::new();
        hash.update(self.kind().as_str());
        hash.update([0]);
        hash.update(said.to_string());
        hash.finalize().into()
    }
}

fn grant_family(family: &GrantFamily) -> Value {
    let code = family.code.as_ref().map(|(code, spent_at)| {
        json!([code.digest, code.redirect.uri(), code.challenge.as_bytes(), code.expires_at, spent_at])
    });
    let rotated = |succession: &Succession| json!([succession.at, succession.sealed_successor, succession.successor]);
    let refresh = family.refresh.iter().map(|(token, succession)| {
        json!([token.digest, token.issued_at, token.expires_at, succession.as_ref().map(rotated)])
    });
    let refresh: Vec<Value> = refresh.collect();
    let access: Vec<Value> = family.access.iter().map(opaque).collect();
    json!([family.grant, code, refresh, access])
}

fn opaque(access: &OpaqueRecord) -> Value {
    let token = &access.token;
    let human = match &token.subject {
        Subject::User { user_id, grant_id, auth_time } => Some(json!([user_id, grant_id, auth_time])),
        Subject::Client => None,
    };
    let times = [token.issued_at, token.expires_at];
    json!([access.digest, token.id, token.client_id, human, token.scope, token.audience, times])
}

/// A part of what a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    pub entries: Vec<Entry>,
    /// Where the next part begins; `None` if this was the last. Only the store that made it can read it.
    pub next: Option<String>,
}

/// Whole stores, for whoever moves them.
#[async_trait]
pub trait Archive: Send + Sync {
    /// How many entries of a kind there are, for a progress bar: about.
    async fn count(&self, kind: EntryKind) -> StoreResult<u64>;

    /// Entries of a kind from `after` on, at most about `limit`; each that exists all the while comes exactly once.
    async fn export(&self, kind: EntryKind, after: Option<&str>, limit: u32) -> StoreResult<Exported>;

    /// Records entries as they are. What has the same name is replaced, so doing it again changes nothing.
    async fn import(&self, entries: &[Entry]) -> StoreResult<()>;
}
