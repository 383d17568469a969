//! What an operator does with grants.

use super::Authority;
use crate::{
    domain::{
        grant::{Grant, Revocation, RevocationReason},
        identifier::GrantId,
        time::Timestamp,
    },
    port::store::StoreError,
};

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
}
