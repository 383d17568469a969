//! Signing keys in memory: a handful, so one lock.

use std::sync::Mutex;

use async_trait::async_trait;

use super::lock;
use crate::{
    domain::{
        identifier::KeyId,
        key::{KeyRecord, newest},
    },
    port::store::{Addition, KeyStore, StoreResult},
};

/// See [`KeyStore`].
#[derive(Default)]
pub(in crate::store) struct MemoryKeys {
    keys: Mutex<Vec<KeyRecord>>,
}

#[async_trait]
impl KeyStore for MemoryKeys {
    async fn list(&self) -> StoreResult<Vec<KeyRecord>> {
        Ok(lock(&self.keys).clone())
    }

    async fn add(&self, key: &KeyRecord, expected: Option<&KeyId>) -> StoreResult<Addition> {
        let mut keys = lock(&self.keys);
        let newest = newest(key.algorithm, &keys).map(|k| &k.id);
        // A name that is there already was somebody else's addition, too.
        if newest != expected || keys.iter().any(|k| k.id == key.id) {
            return Ok(Addition::Superseded);
        }
        keys.push(key.clone());
        keys.sort_by(|a, b| (a.signs_from, &a.id).cmp(&(b.signs_from, &b.id)));
        Ok(Addition::Added)
    }

    async fn remove(&self, id: &KeyId) -> StoreResult<bool> {
        let mut keys = lock(&self.keys);
        let before = keys.len();
        keys.retain(|k| k.id != *id);
        Ok(keys.len() < before)
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}
