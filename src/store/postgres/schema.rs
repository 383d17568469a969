//! The schema and its versions.
//!
//! Many processes may start at once: the first takes a lock and migrates, the others wait and find nothing left to do. Where
//! nothing is pending, nothing is locked and nothing is written, so that a server may run as a role that cannot change the
//! schema while `gateward migrate` runs as one that can.
//!
//! **Rolling upgrades**: a migration of a newer version whose description starts with `expand` only adds (a table, an index, a
//! column that may be empty), and this version goes on working beside it; it is tolerated with a warning. Any other migration
//! that this version does not know makes the schema a foreign one. So a change that takes something away comes in two releases:
//! first expand, then, when no old version runs any more, contract.

use std::{sync::LazyLock, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection,
    migrate::{MigrateError, Migrator},
};
use tokio::time::timeout;

use super::Address;
use crate::store::{
    Migrations, OpenError, SchemaChange, SchemaState,
    schema::{MigrationFile, failed, migrator, named, newer},
};

const MIGRATIONS: &[MigrationFile] = &[
    (1, "initial", include_str!("../../../migrations/postgres/0001_initial.sql")),
    (2, "expand audit entries", include_str!("../../../migrations/postgres/0002_expand_audit_entries.sql")),
];

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = migrator(MIGRATIONS);
    // Both are done here, with exceptions.
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
});

/// How long a server may take to let us in when a store is opened.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of the lock that whoever migrates holds: "gateward" in ASCII.
const LOCK: i64 = 0x6761_7465_7761_7264;

/// How often whoever waits for the lock asks for it.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// How the description of a migration starts that older versions can live with.
const EXPAND: &str = "expand";

/// SQLSTATE 42501.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Sees that the schema is one that this version can work with, and changes it if it may.
pub(super) async fn bring_up_to_date(address: &Address, migrations: Migrations) -> Result<(), OpenError> {
    let mut connection = connect(address).await?;
    let SchemaState { pending, mut ahead } = look(&mut connection).await?;
    match (pending.len(), migrations) {
        (0, Migrations::Run | Migrations::Refuse) => {}
        (pending, Migrations::Refuse) => return Err(OpenError::MigrationsPending(pending)),
        (pending, Migrations::Run) => {
            migrate(&mut connection).await.map_err(|error| may_not(pending, error).unwrap_or_else(failed))?;
            // Whoever held the lock before may have been a newer version.
            ahead = look(&mut connection).await?.ahead;
        }
    }
    for SchemaChange { version, description } in ahead {
        tracing::warn!(version, description, "the schema was expanded by a newer version");
    }
    connection.close().await.map_err(database)
}

/// Whether it was the role that may not; another error comes back.
fn may_not(pending: usize, error: MigrateError) -> Result<OpenError, MigrateError> {
    if let MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) = &error
        && code(cause).as_deref() == Some(INSUFFICIENT_PRIVILEGE)
        && let Some(said) = cause.as_database_error()
    {
        return Ok(OpenError::MayNotMigrate(pending, said.message().into()));
    }
    Err(error)
}

/// Each migration is one transaction. Whoever drops this drops the connection, and the server undoes what was under way.
async fn migrate(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let locked = match lock(connection).await {
        Ok(()) => true,
        // An engine without advisory locks. There, too, each migration happens once: the second one to try fails, and finds
        // nothing left to do when it is started again.
        Err(error) if is_not_supported(&error) => false,
        Err(error) => return Err(error.into()),
    };
    MIGRATOR.run_direct(None, connection, false).await?;
    if locked {
        sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK).execute(connection).await?;
    }
    Ok(())
}

/// Asks for the lock until it is there. A statement that waited for it would look to `CREATE INDEX CONCURRENTLY`, in the
/// session that holds the lock, like somebody to wait for: a deadlock.
async fn lock(connection: &mut PgConnection) -> sqlx::Result<()> {
    let ask = "SELECT pg_try_advisory_lock($1)";
    while !sqlx::query_scalar::<_, bool>(ask).bind(LOCK).fetch_one(&mut *connection).await? {
        #[expect(clippy::disallowed_methods, reason = "the server has no way to tell when the lock is free")]
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
    Ok(())
}

/// Unknown function, or one that is known and does nothing.
fn is_not_supported(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| matches!(&*code, "42883" | "0A000"))
}

pub(in crate::store) async fn schema_of(address: &Address) -> Result<SchemaState, OpenError> {
    let mut connection = connect(address).await?;
    let state = look(&mut connection).await?;
    connection.close().await.map_err(database)?;
    Ok(state)
}

async fn connect(address: &Address) -> Result<PgConnection, OpenError> {
    address.check_files()?;
    let connected = timeout(CONNECT_TIMEOUT, address.options().connect()).await;
    connected.map_err(|_| OpenError::Database("the server does not answer".into()))?.map_err(database)
}

/// What the schema lacks, and what it has besides; an error if it is not ours.
async fn look(connection: &mut PgConnection) -> Result<SchemaState, OpenError> {
    let applied = applied(connection).await.map_err(database)?;
    let mut ahead = Vec::new();
    let newest = MIGRATOR.iter().map(|migration| migration.version).max();
    for (version, description, success, checksum) in &applied {
        match MIGRATOR.iter().find(|known| known.version == *version) {
            Some(known) if known.checksum != *checksum => return Err(failed(MigrateError::VersionMismatch(*version))),
            Some(_) | None if !success => return Err(failed(MigrateError::Dirty(*version))),
            Some(_) => {}
            None if Some(*version) > newest && description.starts_with(EXPAND) => {
                ahead.push(SchemaChange { version: *version, description: description.clone() });
            }
            None => return Err(newer(*version, Some(description))),
        }
    }
    let is_pending = |version: i64| !applied.iter().any(|(applied, ..)| *applied == version);
    let pending = MIGRATOR.iter().filter(|migration| is_pending(migration.version));
    Ok(SchemaState { pending: pending.map(named).collect(), ahead })
}

/// Version, description, whether it succeeded, checksum.
type Applied = (i64, String, bool, Vec<u8>);

async fn applied(connection: &mut PgConnection) -> sqlx::Result<Vec<Applied>> {
    let known = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL");
    if !known.fetch_one(&mut *connection).await? {
        return Ok(Vec::new());
    }
    let applied =
        sqlx::query_as("SELECT version, description, success, checksum FROM _sqlx_migrations ORDER BY version");
    applied.fetch_all(connection).await
}

fn database(error: sqlx::Error) -> OpenError {
    OpenError::Database(said(error))
}

/// In the server's words; the driver would add the line of the server's source.
fn said(error: sqlx::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error.as_database_error() {
        Some(said) => said.message().into(),
        None => error.into(),
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;
    use crate::store::schema::tests::assert_that_every_file_is_listed;

    #[tokio::test]
    async fn every_migration_for_postgres_is_listed_under_the_name_of_its_file() {
        assert_that_every_file_is_listed(MIGRATIONS, "postgres").await;
    }
}
