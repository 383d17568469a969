//! `gateward man`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::{Cli, failure::Failure, output};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Made unless it is there, e.g. /usr/local/share/man/man1.
    directory: PathBuf,
}

/// One page for the program and one for each verb, as git has them: `gateward-client-create.1`.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = &arguments.directory;
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)?;
    output::line(&format!("wrote gateward.1 and a page for each verb to {}", directory.display()))
}
