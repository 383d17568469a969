//! What the two stores that speak SQL share about their schemas: what a foreign one is, and what to do about it.

use sqlx::migrate::MigrateError;

use super::OpenError;

/// Why a migration did not happen, or what is wrong with one that did.
pub(super) fn failed(error: MigrateError) -> OpenError {
    let wrong = if let MigrateError::VersionMissing(version) = error {
        return newer(version, None);
    } else if let MigrateError::VersionMismatch(version) = error {
        format!(
            "migration {version} is not the one that this version has: somebody else changed the database, or it belongs to \
             another program"
        )
    } else if let MigrateError::Dirty(version) = error {
        format!("migration {version} failed in the middle: go back to the backup from before it")
    } else {
        return OpenError::Database(error.into());
    };
    OpenError::ForeignSchema(wrong.into())
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
