//! Development mode: what `gateward serve` makes at the first start, and what it says to do next.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use super::{
    compose::{Assembly, private_directory},
    declare::by_configuration,
    failure::Failure,
    output,
};
use crate::{
    domain::{
        account::Username,
        audit::Action,
        client::{AuthenticationMethod, ClientEntry, GrantType},
        guarded::GuardedResource,
        identifier::ClientId,
        time::Timestamp,
    },
    http::path,
    port::store::Page,
    protocol::secret::Secret,
    service::{
        administer_clients::{ClientError, ClientSpec},
        administer_users::UserError,
    },
};

const WORKER: &str = "worker";

pub(super) async fn prepare(assembly: &Assembly, now: Timestamp) -> Result<(), Failure> {
    let issuer = &assembly.config.issuer;
    output::line("gateward in development mode: for this machine only")?;
    output::line("")?;
    if let Some(password) = first_user(assembly, now).await? {
        output::line("user:     admin")?;
        output::line(&format!("password: {}", password.expose()))?;
        output::line("          (shown once; `gateward user set-password admin` makes a new one)")?;
        output::line("")?;
    }
    for GuardedResource { uri, scopes, upstream, .. } in &assembly.config.guarded {
        let behind = upstream.as_ref().map(|url| format!("  in front of {url}")).unwrap_or_default();
        output::line(&format!("resource: {uri}  [{scopes}]{behind}"))?;
    }
    output::line(&format!("metadata: {}", issuer.endpoint(path::METADATA)))?;
    output::line(&format!("data in:  {}", assembly.config.data_directory.display()))?;
    output::line("")?;
    let token_endpoint = issuer.endpoint(path::TOKEN);
    if worker(assembly, now).await? {
        let secret = std::path::absolute(secret_file(assembly))?;
        output::line("A token for a worker (client credentials):")?;
        output::line(&format!(
            "  curl -sS {token_endpoint} -u \"{WORKER}:$(cat '{}')\" -d grant_type=client_credentials",
            secret.display()
        ))?;
    } else {
        output::line("A client for a worker; then ask for a token with what it prints:")?;
        output::line("  gateward client create --name worker --grant client_credentials --scope mcp:execute")?;
        output::line(&format!(
            "  curl -sS {token_endpoint} -u CLIENT_ID:CLIENT_SECRET -d grant_type=client_credentials"
        ))?;
    }
    output::line("")
}

/// The only human of a store that has none.
async fn first_user(assembly: &Assembly, now: Timestamp) -> Result<Option<Secret>, Failure> {
    let authority = &assembly.authority;
    if !authority.accounts.list_users(Page { after: None, limit: 1 }).await?.is_empty() {
        return Ok(None);
    }
    let password = authority.draw_password();
    let admin = Username::parse("admin").map_err(|error| Failure::failed(&error))?;
    match authority.create_user(admin, Secret::new(password.expose()), now).await {
        Ok(user) => {
            by_configuration(&assembly.authority, now, Action::UserCreate, |event| event.of_user(&user.id));
            Ok(Some(password))
        }
        // Another instance was first, and has said its password.
        Err(UserError::Taken(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A client whose secret lies in a file, so that the curl line works at every start. Whether there is one.
async fn worker(assembly: &Assembly, now: Timestamp) -> Result<bool, Failure> {
    let authority = &assembly.authority;
    let id = ClientId::parse(WORKER).map_err(|error| Failure::failed(&error))?;
    match authority.clients.find(&id).await? {
        Some(ClientEntry::Registered(_)) => return Ok(secret_file(assembly).exists()),
        Some(ClientEntry::Removed { .. }) => return Ok(false),
        None => {}
    }
    let resource = assembly.config.resources.default_resource();
    let spec = ClientSpec {
        name: Some("Development worker".into()),
        authentication: AuthenticationMethod::ClientSecretBasic,
        grant_types: vec![GrantType::ClientCredentials],
        redirect_uris: vec![],
        scope: resource.scope(),
        resources: vec![resource.uri.clone()],
        may_introspect: false,
        jwks: None,
    };
    let created = match authority.create_client(Some(id), spec, now).await {
        Ok(created) => created,
        // Another instance was first; its secret may be in this directory, or in one of its own.
        Err(ClientError::Taken(_)) => return Ok(secret_file(assembly).exists()),
        Err(error) => return Err(error.into()),
    };
    by_configuration(&assembly.authority, now, Action::ClientCreate, |event| event.of_client(&created.client.id));
    if let Some(secret) = created.secret {
        // Nothing else may have made it: the store and the master key can be elsewhere.
        private_directory(&assembly.config.data_directory)?;
        write_private(&secret_file(assembly), secret.expose())?;
    }
    Ok(true)
}

fn secret_file(assembly: &Assembly) -> std::path::PathBuf {
    assembly.config.data_directory.join("worker.secret")
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
