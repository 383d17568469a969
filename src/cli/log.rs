//! The log, on standard error: standard output is for what a person asked for.

use std::{
    io::IsTerminal,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_core::callsite;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use super::failure::Failure;
use crate::{
    config::{Log, LogFormat},
    log::{human, json},
};

/// What a command tells beside its result: what the audit trail cannot keep.
const OF_COMMANDS: &str = "off,gateward::audit=error";

/// Starts the log of a command that somebody waits for; it says little.
pub(super) fn start_for_command() {
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(OF_COMMANDS)).with_writer(std::io::stderr);
    // Only one can be there; whoever was first has it.
    let _ = log.try_init();
}

/// Starts the log; what it tells can be changed by the answer.
pub(super) fn start(log: &Log) -> Result<LogFilter, Failure> {
    let filter = LogFilter(Arc::new(RwLock::new(parse(log)?)));
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Json => Box::new(json(std::io::stderr)),
        LogFormat::Human => Box::new(human(std::io::stderr, std::io::stderr().is_terminal())),
    };
    let started = tracing_subscriber::registry().with(lines).with(filter.clone()).try_init();
    started.map_err(|error| Failure::failed(&error))?;
    Ok(filter)
}

/// What the log tells. Clones are the same filter.
///
/// `tracing` remembers at each place of the program whether it is told, so the lock is touched when a place is first reached and after
/// a change.
#[derive(Clone)]
pub(super) struct LogFilter(Arc<RwLock<EnvFilter>>);

impl LogFilter {
    /// Tells something else from now on.
    pub(super) fn set(&self, log: &Log) -> Result<(), Failure> {
        let filter = parse(log)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = filter;
        callsite::rebuild_interest_cache();
        Ok(())
    }

    fn filter(&self) -> RwLockReadGuard<'_, EnvFilter> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(log: &Log) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(&log.filter).map_err(|error| Failure::configuration(format!("log.filter: {error}")))
}

impl<S: Subscriber> Layer<S> for LogFilter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        Layer::<S>::register_callsite(&*self.filter(), metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        Layer::<S>::enabled(&*self.filter(), metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<S>::max_level_hint(&*self.filter())
    }
}
