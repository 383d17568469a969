//! What an operator does with clients, and what the configuration file declares of them.

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use super::Authority;
use crate::{
    domain::{
        client::{
            ApplicationType, AuthenticationMethod, Client, ClientEntry, ClientStatus, GrantType, Provenance, Removal,
            SecretRecord,
        },
        credential::{ClientSecret, Credential, Digest},
        identifier::ClientId,
        redirect::{RedirectKind, RedirectUri},
        registration::is_usable,
        resource::ResourceUri,
        scope::Scope,
        time::Timestamp,
    },
    port::store::{Insertion, Replacement, StoreError},
    protocol::jose::JwkSet,
};

/// What an operator says of a client.
#[derive(Debug, Clone)]
pub struct ClientSpec {
    pub name: Option<String>,
    pub authentication: AuthenticationMethod,
    pub grant_types: Vec<GrantType>,
    pub redirect_uris: Vec<RedirectUri>,
    pub scope: Scope,
    /// Empty: all, for a client that asks for tokens.
    pub resources: Vec<ResourceUri>,
    /// Whether it is the server of `resources` and may ask about their tokens.
    pub may_introspect: bool,
    pub jwks: Option<JwkSet>,
}

/// What makes no sense in a [`ClientSpec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSpec {
    /// The authorization code grant has nowhere to send codes.
    #[error("authorization_code needs a redirect URI")]
    NoRedirectUri,
    /// A client without a secret or key acts for itself.
    #[error("client_credentials needs a confidential client")]
    PublicMachine,
    /// `private_key_jwt` without keys, or with one that nothing could be verified with.
    #[error("private_key_jwt needs a JWKS of signing keys: EC P-256, OKP Ed25519 or RSA")]
    NoKeys,
    /// Neither a grant type nor introspection.
    #[error("the client could do nothing: give it a grant type, or let it introspect")]
    Useless,
    /// Client credentials without a scope.
    #[error("client_credentials needs a scope: no human decides")]
    NoScope,
    /// The scope of a client that registers itself is bounded by policy, not by its registration.
    #[error(
        "the scope of a dynamic client is bounded by registration.scope_ceiling; name the resources that it may reach, or \
             disable it"
    )]
    DynamicScope,
    /// Introspection by a public client, or for no resource.
    #[error("introspection needs a confidential client and at least one resource")]
    Introspection,
}

/// Why a client was not made or changed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The specification makes no sense.
    #[error(transparent)]
    Spec(#[from] InvalidSpec),
    /// The identifier is in use, or was.
    #[error("the client_id {0} is or was in use")]
    Taken(ClientId),
    /// No such client.
    #[error("there is no client {0}")]
    Unknown(ClientId),
    /// It belongs to the configuration file.
    #[error("the client {0} is declared in the configuration file; change it there")]
    Configured(ClientId),
    /// The client has no secret to rotate.
    #[error("the client {0} does not use a secret")]
    NoSecret(ClientId),
    /// Somebody else changed it at the same moment.
    #[error("the client {0} was changed at the same moment; try again")]
    Conflict(ClientId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A client and the secret that was just made for it.
#[derive(Debug)]
pub struct NewClient {
    pub client: Client,
    pub secret: Option<Credential<ClientSecret>>,
}

impl ClientSpec {
    /// Whether it makes sense.
    pub fn check(&self) -> Result<(), InvalidSpec> {
        let public = self.authentication == AuthenticationMethod::None;
        let has = |grant| self.grant_types.contains(&grant);
        // A refresh token alone comes from nowhere.
        if self.grant_types.iter().all(|grant| *grant == GrantType::RefreshToken) && !self.may_introspect {
            Err(InvalidSpec::Useless)
        } else if has(GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            Err(InvalidSpec::NoRedirectUri)
        } else if has(GrantType::ClientCredentials) && public {
            Err(InvalidSpec::PublicMachine)
        } else if self.authentication == AuthenticationMethod::PrivateKeyJwt
            && !self.jwks.as_ref().is_some_and(|set| !set.keys.is_empty() && set.keys.iter().all(is_usable))
        {
            Err(InvalidSpec::NoKeys)
        } else if has(GrantType::ClientCredentials) && self.scope.is_empty() {
            Err(InvalidSpec::NoScope)
        } else if self.may_introspect && (public || self.resources.is_empty()) {
            Err(InvalidSpec::Introspection)
        } else {
            Ok(())
        }
    }

    fn apply(self, client: Client) -> Client {
        let native = self.redirect_uris.iter().any(|uri| uri.kind() != RedirectKind::Https);
        Client {
            name: self.name,
            authentication: self.authentication,
            grant_types: self.grant_types,
            application_type: if native { ApplicationType::Native } else { ApplicationType::Web },
            redirect_uris: self.redirect_uris,
            scope: self.scope,
            resources: self.resources,
            may_introspect: self.may_introspect,
            jwks: self.jwks,
            ..client
        }
    }
}

impl Authority {
    /// Adds a client, under a given identifier or a random one.
    pub async fn create_client(
        &self,
        id: Option<ClientId>,
        spec: ClientSpec,
        now: Timestamp,
    ) -> Result<NewClient, ClientError> {
        spec.check()?;
        let secret = spec.authentication.uses_secret().then(|| self.entropy.credential::<ClientSecret>());
        let id = id.unwrap_or_else(|| ClientId::from_entropy(self.entropy.name()));
        let mut client = spec.apply(Client::new(id, Provenance::Operator, now));
        client.secrets = secret.iter().map(|s| SecretRecord { digest: s.digest(), expires_at: None }).collect();
        if self.clients.find(&client.id).await?.is_some() {
            return Err(ClientError::Taken(client.id));
        }
        self.forget_namesake(&client.id).await?;
        match self.clients.insert(&client, None).await? {
            Insertion::Inserted => Ok(NewClient { client, secret }),
            Insertion::Taken | Insertion::LimitReached => Err(ClientError::Taken(client.id)),
        }
    }

    /// A registered client.
    pub async fn client(&self, id: &ClientId) -> Result<Client, ClientError> {
        match self.clients.find(id).await? {
            Some(ClientEntry::Registered(client)) => Ok(Arc::unwrap_or_clone(client)),
            Some(ClientEntry::Removed { .. }) | None => Err(ClientError::Unknown(id.clone())),
        }
    }

    /// Changes a client. `change` says what is different.
    pub async fn update_client(
        &self,
        id: &ClientId,
        change: impl FnOnce(&mut Client) -> Result<(), InvalidSpec> + Send,
    ) -> Result<Client, ClientError> {
        let mut client = self.changeable(id).await?;
        change(&mut client)?;
        spec_of(&client).check()?;
        self.replace(client).await
    }

    /// Gives a client a new secret; the old one works for `overlap` more.
    pub async fn rotate_secret(
        &self,
        id: &ClientId,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<NewClient, ClientError> {
        let mut client = self.changeable(id).await?;
        if !client.authentication.uses_secret() {
            return Err(ClientError::NoSecret(client.id));
        }
        let secret = self.entropy.credential::<ClientSecret>();
        client.rotate_secret(secret.digest(), overlap, now);
        Ok(NewClient { client: self.replace(client).await?, secret: Some(secret) })
    }

    /// Deletes a client; its grants end, and what humans agreed to for it is forgotten.
    pub async fn delete_client(&self, id: &ClientId, now: Timestamp) -> Result<(), ClientError> {
        let client = self.changeable(id).await?;
        if self.remove_client(&client.id, Removal::Operator, now).await? {
            Ok(())
        } else {
            Err(ClientError::Unknown(client.id))
        }
    }

    /// Makes a client of the configuration file be what the file says. Whether anything changed.
    pub async fn declare_client(
        &self,
        id: ClientId,
        spec: ClientSpec,
        secret: Option<Digest<ClientSecret>>,
        now: Timestamp,
    ) -> Result<bool, ClientError> {
        spec.check()?;
        let secrets: Vec<SecretRecord> =
            secret.into_iter().map(|digest| SecretRecord { digest, expires_at: None }).collect();
        let existing = match self.clients.find(&id).await? {
            Some(ClientEntry::Registered(existing)) => Some(Arc::unwrap_or_clone(existing)),
            Some(ClientEntry::Removed { .. }) => return Err(ClientError::Taken(id)),
            None => None,
        };
        match existing {
            None => {
                self.forget_namesake(&id).await?;
                let client = Client { secrets, ..spec.apply(Client::new(id, Provenance::Configured, now)) };
                match self.clients.insert(&client, None).await? {
                    // Another instance reads the same file at the same moment.
                    Insertion::Inserted | Insertion::Taken | Insertion::LimitReached => Ok(true),
                }
            }
            Some(old) if old.provenance != Provenance::Configured => Err(ClientError::Taken(id)),
            Some(old) => {
                let client = Client { secrets, status: ClientStatus::Active, ..spec.apply(old.clone()) };
                if client == old {
                    return Ok(false);
                }
                match self.clients.replace(&client).await? {
                    Replacement::Replaced | Replacement::Conflict | Replacement::Gone => Ok(true),
                }
            }
        }
    }

    /// Disables a client that has left the configuration file. Somebody else's change at the same moment is left alone.
    pub async fn retire_client(&self, client: &Client) -> Result<(), StoreError> {
        let disabled = Client { status: ClientStatus::Disabled, ..client.clone() };
        match self.clients.replace(&disabled).await? {
            Replacement::Replaced | Replacement::Conflict | Replacement::Gone => Ok(()),
        }
    }

    /// Forgets what humans agreed to for a client that had this name long ago. It was forgotten with that client, unless they
    /// agreed at that very moment or the process died.
    async fn forget_namesake(&self, id: &ClientId) -> Result<(), StoreError> {
        self.accounts.forget_consents_of_client(id).await?;
        Ok(())
    }

    async fn changeable(&self, id: &ClientId) -> Result<Client, ClientError> {
        let client = self.client(id).await?;
        match client.provenance {
            Provenance::Configured => Err(ClientError::Configured(client.id)),
            Provenance::Operator | Provenance::Dynamic => Ok(client),
        }
    }

    async fn replace(&self, client: Client) -> Result<Client, ClientError> {
        match self.clients.replace(&client).await? {
            Replacement::Replaced => Ok(client),
            Replacement::Conflict => Err(ClientError::Conflict(client.id)),
            Replacement::Gone => Err(ClientError::Unknown(client.id)),
        }
    }
}

/// What an operator would have said of an existing client.
fn spec_of(client: &Client) -> ClientSpec {
    ClientSpec {
        name: client.name.clone(),
        authentication: client.authentication,
        grant_types: client.grant_types.clone(),
        redirect_uris: client.redirect_uris.clone(),
        scope: client.scope.clone(),
        resources: client.resources.clone(),
        may_introspect: client.may_introspect,
        jwks: client.jwks.clone(),
    }
}
