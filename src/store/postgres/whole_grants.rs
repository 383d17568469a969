//! Grants with all that hangs off them, for moving them. A grant may have a history of thousands of tokens, so these are read
//! and recorded many at a time: a statement for each would take longer than a call may.

use std::collections::HashMap;

use sqlx::{PgConnection, postgres::PgRow};

use super::family::{INSERT_GRANT, grant_insertion};
use crate::{
    domain::{
        access::{OpaqueRecord, Subject},
        refresh::NewRefresh,
        time::Timestamp,
    },
    port::store::{Entry, GrantFamily, StoreResult, Succession},
    store::record::{Record, corrupt, family, grant},
};

/// How many rows one statement inserts: few enough for the time that it has.
const ROWS: usize = 5_000;

const CODES: &str = "SELECT * FROM codes WHERE grant_id = ANY($1)";

const REFRESH: &str = "SELECT r.*, p.rotated_at, p.sealed_successor, p.successor FROM refresh_tokens r
    LEFT JOIN rotations p ON p.parent = r.digest WHERE r.grant_id = ANY($1) ORDER BY r.digest";

const ACCESS: &str = "SELECT * FROM access_tokens WHERE grant_id = ANY($1) ORDER BY digest";

/// What hangs off these grants, by the grant.
async fn hanging(
    statement: &'static str,
    grants: &[String],
    connection: &mut PgConnection,
) -> StoreResult<HashMap<String, Vec<PgRow>>> {
    let mut found: HashMap<String, Vec<PgRow>> = HashMap::new();
    // Not remembered by the connection: a newer version may add columns.
    let query = sqlx::query(statement).bind(grants).persistent(false);
    for row in query.fetch_all(connection).await? {
        let grant = row.text("grant_id")?.ok_or_else(|| corrupt("grant_id: empty"))?;
        found.entry(grant).or_default().push(row);
    }
    Ok(found)
}

/// The grants of a page, each with all that hangs off it.
pub(super) async fn families(page: &[PgRow], connection: &mut PgConnection) -> StoreResult<Vec<Entry>> {
    let grants = page.iter().map(grant).collect::<StoreResult<Vec<_>>>()?;
    let names: Vec<String> = grants.iter().map(|grant| grant.id.as_str().to_owned()).collect();
    let mut codes = hanging(CODES, &names, connection).await?;
    let mut refresh = hanging(REFRESH, &names, connection).await?;
    let mut access = hanging(ACCESS, &names, connection).await?;
    let mut entries = Vec::with_capacity(grants.len());
    for (grant, name) in grants.into_iter().zip(&names) {
        let [code, refresh, access] =
            [&mut codes, &mut refresh, &mut access].map(|rows| rows.remove(name).unwrap_or_default());
        entries.push(Entry::Grant(Box::new(family(grant, code.first(), &refresh, &access)?)));
    }
    Ok(entries)
}

/// Records a grant with all that hangs off it in the place of one of the same name.
pub(super) async fn record_family(connection: &mut PgConnection, family: &GrantFamily) -> StoreResult<()> {
    let id = family.grant.id.as_str();
    // What hangs off it goes with it.
    sqlx::query("DELETE FROM grants WHERE id = $1").bind(id).execute(&mut *connection).await?;
    grant_insertion(INSERT_GRANT, &family.grant)?.execute(&mut *connection).await?;
    if let Some((code, spent_at)) = &family.code {
        let insert = "INSERT INTO codes (digest, grant_id, redirect_uri, challenge, expires_at, spent_at)
            VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(insert)
            .bind(code.digest.as_bytes().as_slice())
            .bind(id)
            .bind(code.redirect.uri().as_str())
            .bind(code.challenge.as_bytes().as_slice())
            .bind(code.expires_at.unix())
            .bind(spent_at.map(Timestamp::unix))
            .execute(&mut *connection)
            .await?;
    }
    for tokens in family.refresh.chunks(ROWS) {
        record_refresh(connection, id, tokens).await?;
    }
    for tokens in family.access.chunks(ROWS) {
        record_access(connection, id, tokens).await?;
    }
    Ok(())
}

async fn record_refresh(
    connection: &mut PgConnection,
    grant: &str,
    tokens: &[(NewRefresh, Option<Succession>)],
) -> StoreResult<()> {
    let insert = "INSERT INTO refresh_tokens (digest, grant_id, issued_at, expires_at)
        SELECT t.digest, $1, t.issued_at, t.expires_at
        FROM unnest($2::BYTEA[], $3::BIGINT[], $4::BIGINT[]) AS t (digest, issued_at, expires_at)";
    sqlx::query(insert)
        .bind(grant)
        .bind(column(tokens, |(token, _)| token.digest.as_bytes().as_slice()))
        .bind(column(tokens, |(token, _)| token.issued_at.unix()))
        .bind(column(tokens, |(token, _)| token.expires_at.unix()))
        .execute(&mut *connection)
        .await?;
    let rotated = |(token, succession): &'_ (NewRefresh, Option<Succession>)| {
        succession.as_ref().map(|succession| (token.digest, succession.clone()))
    };
    let rotated: Vec<_> = tokens.iter().filter_map(rotated).collect();
    let insert = "INSERT INTO rotations (parent, rotated_at, sealed_successor, successor)
        SELECT * FROM unnest($1::BYTEA[], $2::BIGINT[], $3::BYTEA[], $4::BYTEA[])";
    sqlx::query(insert)
        .bind(column(&rotated, |(parent, _)| parent.as_bytes().as_slice()))
        .bind(column(&rotated, |(_, succession)| succession.at.unix()))
        .bind(column(&rotated, |(_, succession)| succession.sealed_successor.as_slice()))
        .bind(column(&rotated, |(_, succession)| succession.successor.as_ref().map(|next| next.as_bytes().as_slice())))
        .execute(connection)
        .await?;
    Ok(())
}

async fn record_access(connection: &mut PgConnection, grant: &str, tokens: &[OpaqueRecord]) -> StoreResult<()> {
    let insert = "INSERT INTO access_tokens (grant_id, digest, token_id, client_id, user_id, auth_time, scope, audience,
            issued_at, expires_at)
        SELECT $1, t.* FROM unnest($2::BYTEA[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[], $7::TEXT[], $8::TEXT[],
            $9::BIGINT[], $10::BIGINT[]) AS t";
    let human = |access: &OpaqueRecord| match &access.token.subject {
        Subject::User { user_id, auth_time, .. } => Some((user_id.as_str().to_owned(), auth_time.unix())),
        Subject::Client => None,
    };
    sqlx::query(insert)
        .bind(grant)
        .bind(column(tokens, |access| access.digest.as_bytes().as_slice()))
        .bind(column(tokens, |access| access.token.id.as_str()))
        .bind(column(tokens, |access| access.token.client_id.as_str()))
        .bind(column(tokens, |access| human(access).map(|(user, _)| user)))
        .bind(column(tokens, |access| human(access).map(|(_, auth_time)| auth_time)))
        .bind(column(tokens, |access| access.token.scope.to_string()))
        .bind(column(tokens, |access| access.token.audience.as_str()))
        .bind(column(tokens, |access| access.token.issued_at.unix()))
        .bind(column(tokens, |access| access.token.expires_at.unix()))
        .execute(connection)
        .await?;
    Ok(())
}

/// One value of each, for `unnest`.
fn column<'t, T, V>(tokens: &'t [T], value: impl Fn(&'t T) -> V) -> Vec<V> {
    tokens.iter().map(value).collect()
}
