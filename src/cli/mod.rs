//! The command line: one verb per file. The only place that knows everything.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | it failed |
//! | 2 | the command line is wrong |
//! | 3 | there is no such thing |
//! | 4 | there is such a thing already, or somebody else changed it |
//! | 5 | the configuration is wrong or unsafe |
//! | 6 | the store cannot be reached |

mod audit;
mod background;
#[cfg(feature = "sqlite")]
mod backup;
mod certificate;
mod client;
mod completions;
mod compose;
mod config;
mod declare;
mod development;
mod doctor;
mod export;
mod failure;
mod gateway;
mod grant;
mod healthcheck;
mod instance;
mod key;
mod limits;
mod log;
mod man;
mod metrics;
mod migrate;
mod output;
mod process;
mod purge;
mod reload;
#[cfg(feature = "sqlite")]
mod restore;
mod serve;
mod store;
#[cfg(feature = "otlp")]
mod traces;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use self::{compose::Assembly, failure::Failure};
use crate::config::{Config, load, process_environment};

/// A standalone OAuth 2.1 authorization server for the Model Context Protocol.
#[derive(Debug, Parser)]
#[command(
    name = "gateward",
    version = env!("GATEWARD_VERSION"),
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 no such thing, 4 exists already or changed meanwhile, \
                  5 configuration wrong or unsafe, 6 store out of reach."
)]
struct Cli {
    /// The configuration file (TOML); without one, and unless the environment says otherwise, development mode.
    #[arg(long, short, global = true, value_name = "FILE", env = "GATEWARD_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server.
    Serve,
    /// Manage clients.
    #[command(subcommand)]
    Client(client::Verb),
    /// Manage the accounts of humans.
    #[command(subcommand)]
    User(user::Verb),
    /// Manage signing keys and the master key.
    #[command(subcommand)]
    Key(key::Verb),
    /// Look at what happened.
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Look at grants and revoke them.
    #[command(subcommand)]
    Grant(grant::Verb),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(config::Verb),
    /// Move what a store holds to another one.
    #[command(subcommand)]
    Store(store::Verb),
    /// Write a backup of the store to a new file, while servers go on. For an embedded store (SQLite); for others it says which
    /// tool of theirs to use.
    #[cfg(feature = "sqlite")]
    Backup(backup::Arguments),
    /// Put a backup in the place of the store, while no server runs.
    #[cfg(feature = "sqlite")]
    Restore(restore::Arguments),
    /// Bring the schema of the store up to date.
    Migrate(migrate::Arguments),
    /// Check a running deployment from the outside, as MCP clients would.
    Doctor(doctor::Arguments),
    /// Forget everything that has expired. A running server does this by itself, in small batches, every minute.
    Purge(Listing),
    /// Ask the server of this configuration, on this machine, whether it is ready; exits with 1 if it is not.
    Healthcheck(healthcheck::Arguments),
    /// Print completions for a shell.
    Completions(completions::Arguments),
    /// Write the manual pages into a directory.
    Man(man::Arguments),
}

/// How something is listed.
#[derive(Debug, Clone, Copy, Args)]
struct Listing {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::failed(&error).report(),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let config = cli.config.as_deref();
    match cli.verb {
        Verb::Serve => serve::run(read(config)?, config).await,
        Verb::Client(verb) => with(config, async |assembly| client::run(verb, assembly).await).await,
        Verb::User(verb) => with(config, async |assembly| user::run(verb, assembly).await).await,
        Verb::Key(verb) => key::run(verb, config).await,
        Verb::Audit(verb) => with(config, async |assembly| audit::run(verb, assembly).await).await,
        Verb::Grant(verb) => with(config, async |assembly| grant::run(verb, assembly).await).await,
        Verb::Config(verb) => config::run(verb, config),
        Verb::Store(verb) => store::run(verb).await,
        #[cfg(feature = "sqlite")]
        Verb::Backup(arguments) => backup::run(&arguments, &read(config)?).await,
        #[cfg(feature = "sqlite")]
        Verb::Restore(arguments) => restore::run(&arguments, read(config)?).await,
        Verb::Migrate(arguments) => migrate::run(arguments, &read(config)?).await,
        Verb::Doctor(arguments) => doctor::run(arguments, config).await,
        Verb::Purge(listing) => with(config, async |assembly| purge::run(listing, assembly).await).await,
        Verb::Healthcheck(arguments) => healthcheck::run(&arguments, &read(config)?).await,
        Verb::Completions(arguments) => completions::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments),
    }
}

fn read(file: Option<&std::path::Path>) -> Result<Config, Failure> {
    load(file, process_environment()).map_err(|problems| Failure::configuration(&problems))
}

/// Runs a command with everything that it works with, and sees to it that the audit trail hears of it. A command changes the
/// store of a server that may be running; it needs no restart.
async fn with(
    file: Option<&std::path::Path>,
    command: impl AsyncFnOnce(&Assembly) -> Result<(), Failure>,
) -> Result<(), Failure> {
    log::start_for_command();
    let assembly = Assembly::open(read(file)?, &instance::of_command()).await?;
    let done = command(&assembly).await;
    assembly.trail.close(compose::TRAIL_TIMEOUT).await;
    done
}
