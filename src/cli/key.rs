//! `gateward key`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::{
    Listing,
    compose::{Assembly, CommandTrail, check_stores, open_stores},
    failure::Failure,
    log, output, read, with,
};
use crate::{
    adapter::{entropy::OsEntropy, master_key::MasterKey},
    domain::{audit::Action, identifier::KeyId, key::KeyPhase},
    protocol::jose::Algorithm,
    store::{Migrations, Stores},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the signing keys.
    List(Listing),
    /// Make a new signing key take over; running servers follow within half a minute.
    Rotate {
        /// Only for this algorithm; otherwise for every one in use.
        #[arg(long, value_name = "ALG")]
        algorithm: Option<Algorithm>,
        /// Sign with it now instead of publishing it ahead: for a key that may have leaked.
        #[arg(long)]
        immediately: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Take back a key that may be known to others: it signs no more, is not published, and what it signed is no longer accepted.
    /// If it was the one that signs, a new one takes over first. Running servers follow within ten seconds, those that verify
    /// offline when they next read the key set. Humans and workers get new tokens by themselves.
    Revoke {
        #[arg(required_unless_present = "all")]
        kid: Option<String>,
        /// Every key, without opening any: when the master key has leaked or is lost. Running servers make new ones; to change the
        /// master key, stop them before and start them with the new one.
        #[arg(long, conflicts_with = "kid")]
        all: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Write a new master key to a file that only you can read.
    GenerateMaster { file: PathBuf },
}

#[derive(Serialize)]
struct Row {
    kid: String,
    algorithm: &'static str,
    phase: &'static str,
    created_at: String,
    signs_from: String,
}

#[derive(Serialize)]
struct Rotated {
    kid: String,
    algorithm: &'static str,
    signs_from: String,
    /// `false`: it was waiting already.
    added: bool,
}

#[derive(Serialize)]
struct Revoked {
    kid: String,
    algorithm: &'static str,
    /// The key that signs from now on, if the revoked one did until now.
    successor: Option<String>,
}

pub(super) async fn run(verb: Verb, config: Option<&Path>) -> Result<(), Failure> {
    match verb {
        Verb::GenerateMaster { file } => {
            let entropy = OsEntropy::new().map_err(|error| Failure::failed(&error))?;
            MasterKey::generate(&entropy).create(&file, &entropy)?;
            output::line(&format!("wrote {}; keep a copy where the store's backups are not", file.display()))
        }
        Verb::List(listing) => with(config, async |assembly| list(listing, assembly)).await,
        Verb::Rotate { algorithm, immediately, listing } => {
            with(config, async |assembly| rotate(algorithm, immediately, listing, assembly).await).await
        }
        Verb::Revoke { kid: None, listing, .. } => {
            log::start_for_command();
            let config = read(config)?;
            check_stores(&config)?;
            let stores = open_stores(&config, Migrations::Run).await?;
            let trail = CommandTrail::start(&stores)?;
            let revoked = revoke_all(listing, &stores, &trail).await;
            trail.close().await;
            stores.close().await;
            revoked
        }
        Verb::Revoke { kid: Some(kid), listing, .. } => {
            let kid = KeyId::parse(&kid).map_err(Failure::usage)?;
            with(config, async |assembly| revoke(&kid, listing, assembly).await).await
        }
    }
}

async fn revoke_all(listing: Listing, stores: &Stores, trail: &CommandTrail) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for key in stores.keys.list().await? {
        stores.keys.remove(&key.id).await?;
        trail.by_operator(Action::KeyRevoke, |event| event.about_key(&key.id));
        let kid = key.id.as_str().to_owned();
        rows.push(Revoked { kid, algorithm: key.algorithm.as_str(), successor: None });
    }
    output::many(&rows, listing.json)
}

async fn revoke(kid: &KeyId, listing: Listing, assembly: &Assembly) -> Result<(), Failure> {
    let Some(revocation) = assembly.keyring.revoke(kid, assembly.now()).await? else {
        return Err(Failure::not_found(format!("there is no key {kid}")));
    };
    assembly.by_operator(Action::KeyRevoke, |event| event.about_key(kid));
    if let Some(successor) = &revocation.successor {
        assembly.by_operator(Action::KeyAdd, |event| event.about_key(successor));
    }
    let revoked = Revoked {
        kid: kid.as_str().to_owned(),
        algorithm: revocation.algorithm.as_str(),
        successor: revocation.successor.map(|key| key.as_str().to_owned()),
    };
    output::one(&revoked, listing.json)
}

fn list(listing: Listing, assembly: &Assembly) -> Result<(), Failure> {
    let now = assembly.now();
    let rows: Vec<Row> = assembly
        .keyring
        .keys(now)
        .iter()
        .map(|(key, phase)| Row {
            kid: key.id.as_str().to_owned(),
            algorithm: key.algorithm.as_str(),
            phase: match phase {
                KeyPhase::Pending => "pending",
                KeyPhase::Signing => "signing",
                KeyPhase::Verifying => "verifying",
                KeyPhase::Retired => "retired",
            },
            created_at: output::rfc3339(key.created_at),
            signs_from: output::rfc3339(key.signs_from),
        })
        .collect();
    output::many(&rows, listing.json)
}

async fn rotate(
    algorithm: Option<Algorithm>,
    immediately: bool,
    listing: Listing,
    assembly: &Assembly,
) -> Result<(), Failure> {
    let in_use = &assembly.authority.policy.keys.algorithms;
    let algorithms = match algorithm {
        Some(one) if in_use.contains(&one) => vec![one],
        Some(other) => return Err(Failure::usage(format!("no resource uses {other}"))),
        None => in_use.clone(),
    };
    let mut rows = Vec::new();
    for algorithm in algorithms {
        let rotation = assembly.keyring.rotate(algorithm, immediately, assembly.now()).await?;
        if rotation.added {
            assembly.by_operator(Action::KeyAdd, |event| event.about_key(&rotation.id));
        }
        rows.push(Rotated {
            kid: rotation.id.as_str().to_owned(),
            algorithm: algorithm.as_str(),
            signs_from: output::rfc3339(rotation.signs_from),
            added: rotation.added,
        });
    }
    output::many(&rows, listing.json)
}
