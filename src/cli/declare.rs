//! Clients and humans that the configuration declares follow it at every start, and when it is read again.

use tracing::{info, warn};

use super::failure::Failure;
use crate::{
    config::{self, Config, StaticPassword},
    domain::{
        account::{User, Username},
        audit::{Action, Event, Reason},
        client::Provenance,
        identifier::ClientId,
        time::Timestamp,
    },
    port::store::Page,
    protocol::secret::Secret,
    service::{
        Authority,
        administer_clients::{ClientError, ClientSpec},
        administer_users::UserError,
    },
};

pub(super) async fn declare(authority: &Authority, config: &Config, now: Timestamp) -> Result<(), Failure> {
    for spec in &config.clients {
        match authority.declare_client(spec.id.clone(), specification(spec), spec.secret, now).await {
            Ok(true) => {
                info!(client_id = %spec.id, "the configuration changed a client");
                by_configuration(authority, now, Action::ClientUpdate, |event| event.of_client(&spec.id));
            }
            Ok(false) => {}
            Err(error @ ClientError::Taken(_)) => {
                return Err(Failure::configuration(format!(
                    "clients: {error}; the configuration cannot take over a client that was made otherwise"
                )));
            }
            Err(error) => return Err(error.into()),
        }
    }
    retire(authority, config, now).await?;
    for user in &config.users {
        match &user.password {
            StaticPassword::Hash(hash) => match authority.accounts.find_user_by_name(&user.username).await? {
                None => created(
                    authority,
                    now,
                    authority.create_user_with_hash(user.username.clone(), hash.clone(), now).await,
                )?,
                Some(known) if known.password == *hash => {}
                Some(known) => {
                    authority.set_password_hash(&known, hash).await?;
                    by_configuration(authority, now, Action::UserSetPassword, |event| event.of_user(&known.id));
                }
            },
            StaticPassword::Plain(password) => plain(authority, &user.username, password, now).await?,
        }
    }
    Ok(())
}

/// Notes in the audit trail what the configuration changed; `about` says for whom.
pub(super) fn by_configuration(
    authority: &Authority,
    now: Timestamp,
    action: Action,
    about: impl FnOnce(Event) -> Event,
) {
    authority.record(about(Event::success(now, action).because(Reason::ByConfiguration)));
}

/// Another instance that reads the same file may have been first.
fn created(authority: &Authority, now: Timestamp, outcome: Result<User, UserError>) -> Result<(), Failure> {
    match outcome {
        Ok(user) => {
            by_configuration(authority, now, Action::UserCreate, |event| event.of_user(&user.id));
            Ok(())
        }
        Err(UserError::Taken(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A password that still fits is left alone: setting it anew would end every session.
async fn plain(authority: &Authority, username: &Username, password: &Secret, now: Timestamp) -> Result<(), Failure> {
    let copy = || Secret::new(password.expose());
    match authority.accounts.find_user_by_name(username).await? {
        None => created(authority, now, authority.create_user(username.clone(), copy(), now).await)?,
        Some(known) => {
            let fits = async {
                let place = authority.passwords.place()?;
                authority.passwords.verify(place, copy(), Some(known.password.clone())).await
            };
            if !fits.await.map_err(|error| Failure::failed(&error))? {
                authority.set_password(username, copy()).await?;
                by_configuration(authority, now, Action::UserSetPassword, |event| event.of_user(&known.id));
            }
        }
    }
    Ok(())
}

fn specification(declared: &config::ClientSpec) -> ClientSpec {
    ClientSpec {
        name: declared.name.clone(),
        authentication: declared.authentication,
        grant_types: declared.grant_types.clone(),
        redirect_uris: declared.redirect_uris.clone(),
        scope: declared.scope.clone(),
        resources: declared.resources.clone(),
        may_introspect: declared.may_introspect,
        jwks: declared.jwks.clone(),
    }
}

/// A client that has left the configuration is disabled, so that it can come back.
async fn retire(authority: &Authority, config: &Config, now: Timestamp) -> Result<(), Failure> {
    const PAGE: u32 = 200;
    let mut after: Option<ClientId> = None;
    loop {
        let page = authority.clients.list(Page { after: after.take(), limit: PAGE }).await?;
        for client in &page {
            let declared = config.clients.iter().any(|spec| spec.id == client.id);
            if client.provenance == Provenance::Configured && client.is_active() && !declared {
                authority.retire_client(client).await?;
                let disabled = |event: Event| event.because(Reason::Disabled).of_client(&client.id);
                by_configuration(authority, now, Action::ClientUpdate, disabled);
                warn!(client_id = %client.id, "the client is no longer in the configuration: disabled");
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = Some(last.id.clone()),
            _ => return Ok(()),
        }
    }
}
