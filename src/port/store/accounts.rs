//! Humans: accounts, sessions, consents, and failed logins.

use async_trait::async_trait;

use super::{Page, StoreResult};
use crate::domain::{
    account::{Consent, PasswordHash, Session, SessionLifetime, User, UserStatus, Username},
    assertion::ReplayId,
    credential::{Digest, SessionToken},
    identifier::{ClientId, UserId},
    resource::ResourceUri,
    scope::Scope,
    time::Timestamp,
};

/// What became of a new account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    Created,
    /// The login name is taken.
    Taken,
}

/// The store family of accounts.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Adds an account.
    async fn create_user(&self, user: &User) -> StoreResult<Creation>;

    /// An account by its identifier.
    async fn find_user(&self, id: &UserId) -> StoreResult<Option<User>>;

    /// The login name of an account that may act; `None` if it is disabled, or there is none. Nothing else here is ever answered
    /// from a copy (`stores.account_copies`).
    async fn active_user(&self, id: &UserId) -> StoreResult<Option<Username>>;

    /// An account by its login name.
    async fn find_user_by_name(&self, name: &Username) -> StoreResult<Option<User>>;

    /// Accounts in the order of their login names.
    async fn list_users(&self, page: Page<Username>) -> StoreResult<Vec<User>>;

    /// Changes a password and ends every session of the account, in one step. `false` if there is no such account.
    async fn set_password(&self, id: &UserId, password: &PasswordHash) -> StoreResult<bool>;

    /// Enables or disables an account; disabling ends every session of it, in the same step. `false` if there is no such
    /// account.
    async fn set_status(&self, id: &UserId, status: UserStatus) -> StoreResult<bool>;

    /// Ends every session of an account and changes nothing about it. `false` if there is no such account.
    async fn end_sessions(&self, id: &UserId) -> StoreResult<bool>;

    /// Records a session and ends the one that it replaces, if any. `false`, and nothing recorded, unless the account exists
    /// and is active.
    async fn open_session(&self, session: &Session, replaces: Option<&Digest<SessionToken>>) -> StoreResult<bool>;

    /// A session with its account, expired or not.
    async fn find_session(&self, digest: &Digest<SessionToken>) -> StoreResult<Option<(Session, User)>>;

    /// Notes that a session was seen: `last_seen_at` becomes `now` unless it is later already.
    async fn touch_session(&self, digest: &Digest<SessionToken>, now: Timestamp) -> StoreResult<()>;

    /// Ends a session. `false` if it was not there.
    async fn close_session(&self, digest: &Digest<SessionToken>) -> StoreResult<bool>;

    /// What a human agreed to for a client at a resource; empty if nothing.
    async fn consented(&self, user: &UserId, client: &ClientId, resource: &ResourceUri) -> StoreResult<Scope>;

    /// Adds to what a human agreed to.
    async fn add_consent(&self, consent: &Consent) -> StoreResult<()>;

    /// Forgets what a human agreed to for a client, or for all of them.
    async fn forget_consents(&self, user: &UserId, client: Option<&ClientId>) -> StoreResult<u64>;

    /// Forgets what every human agreed to for a client; how many consents, one per human and resource. It may be one step per
    /// human: a consent that is added meanwhile is forgotten or stays.
    async fn forget_consents_of_client(&self, client: &ClientId) -> StoreResult<u64>;

    /// Counts something under `key`, mostly a failed login, in the window that ends at `until`, and returns how many there are in it. A
    /// window that is over at `now` starts again at one.
    async fn count_failure(&self, key: &ReplayId, until: Timestamp, now: Timestamp) -> StoreResult<u32>;

    /// How many are in the current window of `key`, and when it ends; `None` if it has none.
    async fn failures(&self, key: &ReplayId, now: Timestamp) -> StoreResult<Option<(u32, Timestamp)>>;

    /// Forgets the failures of `key`.
    async fn clear_failures(&self, key: &ReplayId) -> StoreResult<()>;

    /// Forgets sessions and failure windows that are over, at most `limit` of each; how many.
    async fn purge(&self, lifetime: SessionLifetime, now: Timestamp, limit: u32) -> StoreResult<u64>;

    /// Whether the store answers.
    async fn ping(&self) -> StoreResult<()>;
}
