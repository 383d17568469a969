//! Accounts and sessions.

use super::{Record, digest, filled, spelled, text, time};
use crate::{
    domain::account::{Consent, PasswordHash, Session, User},
    port::store::StoreResult,
};

/// An account.
pub(in crate::store) fn user(record: &impl Record) -> StoreResult<User> {
    Ok(User {
        id: text(record, "id")?,
        username: text(record, "username")?,
        password: PasswordHash::new(filled("password_hash", record.text("password_hash")?)?),
        status: spelled(record, "status")?,
        created_at: time(record, "created_at")?,
    })
}

/// A session, from a record that also holds its account.
pub(in crate::store) fn session(record: &impl Record) -> StoreResult<Session> {
    Ok(Session {
        digest: digest(record, "digest")?,
        user_id: text(record, "user_id")?,
        auth_time: time(record, "auth_time")?,
        last_seen_at: time(record, "last_seen_at")?,
    })
}

/// What a human agreed to.
pub(in crate::store) fn consent(record: &impl Record) -> StoreResult<Consent> {
    Ok(Consent {
        user_id: text(record, "user_id")?,
        client_id: text(record, "client_id")?,
        resource: text(record, "resource")?,
        scope: text(record, "scope")?,
        updated_at: time(record, "updated_at")?,
    })
}
