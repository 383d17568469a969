//! Moving everything out of SQLite and into it. A part is read in the order of the keys, and a cursor is the last key of it.

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::{QueryBuilder, SqliteConnection, sqlite::SqliteRow};

use super::{Sqlite, clients, family};
use crate::{
    domain::account::{Consent, Session, User},
    port::store::{Archive, Entry, EntryKind, Exported, GrantFamily, StoreResult, Succession},
    store::{
        record::{self, Record, archived, corrupt, grant, to_json, word},
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
    fn cursor(self, row: &SqliteRow) -> StoreResult<String> {
        let text = |column| Ok(row.text(column)?.unwrap_or_default());
        match self {
            Self::Text(column) => text(column),
            Self::Bytes(column) => Ok(URL_SAFE_NO_PAD.encode(row.bytes(column)?.unwrap_or_default())),
            Self::Consent => Ok([text("user_id")?, text("client_id")?, text("resource")?].join("\n")),
        }
    }

    /// Lets only rows behind a cursor through.
    fn push_after(self, query: &mut QueryBuilder<sqlx::Sqlite>, cursor: &str) -> StoreResult<()> {
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
        let Source { table, only, .. } = source(kind);
        let mut query = QueryBuilder::new("SELECT count(*) FROM ");
        query.push(table).push(" WHERE ").push(only);
        let count: i64 = query.build_query_scalar().fetch_one(&self.readers).await?;
        u64::try_from(count).map_err(corrupt)
    }

    async fn export(&self, kind: EntryKind, after: Option<&str>, limit: u32) -> StoreResult<Exported> {
        let Source { table, key, only } = source(kind);
        let columns = if kind == EntryKind::Grant { concat!("g.id, ", grant_columns!()) } else { "*" };
        let mut query = QueryBuilder::new("SELECT ");
        query.push(columns).push(" FROM ").push(table).push(" AS g WHERE ").push(only);
        if let Some(cursor) = after {
            key.push_after(&mut query, cursor)?;
        }
        query.push(" ORDER BY ").push(key.columns()).push(" LIMIT ").push_bind(rows(limit));
        let page = query.build().fetch_all(&self.readers).await?;
        let entries = if kind == EntryKind::Grant {
            self.families(&page).await?
        } else {
            page.iter().map(|row| archived(kind, row)).collect::<StoreResult<_>>()?
        };
        let more = page.len() >= limit as usize;
        let next = page.last().filter(|_| more).map(|row| key.cursor(row)).transpose()?;
        Ok(Exported { entries, next })
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
