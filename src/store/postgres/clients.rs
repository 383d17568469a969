//! Clients in Postgres: registered ones in one table, tombstones in another; a removal moves from the first to the second.

use async_trait::async_trait;
use sqlx::{
    PgConnection, QueryBuilder,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use super::{End, Held, Postgres, look_up::FindClient};
use crate::{
    domain::{
        client::{Client, ClientEntry, Removal},
        identifier::ClientId,
        time::Timestamp,
    },
    port::store::{Change, ClientStore, Insertion, Page, ReapRule, Replacement, StoreResult},
    store::{
        record::{client, corrupt, to_json, word},
        sql::{limit as rows, version},
    },
};

/// The columns of a client `c` one by one: a prepared `SELECT *` fails for good when a newer version adds a column.
macro_rules! client_columns {
    () => {
        "c.id, c.name, c.uri, c.provenance, c.status, c.authentication, c.secrets, c.jwks, c.redirect_uris, c.grant_types,
        c.application_type, c.scope, c.resources, c.may_introspect, c.software_id, c.software_version,
        c.registration_token, c.created_at, c.last_used_at, c.version"
    };
}
pub(super) use client_columns;

const INSERT: &str = "INSERT INTO clients (id, name, uri, provenance, status, authentication, secrets, jwks,
        redirect_uris, grant_types, application_type, scope, resources, may_introspect, software_id, software_version,
        registration_token, created_at, last_used_at, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
    ON CONFLICT (id) DO NOTHING";

const REPLACE: &str = "UPDATE clients SET name = $2, uri = $3, provenance = $4, status = $5, authentication = $6,
        secrets = $7, jwks = $8, redirect_uris = $9, grant_types = $10, application_type = $11, scope = $12,
        resources = $13, may_introspect = $14, software_id = $15, software_version = $16, registration_token = $17,
        version = version + 1
    WHERE id = $1 AND version = $18";

/// `statement` with what an update may change as parameters 1 to 17.
fn write<'q>(statement: &'static str, client: &'q Client) -> StoreResult<Query<'q, sqlx::Postgres, PgArguments>> {
    let grant_types: Vec<&str> = client.grant_types.iter().map(|grant| grant.as_str()).collect();
    Ok(sqlx::query(statement)
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
        .bind(client.registration_token.as_ref().map(|digest| digest.as_bytes().as_slice())))
}

fn clients(rows: &[PgRow]) -> StoreResult<Vec<Client>> {
    rows.iter().map(client).collect()
}

/// Waits until nobody else is in a transaction that took the lock of this name. Statements after this one see what they did.
pub(super) async fn lock(connection: &mut PgConnection, name: &'static str) -> StoreResult<()> {
    let lock = sqlx::query("SELECT name FROM locks WHERE name = $1 FOR UPDATE").bind(name);
    match lock.fetch_optional(connection).await? {
        Some(_) => Ok(()),
        None => Err(corrupt(format_args!("locks: no row for {name}"))),
    }
}

/// Inserts a client, unless there is one of its name.
pub(super) fn insertion(client: &Client) -> StoreResult<Query<'_, sqlx::Postgres, PgArguments>> {
    Ok(write(INSERT, client)?
        .bind(client.created_at.unix())
        .bind(client.last_used_at.map(Timestamp::unix))
        .bind(version(client.version)?))
}

async fn insert(
    client: &Client,
    max_dynamic: Option<u64>,
    connection: &mut PgConnection,
) -> StoreResult<End<Insertion>> {
    if max_dynamic.is_some() {
        lock(connection, "dynamic clients").await?;
    }
    if insertion(client)?.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(End::RollBack(Insertion::Taken));
    }
    // Asked after the insertion: that waited for whoever was removing a client of this name, so their tombstone is seen here.
    let buried = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM removed_clients WHERE id = $1)");
    if buried.bind(client.id.as_str()).fetch_one(&mut *connection).await? {
        return Ok(End::RollBack(Insertion::Taken));
    }
    if let Some(limit) = max_dynamic {
        let others = sqlx::query_scalar("SELECT count(*) FROM clients WHERE provenance = 'dynamic' AND id <> $1");
        let others: i64 = others.bind(client.id.as_str()).fetch_one(connection).await?;
        if u64::try_from(others).unwrap_or_default() >= limit {
            return Ok(End::RollBack(Insertion::LimitReached));
        }
    }
    Ok(End::Commit(Insertion::Inserted))
}

#[async_trait]
impl ClientStore for Postgres {
    async fn insert(&self, client: &Client, max_dynamic: Option<u64>) -> StoreResult<Insertion> {
        let client = client.clone();
        self.transaction(move |connection| {
            let client = client.clone();
            Box::pin(async move { insert(&client, max_dynamic, connection).await })
        })
        .await
    }

    async fn find(&self, id: &ClientId) -> StoreResult<Option<ClientEntry>> {
        Ok(self.ask(FindClient(id.clone())).await?.flatten())
    }

    async fn replace(&self, client: &Client) -> StoreResult<Replacement> {
        let replaced = self.run(async |mut held: Held| {
            let replace = write(REPLACE, client)?.bind(version(client.version)?);
            if replace.execute(&mut *held).await?.rows_affected() == 1 {
                return Ok(Replacement::Replaced);
            }
            let there = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM clients WHERE id = $1)");
            let there = there.bind(client.id.as_str()).fetch_one(&mut *held).await?;
            Ok(if there { Replacement::Conflict } else { Replacement::Gone })
        });
        let replaced = replaced.await?;
        if replaced == Replacement::Replaced {
            self.announce(&Change::Client(client.id.clone())).await;
        }
        Ok(replaced)
    }

    async fn remove(&self, id: &ClientId, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        let remove = "WITH gone AS (DELETE FROM clients WHERE id = $1 RETURNING id)
            INSERT INTO removed_clients (id, reason, removed_at) SELECT id, $2, $3 FROM gone";
        let reason = &word(&reason)?;
        let removed = self
            .run(async |mut held: Held| {
                let remove = sqlx::query(remove).bind(id.as_str()).bind(reason).bind(now.unix());
                Ok(remove.execute(&mut *held).await?)
            })
            .await?;
        let was_there = removed.rows_affected() == 1;
        if was_there {
            self.announce(&Change::Client(id.clone())).await;
        }
        Ok(was_there)
    }

    async fn touch(&self, id: &ClientId, now: Timestamp) -> StoreResult<bool> {
        let touch = "UPDATE clients SET last_used_at = greatest(coalesce(last_used_at, $2), $2) WHERE id = $1";
        let touched = self
            .run(async |mut held: Held| {
                Ok(sqlx::query(touch).bind(id.as_str()).bind(now.unix()).execute(&mut *held).await?)
            })
            .await?;
        Ok(touched.rows_affected() == 1)
    }

    async fn list(&self, page: Page<ClientId>) -> StoreResult<Vec<Client>> {
        // No identifier is empty, so all of them come after the empty text.
        let after = page.after.as_ref().map_or("", ClientId::as_str);
        let list = concat!("SELECT ", client_columns!(), " FROM clients c WHERE c.id > $1 ORDER BY c.id LIMIT $2");
        let found = self
            .run(async |mut held: Held| {
                Ok(sqlx::query(list).bind(after).bind(rows(page.limit)).fetch_all(&mut *held).await?)
            })
            .await?;
        clients(&found)
    }

    async fn reapable(&self, rule: ReapRule, limit: u32) -> StoreResult<Vec<Client>> {
        let reapable = move || {
            let mut query = QueryBuilder::new(concat!("SELECT ", client_columns!(), " FROM clients c"));
            query.push(" WHERE c.provenance = 'dynamic' AND ((c.last_used_at IS NULL AND c.created_at < ");
            query.push_bind(rule.never_used_before.unix()).push(") OR c.last_used_at < ");
            query.push_bind(rule.idle_before.unix()).push(") ORDER BY c.id LIMIT ").push_bind(rows(limit));
            query
        };
        clients(&self.survey(reapable).await?)
    }

    async fn reap(&self, client: &Client, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        // A use that is noted at this moment holds the row; once it is committed, the condition is looked at again.
        let reap = "WITH gone AS (DELETE FROM clients WHERE id = $1 AND provenance = 'dynamic'
                AND last_used_at IS NOT DISTINCT FROM $4 RETURNING id)
            INSERT INTO removed_clients (id, reason, removed_at) SELECT id, $2, $3 FROM gone";
        let reason = &word(&reason)?;
        let reaped = self
            .run(async |mut held: Held| {
                let reap = sqlx::query(reap).bind(client.id.as_str()).bind(reason).bind(now.unix());
                Ok(reap.bind(client.last_used_at.map(Timestamp::unix)).execute(&mut *held).await?)
            })
            .await?;
        let was_unused = reaped.rows_affected() == 1;
        if was_unused {
            self.announce(&Change::Client(client.id.clone())).await;
        }
        Ok(was_unused)
    }

    async fn purge_tombstones(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        let purge = "WITH over AS (SELECT id FROM removed_clients WHERE removed_at < $1 ORDER BY removed_at LIMIT $2
                FOR UPDATE SKIP LOCKED)
            DELETE FROM removed_clients USING over WHERE removed_clients.id = over.id";
        let purged = self
            .run(async |mut held: Held| {
                Ok(sqlx::query(purge).bind(before.unix()).bind(rows(limit)).execute(&mut *held).await?)
            })
            .await?;
        Ok(purged.rows_affected())
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping_server().await
    }
}
