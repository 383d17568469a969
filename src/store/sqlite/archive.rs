//! Moving everything out of SQLite and into it.

use async_trait::async_trait;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{Sqlite, audit, clients, family};
use crate::{
    domain::account::{Consent, Session, User},
    port::store::{Archive, Entry, EntryKind, Exported, GrantFamily, StoreResult, Succession},
    store::{
        record::{self, archived, corrupt, grant, to_json, word},
        sql::{audit::as_parameter, parts},
    },
};

impl Sqlite {
    async fn families(&self, page: &[SqliteRow]) -> StoreResult<Vec<Entry>> {
        let mut entries = Vec::with_capacity(page.len());
        for row in page {
            let grant = grant(row)?;
            let of = |statement: &'static str| sqlx::query(statement).bind(grant.id.as_str().to_owned());
            let code = of("SELECT * FROM codes WHERE grant_id = ?").fetch_optional(&self.readers).await?;
            let refresh = of("SELECT * FROM refresh_tokens WHERE grant_id = ? ORDER BY digest");
            let refresh = refresh.fetch_all(&self.readers).await?;
            let access = of("SELECT * FROM access_tokens WHERE grant_id = ? ORDER BY digest");
            let access = access.fetch_all(&self.readers).await?;
            entries.push(Entry::Grant(Box::new(record::family(grant, code.as_ref(), &refresh, &access)?)));
        }
        Ok(entries)
    }
}

#[async_trait]
impl Archive for Sqlite {
    async fn count(&self, kind: EntryKind) -> StoreResult<u64> {
        let count: i64 = parts::count(kind).build_query_scalar().fetch_one(&self.readers).await?;
        u64::try_from(count).map_err(corrupt)
    }

    async fn export(&self, kind: EntryKind, after: Option<&str>, limit: u32) -> StoreResult<Exported> {
        let part = parts::part(kind, after, limit)?.build().fetch_all(&self.readers).await?;
        let entries = if kind == EntryKind::Grant {
            self.families(&part).await?
        } else {
            part.iter().map(|row| archived(kind, row)).collect::<StoreResult<_>>()?
        };
        Ok(Exported { entries, next: parts::next(kind, &part, limit)? })
    }

    async fn import(&self, entries: &[Entry]) -> StoreResult<()> {
        let entries = entries.to_vec();
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    for entry in &entries {
                        record(connection, entry).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// Records an entry in the place of one of the same name.
async fn record(connection: &mut SqliteConnection, entry: &Entry) -> StoreResult<()> {
    match entry {
        Entry::Client(client) => {
            forget_client(connection, client.id.as_str()).await?;
            clients::insert(connection, client).await
        }
        Entry::RemovedClient { id, reason, at } => {
            forget_client(connection, id.as_str()).await?;
            clients::bury(connection, id, *reason, *at).await
        }
        Entry::Grant(whole) => record_family(connection, whole).await,
        Entry::AccessToken(access) => {
            let digest = access.digest.as_bytes().as_slice();
            sqlx::query("DELETE FROM access_tokens WHERE digest = ?").bind(digest).execute(&mut *connection).await?;
            family::insert_access(connection, access).await
        }
        Entry::RevokedAccess { id, expires_at } => {
            let insert = "INSERT OR REPLACE INTO revoked_access_tokens (token_id, expires_at) VALUES (?, ?)";
            done(sqlx::query(insert).bind(id.as_str()).bind(expires_at.unix()).execute(connection).await)
        }
        Entry::SingleUse(single) => {
            let insert = "INSERT OR REPLACE INTO single_uses (id, expires_at) VALUES (?, ?)";
            let insert = sqlx::query(insert).bind(single.id.as_bytes().as_slice()).bind(single.until.unix());
            done(insert.execute(connection).await)
        }
        Entry::User(user) => record_user(connection, user).await,
        Entry::Session(session) => record_session(connection, session).await,
        Entry::Consent(consent) => record_consent(connection, consent).await,
        Entry::LoginFailures { key, failures, window_ends_at } => {
            let insert = "INSERT OR REPLACE INTO login_failures (key, failures, window_ends_at) VALUES (?, ?, ?)";
            let insert = sqlx::query(insert).bind(key.as_bytes().as_slice()).bind(i64::from(*failures));
            done(insert.bind(window_ends_at.unix()).execute(connection).await)
        }
        Entry::SigningKey(key) => {
            let insert = "INSERT OR REPLACE INTO signing_keys (id, algorithm, public_jwk, sealed_private, created_at, signs_from)
                VALUES (?, ?, ?, ?, ?, ?)";
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
        Entry::AuditEntry(entry) => audit::append(connection, as_parameter(std::slice::from_ref(&**entry))?).await,
    }
}

fn done<T>(executed: sqlx::Result<T>) -> StoreResult<()> {
    executed?;
    Ok(())
}

async fn forget_client(connection: &mut SqliteConnection, id: &str) -> StoreResult<()> {
    for table in ["DELETE FROM clients WHERE id = ?", "DELETE FROM removed_clients WHERE id = ?"] {
        sqlx::query(table).bind(id).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn record_family(connection: &mut SqliteConnection, whole: &GrantFamily) -> StoreResult<()> {
    let id = whole.grant.id.as_str();
    // What hangs off it goes with it.
    sqlx::query("DELETE FROM grants WHERE id = ?").bind(id).execute(&mut *connection).await?;
    family::insert_grant(connection, &whole.grant).await?;
    if let Some((code, spent_at)) = &whole.code {
        family::insert_code(connection, code, id, *spent_at).await?;
    }
    for (token, succession) in &whole.refresh {
        family::insert_refresh(connection, token, id).await?;
        if let Some(Succession { at, sealed_successor, successor }) = succession {
            let rotate =
                "UPDATE refresh_tokens SET rotated_at = ?2, sealed_successor = ?3, successor = ?4 WHERE digest = ?1";
            sqlx::query(rotate)
                .bind(token.digest.as_bytes().as_slice())
                .bind(at.unix())
                .bind(sealed_successor)
                .bind(successor.as_ref().map(|digest| digest.as_bytes().as_slice()))
                .execute(&mut *connection)
                .await?;
        }
    }
    for access in &whole.access {
        family::insert_access(connection, access).await?;
    }
    Ok(())
}

async fn record_user(connection: &mut SqliteConnection, user: &User) -> StoreResult<()> {
    // Not INSERT OR REPLACE, which would delete the row first, and its sessions with it.
    let insert = "INSERT INTO users (id, username, password_hash, status, created_at) VALUES (?, ?, ?, ?, ?)
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

async fn record_session(connection: &mut SqliteConnection, session: &Session) -> StoreResult<()> {
    // Not without its account, which may be newer than the pass that copied those.
    let insert = "INSERT OR REPLACE INTO sessions (digest, user_id, auth_time, last_seen_at)
        SELECT ?, id, ?, ? FROM users WHERE id = ?";
    let insert = sqlx::query(insert)
        .bind(session.digest.as_bytes().as_slice())
        .bind(session.auth_time.unix())
        .bind(session.last_seen_at.unix())
        .bind(session.user_id.as_str());
    done(insert.execute(connection).await)
}

async fn record_consent(connection: &mut SqliteConnection, consent: &Consent) -> StoreResult<()> {
    let insert =
        "INSERT OR REPLACE INTO consents (user_id, client_id, resource, scope, updated_at) VALUES (?, ?, ?, ?, ?)";
    let insert = sqlx::query(insert)
        .bind(consent.user_id.as_str())
        .bind(consent.client_id.as_str())
        .bind(consent.resource.canonical())
        .bind(consent.scope.to_string())
        .bind(consent.updated_at.unix());
    done(insert.execute(connection).await)
}
