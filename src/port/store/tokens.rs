//! Grants and what hangs off them: codes, refresh tokens, opaque access tokens, revocations; and uses that must be single.

use async_trait::async_trait;

use super::{Page, StoreResult};
use crate::domain::{
    access::{AccessToken, OpaqueRecord, Standing},
    assertion::SingleUse,
    code::{CodeRecord, NewCode, VerifiedCode},
    credential::{AuthorizationCode, Digest, OpaqueAccessToken, RefreshToken},
    grant::{Grant, Revocation, RevocationReason},
    identifier::{ClientId, GrantId, TokenId, UserId},
    refresh::{NewRefresh, RefreshRecord, VerifiedRefresh},
    time::Timestamp,
};

/// What is recorded in the very step that spends a code or rotates a refresh token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issue {
    /// The new refresh token, if one is due.
    pub refresh: Option<NewRefresh>,
    /// The new access token, if it is opaque: a JWT needs no record.
    pub access: Option<OpaqueRecord>,
    /// When the last of what is issued here expires; the grant lives at least that long.
    pub grant_expires_at: Option<Timestamp>,
}

/// What became of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redemption {
    /// It was unspent, its grant active; now it is spent and what was issued is recorded.
    Redeemed,
    /// Somebody else was first. Nothing was recorded.
    AlreadyRedeemed,
    /// The grant was revoked meanwhile. Nothing was recorded.
    GrantRevoked,
}

/// What became of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It was current, its grant active; now it has a successor and what was issued is recorded.
    Rotated,
    /// Somebody else was first. Nothing was recorded.
    AlreadyRotated,
    /// The grant was revoked meanwhile. Nothing was recorded.
    GrantRevoked,
}

/// What became of an access token that is issued under an existing grant, or under none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    Recorded,
    /// The grant was revoked meanwhile. Nothing was recorded.
    GrantRevoked,
}

/// Whether a use is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    First,
    Again,
}

/// Whose grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    Client(ClientId),
    User(UserId),
}

/// Which grants to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantFilter {
    pub client: Option<ClientId>,
    pub user: Option<UserId>,
    /// Leave out those that are revoked, or expired at this time.
    pub live_at: Option<Timestamp>,
}

/// The store family of tokens.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Records a new grant together with the code that stands for it.
    async fn open_grant(&self, grant: &Grant, code: &NewCode) -> StoreResult<()>;

    /// A code with its grant.
    async fn find_code(&self, digest: &Digest<AuthorizationCode>) -> StoreResult<Option<CodeRecord>>;

    /// Spends a code: sees that it is unspent and its grant active, marks it spent at `now` and records `issue`, in one step.
    async fn redeem(&self, code: &VerifiedCode<'_>, issue: &Issue, now: Timestamp) -> StoreResult<Redemption>;

    /// A refresh token with its grant, and with how it was rotated.
    async fn find_refresh(&self, digest: &Digest<RefreshToken>) -> StoreResult<Option<RefreshRecord>>;

    /// Rotates a refresh token: sees that it is current and its grant active, marks it rotated at `now`, keeps
    /// `sealed_successor` beside it and records `issue` (whose `refresh` is the successor), in one step.
    async fn rotate(
        &self,
        refresh: &VerifiedRefresh<'_>,
        sealed_successor: &[u8],
        issue: &Issue,
        now: Timestamp,
    ) -> StoreResult<Rotation>;

    /// Records an opaque access token. If it hangs off a grant, only while that is active; the grant then lives at least as
    /// long as the token.
    async fn record_access(&self, access: &OpaqueRecord) -> StoreResult<Recording>;

    /// An opaque access token with its standing.
    async fn find_access(&self, digest: &Digest<OpaqueAccessToken>) -> StoreResult<Option<(AccessToken, Standing)>>;

    /// The standing of an access token that proved itself: revoked if its `id` was, or if its grant was or is unknown.
    async fn standing(&self, id: &TokenId, grant: Option<&GrantId>) -> StoreResult<Standing>;

    /// Revokes one access token, of either form, until it would have expired anyway.
    async fn revoke_access(&self, id: &TokenId, expires_at: Timestamp) -> StoreResult<()>;

    /// Revokes a grant and so everything that hangs off it. The first revocation counts: `false` if it was revoked already or
    /// is unknown.
    async fn revoke_grant(&self, id: &GrantId, revocation: Revocation) -> StoreResult<bool>;

    /// Revokes every active grant of an owner; how many. Grants that are opened at the same moment may be missed, so the
    /// caller makes the owner unable to get new ones first.
    async fn revoke_grants_of(&self, owner: &Owner, reason: RevocationReason, now: Timestamp) -> StoreResult<u64>;

    /// A grant.
    async fn find_grant(&self, id: &GrantId) -> StoreResult<Option<Grant>>;

    /// Grants in the order of their identifiers.
    async fn list_grants(&self, filter: &GrantFilter, page: Page<GrantId>) -> StoreResult<Vec<Grant>>;

    /// Whether a client has a grant that is neither revoked nor expired.
    async fn has_live_grant(&self, client: &ClientId, now: Timestamp) -> StoreResult<bool>;

    /// Notes a use that must be single. A use that was noted before and is over at `now` counts as new.
    async fn use_once(&self, single: SingleUse, now: Timestamp) -> StoreResult<Use>;

    /// Forgets what can make no difference any more, at most `limit` of each kind; how many. That is: uses and access
    /// revocations that are over, expired opaque tokens, unspent expired codes with their unused grants, expired refresh
    /// tokens, and grants whose `expires_at` has passed with everything that hangs off them. A spent code stays as
    /// long as its grant lives, and a rotated refresh token until it would have expired anyway, so that a replay is recognised
    /// while it could do harm, and no more than a lifetime's worth of rotations is kept.
    async fn purge(&self, now: Timestamp, limit: u32) -> StoreResult<u64>;

    /// Whether the store answers.
    async fn ping(&self) -> StoreResult<()>;
}
