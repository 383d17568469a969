//! Connections: how they are encrypted, what is spoken on them, how long they may do nothing, and how they end.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod support;

mod authority;
mod certificate;
mod dial;
mod drain;
mod host;
mod hsts;
mod http2;
mod limits;
mod silence;
mod story;
mod tls;
