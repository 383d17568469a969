//! What must last. Five families; a backend implements all of them, and they may live in different backends.
//!
//! **One method is one atomic step on one aggregate.** There is no transaction to hold open and no read-modify-write for the
//! caller to get wrong. A lost race is a value that the caller must match on, not an error. `now` is an argument: a store
//! never asks anybody for the time. Stores hold digests and sealed boxes, never a credential that could be used.

mod accounts;
mod archive;
mod audit;
mod changes;
mod clients;
mod keys;
mod tokens;

use std::error::Error;

pub use accounts::*;
pub use archive::*;
pub use audit::*;
pub use changes::*;
pub use clients::*;
pub use keys::*;
use thiserror::Error;
pub use tokens::*;

/// A store could not do its work. "Not found" is not among these: it is an `Option`.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It is down, slow or full; the operation may be tried again.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// It answered with something that cannot be: a row that does not parse.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

/// What the methods of a store return.
pub type StoreResult<T> = Result<T, StoreError>;

/// A page of a listing, for the command line: everything after `after`, at most `limit` rows, in the order of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<K> {
    /// The last key of the page before.
    pub after: Option<K>,
    /// The most rows to return.
    pub limit: u32,
}
