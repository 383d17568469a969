//! Revocation (RFC 7009): a client gives back what is its own. Unknown tokens and other people's change nothing, and the
//! caller cannot tell.

use super::{Authority, authenticate::AuthenticatedClient};
use crate::{
    domain::{
        credential::{Credential, Kind, RefreshToken},
        grant::{Revocation, RevocationReason},
        identifier::{GrantId, TokenId, UserId},
        policy::remembered_until,
        time::Timestamp,
    },
    port::store::StoreError,
    protocol::revocation::TokenQuery,
};

/// What a client gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenBack {
    /// Nothing of its own, or nothing that was still good.
    Nothing,
    /// An access token.
    Token(TokenId),
    /// A grant, with everything issued from it.
    Grant { id: GrantId, user: UserId },
}

impl Authority {
    /// Revokes a token of the client, if it is one: a refresh token with its whole grant, an access token by itself.
    pub async fn revoke(
        &self,
        client: &AuthenticatedClient,
        query: &TokenQuery,
        now: Timestamp,
    ) -> Result<GivenBack, StoreError> {
        let client = &client.client().id;
        if query.token.expose().starts_with(RefreshToken::PREFIX) {
            let Some(token) = Credential::<RefreshToken>::parse(query.token.expose()) else {
                return Ok(GivenBack::Nothing);
            };
            let Some(record) = self.tokens.find_refresh(&token.digest()).await? else {
                return Ok(GivenBack::Nothing);
            };
            // A rotated one counts too: its holder wants out, whichever copy they have kept.
            if record.grant.client_id == *client {
                let revocation = Revocation { at: now, reason: RevocationReason::ByClient };
                if self.tokens.revoke_grant(&record.grant.id, revocation).await? {
                    return Ok(GivenBack::Grant { id: record.grant.id, user: record.grant.user_id });
                }
            }
        } else if let Some(token) = self.find_access_token(&query.token, now).await?
            && token.client_id == *client
        {
            self.tokens.revoke_access(&token.id, remembered_until(token.expires_at)).await?;
            return Ok(GivenBack::Token(token.id));
        }
        Ok(GivenBack::Nothing)
    }
}
