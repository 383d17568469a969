//! The client credentials grant (RFC 6749 4.4): a confidential client acts for itself. No human, no refresh token, and for a
//! JWT nothing to record.

use thiserror::Error;

use super::{Authority, IssueError, Issued, authenticate::AuthenticatedClient};
use crate::{
    domain::{
        access::Subject,
        authorization::default_resource,
        client::{Client, GrantType, Provenance},
        resource::Resource,
        scope::{Scope, ScopeToken},
        time::Timestamp,
    },
    port::store::{Recording, StoreError},
    protocol::token::ClientCredentials,
};

/// Why a client got no token for itself.
#[derive(Debug, Error)]
pub enum ClientCredentialsError {
    /// The client is public, or not registered for this grant type.
    #[error("the client may not use this grant")]
    UnauthorizedClient,
    /// The resource is unknown or out of reach, or there are several.
    #[error("the resource is unknown or out of reach")]
    TargetRefused,
    /// More scope than the client has at the resource, or none.
    #[error("more scope than the client has")]
    ScopeRefused,
    /// Nothing could be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Authority {
    /// Issues a token to a client for itself.
    pub async fn client_credentials(
        &self,
        client: &AuthenticatedClient,
        request: &ClientCredentials,
        now: Timestamp,
    ) -> Result<Issued, ClientCredentialsError> {
        let client = client.client();
        // RFC 6749 4.4: confidential clients only.
        if client.is_public() || !client.may_use(GrantType::ClientCredentials) {
            return Err(ClientCredentialsError::UnauthorizedClient);
        }
        // Policy may have become stricter since the client registered itself.
        if client.provenance == Provenance::Dynamic && !self.policy.registration.allow_client_credentials {
            return Err(ClientCredentialsError::UnauthorizedClient);
        }
        let resource = self.target(client, &request.resources)?;
        let scope = scope(client, resource, request.scope.as_deref())?;
        let access = self.drafts(now).access(&client.id, Subject::Client, &scope, resource).await?;
        if let Some(record) = &access.record {
            match self.tokens.record_access(record).await? {
                Recording::Recorded => {}
                Recording::GrantRevoked => {
                    return Err(StoreError::Corrupt("a token without a grant cannot lose one".into()).into());
                }
            }
        }
        self.note_use(client, now).await;
        Ok(access.respond(None, now))
    }

    fn target(&self, client: &Client, names: &[String]) -> Result<&Resource, ClientCredentialsError> {
        let refused = ClientCredentialsError::TargetRefused;
        let find = |name: &str| self.policy.resources.find(name).filter(|r| client.may_reach(&r.uri));
        let Some((first, others)) = names.split_first() else {
            let uri = default_resource(client, &self.policy).ok_or(refused)?;
            return find(uri.as_str()).ok_or(ClientCredentialsError::TargetRefused);
        };
        let target = find(first).ok_or(refused)?;
        // A token has one audience.
        let same = others.iter().all(|name| find(name).is_some_and(|r| r.uri == target.uri));
        if same { Ok(target) } else { Err(ClientCredentialsError::TargetRefused) }
    }
}

/// RFC 6749 3.3: within what the client was registered for. No human decides, so nothing is implied.
fn scope(client: &Client, resource: &Resource, asked: Option<&str>) -> Result<Scope, ClientCredentialsError> {
    let refused = || ClientCredentialsError::ScopeRefused;
    let available = |token: &ScopeToken| client.scope.contains(token) && resource.offers(token);
    let asked: Scope = match asked {
        None => client.scope.only(available),
        // There is nobody to be offline: some clients ask by habit, and none gets a refresh token here.
        Some(text) => Scope::parse(text).map_err(|_| refused())?.without_offline_access(),
    };
    if asked.is_empty() || !asked.iter().all(available) { Err(refused()) } else { Ok(asked) }
}
