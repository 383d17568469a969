//! `gateward doctor`: it finds nothing wrong with gateward, and each thing that is wrong with a server that is broken in one way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod authorization;
mod coverage;
mod healthy;
mod hostile;
mod mcp;
mod metadata;
mod registration;
mod tls;
mod world;
