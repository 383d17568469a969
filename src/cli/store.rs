//! `gateward store`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::{failure::Failure, output};
use crate::{
    config::{StoreUrl, process_environment},
    port::store::{EntryKind, Family},
    store::{CopyError, Migrations, OpenError, Position, Progress, StoreUrls, Stores, copy, place},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Copy everything from one store to another and compare both sides. Servers may go on reading from the source; for the last
    /// pass nobody may write to it (with --overwrite, if there was one before). After an interruption the same command goes on
    /// where it stopped. The master key is not in a store: the servers at the destination need the same one.
    Copy(Arguments),
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The URL of the source, or env:NAME for one that holds a password.
    #[arg(long, value_name = "URL")]
    from: String,
    /// The URL of the destination, or env:NAME.
    #[arg(long, value_name = "URL")]
    to: String,
    /// Only these families.
    #[arg(long, value_delimiter = ',', value_name = "FAMILY")]
    only: Vec<FamilyName>,
    /// Where it is noted how far the copy went; removed when it is complete.
    #[arg(long, value_name = "FILE", default_value = "gateward-copy.json")]
    state: PathBuf,
    /// Copy into a store that holds something already: entries of the same name are replaced.
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FamilyName {
    Clients,
    Tokens,
    Accounts,
    Keys,
    Audit,
}

impl FamilyName {
    const fn family(self) -> Family {
        match self {
            Self::Clients => Family::Clients,
            Self::Tokens => Family::Tokens,
            Self::Accounts => Family::Accounts,
            Self::Keys => Family::Keys,
            Self::Audit => Family::Audit,
        }
    }
}

/// A copy, as the state file names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pass {
    /// The place, without who asks and how.
    from: String,
    /// The same.
    to: String,
    kinds: Vec<EntryKind>,
}

/// What the state file says.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    pass: Pass,
    next: Position,
}

pub(super) async fn run(verb: Verb) -> Result<(), Failure> {
    let Verb::Copy(arguments) = verb;
    let (from, to) = (Side::read("source", &arguments.from)?, Side::read("destination", &arguments.to)?);
    if from.place == to.place {
        return Err(Failure::usage("the source and the destination are the same store"));
    }
    let wanted = |kind: &EntryKind| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name.family() == kind.family())
    };
    let kinds: Vec<EntryKind> = EntryKind::ALL.iter().copied().filter(wanted).collect();
    let pass = Pass { from: from.place.clone(), to: to.place.clone(), kinds: kinds.clone() };
    let start = read_state(&arguments.state, &pass)?;

    // The source is not changed, not even its schema.
    let source = from.open(Migrations::Refuse).await?;
    let destination = to.open(Migrations::Run).await?;
    match &start {
        Some(start) => output::line(&format!("going on with the {}", start.kind))?,
        None if arguments.overwrite || destination.is_empty(&kinds).await? => {}
        None => {
            return Err(Failure::conflict(format!("{} is not empty; --overwrite copies into it all the same", to.url)));
        }
    }
    let bar = ProgressBar::no_length();
    let mut verified = Vec::new();
    let watch = &mut |progress: &Progress| {
        show(progress, &bar);
        match progress {
            Progress::Kind { .. } => {}
            Progress::Copied { next, .. } => {
                write_state(&arguments.state, &State { pass: pass.clone(), next: next.clone() })?;
            }
            Progress::Verified { kind, summary } => {
                verified.push(format!("{:22} {}", kind.as_str(), summary.entries));
            }
        }
        Ok(())
    };
    let copied = copy(&source, &destination, &kinds, start, watch).await;
    bar.finish_and_clear();
    source.close().await;
    destination.close().await;
    // Also when they differ: to go on at the end would find the same difference again.
    if matches!(copied, Ok(()) | Err(CopyError::Differ { .. })) {
        remove_state(&arguments.state)?;
    }
    copied?;
    verified.iter().try_for_each(|line| output::line(line))?;
    output::line("both stores hold the same")
}

/// One end of the copy.
struct Side {
    name: &'static str,
    url: StoreUrl,
    place: String,
}

impl Side {
    fn read(name: &'static str, text: &str) -> Result<Self, Failure> {
        let url = url(text)?;
        if url.is_memory() {
            return Err(Failure::usage(format!("the {name} is in memory: it keeps nothing that could be copied")));
        }
        let place = place(url.expose()).map_err(|error| Failure::usage(format!("the {name}, {url}: {error}")))?;
        Ok(Self { name, url, place })
    }

    async fn open(&self, migrations: Migrations) -> Result<Stores, Failure> {
        let urls = StoreUrls { default: self.url.expose().to_owned(), ..StoreUrls::default() };
        let Self { name, url, .. } = self;
        Stores::open_each(&urls, migrations).await.map_err(|failed| {
            // Most likely a typo: a schema that was never made lacks them all.
            let hint = match failed.error {
                OpenError::MigrationsPending(_) => ", is empty or of an older version",
                OpenError::Url(_)
                | OpenError::File { .. }
                | OpenError::Database(_)
                | OpenError::MayNotMigrate(..)
                | OpenError::ForeignSchema(_) => "",
            };
            Failure::store(format!("the {name}, {url}{hint}"), &failed.error)
        })
    }
}

fn url(text: &str) -> Result<StoreUrl, Failure> {
    let named = text.strip_prefix("env:").map(|name| {
        let found = process_environment().into_iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value)
            .ok_or_else(|| Failure::usage(format!("the environment variable {name} is not set")))
    });
    let text = named.transpose()?.unwrap_or_else(|| text.to_owned());
    StoreUrl::parse(&text).map_err(|problem| Failure::usage(format!("the URL of a store {problem}")))
}

fn show(progress: &Progress, bar: &ProgressBar) {
    match progress {
        Progress::Kind { kind, entries } => {
            bar.reset();
            bar.set_length(*entries);
            bar.set_message(kind.as_str());
            if let Ok(style) = ProgressStyle::with_template("{msg:22} {wide_bar} {pos}/{len} {eta}") {
                bar.set_style(style);
            }
        }
        Progress::Copied { entries, .. } => bar.inc(*entries),
        Progress::Verified { kind, .. } => bar.set_message(format!("compared the {kind}")),
    }
}

/// Where the same copy was interrupted.
fn read_state(path: &Path, pass: &Pass) -> Result<Option<Position>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::configuration(format!("cannot read {}: {error}", path.display()))),
    };
    let state: State = serde_json::from_str(&text)
        .map_err(|error| Failure::configuration(format!("{} is no state of a copy: {error}", path.display())))?;
    if state.pass == *pass && pass.kinds.contains(&state.next.kind) {
        return Ok(Some(state.next));
    }
    let families = if state.pass.kinds == pass.kinds { "" } else { " of other families" };
    Err(Failure::conflict(format!(
        "{} belongs to an unfinished copy{families} from {} to {}; finish that one, remove the file, or name another with --state",
        path.display(),
        state.pass.from,
        state.pass.to
    )))
}

/// Whole or not at all.
fn write_state(path: &Path, state: &State) -> io::Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, serde_json::to_vec(state)?)?;
    fs::rename(&draft, path)
}

fn remove_state(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}
