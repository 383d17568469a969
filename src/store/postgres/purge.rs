//! Forgetting what is over. Each kind is a statement of its own, so that no lock is held for long; rows that somebody else has
//! locked (to use them, or to purge them, too) are skipped, so that instances do not wait for each other here.
//!
//! The lock is also what makes it safe: a row that changed since the statement began is looked at again when it is locked, and
//! left alone if it is not over any more.

use super::{End, Held, Postgres};
use crate::{
    domain::{account::SessionLifetime, time::Timestamp},
    port::store::StoreResult,
    store::sql::limit as rows,
};

/// What makes no difference any more at time 1, at most 2 rows of each kind. What hangs off a row goes with it.
const TOKENS: &[&str] = &[
    "WITH over AS (SELECT id FROM single_uses WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
        DELETE FROM single_uses USING over WHERE single_uses.id = over.id",
    "WITH over AS (SELECT token_id FROM revoked_access_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
            FOR UPDATE SKIP LOCKED)
        DELETE FROM revoked_access_tokens USING over WHERE revoked_access_tokens.token_id = over.token_id",
    "WITH over AS (SELECT digest FROM access_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
            FOR UPDATE SKIP LOCKED)
        DELETE FROM access_tokens USING over WHERE access_tokens.digest = over.digest",
    "WITH over AS (SELECT digest FROM refresh_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
            FOR UPDATE SKIP LOCKED)
        DELETE FROM refresh_tokens USING over WHERE refresh_tokens.digest = over.digest",
    // Last, and only when their expired tokens are gone: a grant may have more of them than a statement can take with it. The
    // sum keeps the planner from looking through all that has expired, for each grant anew.
    "WITH over AS (SELECT id FROM grants WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
        DELETE FROM grants USING over WHERE grants.id = over.id
            AND NOT EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = grants.id AND r.expires_at + 0 <= $1)
            AND NOT EXISTS (SELECT 1 FROM access_tokens a WHERE a.grant_id = grants.id AND a.expires_at + 0 <= $1)",
];

/// Codes that nobody redeemed in time, with their grants.
const UNSPENT: &str = "SELECT c.digest, c.grant_id FROM codes c JOIN grants g ON g.id = c.grant_id
    WHERE c.spent_at IS NULL AND c.expires_at <= $1 ORDER BY c.expires_at LIMIT $2 FOR UPDATE OF c, g SKIP LOCKED";

const UNUSED: &str = "DELETE FROM grants WHERE id = ANY($1)
    AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE grant_id = grants.id)
    AND NOT EXISTS (SELECT 1 FROM access_tokens WHERE grant_id = grants.id)";

const SESSIONS: &str = "WITH over AS (SELECT digest FROM sessions WHERE last_seen_at <= $1 OR auth_time <= $2 LIMIT $3
        FOR UPDATE SKIP LOCKED)
    DELETE FROM sessions USING over WHERE sessions.digest = over.digest";

const WINDOWS: &str = "WITH over AS (SELECT key FROM login_failures WHERE window_ends_at <= $1 ORDER BY window_ends_at
        LIMIT $2 FOR UPDATE SKIP LOCKED)
    DELETE FROM login_failures USING over WHERE login_failures.key = over.key";

impl Postgres {
    async fn purge_one(&self, statement: &'static str, now: Timestamp, limit: u32) -> StoreResult<u64> {
        self.run(async |mut held: Held| {
            let purge = sqlx::query(statement).bind(now.unix()).bind(rows(limit));
            Ok(purge.execute(&mut *held).await?.rows_affected())
        })
        .await
    }

    pub(super) async fn purge_tokens(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        let mut purged = 0;
        for statement in TOKENS {
            purged += self.purge_one(statement, now, limit).await?;
        }
        Ok(purged + self.purge_unspent(now, limit).await?)
    }

    /// Whether a grant is in use shows in other tables, of which a statement sees what was there when it began. So the codes
    /// and grants are locked first: nobody can redeem the code or record anything under the grant then, and what was recorded
    /// before is seen by the next statement.
    async fn purge_unspent(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        self.transaction(move |connection| {
            Box::pin(async move {
                let unspent = sqlx::query_as(UNSPENT).bind(now.unix()).bind(rows(limit));
                let unspent: Vec<(Vec<u8>, String)> = unspent.fetch_all(&mut *connection).await?;
                if unspent.is_empty() {
                    return Ok(End::Commit(0));
                }
                let (codes, grants): (Vec<_>, Vec<_>) = unspent.into_iter().unzip();
                let unused = sqlx::query(UNUSED).bind(grants).execute(&mut *connection).await?.rows_affected();
                // What is left belongs to grants that are in use without it.
                let codes = sqlx::query("DELETE FROM codes WHERE digest = ANY($1)").bind(codes);
                let left = codes.execute(connection).await?.rows_affected();
                Ok(End::Commit(unused + left))
            })
        })
        .await
    }

    pub(super) async fn purge_accounts(
        &self,
        lifetime: SessionLifetime,
        now: Timestamp,
        limit: u32,
    ) -> StoreResult<u64> {
        let sessions = self
            .run(async |mut held: Held| {
                // The smaller of two ends has passed when either has.
                let purge = sqlx::query(SESSIONS)
                    .bind(now.minus(lifetime.idle).unix())
                    .bind(now.minus(lifetime.absolute).unix())
                    .bind(rows(limit));
                Ok(purge.execute(&mut *held).await?.rows_affected())
            })
            .await?;
        Ok(sessions + self.purge_one(WINDOWS, now, limit).await?)
    }
}
