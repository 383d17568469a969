//! Copies of the file, and how one takes the place of the file.
//!
//! A backup is what `VACUUM INTO` writes: the store as it was at one moment, in one file, while servers go on reading and writing.
//! Copying the file itself would miss what is still in the log beside it, or catch half of a commit.
//!
//! A backup that comes back is first made whole as a *draft* beside the store, so that everything about it can be tried there.
//! Then, with nobody else at the store:
//!
//! 1. the old file keeps a second name, and its log goes there, too: a log that is left behind would be played into the new file;
//! 2. the draft is renamed to the name of the store. At every moment there is a whole store under that name.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use thiserror::Error;

use super::{applied_migrations, lock_directory, schema_of};
use crate::store::OpenError;

/// What SQLite keeps beside a file, and would take for a part of whatever has that name.
const BESIDE: &[&str] = &["-wal", "-shm", "-journal"];

/// Which of them hold changes that the file lacks.
const LOGS: &[&str] = &["-wal", "-journal"];

/// How long others may take to let go of a store that is to be replaced: a command that is just ending.
const PATIENCE: Duration = Duration::from_secs(1);

/// Codes of SQLite (<https://www.sqlite.org/rescode.html>): somebody else has the file; it is no database, or a broken one.
const BUSY: i32 = 5;
const BROKEN: &[i32] = &[11, 26];

/// Why a backup was not made, or did not take the place of a store. Whatever it is, nothing has changed.
#[derive(Debug, Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("there is no store at {}", .0.display())]
    NoStore(PathBuf),
    /// Somebody else's file.
    #[error("{} exists already, and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// A path that SQLite cannot be told.
    #[error("{} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// The file or its directory cannot be read or written.
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The store does not answer, e.g. because the disk is full.
    #[error("SQLite failed")]
    Database(#[from] sqlx::Error),
    /// The backup is not whole.
    #[error("{} is damaged: {found}", path.display())]
    Damaged { path: PathBuf, found: String },
    /// It is a database, and holds no store.
    #[error("{} is a database, but no store of this program", .0.display())]
    Foreign(PathBuf),
    /// It is a store in use, whose newest part is in the log beside it.
    #[error(
        "{} has a log beside it, so it is a store or a copy of a part of one, and no backup: make one with `gateward backup`",
        .0.display()
    )]
    NotABackup(PathBuf),
    /// Its schema is of another version or program.
    #[error(transparent)]
    Schema(OpenError),
    /// A server or a command has the store open.
    #[error("somebody has {} open: stop the server, and every other command", .0.display())]
    InUse(PathBuf),
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::File { path: path.to_owned(), source }
}

fn exists_or_unusable(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            BackupError::Exists(path.to_owned())
        } else {
            unusable(path)(source)
        }
    }
}

/// Writes what the store at `store` holds to the new file `target`, which only its owner can read. It appears there whole and on
/// the disk, or not at all.
pub async fn back_up(store: &Path, target: &Path) -> Result<(), BackupError> {
    if !store.exists() {
        return Err(BackupError::NoStore(store.to_owned()));
    }
    if target.exists() {
        return Err(BackupError::Exists(target.to_owned()));
    }
    schema_of(store).await.map_err(BackupError::Schema)?;
    let directory = directory_of(target);
    let draft = tempfile::Builder::new().prefix(".gateward-backup-").tempfile_in(directory);
    let draft = draft.map_err(unusable(target))?;
    let name = draft.path().to_str().ok_or_else(|| BackupError::NotUtf8(target.to_owned()))?;
    let mut source = existing(store).read_only(true).connect().await?;
    // Into a file that is there and empty, because this one has the right mode.
    sqlx::query("VACUUM INTO $1").bind(name).execute(&mut source).await?;
    source.close().await?;
    check(draft.path()).await?;
    draft.as_file().sync_all().map_err(unusable(target))?;
    draft.persist_noclobber(target).map_err(|failed| exists_or_unusable(target)(failed.error))?;
    sync(directory).map_err(unusable(directory))
}

/// Whether a file is a whole store that this version knows.
async fn check(file: &Path) -> Result<(), BackupError> {
    let found = async {
        // Nobody changes it, so there is nothing to lock and no log to look for.
        let mut connection = existing(file).read_only(true).immutable(true).connect().await?;
        let mut found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await?;
        found.retain(|line| line != "ok");
        for row in sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await? {
            found.push(format!("a row of {} refers to none", sqlx::Row::get::<String, _>(&row, 0)));
        }
        connection.close().await?;
        Ok(found)
    };
    let damaged = |found: String| BackupError::Damaged { path: file.to_owned(), found };
    match found.await {
        Ok(found) if found.is_empty() => {}
        Ok(found) => return Err(damaged(found.into_iter().take(3).collect::<Vec<_>>().join("; "))),
        Err(error) if primary_code(&error).is_some_and(|code| BROKEN.contains(&code)) => {
            return Err(damaged(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    }
    let applied = applied_migrations(existing(file).read_only(true).immutable(true)).await;
    match applied.map_err(BackupError::Schema)?.as_slice() {
        [] => Err(BackupError::Foreign(file.to_owned())),
        _ => Ok(()),
    }
}

/// A backup, made ready to be a store: in a directory of its own beside the place where it is to go, so that it can get there by
/// a rename. Dropping it removes it.
#[derive(Debug)]
pub struct Draft {
    directory: TempDir,
    store: PathBuf,
}

impl Draft {
    /// Copies and checks `backup`.
    pub async fn of(backup: &Path, store: &Path) -> Result<Self, BackupError> {
        let has_log = |end: &&str| fs::metadata(beside(backup, end)).is_ok_and(|log| log.len() > 0);
        if LOGS.iter().any(has_log) {
            return Err(BackupError::NotABackup(backup.to_owned()));
        }
        fs::metadata(backup).map_err(unusable(backup))?;
        check(backup).await?;
        let place = directory_of(store);
        super::create_directory(place).map_err(unusable(place))?;
        let directory = tempfile::Builder::new().prefix(".gateward-restore-").tempdir_in(place);
        let draft = Self { directory: directory.map_err(unusable(place))?, store: store.to_owned() };
        super::create_file(&draft.path()).map_err(unusable(&draft.path()))?;
        let copy = || io::copy(&mut fs::File::open(backup)?, &mut fs::File::create(draft.path())?);
        copy().map_err(unusable(backup))?;
        Ok(draft)
    }

    /// Where it is until it takes its place.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("gateward.db")
    }

    /// Takes the place of the store. What was there is kept under the name `aside`; whether there was anything.
    ///
    /// Whoever runs the server must be able to use it: it belongs to whom the old file belonged to, or else the directory.
    pub async fn take_place(self, aside: &Path) -> Result<bool, BackupError> {
        let (store, draft) = (&self.store, self.path());
        let directory = directory_of(store);
        // A server that starts waits here, and then finds the new file.
        let _alone = lock_directory(store).await.map_err(unusable(directory))?;
        let replaces = store.exists();
        let held = if replaces { hold(store).await? } else { None };
        // Whatever was done to the draft is in it, and not in a log that would stay behind.
        drop(hold(&draft).await?);
        let moved = || {
            if BESIDE.iter().map(|end| beside(aside, end)).chain([aside.to_owned()]).any(|path| path.exists()) {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            give_to_owner_of(if replaces { store } else { directory }, &draft)?;
            fs::File::open(&draft)?.sync_all()?;
            for end in BESIDE {
                let (from, to) = (beside(store, end), beside(aside, end));
                if from.exists() {
                    fs::rename(from, to)?;
                }
            }
            if replaces && fs::hard_link(store, aside).is_err() {
                // A file system without second names: for a moment there is no store.
                fs::rename(store, aside)?;
            }
            fs::rename(&draft, store)?;
            sync(directory)
        };
        moved().map_err(exists_or_unusable(aside))?;
        drop(held);
        Ok(replaces)
    }
}

/// The only connection to the store, holding everybody else off; its log is in the file now. `None` for a file that SQLite cannot
/// read: nobody can be told by its locks.
async fn hold(store: &Path) -> Result<Option<SqliteConnection>, BackupError> {
    let hold = async {
        let mut connection = existing(store).busy_timeout(PATIENCE).connect().await?;
        // In a log nobody is alone; to leave it, nobody else may have the file open, not even to read.
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode = DELETE").fetch_one(&mut connection).await?;
        connection.execute("BEGIN EXCLUSIVE").await?;
        Ok((mode == "delete").then_some(connection))
    };
    match hold.await {
        Ok(Some(connection)) => Ok(Some(connection)),
        Ok(None) => Err(BackupError::InUse(store.to_owned())),
        Err(error) => match primary_code(&error) {
            Some(BUSY) => Err(BackupError::InUse(store.to_owned())),
            Some(code) if BROKEN.contains(&code) => Ok(None),
            Some(_) | None => Err(error.into()),
        },
    }
}

fn existing(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).create_if_missing(false).busy_timeout(super::BUSY_TIMEOUT)
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A new name is on the disk only when its directory is.
fn sync(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// An operator may be root, and the server is not.
#[cfg(unix)]
fn give_to_owner_of(like: &Path, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let (wanted, own) = (fs::metadata(like)?, fs::metadata(path)?);
    if (wanted.uid(), wanted.gid()) == (own.uid(), own.gid()) {
        return Ok(());
    }
    chown(path, Some(wanted.uid()), Some(wanted.gid()))
}

#[cfg(not(unix))]
fn give_to_owner_of(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}
