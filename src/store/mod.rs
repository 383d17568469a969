//! Where things last: one backend per folder. [`Stores::open`] is the only match on a backend.
//!
//! A URL says where: `memory:`, `sqlite:PATH`, `postgres://..` or `redis://..`. Every backend implements all four families, so
//! one URL is enough; a family may also live somewhere else than the others.

mod cached;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
mod record;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{error::Error, fmt, path::PathBuf, sync::Arc, time::Duration};

use thiserror::Error;

use self::cached::CachedClients;
use crate::port::store::{AccountStore, Change, ChangeFeed, ClientStore, KeyStore, TokenStore};

/// The four families, each behind its trait.
#[derive(Clone)]
pub struct Stores {
    pub clients: Arc<dyn ClientStore>,
    pub tokens: Arc<dyn TokenStore>,
    pub accounts: Arc<dyn AccountStore>,
    pub keys: Arc<dyn KeyStore>,
    /// What [`Stores::close`] has to close.
    open: Vec<Backend>,
    clients_are_watched: bool,
    client_copies: Option<Arc<CachedClients>>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("open", &self.open).finish_non_exhaustive()
    }
}

/// A URL that names no store here. The whole URL is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidStoreUrl {
    /// It has no scheme.
    #[error("a store URL starts with memory:, sqlite:, postgres:// or redis://")]
    NoScheme,
    /// Nothing here speaks this scheme.
    #[error("no store for `{0}:`; there are memory:, sqlite:PATH, postgres://.., redis://.. and rediss://..")]
    UnknownScheme(String),
    /// The scheme is known, and this build leaves it out.
    #[error("this build has no store for `{0}:`")]
    NotBuiltIn(&'static str),
    /// `memory:` with something after it.
    #[error("memory: takes nothing after the colon")]
    MemoryTakesNothing,
    /// `sqlite:` without a usable path.
    #[error("sqlite: needs the path of a file, without parameters; for one that forgets use memory:")]
    NoPath,
    /// A URL of a server that cannot be read; says which part of it is wrong, never what the part is.
    #[error("the URL cannot be read: {0}")]
    Malformed(String),
}

/// Why a store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL is wrong.
    #[error(transparent)]
    Url(#[from] InvalidStoreUrl),
    /// The file or its directory cannot be created or read.
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// The database does not answer, or not as one that can be used.
    #[error("cannot open the database")]
    Database(#[source] Box<dyn Error + Send + Sync>),
    /// Its schema is older than this program, and it was not to be changed.
    #[error("{0} migrations are pending: run `gateward migrate`")]
    MigrationsPending(usize),
    /// Its schema is newer than this program, or was changed by somebody else.
    #[error("the schema of the database is not one that this version knows")]
    ForeignSchema(#[source] Box<dyn Error + Send + Sync>),
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
    Memory,
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Address),
    #[cfg(feature = "redis")]
    Redis(redis::Address),
}

impl Location {
    fn parse(url: &str) -> Result<Self, InvalidStoreUrl> {
        let (scheme, rest) = url.split_once(':').ok_or(InvalidStoreUrl::NoScheme)?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(InvalidStoreUrl::MemoryTakesNothing),
            "sqlite" => Self::parse_sqlite(rest),
            "postgres" | "postgresql" => Self::parse_postgres(url),
            "redis" | "rediss" => Self::parse_redis(url),
            other => Err(InvalidStoreUrl::UnknownScheme(other.to_owned())),
        }
    }

    /// `PATH` or, as other programs write it, `//PATH`.
    #[cfg(feature = "sqlite")]
    fn parse_sqlite(rest: &str) -> Result<Self, InvalidStoreUrl> {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        // `:memory:` would be a database of its own for every connection.
        if path.is_empty() || path.ends_with('/') || path.starts_with(':') || path.contains('?') {
            return Err(InvalidStoreUrl::NoPath);
        }
        Ok(Self::Sqlite(path.into()))
    }

    #[cfg(not(feature = "sqlite"))]
    fn parse_sqlite(_: &str) -> Result<Self, InvalidStoreUrl> {
        Err(InvalidStoreUrl::NotBuiltIn("sqlite"))
    }

    #[cfg(feature = "postgres")]
    fn parse_postgres(url: &str) -> Result<Self, InvalidStoreUrl> {
        postgres::Address::parse(url).map(Self::Postgres)
    }

    #[cfg(not(feature = "postgres"))]
    fn parse_postgres(_: &str) -> Result<Self, InvalidStoreUrl> {
        Err(InvalidStoreUrl::NotBuiltIn("postgres"))
    }

    #[cfg(feature = "redis")]
    fn parse_redis(url: &str) -> Result<Self, InvalidStoreUrl> {
        redis::Address::parse(url).map(Self::Redis)
    }

    #[cfg(not(feature = "redis"))]
    fn parse_redis(_: &str) -> Result<Self, InvalidStoreUrl> {
        Err(InvalidStoreUrl::NotBuiltIn("redis"))
    }
}

/// What to do about a schema that is older than the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrations {
    /// Bring it up to date.
    Run,
    /// Refuse to open.
    Refuse,
}

/// Where each family lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreUrls {
    /// For every family that names no place of its own.
    pub default: String,
    pub clients: Option<String>,
    pub tokens: Option<String>,
    pub accounts: Option<String>,
    pub keys: Option<String>,
}

/// Something that is open; shared by the families that live in it.
#[derive(Clone)]
enum Backend {
    Memory(Arc<memory::Memory>),
    #[cfg(feature = "sqlite")]
    Sqlite(Arc<sqlite::Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<postgres::Postgres>),
    #[cfg(feature = "redis")]
    Redis(Arc<redis::Redis>),
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "Memory",
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "Sqlite",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "Postgres",
            #[cfg(feature = "redis")]
            Self::Redis(_) => "Redis",
        })
    }
}

impl Backend {
    async fn open(location: &Location, migrations: Migrations) -> Result<Self, OpenError> {
        match (location, migrations) {
            // It begins with nothing, so there is nothing to bring up to date.
            (Location::Memory, Migrations::Run | Migrations::Refuse) => Ok(Self::Memory(Arc::default())),
            #[cfg(feature = "sqlite")]
            (Location::Sqlite(path), migrations) => Ok(Self::Sqlite(sqlite::Sqlite::open(path, migrations).await?)),
            #[cfg(feature = "postgres")]
            (Location::Postgres(address), migrations) => {
                Ok(Self::Postgres(postgres::Postgres::open(address, migrations).await?))
            }
            // It has no schema.
            #[cfg(feature = "redis")]
            (Location::Redis(address), Migrations::Run | Migrations::Refuse) => {
                Ok(Self::Redis(redis::Redis::open(address).await?))
            }
        }
    }

    fn clients(&self) -> Arc<dyn ClientStore> {
        match self {
            Self::Memory(memory) => memory.clients.clone(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.clone(),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.clone(),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.clone(),
        }
    }

    fn tokens(&self) -> Arc<dyn TokenStore> {
        match self {
            Self::Memory(memory) => memory.tokens.clone(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.clone(),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.clone(),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.clone(),
        }
    }

    fn accounts(&self) -> Arc<dyn AccountStore> {
        match self {
            Self::Memory(memory) => memory.accounts.clone(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.clone(),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.clone(),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.clone(),
        }
    }

    fn keys(&self) -> Arc<dyn KeyStore> {
        match self {
            Self::Memory(memory) => memory.keys.clone(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.clone(),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.clone(),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.clone(),
        }
    }

    fn watch(&self) -> Option<Box<dyn ChangeFeed>> {
        match self {
            Self::Memory(_) => None,
            // Other processes are heard of when the file is read, which is often enough: nothing of it is copied.
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => None,
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => Some(postgres.watch()),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => Some(redis.watch()),
        }
    }

    async fn close(&self) {
        match self {
            Self::Memory(_) => {}
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.close().await,
            // Every answer has arrived; the connections go with their last owner.
            #[cfg(feature = "redis")]
            Self::Redis(_) => {}
        }
    }
}

impl Stores {
    /// Opens every family at one URL and brings its schema up to date.
    ///
    /// Whoever drops this future leaves nothing half done: migrations are one transaction.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let urls = StoreUrls { default: url.to_owned(), ..StoreUrls::default() };
        Self::open_each(&urls, Migrations::Run).await
    }

    /// Opens each family where it lives. A place that several of them name is opened once.
    pub async fn open_each(urls: &StoreUrls, migrations: Migrations) -> Result<Self, OpenError> {
        let families = [&urls.clients, &urls.tokens, &urls.accounts, &urls.keys];
        // All of them are read before any is opened: a typo creates no file.
        let locations = families.map(|url| Location::parse(url.as_deref().unwrap_or(&urls.default)));
        let mut open: Vec<(Location, Backend)> = Vec::new();
        let mut backends = Vec::new();
        for location in locations.into_iter().collect::<Result<Vec<_>, _>>()? {
            let backend = match open.iter().find(|(known, _)| *known == location) {
                Some((_, backend)) => backend.clone(),
                None => {
                    let backend = Backend::open(&location, migrations).await?;
                    open.push((location, backend.clone()));
                    backend
                }
            };
            backends.push(backend);
        }
        let open: Vec<Backend> = open.into_iter().map(|(_, backend)| backend).collect();
        Ok(Self {
            clients: backends[0].clients(),
            tokens: backends[1].tokens(),
            accounts: backends[2].accounts(),
            keys: backends[3].keys(),
            open,
            clients_are_watched: backends[0].watch().is_some(),
            client_copies: None,
        })
    }

    /// Every family in this process's memory.
    pub fn in_memory() -> Self {
        let backend = Backend::Memory(Arc::default());
        Self {
            clients: backend.clients(),
            tokens: backend.tokens(),
            accounts: backend.accounts(),
            keys: backend.keys(),
            open: vec![backend],
            clients_are_watched: false,
            client_copies: None,
        }
    }

    /// Keeps copies of clients, each for at most `bound`, if they live in a backend that tells of changes; elsewhere reading
    /// them anew is as fast. Whoever does this must [`watch`](Self::watch) and [`note`](Self::note) what changes.
    #[must_use]
    pub fn with_client_copies(mut self, bound: Duration) -> Self {
        if !self.clients_are_watched || bound.is_zero() {
            return self;
        }
        let copies = Arc::new(CachedClients::new(self.clients.clone(), bound));
        self.clients = copies.clone();
        self.client_copies = Some(copies);
        self
    }

    /// Where news of changes arrive: one feed for each backend that others may change at the same time and that tells of it.
    pub fn watch(&self) -> Vec<Box<dyn ChangeFeed>> {
        self.open.iter().filter_map(Backend::watch).collect()
    }

    /// Gives up the copies that a change may have made untrue.
    pub fn note(&self, change: &Change) {
        if let Some(copies) = &self.client_copies {
            copies.note(change);
        }
    }

    /// Finishes what is under way, moves everything to where it lasts and lets go of it. After this every call is answered
    /// with [`StoreError::Unavailable`](crate::port::store::StoreError::Unavailable), except by `memory:`, which has nothing
    /// to let go of.
    pub async fn close(&self) {
        for backend in &self.open {
            backend.close().await;
        }
    }
}

/// Whether a URL names a store of this build. Opens nothing.
pub fn check_url(url: &str) -> Result<(), InvalidStoreUrl> {
    Location::parse(url).map(drop)
}

/// A change of the schema that a database has not seen yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingMigration {
    pub version: i64,
    pub description: String,
}

/// What [`Stores::open`] would do to the schema at `url`, in that order. Changes nothing and creates nothing.
pub async fn pending_migrations(url: &str) -> Result<Vec<PendingMigration>, OpenError> {
    match Location::parse(url)? {
        Location::Memory => Ok(Vec::new()),
        #[cfg(feature = "sqlite")]
        Location::Sqlite(path) => sqlite::pending_migrations(&path).await,
        #[cfg(feature = "postgres")]
        Location::Postgres(address) => postgres::pending_migrations(&address).await,
        #[cfg(feature = "redis")]
        Location::Redis(_) => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_place_or_says_what_is_wrong_with_it() {
        use InvalidStoreUrl as Wrong;
        assert_eq!(Location::parse("memory:"), Ok(Location::Memory));
        for (url, wrong) in [
            ("gateward.db", Wrong::NoScheme),
            ("mysql://u:secret@h/d", Wrong::UnknownScheme("mysql".into())),
            ("memory:x", Wrong::MemoryTakesNothing),
        ] {
            assert_eq!(Location::parse(url), Err(wrong), "{url}");
        }
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_path_is_read_with_and_without_slashes_before_it() {
        for (url, path) in [("sqlite:a/b.db", "a/b.db"), ("sqlite://b.db", "b.db"), ("sqlite:///a/b.db", "/a/b.db")] {
            assert_eq!(Location::parse(url), Ok(Location::Sqlite(path.into())), "{url}");
        }
        for url in ["sqlite:", "sqlite://", "sqlite::memory:", "sqlite:data/", "sqlite://a.db?mode=rwc"] {
            assert_eq!(Location::parse(url), Err(InvalidStoreUrl::NoPath), "{url}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_password() {
        let error = Location::parse("mysql://u:secret@h/d").unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
