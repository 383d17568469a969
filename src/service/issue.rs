//! Drawing and signing: everything that is issued is made here, and nothing of it counts until a store has recorded the step
//! that it is issued for.

use thiserror::Error;
use tokio::task::yield_now;

use super::Authority;
use crate::{
    domain::{
        access::{AccessToken, OpaqueRecord, Subject},
        authorization,
        client::{Client, GrantType},
        credential::{Credential, OpaqueAccessToken, RefreshToken},
        grant::Grant,
        identifier::{ClientId, TokenId},
        refresh::NewRefresh,
        resource::{Resource, TokenFormat},
        scope::Scope,
        time::Timestamp,
    },
    port::{crypto::SignError, entropy::Draws},
    protocol::{jose::Algorithm, token::TokenResponse},
};

/// Why nothing could be issued.
#[derive(Debug, Error)]
pub enum IssueError {
    /// None of the granted scope means anything at the resource that the token is for.
    #[error("nothing was granted at this resource")]
    NothingGranted,
    /// No signature.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// An access token that has not been handed out yet.
pub(super) struct DraftAccess {
    pub(super) token: AccessToken,
    /// What the client gets.
    text: String,
    /// What the store must record first, if the token is opaque.
    pub(super) record: Option<OpaqueRecord>,
}

/// A refresh token that has not been handed out yet.
pub(super) struct DraftRefresh {
    pub(super) credential: Credential<RefreshToken>,
    pub(super) record: NewRefresh,
}

/// Drafts what one answer hands out, with randomness that is drawn once for all of it.
pub(super) struct Drafts<'a> {
    authority: &'a Authority,
    draws: Draws<'a>,
    now: Timestamp,
}

impl Authority {
    /// For an answer that is given now.
    pub(super) fn drafts(&self, now: Timestamp) -> Drafts<'_> {
        Drafts { authority: self, draws: self.entropy.draws(), now }
    }
}

impl Drafts<'_> {
    /// An access token for `resource` with what of `scope` means anything there.
    pub(super) async fn access(
        &mut self,
        client_id: &ClientId,
        subject: Subject,
        scope: &Scope,
        resource: &Resource,
    ) -> Result<DraftAccess, IssueError> {
        let Authority { signer, issuer, .. } = self.authority;
        let scope = resource.scope_at(scope).ok_or(IssueError::NothingGranted)?;
        let id = TokenId::from_entropy(self.draws.name());
        let token = AccessToken::new(id, client_id.clone(), subject, scope, resource, self.now);
        let (text, record) = match resource.token_format {
            TokenFormat::Jwt(algorithm) => {
                // To sign takes as much of a core's caches as all that comes before it: first everybody who is here comes as far. With
                // RSA it takes so long that this would only be a detour.
                if !matches!(algorithm, Algorithm::RS256 | Algorithm::PS256) {
                    yield_now().await;
                }
                (signer.sign(algorithm, &token.claims(issuer), self.now)?, None)
            }
            TokenFormat::Opaque => {
                let credential = self.draws.credential::<OpaqueAccessToken>();
                let record = OpaqueRecord { digest: credential.digest(), token: token.clone() };
                (credential.into_answer(), Some(record))
            }
        };
        Ok(DraftAccess { token, text, record })
    }

    /// The access token of a grant. What an operator has taken from the client since is not in it.
    pub(super) async fn access_for(
        &mut self,
        client: &Client,
        grant: &Grant,
        scope: &Scope,
        resource: &Resource,
    ) -> Result<DraftAccess, IssueError> {
        let subject =
            Subject::User { user_id: grant.user_id.clone(), grant_id: grant.id.clone(), auth_time: grant.auth_time };
        if !client.may_reach(&resource.uri) {
            return Err(IssueError::NothingGranted);
        }
        let scope = match authorization::ceiling(client, &self.authority.policy) {
            Some(ceiling) => scope.under(&ceiling),
            None => scope.clone(),
        };
        self.access(&client.id, subject, &scope, resource).await
    }

    /// A refresh token, if the client has that grant: independent of `offline_access`.
    pub(super) fn refresh_for(&mut self, client: &Client) -> Option<DraftRefresh> {
        client.may_use(GrantType::RefreshToken).then(|| self.refresh())
    }

    /// A refresh token.
    pub(super) fn refresh(&mut self) -> DraftRefresh {
        let credential = self.draws.credential::<RefreshToken>();
        let expires_at = self.now.plus(self.authority.policy.lifetimes.refresh);
        let record = NewRefresh { digest: credential.digest(), issued_at: self.now, expires_at };
        DraftRefresh { credential, record }
    }
}

/// What was issued. Does not print: the answer holds credentials.
pub struct Issued {
    /// The answer to the client.
    pub response: TokenResponse,
    /// What the access token in it says.
    pub token: AccessToken,
    /// Whether a refresh token came for the second time within its window.
    pub repeated: bool,
}

impl DraftAccess {
    /// The answer, once the store has recorded what must be.
    pub(super) fn respond(self, refresh_token: Option<String>, now: Timestamp) -> Issued {
        let response = TokenResponse {
            access_token: self.text,
            token_type: "Bearer",
            expires_in: self.token.expires_at.since(now).as_secs(),
            scope: self.token.scope.to_string(),
            refresh_token,
        };
        Issued { response, token: self.token, repeated: false }
    }
}
