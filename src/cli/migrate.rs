//! `gateward migrate`.

use clap::Args;

use super::{compose::store_urls, failure::Failure, output};
use crate::{
    config::Config,
    store::{Migrations, Stores, pending_migrations},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only say what would be done; exits with 1 if that is anything.
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> Result<(), Failure> {
    let mut seen: Vec<String> = Vec::new();
    let mut pending = 0;
    for (family, url) in config.stores.families() {
        if seen.iter().any(|known| known == url.expose()) {
            continue;
        }
        seen.push(url.expose().to_owned());
        for migration in pending_migrations(url.expose()).await? {
            output::line(&format!("{family}: {} {}", migration.version, migration.description))?;
            pending += 1;
        }
    }
    if pending == 0 {
        return output::line("the schema is up to date");
    }
    if arguments.check {
        return Err(Failure::failed(&Pending(pending)));
    }
    Stores::open_each(&store_urls(config), Migrations::Run).await?.close().await;
    output::line("the schema is up to date now")
}

#[derive(Debug, thiserror::Error)]
#[error("{0} migrations are pending")]
struct Pending(usize);
