//! `gateward config`.

use std::{path::Path, sync::Arc};

use clap::Subcommand;

use super::{
    certificate::Certificate,
    compose::{check_stores, refuse_unsafe},
    failure::Failure,
    output, read,
};
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
            refuse_unsafe(&config, "not safe")?;
            output::line("the configuration is good")
        }
        Verb::Show => output::line(config.show().trim_end()),
    }
}
