//! `gateward restore`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    backup::{master_key, the_file},
    compose::Assembly,
    failure::Failure,
    instance, log, output,
};
use crate::{
    config::{Config, MasterKey, StoreUrl, Stores},
    domain::{audit::Action, time::Timestamp},
    store::{Draft, Keeper},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What `gateward backup` wrote. It stays as it is.
    file: PathBuf,
    /// Also where there is a store already: that one is kept beside it, under another name.
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(arguments: &Arguments, mut config: Config) -> Result<(), Failure> {
    let store = the_file(&config, |keeper| match keeper {
        Keeper::Memory => "keeps nothing".to_owned(),
        Keeper::File(path) => format!("put its backup at {}, with no -wal and no -shm beside it", path.display()),
        Keeper::Postgres => {
            "pg_restore --exit-on-error --no-owner --dbname=DATABASE FILE, into an empty database".to_owned()
        }
        Keeper::Redis => "start redis-server on FILE as its dump.rdb, then CONFIG SET appendonly yes".to_owned(),
    })?;
    if store.exists() && !arguments.force {
        return Err(Failure::conflict(format!(
            "there is a store at {}; --force puts the backup in its place, and keeps it under another name",
            store.display()
        )));
    }
    log::start_for_command();
    let draft = Draft::of(&arguments.file, &store).await?;
    let key = master_key(&config);
    // A new one would open nothing.
    if let MasterKey::Generate(path) = &config.keys.master_key {
        config.keys.master_key = MasterKey::File(path.clone());
    }
    let (keys, now) = try_out(&draft, config).await?;
    let aside = aside(&store, now);
    let replaced = draft.take_place(&aside).await?;
    output::line(&format!("restored {} from {}", store.display(), arguments.file.display()))?;
    if replaced {
        output::line(&format!("what was there is now {}", aside.display()))?;
    }
    output::line(&match keys {
        0 => "it holds no signing key yet".to_owned(),
        keys => format!("the master key ({key}) opens the signing keys in it: {keys}"),
    })?;
    output::line(
        "Everything is as it was when the backup was made. What was issued or registered since is unknown: those clients log in or \
         register again. What was revoked, disabled, deleted or changed since counts as before: do that again, or end every grant \
         and session with `gateward grant revoke --all`, before the server starts.",
    )
}

/// Opens the draft as a server would: its schema is brought up to date, and the master key has to open its keys. How many there
/// are.
async fn try_out(draft: &Draft, mut config: Config) -> Result<(usize, Timestamp), Failure> {
    let url = StoreUrl::parse(&format!("sqlite:{}", draft.path().display())).map_err(Failure::configuration)?;
    config.stores = Stores::all_in(&url);
    let assembly = Assembly::open(config, &instance::of_command()).await?;
    let now = assembly.now();
    let keys = assembly.keyring.keys(now).len();
    // Into the draft itself: it is true if and only if the draft becomes the store.
    assembly.by_operator(Action::StoreRestore, |event| event);
    assembly.close().await;
    Ok((keys, now))
}

/// `gateward.db.replaced-20261130T013000Z`.
fn aside(store: &Path, now: Timestamp) -> PathBuf {
    let time: String = output::rfc3339(now).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let mut name = store.as_os_str().to_owned();
    name.push(format!(".replaced-{time}"));
    name.into()
}
