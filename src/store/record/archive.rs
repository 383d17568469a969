//! Entries of an archive.

use super::{
    Record, audit_entry, client, consent, corrupt, filled, key, opaque, session, spelled, text, thirty_two, time, user,
};
use crate::{
    domain::assertion::{ReplayId, SingleUse},
    port::store::{Entry, EntryKind, StoreResult},
};

/// An entry of any kind that is one record; a grant is more than one.
pub(in crate::store) fn archived(kind: EntryKind, record: &impl Record) -> StoreResult<Entry> {
    Ok(match kind {
        EntryKind::Client => Entry::Client(Box::new(client(record)?)),
        EntryKind::RemovedClient => Entry::RemovedClient {
            id: text(record, "id")?,
            reason: spelled(record, "reason")?,
            at: time(record, "removed_at")?,
        },
        EntryKind::Grant => return Err(corrupt("a grant is not one record")),
        EntryKind::AccessToken => Entry::AccessToken(opaque(record)?),
        EntryKind::RevokedAccess => {
            Entry::RevokedAccess { id: text(record, "token_id")?, expires_at: time(record, "expires_at")? }
        }
        EntryKind::SingleUse => {
            Entry::SingleUse(SingleUse { id: replay_id(record, "id")?, until: time(record, "expires_at")? })
        }
        EntryKind::User => Entry::User(user(record)?),
        EntryKind::Session => Entry::Session(session(record)?),
        EntryKind::Consent => Entry::Consent(consent(record)?),
        EntryKind::LoginFailures => Entry::LoginFailures {
            key: replay_id(record, "key")?,
            failures: u32::try_from(filled("failures", record.integer("failures")?)?).map_err(corrupt)?,
            window_ends_at: time(record, "window_ends_at")?,
        },
        EntryKind::SigningKey => Entry::SigningKey(Box::new(key(record)?)),
        EntryKind::AuditEntry => Entry::AuditEntry(Box::new(audit_entry(record)?)),
    })
}

fn replay_id(record: &impl Record, column: &'static str) -> StoreResult<ReplayId> {
    filled(column, record.bytes(column)?).and_then(|bytes| thirty_two(column, bytes)).map(ReplayId::from_bytes)
}
