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
//!   In axum that is `Router::layer`; `route_layer` would leave the metadata out.
//! - What is to be public (a health check) is added by `Router::route` after the layer, or is a router of its own into which this one
//!   is merged: `public.merge(protected)`. Not the other way round: `protected.merge(public)` replaces what is at all other paths,
//!   the metadata too, and clients would find no authorization server.
//! - Web pages need CORS around the layer (`tower_http::cors::CorsLayer`, with `authorization` among the headers that are allowed and
//!   `www-authenticate` among those that are exposed): the question that a browser asks first carries no token. `Origin` and `Host` are
//!   not looked at here: MCP servers have to (rmcp judges `Host`, and `Origin` once it
//!   is told which: `enforce_origin_validation`).
//! - What is needed adds up over all rules; nothing takes away from what [`scope`](ProtectedResource::scope) asks for.
//! - Where a rule depends on what a message calls, bodies are read, up to a limit, and must be JSON-RPC that can be read in only one
//!   way. See [`trust_mcp_headers`](ProtectedResource::trust_mcp_headers) for servers that make this unnecessary.
//! - A JWT that is verified offline counts until it expires, revoked or not. Give tokens a short life, or use
//!   [`offline_and_introspection`](ProtectedResource::offline_and_introspection) for what is sensitive.
//! - While the authorization server is away, known keys go on verifying; what cannot be verified is 503, never let through.
//!   Nothing is fetched before the first token, so that the two may be started in any order.
//! - Why a request was refused is logged (by `tracing`, at level `debug`): the client hears less. That nobody could judge it is a
//!   warning. "for another resource" and "issued by somebody else" mean that one of the two URIs is not what the
//!   authorization server calls it.

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
pub(crate) mod key_set;
mod layer;
mod lease;
mod metadata;
mod protection;
mod refusal;
mod verifier;

#[cfg(feature = "resource-axum")]
pub use self::extract::NotProtected;
#[cfg(feature = "server")]
pub(crate) use self::layer::is_event_stream;
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
pub use crate::{
    domain::{
        resource::ResourceUri,
        scope::Scope,
        scope_rule::{ScopeRule, ScopeRules},
        time::Timestamp,
    },
    port::clock::Clock,
};
