//! Grants in Postgres, and what hangs off them. Each mutation is one statement that first locks the grant; only when it changed
//! nothing is it asked why, in a second statement that sees what is committed by then.
//!
//! Every statement that records something under a grant locks that grant's row `FOR NO KEY UPDATE`. So those for one grant
//! happen one after the other, and whoever had to wait looks at the newest version of the row: a grant that was revoked
//! meanwhile, or purged, records nothing. A revocation that had to wait comes after what was recorded, which is dead then,
//! because the standing of a token is the standing of its grant. Locks are always taken from the grant downwards (grant, code
//! or refresh token, rotation), and a purge, which also comes from below, waits for nobody: there is no circle to wait in.

use async_trait::async_trait;
use sqlx::QueryBuilder;

use super::{
    Held, Postgres,
    family::{RecordAccess, grant_insertion, insert_access, insert_grant, with_access},
    look_up::{FindAccess, FindCode, FindRefresh, FindStanding},
    spend::{Redeem, Rotate},
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
        record::{corrupt, grant, word},
        sql::{grant_columns, limit as rows},
    },
};

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
        self.ask(FindCode(*digest)).await
    }

    async fn redeem(&self, code: &VerifiedCode<'_>, issue: &Issue, now: Timestamp) -> StoreResult<Redemption> {
        self.ask(Redeem::new(code, issue, now)).await
    }

    async fn find_refresh(&self, digest: &Digest<RefreshToken>) -> StoreResult<Option<RefreshRecord>> {
        self.ask(FindRefresh(*digest)).await
    }

    async fn rotate(
        &self,
        refresh: &VerifiedRefresh<'_>,
        sealed_successor: &[u8],
        issue: &Issue,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        self.ask(Rotate::new(refresh, sealed_successor, issue, now)).await
    }

    async fn record_access(&self, access: &OpaqueRecord) -> StoreResult<Recording> {
        if access.token.grant_id().is_none() {
            return self.ask(RecordAccess(access.clone())).await;
        }
        let recorded = self
            .run(async |mut held: Held| Ok(with_access(RECORD_ACCESS, Some(access)).fetch_one(&mut *held).await?))
            .await?;
        Ok(if recorded == 1 { Recording::Recorded } else { Recording::GrantRevoked })
    }

    async fn find_access(&self, digest: &Digest<OpaqueAccessToken>) -> StoreResult<Option<(AccessToken, Standing)>> {
        self.ask(FindAccess(*digest)).await
    }

    async fn standing(&self, id: &TokenId, grant: Option<&GrantId>) -> StoreResult<Standing> {
        let standing = self.ask(FindStanding { id: id.clone(), grant: grant.cloned() }).await?;
        standing.ok_or_else(|| corrupt("a token has no standing"))
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
        let query = async |mut held: Held| Ok(sqlx::query(find).bind(id.as_str()).fetch_optional(&mut *held).await?);
        let row = self.run(query).await?;
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
        // The sum keeps the planner from looking through all grants that have not expired.
        let live =
            "SELECT EXISTS (SELECT 1 FROM grants WHERE client_id = $1 AND revoked_at IS NULL AND expires_at + 0 > $2)";
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
