//! Moving everything out of Postgres and into it.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{PgConnection, Row};

use super::{
    End, Held, Postgres, audit, clients,
    family::access_alone,
    whole_grants::{families, record_family},
};
use crate::{
    domain::account::User,
    port::store::{Archive, Entry, EntryKind, Exported, StoreResult},
    store::{
        record::{archived, corrupt, to_json, word},
        sql::{audit::as_parameter, parts},
    },
};

#[async_trait]
impl Archive for Postgres {
    async fn count(&self, kind: EntryKind) -> StoreResult<u64> {
        let counted = self.survey(move || parts::count(kind)).await?;
        let count: i64 = counted.first().ok_or_else(|| corrupt("no count"))?.try_get(0)?;
        u64::try_from(count).map_err(corrupt)
    }

    async fn export(&self, kind: EntryKind, after: Option<&str>, limit: u32) -> StoreResult<Exported> {
        self.run(async |mut held: Held| {
            // Not kept: a statement with `*` is good for nothing once a newer version has added a column.
            let part = parts::part(kind, after, limit)?.build().persistent(false).fetch_all(&mut *held).await?;
            let entries = if kind == EntryKind::Grant {
                families(&part, &mut held).await?
            } else {
                part.iter().map(|row| archived(kind, row)).collect::<StoreResult<_>>()?
            };
            Ok(Exported { entries, next: parts::next(kind, &part, limit)? })
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
        // What has its name says the same.
        Entry::AuditEntry(entry) => audit::append(connection, &as_parameter(std::slice::from_ref(&**entry))?).await,
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
