//! Grants in SQLite, and what hangs off them. Each mutation is a guarded statement whose row count decides; only when it
//! changed nothing is it asked why.

use async_trait::async_trait;
use sqlx::{QueryBuilder, SqliteConnection, sqlite::SqliteRow};

use super::{
    Sqlite,
    family::{insert_access, insert_code, insert_grant, insert_refresh},
};
use crate::{
    domain::{
        access::{AccessToken, OpaqueRecord, Standing},
        assertion::SingleUse,
        code::{CodeRecord, NewCode, VerifiedCode},
        credential::{AuthorizationCode, Digest, OpaqueAccessToken, RefreshToken},
        grant::{Grant, Revocation, RevocationReason},
        identifier::{ClientId, GrantId, TokenId},
        refresh::{RefreshRecord, VerifiedRefresh},
        time::Timestamp,
    },
    port::store::{GrantFilter, Issue, Owner, Page, Recording, Redemption, Rotation, StoreResult, TokenStore, Use},
    store::{
        record::{Record, access, code, grant, refresh, word},
        sql::{grant_columns, limit as rows},
    },
};

fn standing(good: bool) -> Standing {
    if good { Standing::Good } else { Standing::Revoked }
}

/// The grant lives at least until `end`.
async fn extend(connection: &mut SqliteConnection, grant_id: &str, end: Timestamp) -> StoreResult<()> {
    let extend = sqlx::query("UPDATE grants SET expires_at = ?2 WHERE id = ?1 AND expires_at < ?2");
    extend.bind(grant_id).bind(end.unix()).execute(connection).await?;
    Ok(())
}

async fn record(connection: &mut SqliteConnection, issue: &Issue, grant_id: &str) -> StoreResult<()> {
    if let Some(refresh) = &issue.refresh {
        insert_refresh(connection, refresh, grant_id).await?;
    }
    if let Some(access) = &issue.access {
        insert_access(connection, access).await?;
    }
    if let Some(end) = issue.grant_expires_at {
        extend(connection, grant_id, end).await?;
    }
    Ok(())
}

#[async_trait]
impl TokenStore for Sqlite {
    async fn open_grant(&self, grant: &Grant, code: &NewCode) -> StoreResult<()> {
        let (grant, code) = (grant.clone(), code.clone());
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    insert_grant(connection, &grant).await?;
                    insert_code(connection, &code, grant.id.as_str(), None).await
                })
            })
            .await
    }

    async fn find_code(&self, digest: &Digest<AuthorizationCode>) -> StoreResult<Option<CodeRecord>> {
        let find = concat!(
            "SELECT c.digest, c.redirect_uri, c.challenge, c.expires_at, c.spent_at, ",
            grant_columns!(),
            " FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.digest = ?"
        );
        let query = sqlx::query(find).bind(digest.as_bytes().as_slice());
        let row = query.fetch_optional(&self.readers).await?;
        row.as_ref().map(code).transpose()
    }

    async fn redeem(&self, code: &VerifiedCode<'_>, issue: &Issue, now: Timestamp) -> StoreResult<Redemption> {
        let (digest, issue) = (*code.digest(), issue.clone());
        let spend = "UPDATE codes SET spent_at = ?2 WHERE digest = ?1 AND spent_at IS NULL
                AND EXISTS (SELECT 1 FROM grants g WHERE g.id = grant_id AND g.revoked_at IS NULL)
            RETURNING grant_id";
        let spent = "SELECT spent_at IS NOT NULL FROM codes WHERE digest = ?";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let digest = digest.as_bytes().as_slice();
                    let spend = sqlx::query_scalar(spend).bind(digest).bind(now.unix());
                    let grant_id: Option<String> = spend.fetch_optional(&mut *connection).await?;
                    if let Some(grant_id) = grant_id {
                        record(connection, &issue, &grant_id).await?;
                        return Ok(Redemption::Redeemed);
                    }
                    let spent = sqlx::query_scalar(spent).bind(digest).fetch_optional(connection).await?;
                    // A code that was purged since it was found is as good as one whose grant ended.
                    Ok(if spent.unwrap_or(false) { Redemption::AlreadyRedeemed } else { Redemption::GrantRevoked })
                })
            })
            .await
    }

    async fn find_refresh(&self, digest: &Digest<RefreshToken>) -> StoreResult<Option<RefreshRecord>> {
        let find = concat!(
            "SELECT r.digest, r.issued_at, r.expires_at, r.rotated_at, r.sealed_successor,
                s.rotated_at IS NOT NULL AS successor_used, ",
            grant_columns!(),
            " FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id
                LEFT JOIN refresh_tokens s ON s.digest = r.successor
            WHERE r.digest = ?"
        );
        let query = sqlx::query(find).bind(digest.as_bytes().as_slice());
        let row = query.fetch_optional(&self.readers).await?;
        row.as_ref().map(refresh).transpose()
    }

    async fn rotate(
        &self,
        refresh: &VerifiedRefresh<'_>,
        sealed_successor: &[u8],
        issue: &Issue,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        let (digest, sealed, issue) = (*refresh.digest(), sealed_successor.to_vec(), issue.clone());
        let rotate = "UPDATE refresh_tokens SET rotated_at = ?2, sealed_successor = ?3, successor = ?4
            WHERE digest = ?1 AND rotated_at IS NULL
                AND EXISTS (SELECT 1 FROM grants g WHERE g.id = grant_id AND g.revoked_at IS NULL)
            RETURNING grant_id";
        let active = "SELECT g.revoked_at IS NULL FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id
            WHERE r.digest = ?";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let digest = digest.as_bytes().as_slice();
                    let rotate = sqlx::query_scalar(rotate)
                        .bind(digest)
                        .bind(now.unix())
                        .bind(sealed)
                        .bind(issue.refresh.as_ref().map(|next| next.digest.as_bytes().as_slice()));
                    let grant_id: Option<String> = rotate.fetch_optional(&mut *connection).await?;
                    if let Some(grant_id) = grant_id {
                        record(connection, &issue, &grant_id).await?;
                        return Ok(Rotation::Rotated);
                    }
                    let active = sqlx::query_scalar(active).bind(digest).fetch_optional(connection).await?;
                    Ok(if active.unwrap_or(false) { Rotation::AlreadyRotated } else { Rotation::GrantRevoked })
                })
            })
            .await
    }

    async fn record_access(&self, access: &OpaqueRecord) -> StoreResult<Recording> {
        let access = access.clone();
        let active = "SELECT EXISTS (SELECT 1 FROM grants WHERE id = ? AND revoked_at IS NULL)";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    if let Some(grant_id) = access.token.grant_id() {
                        let active = sqlx::query_scalar(active).bind(grant_id.as_str());
                        if !active.fetch_one(&mut *connection).await? {
                            return Ok(Recording::GrantRevoked);
                        }
                        extend(connection, grant_id.as_str(), access.token.expires_at).await?;
                    }
                    insert_access(connection, &access).await?;
                    Ok(Recording::Recorded)
                })
            })
            .await
    }

    async fn find_access(&self, digest: &Digest<OpaqueAccessToken>) -> StoreResult<Option<(AccessToken, Standing)>> {
        let find = "SELECT a.*, (a.grant_id IS NULL OR (g.id IS NOT NULL AND g.revoked_at IS NULL))
                AND v.token_id IS NULL AS good
            FROM access_tokens a LEFT JOIN grants g ON g.id = a.grant_id
                LEFT JOIN revoked_access_tokens v ON v.token_id = a.token_id
            WHERE a.digest = ?";
        let query = sqlx::query(find).bind(digest.as_bytes().as_slice());
        let row = query.fetch_optional(&self.readers).await?;
        let found = |row: &SqliteRow| Ok((access(row)?, standing(row.flag("good")?)));
        row.as_ref().map(found).transpose()
    }

    async fn standing(&self, id: &TokenId, grant: Option<&GrantId>) -> StoreResult<Standing> {
        let query = sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT 1 FROM revoked_access_tokens WHERE token_id = ?1)
                AND (?2 IS NULL OR EXISTS (SELECT 1 FROM grants WHERE id = ?2 AND revoked_at IS NULL))",
        );
        let query = query.bind(id.as_str()).bind(grant.map(GrantId::as_str));
        Ok(standing(query.fetch_one(&self.readers).await?))
    }

    async fn revoke_access(&self, id: &TokenId, expires_at: Timestamp) -> StoreResult<()> {
        let id = id.clone();
        let revoke = "INSERT INTO revoked_access_tokens (token_id, expires_at) VALUES (?, ?)
            ON CONFLICT DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    sqlx::query(revoke).bind(id.as_str()).bind(expires_at.unix()).execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn revoke_grant(&self, id: &GrantId, revocation: Revocation) -> StoreResult<bool> {
        let id = id.clone();
        let revoke = "UPDATE grants SET revoked_at = ?, revocation_reason = ? WHERE id = ? AND revoked_at IS NULL";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let revoke = sqlx::query(revoke).bind(revocation.at.unix()).bind(word(&revocation.reason)?);
                    Ok(revoke.bind(id.as_str()).execute(connection).await?.rows_affected() == 1)
                })
            })
            .await
    }

    async fn revoke_grants_of(&self, owner: &Owner, reason: RevocationReason, now: Timestamp) -> StoreResult<u64> {
        let (revoke, name) = match owner {
            Owner::Client(client) => (
                "UPDATE grants SET revoked_at = ?, revocation_reason = ? WHERE client_id = ? AND revoked_at IS NULL",
                client.as_str().to_owned(),
            ),
            Owner::User(user) => (
                "UPDATE grants SET revoked_at = ?, revocation_reason = ? WHERE user_id = ? AND revoked_at IS NULL",
                user.as_str().to_owned(),
            ),
        };
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let revoke = sqlx::query(revoke).bind(now.unix()).bind(word(&reason)?).bind(name);
                    Ok(revoke.execute(connection).await?.rows_affected())
                })
            })
            .await
    }

    async fn find_grant(&self, id: &GrantId) -> StoreResult<Option<Grant>> {
        let query = sqlx::query(concat!("SELECT ", grant_columns!(), " FROM grants g WHERE g.id = ?"));
        let row = query.bind(id.as_str()).fetch_optional(&self.readers).await?;
        row.as_ref().map(grant).transpose()
    }

    async fn list_grants(&self, filter: &GrantFilter, page: Page<GrantId>) -> StoreResult<Vec<Grant>> {
        let start = concat!("SELECT ", grant_columns!(), " FROM grants g WHERE g.id > ");
        let mut query = QueryBuilder::new(start);
        query.push_bind(page.after.as_ref().map_or("", GrantId::as_str));
        if let Some(client) = &filter.client {
            query.push(" AND g.client_id = ").push_bind(client.as_str());
        }
        if let Some(user) = &filter.user {
            query.push(" AND g.user_id = ").push_bind(user.as_str());
        }
        if let Some(now) = filter.live_at {
            query.push(" AND g.revoked_at IS NULL AND g.expires_at > ").push_bind(now.unix());
        }
        query.push(" ORDER BY g.id LIMIT ").push_bind(rows(page.limit));
        let found = query.build().fetch_all(&self.readers).await?;
        found.iter().map(grant).collect()
    }

    async fn has_live_grant(&self, client: &ClientId, now: Timestamp) -> StoreResult<bool> {
        let query = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM grants WHERE client_id = ? AND revoked_at IS NULL AND expires_at > ?)",
        );
        Ok(query.bind(client.as_str()).bind(now.unix()).fetch_one(&self.readers).await?)
    }

    async fn use_once(&self, single: SingleUse, now: Timestamp) -> StoreResult<Use> {
        let note = "INSERT INTO single_uses (id, expires_at) VALUES (?1, ?2)
            ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at WHERE expires_at <= ?3";
        self.writer
            .run(move |connection| {
                Box::pin(async move {
                    let note = sqlx::query(note).bind(single.id.as_bytes().as_slice()).bind(single.until.unix());
                    let noted = note.bind(now.unix()).execute(connection).await?.rows_affected();
                    Ok(if noted == 1 { Use::First } else { Use::Again })
                })
            })
            .await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        // Each kind is a step of its own, so that others may write in between.
        let mut purged = 0;
        for kind in PURGES {
            purged += self
                .writer
                .run(move |connection| {
                    Box::pin(async move {
                        let mut purged = 0;
                        for statement in *kind {
                            let purge = sqlx::query(*statement).bind(now.unix()).bind(rows(limit));
                            purged += purge.execute(&mut *connection).await?.rows_affected();
                        }
                        Ok(purged)
                    })
                })
                .await?;
        }
        Ok(purged)
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping_both().await
    }
}

/// What makes no difference any more at time 1, at most 2 rows of each kind. What hangs off a grant goes with it.
const PURGES: &[&[&str]] = &[
    &["DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE expires_at <= ?1 LIMIT ?2)"],
    &["DELETE FROM single_uses WHERE id IN (SELECT id FROM single_uses WHERE expires_at <= ?1 LIMIT ?2)"],
    &["DELETE FROM revoked_access_tokens WHERE token_id IN
        (SELECT token_id FROM revoked_access_tokens WHERE expires_at <= ?1 LIMIT ?2)"],
    &["DELETE FROM access_tokens WHERE digest IN (SELECT digest FROM access_tokens WHERE expires_at <= ?1 LIMIT ?2)"],
    &["DELETE FROM refresh_tokens WHERE digest IN
        (SELECT digest FROM refresh_tokens WHERE expires_at <= ?1 LIMIT ?2)"],
    &[
        "DELETE FROM grants WHERE id IN
            (SELECT grant_id FROM codes WHERE spent_at IS NULL AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
            AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE grant_id = grants.id)
            AND NOT EXISTS (SELECT 1 FROM access_tokens WHERE grant_id = grants.id)",
        // What is left belongs to grants that are in use without it.
        "DELETE FROM codes WHERE digest IN
            (SELECT c.digest FROM codes c WHERE c.spent_at IS NULL AND c.expires_at <= ?1
                AND (EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = c.grant_id)
                    OR EXISTS (SELECT 1 FROM access_tokens a WHERE a.grant_id = c.grant_id))
            LIMIT ?2)",
    ],
];
