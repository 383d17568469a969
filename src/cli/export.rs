//! `gateward client export` and `gateward user export`.

use clap::Args;
use serde::Serialize;

use super::{failure::Failure, output};
use crate::{
    config::{ClientDeclaration, UserDeclaration, declare_clients, declare_users},
    domain::{
        account::User,
        client::{Client, Provenance},
    },
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON, with what a configuration has no word for: status, provenance, and clients that registered themselves.
    #[arg(long)]
    json: bool,
    /// Also the digests of client secrets and the hashes of passwords, for another installation that should accept the same ones.
    /// Guard the output like the store: passwords can be guessed from it.
    #[arg(long)]
    with_digests: bool,
}

#[derive(Serialize)]
struct Exported<T> {
    #[serde(flatten)]
    declaration: T,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<&'static str>,
}

fn status(active: bool) -> &'static str {
    if active { "active" } else { "disabled" }
}

pub(super) fn clients(clients: Vec<Client>, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.json {
        let exported = |client: &Client| Exported {
            declaration: ClientDeclaration::of(client, arguments.with_digests),
            status: status(client.is_active()),
            provenance: Some(client.provenance.as_str()),
        };
        return output::many(&clients.iter().map(exported).collect::<Vec<_>>(), true);
    }
    let vouched: Vec<Client> = clients.into_iter().filter(|client| client.provenance != Provenance::Dynamic).collect();
    print(declare_clients(&vouched, arguments.with_digests))
}

pub(super) fn users(users: &[User], arguments: &Arguments) -> Result<(), Failure> {
    if arguments.json {
        let exported = |user: &User| Exported {
            declaration: UserDeclaration::of(user, arguments.with_digests),
            status: status(user.is_active()),
            provenance: None,
        };
        return output::many(&users.iter().map(exported).collect::<Vec<_>>(), true);
    }
    print(declare_users(users, arguments.with_digests))
}

fn print<E: std::error::Error + 'static>(toml: Result<String, E>) -> Result<(), Failure> {
    output::line(toml.map_err(|error| Failure::failed(&error))?.trim_end())
}
