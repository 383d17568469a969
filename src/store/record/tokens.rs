//! A grant and what hangs off it: each life-stage is a combination of columns, and a combination that is none of them is no
//! record of ours.

use super::{
    Record, corrupt, digest, filled, from_word, json, optional_digest, optional_text, optional_time, text, thirty_two,
    time,
};
use crate::{
    domain::{
        access::{AccessToken, OpaqueRecord, Subject},
        code::{CodeRecord, NewCode},
        grant::{Grant, Revocation},
        pkce::CodeChallenge,
        redirect::MatchedRedirect,
        refresh::{NewRefresh, RefreshRecord, RefreshState, Rotated},
        time::Timestamp,
    },
    port::store::{GrantFamily, StoreResult, Succession},
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

/// A code as it was issued.
pub(in crate::store) fn new_code(record: &impl Record) -> StoreResult<NewCode> {
    Ok(NewCode {
        digest: digest(record, "digest")?,
        redirect: MatchedRedirect::restore(text(record, "redirect_uri")?),
        challenge: CodeChallenge::from_bytes(thirty_two(
            "challenge",
            filled("challenge", record.bytes("challenge")?)?,
        )?),
        expires_at: time(record, "expires_at")?,
    })
}

/// A code with its grant.
pub(in crate::store) fn code(record: &impl Record) -> StoreResult<CodeRecord> {
    Ok(CodeRecord { code: new_code(record)?, grant: grant(record)?, spent_at: optional_time(record, "spent_at")? })
}

/// A refresh token as it was issued.
pub(in crate::store) fn new_refresh(record: &impl Record) -> StoreResult<NewRefresh> {
    Ok(NewRefresh {
        digest: digest(record, "digest")?,
        issued_at: time(record, "issued_at")?,
        expires_at: time(record, "expires_at")?,
    })
}

/// When a refresh token was rotated, and its sealed successor; `None` while it is current.
fn rotation(record: &impl Record) -> StoreResult<Option<(Timestamp, Vec<u8>)>> {
    match (optional_time(record, "rotated_at")?, record.bytes("sealed_successor")?) {
        (None, None) => Ok(None),
        (Some(at), Some(sealed)) => Ok(Some((at, sealed))),
        (Some(_), None) | (None, Some(_)) => Err(corrupt("a refresh token is half rotated")),
    }
}

/// A refresh token with its grant; whoever reads it says in `successor_used` whether its successor was rotated itself.
pub(in crate::store) fn refresh(record: &impl Record) -> StoreResult<RefreshRecord> {
    Ok(RefreshRecord {
        token: new_refresh(record)?,
        grant: grant(record)?,
        state: match rotation(record)? {
            None => RefreshState::Current,
            Some((at, sealed_successor)) => {
                RefreshState::Rotated(Rotated { at, sealed_successor, successor_used: record.flag("successor_used")? })
            }
        },
    })
}

/// How a refresh token was rotated, with the name of its successor.
pub(in crate::store) fn succession(record: &impl Record) -> StoreResult<Option<Succession>> {
    let successor = optional_digest(record, "successor")?;
    Ok(rotation(record)?.map(|(at, sealed_successor)| Succession { at, sealed_successor, successor }))
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

/// An opaque access token with its name.
pub(in crate::store) fn opaque(record: &impl Record) -> StoreResult<OpaqueRecord> {
    Ok(OpaqueRecord { digest: digest(record, "digest")?, token: access(record)? })
}

/// A grant with what hangs off it.
pub(in crate::store) fn family<R: Record>(
    grant: Grant,
    code: Option<&R>,
    refresh: &[R],
    access: &[R],
) -> StoreResult<GrantFamily> {
    let spent = |record: &R| StoreResult::Ok((new_code(record)?, optional_time(record, "spent_at")?));
    let token = |record: &R| StoreResult::Ok((new_refresh(record)?, succession(record)?));
    Ok(GrantFamily {
        grant,
        code: code.map(spent).transpose()?,
        refresh: refresh.iter().map(token).collect::<StoreResult<_>>()?,
        access: access.iter().map(opaque).collect::<StoreResult<_>>()?,
    })
}
