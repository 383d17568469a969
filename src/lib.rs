//! gateward: an OAuth 2.1 authorization server for the Model Context Protocol.
//!
//! The crate is a house of rooms, and imports point inward:
//!
//! ```text
//!             cli  (composition root: the only place that knows everything)
//!              |
//!   gateway -> http ---> service ---> port <--- store       adapter        resource
//!      |         |          |           |         |            |          (tower layer,
//!      |         +----------+--> domain <---------+------------+           stands alone)
//!      |                            |                                         |
//!      +--> resource                +---------------> protocol <--------------+
//! ```
//!
//! `protocol` holds the words on the wire, `domain` the rules, `port` what the rules need from the world, `service` one use
//! case per file; `store` and `adapter` are the world, `http` the door, `config` what the operator decides. [`resource`] guards the
//! servers that tokens are for, in any program; `gateway` stands in front of them with what the authority knows. `doctor` looks at
//! any of this from the outside; `metrics` counts and `log` names the request of a line, for whoever has
//! something to count or to tell. A test reads every `use crate::..` and fails on one that points outward.

pub mod domain;
pub mod port;
pub mod protocol;

#[cfg(feature = "server")]
pub mod adapter;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod doctor;
#[cfg(feature = "server")]
pub mod gateway;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod log;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "resource")]
pub mod resource;
#[cfg(feature = "server")]
pub mod service;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
