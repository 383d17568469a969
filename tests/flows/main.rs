//! Stories over HTTP, against the built binary.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod support;

#[path = "../support/engines.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod engines;

mod backup;
mod drain;
mod human;
mod readme;
mod restart;
mod secrets_in_logs;
#[cfg(feature = "otlp")]
mod secrets_in_sight;
mod secrets_in_stores;
mod sight;
mod story;
mod trail;
mod upgrade;
mod worker;
