//! Grants in Postgres, and what hangs off them. Each mutation is one statement that first locks the grant; only when it changed
//! nothing is it asked why, in a second statement that sees what is committed by then.
//!
//! Every statement that records something under a grant locks that grant's row `FOR NO KEY UPDATE`. So those for one grant
//! happen one after the other, and whoever had to wait looks at the newest version of the row: a grant that was revoked
//! meanwhile, or purged, records nothing. A revocation that had to wait comes after what was recorded, which is dead then,
//! because the standing of a token is the standing of its grant. Locks are always taken from the grant downwards (grant, code
//! or refresh token, rotation), and a purge, which also comes from below, waits for nobody: there is no circle to wait in.

use async_trait::async_trait;
use sqlx::{
    QueryBuilder,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use super::{
    Held, Postgres,
    family::{Count, RECORD_ACCESS_ALONE, grant_insertion, insert_access, insert_grant, with_access},
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

/// What follows a statement `spent` that spent the credential of a grant: records an [`Issue`], parameters 1 to 10 and 14 to
/// 17, and says whether it was spent.
macro_rules! record_issue {
    () => {
        concat!(
            "next AS (INSERT INTO refresh_tokens (digest, grant_id, issued_at, expires_at)
                SELECT $14, grant_id, $15, $16 FROM spent WHERE $14 IS NOT NULL),
            access AS (",
            insert_access!("spent"),
            "),
            extended AS (UPDATE grants SET expires_at = $17 FROM spent
                WHERE grants.id = spent.grant_id AND grants.expires_at < $17)
            SELECT count(*) FROM spent"
        )
    };
}

/// The code's own row is looked at last: of two redemptions the second waits for the grant, and then for the newest version of
/// the code, which is spent.
const REDEEM: &str = concat!(
    "WITH active AS (SELECT id FROM grants WHERE id = $12 AND revoked_at IS NULL FOR NO KEY UPDATE),
    spent AS (UPDATE codes SET spent_at = $13 FROM active
        WHERE codes.digest = $11 AND codes.grant_id = active.id AND codes.spent_at IS NULL RETURNING codes.grant_id), ",
    record_issue!()
);

/// Of two rotations the second waits for the grant, and then finds the row of the first in its way. The parent is locked so
/// that it is not purged at this moment, or is seen to be gone.
const ROTATE: &str = concat!(
    "WITH active AS (SELECT id FROM grants WHERE id = $12 AND revoked_at IS NULL FOR NO KEY UPDATE),
    parent AS (SELECT r.digest FROM active JOIN refresh_tokens r ON r.digest = $11 AND r.grant_id = active.id
        FOR KEY SHARE OF r),
    rotated AS (INSERT INTO rotations (parent, rotated_at, sealed_successor, successor)
        SELECT digest, $13, $18, $14 FROM parent ON CONFLICT (parent) DO NOTHING RETURNING parent),
    spent AS (SELECT $12 AS grant_id FROM rotated), ",
    record_issue!()
);

const RECORD_ACCESS: &str = concat!(
    "WITH active AS (SELECT id FROM grants WHERE id = $4 AND revoked_at IS NULL FOR NO KEY UPDATE),
    recorded AS (",
    insert_access!("active"),
    " RETURNING 1),
    extended AS (UPDATE grants SET expires_at = $10 FROM active
        WHERE grants.id = active.id AND grants.expires_at < $10)
    SELECT count(*) FROM recorded"
);

/// Revokes at most 4 grants of an owner. In batches, because an owner of very many must not be one whom no time is enough to
/// revoke; in their order, so that two who do this to the same grants do not wait for each other.
macro_rules! revoke_batch {
    ($owner:literal) => {
        concat!(
            "WITH active AS (SELECT id FROM grants WHERE ",
            $owner,
            " = $1 AND revoked_at IS NULL ORDER BY id LIMIT $4 FOR NO KEY UPDATE)
            UPDATE grants SET revoked_at = $2, revocation_reason = $3 FROM active WHERE grants.id = active.id"
        )
    };
}

/// How many grants of an owner are revoked by one statement.
const BATCH: u32 = 10_000;

fn standing(good: bool) -> Standing {
    if good { Standing::Good } else { Standing::Revoked }
}

/// Parameters 1 to 17, of which 11 to 13 say what is spent: the digest, the grant and the time.
fn spending<'q>(
    statement: &'static str,
    digest: &'q [u8],
    grant: &'q GrantId,
    issue: &'q Issue,
    now: Timestamp,
) -> Count<'q> {
    let next = issue.refresh.as_ref();
    with_access(statement, issue.access.as_ref())
        .bind(digest)
        .bind(grant.as_str())
        .bind(now.unix())
        .bind(next.map(|next| next.digest.as_bytes().as_slice()))
        .bind(next.map(|next| next.issued_at.unix()))
        .bind(next.map(|next| next.expires_at.unix()))
        .bind(issue.grant_expires_at.map(Timestamp::unix))
}

impl Postgres {
    async fn find_row<'q>(
        &self,
        query: impl Fn() -> Query<'q, sqlx::Postgres, PgArguments> + Send + Sync,
    ) -> StoreResult<Option<PgRow>> {
        self.run(async |mut held: Held| Ok(query().fetch_optional(&mut *held).await?)).await
    }
}

#[async_trait]
impl TokenStore for Postgres {
    async fn open_grant(&self, grant: &Grant, code: &NewCode) -> StoreResult<()> {
        let open = concat!(
            "WITH opened AS (",
            insert_grant!(),
            " RETURNING id)
            INSERT INTO codes (digest, grant_id, redirect_uri, challenge, expires_at)
            SELECT $11, id, $12, $13, $14 FROM opened"
        );
        self.run(async |mut held: Held| {
            let open = grant_insertion(open, grant)?
                .bind(code.digest.as_bytes().as_slice())
                .bind(code.redirect.uri().as_str())
                .bind(code.challenge.as_bytes().as_slice())
                .bind(code.expires_at.unix());
            open.execute(&mut *held).await?;
            Ok(())
        })
        .await
    }

    async fn find_code(&self, digest: &Digest<AuthorizationCode>) -> StoreResult<Option<CodeRecord>> {
        let find = concat!(
            "SELECT c.digest, c.redirect_uri, c.challenge, c.expires_at, c.spent_at, ",
            grant_columns!(),
            " FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.digest = $1"
        );
        let row = self.find_row(|| sqlx::query(find).bind(digest.as_bytes().as_slice())).await?;
        row.as_ref().map(code).transpose()
    }

    async fn redeem(&self, code: &VerifiedCode<'_>, issue: &Issue, now: Timestamp) -> StoreResult<Redemption> {
        let (digest, grant) = (code.digest().as_bytes().as_slice(), &code.grant().id);
        let spent = "SELECT spent_at IS NOT NULL FROM codes WHERE digest = $1";
        self.run(async |mut held: Held| {
            if spending(REDEEM, digest, grant, issue, now).fetch_one(&mut *held).await? == 1 {
                return Ok(Redemption::Redeemed);
            }
            let spent: Option<bool> = sqlx::query_scalar(spent).bind(digest).fetch_optional(&mut *held).await?;
            // A code that was purged since it was found is as good as one whose grant ended.
            Ok(if spent.unwrap_or(false) { Redemption::AlreadyRedeemed } else { Redemption::GrantRevoked })
        })
        .await
    }

    async fn find_refresh(&self, digest: &Digest<RefreshToken>) -> StoreResult<Option<RefreshRecord>> {
        let find = concat!(
            "SELECT r.digest, r.issued_at, r.expires_at, p.rotated_at, p.sealed_successor,
                s.parent IS NOT NULL AS successor_used, ",
            grant_columns!(),
            " FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id
                LEFT JOIN rotations p ON p.parent = r.digest LEFT JOIN rotations s ON s.parent = p.successor
            WHERE r.digest = $1"
        );
        let row = self.find_row(|| sqlx::query(find).bind(digest.as_bytes().as_slice())).await?;
        row.as_ref().map(refresh).transpose()
    }

    async fn rotate(
        &self,
        refresh: &VerifiedRefresh<'_>,
        sealed_successor: &[u8],
        issue: &Issue,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        let (digest, grant) = (refresh.digest().as_bytes().as_slice(), &refresh.grant().id);
        let active = "SELECT g.revoked_at IS NULL FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id
            WHERE r.digest = $1";
        self.run(async |mut held: Held| {
            let rotate = spending(ROTATE, digest, grant, issue, now).bind(sealed_successor);
            if rotate.fetch_one(&mut *held).await? == 1 {
                return Ok(Rotation::Rotated);
            }
            let active: Option<bool> = sqlx::query_scalar(active).bind(digest).fetch_optional(&mut *held).await?;
            Ok(if active.unwrap_or(false) { Rotation::AlreadyRotated } else { Rotation::GrantRevoked })
        })
        .await
    }

    async fn record_access(&self, access: &OpaqueRecord) -> StoreResult<Recording> {
        let record = if access.token.grant_id().is_some() { RECORD_ACCESS } else { RECORD_ACCESS_ALONE };
        let recorded =
            self.run(async |mut held: Held| Ok(with_access(record, Some(access)).fetch_one(&mut *held).await?)).await?;
        Ok(if recorded == 1 { Recording::Recorded } else { Recording::GrantRevoked })
    }

    async fn find_access(&self, digest: &Digest<OpaqueAccessToken>) -> StoreResult<Option<(AccessToken, Standing)>> {
        let find =
            "SELECT a.token_id, a.client_id, a.grant_id, a.user_id, a.auth_time, a.scope, a.audience, a.issued_at,
                a.expires_at, (a.grant_id IS NULL OR (g.id IS NOT NULL AND g.revoked_at IS NULL))
                    AND v.token_id IS NULL AS good
            FROM access_tokens a LEFT JOIN grants g ON g.id = a.grant_id
                LEFT JOIN revoked_access_tokens v ON v.token_id = a.token_id
            WHERE a.digest = $1";
        let row = self.find_row(|| sqlx::query(find).bind(digest.as_bytes().as_slice())).await?;
        let found = |row: &PgRow| Ok((access(row)?, standing(row.flag("good")?)));
        row.as_ref().map(found).transpose()
    }

    async fn standing(&self, id: &TokenId, grant: Option<&GrantId>) -> StoreResult<Standing> {
        let good = "SELECT NOT EXISTS (SELECT 1 FROM revoked_access_tokens WHERE token_id = $1)
            AND ($2::TEXT IS NULL OR EXISTS (SELECT 1 FROM grants WHERE id = $2 AND revoked_at IS NULL))";
        let good = self
            .run(async |mut held: Held| {
                let query = sqlx::query_scalar(good).bind(id.as_str()).bind(grant.map(GrantId::as_str));
                Ok(query.fetch_one(&mut *held).await?)
            })
            .await?;
        Ok(standing(good))
    }

    async fn revoke_access(&self, id: &TokenId, expires_at: Timestamp) -> StoreResult<()> {
        let revoke = "INSERT INTO revoked_access_tokens AS v (token_id, expires_at) VALUES ($1, $2)
            ON CONFLICT (token_id) DO UPDATE SET expires_at = greatest(v.expires_at, excluded.expires_at)";
        self.run(async |mut held: Held| {
            sqlx::query(revoke).bind(id.as_str()).bind(expires_at.unix()).execute(&mut *held).await?;
            Ok(())
        })
        .await
    }

    async fn revoke_grant(&self, id: &GrantId, revocation: Revocation) -> StoreResult<bool> {
        let revoke = "UPDATE grants SET revoked_at = $2, revocation_reason = $3 WHERE id = $1 AND revoked_at IS NULL";
        let reason = &word(&revocation.reason)?;
        let revoked = self
            .run(async |mut held: Held| {
                let revoke = sqlx::query(revoke).bind(id.as_str()).bind(revocation.at.unix()).bind(reason);
                Ok(revoke.execute(&mut *held).await?)
            })
            .await?;
        Ok(revoked.rows_affected() == 1)
    }

    async fn revoke_grants_of(&self, owner: &Owner, reason: RevocationReason, now: Timestamp) -> StoreResult<u64> {
        let (revoke, owner) = match owner {
            Owner::Client(client) => (revoke_batch!("client_id"), client.as_str()),
            Owner::User(user) => (revoke_batch!("user_id"), user.as_str()),
        };
        let reason = &word(&reason)?;
        let mut revoked = 0;
        loop {
            let batch = self
                .run(async |mut held: Held| {
                    let revoke = sqlx::query(revoke).bind(owner).bind(now.unix()).bind(reason).bind(rows(BATCH));
                    Ok(revoke.execute(&mut *held).await?.rows_affected())
                })
                .await?;
            revoked += batch;
            if batch < u64::from(BATCH) {
                return Ok(revoked);
            }
        }
    }

    async fn find_grant(&self, id: &GrantId) -> StoreResult<Option<Grant>> {
        let find = concat!("SELECT ", grant_columns!(), " FROM grants g WHERE g.id = $1");
        let row = self.find_row(|| sqlx::query(find).bind(id.as_str())).await?;
        row.as_ref().map(grant).transpose()
    }

    async fn list_grants(&self, filter: &GrantFilter, page: Page<GrantId>) -> StoreResult<Vec<Grant>> {
        let start = concat!("SELECT ", grant_columns!(), " FROM grants g WHERE g.id > ");
        let found = self
            .run(async |mut held: Held| {
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
                Ok(query.build().fetch_all(&mut *held).await?)
            })
            .await?;
        found.iter().map(grant).collect()
    }

    async fn has_live_grant(&self, client: &ClientId, now: Timestamp) -> StoreResult<bool> {
        let live =
            "SELECT EXISTS (SELECT 1 FROM grants WHERE client_id = $1 AND revoked_at IS NULL AND expires_at > $2)";
        self.run(async |mut held: Held| {
            let query = sqlx::query_scalar(live).bind(client.as_str()).bind(now.unix());
            Ok(query.fetch_one(&mut *held).await?)
        })
        .await
    }

    async fn use_once(&self, single: SingleUse, now: Timestamp) -> StoreResult<Use> {
        let note = "INSERT INTO single_uses AS u (id, expires_at) VALUES ($1, $2)
            ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at WHERE u.expires_at <= $3";
        let noted = self
            .run(async |mut held: Held| {
                let note = sqlx::query(note).bind(single.id.as_bytes().as_slice()).bind(single.until.unix());
                Ok(note.bind(now.unix()).execute(&mut *held).await?)
            })
            .await?;
        Ok(if noted.rows_affected() == 1 { Use::First } else { Use::Again })
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        self.purge_tokens(now, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping_server().await
    }
}
