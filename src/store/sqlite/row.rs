//! Between rows and the types of the domain, and between SQLite's failures and ours.
//!
//! A row that cannot be is a [`sqlx::Error::Decode`] on its way out of a query, so that everything in here has one error type;
//! [`failure`] turns it into [`StoreError::Corrupt`].

use std::fmt::Display;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    domain::{credential::Digest, time::Timestamp},
    port::store::StoreError,
};

/// Primary result codes (<https://www.sqlite.org/rescode.html>) after which the same call may work: busy, locked, out of
/// memory, read-only, interrupted, I/O, full, cannot open, locking protocol, schema changed meanwhile.
const PASSING: &[i32] = &[5, 6, 7, 8, 9, 10, 13, 14, 15, 17];

/// What a failure means to whoever asked.
pub(super) fn failure(error: sqlx::Error) -> StoreError {
    let corrupt = match error.as_database_error() {
        Some(database) => {
            // The extended code; its low byte is the primary one.
            let code = database.code().and_then(|code| code.parse::<i32>().ok());
            !code.is_some_and(|code| PASSING.contains(&(code & 0xff)))
        }
        None => matches!(
            error,
            sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::ColumnIndexOutOfBounds { .. }
                | sqlx::Error::TypeNotFound { .. }
                | sqlx::Error::RowNotFound
                | sqlx::Error::Encode(_)
        ),
    };
    if corrupt { StoreError::Corrupt(error.to_string()) } else { StoreError::Unavailable(error.into()) }
}

/// For a row that cannot be.
pub(super) fn corrupt(what: impl Display) -> sqlx::Error {
    sqlx::Error::Decode(what.to_string().into())
}

/// A text column in one of the domain's own types.
pub(super) fn text<T>(row: &SqliteRow, column: &'static str) -> sqlx::Result<T>
where
    T: TryFrom<String, Error: Display>,
{
    parsed(column, row.try_get(column)?)
}

/// A text column that may be empty.
pub(super) fn optional_text<T>(row: &SqliteRow, column: &'static str) -> sqlx::Result<Option<T>>
where
    T: TryFrom<String, Error: Display>,
{
    row.try_get::<Option<String>, _>(column)?.map(|text| parsed(column, text)).transpose()
}

fn parsed<T: TryFrom<String, Error: Display>>(column: &str, text: String) -> sqlx::Result<T> {
    T::try_from(text).map_err(|error| corrupt(format_args!("{column}: {error}")))
}

/// A time.
pub(super) fn time(row: &SqliteRow, column: &'static str) -> sqlx::Result<Timestamp> {
    row.try_get(column).map(Timestamp::from_unix)
}

/// A time that may be missing.
pub(super) fn optional_time(row: &SqliteRow, column: &'static str) -> sqlx::Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_unix))
}

/// Thirty-two bytes.
pub(super) fn bytes(row: &SqliteRow, column: &'static str) -> sqlx::Result<[u8; 32]> {
    thirty_two(column, row.try_get(column)?)
}

/// A digest.
pub(super) fn digest<K>(row: &SqliteRow, column: &'static str) -> sqlx::Result<Digest<K>> {
    bytes(row, column).map(Digest::from_bytes)
}

/// A digest that may be missing.
pub(super) fn optional_digest<K>(row: &SqliteRow, column: &'static str) -> sqlx::Result<Option<Digest<K>>> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    bytes.map(|bytes| thirty_two(column, bytes).map(Digest::from_bytes)).transpose()
}

fn thirty_two(column: &str, bytes: Vec<u8>) -> sqlx::Result<[u8; 32]> {
    bytes.try_into().map_err(|_| corrupt(format_args!("{column}: not 32 bytes")))
}

/// A column of JSON.
pub(super) fn json<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> sqlx::Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| corrupt(format_args!("{column}: {error}")))
}

/// A word for a value that the domain spells with serde, e.g. `by_client`.
pub(super) fn word<T: Serialize>(value: &T) -> sqlx::Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(sqlx::Error::Encode(format!("not a word: {other}").into())),
        Err(error) => Err(sqlx::Error::Encode(error.into())),
    }
}

/// The value that [`word`] spelled.
pub(super) fn from_word<T: DeserializeOwned>(column: &str, word: String) -> sqlx::Result<T> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|error| corrupt(format_args!("{column}: {error}")))
}

/// A column with a [`word`].
pub(super) fn spelled<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> sqlx::Result<T> {
    from_word(column, row.try_get(column)?)
}

/// A value as JSON.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// For `LIMIT`.
pub(super) fn limit(limit: u32) -> i64 {
    limit.into()
}
