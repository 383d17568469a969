//! `gateward backup`, and what both it and `gateward restore` say of stores that are no file.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    compose::{CommandTrail, check_stores, open_stores},
    failure::Failure,
    log, output,
};
use crate::{
    config::{Config, MasterKey},
    domain::audit::Action,
    store::{Keeper, Migrations, back_up, keeper, place},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file to write; only you will be able to read it. It must not be there yet.
    file: PathBuf,
}

pub(super) async fn run(arguments: &Arguments, config: &Config) -> Result<(), Failure> {
    let file = &arguments.file;
    let store = the_file(config, |keeper| match keeper {
        Keeper::Memory => "keeps nothing".to_owned(),
        Keeper::File(path) => format!("sqlite3 {} \"VACUUM INTO 'FILE'\"", path.display()),
        Keeper::Postgres => "pg_dump --format=custom --file=FILE DATABASE".to_owned(),
        Keeper::Redis => "redis-cli --rdb FILE, for each master".to_owned(),
    })?;
    back_up(&store, file).await?;
    note(config).await;
    output::line(&format!("wrote {}", file.display()))?;
    output::line(&format!(
        "The master key ({}) is NOT in it, and without that very key it cannot be restored: keep a copy of the key, and never in the \
         same place. The configuration is not in it either.",
        master_key(config)
    ))
}

/// Notes it in the audit trail. The backup is made, and somebody may back up what they can only read, or before an upgrade: so nothing is
/// migrated for this, and what the trail does not take is in the log.
async fn note(config: &Config) {
    log::start_for_command();
    let noted = async {
        let stores = open_stores(config, Migrations::Refuse).await?;
        let trail = CommandTrail::start(&stores)?;
        trail.by_operator(Action::StoreBackup, |event| event);
        trail.close().await;
        stores.close().await;
        Ok::<_, Failure>(())
    };
    if let Err(failure) = noted.await {
        tracing::error!(target: "gateward::audit", %failure, "the backup is not in the audit trail");
    }
}

/// The one file that keeps everything; else what to do instead, by `native`, for each store.
pub(super) fn the_file(config: &Config, native: impl Fn(&Keeper) -> String) -> Result<PathBuf, Failure> {
    check_stores(config)?;
    let mut stores: Vec<(String, Keeper)> = Vec::new();
    for (_, url) in config.stores.families() {
        let found = place(url.expose()).and_then(|place| Ok((place, keeper(url.expose())?)));
        let found = found.map_err(Failure::configuration)?;
        if !stores.iter().any(|(place, _)| *place == found.0) {
            stores.push(found);
        }
    }
    match stores.as_slice() {
        [(_, Keeper::File(path))] => Ok(path.clone()),
        others => {
            let lines: Vec<String> =
                others.iter().map(|(place, keeper)| format!("\n  {place}: {}", native(keeper))).collect();
            Err(Failure::configuration(format!(
                "nothing was done: this is for a store that is one SQLite file. Here it is{}\nOPERATIONS.md says more.",
                lines.concat()
            )))
        }
    }
}

/// Where the master key comes from.
pub(super) fn master_key(config: &Config) -> String {
    let file = |path: &Path| format!("file:{}", path.display());
    match &config.keys.master_key {
        MasterKey::File(path) | MasterKey::Generate(path) => file(path),
        MasterKey::Environment { name, .. } => format!("env:{name}"),
        MasterKey::Missing => "not set".to_owned(),
    }
}
