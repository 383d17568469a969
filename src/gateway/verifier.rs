//! Tokens as the authority itself knows them.

use async_trait::async_trait;

use crate::{
    domain::{resource::ResourceUri, time::Timestamp},
    protocol::secret::Secret,
    resource::{Identity, IdentityParts, Rejection, TokenVerifier, Unavailable, VerifyError},
    service::{Authority, introspect::LiveToken},
};

/// Asks the authority at every request: what was revoked does not count from that moment on.
pub(super) struct AuthorityVerifier {
    authority: Authority,
    resource: ResourceUri,
}

impl AuthorityVerifier {
    pub(super) fn new(authority: Authority, resource: ResourceUri) -> Self {
        Self { authority, resource }
    }
}

#[async_trait]
impl TokenVerifier for AuthorityVerifier {
    async fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, VerifyError> {
        let live = self.authority.live_access_token(&Secret::new(token), now).await;
        let live = live.map_err(|error| {
            crate::http::respond::log_failure(&error);
            Unavailable::new("the store does not answer")
        })?;
        let Some(LiveToken { token, username }) = live else { return Err(Rejection::Inactive.into()) };
        if token.audience != self.resource {
            return Err(Rejection::WrongAudience.into());
        }
        Ok(Identity::from(IdentityParts {
            issuer: self.authority.issuer.as_str().to_owned(),
            subject: token.subject_text().to_owned(),
            username: username.map(|name| name.as_str().to_owned()),
            client_id: token.client_id.as_str().to_owned(),
            scope: token.scope.clone(),
            resource: token.audience.clone(),
            token_id: Some(token.id.as_str().to_owned()),
            grant_id: token.grant_id().map(|id| id.as_str().to_owned()),
            not_before: Some(token.issued_at),
            expires_at: token.expires_at,
        }))
    }
}
