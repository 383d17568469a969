//! Signing keys in Postgres.

use async_trait::async_trait;

use super::{End, Held, Postgres, clients::lock};
use crate::{
    domain::{identifier::KeyId, key::KeyRecord},
    port::store::{Addition, Change, KeyStore, StoreResult},
    store::record::{key, to_json},
};

#[async_trait]
impl KeyStore for Postgres {
    async fn list(&self) -> StoreResult<Vec<KeyRecord>> {
        let all = "SELECT id, algorithm, public_jwk, sealed_private, created_at, signs_from FROM signing_keys
            ORDER BY signs_from, id";
        let rows = self.run(async |mut held: Held| Ok(sqlx::query(all).fetch_all(&mut *held).await?)).await?;
        rows.iter().map(key).collect()
    }

    async fn add(&self, key: &KeyRecord, newest: Option<&KeyId>) -> StoreResult<Addition> {
        let (key, newest) = (key.clone(), newest.cloned());
        let add = "INSERT INTO signing_keys (id, algorithm, public_jwk, sealed_private, created_at, signs_from)
            SELECT $1, $2, $3, $4, $5, $6
            WHERE (SELECT id FROM signing_keys WHERE algorithm = $2 ORDER BY signs_from DESC, id DESC LIMIT 1)
                IS NOT DISTINCT FROM $7
            ON CONFLICT (id) DO NOTHING";
        let addition = self.transaction(move |connection| {
            let (key, newest) = (key.clone(), newest.clone());
            Box::pin(async move {
                // The statement behind the lock has a snapshot of its own, in which every key is that was added before.
                lock(connection, "signing keys").await?;
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
                let added = added.rows_affected() == 1;
                Ok(End::Commit(if added { Addition::Added } else { Addition::Superseded }))
            })
        });
        let addition = addition.await?;
        if addition == Addition::Added {
            self.announce(&Change::SigningKeys).await;
        }
        Ok(addition)
    }

    async fn remove(&self, id: &KeyId) -> StoreResult<bool> {
        let removed = self
            .run(async |mut held: Held| {
                let remove = sqlx::query("DELETE FROM signing_keys WHERE id = $1").bind(id.as_str());
                Ok(remove.execute(&mut *held).await?)
            })
            .await?;
        let was_there = removed.rows_affected() == 1;
        if was_there {
            self.announce(&Change::SigningKeys).await;
        }
        Ok(was_there)
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping_server().await
    }
}
