//! Rows of a grant and of what hangs off it, as they are inserted: the statements and their parameters.

use sqlx::{
    postgres::PgArguments,
    query::{Query, QueryScalar},
};

use super::{
    Held, Postgres,
    batch::{Batched, column},
    line::Batches,
};
use crate::{
    domain::{
        access::{OpaqueRecord, Subject},
        grant::Grant,
    },
    port::store::{Recording, StoreResult},
    store::record::{to_json, word},
};

/// A statement that says how much it changed.
pub(super) type Count<'q> = QueryScalar<'q, sqlx::Postgres, i64, PgArguments>;

/// Inserts a grant, parameters 1 to 10.
macro_rules! insert_grant {
    () => {
        "INSERT INTO grants (id, client_id, user_id, scope, resources, auth_time, created_at, expires_at, revoked_at,
            revocation_reason)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    };
}
pub(super) const INSERT_GRANT: &str = insert_grant!();

/// Inserts an access token, parameters 1 to 10, if there is one.
macro_rules! insert_access {
    ($from:literal) => {
        concat!(
            "INSERT INTO access_tokens (digest, token_id, client_id, grant_id, user_id, auth_time, scope, audience,
                issued_at, expires_at)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM ",
            $from,
            " WHERE $1 IS NOT NULL"
        )
    };
}
pub(super) use {insert_access, insert_grant};

const RECORD_ACCESS_ALONE: &str = concat!(
    "WITH recorded AS (",
    insert_access!("(SELECT 1) AS nothing"),
    " RETURNING 1) SELECT count(*) FROM recorded"
);

/// `statement` with a grant as parameters 1 to 10.
pub(super) fn grant_insertion<'q>(
    statement: &'static str,
    grant: &'q Grant,
) -> StoreResult<Query<'q, sqlx::Postgres, PgArguments>> {
    Ok(sqlx::query(statement)
        .bind(grant.id.as_str())
        .bind(grant.client_id.as_str())
        .bind(grant.user_id.as_str())
        .bind(grant.scope.to_string())
        .bind(to_json(&grant.resources)?)
        .bind(grant.auth_time.unix())
        .bind(grant.created_at.unix())
        .bind(grant.expires_at.unix())
        .bind(grant.revocation.map(|revocation| revocation.at.unix()))
        .bind(grant.revocation.map(|revocation| word(&revocation.reason)).transpose()?))
}

/// An access token that hangs off no grant.
pub(super) struct RecordAccess(pub(super) OpaqueRecord);

impl Batched for RecordAccess {
    type Answer = Recording;

    fn batches(store: &Postgres) -> &Batches<Self> {
        &store.together.record_access
    }

    async fn together(calls: &[Self], held: &mut Held) -> StoreResult<Vec<Option<Recording>>> {
        let record = "INSERT INTO access_tokens (digest, token_id, client_id, scope, audience, issued_at, expires_at)
            SELECT * FROM unnest($1::BYTEA[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[], $7::BIGINT[])";
        sqlx::query(record)
            .bind(column(calls, |call| call.0.digest.as_bytes().as_slice()))
            .bind(column(calls, |call| call.0.token.id.as_str()))
            .bind(column(calls, |call| call.0.token.client_id.as_str()))
            .bind(column(calls, |call| call.0.token.scope.to_string()))
            .bind(column(calls, |call| call.0.token.audience.as_str()))
            .bind(column(calls, |call| call.0.token.issued_at.unix()))
            .bind(column(calls, |call| call.0.token.expires_at.unix()))
            .execute(&mut **held)
            .await?;
        Ok(calls.iter().map(|_| Some(Recording::Recorded)).collect())
    }

    async fn alone(&self, store: &Postgres) -> StoreResult<Recording> {
        store.run(async |mut held: Held| Ok(access_alone(&self.0).fetch_one(&mut *held).await?)).await?;
        Ok(Recording::Recorded)
    }
}

/// Records an access token without looking at its grant.
pub(super) fn access_alone(access: &OpaqueRecord) -> Count<'_> {
    with_access(RECORD_ACCESS_ALONE, Some(access))
}

/// Parameters 1 to 10.
pub(super) fn with_access<'q>(statement: &'static str, access: Option<&'q OpaqueRecord>) -> Count<'q> {
    let token = access.map(|access| &access.token);
    let human = token.and_then(|token| match &token.subject {
        Subject::User { user_id, grant_id, auth_time } => Some((grant_id.as_str(), user_id.as_str(), auth_time.unix())),
        Subject::Client => None,
    });
    sqlx::query_scalar(statement)
        .bind(access.map(|access| access.digest.as_bytes().as_slice()))
        .bind(token.map(|token| token.id.as_str()))
        .bind(token.map(|token| token.client_id.as_str()))
        .bind(human.map(|(grant_id, _, _)| grant_id))
        .bind(human.map(|(_, user_id, _)| user_id))
        .bind(human.map(|(_, _, auth_time)| auth_time))
        .bind(token.map(|token| token.scope.to_string()))
        .bind(token.map(|token| token.audience.as_str()))
        .bind(token.map(|token| token.issued_at.unix()))
        .bind(token.map(|token| token.expires_at.unix()))
}
