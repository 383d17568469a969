//! The gateway in front of a server that knows nothing of OAuth: what passes, what crosses, and for how long.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod support;

mod asking;
mod caddy;
mod crossing;
#[path = "../endpoints/faults.rs"]
#[expect(dead_code, reason = "shared with the tests of the endpoints")]
mod faults;
mod forward_auth;
mod limits;
mod nginx;
mod rules;
mod sites;
mod streams;
mod tokens;
mod upstream;
mod wire;
mod world;
