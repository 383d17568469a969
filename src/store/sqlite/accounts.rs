//! Accounts in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::Sqlite;
use crate::{
    domain::{
        account::{Consent, PasswordHash, Session, SessionLifetime, User, UserStatus, Username},
        assertion::ReplayId,
        credential::{Digest, SessionToken},
        identifier::{ClientId, UserId},
        resource::ResourceUri,
        scope::Scope,
        time::Timestamp,
    },
    port::store::{AccountStore, Creation, Page, StoreResult},
    store::{
        record::{corrupt, session, text, user, word},
        sql::limit as rows,
    },
};

async fn end_sessions(connection: &mut SqliteConnection, id: &UserId) -> StoreResult<()> {
    sqlx::query("DELETE FROM sessions WHERE user_id = ?").bind(id.as_str()).execute(connection).await?;
    Ok(())
}

async fn end_session(connection: &mut SqliteConnection, digest: &Digest<SessionToken>) -> StoreResult<bool> {
    let end = sqlx::query("DELETE FROM sessions WHERE digest = ?").bind(digest.as_bytes().as_slice());
    Ok(end.execute(connection).await?.rows_affected() == 1)
}

#[async_trait]
impl AccountStore for Sqlite {
    async fn create_user(&self, user: &User) -> StoreResult<Creation> {
        let user = user.clone();
        let create = "INSERT INTO users (id, username, password_hash, status, created_at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let created = sqlx::query(create)
                        .bind(user.id.as_str())
                        .bind(user.username.as_str())
                        .bind(user.password.expose())
                        .bind(word(&user.status)?)
                        .bind(user.created_at.unix())
                        .execute(connection)
                        .await?;
                    Ok(if created.rows_affected() == 1 { Creation::Created } else { Creation::Taken })
                })
            })
            .await
    }

    async fn find_user(&self, id: &UserId) -> StoreResult<Option<User>> {
        let query = sqlx::query("SELECT * FROM users WHERE id = ?").bind(id.as_str());
        let row = query.fetch_optional(&self.readers).await?;
        row.as_ref().map(user).transpose()
    }

    async fn active_user(&self, id: &UserId) -> StoreResult<Option<Username>> {
        Ok(self.find_user(id).await?.and_then(User::name_if_active))
    }

    async fn find_user_by_name(&self, name: &Username) -> StoreResult<Option<User>> {
        let query = sqlx::query("SELECT * FROM users WHERE username = ?").bind(name.as_str());
        let row = query.fetch_optional(&self.readers).await?;
        row.as_ref().map(user).transpose()
    }

    async fn list_users(&self, page: Page<Username>) -> StoreResult<Vec<User>> {
        let after = page.after.as_ref().map_or("", Username::as_str);
        let query = sqlx::query("SELECT * FROM users WHERE username > ? ORDER BY username LIMIT ?");
        let rows = query.bind(after).bind(rows(page.limit)).fetch_all(&self.readers).await?;
        rows.iter().map(user).collect()
    }

    async fn set_password(&self, id: &UserId, password: &PasswordHash) -> StoreResult<bool> {
        let (id, password) = (id.clone(), password.clone());
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let set = sqlx::query("UPDATE users SET password_hash = ? WHERE id = ?");
                    let set = set.bind(password.expose()).bind(id.as_str()).execute(&mut *connection).await?;
                    end_sessions(connection, &id).await?;
                    Ok(set.rows_affected() == 1)
                })
            })
            .await
    }

    async fn set_status(&self, id: &UserId, status: UserStatus) -> StoreResult<bool> {
        let id = id.clone();
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let set = sqlx::query("UPDATE users SET status = ? WHERE id = ?");
                    let set = set.bind(word(&status)?).bind(id.as_str()).execute(&mut *connection).await?;
                    match status {
                        UserStatus::Active => {}
                        UserStatus::Disabled => end_sessions(connection, &id).await?,
                    }
                    Ok(set.rows_affected() == 1)
                })
            })
            .await
    }

    async fn end_sessions(&self, id: &UserId) -> StoreResult<bool> {
        let id = id.clone();
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let known = sqlx::query("SELECT 1 FROM users WHERE id = ?").bind(id.as_str());
                    let known = known.fetch_optional(&mut *connection).await?.is_some();
                    end_sessions(connection, &id).await?;
                    Ok(known)
                })
            })
            .await
    }

    async fn open_session(&self, session: &Session, replaces: Option<&Digest<SessionToken>>) -> StoreResult<bool> {
        let (session, replaces) = (session.clone(), replaces.copied());
        let open = "INSERT INTO sessions (digest, user_id, auth_time, last_seen_at)
            SELECT ?1, id, ?3, ?4 FROM users WHERE id = ?2 AND status = 'active'";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let opened = sqlx::query(open)
                        .bind(session.digest.as_bytes().as_slice())
                        .bind(session.user_id.as_str())
                        .bind(session.auth_time.unix())
                        .bind(session.last_seen_at.unix())
                        .execute(&mut *connection)
                        .await?
                        .rows_affected()
                        == 1;
                    if let Some(old) = replaces.filter(|_| opened) {
                        end_session(connection, &old).await?;
                    }
                    Ok(opened)
                })
            })
            .await
    }

    async fn find_session(&self, digest: &Digest<SessionToken>) -> StoreResult<Option<(Session, User)>> {
        let query = sqlx::query(
            "SELECT s.digest, s.user_id, s.auth_time, s.last_seen_at, u.* FROM sessions s JOIN users u ON u.id = s.user_id
            WHERE s.digest = ?",
        );
        let query = query.bind(digest.as_bytes().as_slice());
        let row = query.fetch_optional(&self.readers).await?;
        row.as_ref().map(|row| Ok((session(row)?, user(row)?))).transpose()
    }

    async fn touch_session(&self, digest: &Digest<SessionToken>, now: Timestamp) -> StoreResult<()> {
        let digest = *digest;
        let touch = "UPDATE sessions SET last_seen_at = ?2 WHERE digest = ?1 AND last_seen_at < ?2";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let touch = sqlx::query(touch).bind(digest.as_bytes().as_slice()).bind(now.unix());
                    touch.execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn close_session(&self, digest: &Digest<SessionToken>) -> StoreResult<bool> {
        let digest = *digest;
        self.writer.run(move |connection| Box::pin(async move { end_session(connection, &digest).await })).await
    }

    async fn consented(&self, user: &UserId, client: &ClientId, resource: &ResourceUri) -> StoreResult<Scope> {
        let query = sqlx::query("SELECT scope FROM consents WHERE user_id = ? AND client_id = ? AND resource = ?");
        let query = query.bind(user.as_str()).bind(client.as_str()).bind(resource.canonical());
        let row = query.fetch_optional(&self.readers).await?;
        let scope: Option<Scope> = row.as_ref().map(|row| text(row, "scope")).transpose()?;
        Ok(scope.unwrap_or_default())
    }

    async fn add_consent(&self, consent: &Consent) -> StoreResult<()> {
        let consent = consent.clone();
        let known = "SELECT scope FROM consents WHERE user_id = ? AND client_id = ? AND resource = ?";
        let add = "INSERT INTO consents (user_id, client_id, resource, scope, updated_at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE
            SET scope = excluded.scope, updated_at = max(updated_at, excluded.updated_at)";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let known: Option<String> = sqlx::query_scalar(known)
                        .bind(consent.user_id.as_str())
                        .bind(consent.client_id.as_str())
                        .bind(consent.resource.canonical())
                        .fetch_optional(&mut *connection)
                        .await?;
                    let known = Scope::parse(&known.unwrap_or_default()).map_err(corrupt)?;
                    sqlx::query(add)
                        .bind(consent.user_id.as_str())
                        .bind(consent.client_id.as_str())
                        .bind(consent.resource.canonical())
                        .bind(known.union(&consent.scope).to_string())
                        .bind(consent.updated_at.unix())
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn forget_consents(&self, user: &UserId, client: Option<&ClientId>) -> StoreResult<u64> {
        let (user, client) = (user.clone(), client.cloned());
        let forget = "DELETE FROM consents WHERE user_id = ?1 AND (?2 IS NULL OR client_id = ?2)";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let forget = sqlx::query(forget).bind(user.as_str()).bind(client.as_ref().map(ClientId::as_str));
                    Ok(forget.execute(connection).await?.rows_affected())
                })
            })
            .await
    }

    async fn forget_consents_of_client(&self, client: &ClientId) -> StoreResult<u64> {
        let client = client.clone();
        let forget = "DELETE FROM consents WHERE client_id = ?";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let forget = sqlx::query(forget).bind(client.as_str());
                    Ok(forget.execute(connection).await?.rows_affected())
                })
            })
            .await
    }

    async fn count_failure(&self, key: &ReplayId, until: Timestamp, now: Timestamp) -> StoreResult<u32> {
        let key = *key;
        let count = "INSERT INTO login_failures (key, failures, window_ends_at) VALUES (?1, 1, ?2)
            ON CONFLICT DO UPDATE SET
                failures = CASE WHEN window_ends_at <= ?3 THEN 1 ELSE min(failures + 1, 4294967295) END,
                window_ends_at = CASE WHEN window_ends_at <= ?3 THEN ?2 ELSE window_ends_at END
            RETURNING failures";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let count = sqlx::query_scalar(count).bind(key.as_bytes().as_slice());
                    Ok(count.bind(until.unix()).bind(now.unix()).fetch_one(connection).await?)
                })
            })
            .await
    }

    async fn failures(&self, key: &ReplayId, now: Timestamp) -> StoreResult<Option<(u32, Timestamp)>> {
        let query =
            sqlx::query_as("SELECT failures, window_ends_at FROM login_failures WHERE key = ? AND window_ends_at > ?");
        let query = query.bind(key.as_bytes().as_slice()).bind(now.unix());
        let row: Option<(u32, i64)> = query.fetch_optional(&self.readers).await?;
        Ok(row.map(|(failures, end)| (failures, Timestamp::from_unix(end))))
    }

    async fn clear_failures(&self, key: &ReplayId) -> StoreResult<()> {
        let key = *key;
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let clear = sqlx::query("DELETE FROM login_failures WHERE key = ?").bind(key.as_bytes().as_slice());
                    clear.execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn purge(&self, lifetime: SessionLifetime, now: Timestamp, limit: u32) -> StoreResult<u64> {
        // The smaller of two ends has passed when either has.
        let sessions = "DELETE FROM sessions WHERE digest IN
            (SELECT digest FROM sessions WHERE last_seen_at <= ? OR auth_time <= ? LIMIT ?)";
        let windows = "DELETE FROM login_failures WHERE key IN
            (SELECT key FROM login_failures WHERE window_ends_at <= ? LIMIT ?)";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let sessions = sqlx::query(sessions)
                        .bind(now.minus(lifetime.idle).unix())
                        .bind(now.minus(lifetime.absolute).unix())
                        .bind(rows(limit))
                        .execute(&mut *connection)
                        .await?;
                    let windows = sqlx::query(windows).bind(now.unix()).bind(rows(limit)).execute(connection).await?;
                    Ok(sessions.rows_affected() + windows.rows_affected())
                })
            })
            .await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping_both().await
    }
}
