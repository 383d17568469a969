//! `gateward migrate`.

use clap::Args;

use super::{
    compose::{check_stores, open_stores, which},
    failure::Failure,
    output,
};
use crate::{
    config::Config,
    store::{Migrations, SchemaState, place, schema_of},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only say what would be done; exits with 1 if that is anything.
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> Result<(), Failure> {
    check_stores(config)?;
    let mut seen: Vec<String> = Vec::new();
    let mut count = 0;
    for (family, url) in config.stores.families() {
        let failed = |error| Failure::store(which(family, url), &error);
        let place = place(url.expose()).map_err(|error| failed(error.into()))?;
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let SchemaState { pending, ahead } = schema_of(url.expose()).await.map_err(failed)?;
        for change in &pending {
            output::line(&format!("{family}: {} {}", change.version, change.description))?;
        }
        for change in &ahead {
            let (version, description) = (change.version, &change.description);
            output::line(&format!(
                "{family}: {version} {description} (of a newer version, which this one works beside)"
            ))?;
        }
        count += pending.len();
    }
    if count == 0 {
        return output::line("the schema is up to date");
    }
    if arguments.check {
        return Err(Failure::failed(&Pending(count)));
    }
    open_stores(config, Migrations::Run).await?.close().await;
    output::line("the schema is up to date now")
}

#[derive(Debug, thiserror::Error)]
#[error("{0} migrations are pending")]
struct Pending(usize);
