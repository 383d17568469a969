//! The audit trail in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::Sqlite;
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

/// One statement for however many entries. Without WHERE, ON would be read as that of a join.
const APPEND: &str = concat!(
    "INSERT INTO audit_entries (",
    audit_columns!(),
    ") SELECT value ->> 'id', value ->> 'at', value ->> 'event', value ->> 'outcome', value ->> 'reason',
        value ->> 'client_id', value ->> 'user_id', value ->> 'grant_id', value ->> 'token_id', value ->> 'key_id',
        value ->> 'address', value ->> 'request_id', value ->> 'attempt_id', value ->> 'instance', value ->> 'times'
    FROM json_each(?) WHERE TRUE ON CONFLICT (id) DO NOTHING"
);

/// Adds what [`as_parameter`] wrote.
pub(super) async fn append(connection: &mut SqliteConnection, entries: String) -> StoreResult<()> {
    sqlx::query(APPEND).bind(entries).execute(connection).await?;
    Ok(())
}

#[async_trait]
impl AuditStore for Sqlite {
    async fn append(&self, entries: &[Entry]) -> StoreResult<()> {
        let entries = as_parameter(entries)?;
        self.writer.run(move |connection| Box::pin(append(connection, entries))).await
    }

    async fn list(&self, filter: &Filter, page: Page<EntryId>) -> StoreResult<Vec<Entry>> {
        let rows = listing(filter, &page).build().fetch_all(&self.readers).await?;
        rows.iter().map(audit_entry).collect()
    }

    async fn turns(&self, instance: &str, limit: u32) -> StoreResult<Vec<Entry>> {
        let turns = sqlx::query(TURNS).bind(instance.to_owned()).bind(rows(limit));
        let turns = turns.fetch_all(&self.readers).await?;
        turns.iter().map(audit_entry).collect()
    }

    async fn purge(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        let purge =
            "DELETE FROM audit_entries WHERE id IN (SELECT id FROM audit_entries WHERE id < ? ORDER BY id LIMIT ?)";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let purge = sqlx::query(purge).bind(EntryId::begin(before)).bind(rows(limit));
                    Ok(purge.execute(connection).await?.rows_affected())
                })
            })
            .await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping_both().await
    }
}
