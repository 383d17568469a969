//! Moving everything out of Postgres and into it. A part is read in the order of the keys, and a cursor is the last key of it.

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::{PgConnection, QueryBuilder, postgres::PgRow};

use super::{
    End, Held, Postgres, clients,
    family::access_alone,
    whole_grants::{families, record_family},
};
use crate::{
    domain::account::User,
    port::store::{Archive, Entry, EntryKind, Exported, StoreResult},
    store::{
        record::{Record, archived, corrupt, to_json, word},
        sql::{grant_columns, limit as rows},
    },
};

/// Where the entries of a kind are, what names them, and which rows count.
struct Source {
    table: &'static str,
    key: Key,
    only: &'static str,
}

#[derive(Clone, Copy)]
enum Key {
    Text(&'static str),
    Bytes(&'static str),
    /// Human, client and resource, none of which holds a line break.
    Consent,
}

const fn source(kind: EntryKind) -> Source {
    let (table, key, only) = match kind {
        EntryKind::Client => ("clients", Key::Text("id"), "TRUE"),
        EntryKind::RemovedClient => ("removed_clients", Key::Text("id"), "TRUE"),
        EntryKind::Grant => ("grants", Key::Text("id"), "TRUE"),
        EntryKind::AccessToken => ("access_tokens", Key::Bytes("digest"), "grant_id IS NULL"),
        EntryKind::RevokedAccess => ("revoked_access_tokens", Key::Text("token_id"), "TRUE"),
        EntryKind::SingleUse => ("single_uses", Key::Bytes("id"), "TRUE"),
        EntryKind::User => ("users", Key::Text("id"), "TRUE"),
        EntryKind::Session => ("sessions", Key::Bytes("digest"), "TRUE"),
        EntryKind::Consent => ("consents", Key::Consent, "TRUE"),
        EntryKind::LoginFailures => ("login_failures", Key::Bytes("key"), "TRUE"),
        EntryKind::SigningKey => ("signing_keys", Key::Text("id"), "TRUE"),
    };
    Source { table, key, only }
}

impl Key {
    const fn columns(self) -> &'static str {
        match self {
            Self::Text(column) | Self::Bytes(column) => column,
            Self::Consent => "user_id, client_id, resource",
        }
    }

    /// The cursor behind a row.
    fn cursor(self, row: &PgRow) -> StoreResult<String> {
        let text = |column| Ok(row.text(column)?.unwrap_or_default());
        match self {
            Self::Text(column) => text(column),
            Self::Bytes(column) => Ok(URL_SAFE_NO_PAD.encode(row.bytes(column)?.unwrap_or_default())),
            Self::Consent => Ok([text("user_id")?, text("client_id")?, text("resource")?].join("\n")),
        }
    }

    /// Lets only rows behind a cursor through.
    fn push_after(self, query: &mut QueryBuilder<sqlx::Postgres>, cursor: &str) -> StoreResult<()> {
        match self {
            Self::Text(column) => {
                query.push(" AND ").push(column).push(" > ").push_bind(cursor.to_owned());
            }
            Self::Bytes(column) => {
                let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(corrupt)?;
                query.push(" AND ").push(column).push(" > ").push_bind(bytes);
            }
            Self::Consent => {
                let mut parts = query.push(" AND (user_id, client_id, resource) > (").separated(", ");
                for part in cursor.splitn(3, '\n') {
                    parts.push_bind(part.to_owned());
                }
                query.push(")");
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Archive for Postgres {
    async fn count(&self, kind: EntryKind) -> StoreResult<u64> {
        let Source { table, only, .. } = source(kind);
        let count: i64 = self
            .run(async |mut held: Held| {
                let mut query = QueryBuilder::new("SELECT count(*) FROM ");
                query.push(table).push(" WHERE ").push(only);
                Ok(query.build_query_scalar().fetch_one(&mut *held).await?)
            })
            .await?;
        u64::try_from(count).map_err(corrupt)
    }

    async fn export(&self, kind: EntryKind, after: Option<&str>, limit: u32) -> StoreResult<Exported> {
        let Source { table, key, only } = source(kind);
        let columns = if kind == EntryKind::Grant { concat!("g.id, ", grant_columns!()) } else { "*" };
        self.run(async |mut held: Held| {
            let mut query = QueryBuilder::new("SELECT ");
            query.push(columns).push(" FROM ").push(table).push(" AS g WHERE ").push(only);
            if let Some(cursor) = after {
                key.push_after(&mut query, cursor)?;
            }
            query.push(" ORDER BY ").push(key.columns()).push(" LIMIT ").push_bind(rows(limit));
            // Not kept: a statement with `*` is good for nothing once a newer version has added a column.
            let page = query.build().persistent(false).fetch_all(&mut *held).await?;
            let entries = if kind == EntryKind::Grant {
                families(&page, &mut held).await?
            } else {
                page.iter().map(|row| archived(kind, row)).collect::<StoreResult<_>>()?
            };
            let more = page.len() >= limit as usize;
            let next = page.last().filter(|_| more).map(|row| key.cursor(row)).transpose()?;
            Ok(Exported { entries, next })
        })
        .await
    }

    async fn import(&self, entries: &[Entry]) -> StoreResult<()> {
        // A grant may have a long history, and a transaction has the time of one call.
        let is_grant = |entry: &Entry| entry.kind() == EntryKind::Grant;
        for together in entries.chunk_by(|one, next| !is_grant(one) && !is_grant(next)) {
            let recorded: Arc<[Entry]> = together.into();
            let recording = self.transaction(move |connection| {
                let entries = recorded.clone();
                Box::pin(async move {
                    for entry in &*entries {
                        record(connection, entry).await?;
                    }
                    Ok(End::Commit(()))
                })
            });
            recording.await?;
        }
        for change in entries.iter().filter_map(Entry::change) {
            self.announce(&change).await;
        }
        Ok(())
    }
}

/// Records an entry in the place of one of the same name.
async fn record(connection: &mut PgConnection, entry: &Entry) -> StoreResult<()> {
    match entry {
        Entry::Client(client) => {
            forget_client(connection, client.id.as_str()).await?;
            done(clients::insertion(client)?.execute(connection).await)
        }
        Entry::RemovedClient { id, reason, at } => {
            forget_client(connection, id.as_str()).await?;
            let insert = "INSERT INTO removed_clients (id, reason, removed_at) VALUES ($1, $2, $3)";
            done(sqlx::query(insert).bind(id.as_str()).bind(word(reason)?).bind(at.unix()).execute(connection).await)
        }
        Entry::Grant(family) => record_family(connection, family).await,
        Entry::AccessToken(access) => {
            let forget = sqlx::query("DELETE FROM access_tokens WHERE digest = $1");
            forget.bind(access.digest.as_bytes().as_slice()).execute(&mut *connection).await?;
            done(access_alone(access).fetch_one(connection).await)
        }
        Entry::RevokedAccess { id, expires_at } => {
            let insert = "INSERT INTO revoked_access_tokens (token_id, expires_at) VALUES ($1, $2)
                ON CONFLICT (token_id) DO UPDATE SET expires_at = excluded.expires_at";
            done(sqlx::query(insert).bind(id.as_str()).bind(expires_at.unix()).execute(connection).await)
        }
        Entry::SingleUse(single) => {
            let insert = "INSERT INTO single_uses (id, expires_at) VALUES ($1, $2)
                ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at";
            let insert = sqlx::query(insert).bind(single.id.as_bytes().as_slice()).bind(single.until.unix());
            done(insert.execute(connection).await)
        }
        Entry::User(user) => record_user(connection, user).await,
        Entry::Session(session) => {
            // Not without its account, which may be newer than the pass that copied those.
            let insert = "INSERT INTO sessions (digest, user_id, auth_time, last_seen_at)
                SELECT $1, id, $3, $4 FROM users WHERE id = $2
                ON CONFLICT (digest) DO UPDATE SET user_id = excluded.user_id, auth_time = excluded.auth_time,
                    last_seen_at = excluded.last_seen_at";
            let insert = sqlx::query(insert)
                .bind(session.digest.as_bytes().as_slice())
                .bind(session.user_id.as_str())
                .bind(session.auth_time.unix())
                .bind(session.last_seen_at.unix());
            done(insert.execute(connection).await)
        }
        Entry::Consent(consent) => {
            let insert =
                "INSERT INTO consents (user_id, client_id, resource, scope, updated_at) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (user_id, client_id, resource) DO UPDATE SET scope = excluded.scope,
                    updated_at = excluded.updated_at";
            let insert = sqlx::query(insert)
                .bind(consent.user_id.as_str())
                .bind(consent.client_id.as_str())
                .bind(consent.resource.canonical())
                .bind(consent.scope.to_string())
                .bind(consent.updated_at.unix());
            done(insert.execute(connection).await)
        }
        Entry::LoginFailures { key, failures, window_ends_at } => {
            let insert = "INSERT INTO login_failures (key, failures, window_ends_at) VALUES ($1, $2, $3)
                ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, window_ends_at = excluded.window_ends_at";
            let insert = sqlx::query(insert).bind(key.as_bytes().as_slice()).bind(i64::from(*failures));
            done(insert.bind(window_ends_at.unix()).execute(connection).await)
        }
        Entry::SigningKey(key) => {
            let forget = sqlx::query("DELETE FROM signing_keys WHERE id = $1").bind(key.id.as_str());
            forget.execute(&mut *connection).await?;
            let insert = "INSERT INTO signing_keys (id, algorithm, public_jwk, sealed_private, created_at, signs_from)
                VALUES ($1, $2, $3, $4, $5, $6)";
            let insert = sqlx::query(insert)
                .bind(key.id.as_str())
                .bind(key.algorithm.as_str())
                .bind(to_json(&key.public)?)
                .bind(&key.sealed_private)
                .bind(key.created_at.unix())
                .bind(key.signs_from.unix());
            done(insert.execute(connection).await)
        }
    }
}

fn done<T>(executed: sqlx::Result<T>) -> StoreResult<()> {
    executed?;
    Ok(())
}

async fn forget_client(connection: &mut PgConnection, id: &str) -> StoreResult<()> {
    for forget in ["DELETE FROM clients WHERE id = $1", "DELETE FROM removed_clients WHERE id = $1"] {
        sqlx::query(forget).bind(id).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn record_user(connection: &mut PgConnection, user: &User) -> StoreResult<()> {
    let insert = "INSERT INTO users (id, username, password_hash, status, created_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (id) DO UPDATE SET username = excluded.username, password_hash = excluded.password_hash,
            status = excluded.status, created_at = excluded.created_at";
    let insert = sqlx::query(insert)
        .bind(user.id.as_str())
        .bind(user.username.as_str())
        .bind(user.password.expose())
        .bind(word(&user.status)?)
        .bind(user.created_at.unix());
    done(insert.execute(connection).await)
}
