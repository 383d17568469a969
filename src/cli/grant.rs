//! `gateward grant`.

use clap::Subcommand;
use serde::Serialize;

use super::{Listing, compose::Assembly, failure::Failure, output};
use crate::{
    domain::{
        account::Username,
        audit::Action,
        grant::Grant,
        identifier::{ClientId, GrantId},
        time::Timestamp,
    },
    port::store::{GrantFilter, Page},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List grants.
    List {
        /// Only those of this client.
        #[arg(long, value_name = "CLIENT_ID")]
        client: Option<String>,
        /// Only those of this human.
        #[arg(long, value_name = "USERNAME")]
        user: Option<String>,
        /// Revoked and expired ones too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Revoke a grant and everything issued from it; the client has to ask the human again.
    Revoke {
        #[arg(required_unless_present = "all")]
        grant_id: Option<String>,
        /// Every grant, and every session, too: all humans log in again, and agree again. Clients keep their secrets.
        #[arg(long, conflicts_with = "grant_id")]
        all: bool,
    },
}

#[derive(Serialize)]
struct Row {
    grant_id: String,
    client_id: String,
    user_id: String,
    scope: String,
    resources: Vec<String>,
    state: &'static str,
    created_at: String,
    expires_at: String,
}

pub(super) async fn run(verb: Verb, assembly: &Assembly) -> Result<(), Failure> {
    let (authority, now) = (&assembly.authority, assembly.now());
    match verb {
        Verb::List { client, user, all, listing } => {
            let client = client.map(|id| ClientId::parse(&id)).transpose().map_err(Failure::usage)?;
            let user = match user.map(|name| Username::parse(&name)).transpose().map_err(Failure::usage)? {
                Some(name) => Some(authority.user(&name).await?.id),
                None => None,
            };
            let filter = GrantFilter { client, user, live_at: (!all).then_some(now) };
            let mut rows = Vec::new();
            let mut after: Option<GrantId> = None;
            loop {
                let page = authority.tokens.list_grants(&filter, Page { after: after.take(), limit: 500 }).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id.clone());
                rows.extend(page.iter().map(|grant| row(grant, now)));
            }
            output::many(&rows, listing.json)
        }
        Verb::Revoke { grant_id: None, .. } => {
            let ended = authority.end_everything(now).await?;
            assembly.by_operator(Action::GrantRevokeAll, |event| event);
            output::line(&format!("revoked {} grants and ended the sessions of {} humans", ended.grants, ended.humans))
        }
        Verb::Revoke { grant_id: Some(grant_id), .. } => {
            let id = GrantId::parse(&grant_id).map_err(Failure::usage)?;
            match authority.revoke_grant(&id, now).await? {
                Some(grant) => {
                    assembly.by_operator(Action::GrantRevoke, |event| {
                        event.under(&id).of_client(&grant.client_id).of_user(&grant.user_id)
                    });
                    output::line(&format!("revoked {id}"))
                }
                None => Err(Failure::not_found(format!("there is no grant {id}"))),
            }
        }
    }
}

fn row(grant: &Grant, now: Timestamp) -> Row {
    Row {
        grant_id: grant.id.as_str().to_owned(),
        client_id: grant.client_id.as_str().to_owned(),
        user_id: grant.user_id.as_str().to_owned(),
        scope: grant.scope.to_string(),
        resources: grant.resources.iter().map(|uri| uri.as_str().to_owned()).collect(),
        state: match grant.revocation {
            Some(_) => "revoked",
            None if grant.expires_at.is_over(now) => "expired",
            None => "active",
        },
        created_at: output::rfc3339(grant.created_at),
        expires_at: output::rfc3339(grant.expires_at),
    }
}
