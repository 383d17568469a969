//! Entries of the audit trail.

use std::{borrow::Cow, sync::Arc};

use super::{Record, corrupt, filled, optional_text, text, time};
use crate::{domain::audit::Entry, port::store::StoreResult};

/// An entry of the audit trail.
pub(in crate::store) fn audit_entry(record: &impl Record) -> StoreResult<Entry> {
    let word = |column| filled(column, record.text(column)?).map(Cow::Owned);
    let name = |column| record.text(column).map(|text| text.map(Arc::from));
    let address = record.text("address")?.map(|text| text.parse()).transpose();
    Ok(Entry {
        id: text(record, "id")?,
        at: time(record, "at")?,
        event: word("event")?,
        outcome: word("outcome")?,
        reason: record.text("reason")?.map(Cow::Owned),
        client_id: optional_text(record, "client_id")?,
        user_id: optional_text(record, "user_id")?,
        grant_id: optional_text(record, "grant_id")?,
        token_id: optional_text(record, "token_id")?,
        key_id: optional_text(record, "key_id")?,
        address: address.map_err(corrupt)?,
        request_id: name("request_id")?,
        attempt_id: name("attempt_id")?,
        instance: filled("instance", record.text("instance")?)?.into(),
        times: u64::try_from(filled("times", record.integer("times")?)?).map_err(corrupt)?,
    })
}
