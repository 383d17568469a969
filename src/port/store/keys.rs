//! Signing keys.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{identifier::KeyId, key::KeyRecord};

/// What became of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addition {
    Added,
    /// Another instance added one first: the newest key of the algorithm is not the expected one.
    Superseded,
}

/// The store family of keys.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Every key, retired ones included until they are removed.
    async fn list(&self) -> StoreResult<Vec<KeyRecord>>;

    /// Adds a key if the newest one of its algorithm (by `signs_from`, then by identifier) still is `newest`.
    async fn add(&self, key: &KeyRecord, newest: Option<&KeyId>) -> StoreResult<Addition>;

    /// Removes a key. `false` if it was not there.
    async fn remove(&self, id: &KeyId) -> StoreResult<bool>;

    /// Whether the store answers.
    async fn ping(&self) -> StoreResult<()>;
}
