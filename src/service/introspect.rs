//! Introspection (RFC 7662): what a token is worth now, to those who may know.
//!
//! A resource server sees access tokens whose audience is its own; a client sees its own refresh tokens. Everything else,
//! and everything that is not active for whatever reason, is the same `None`.

use super::{Authority, authenticate::AuthenticatedClient};
use crate::{
    domain::{
        access::{AccessToken, Standing, Subject},
        account::Username,
        client::Client,
        credential::{Credential, Kind, OpaqueAccessToken, RefreshToken},
        refresh::RefreshState,
        time::Timestamp,
    },
    port::store::StoreError,
    protocol::{introspection::ActiveToken, revocation::TokenQuery, secret::Secret},
};

/// An access token that counts.
#[derive(Debug, Clone)]
pub struct LiveToken {
    pub token: AccessToken,
    /// The login name of the human whom it speaks for.
    pub username: Option<Username>,
}

impl Authority {
    /// What `caller`, who is confidential and has authenticated, may know about a token; `None` if that is nothing.
    ///
    /// The hint is not needed: a token says by its form what it is.
    pub async fn introspect(
        &self,
        caller: &AuthenticatedClient,
        query: &TokenQuery,
        now: Timestamp,
    ) -> Result<Option<ActiveToken>, StoreError> {
        if query.token.expose().starts_with(RefreshToken::PREFIX) {
            self.introspect_refresh(caller.client(), &query.token, now).await
        } else {
            self.introspect_access(caller.client(), &query.token, now).await
        }
    }

    async fn introspect_access(
        &self,
        caller: &Client,
        token: &Secret,
        now: Timestamp,
    ) -> Result<Option<ActiveToken>, StoreError> {
        let Some(LiveToken { token, username }) = self.live_access_token(token, now).await? else { return Ok(None) };
        // An empty list of resources means "all" for a client that asks for tokens; here it means none.
        if !caller.may_introspect || !caller.resources.contains(&token.audience) {
            return Ok(None);
        }
        Ok(Some(ActiveToken {
            active: true,
            scope: token.scope.to_string(),
            client_id: token.client_id.as_str().to_owned(),
            username: username.map(|name| name.as_str().to_owned()),
            token_type: Some("Bearer"),
            exp: token.expires_at.unix(),
            iat: token.issued_at.unix(),
            nbf: Some(token.issued_at.unix()),
            sub: token.subject_text().to_owned(),
            aud: Some(token.audience.as_str().to_owned()),
            iss: self.issuer.as_str().to_owned(),
            jti: Some(token.id.as_str().to_owned()),
            grant_id: token.grant_id().map(|id| id.as_str().to_owned()),
        }))
    }

    /// An access token of either form that counts now: neither expired nor revoked, and everybody behind it may still act.
    pub async fn live_access_token(&self, token: &Secret, now: Timestamp) -> Result<Option<LiveToken>, StoreError> {
        let Some(token) = self.find_access_token(token, now).await? else { return Ok(None) };
        if self.active_client(token.client_id.as_str()).await?.is_err() {
            return Ok(None);
        }
        let username = match &token.subject {
            Subject::Client => None,
            Subject::User { user_id, .. } => match self.accounts.active_user(user_id).await? {
                None => return Ok(None),
                username => username,
            },
        };
        Ok(Some(LiveToken { token, username }))
    }

    /// An access token of either form that is neither expired nor revoked.
    pub(super) async fn find_access_token(
        &self,
        token: &Secret,
        now: Timestamp,
    ) -> Result<Option<AccessToken>, StoreError> {
        let found = if token.expose().starts_with(OpaqueAccessToken::PREFIX) {
            match Credential::<OpaqueAccessToken>::parse(token.expose()) {
                Some(credential) => self.tokens.find_access(&credential.digest()).await?,
                None => None,
            }
        } else {
            let claims = self.signer.verify(token);
            match claims.and_then(|claims| AccessToken::from_claims(&claims, &self.issuer, &self.policy.resources, now))
            {
                Some(token) => {
                    let standing = self.tokens.standing(&token.id, token.grant_id()).await?;
                    Some((token, standing))
                }
                None => None,
            }
        };
        Ok(found.and_then(|(token, standing)| match standing {
            Standing::Good if !token.expires_at.is_over(now) => Some(token),
            Standing::Good | Standing::Revoked => None,
        }))
    }

    async fn introspect_refresh(
        &self,
        caller: &Client,
        token: &Secret,
        now: Timestamp,
    ) -> Result<Option<ActiveToken>, StoreError> {
        let Some(credential) = Credential::<RefreshToken>::parse(token.expose()) else { return Ok(None) };
        let Some(record) = self.tokens.find_refresh(&credential.digest()).await? else { return Ok(None) };
        let grant = record.grant;
        let current = match record.state {
            RefreshState::Current => !record.token.expires_at.is_over(now),
            RefreshState::Rotated(_) => false,
        };
        if grant.client_id != caller.id || !grant.is_active() || !current {
            return Ok(None);
        }
        let Some(username) = self.accounts.active_user(&grant.user_id).await? else { return Ok(None) };
        Ok(Some(ActiveToken {
            active: true,
            scope: grant.scope.to_string(),
            client_id: grant.client_id.as_str().to_owned(),
            username: Some(username.as_str().to_owned()),
            token_type: None,
            exp: record.token.expires_at.unix(),
            iat: record.token.issued_at.unix(),
            nbf: None,
            sub: grant.user_id.as_str().to_owned(),
            aud: None,
            iss: self.issuer.as_str().to_owned(),
            jti: None,
            grant_id: Some(grant.id.as_str().to_owned()),
        }))
    }
}
