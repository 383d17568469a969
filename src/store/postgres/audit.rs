//! The audit trail in Postgres.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{Held, Postgres};
use crate::{
    domain::{
        audit::{Entry, EntryId, Filter},
        time::Timestamp,
    },
    port::store::{AuditStore, Page, StoreResult},
    store::{
        record::audit_entry,
        sql::{
            audit::{TURNS, as_parameter, audit_columns, listing},
            limit as rows,
        },
    },
};

/// One statement for however many entries, however many columns a newer version has added.
const APPEND: &str = concat!(
    "INSERT INTO audit_entries (",
    audit_columns!(),
    ") SELECT ",
    audit_columns!(),
    " FROM json_to_recordset($1::json) AS entry (id text, at bigint, event text, outcome text, reason text,
        client_id text, user_id text, grant_id text, token_id text, key_id text, address text, request_id text,
        attempt_id text, instance text, times bigint)
    ON CONFLICT (id) DO NOTHING"
);

const PURGE: &str =
    "WITH old AS (SELECT id FROM audit_entries WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
    DELETE FROM audit_entries USING old WHERE audit_entries.id = old.id";

/// Adds what [`as_parameter`] wrote.
pub(super) async fn append(connection: &mut PgConnection, entries: &str) -> StoreResult<()> {
    sqlx::query(APPEND).bind(entries).execute(connection).await?;
    Ok(())
}

#[async_trait]
impl AuditStore for Postgres {
    async fn append(&self, entries: &[Entry]) -> StoreResult<()> {
        let entries = as_parameter(entries)?;
        self.run(async |mut held: Held| append(&mut held, &entries).await).await
    }

    async fn list(&self, filter: &Filter, page: Page<EntryId>) -> StoreResult<Vec<Entry>> {
        let filter = filter.clone();
        self.survey(move || listing(&filter, &page)).await?.iter().map(audit_entry).collect()
    }

    async fn turns(&self, instance: &str, limit: u32) -> StoreResult<Vec<Entry>> {
        let turns = self.run(async |mut held: Held| {
            Ok(sqlx::query(TURNS).bind(instance).bind(rows(limit)).fetch_all(&mut *held).await?)
        });
        turns.await?.iter().map(audit_entry).collect()
    }

    async fn purge(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.run(async |mut held: Held| {
            let purge = sqlx::query(PURGE).bind(EntryId::begin(before)).bind(rows(limit));
            Ok(purge.execute(&mut *held).await?.rows_affected())
        })
        .await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping_server().await
    }
}
