//! The audit trail as SQL: entries travel to the database as one JSON text, and come back as rows.

use sqlx::{Database, Encode, QueryBuilder, Type};

use super::limit as rows;
use crate::{
    domain::audit::{Entry, EntryId, Filter},
    port::store::{Page, StoreResult},
    store::record::to_json,
};

/// The columns of an entry.
macro_rules! audit_columns {
    () => {
        "id, at, event, outcome, reason, client_id, user_id, grant_id, token_id, key_id, address, request_id, attempt_id, \
        instance, times"
    };
}
pub(in crate::store) use audit_columns;

/// The starts and stops of an instance, as the index has them; parameters 1 and 2.
pub(in crate::store) const TURNS: &str = concat!(
    "SELECT ",
    audit_columns!(),
    " FROM audit_entries WHERE instance = $1 AND event IN ('server.start', 'server.stop') ORDER BY id DESC LIMIT $2"
);

/// Entries as one parameter: an array of objects, whose members are called like the columns.
pub(in crate::store) fn as_parameter(entries: &[Entry]) -> StoreResult<String> {
    to_json(entries)
}

/// Reads a page of what a filter admits, the newest first.
pub(in crate::store) fn listing<DB: Database>(filter: &Filter, page: &Page<EntryId>) -> QueryBuilder<DB>
where
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
{
    let Filter { since, until, events, outcome, client, user, grant, reference } = filter;
    let mut query = QueryBuilder::new(concat!("SELECT ", audit_columns!(), " FROM audit_entries WHERE TRUE"));
    // Names begin with their time, so the primary key finds a period.
    let bounds = [
        (" AND id >= ", since.map(EntryId::begin)),
        (" AND id < ", until.map(EntryId::begin)),
        (" AND id < ", page.after.as_ref().map(|after| after.as_str().to_owned())),
        (" AND outcome = ", outcome.map(str::to_owned)),
        (" AND client_id = ", client.as_ref().map(|id| id.as_str().to_owned())),
        (" AND user_id = ", user.as_ref().map(|id| id.as_str().to_owned())),
        (" AND grant_id = ", grant.as_ref().map(|id| id.as_str().to_owned())),
    ];
    for (condition, value) in bounds {
        if let Some(value) = value {
            query.push(condition).push_bind(value);
        }
    }
    if let Some(reference) = reference {
        query.push(" AND (request_id = ").push_bind(reference.clone());
        query.push(" OR attempt_id = ").push_bind(reference.clone()).push(")");
    }
    if !events.is_empty() {
        let mut words = query.push(" AND event IN (").separated(", ");
        for event in events {
            words.push_bind((*event).to_owned());
        }
        query.push(")");
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(rows(page.limit));
    query
}
