//! Rows of a grant and of what hangs off it: each life-stage is a combination of columns, and a combination that is none of
//! them is no row of ours.

use sqlx::{Row, sqlite::SqliteRow};

use super::row::{bytes, corrupt, digest, from_word, json, optional_text, optional_time, text, time};
use crate::domain::{
    access::{AccessToken, Subject},
    code::{CodeRecord, NewCode},
    grant::{Grant, Revocation},
    pkce::CodeChallenge,
    redirect::MatchedRedirect,
    refresh::{NewRefresh, RefreshRecord, RefreshState, Rotated},
};

/// The columns of a grant `g`, named so that those of what hangs off it can stand beside them.
macro_rules! grant_columns {
    () => {
        "g.id AS grant_id, g.client_id AS grant_client, g.user_id AS grant_user, g.scope AS grant_scope,
        g.resources AS grant_resources, g.auth_time AS grant_auth_time, g.created_at AS grant_created_at,
        g.expires_at AS grant_expires_at, g.revoked_at, g.revocation_reason"
    };
}
pub(super) use grant_columns;

/// A grant, from its columns.
pub(super) fn grant(row: &SqliteRow) -> sqlx::Result<Grant> {
    Ok(Grant {
        id: text(row, "grant_id")?,
        client_id: text(row, "grant_client")?,
        user_id: text(row, "grant_user")?,
        scope: text(row, "grant_scope")?,
        resources: json(row, "grant_resources")?,
        auth_time: time(row, "grant_auth_time")?,
        created_at: time(row, "grant_created_at")?,
        expires_at: time(row, "grant_expires_at")?,
        revocation: match (optional_time(row, "revoked_at")?, row.try_get::<Option<_>, _>("revocation_reason")?) {
            (None, None) => None,
            (Some(at), Some(reason)) => Some(Revocation { at, reason: from_word("revocation_reason", reason)? }),
            (Some(_), None) | (None, Some(_)) => return Err(corrupt("a grant is half revoked")),
        },
    })
}

/// A code with its grant.
pub(super) fn code(row: &SqliteRow) -> sqlx::Result<CodeRecord> {
    Ok(CodeRecord {
        code: NewCode {
            digest: digest(row, "digest")?,
            redirect: MatchedRedirect::restore(text(row, "redirect_uri")?),
            challenge: CodeChallenge::from_bytes(bytes(row, "challenge")?),
            expires_at: time(row, "expires_at")?,
        },
        grant: grant(row)?,
        spent_at: optional_time(row, "spent_at")?,
    })
}

/// A refresh token with its grant; `successor_used` is computed by the query.
pub(super) fn refresh(row: &SqliteRow) -> sqlx::Result<RefreshRecord> {
    Ok(RefreshRecord {
        token: NewRefresh {
            digest: digest(row, "digest")?,
            issued_at: time(row, "issued_at")?,
            expires_at: time(row, "expires_at")?,
        },
        grant: grant(row)?,
        state: match (optional_time(row, "rotated_at")?, row.try_get("sealed_successor")?) {
            (None, None) => RefreshState::Current,
            (Some(at), Some(sealed_successor)) => {
                RefreshState::Rotated(Rotated { at, sealed_successor, successor_used: row.try_get("successor_used")? })
            }
            (Some(_), None) | (None, Some(_)) => return Err(corrupt("a refresh token is half rotated")),
        },
    })
}

/// An opaque access token.
pub(super) fn access(row: &SqliteRow) -> sqlx::Result<AccessToken> {
    let human = (optional_text(row, "user_id")?, optional_text(row, "grant_id")?, optional_time(row, "auth_time")?);
    Ok(AccessToken {
        id: text(row, "token_id")?,
        client_id: text(row, "client_id")?,
        subject: match human {
            (Some(user_id), Some(grant_id), Some(auth_time)) => Subject::User { user_id, grant_id, auth_time },
            (None, None, None) => Subject::Client,
            _ => return Err(corrupt("an access token has half a human")),
        },
        scope: text(row, "scope")?,
        audience: text(row, "audience")?,
        issued_at: time(row, "issued_at")?,
        expires_at: time(row, "expires_at")?,
    })
}
