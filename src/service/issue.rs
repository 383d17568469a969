//! Drawing and signing: everything that is issued is made here, and nothing of it counts until a store has recorded the step
//! that it is issued for.

use thiserror::Error;

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
    port::crypto::SignError,
    protocol::{secret::Secret, token::TokenResponse},
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
    text: Secret,
    /// What the store must record first, if the token is opaque.
    pub(super) record: Option<OpaqueRecord>,
}

/// A refresh token that has not been handed out yet.
pub(super) struct DraftRefresh {
    pub(super) credential: Credential<RefreshToken>,
    pub(super) record: NewRefresh,
}

impl Authority {
    /// An access token for `resource` with what of `scope` means anything there.
    pub(super) fn draft_access(
        &self,
        client_id: &ClientId,
        subject: Subject,
        scope: &Scope,
        resource: &Resource,
        now: Timestamp,
    ) -> Result<DraftAccess, IssueError> {
        let scope = resource.scope_at(scope).ok_or(IssueError::NothingGranted)?;
        let id = TokenId::from_entropy(self.entropy.name());
        let token = AccessToken::new(id, client_id.clone(), subject, scope, resource, now);
        let (text, record) = match resource.token_format {
            TokenFormat::Jwt(algorithm) => (self.signer.sign(algorithm, &token.claims(&self.issuer), now)?, None),
            TokenFormat::Opaque => {
                let credential = self.entropy.credential::<OpaqueAccessToken>();
                let record = OpaqueRecord { digest: credential.digest(), token: token.clone() };
                (credential.expose().to_owned(), Some(record))
            }
        };
        Ok(DraftAccess { token, text: Secret::new(text), record })
    }

    /// The access token of a grant. What an operator has taken from the client since is not in it.
    pub(super) fn draft_access_for(
        &self,
        client: &Client,
        grant: &Grant,
        scope: &Scope,
        resource: &Resource,
        now: Timestamp,
    ) -> Result<DraftAccess, IssueError> {
        let subject =
            Subject::User { user_id: grant.user_id.clone(), grant_id: grant.id.clone(), auth_time: grant.auth_time };
        if !client.may_reach(&resource.uri) {
            return Err(IssueError::NothingGranted);
        }
        let scope = match authorization::ceiling(client, &self.policy) {
            Some(ceiling) => scope.iter().filter(|t| ceiling.contains(t) || t.is_offline_access()).cloned().collect(),
            None => scope.clone(),
        };
        self.draft_access(&client.id, subject, &scope, resource, now)
    }

    /// A refresh token, if the client has that grant: independent of `offline_access`.
    pub(super) fn draft_refresh(&self, client: &Client, now: Timestamp) -> Option<DraftRefresh> {
        client.may_use(GrantType::RefreshToken).then(|| self.draw_refresh(now))
    }

    /// A refresh token.
    pub(super) fn draw_refresh(&self, now: Timestamp) -> DraftRefresh {
        let credential = self.entropy.credential::<RefreshToken>();
        let expires_at = now.plus(self.policy.lifetimes.refresh);
        let record = NewRefresh { digest: credential.digest(), issued_at: now, expires_at };
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
            access_token: self.text.expose().to_owned(),
            token_type: "Bearer",
            expires_in: self.token.expires_at.since(now).as_secs(),
            scope: self.token.scope.to_string(),
            refresh_token,
        };
        Issued { response, token: self.token, repeated: false }
    }
}
