//! Revocation (RFC 7009): a client gives back what is its own. Unknown tokens and other people's change nothing, and the
//! caller cannot tell.

use super::{Authority, authenticate::AuthenticatedClient};
use crate::{
    domain::{
        credential::{Credential, Kind, RefreshToken},
        grant::{Revocation, RevocationReason},
        policy::remembered_until,
        time::Timestamp,
    },
    port::store::StoreError,
    protocol::revocation::TokenQuery,
};

impl Authority {
    /// Revokes a token of the client, if it is one: a refresh token with its whole grant, an access token by itself.
    pub async fn revoke(
        &self,
        client: &AuthenticatedClient,
        query: &TokenQuery,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let client = &client.client().id;
        if query.token.expose().starts_with(RefreshToken::PREFIX) {
            let Some(token) = Credential::<RefreshToken>::parse(query.token.expose()) else { return Ok(()) };
            let Some(record) = self.tokens.find_refresh(&token.digest()).await? else { return Ok(()) };
            // A rotated one counts too: its holder wants out, whichever copy they have kept.
            if record.grant.client_id == *client {
                let revocation = Revocation { at: now, reason: RevocationReason::ByClient };
                self.tokens.revoke_grant(&record.grant.id, revocation).await?;
            }
        } else if let Some(token) = self.find_access_token(&query.token, now).await?
            && token.client_id == *client
        {
            self.tokens.revoke_access(&token.id, remembered_until(token.expires_at)).await?;
        }
        Ok(())
    }
}
