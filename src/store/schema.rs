//! What the two stores that speak SQL share about their schemas: the migrations, what a foreign schema is, and what to do about it.

use sqlx::{
    SqlStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::{OpenError, SchemaChange};

/// A file of `migrations/`: its version, its description and what is in it.
pub(super) type MigrationFile = (i64, &'static str, &'static str);

/// How a file begins that must not be one transaction.
const NO_TRANSACTION: &str = "-- no-transaction";

/// The macro of sqlx would find the files by itself, and has both drivers and their cryptography built once more, for the compiler.
pub(super) fn migrator(files: &[MigrationFile]) -> Migrator {
    let migration = |&(version, description, sql): &MigrationFile| {
        let no_transaction = sql.starts_with(NO_TRANSACTION);
        Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), no_transaction)
    };
    Migrator::with_migrations(files.iter().map(migration).collect())
}

/// As it is told to an operator.
pub(super) fn named(migration: &Migration) -> SchemaChange {
    SchemaChange { version: migration.version, description: migration.description.to_string() }
}

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

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;

    /// Compares with what sqlx finds in `migrations/`.
    pub(in crate::store) async fn assert_that_every_file_is_listed(files: &[MigrationFile], folder: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
        let found = Migrator::new(path).await.unwrap();
        let of = |migration: &Migration| {
            let Migration { version, description, migration_type, checksum, no_tx, .. } = migration.clone();
            (version, description, migration_type, checksum, no_tx)
        };
        assert_eq!(migrator(files).iter().map(of).collect::<Vec<_>>(), found.iter().map(of).collect::<Vec<_>>());
    }
}
