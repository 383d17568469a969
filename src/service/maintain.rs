//! Housekeeping: what can make no difference any more is forgotten, in small batches so that nobody waits for it.

use tracing::info;

use super::Authority;
use crate::{
    domain::{
        audit::{Action, Event, Reason},
        client::Removal,
        grant::RevocationReason,
        time::Timestamp,
    },
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
    /// Entries of the audit trail.
    pub audit: u64,
}

impl Purged {
    /// Whether there was nothing left to forget.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Authority {
    /// Forgets everything that can be. A store that fails keeps nobody else from forgetting; its failure is told in the end.
    pub async fn purge(&self, now: Timestamp) -> Result<Purged, StoreError> {
        let tombstones_before = now.minus(TOMBSTONE_LIFETIME);
        let tokens = exhaust(|| self.tokens.purge(now, BATCH)).await;
        let accounts = exhaust(|| self.accounts.purge(self.policy.lifetimes.session, now, BATCH)).await;
        let clients = exhaust(|| self.reap_clients(now)).await;
        let tombstones = exhaust(|| self.clients.purge_tombstones(tombstones_before, BATCH)).await;
        let audit_before = now.minus(self.policy.audit_retention);
        let audit = exhaust(|| self.audit.purge(audit_before, BATCH)).await;
        Ok(Purged { tokens: tokens?, accounts: accounts?, clients: clients?, tombstones: tombstones?, audit: audit? })
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
                let why = if reason == Removal::Idle { Reason::Idle } else { Reason::NeverAuthorized };
                self.record(Event::success(now, Action::ClientDelete).because(why).of_client(&client.id));
                reaped += 1;
            }
        }
        Ok(reaped)
    }
}

/// Takes one batch after the other until there is nothing left; how many in all.
async fn exhaust<F>(mut batch: impl FnMut() -> F) -> Result<u64, StoreError>
where
    F: Future<Output = Result<u64, StoreError>>,
{
    let mut total = 0;
    loop {
        match batch().await? {
            0 => return Ok(total),
            some => total += some,
        }
        tokio::task::yield_now().await;
    }
}
