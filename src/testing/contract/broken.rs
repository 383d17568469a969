//! Two stores that are wrong in the ways that matter, around one that is right. If the suite does not notice them, the suite
//! is what is broken.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    domain::{
        access::{AccessToken, OpaqueRecord, Standing},
        assertion::SingleUse,
        code::{CodeRecord, NewCode, VerifiedCode},
        credential::{AuthorizationCode, Digest, OpaqueAccessToken, RefreshToken},
        grant::{Grant, Revocation, RevocationReason},
        identifier::{ClientId, GrantId, TokenId},
        refresh::{RefreshRecord, RefreshState, VerifiedRefresh},
        time::Timestamp,
    },
    port::store::{GrantFilter, Issue, Owner, Page, Recording, Redemption, Rotation, StoreResult, TokenStore, Use},
    store::Stores,
};

/// Stores whose tokens forget that they were spent, rotated or revoked.
pub fn forgetful() -> Stores {
    around(|inner| Arc::new(Broken { inner, flaw: Flaw::Forgetful }))
}

/// Stores whose tokens are looked at first and changed afterwards, with nothing to hold the two together.
pub fn double_spending() -> Stores {
    around(|inner| Arc::new(Broken { inner, flaw: Flaw::DoubleSpending }))
}

fn around(breaks: impl FnOnce(Arc<dyn TokenStore>) -> Arc<dyn TokenStore>) -> Stores {
    let mut stores = Stores::in_memory();
    stores.tokens = breaks(stores.tokens);
    stores
}

#[derive(Clone, Copy)]
enum Flaw {
    Forgetful,
    DoubleSpending,
}

struct Broken {
    inner: Arc<dyn TokenStore>,
    flaw: Flaw,
}

/// Lets everybody else look before the caller acts on what it saw.
async fn gap() {
    tokio::task::yield_now().await;
}

impl Broken {
    /// What a change without a guard does when it comes second: it happens again.
    async fn record_again(&self, issue: &Issue) -> StoreResult<()> {
        if let Some(access) = &issue.access {
            self.inner.record_access(access).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl TokenStore for Broken {
    async fn open_grant(&self, grant: &Grant, code: &NewCode) -> StoreResult<()> {
        self.inner.open_grant(grant, code).await
    }

    async fn find_code(&self, digest: &Digest<AuthorizationCode>) -> StoreResult<Option<CodeRecord>> {
        let found = self.inner.find_code(digest).await?;
        Ok(match self.flaw {
            Flaw::Forgetful => found.map(|record| CodeRecord { spent_at: None, ..record }),
            Flaw::DoubleSpending => found,
        })
    }

    async fn redeem(&self, code: &VerifiedCode<'_>, issue: &Issue, now: Timestamp) -> StoreResult<Redemption> {
        match self.flaw {
            Flaw::Forgetful => {}
            Flaw::DoubleSpending => {
                let seen = self.inner.find_code(code.digest()).await?;
                if seen.is_none_or(|record| record.spent_at.is_some() || !record.grant.is_active()) {
                    return self.inner.redeem(code, issue, now).await;
                }
                gap().await;
            }
        }
        match self.inner.redeem(code, issue, now).await? {
            Redemption::AlreadyRedeemed => {
                self.record_again(issue).await?;
                Ok(Redemption::Redeemed)
            }
            other @ (Redemption::Redeemed | Redemption::GrantRevoked) => Ok(other),
        }
    }

    async fn find_refresh(&self, digest: &Digest<RefreshToken>) -> StoreResult<Option<RefreshRecord>> {
        let found = self.inner.find_refresh(digest).await?;
        Ok(match self.flaw {
            Flaw::Forgetful => found.map(|record| RefreshRecord { state: RefreshState::Current, ..record }),
            Flaw::DoubleSpending => found,
        })
    }

    async fn rotate(
        &self,
        refresh: &VerifiedRefresh<'_>,
        sealed_successor: &[u8],
        issue: &Issue,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        match self.flaw {
            Flaw::Forgetful => {}
            Flaw::DoubleSpending => {
                let seen = self.inner.find_refresh(refresh.digest()).await?;
                if seen.is_none_or(|record| record.state != RefreshState::Current || !record.grant.is_active()) {
                    return self.inner.rotate(refresh, sealed_successor, issue, now).await;
                }
                gap().await;
            }
        }
        match self.inner.rotate(refresh, sealed_successor, issue, now).await? {
            Rotation::AlreadyRotated => {
                self.record_again(issue).await?;
                Ok(Rotation::Rotated)
            }
            other @ (Rotation::Rotated | Rotation::GrantRevoked) => Ok(other),
        }
    }

    async fn record_access(&self, access: &OpaqueRecord) -> StoreResult<Recording> {
        self.inner.record_access(access).await
    }

    async fn find_access(&self, digest: &Digest<OpaqueAccessToken>) -> StoreResult<Option<(AccessToken, Standing)>> {
        self.inner.find_access(digest).await
    }

    async fn standing(&self, id: &TokenId, grant: Option<&GrantId>) -> StoreResult<Standing> {
        self.inner.standing(id, grant).await
    }

    async fn revoke_access(&self, id: &TokenId, expires_at: Timestamp) -> StoreResult<()> {
        match self.flaw {
            Flaw::Forgetful => Ok(()),
            Flaw::DoubleSpending => self.inner.revoke_access(id, expires_at).await,
        }
    }

    async fn revoke_grant(&self, id: &GrantId, revocation: Revocation) -> StoreResult<bool> {
        match self.flaw {
            Flaw::Forgetful => Ok(self.inner.find_grant(id).await?.is_some()),
            Flaw::DoubleSpending => {
                let active = self.inner.find_grant(id).await?.is_some_and(|grant| grant.is_active());
                gap().await;
                self.inner.revoke_grant(id, revocation).await?;
                Ok(active)
            }
        }
    }

    async fn revoke_grants_of(&self, owner: &Owner, reason: RevocationReason, now: Timestamp) -> StoreResult<u64> {
        match self.flaw {
            Flaw::Forgetful => Ok(0),
            Flaw::DoubleSpending => self.inner.revoke_grants_of(owner, reason, now).await,
        }
    }

    async fn find_grant(&self, id: &GrantId) -> StoreResult<Option<Grant>> {
        self.inner.find_grant(id).await
    }

    async fn list_grants(&self, filter: &GrantFilter, page: Page<GrantId>) -> StoreResult<Vec<Grant>> {
        self.inner.list_grants(filter, page).await
    }

    async fn has_live_grant(&self, client: &ClientId, now: Timestamp) -> StoreResult<bool> {
        self.inner.has_live_grant(client, now).await
    }

    async fn use_once(&self, single: SingleUse, now: Timestamp) -> StoreResult<Use> {
        match self.flaw {
            Flaw::Forgetful => Ok(Use::First),
            Flaw::DoubleSpending => self.inner.use_once(single, now).await,
        }
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        self.inner.purge(now, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.inner.ping().await
    }
}
