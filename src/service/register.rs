//! Dynamic client registration (RFC 7591) and its management (RFC 7592).

use std::sync::Arc;

use thiserror::Error;

use super::{Authority, REGISTRATION_PATH};
use crate::{
    domain::{
        client::{Client, ClientEntry, Provenance, Removal, SecretRecord},
        credential::{ClientSecret, Credential, Digest, RegistrationToken},
        grant::RevocationReason,
        identifier::ClientId,
        policy::{InitialAccessToken, RegistrationMode},
        registration::{self, Registration, RegistrationRefusal},
        time::Timestamp,
    },
    port::store::{Insertion, Owner, Replacement, StoreError},
    protocol::{
        registration::{ClientInformation, ClientMetadata},
        secret::Secret,
    },
};

/// Why a client was not registered, read, changed or deleted.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// Policy: nobody may register.
    #[error("registration is closed")]
    Closed,
    /// Policy: the initial access token is missing or wrong.
    #[error("initial access token missing or wrong")]
    InitialAccessToken,
    /// The metadata leaves nothing usable.
    #[error("metadata refused: {0}")]
    Refused(#[from] RegistrationRefusal),
    /// There are as many dynamic clients as policy allows.
    #[error("the limit of dynamic clients is reached")]
    LimitReached,
    /// No such client, or not its registration access token: the same to whoever asks (RFC 7592 2).
    #[error("no such client, or not its registration access token")]
    Unauthorized,
    /// An update names another client or another secret than the one it is sent for (RFC 7592 2.2).
    #[error("client_id or client_secret is not the client's")]
    Contradiction,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was made along with a client, and can be shown only now.
struct Fresh {
    secret: Option<Credential<ClientSecret>>,
    registration_token: String,
}

impl Authority {
    /// Registers a client that describes itself. `bearer` is the initial access token, if one was presented.
    pub async fn register(
        &self,
        metadata: ClientMetadata,
        bearer: Option<&Secret>,
        now: Timestamp,
    ) -> Result<ClientInformation, RegisterError> {
        self.may_register(bearer)?;
        let registration = registration::negotiate(metadata, &self.policy)?;
        let mut draws = self.entropy.draws();
        let secret = registration.authentication.uses_secret().then(|| draws.credential::<ClientSecret>());
        let token = draws.credential::<RegistrationToken>();
        let id = ClientId::from_entropy(draws.name());
        let client = Client {
            secrets: secrets(secret.as_ref()),
            registration_token: Some(token.digest()),
            ..apply(registration, Client::new(id, Provenance::Dynamic, now))
        };
        match self.clients.insert(&client, Some(self.policy.registration.max_clients)).await? {
            Insertion::Inserted => {}
            Insertion::LimitReached => return Err(RegisterError::LimitReached),
            Insertion::Taken => return Err(StoreError::Corrupt("a random client_id is taken".into()).into()),
        }
        Ok(self.describe(&client, Fresh { secret, registration_token: token.expose().to_owned() }))
    }

    fn may_register(&self, bearer: Option<&Secret>) -> Result<(), RegisterError> {
        match &self.policy.registration.mode {
            RegistrationMode::Open => Ok(()),
            RegistrationMode::Closed => Err(RegisterError::Closed),
            RegistrationMode::InitialAccessToken(known) => {
                let presented = bearer.ok_or(RegisterError::InitialAccessToken)?;
                let presented = Digest::<InitialAccessToken>::of(presented.expose());
                let accepted = known.iter().fold(false, |found, token| token.matches(&presented) | found);
                if accepted { Ok(()) } else { Err(RegisterError::InitialAccessToken) }
            }
        }
    }

    /// RFC 7592 2.1: what is registered. A secret cannot be shown again.
    pub async fn read_registration(&self, id: &str, bearer: &Secret) -> Result<ClientInformation, RegisterError> {
        let client = self.manageable(id, bearer).await?;
        Ok(self.describe(&client, Fresh { secret: None, registration_token: bearer.expose().to_owned() }))
    }

    /// RFC 7592 2.2: replaces what is registered; members that are left out are reset. The registration access token is
    /// replaced too.
    pub async fn update_registration(
        &self,
        id: &str,
        bearer: &Secret,
        metadata: ClientMetadata,
        now: Timestamp,
    ) -> Result<ClientInformation, RegisterError> {
        let old = self.manageable(id, bearer).await?;
        if metadata.client_id.as_deref().is_some_and(|id| id != old.id.as_str()) {
            return Err(RegisterError::Contradiction);
        }
        if let Some(secret) = &metadata.client_secret
            && !old.accepts_secret(secret, now)
        {
            return Err(RegisterError::Contradiction);
        }
        let registration = registration::negotiate(metadata, &self.policy)?;
        let keeps_secret = registration.authentication.uses_secret() && !old.secrets.is_empty();
        let secret = (registration.authentication.uses_secret() && !keeps_secret)
            .then(|| self.entropy.credential::<ClientSecret>());
        let token = self.entropy.credential::<RegistrationToken>();
        // What an operator decided about it (its status, its resources) is not the client's to undo.
        let client = Client {
            secrets: if keeps_secret { old.secrets.clone() } else { secrets(secret.as_ref()) },
            registration_token: Some(token.digest()),
            ..apply(registration, old)
        };
        match self.clients.replace(&client).await? {
            Replacement::Replaced => {}
            // Whoever was first replaced the token that this request came with.
            Replacement::Conflict | Replacement::Gone => return Err(RegisterError::Unauthorized),
        }
        Ok(self.describe(&client, Fresh { secret, registration_token: token.expose().to_owned() }))
    }

    /// RFC 7592 2.3: deletes the client; its grants end.
    pub async fn delete_registration(&self, id: &str, bearer: &Secret, now: Timestamp) -> Result<(), RegisterError> {
        let client = self.manageable(id, bearer).await?;
        self.remove_client(&client.id, Removal::Itself, now).await?;
        Ok(())
    }

    /// Removes a client, ends its grants and forgets what humans agreed to for it. The client goes first: without it nothing
    /// new is issued, and what was issued is inactive even if the process dies in between.
    pub(super) async fn remove_client(
        &self,
        id: &ClientId,
        reason: Removal,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let removed = self.clients.remove(id, reason, now).await?;
        let owner = Owner::Client(id.clone());
        self.tokens.revoke_grants_of(&owner, RevocationReason::ClientRemoved, now).await?;
        self.accounts.forget_consents_of_client(id).await?;
        Ok(removed)
    }

    async fn manageable(&self, id: &str, bearer: &Secret) -> Result<Client, RegisterError> {
        let id = ClientId::parse(id).map_err(|_| RegisterError::Unauthorized)?;
        let presented = Digest::<RegistrationToken>::of(bearer.expose());
        match self.clients.find(&id).await? {
            Some(ClientEntry::Registered(client))
                if client.is_active() && client.registration_token.is_some_and(|token| token.matches(&presented)) =>
            {
                Ok(Arc::unwrap_or_clone(client))
            }
            _ => Err(RegisterError::Unauthorized),
        }
    }

    fn describe(&self, client: &Client, fresh: Fresh) -> ClientInformation {
        ClientInformation {
            client_id: client.id.as_str().to_owned(),
            client_id_issued_at: client.created_at.unix(),
            client_secret_expires_at: fresh.secret.as_ref().map(|_| 0),
            client_secret: fresh.secret.map(|secret| secret.expose().to_owned()),
            client_name: client.name.clone(),
            client_uri: client.uri.clone(),
            redirect_uris: client.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect(),
            grant_types: client.grant_types.iter().map(|grant| grant.as_str()).collect(),
            response_types: if client.may_ask_humans() { vec!["code"] } else { vec![] },
            token_endpoint_auth_method: client.authentication.as_str(),
            application_type: client.application_type.as_str(),
            scope: client.scope.to_string(),
            software_id: client.software_id.clone(),
            software_version: client.software_version.clone(),
            jwks: client.jwks.clone(),
            registration_client_uri: Some(self.issuer.endpoint(&format!("{REGISTRATION_PATH}/{}", client.id))),
            registration_access_token: Some(fresh.registration_token),
        }
    }
}

fn secrets(secret: Option<&Credential<ClientSecret>>) -> Vec<SecretRecord> {
    secret.map(|secret| SecretRecord { digest: secret.digest(), expires_at: None }).into_iter().collect()
}

/// A client with what it negotiated beside what the server keeps of it.
fn apply(registration: Registration, client: Client) -> Client {
    Client {
        name: registration.name,
        uri: registration.uri,
        authentication: registration.authentication,
        jwks: registration.jwks,
        redirect_uris: registration.redirect_uris,
        grant_types: registration.grant_types,
        application_type: registration.application_type,
        scope: registration.scope,
        software_id: registration.software_id,
        software_version: registration.software_version,
        ..client
    }
}
