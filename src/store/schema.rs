//! What the two stores that speak SQL share about their schemas: what a foreign one is, and what to do about it.

use sqlx::migrate::MigrateError;

use super::OpenError;

/// Why a migration did not happen, or what is wrong with one that did.
pub(super) fn failed(error: MigrateError) -> OpenError {
    match error {
        MigrateError::VersionMissing(version) => newer(version, None),
        MigrateError::VersionMismatch(version) => OpenError::ForeignSchema(
            format!(
                "migration {version} is not the one that this version has: somebody else changed the database, or it \
                 belongs to another program"
            )
            .into(),
        ),
        MigrateError::Dirty(version) => OpenError::ForeignSchema(
            format!("migration {version} failed in the middle: go back to the backup from before it").into(),
        ),
        other => OpenError::Database(other.into()),
    }
}

/// A migration that this version does not know, and cannot live beside.
pub(super) fn newer(version: i64, description: Option<&str>) -> OpenError {
    let named = description.map(|description| format!(" ({description})")).unwrap_or_default();
    OpenError::ForeignSchema(
        format!(
            "migration {version}{named} is of a newer version; run that one, or go back to the backup from before it. \
             Nothing was changed"
        )
        .into(),
    )
}
