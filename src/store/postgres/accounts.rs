//! Accounts in Postgres.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{End, Held, Postgres, look_up::FindUser};
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
    port::store::{AccountStore, Change, Creation, Page, StoreResult},
    store::{
        record::{corrupt, session, text, user, word},
        sql::limit as rows,
    },
};

/// The columns of an account `u` one by one: a prepared `SELECT *` fails for good when a newer version adds a column.
macro_rules! user_columns {
    () => {
        "u.id, u.username, u.password_hash, u.status, u.created_at"
    };
}
pub(super) use user_columns;

/// The owner's row is locked, so that whoever disables them at this moment is waited for, or waits and then ends this session,
/// too.
const OPEN: &str = "WITH owner AS (SELECT id FROM users WHERE id = $2 AND status = 'active' FOR SHARE)
    INSERT INTO sessions (digest, user_id, auth_time, last_seen_at) SELECT $1, id, $3, $4 FROM owner";

async fn open(session: &Session, connection: &mut PgConnection) -> StoreResult<bool> {
    let open = sqlx::query(OPEN)
        .bind(session.digest.as_bytes().as_slice())
        .bind(session.user_id.as_str())
        .bind(session.auth_time.unix())
        .bind(session.last_seen_at.unix());
    Ok(open.execute(connection).await?.rows_affected() == 1)
}

async fn end_session(digest: &Digest<SessionToken>, connection: &mut PgConnection) -> StoreResult<bool> {
    let end = sqlx::query("DELETE FROM sessions WHERE digest = $1").bind(digest.as_bytes().as_slice());
    Ok(end.execute(connection).await?.rows_affected() == 1)
}

impl Postgres {
    /// Changes one column of an account, and ends its sessions if asked to.
    ///
    /// The second statement has a snapshot of its own, and the first one has waited for those who were opening a session: it
    /// sees theirs, and no other can come before this is over.
    async fn set(&self, id: &UserId, set: &'static str, value: String, ends_sessions: bool) -> StoreResult<bool> {
        let id = id.clone();
        self.transaction(move |connection| {
            let (id, value) = (id.clone(), value.clone());
            Box::pin(async move {
                let set = sqlx::query(set).bind(id.as_str()).bind(value).execute(&mut *connection).await?;
                if ends_sessions {
                    let end = sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(id.as_str());
                    end.execute(connection).await?;
                }
                Ok(End::Commit(set.rows_affected() == 1))
            })
        })
        .await
    }
}

#[async_trait]
impl AccountStore for Postgres {
    async fn create_user(&self, user: &User) -> StoreResult<Creation> {
        let create = "INSERT INTO users (id, username, password_hash, status, created_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING";
        let created = self
            .run(async |mut held: Held| {
                let create = sqlx::query(create)
                    .bind(user.id.as_str())
                    .bind(user.username.as_str())
                    .bind(user.password.expose())
                    .bind(word(&user.status)?)
                    .bind(user.created_at.unix());
                Ok(create.execute(&mut *held).await?)
            })
            .await?;
        Ok(if created.rows_affected() == 1 { Creation::Created } else { Creation::Taken })
    }

    async fn find_user(&self, id: &UserId) -> StoreResult<Option<User>> {
        self.ask(FindUser(id.clone())).await
    }

    async fn active_user(&self, id: &UserId) -> StoreResult<Option<Username>> {
        Ok(self.find_user(id).await?.and_then(User::name_if_active))
    }

    async fn find_user_by_name(&self, name: &Username) -> StoreResult<Option<User>> {
        let find = concat!("SELECT ", user_columns!(), " FROM users u WHERE u.username = $1");
        let query = async |mut held: Held| Ok(sqlx::query(find).bind(name.as_str()).fetch_optional(&mut *held).await?);
        self.run(query).await?.as_ref().map(user).transpose()
    }

    async fn list_users(&self, page: Page<Username>) -> StoreResult<Vec<User>> {
        let after = page.after.as_ref().map_or("", Username::as_str);
        let list =
            concat!("SELECT ", user_columns!(), " FROM users u WHERE u.username > $1 ORDER BY u.username LIMIT $2");
        let found = self
            .run(async |mut held: Held| {
                Ok(sqlx::query(list).bind(after).bind(rows(page.limit)).fetch_all(&mut *held).await?)
            })
            .await?;
        found.iter().map(user).collect()
    }

    async fn set_password(&self, id: &UserId, password: &PasswordHash) -> StoreResult<bool> {
        self.set(id, "UPDATE users SET password_hash = $2 WHERE id = $1", password.expose().to_owned(), true).await
    }

    async fn set_status(&self, id: &UserId, status: UserStatus) -> StoreResult<bool> {
        let ends_sessions = match status {
            UserStatus::Active => false,
            UserStatus::Disabled => true,
        };
        let set = self.set(id, "UPDATE users SET status = $2 WHERE id = $1", word(&status)?, ends_sessions).await?;
        if set {
            self.announce(&Change::User(id.clone())).await;
        }
        Ok(set)
    }

    async fn end_sessions(&self, id: &UserId) -> StoreResult<bool> {
        // Changes nothing, and waits for those who are opening a session all the same.
        let touch = "UPDATE users SET status = status WHERE id = $1 AND id = $2";
        self.set(id, touch, id.as_str().to_owned(), true).await
    }

    async fn open_session(&self, session: &Session, replaces: Option<&Digest<SessionToken>>) -> StoreResult<bool> {
        let Some(old) = replaces.copied() else {
            return self.run(async |mut held: Held| open(session, &mut held).await).await;
        };
        let session = session.clone();
        self.transaction(move |connection| {
            let session = session.clone();
            Box::pin(async move {
                let opened = open(&session, connection).await?;
                if opened {
                    end_session(&old, connection).await?;
                }
                Ok(End::Commit(opened))
            })
        })
        .await
    }

    async fn find_session(&self, digest: &Digest<SessionToken>) -> StoreResult<Option<(Session, User)>> {
        let find = concat!(
            "SELECT s.digest, s.user_id, s.auth_time, s.last_seen_at, ",
            user_columns!(),
            " FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.digest = $1"
        );
        let digest = digest.as_bytes().as_slice();
        let query = async |mut held: Held| Ok(sqlx::query(find).bind(digest).fetch_optional(&mut *held).await?);
        self.run(query).await?.as_ref().map(|row| Ok((session(row)?, user(row)?))).transpose()
    }

    async fn touch_session(&self, digest: &Digest<SessionToken>, now: Timestamp) -> StoreResult<()> {
        let touch = "UPDATE sessions SET last_seen_at = $2 WHERE digest = $1 AND last_seen_at < $2";
        self.run(async |mut held: Held| {
            let touch = sqlx::query(touch).bind(digest.as_bytes().as_slice()).bind(now.unix());
            touch.execute(&mut *held).await?;
            Ok(())
        })
        .await
    }

    async fn close_session(&self, digest: &Digest<SessionToken>) -> StoreResult<bool> {
        self.run(async |mut held: Held| end_session(digest, &mut held).await).await
    }

    async fn consented(&self, user: &UserId, client: &ClientId, resource: &ResourceUri) -> StoreResult<Scope> {
        let consented = "SELECT scope FROM consents WHERE user_id = $1 AND client_id = $2 AND resource = $3";
        let row = self
            .run(async |mut held: Held| {
                let query = sqlx::query(consented).bind(user.as_str()).bind(client.as_str()).bind(resource.canonical());
                Ok(query.fetch_optional(&mut *held).await?)
            })
            .await?;
        let scope: Option<Scope> = row.as_ref().map(|row| text(row, "scope")).transpose()?;
        Ok(scope.unwrap_or_default())
    }

    async fn add_consent(&self, consent: &Consent) -> StoreResult<()> {
        // Whoever adds at the same moment is waited for, and what they added is in the row that this one adds to.
        let add = "INSERT INTO consents (user_id, client_id, resource, scope, updated_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (user_id, client_id, resource) DO UPDATE SET
                scope = array_to_string(ARRAY(
                    SELECT DISTINCT unnest(string_to_array(consents.scope, ' ') || string_to_array(excluded.scope, ' '))
                ), ' '),
                updated_at = greatest(consents.updated_at, excluded.updated_at)";
        self.run(async |mut held: Held| {
            let add = sqlx::query(add)
                .bind(consent.user_id.as_str())
                .bind(consent.client_id.as_str())
                .bind(consent.resource.canonical())
                .bind(consent.scope.to_string())
                .bind(consent.updated_at.unix());
            add.execute(&mut *held).await?;
            Ok(())
        })
        .await
    }

    async fn forget_consents(&self, user: &UserId, client: Option<&ClientId>) -> StoreResult<u64> {
        let forget = "DELETE FROM consents WHERE user_id = $1 AND ($2::TEXT IS NULL OR client_id = $2)";
        let forgotten = self
            .run(async |mut held: Held| {
                let forget = sqlx::query(forget).bind(user.as_str()).bind(client.map(ClientId::as_str));
                Ok(forget.execute(&mut *held).await?)
            })
            .await?;
        Ok(forgotten.rows_affected())
    }

    async fn forget_consents_of_client(&self, client: &ClientId) -> StoreResult<u64> {
        let forget = "DELETE FROM consents WHERE client_id = $1";
        let forgotten = self
            .run(async |mut held: Held| Ok(sqlx::query(forget).bind(client.as_str()).execute(&mut *held).await?))
            .await?;
        Ok(forgotten.rows_affected())
    }

    async fn count_failure(&self, key: &ReplayId, until: Timestamp, now: Timestamp) -> StoreResult<u32> {
        let count = "INSERT INTO login_failures AS f (key, failures, window_ends_at) VALUES ($1, 1, $2)
            ON CONFLICT (key) DO UPDATE SET
                failures = CASE WHEN f.window_ends_at <= $3 THEN 1 ELSE least(f.failures + 1, 4294967295) END,
                window_ends_at = CASE WHEN f.window_ends_at <= $3 THEN $2 ELSE f.window_ends_at END
            RETURNING failures";
        let failures: i64 = self
            .run(async |mut held: Held| {
                let count = sqlx::query_scalar(count).bind(key.as_bytes().as_slice());
                Ok(count.bind(until.unix()).bind(now.unix()).fetch_one(&mut *held).await?)
            })
            .await?;
        u32::try_from(failures).map_err(corrupt)
    }

    async fn failures(&self, key: &ReplayId, now: Timestamp) -> StoreResult<Option<(u32, Timestamp)>> {
        let find = "SELECT failures, window_ends_at FROM login_failures WHERE key = $1 AND window_ends_at > $2";
        let row: Option<(i64, i64)> = self
            .run(async |mut held: Held| {
                let query = sqlx::query_as(find).bind(key.as_bytes().as_slice()).bind(now.unix());
                Ok(query.fetch_optional(&mut *held).await?)
            })
            .await?;
        let window = |(failures, end)| Ok((u32::try_from(failures).map_err(corrupt)?, Timestamp::from_unix(end)));
        row.map(window).transpose()
    }

    async fn clear_failures(&self, key: &ReplayId) -> StoreResult<()> {
        self.run(async |mut held: Held| {
            let clear = sqlx::query("DELETE FROM login_failures WHERE key = $1").bind(key.as_bytes().as_slice());
            clear.execute(&mut *held).await?;
            Ok(())
        })
        .await
    }

    async fn purge(&self, lifetime: SessionLifetime, now: Timestamp, limit: u32) -> StoreResult<u64> {
        self.purge_accounts(lifetime, now, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping_server().await
    }
}
