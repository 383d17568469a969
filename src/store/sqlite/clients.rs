//! Clients in SQLite: registered ones in one table, tombstones in another; a removal moves from the first to the second.

use async_trait::async_trait;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::Sqlite;
use crate::{
    domain::{
        client::{Client, ClientEntry, Removal},
        identifier::ClientId,
        time::Timestamp,
    },
    port::store::{ClientStore, Insertion, Page, ReapRule, Replacement, StoreResult},
    store::{
        record::{client, entry, to_json, word},
        sql::{limit as rows, version},
    },
};

fn clients(rows: &[SqliteRow]) -> StoreResult<Vec<Client>> {
    rows.iter().map(client).collect()
}

/// Runs `statement` with what an update may change as parameters 1 to 17, and `more` after them.
async fn write(
    statement: &'static str,
    client: &Client,
    more: &[Option<i64>],
    connection: &mut SqliteConnection,
) -> StoreResult<u64> {
    let grant_types: Vec<&str> = client.grant_types.iter().map(|grant| grant.as_str()).collect();
    let query = sqlx::query(statement)
        .bind(client.id.as_str())
        .bind(&client.name)
        .bind(&client.uri)
        .bind(word(&client.provenance)?)
        .bind(word(&client.status)?)
        .bind(client.authentication.as_str())
        .bind(to_json(&client.secrets)?)
        .bind(client.jwks.as_ref().map(to_json).transpose()?)
        .bind(to_json(&client.redirect_uris)?)
        .bind(to_json(&grant_types)?)
        .bind(client.application_type.as_str())
        .bind(client.scope.to_string())
        .bind(to_json(&client.resources)?)
        .bind(client.may_introspect)
        .bind(&client.software_id)
        .bind(&client.software_version)
        .bind(client.registration_token.as_ref().map(|digest| digest.as_bytes().as_slice()));
    let query = more.iter().fold(query, |query, number| query.bind(*number));
    Ok(query.execute(connection).await?.rows_affected())
}

const INSERT: &str = "INSERT INTO clients (id, name, uri, provenance, status, authentication, secrets, jwks,
        redirect_uris, grant_types, application_type, scope, resources, may_introspect, software_id, software_version,
        registration_token, created_at, last_used_at, version)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";

const REPLACE: &str = "UPDATE clients SET name = ?2, uri = ?3, provenance = ?4, status = ?5, authentication = ?6,
        secrets = ?7, jwks = ?8, redirect_uris = ?9, grant_types = ?10, application_type = ?11, scope = ?12,
        resources = ?13, may_introspect = ?14, software_id = ?15, software_version = ?16, registration_token = ?17,
        version = version + 1
    WHERE id = ?1 AND version = ?18";

pub(super) async fn insert(connection: &mut SqliteConnection, client: &Client) -> StoreResult<()> {
    let own =
        [Some(client.created_at.unix()), client.last_used_at.map(Timestamp::unix), Some(version(client.version)?)];
    write(INSERT, client, &own, connection).await?;
    Ok(())
}

/// Puts a tombstone where a client was removed.
pub(super) async fn bury(
    connection: &mut SqliteConnection,
    id: &ClientId,
    reason: Removal,
    now: Timestamp,
) -> StoreResult<()> {
    let tombstone = sqlx::query("INSERT INTO removed_clients (id, reason, removed_at) VALUES (?, ?, ?)");
    tombstone.bind(id.as_str()).bind(word(&reason)?).bind(now.unix()).execute(connection).await?;
    Ok(())
}

#[async_trait]
impl ClientStore for Sqlite {
    async fn insert(&self, client: &Client, max_dynamic: Option<u64>) -> StoreResult<Insertion> {
        let client = client.clone();
        let taken = "SELECT EXISTS (SELECT 1 FROM clients WHERE id = ?1)
            OR EXISTS (SELECT 1 FROM removed_clients WHERE id = ?1)";
        let count = "SELECT count(*) FROM clients WHERE provenance = 'dynamic'";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    if sqlx::query_scalar(taken).bind(client.id.as_str()).fetch_one(&mut *connection).await? {
                        return Ok(Insertion::Taken);
                    }
                    if let Some(limit) = max_dynamic {
                        let dynamic: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await?;
                        if u64::try_from(dynamic).unwrap_or_default() >= limit {
                            return Ok(Insertion::LimitReached);
                        }
                    }
                    insert(connection, &client).await?;
                    Ok(Insertion::Inserted)
                })
            })
            .await
    }

    async fn find(&self, id: &ClientId) -> StoreResult<Option<ClientEntry>> {
        // One statement, so that a removal at this moment is seen before or after, and not as nothing at all.
        let find = "SELECT c.*, r.reason, r.removed_at FROM (SELECT ?1 AS asked)
            LEFT JOIN clients c ON c.id = asked LEFT JOIN removed_clients r ON r.id = asked";
        let row = sqlx::query(find).bind(id.as_str()).fetch_one(&self.readers).await?;
        entry(&row)
    }

    async fn replace(&self, client: &Client) -> StoreResult<Replacement> {
        let client = client.clone();
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    if write(REPLACE, &client, &[Some(version(client.version)?)], connection).await? == 1 {
                        return Ok(Replacement::Replaced);
                    }
                    let there = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM clients WHERE id = ?)");
                    let there: bool = there.bind(client.id.as_str()).fetch_one(connection).await?;
                    Ok(if there { Replacement::Conflict } else { Replacement::Gone })
                })
            })
            .await
    }

    async fn remove(&self, id: &ClientId, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        let id = id.clone();
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let removed = sqlx::query("DELETE FROM clients WHERE id = ?").bind(id.as_str());
                    let was_there = removed.execute(&mut *connection).await?.rows_affected() == 1;
                    if was_there {
                        bury(connection, &id, reason, now).await?;
                    }
                    Ok(was_there)
                })
            })
            .await
    }

    async fn touch(&self, id: &ClientId, now: Timestamp) -> StoreResult<bool> {
        let id = id.clone();
        let touch = "UPDATE clients SET last_used_at = max(coalesce(last_used_at, ?2), ?2) WHERE id = ?1";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let touched = sqlx::query(touch).bind(id.as_str()).bind(now.unix()).execute(connection).await?;
                    Ok(touched.rows_affected() == 1)
                })
            })
            .await
    }

    async fn list(&self, page: Page<ClientId>) -> StoreResult<Vec<Client>> {
        // No identifier is empty, so all of them come after the empty text.
        let after = page.after.as_ref().map_or("", ClientId::as_str);
        let query = sqlx::query("SELECT * FROM clients WHERE id > ? ORDER BY id LIMIT ?");
        clients(&query.bind(after).bind(rows(page.limit)).fetch_all(&self.readers).await?)
    }

    async fn reapable(&self, rule: ReapRule, limit: u32) -> StoreResult<Vec<Client>> {
        let query = sqlx::query(
            "SELECT * FROM clients WHERE provenance = 'dynamic'
                AND ((last_used_at IS NULL AND created_at < ?1) OR last_used_at < ?2)
            ORDER BY id LIMIT ?3",
        );
        let query = query.bind(rule.never_used_before.unix()).bind(rule.idle_before.unix()).bind(rows(limit));
        clients(&query.fetch_all(&self.readers).await?)
    }

    async fn reap(&self, client: &Client, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        let (id, last_used_at) = (client.id.clone(), client.last_used_at);
        let reap = "DELETE FROM clients WHERE id = ? AND provenance = 'dynamic' AND last_used_at IS ?";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let reaped = sqlx::query(reap).bind(id.as_str()).bind(last_used_at.map(Timestamp::unix));
                    let was_unused = reaped.execute(&mut *connection).await?.rows_affected() == 1;
                    if was_unused {
                        bury(connection, &id, reason, now).await?;
                    }
                    Ok(was_unused)
                })
            })
            .await
    }

    async fn purge_tombstones(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        let purge = "DELETE FROM removed_clients WHERE id IN
            (SELECT id FROM removed_clients WHERE removed_at < ? LIMIT ?)";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let purged = sqlx::query(purge).bind(before.unix()).bind(rows(limit)).execute(connection).await?;
                    Ok(purged.rows_affected())
                })
            })
            .await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping_both().await
    }
}
