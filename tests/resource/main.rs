//! The tower layer around a small router, called in process, against authorization servers on real sockets: gateward itself,
//! and one that does as it is told. One behaviour per test; time stands still wherever it matters.
#![expect(clippy::expect_used, clippy::panic, reason = "what is missing here has failed the test")]

mod authority;
mod challenges;
mod credentials;
mod dependencies;
mod guarded;
mod hosted;
mod impostor;
mod introspection;
mod keys;
mod lies;
mod messages;
mod metadata;
mod mint;
mod outages;
mod paths;
mod rotation;
mod stack;
mod streams;
mod time;

/// What the layer protects.
const RESOURCE: &str = gateward::testing::server::RESOURCE;
/// Where it says so.
const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
