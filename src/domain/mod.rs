//! The rules: what may be asked for, by whom, and what follows. Pure and synchronous; no I/O, no clock, no chance.
//!
//! A value of a type in this room has been judged: a [`redirect::MatchedRedirect`] did match, a [`code::VerifiedCode`] was
//! presented by its own client with the right verifier. The constructors are the rules.

pub mod access;
pub mod account;
pub mod address;
pub mod assertion;
pub mod audit;
pub mod authorization;
pub mod client;
pub mod code;
pub mod correlation;
pub mod credential;
pub mod grant;
pub mod guarded;
pub mod identifier;
pub mod issuer;
pub mod key;
pub mod pkce;
pub mod policy;
pub mod redirect;
pub mod refresh;
pub mod registration;
pub mod request_path;
pub mod resource;
pub mod scope;
pub mod scope_rule;
pub mod time;
