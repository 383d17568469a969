//! What spends a credential of a grant, a code or a refresh token, and records what is issued for it: in one statement.
//!
//! Each is spelled twice: for one call, which waits for its grant and for those who have it, and for several, which leaves out
//! grants that somebody else has at this moment.

use sqlx::Row;

use super::{
    Held, Postgres,
    batch::{Batched, column},
    family::{Count, insert_access, with_access},
    line::Batches,
};
use crate::{
    domain::{
        access::{AccessToken, Subject},
        code::VerifiedCode,
        grant::Grant,
        identifier::GrantId,
        refresh::{NewRefresh, VerifiedRefresh},
        time::Timestamp,
    },
    port::store::{Issue, Redemption, Rotation, StoreError, StoreResult},
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

/// For several calls, each about another grant, whose members are columns: takes the grants that are active and that nobody has.
macro_rules! for_several {
    ($spend:literal) => {
        concat!(
            "WITH asked AS (SELECT * FROM unnest($1::BYTEA[], $2::TEXT[], $3::BIGINT[], $4::BYTEA[], $5::BIGINT[],
                    $6::BIGINT[], $7::BIGINT[], $8::BYTEA[], $9::TEXT[], $10::TEXT[], $11::TEXT[], $12::BIGINT[],
                    $13::TEXT[], $14::TEXT[], $15::BIGINT[], $16::BIGINT[], $17::BYTEA[])
                AS asked (digest, grant_id, now, next, next_issued_at, next_expires_at, grant_expires_at, access,
                    token_id, client_id, user_id, auth_time, scope, audience, issued_at, expires_at, sealed_successor)),
            active AS (SELECT asked.* FROM asked JOIN grants g ON g.id = asked.grant_id
                WHERE g.revoked_at IS NULL FOR NO KEY UPDATE OF g SKIP LOCKED), ",
            $spend,
            "next AS (INSERT INTO refresh_tokens (digest, grant_id, issued_at, expires_at)
                SELECT next, grant_id, next_issued_at, next_expires_at FROM spent WHERE next IS NOT NULL),
            access AS (INSERT INTO access_tokens (digest, token_id, client_id, grant_id, user_id, auth_time, scope, audience,
                    issued_at, expires_at)
                SELECT access, token_id, client_id, grant_id, user_id, auth_time, scope, audience, issued_at, expires_at
                FROM spent WHERE access IS NOT NULL),
            extended AS (UPDATE grants SET expires_at = spent.grant_expires_at FROM spent
                WHERE grants.id = spent.grant_id AND grants.expires_at < spent.grant_expires_at)
            SELECT digest FROM spent"
        )
    };
}

const REDEEM_SEVERAL: &str = for_several!(
    "spent AS (UPDATE codes SET spent_at = active.now FROM active
        WHERE codes.digest = active.digest AND codes.grant_id = active.grant_id AND codes.spent_at IS NULL
        RETURNING active.*), "
);

/// A parent that is purged at this moment fails the statement, by the key that refers to it; then each call is made alone.
const ROTATE_SEVERAL: &str = for_several!(
    "rotated AS (INSERT INTO rotations (parent, rotated_at, sealed_successor, successor)
        SELECT active.digest, active.now, active.sealed_successor, active.next FROM active
            JOIN refresh_tokens r ON r.digest = active.digest AND r.grant_id = active.grant_id
        ON CONFLICT (parent) DO NOTHING RETURNING parent),
    spent AS (SELECT active.* FROM active JOIN rotated ON rotated.parent = active.digest), "
);

/// What is spent, and what is recorded for it.
struct Spending {
    digest: [u8; 32],
    grant: GrantId,
    issue: Issue,
    now: Timestamp,
}

impl Spending {
    fn new(digest: [u8; 32], grant: &Grant, issue: &Issue, now: Timestamp) -> Self {
        Self { digest, grant: grant.id.clone(), issue: issue.clone(), now }
    }

    /// Parameters 1 to 17 of a statement for one, of which 11 to 13 say what is spent: the digest, the grant and the time.
    fn alone(&self, statement: &'static str) -> Count<'_> {
        let next = self.issue.refresh.as_ref();
        with_access(statement, self.issue.access.as_ref())
            .bind(self.digest.as_slice())
            .bind(self.grant.as_str())
            .bind(self.now.unix())
            .bind(next.map(|next| next.digest.as_bytes().as_slice()))
            .bind(next.map(|next| next.issued_at.unix()))
            .bind(next.map(|next| next.expires_at.unix()))
            .bind(self.issue.grant_expires_at.map(Timestamp::unix))
    }
}

/// Runs a statement for several; for each whether it was spent.
async fn spend<'q>(
    statement: &'static str,
    several: impl Iterator<Item = (&'q Spending, Option<&'q [u8]>)>,
    held: &mut Held,
) -> StoreResult<Vec<bool>> {
    let (several, sealed): (Vec<_>, Vec<_>) = several.unzip();
    let next = |member: fn(&NewRefresh) -> i64| column(&several, |one| one.issue.refresh.as_ref().map(member));
    let token = |one: &&'q Spending| -> Option<&'q AccessToken> { Some(&one.issue.access.as_ref()?.token) };
    let human = |one: &&'q Spending| match &token(one)?.subject {
        Subject::User { user_id, auth_time, .. } => Some((user_id.as_str(), auth_time.unix())),
        Subject::Client => None,
    };
    let query = sqlx::query(statement)
        .bind(column(&several, |one| one.digest.as_slice()))
        .bind(column(&several, |one| one.grant.as_str()))
        .bind(column(&several, |one| one.now.unix()))
        .bind(column(&several, |one| Some(one.issue.refresh.as_ref()?.digest.as_bytes().as_slice())))
        .bind(next(|next| next.issued_at.unix()))
        .bind(next(|next| next.expires_at.unix()))
        .bind(column(&several, |one| one.issue.grant_expires_at.map(Timestamp::unix)))
        .bind(column(&several, |one| Some(one.issue.access.as_ref()?.digest.as_bytes().as_slice())))
        .bind(column(&several, |one| token(one).map(|token| token.id.as_str())))
        .bind(column(&several, |one| token(one).map(|token| token.client_id.as_str())))
        .bind(column(&several, |one| human(one).map(|(user_id, _)| user_id)))
        .bind(column(&several, |one| human(one).map(|(_, auth_time)| auth_time)))
        .bind(column(&several, |one| token(one).map(|token| token.scope.to_string())))
        .bind(column(&several, |one| token(one).map(|token| token.audience.as_str())))
        .bind(column(&several, |one| token(one).map(|token| token.issued_at.unix())))
        .bind(column(&several, |one| token(one).map(|token| token.expires_at.unix())))
        .bind(sealed);
    let mut spent: Vec<[u8; 32]> = Vec::with_capacity(several.len());
    for row in query.fetch_all(&mut **held).await? {
        // It has been done by now; nobody may take this for a refusal.
        spent.push(row.try_get(0).map_err(|error| StoreError::Unavailable(error.into()))?);
    }
    Ok(several.iter().map(|one| spent.contains(&one.digest)).collect())
}

/// The exchange of a code.
pub(super) struct Redeem(Spending);

impl Redeem {
    pub(super) fn new(code: &VerifiedCode<'_>, issue: &Issue, now: Timestamp) -> Self {
        Self(Spending::new(*code.digest().as_bytes(), code.grant(), issue, now))
    }
}

impl Batched for Redeem {
    type Answer = Redemption;

    fn batches(store: &Postgres) -> &Batches<Self> {
        &store.together.redeem
    }

    fn goes_with(&self, other: &Self) -> bool {
        self.0.grant != other.0.grant
    }

    async fn together(calls: &[Self], held: &mut Held) -> StoreResult<Vec<Option<Redemption>>> {
        let spent = spend(REDEEM_SEVERAL, calls.iter().map(|call| (&call.0, None)), held).await?;
        Ok(spent.into_iter().map(|spent| spent.then_some(Redemption::Redeemed)).collect())
    }

    async fn alone(&self, store: &Postgres) -> StoreResult<Redemption> {
        let spent = "SELECT spent_at IS NOT NULL FROM codes WHERE digest = $1";
        store
            .run(async |mut held: Held| {
                if self.0.alone(REDEEM).fetch_one(&mut *held).await? == 1 {
                    return Ok(Redemption::Redeemed);
                }
                let spent = sqlx::query_scalar(spent).bind(self.0.digest.as_slice());
                let spent: Option<bool> = spent.fetch_optional(&mut *held).await?;
                // A code that was purged since it was found is as good as one whose grant ended.
                Ok(if spent.unwrap_or(false) { Redemption::AlreadyRedeemed } else { Redemption::GrantRevoked })
            })
            .await
    }
}

/// The rotation of a refresh token.
pub(super) struct Rotate {
    spending: Spending,
    sealed_successor: Vec<u8>,
}

impl Rotate {
    pub(super) fn new(refresh: &VerifiedRefresh<'_>, sealed_successor: &[u8], issue: &Issue, now: Timestamp) -> Self {
        let spending = Spending::new(*refresh.digest().as_bytes(), refresh.grant(), issue, now);
        Self { spending, sealed_successor: sealed_successor.to_vec() }
    }
}

impl Batched for Rotate {
    type Answer = Rotation;

    fn batches(store: &Postgres) -> &Batches<Self> {
        &store.together.rotate
    }

    fn goes_with(&self, other: &Self) -> bool {
        self.spending.grant != other.spending.grant
    }

    async fn together(calls: &[Self], held: &mut Held) -> StoreResult<Vec<Option<Rotation>>> {
        let several = calls.iter().map(|call| (&call.spending, Some(call.sealed_successor.as_slice())));
        let spent = spend(ROTATE_SEVERAL, several, held).await?;
        Ok(spent.into_iter().map(|spent| spent.then_some(Rotation::Rotated)).collect())
    }

    async fn alone(&self, store: &Postgres) -> StoreResult<Rotation> {
        let active = "SELECT g.revoked_at IS NULL FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id
            WHERE r.digest = $1";
        store
            .run(async |mut held: Held| {
                let rotate = self.spending.alone(ROTATE).bind(self.sealed_successor.as_slice());
                if rotate.fetch_one(&mut *held).await? == 1 {
                    return Ok(Rotation::Rotated);
                }
                let active = sqlx::query_scalar(active).bind(self.spending.digest.as_slice());
                let active: Option<bool> = active.fetch_optional(&mut *held).await?;
                Ok(if active.unwrap_or(false) { Rotation::AlreadyRotated } else { Rotation::GrantRevoked })
            })
            .await
    }
}
