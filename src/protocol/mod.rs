//! The words on the wire: what requests say, what answers say, and which error code an endpoint may use.
//!
//! This room holds no rule and knows nothing of the rest of gateward. A type here mirrors one message of one
//! specification; what the message *means* is decided in [`crate::domain`].

pub mod access_token;
pub mod authorization;
pub mod client_authentication;
pub mod error;
pub mod form;
pub mod introspection;
pub mod jose;
pub mod mcp;
pub mod metadata;
pub mod protected_resource;
pub mod registration;
pub mod revocation;
pub mod secret;
pub mod token;
