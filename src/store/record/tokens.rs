//! A grant and what hangs off it: each life-stage is a combination of columns, and a combination that is none of them is no
//! record of ours.

use super::{Record, corrupt, digest, filled, from_word, json, optional_text, optional_time, text, thirty_two, time};
use crate::{
    domain::{
        access::{AccessToken, Subject},
        code::{CodeRecord, NewCode},
        grant::{Grant, Revocation},
        pkce::CodeChallenge,
        redirect::MatchedRedirect,
        refresh::{NewRefresh, RefreshRecord, RefreshState, Rotated},
    },
    port::store::StoreResult,
};

/// A grant, from columns whose names start with `grant_` so that those of what hangs off it can stand beside them.
pub(in crate::store) fn grant(record: &impl Record) -> StoreResult<Grant> {
    Ok(Grant {
        id: text(record, "grant_id")?,
        client_id: text(record, "grant_client")?,
        user_id: text(record, "grant_user")?,
        scope: text(record, "grant_scope")?,
        resources: json(record, "grant_resources")?,
        auth_time: time(record, "grant_auth_time")?,
        created_at: time(record, "grant_created_at")?,
        expires_at: time(record, "grant_expires_at")?,
        revocation: match (optional_time(record, "revoked_at")?, record.text("revocation_reason")?) {
            (None, None) => None,
            (Some(at), Some(reason)) => Some(Revocation { at, reason: from_word("revocation_reason", reason)? }),
            (Some(_), None) | (None, Some(_)) => return Err(corrupt("a grant is half revoked")),
        },
    })
}

/// A code with its grant.
pub(in crate::store) fn code(record: &impl Record) -> StoreResult<CodeRecord> {
    let challenge = thirty_two("challenge", filled("challenge", record.bytes("challenge")?)?)?;
    Ok(CodeRecord {
        code: NewCode {
            digest: digest(record, "digest")?,
            redirect: MatchedRedirect::restore(text(record, "redirect_uri")?),
            challenge: CodeChallenge::from_bytes(challenge),
            expires_at: time(record, "expires_at")?,
        },
        grant: grant(record)?,
        spent_at: optional_time(record, "spent_at")?,
    })
}

/// A refresh token with its grant; whoever reads it says in `successor_used` whether its successor was rotated itself.
pub(in crate::store) fn refresh(record: &impl Record) -> StoreResult<RefreshRecord> {
    Ok(RefreshRecord {
        token: NewRefresh {
            digest: digest(record, "digest")?,
            issued_at: time(record, "issued_at")?,
            expires_at: time(record, "expires_at")?,
        },
        grant: grant(record)?,
        state: match (optional_time(record, "rotated_at")?, record.bytes("sealed_successor")?) {
            (None, None) => RefreshState::Current,
            (Some(at), Some(sealed_successor)) => {
                RefreshState::Rotated(Rotated { at, sealed_successor, successor_used: record.flag("successor_used")? })
            }
            (Some(_), None) | (None, Some(_)) => return Err(corrupt("a refresh token is half rotated")),
        },
    })
}

/// An opaque access token.
pub(in crate::store) fn access(record: &impl Record) -> StoreResult<AccessToken> {
    let human =
        (optional_text(record, "user_id")?, optional_text(record, "grant_id")?, optional_time(record, "auth_time")?);
    Ok(AccessToken {
        id: text(record, "token_id")?,
        client_id: text(record, "client_id")?,
        subject: match human {
            (Some(user_id), Some(grant_id), Some(auth_time)) => Subject::User { user_id, grant_id, auth_time },
            (None, None, None) => Subject::Client,
            _ => return Err(corrupt("an access token has half a human")),
        },
        scope: text(record, "scope")?,
        audience: text(record, "audience")?,
        issued_at: time(record, "issued_at")?,
        expires_at: time(record, "expires_at")?,
    })
}
