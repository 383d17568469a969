//! `gateward client`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Listing, compose::Assembly, export, failure::Failure, output};
use crate::{
    config::parse_duration,
    domain::{
        audit::{Action, Reason},
        client::{AuthenticationMethod, Client, ClientStatus, GrantType, Provenance},
        credential::{ClientSecret, Credential},
        identifier::ClientId,
        redirect::RedirectUri,
        resource::ResourceUri,
        scope::Scope,
    },
    port::store::Page,
    protocol::jose::JwkSet,
    service::administer_clients::{ClientSpec, InvalidSpec},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a client. Prints its identifier and, once, its secret.
    Create {
        /// What humans call it.
        #[arg(long)]
        name: Option<String>,
        /// Its identifier; random unless given.
        #[arg(long, value_name = "CLIENT_ID")]
        id: Option<String>,
        /// A client that cannot keep a secret: the same as `--auth-method none`.
        #[arg(long, conflicts_with = "auth_method")]
        public: bool,
        #[command(flatten)]
        attributes: Attributes,
        #[command(flatten)]
        listing: Listing,
    },
    /// List the clients.
    List(Listing),
    /// Print them as `[[clients]]` of a configuration, without secrets.
    Export(export::Arguments),
    /// Show one client.
    Show {
        client_id: String,
        #[command(flatten)]
        listing: Listing,
    },
    /// Change a client; what is not mentioned stays as it is.
    Update {
        client_id: String,
        #[arg(long)]
        name: Option<String>,
        /// It may not act until it is enabled again.
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        #[arg(long)]
        enable: bool,
        #[command(flatten)]
        attributes: Attributes,
        #[command(flatten)]
        listing: Listing,
    },
    /// Make a new secret; the old one works for the overlap more.
    RotateSecret {
        client_id: String,
        /// How long the old secret still works, e.g. 24h; 0s ends it now. [default: lifetimes.secret_overlap]
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        overlap: Option<Duration>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Delete a client; its grants end.
    Delete { client_id: String },
}

/// What a client is.
#[derive(Debug, Args)]
pub(super) struct Attributes {
    /// A grant type: authorization_code, refresh_token or client_credentials. Repeatable.
    #[arg(long = "grant", value_name = "GRANT", value_parser = grant_type)]
    grants: Vec<GrantType>,
    /// A scope that it may have. Repeatable.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Where codes may be sent. Repeatable.
    #[arg(long = "redirect-uri", value_name = "URI", value_parser = redirect_uri)]
    redirect_uris: Vec<RedirectUri>,
    /// A resource that it may reach; all if none is named. Repeatable.
    #[arg(long = "resource", value_name = "URI")]
    resources: Vec<String>,
    /// none, client_secret_basic, client_secret_post or private_key_jwt.
    #[arg(long, value_name = "METHOD", value_parser = auth_method)]
    auth_method: Option<AuthenticationMethod>,
    /// Its public keys (a JSON Web Key Set) for private_key_jwt.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// It is the server of its resources and may ask about their tokens (RFC 7662).
    #[arg(long)]
    introspect: bool,
}

fn grant_type(text: &str) -> Result<GrantType, String> {
    GrantType::parse(text).ok_or_else(|| "one of authorization_code, refresh_token, client_credentials".into())
}

fn auth_method(text: &str) -> Result<AuthenticationMethod, String> {
    AuthenticationMethod::parse(text)
        .ok_or_else(|| "one of none, client_secret_basic, client_secret_post, private_key_jwt".into())
}

fn redirect_uri(text: &str) -> Result<RedirectUri, String> {
    RedirectUri::parse(text).map_err(|error| error.to_string())
}

/// A client as it is shown. `client_secret` only at the moment when it is made.
#[derive(Serialize)]
struct Shown {
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    name: Option<String>,
    status: &'static str,
    provenance: &'static str,
    auth_method: &'static str,
    grant_types: Vec<&'static str>,
    scope: String,
    resources: Vec<String>,
    redirect_uris: Vec<String>,
    may_introspect: bool,
    created_at: String,
    last_used_at: Option<String>,
}

pub(super) async fn run(verb: Verb, assembly: &Assembly) -> Result<(), Failure> {
    let (authority, now) = (&assembly.authority, assembly.now());
    match verb {
        Verb::Create { name, id, public, attributes, listing } => {
            let id = id.as_deref().map(parse).transpose()?;
            let spec = attributes.spec(name, public, assembly)?;
            let created = authority.create_client(id, spec, now).await?;
            assembly.by_operator(Action::ClientCreate, |event| event.of_client(&created.client.id));
            output::one(&show(&created.client, created.secret.as_ref()), listing.json)
        }
        Verb::List(listing) => {
            let rows: Vec<Shown> = every_client(assembly).await?.iter().map(|client| show(client, None)).collect();
            output::many(&rows, listing.json)
        }
        Verb::Export(arguments) => export::clients(every_client(assembly).await?, &arguments),
        Verb::Show { client_id, listing } => {
            output::one(&show(&authority.client(&parse(&client_id)?).await?, None), listing.json)
        }
        Verb::Update { client_id, name, disable, enable, attributes, listing } => {
            let change = attributes.change(assembly)?;
            let id = parse(&client_id)?;
            let updated = authority.update_client(&id, |client| {
                if let Some(name) = name {
                    client.name = Some(name);
                }
                if disable || enable {
                    client.status = if enable { ClientStatus::Active } else { ClientStatus::Disabled };
                }
                change(client)
            });
            let updated = updated.await?;
            let how = match (enable, disable) {
                (true, _) => Reason::Enabled,
                (false, true) => Reason::Disabled,
                (false, false) => Reason::ByOperator,
            };
            assembly.by_operator(Action::ClientUpdate, |event| event.because(how).of_client(&id));
            output::one(&show(&updated, None), listing.json)
        }
        Verb::RotateSecret { client_id, overlap, listing } => {
            let overlap = overlap.unwrap_or(authority.policy.lifetimes.secret_overlap);
            let rotated = authority.rotate_secret(&parse(&client_id)?, overlap, now).await?;
            assembly.by_operator(Action::ClientRotateSecret, |event| event.of_client(&rotated.client.id));
            output::one(&show(&rotated.client, rotated.secret.as_ref()), listing.json)
        }
        Verb::Delete { client_id } => {
            let id = parse(&client_id)?;
            authority.delete_client(&id, now).await?;
            assembly.by_operator(Action::ClientDelete, |event| event.of_client(&id));
            output::line(&format!("deleted {client_id}; its grants ended"))
        }
    }
}

async fn every_client(assembly: &Assembly) -> Result<Vec<Client>, Failure> {
    let mut clients = Vec::new();
    let mut after: Option<ClientId> = None;
    loop {
        let page = assembly.authority.clients.list(Page { after: after.take(), limit: 500 }).await?;
        let Some(last) = page.last() else { return Ok(clients) };
        after = Some(last.id.clone());
        clients.extend(page);
    }
}

fn parse(id: &str) -> Result<ClientId, Failure> {
    ClientId::parse(id).map_err(Failure::usage)
}

impl Attributes {
    /// A new client.
    fn spec(self, name: Option<String>, public: bool, assembly: &Assembly) -> Result<ClientSpec, Failure> {
        let jwks = self.read_jwks()?;
        let default =
            if jwks.is_some() { AuthenticationMethod::PrivateKeyJwt } else { AuthenticationMethod::ClientSecretBasic };
        let authentication = if public { AuthenticationMethod::None } else { self.auth_method.unwrap_or(default) };
        Ok(ClientSpec {
            name,
            authentication,
            scope: self.read_scope(assembly)?,
            resources: self.read_resources(assembly)?,
            grant_types: self.grants,
            redirect_uris: self.redirect_uris,
            may_introspect: self.introspect,
            jwks,
        })
    }

    /// What is different about an existing client. The method stays: changing it would need another kind of credential.
    fn change(
        self,
        assembly: &Assembly,
    ) -> Result<impl FnOnce(&mut Client) -> Result<(), InvalidSpec> + Send + use<>, Failure> {
        if self.auth_method.is_some() {
            return Err(Failure::usage("the authentication method of a client does not change; create another client"));
        }
        let (scope, resources, jwks) = (self.read_scope(assembly)?, self.read_resources(assembly)?, self.read_jwks()?);
        Ok(move |client: &mut Client| {
            if !self.grants.is_empty() {
                client.grant_types = self.grants;
            }
            if !scope.is_empty() {
                match client.provenance {
                    Provenance::Dynamic => return Err(InvalidSpec::DynamicScope),
                    Provenance::Operator | Provenance::Configured => client.scope = scope,
                }
            }
            if !self.redirect_uris.is_empty() {
                client.redirect_uris = self.redirect_uris;
            }
            if !resources.is_empty() {
                client.resources = resources;
            }
            if jwks.is_some() {
                client.jwks = jwks;
            }
            client.may_introspect |= self.introspect;
            Ok(())
        })
    }

    /// Of scopes that there are: a typo is found now, not when the client is refused.
    fn read_scope(&self, assembly: &Assembly) -> Result<Scope, Failure> {
        let scope =
            Scope::parse(&self.scopes.join(" ")).map_err(|error| Failure::usage(format!("--scope: {error}")))?;
        let known = assembly.config.resources.scopes_supported();
        if let Some(unknown) = scope.iter().find(|token| !known.contains(token)) {
            return Err(Failure::usage(format!("--scope {unknown}: no resource has such a scope")));
        }
        Ok(scope)
    }

    /// By their registered names: a typo is found now, not when the client is refused.
    fn read_resources(&self, assembly: &Assembly) -> Result<Vec<ResourceUri>, Failure> {
        let find = |name: &String| match assembly.config.resources.find(name) {
            Some(resource) => Ok(resource.uri.clone()),
            None => Err(Failure::usage(format!("--resource {name}: the configuration has no such resource"))),
        };
        self.resources.iter().map(find).collect()
    }

    fn read_jwks(&self) -> Result<Option<JwkSet>, Failure> {
        let Some(path) = &self.jwks else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("--jwks {}: {error}", path.display())))?;
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Failure::usage(format!("--jwks {}: not a JSON Web Key Set: {error}", path.display())))
    }
}

fn show(client: &Client, secret: Option<&Credential<ClientSecret>>) -> Shown {
    Shown {
        client_id: client.id.as_str().to_owned(),
        client_secret: secret.map(|secret| secret.expose().to_owned()),
        name: client.name.clone(),
        status: match client.status {
            ClientStatus::Active => "active",
            ClientStatus::Disabled => "disabled",
        },
        provenance: client.provenance.as_str(),
        auth_method: client.authentication.as_str(),
        grant_types: client.grant_types.iter().map(|grant| grant.as_str()).collect(),
        scope: client.scope.to_string(),
        resources: client.resources.iter().map(|uri| uri.as_str().to_owned()).collect(),
        redirect_uris: client.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect(),
        may_introspect: client.may_introspect,
        created_at: output::rfc3339(client.created_at),
        last_used_at: client.last_used_at.map(output::rfc3339),
    }
}
