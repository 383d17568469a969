//! Housekeeping: what can make no difference any more is forgotten, in small batches so that nobody waits for it.

use tracing::info;

use super::Authority;
use crate::{
    domain::{client::Removal, grant::RevocationReason, time::Timestamp},
    port::store::{Owner, ReapRule, StoreError},
};

/// The most rows of one kind that one step forgets.
const BATCH: u32 = 500;
/// How long a removed client is remembered, so that a late visitor gets an explanation.
const TOMBSTONE_LIFETIME: std::time::Duration = std::time::Duration::from_secs(90 * 24 * 3600);

/// What was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Rows of the token store.
    pub tokens: u64,
    /// Sessions and failure windows.
    pub accounts: u64,
    /// Dynamic clients that were never authorized or long unused.
    pub clients: u64,
    /// Tombstones of clients.
    pub tombstones: u64,
}

impl Purged {
    /// Whether there was nothing left to forget.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Authority {
    /// Forgets one batch of each kind.
    async fn purge_batch(&self, now: Timestamp) -> Result<Purged, StoreError> {
        Ok(Purged {
            tokens: self.tokens.purge(now, BATCH).await?,
            accounts: self.accounts.purge(self.policy.lifetimes.session, now, BATCH).await?,
            clients: self.reap_clients(now).await?,
            tombstones: self.clients.purge_tombstones(now.minus(TOMBSTONE_LIFETIME), BATCH).await?,
        })
    }

    /// Forgets everything that can be.
    pub async fn purge(&self, now: Timestamp) -> Result<Purged, StoreError> {
        let mut total = Purged::default();
        loop {
            let step = self.purge_batch(now).await?;
            total.tokens += step.tokens;
            total.accounts += step.accounts;
            total.clients += step.clients;
            total.tombstones += step.tombstones;
            if step.is_empty() {
                return Ok(total);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Removes dynamic clients that nobody uses; never one with a live grant.
    async fn reap_clients(&self, now: Timestamp) -> Result<u64, StoreError> {
        let policy = &self.policy.registration;
        let rule = ReapRule {
            never_used_before: now.minus(policy.reap_unauthorized_after),
            idle_before: now.minus(policy.reap_idle_after),
        };
        let mut reaped = 0;
        for client in self.clients.reapable(rule, BATCH).await? {
            if self.tokens.has_live_grant(&client.id, now).await? {
                // Its grant outlives its last use; it is looked at again a whole period later.
                self.clients.touch(&client.id, now).await?;
                continue;
            }
            let reason = if client.last_used_at.is_some() { Removal::Idle } else { Removal::NeverAuthorized };
            if self.clients.reap(&client, reason, now).await? {
                let owner = Owner::Client(client.id.clone());
                self.tokens.revoke_grants_of(&owner, RevocationReason::ClientRemoved, now).await?;
                self.accounts.forget_consents_of_client(&client.id).await?;
                info!(client_id = %client.id, ?reason, "an unused client was removed");
                reaped += 1;
            }
        }
        Ok(reaped)
    }
}
