//! Reading everything of a kind, part by part, in the order of the keys; a cursor is the last key of a part.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::{Database, Encode, QueryBuilder, Type};

use super::{grant_columns, limit as rows};
use crate::{
    port::store::{EntryKind, StoreResult},
    store::record::{Record, corrupt},
};

/// Where the entries of a kind are, what names them, and which rows count.
struct Source {
    table: &'static str,
    key: Key,
    only: &'static str,
}

#[derive(Clone, Copy)]
enum Key {
    Text(&'static str),
    Bytes(&'static str),
    /// Human, client and resource, none of which holds a line break.
    Consent,
}

const fn source(kind: EntryKind) -> Source {
    let (table, key, only) = match kind {
        EntryKind::Client => ("clients", Key::Text("id"), "TRUE"),
        EntryKind::RemovedClient => ("removed_clients", Key::Text("id"), "TRUE"),
        EntryKind::Grant => ("grants", Key::Text("id"), "TRUE"),
        EntryKind::AccessToken => ("access_tokens", Key::Bytes("digest"), "grant_id IS NULL"),
        EntryKind::RevokedAccess => ("revoked_access_tokens", Key::Text("token_id"), "TRUE"),
        EntryKind::SingleUse => ("single_uses", Key::Bytes("id"), "TRUE"),
        EntryKind::User => ("users", Key::Text("id"), "TRUE"),
        EntryKind::Session => ("sessions", Key::Bytes("digest"), "TRUE"),
        EntryKind::Consent => ("consents", Key::Consent, "TRUE"),
        EntryKind::LoginFailures => ("login_failures", Key::Bytes("key"), "TRUE"),
        EntryKind::SigningKey => ("signing_keys", Key::Text("id"), "TRUE"),
        EntryKind::AuditEntry => ("audit_entries", Key::Text("id"), "TRUE"),
    };
    Source { table, key, only }
}

impl Key {
    const fn columns(self) -> &'static str {
        match self {
            Self::Text(column) | Self::Bytes(column) => column,
            Self::Consent => "user_id, client_id, resource",
        }
    }

    /// The cursor behind a row.
    fn cursor(self, row: &impl Record) -> StoreResult<String> {
        let text = |column| Ok(row.text(column)?.unwrap_or_default());
        match self {
            Self::Text(column) => text(column),
            Self::Bytes(column) => Ok(URL_SAFE_NO_PAD.encode(row.bytes(column)?.unwrap_or_default())),
            Self::Consent => Ok([text("user_id")?, text("client_id")?, text("resource")?].join("\n")),
        }
    }

    /// Lets only rows behind a cursor through.
    fn push_after<DB: Database>(self, query: &mut QueryBuilder<DB>, cursor: &str) -> StoreResult<()>
    where
        for<'q> String: Encode<'q, DB> + Type<DB>,
        for<'q> Vec<u8>: Encode<'q, DB> + Type<DB>,
    {
        match self {
            Self::Text(column) => {
                query.push(" AND ").push(column).push(" > ").push_bind(cursor.to_owned());
            }
            Self::Bytes(column) => {
                let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(corrupt)?;
                query.push(" AND ").push(column).push(" > ").push_bind(bytes);
            }
            Self::Consent => {
                let mut parts = query.push(" AND (user_id, client_id, resource) > (").separated(", ");
                for part in cursor.splitn(3, '\n') {
                    parts.push_bind(part.to_owned());
                }
                query.push(")");
            }
        }
        Ok(())
    }
}

/// Counts the entries of a kind.
pub(in crate::store) fn count<DB: Database>(kind: EntryKind) -> QueryBuilder<DB> {
    let Source { table, only, .. } = source(kind);
    let mut query = QueryBuilder::new("SELECT count(*) FROM ");
    query.push(table).push(" WHERE ").push(only);
    query
}

/// Reads the part behind a cursor; of a grant, its own columns only.
pub(in crate::store) fn part<DB: Database>(
    kind: EntryKind,
    after: Option<&str>,
    limit: u32,
) -> StoreResult<QueryBuilder<DB>>
where
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'q> Vec<u8>: Encode<'q, DB> + Type<DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
{
    let Source { table, key, only } = source(kind);
    let columns = if kind == EntryKind::Grant { concat!("g.id, ", grant_columns!()) } else { "*" };
    let mut query = QueryBuilder::new("SELECT ");
    query.push(columns).push(" FROM ").push(table).push(" AS g WHERE ").push(only);
    if let Some(cursor) = after {
        key.push_after(&mut query, cursor)?;
    }
    query.push(" ORDER BY ").push(key.columns()).push(" LIMIT ").push_bind(rows(limit));
    Ok(query)
}

/// Where the next part begins; `None` if this was the last one.
pub(in crate::store) fn next(kind: EntryKind, part: &[impl Record], limit: u32) -> StoreResult<Option<String>> {
    let more = part.len() >= limit as usize;
    part.last().filter(|_| more).map(|row| source(kind).key.cursor(row)).transpose()
}
