//! What is kept, as named columns: one mapping to the types of the domain for every backend that keeps rows or hashes.
//!
//! A backend reads its own rows through [`Record`]; a record that cannot be is [`StoreError::Corrupt`] on its way out.

mod accounts;
mod archive;
mod audit;
mod clients;
mod keys;
mod tokens;

use std::fmt::Display;

pub(super) use accounts::{consent, session, user};
pub(super) use archive::archived;
pub(super) use audit::audit_entry;
pub(super) use clients::{client, entry};
pub(super) use keys::key;
use serde::{Serialize, de::DeserializeOwned};
pub(super) use tokens::{access, code, family, grant, opaque, refresh};

use crate::{
    domain::{credential::Digest, time::Timestamp},
    port::store::{StoreError, StoreResult},
};

/// A row or a hash: columns by name. `None` stands for a column that is empty.
pub(super) trait Record {
    /// Text.
    fn text(&self, column: &'static str) -> StoreResult<Option<String>>;
    /// A whole number, e.g. Unix seconds.
    fn integer(&self, column: &'static str) -> StoreResult<Option<i64>>;
    /// Bytes.
    fn bytes(&self, column: &'static str) -> StoreResult<Option<Vec<u8>>>;
    /// Yes or no; never empty.
    fn flag(&self, column: &'static str) -> StoreResult<bool>;
}

/// For a record that cannot be.
pub(super) fn corrupt(what: impl Display) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

fn filled<T>(column: &str, value: Option<T>) -> StoreResult<T> {
    value.ok_or_else(|| corrupt(format_args!("{column}: empty")))
}

fn parsed<T: TryFrom<String, Error: Display>>(column: &str, text: String) -> StoreResult<T> {
    T::try_from(text).map_err(|error| corrupt(format_args!("{column}: {error}")))
}

/// A column in one of the domain's own types of text.
pub(super) fn text<T: TryFrom<String, Error: Display>>(record: &impl Record, column: &'static str) -> StoreResult<T> {
    parsed(column, filled(column, record.text(column)?)?)
}

fn optional_text<T>(record: &impl Record, column: &'static str) -> StoreResult<Option<T>>
where
    T: TryFrom<String, Error: Display>,
{
    record.text(column)?.map(|text| parsed(column, text)).transpose()
}

/// A time.
pub(super) fn time(record: &impl Record, column: &'static str) -> StoreResult<Timestamp> {
    filled(column, record.integer(column)?).map(Timestamp::from_unix)
}

/// A time that may be missing.
pub(super) fn optional_time(record: &impl Record, column: &'static str) -> StoreResult<Option<Timestamp>> {
    Ok(record.integer(column)?.map(Timestamp::from_unix))
}

fn thirty_two(column: &str, bytes: Vec<u8>) -> StoreResult<[u8; 32]> {
    bytes.try_into().map_err(|_| corrupt(format_args!("{column}: not 32 bytes")))
}

/// A digest.
pub(super) fn digest<K>(record: &impl Record, column: &'static str) -> StoreResult<Digest<K>> {
    filled(column, record.bytes(column)?).and_then(|bytes| thirty_two(column, bytes)).map(Digest::from_bytes)
}

fn optional_digest<K>(record: &impl Record, column: &'static str) -> StoreResult<Option<Digest<K>>> {
    record.bytes(column)?.map(|bytes| thirty_two(column, bytes).map(Digest::from_bytes)).transpose()
}

fn json<T: DeserializeOwned>(record: &impl Record, column: &'static str) -> StoreResult<T> {
    let text = filled(column, record.text(column)?)?;
    serde_json::from_str(&text).map_err(|error| corrupt(format_args!("{column}: {error}")))
}

fn spelled<T: DeserializeOwned>(record: &impl Record, column: &'static str) -> StoreResult<T> {
    from_word(column, filled(column, record.text(column)?)?)
}

/// A word for a value that the domain spells with serde, e.g. `by_client`.
pub(super) fn word<T: Serialize>(value: &T) -> StoreResult<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(corrupt(format_args!("not a word: {other}"))),
        Err(error) => Err(corrupt(error)),
    }
}

/// The value that [`word`] spelled.
fn from_word<T: DeserializeOwned>(column: &str, word: String) -> StoreResult<T> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|error| corrupt(format_args!("{column}: {error}")))
}

/// A value as JSON.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(corrupt)
}
