//! Signing keys in SQLite.

use async_trait::async_trait;

use super::Sqlite;
use crate::{
    domain::{identifier::KeyId, key::KeyRecord},
    port::store::{Addition, KeyStore, StoreResult},
    store::record::{key, to_json},
};

#[async_trait]
impl KeyStore for Sqlite {
    async fn list(&self) -> StoreResult<Vec<KeyRecord>> {
        let all = sqlx::query("SELECT * FROM signing_keys ORDER BY signs_from, id");
        let rows = all.fetch_all(&self.readers).await?;
        rows.iter().map(key).collect()
    }

    async fn add(&self, key: &KeyRecord, newest: Option<&KeyId>) -> StoreResult<Addition> {
        let (key, newest) = (key.clone(), newest.cloned());
        let add = "INSERT INTO signing_keys (id, algorithm, public_jwk, sealed_private, created_at, signs_from)
            SELECT ?1, ?2, ?3, ?4, ?5, ?6
            WHERE (SELECT id FROM signing_keys WHERE algorithm = ?2 ORDER BY signs_from DESC, id DESC LIMIT 1) IS ?7
            ON CONFLICT (id) DO NOTHING";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let added = sqlx::query(add)
                        .bind(key.id.as_str())
                        .bind(key.algorithm.as_str())
                        .bind(to_json(&key.public)?)
                        .bind(&key.sealed_private)
                        .bind(key.created_at.unix())
                        .bind(key.signs_from.unix())
                        .bind(newest.as_ref().map(KeyId::as_str))
                        .execute(connection)
                        .await?;
                    Ok(if added.rows_affected() == 1 { Addition::Added } else { Addition::Superseded })
                })
            })
            .await
    }

    async fn remove(&self, id: &KeyId) -> StoreResult<bool> {
        let id = id.clone();
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let removed = sqlx::query("DELETE FROM signing_keys WHERE id = ?").bind(id.as_str());
                    Ok(removed.execute(connection).await?.rows_affected() == 1)
                })
            })
            .await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping_both().await
    }
}
