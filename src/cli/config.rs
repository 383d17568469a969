//! `gateward config`.

use std::{path::Path, sync::Arc};

use clap::Subcommand;

use super::{certificate::Certificate, compose::check_stores, failure::Failure, output, read};
use crate::resource::SystemClock;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Say whether a server would start with this configuration.
    Check,
    /// Print every setting, where it comes from, and no secret.
    Show,
}

pub(super) fn run(verb: Verb, file: Option<&Path>) -> Result<(), Failure> {
    let config = read(file)?;
    match verb {
        Verb::Check => {
            check_stores(&config)?;
            if let Some(certificate) = Certificate::open(&config, Arc::new(SystemClock))? {
                certificate.complaints().iter().try_for_each(|complaint| output::line(complaint))?;
            }
            let found = config.check_safety();
            if found.is_empty() {
                return output::line("the configuration is good");
            }
            let list: Vec<String> = found.iter().map(|one| format!("\n  {one}")).collect();
            Err(Failure::configuration(format!("not safe:{}", list.concat())))
        }
        Verb::Show => output::line(config.show().trim_end()),
    }
}
