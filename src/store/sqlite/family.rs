//! Rows of a grant and of what hangs off it, as they are inserted.

use sqlx::SqliteConnection;

use crate::{
    domain::{
        access::{OpaqueRecord, Subject},
        code::NewCode,
        grant::Grant,
        refresh::NewRefresh,
        time::Timestamp,
    },
    port::store::StoreResult,
    store::record::{to_json, word},
};

pub(super) async fn insert_grant(connection: &mut SqliteConnection, grant: &Grant) -> StoreResult<()> {
    let insert =
        "INSERT INTO grants (id, client_id, user_id, scope, resources, auth_time, created_at, expires_at, revoked_at,
            revocation_reason)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(insert)
        .bind(grant.id.as_str())
        .bind(grant.client_id.as_str())
        .bind(grant.user_id.as_str())
        .bind(grant.scope.to_string())
        .bind(to_json(&grant.resources)?)
        .bind(grant.auth_time.unix())
        .bind(grant.created_at.unix())
        .bind(grant.expires_at.unix())
        .bind(grant.revocation.map(|revocation| revocation.at.unix()))
        .bind(grant.revocation.map(|revocation| word(&revocation.reason)).transpose()?)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_code(
    connection: &mut SqliteConnection,
    code: &NewCode,
    grant_id: &str,
    spent_at: Option<Timestamp>,
) -> StoreResult<()> {
    let insert = "INSERT INTO codes (digest, grant_id, redirect_uri, challenge, expires_at, spent_at)
        VALUES (?, ?, ?, ?, ?, ?)";
    sqlx::query(insert)
        .bind(code.digest.as_bytes().as_slice())
        .bind(grant_id)
        .bind(code.redirect.uri().as_str())
        .bind(code.challenge.as_bytes().as_slice())
        .bind(code.expires_at.unix())
        .bind(spent_at.map(Timestamp::unix))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_refresh(
    connection: &mut SqliteConnection,
    refresh: &NewRefresh,
    grant_id: &str,
) -> StoreResult<()> {
    sqlx::query("INSERT INTO refresh_tokens (digest, grant_id, issued_at, expires_at) VALUES (?, ?, ?, ?)")
        .bind(refresh.digest.as_bytes().as_slice())
        .bind(grant_id)
        .bind(refresh.issued_at.unix())
        .bind(refresh.expires_at.unix())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_access(connection: &mut SqliteConnection, access: &OpaqueRecord) -> StoreResult<()> {
    let OpaqueRecord { digest, token } = access;
    let (grant_id, user_id, auth_time) = match &token.subject {
        Subject::User { user_id, grant_id, auth_time } => {
            (Some(grant_id.as_str()), Some(user_id.as_str()), Some(auth_time.unix()))
        }
        Subject::Client => (None, None, None),
    };
    let insert =
        "INSERT INTO access_tokens (digest, token_id, client_id, grant_id, user_id, auth_time, scope, audience,
            issued_at, expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(insert)
        .bind(digest.as_bytes().as_slice())
        .bind(token.id.as_str())
        .bind(token.client_id.as_str())
        .bind(grant_id)
        .bind(user_id)
        .bind(auth_time)
        .bind(token.scope.to_string())
        .bind(token.audience.as_str())
        .bind(token.issued_at.unix())
        .bind(token.expires_at.unix())
        .execute(connection)
        .await?;
    Ok(())
}
