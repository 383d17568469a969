//! Everything in one SQLite file.
//!
//! 1. The file is made with mode 0600 in a directory of mode 0700, and its schema is brought up to date in one transaction.
//! 2. One task owns the only connection that writes ([`writer`]): what it does is committed before anybody hears of it, with
//!    an fsync, so that it survives `kill -9` and a power cut.
//! 3. A few read-only connections answer questions, each with a single statement that sees one snapshot.

mod accounts;
mod archive;
mod audit;
pub(super) mod backup;
mod clients;
mod family;
mod keys;
mod tokens;
mod writer;

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use self::writer::Writer;
use super::{
    Migrations, OpenError, SchemaState,
    measured::PoolUse,
    schema::{self, MigrationFile},
};
use crate::port::store::StoreResult;

/// Primary result codes (<https://www.sqlite.org/rescode.html>) after which the same call may work: busy, locked, out of
/// memory, read-only, interrupted, I/O, full, cannot open, locking protocol, schema changed meanwhile.
const PASSING: &[i32] = &[5, 6, 7, 8, 9, 10, 13, 14, 15, 17];

/// Whether the same call may work another time; `code` is the extended one, whose low byte is the primary one.
pub(super) fn may_pass(code: &str) -> bool {
    code.parse::<i32>().is_ok_and(|code| PASSING.contains(&(code & 0xff)))
}

const MIGRATIONS: &[MigrationFile] = &[
    (1, "initial", include_str!("../../../migrations/sqlite/0001_initial.sql")),
    (2, "consents by client", include_str!("../../../migrations/sqlite/0002_consents_by_client.sql")),
    (3, "expand audit entries", include_str!("../../../migrations/sqlite/0003_expand_audit_entries.sql")),
];

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| schema::migrator(MIGRATIONS));

/// Readers do not wait for each other or for the writer; more of them than this only fight for the processor.
const READERS: u32 = 4;

/// How long to wait for another process that writes, e.g. the command line beside a running server.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a question waits for a free reader.
const READER_TIMEOUT: Duration = Duration::from_secs(5);

/// One open file; implements every family.
pub(super) struct Sqlite {
    readers: SqlitePool,
    writer: Writer,
}

impl Sqlite {
    pub(super) async fn open(path: &Path, migrations: Migrations) -> Result<Arc<Self>, OpenError> {
        match migrations {
            Migrations::Run => {
                let unusable = |source| OpenError::File { path: path.into(), source };
                // Held until the file is as it should be: switching a new file to WAL fails while another process has it open.
                let _alone = lock_directory(path).await.map_err(unusable)?;
                create_file(path).map_err(unusable)?;
                migrate(path).await?;
            }
            Migrations::Refuse => match schema_of(path).await?.pending.len() {
                0 => {}
                pending => return Err(OpenError::MigrationsPending(pending)),
            },
        }
        let writer = Writer::open(options(path)).await.map_err(database)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READER_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(options(path).read_only(true));
        Ok(Arc::new(Self { readers, writer }))
    }

    /// Readers first: a checkpoint can only pass what nobody reads any more.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        PoolUse::of(&self.readers).waiting(self.writer.waiting())
    }

    /// Whether both ways in work.
    async fn ping_both(&self) -> StoreResult<()> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        self.writer.ping().await
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // WAL with NORMAL may lose the last commits in a power cut: tokens that somebody already holds.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// Makes the directory of the file, and waits until no other process is setting up a file in it.
async fn lock_directory(path: &Path) -> io::Result<File> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => Path::new(".").to_owned(),
    };
    let lock = move || {
        create_directory(&directory)?;
        let handle = File::open(&directory)?;
        handle.lock()?;
        Ok(handle)
    };
    tokio::task::spawn_blocking(lock).await.map_err(io::Error::other)?
}

/// For its owner only, unless it is there.
fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// SQLite gives the files beside it (`-wal`, `-shm`) the mode of the database itself.
fn create_file(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut file = OpenOptions::new();
    file.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.open(path).map(drop)
}

/// All pending migrations in one transaction that begins with the write lock.
async fn migrate(path: &Path) -> Result<(), OpenError> {
    let mut connection = options(path).connect().await.map_err(database)?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(database)?;
    MIGRATOR.run_direct(None, &mut *transaction, false).await.map_err(schema::failed)?;
    transaction.commit().await.map_err(database)?;
    connection.close().await.map_err(database)
}

pub(super) async fn schema_of(path: &Path) -> Result<SchemaState, OpenError> {
    let read_only = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    let applied = if path.exists() { applied_migrations(read_only).await? } else { Vec::new() };
    if let Some(unknown) = applied.iter().find(|version| !MIGRATOR.version_exists(**version)) {
        return Err(schema::newer(*unknown, None));
    }
    let pending = MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version));
    Ok(SchemaState { pending: pending.map(schema::named).collect(), ahead: Vec::new() })
}

async fn applied_migrations(file: SqliteConnectOptions) -> Result<Vec<i64>, OpenError> {
    let mut connection: SqliteConnection = file.connect().await.map_err(database)?;
    let table = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'";
    let known: i64 = sqlx::query_scalar(table).fetch_one(&mut connection).await.map_err(database)?;
    let applied = if known == 0 {
        Vec::new()
    } else {
        let versions = sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version");
        versions.fetch_all(&mut connection).await.map_err(database)?
    };
    connection.close().await.map_err(database)?;
    Ok(applied)
}

fn database(error: sqlx::Error) -> OpenError {
    OpenError::Database(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What makes a commit last cannot be seen from outside without cutting the power, so the settings are asked for.
    #[tokio::test]
    async fn a_commit_is_written_through_to_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(&directory.path().join("gateward.db"), Migrations::Run).await.unwrap();
        let settings = "SELECT (SELECT * FROM pragma_journal_mode), (SELECT * FROM pragma_synchronous),
            (SELECT * FROM pragma_foreign_keys)";
        let found: (String, i64, i64) = sqlite
            .writer
            .run(move |connection| Box::pin(async move { Ok(sqlx::query_as(settings).fetch_one(connection).await?) }))
            .await
            .unwrap();
        assert_eq!(found, ("wal".to_owned(), 2, 1), "2 is FULL");
    }

    #[tokio::test]
    async fn every_migration_for_sqlite_is_listed_under_the_name_of_its_file() {
        schema::tests::assert_that_every_file_is_listed(MIGRATIONS, "sqlite").await;
    }
}
