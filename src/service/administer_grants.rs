//! What an operator does with grants.

use super::Authority;
use crate::{
    domain::{
        grant::{Grant, Revocation, RevocationReason},
        identifier::GrantId,
        time::Timestamp,
    },
    port::store::{GrantFilter, Page, StoreError},
};

const PAGE: u32 = 500;

/// What [`Authority::end_everything`] ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    pub grants: u64,
    /// Those whose sessions ended, if they had any.
    pub humans: u64,
}

impl Authority {
    /// Revokes a grant and everything that hangs off it, and forgets the consent behind it: the client has to ask the human
    /// again. `None` if there is no such grant.
    pub async fn revoke_grant(&self, id: &GrantId, now: Timestamp) -> Result<Option<Grant>, StoreError> {
        let Some(grant) = self.tokens.find_grant(id).await? else { return Ok(None) };
        let revocation = Revocation { at: now, reason: RevocationReason::ByOperator };
        self.tokens.revoke_grant(id, revocation).await?;
        self.accounts.forget_consents(&grant.user_id, Some(&grant.client_id)).await?;
        Ok(Some(grant))
    }

    /// Revokes every live grant with what hangs off it, forgets the consents, and ends every session: when nobody knows any more
    /// which of them are in the right hands. Tokens that clients got for themselves have no grant, and live until they expire.
    pub async fn end_everything(&self, now: Timestamp) -> Result<Ended, StoreError> {
        let mut ended = Ended::default();
        // Sessions first: whoever has one could make a new grant.
        let mut after = None;
        loop {
            let page = self.accounts.list_users(Page { after: after.take(), limit: PAGE }).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.username.clone());
            for user in &page {
                ended.humans += u64::from(self.accounts.end_sessions(&user.id).await?);
                self.accounts.forget_consents(&user.id, None).await?;
            }
        }
        let live = GrantFilter { client: None, user: None, live_at: Some(now) };
        let mut after = None;
        loop {
            let page = self.tokens.list_grants(&live, Page { after: after.take(), limit: PAGE }).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for grant in &page {
                ended.grants += u64::from(self.revoke_grant(&grant.id, now).await?.is_some());
            }
        }
        Ok(ended)
    }
}
