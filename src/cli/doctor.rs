//! `gateward doctor`.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use url::Url;

use super::{Listing, failure::Failure, output, read};
use crate::{
    config::Config,
    doctor::{INSPECTOR, Kind, Options, Target, examine, text},
    resource::SystemClock,
};

/// How the whole examination is bounded by the time for one answer: there are about a hundred at each server.
const ANSWERS: u32 = 20;

/// Check a running deployment from the outside, as MCP clients would.
///
/// Registers a test client like each of the mainstream clients, and deletes them again (RFC 7592); --read-only registers nothing. Sends
/// wrong credentials to see how they are refused. Works with servers of other vendors too. Ends with 1 if a check failed; warnings do
/// not count.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// An issuer or an MCP server; without it, the issuer of the configuration, and those of its resources that answer.
    url: Option<String>,
    /// An MCP server, where URL could be taken for an issuer.
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    mcp: Option<String>,
    /// Register no test clients, and leave out what needs one.
    #[arg(long)]
    read_only: bool,
    /// Trust the authorities in this file (PEM) too.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The web page that asks, for CORS; the MCP Inspector's without it.
    #[arg(long, value_name = "ORIGIN", default_value = INSPECTOR)]
    origin: String,
    /// How many seconds one answer may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
    #[command(flatten)]
    listing: Listing,
}

pub(super) async fn run(arguments: Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let targets = match (arguments.url, arguments.mcp) {
        (Some(url), _) => vec![Target::at(url)],
        (None, Some(mcp)) => vec![Target { kind: Some(Kind::McpServer), ..Target::at(mcp) }],
        (None, None) => configured(&read(config)?),
    };
    let authorities = arguments.ca.map(|file| {
        std::fs::read(&file).map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))
    });
    let timeout = Duration::from_secs(arguments.timeout);
    let options = Options {
        read_only: arguments.read_only,
        origin: arguments.origin,
        timeout,
        total: timeout * ANSWERS,
        authorities: authorities.transpose()?,
    };
    let report = examine(&targets, &options, &SystemClock).await.map_err(Failure::usage)?;
    if arguments.listing.json {
        output::one(&report, true)?;
    } else {
        output::line(text(&report, io::stdout().is_terminal()).trim_end())?;
    }
    match report.summary.failures {
        0 => Ok(()),
        failures => Err(Failure::unfit(failures)),
    }
}

/// The authorization server, and the MCP servers that its tokens are for, as far as they are places that can be asked.
fn configured(config: &Config) -> Vec<Target> {
    let policy = config.policy();
    let resources: Vec<String> = policy.resources.iter().map(|resource| resource.uri.as_str().to_owned()).collect();
    let is_place = |uri: &&String| {
        Url::parse(uri).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none())
    };
    let mcp_server = |uri: &String| Target { kind: Some(Kind::McpServer), optional: true, ..Target::at(uri) };
    let mut targets = vec![Target {
        kind: Some(Kind::AuthorizationServer),
        resources: resources.clone(),
        ..Target::at(config.issuer.as_str())
    }];
    targets.extend(resources.iter().filter(is_place).map(mcp_server));
    targets
}
