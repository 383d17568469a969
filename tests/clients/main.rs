//! Clients that others wrote, against the built binary and an MCP server that trusts it (`examples/mcp_server.rs`) or knows nothing of
//! it (behind the gateway): the official MCP SDKs, and the official conformance runner. A scripted browser plays the human.
//!
//! They need Node and its packages; `tests/run` installs both.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod support;

mod conformance;
mod everything;
mod example;
mod gateway;
mod program;
mod rust;
mod typescript;
mod world;
