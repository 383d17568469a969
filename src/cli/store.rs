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
    store::{Migrations, Position, Progress, StoreUrls, Stores, copy},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Copy everything from one store to another and compare both sides. Servers may go on reading from the source; for the last
    /// pass nobody may write to it. After an interruption the same command goes on where it stopped. The master key is not
    /// in a store: the servers at the destination need the same one.
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
}

impl FamilyName {
    const fn family(self) -> Family {
        match self {
            Self::Clients => Family::Clients,
            Self::Tokens => Family::Tokens,
            Self::Accounts => Family::Accounts,
            Self::Keys => Family::Keys,
        }
    }
}

/// What the state file says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Without its password.
    from: String,
    /// Without its password.
    to: String,
    next: Position,
}

pub(super) async fn run(verb: Verb) -> Result<(), Failure> {
    let Verb::Copy(arguments) = verb;
    let (from, to) = (url(&arguments.from)?, url(&arguments.to)?);
    if from == to {
        return Err(Failure::usage("the source and the destination are the same store"));
    }
    let wanted = |kind: &EntryKind| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name.family() == kind.family())
    };
    let kinds: Vec<EntryKind> = EntryKind::ALL.iter().copied().filter(wanted).collect();
    let start = read_state(&arguments.state, &from, &to)?.filter(|start| kinds.contains(&start.kind));

    // The source is not changed, not even its schema.
    let source = Stores::open_each(&everything_at(&from), Migrations::Refuse).await?;
    let destination = Stores::open_each(&everything_at(&to), Migrations::Run).await?;
    match &start {
        Some(start) => output::line(&format!("going on with the {}", start.kind))?,
        None if arguments.overwrite || destination.is_empty(&kinds).await? => {}
        None => return Err(Failure::conflict(format!("{to} is not empty; --overwrite copies into it all the same"))),
    }
    let bar = ProgressBar::no_length();
    let watch = &mut |progress: &Progress| {
        show(progress, &bar, &|next| {
            write_state(&arguments.state, &State { from: from.to_string(), to: to.to_string(), next })
        })
    };
    let copied = copy(&source, &destination, &kinds, start, watch).await;
    bar.finish_and_clear();
    source.close().await;
    destination.close().await;
    copied?;
    remove_state(&arguments.state)?;
    output::line("both stores hold the same")
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

fn everything_at(url: &StoreUrl) -> StoreUrls {
    StoreUrls { default: url.expose().to_owned(), ..StoreUrls::default() }
}

fn show(progress: &Progress, bar: &ProgressBar, note: &dyn Fn(Position) -> io::Result<()>) -> io::Result<()> {
    match progress {
        Progress::Kind { kind, entries } => {
            bar.reset();
            bar.set_length(*entries);
            bar.set_message(kind.as_str());
            if let Ok(style) = ProgressStyle::with_template("{msg:22} {wide_bar} {pos}/{len} {eta}") {
                bar.set_style(style);
            }
        }
        Progress::Copied { entries, next } => {
            bar.inc(*entries);
            note(next.clone())?;
        }
        Progress::Verified { kind, summary } => {
            bar.suspend(|| output::line(&format!("{:22} {}", kind.as_str(), summary.entries)))
                .map_err(|_| io::Error::other("standard output is closed"))?;
        }
    }
    Ok(())
}

/// Where an interrupted copy between the same two stores stopped.
fn read_state(path: &Path, from: &StoreUrl, to: &StoreUrl) -> Result<Option<Position>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::configuration(format!("cannot read {}: {error}", path.display()))),
    };
    let state: State = serde_json::from_str(&text)
        .map_err(|error| Failure::configuration(format!("{} is no state of a copy: {error}", path.display())))?;
    if state.from == from.to_string() && state.to == to.to_string() {
        return Ok(Some(state.next));
    }
    Err(Failure::conflict(format!(
        "{} belongs to an unfinished copy from {} to {}; finish that one, remove the file, or name another with --state",
        path.display(),
        state.from,
        state.to
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
