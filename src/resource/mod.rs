//! Protects routes of an MCP server, or of any other HTTP service: a tower layer, and what it is made of.
//!
//! A request passes
//!
//! 1. if it shows one access token, in its `Authorization` header (RFC 6750);
//! 2. if that was issued by the authorization server for this resource, and counts now: by its signature (RFC 9068), or because the
//!    authorization server says so when asked (RFC 7662);
//! 3. if it permits all that the request needs: by path, by HTTP method, and by what its MCP message calls.
//!
//! Every other request is told what would help (`WWW-Authenticate`), in the way from which MCP clients find the authorization
//! server, log in, and come back with more. The metadata that they need for it (RFC 9728) is served too.
//!
//! ```
//! use axum::{Router, routing::get};
//! use gateward::resource::{Identity, ProtectedResource};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let protection = ProtectedResource::new("https://mcp.example.com/mcp", "https://auth.example.com")
//!     .scope("mcp:read")
//!     .tool("launch-specialist", "mcp:execute")
//!     .layer()?;
//! let app: Router = Router::new()
//!     .route("/mcp", get(|identity: Identity| async move { format!("hello, {}", identity.subject()) }))
//!     .layer(protection);
//! # Ok(()) }
//! ```
//!
//! The service behind finds the [`Identity`] in the extensions of the request (with the feature `resource-axum`, a handler takes it as an
//! argument), and a [`Lease`], which ends when the token does. Event streams are ended by the layer itself.
//!
//! - Lay it around the whole router, not around one that is nested: it compares whole paths, and serves the metadata beside them.
//!   What is to be public (a health check) is merged in after it.
//! - What is needed adds up over all rules; nothing takes away from what [`scope`](ProtectedResource::scope) asks for.
//! - Where a rule depends on what a message calls, bodies are read, up to a limit, and must be JSON-RPC that can be read in only one
//!   way. See [`trust_mcp_headers`](ProtectedResource::trust_mcp_headers) for servers that make this unnecessary.
//! - A JWT that is verified offline counts until it expires, revoked or not. Give tokens a short life, or use
//!   [`offline_and_introspection`](ProtectedResource::offline_and_introspection) for what is sensitive.
//! - While the authorization server is away, known keys go on verifying; what cannot be verified is 503, never let through.

mod authorization_server;
mod bearer;
mod body;
mod builder;
mod clock;
#[cfg(feature = "resource-axum")]
mod extract;
mod identity;
mod introspection;
mod jwks;
pub(crate) mod jws;
mod jwt;
mod key_set;
mod layer;
mod lease;
mod metadata;
mod protection;
mod refusal;
mod verifier;

#[cfg(feature = "resource-axum")]
pub use self::extract::NotProtected;
pub use self::{
    body::{RequestBody, ResponseBody},
    builder::{InvalidProtection, ProtectedResource},
    clock::SystemClock,
    identity::{Identity, IdentityParts},
    introspection::ClientCredentials,
    layer::{Protected, ProtectionLayer},
    lease::{Ended, Lease},
    protection::{Protection, RequestHead},
    verifier::{Rejection, TokenVerifier, Unavailable, VerifyError},
};
