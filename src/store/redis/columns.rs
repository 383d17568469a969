//! Records as named columns, out of hashes and out of JSON.

use std::collections::HashMap;

use ::redis::{FromRedisValue, Value};
use serde_json::Value as Json;

use crate::{
    port::store::StoreResult,
    store::record::{Record, corrupt},
};

/// One record. A column that is empty is not there.
#[derive(Debug, Default)]
pub(super) struct Columns(HashMap<String, Vec<u8>>);

impl Columns {
    /// From the fields of a hash; `None` if it has none, which for Redis is the same as not being there.
    pub(super) fn from_hash(value: Value) -> StoreResult<Option<Self>> {
        let fields: HashMap<String, Vec<u8>> = read(value)?;
        Ok((!fields.is_empty()).then_some(Self(fields)))
    }

    /// From what `HMGET` answered for `names`.
    pub(super) fn from_fields(names: &[&'static str], values: Vec<Option<Vec<u8>>>) -> Self {
        let fields = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Self(fields.collect())
    }

    /// From what [`to_json`](crate::store::record::to_json) wrote: an object of texts and numbers.
    pub(super) fn from_json(text: &[u8]) -> StoreResult<Self> {
        let object: HashMap<String, Json> = serde_json::from_slice(text).map_err(corrupt)?;
        let mut columns = Self::default();
        for (name, value) in object {
            match value {
                Json::Null => {}
                Json::String(text) => columns.set(name, text),
                Json::Number(number) => columns.set(name, number.to_string()),
                Json::Bool(_) | Json::Array(_) | Json::Object(_) => return Err(corrupt("neither a text nor a number")),
            }
        }
        Ok(columns)
    }

    /// Fills in a column.
    pub(super) fn set(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.insert(name.into(), value.into());
    }

    /// Takes a column out.
    pub(super) fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        self.0.remove(name)
    }

    /// Whether a column is filled with this.
    pub(super) fn is(&self, name: &str, value: &[u8]) -> bool {
        self.0.get(name).is_some_and(|bytes| bytes == value)
    }

    /// Whether a column is filled.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl Record for Columns {
    fn text(&self, column: &'static str) -> StoreResult<Option<String>> {
        let text =
            |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).map_err(|_| corrupt(format_args!("{column}: no text")));
        self.0.get(column).map(text).transpose()
    }

    fn integer(&self, column: &'static str) -> StoreResult<Option<i64>> {
        let number = |text: String| text.parse().map_err(|_| corrupt(format_args!("{column}: no number")));
        self.text(column)?.map(number).transpose()
    }

    fn bytes(&self, column: &'static str) -> StoreResult<Option<Vec<u8>>> {
        Ok(self.0.get(column).cloned())
    }

    fn flag(&self, column: &'static str) -> StoreResult<bool> {
        match self.0.get(column).map(Vec::as_slice) {
            Some(b"1") => Ok(true),
            Some(b"0") => Ok(false),
            Some(_) | None => Err(corrupt(format_args!("{column}: neither yes nor no"))),
        }
    }
}

/// An answer as the type that it has to be. What it was instead is not repeated: it may be a hash of a password.
pub(super) fn read<T: FromRedisValue>(value: Value) -> StoreResult<T> {
    ::redis::from_redis_value(value).map_err(|_| corrupt("an answer of another type"))
}
