//! Signing keys in Redis: a handful, so one hash.

use std::collections::HashMap;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{
    Keyed, Redis,
    columns::{Columns, read},
    news::announced,
    script::{Script, script},
};
use crate::{
    domain::{identifier::KeyId, key::KeyRecord},
    port::store::{Addition, Change, KeyStore, StoreResult},
    store::record::{corrupt, key, to_json},
};

static ADD: Script = script!("", "announce.lua", "bytes.lua", "add_key.lua");
static REMOVE: Script = script!(" flags=allow-oom", "announce.lua", "remove_key.lua");

#[async_trait]
impl KeyStore for Redis {
    async fn list(&self) -> StoreResult<Vec<KeyRecord>> {
        let all: HashMap<String, Vec<u8>> = read(self.read_one(Keyed::new("HGETALL", self.names.keys())).await?)?;
        let mut keys = all.into_values().map(|record| from_json(&record)).collect::<StoreResult<Vec<_>>>()?;
        keys.sort_by(|a, b| (a.signs_from, &a.id).cmp(&(b.signs_from, &b.id)));
        Ok(keys)
    }

    async fn add(&self, key: &KeyRecord, newest: Option<&KeyId>) -> StoreResult<Addition> {
        let add = ADD.call([&self.names.keys()]).arg(key.id.as_str()).arg(key.algorithm.as_str()).arg(key_json(key)?);
        let add = add.arg(newest.map_or("", KeyId::as_str));
        let added: bool = announced(self.tell(self.announcing(add, &Change::SigningKeys)).await?)?;
        Ok(if added { Addition::Added } else { Addition::Superseded })
    }

    async fn remove(&self, id: &KeyId) -> StoreResult<bool> {
        let remove = REMOVE.call([&self.names.keys()]).arg(id.as_str());
        announced(self.tell(self.announcing(remove, &Change::SigningKeys)).await?)
    }

    async fn ping(&self) -> StoreResult<()> {
        self.answers().await
    }
}

/// A key as JSON.
pub(super) fn key_json(key: &KeyRecord) -> StoreResult<String> {
    to_json(&json!({
        "id": key.id.as_str(),
        "algorithm": key.algorithm.as_str(),
        "public_jwk": to_json(&key.public)?,
        // JSON has no bytes.
        "sealed_private": STANDARD.encode(&key.sealed_private),
        "created_at": key.created_at.unix(),
        "signs_from": key.signs_from.unix(),
    }))
}

fn from_json(record: &[u8]) -> StoreResult<KeyRecord> {
    let mut columns = Columns::from_json(record)?;
    let sealed = columns.take("sealed_private").map(|text| STANDARD.decode(text)).transpose().map_err(corrupt)?;
    columns.set("sealed_private", sealed.unwrap_or_default());
    key(&columns)
}
