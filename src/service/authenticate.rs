//! Client authentication (RFC 6749 2.3, RFC 7523 2.2): from what a request presents to a client that proved who it is.

use std::sync::Arc;

use thiserror::Error;

use super::{Authority, NoClient, TOKEN_PATH};
use crate::{
    domain::{
        assertion::{self, AssertionRefusal},
        client::{AuthenticationMethod, Client},
        credential::{ClientSecret, Digest},
        time::Timestamp,
    },
    port::{
        crypto::AssertionError,
        store::{StoreError, Use},
    },
    protocol::{client_authentication::PresentedClient, jose, secret::Secret},
};

/// A client that proved who it is by its registered method; for a public one that is no more than its name.
#[derive(Debug)]
pub struct AuthenticatedClient(Arc<Client>);

impl AuthenticatedClient {
    /// The client.
    pub fn client(&self) -> &Client {
        &self.0
    }
}

/// Why a client was not authenticated.
#[derive(Debug, Error)]
pub enum AuthenticateError {
    /// No such client may act.
    #[error("no such client: {0:?}")]
    NoClient(NoClient),
    /// Another method than the registered one, or several.
    #[error("not the registered authentication method")]
    WrongMethod,
    /// The secret is not one that works.
    #[error("wrong client secret")]
    WrongSecret,
    /// The assertion is no signed statement of this client.
    #[error("client assertion: {0}")]
    Assertion(#[from] AssertionError),
    /// The assertion is about a client that may not act, or that authenticates otherwise.
    #[error("client assertion about no client that uses them: {0:?}")]
    AssertionOfNobody(Option<NoClient>),
    /// The assertion does not say what it must.
    #[error("client assertion: {0}")]
    AssertionClaims(#[from] AssertionRefusal),
    /// The assertion was used before.
    #[error("client assertion used again")]
    AssertionReplayed,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Authority {
    /// Authenticates the client of a request.
    ///
    /// An unknown client and a wrong secret take the same path: the secret is hashed and compared either way.
    pub async fn authenticate(
        &self,
        presented: &PresentedClient,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, AuthenticateError> {
        match presented {
            PresentedClient::Public { client_id } => {
                let client = self.find(client_id).await?;
                registered_for(&client, AuthenticationMethod::None)?;
                Ok(AuthenticatedClient(client))
            }
            PresentedClient::SecretBasic { client_id, secret } => {
                self.by_secret(client_id, secret, AuthenticationMethod::ClientSecretBasic, now).await
            }
            PresentedClient::SecretPost { client_id, secret } => {
                self.by_secret(client_id, secret, AuthenticationMethod::ClientSecretPost, now).await
            }
            PresentedClient::Assertion { client_id, assertion } => {
                self.by_assertion(client_id.as_deref(), assertion, now).await
            }
        }
    }

    async fn find(&self, client_id: &str) -> Result<Arc<Client>, AuthenticateError> {
        self.active_client(client_id).await?.map_err(AuthenticateError::NoClient)
    }

    async fn by_secret(
        &self,
        client_id: &str,
        secret: &Secret,
        method: AuthenticationMethod,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, AuthenticateError> {
        match self.active_client(client_id).await? {
            Ok(client) => {
                let accepted = client.accepts_secret(secret, now);
                registered_for(&client, method)?;
                if accepted { Ok(AuthenticatedClient(client)) } else { Err(AuthenticateError::WrongSecret) }
            }
            Err(nobody) => {
                let presented = Digest::<ClientSecret>::of(secret.expose());
                std::hint::black_box(presented.matches(&Digest::from_bytes([0; 32])));
                Err(AuthenticateError::NoClient(nobody))
            }
        }
    }

    /// RFC 7523 3. Nothing that the assertion says is believed before its signature was checked, except whose keys to ask.
    async fn by_assertion(
        &self,
        client_id: Option<&str>,
        assertion: &Secret,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, AuthenticateError> {
        let claimed = jose::unverified_subject(assertion).ok_or(AssertionError::Malformed)?;
        // RFC 7521 4.2: client_id is optional, and must be the same if it is sent.
        if client_id.is_some_and(|id| id != claimed) {
            return Err(AssertionRefusal::WrongClient.into());
        }
        let client = self.active_client(&claimed).await?;
        let client = client.map_err(|nobody| AuthenticateError::AssertionOfNobody(Some(nobody)))?;
        if client.authentication != AuthenticationMethod::PrivateKeyJwt {
            return Err(AuthenticateError::AssertionOfNobody(None));
        }
        let keys = client.jwks.as_ref().ok_or(AssertionError::NoKey)?;
        let claims = self.assertions.verify(assertion, keys)?;
        let token_endpoint = self.issuer.endpoint(TOKEN_PATH);
        let audiences = [self.issuer.as_str(), token_endpoint.as_str()];
        let single = assertion::verify(&claims, &client.id, &audiences, self.policy.lifetimes.assertion, now)?;
        match self.tokens.use_once(single, now).await? {
            Use::First => Ok(AuthenticatedClient(client)),
            Use::Again => Err(AuthenticateError::AssertionReplayed),
        }
    }
}

/// Exactly the registered method: a public client that sends a secret is refused like a confidential one that sends none.
fn registered_for(client: &Client, used: AuthenticationMethod) -> Result<(), AuthenticateError> {
    if client.authentication == used { Ok(()) } else { Err(AuthenticateError::WrongMethod) }
}
