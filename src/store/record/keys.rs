//! Signing keys.

use super::{Record, corrupt, filled, json, text, time};
use crate::{domain::key::KeyRecord, port::store::StoreResult};

/// A signing key.
pub(in crate::store) fn key(record: &impl Record) -> StoreResult<KeyRecord> {
    Ok(KeyRecord {
        id: text(record, "id")?,
        algorithm: filled("algorithm", record.text("algorithm")?)?.parse().map_err(corrupt)?,
        public: json(record, "public_jwk")?,
        sealed_private: filled("sealed_private", record.bytes("sealed_private")?)?,
        created_at: time(record, "created_at")?,
        signs_from: time(record, "signs_from")?,
    })
}
