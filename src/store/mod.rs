//! Where things last: one backend per folder. [`Stores::open`] is the only match on a backend.
//!
//! A URL says where: `memory:`, `sqlite:PATH`, `postgres://..` or `redis://..`. Every backend implements all five families, so
//! one URL is enough; a family may also live somewhere else than the others.

mod backend;
mod copies;
mod copy;
mod location;
mod measured;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
mod record;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod schema;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{error::Error, fmt, path::PathBuf, sync::Arc, time::Duration};

pub use copy::{CopyError, Position, Progress, Summary, Watcher, copy};
pub use location::InvalidStoreUrl;
#[cfg(feature = "sqlite")]
pub use sqlite::backup::{BackupError, Draft, back_up};
use thiserror::Error;

use self::{
    backend::Backend,
    copies::{CopiedAccounts, CopiedClients},
    location::Location,
};
use crate::port::store::{
    AccountStore, Archive, AuditStore, Change, ChangeFeed, ClientStore, Family, KeyStore, TokenStore,
};

/// The five families, each behind its trait.
#[derive(Clone)]
pub struct Stores {
    pub clients: Arc<dyn ClientStore>,
    pub tokens: Arc<dyn TokenStore>,
    pub accounts: Arc<dyn AccountStore>,
    pub keys: Arc<dyn KeyStore>,
    pub audit: Arc<dyn AuditStore>,
    /// What [`Stores::close`] has to close.
    open: Vec<Backend>,
    /// Which of these each family lives in: clients, tokens, accounts, keys, audit.
    homes: [usize; 5],
    client_copies: Option<Arc<CopiedClients>>,
    account_copies: Option<Arc<CopiedAccounts>>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("open", &self.open).finish_non_exhaustive()
    }
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
    /// Its schema is older than this program, and whoever the URL names may not change it.
    #[error(
        "{0} migrations are pending, and this role may not make them: run `gateward migrate` as the owner of the schema"
    )]
    MayNotMigrate(usize, #[source] Box<dyn Error + Send + Sync>),
    /// Its schema is newer than this program, or was changed by somebody else.
    #[error("the schema of the database is not one that this version knows")]
    ForeignSchema(#[source] Box<dyn Error + Send + Sync>),
}

/// Which of the stores cannot be opened, and why.
#[derive(Debug, Error)]
#[error("the store of the {family} cannot be opened")]
pub struct NotOpened {
    /// The first family that lives there.
    pub family: Family,
    #[source]
    pub error: OpenError,
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
    pub audit: Option<String>,
}

impl Stores {
    /// Opens every family at one URL and brings its schema up to date.
    ///
    /// Whoever drops this future leaves nothing half done: migrations are one transaction.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let urls = StoreUrls { default: url.to_owned(), ..StoreUrls::default() };
        Self::open_each(&urls, Migrations::Run).await.map_err(|failed| failed.error)
    }

    /// Opens each family where it lives. A place that several of them name is opened once.
    pub async fn open_each(urls: &StoreUrls, migrations: Migrations) -> Result<Self, NotOpened> {
        let families = [
            (Family::Clients, &urls.clients),
            (Family::Tokens, &urls.tokens),
            (Family::Accounts, &urls.accounts),
            (Family::Keys, &urls.keys),
            (Family::Audit, &urls.audit),
        ];
        // All of them are read before any is opened: a typo creates no file.
        let locations = families.map(|(family, url)| {
            let location = Location::parse(url.as_deref().unwrap_or(&urls.default));
            location.map(|location| (family, location)).map_err(|error| NotOpened { family, error: error.into() })
        });
        let locations = locations.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut open: Vec<(Location, Backend)> = Vec::new();
        let mut homes = [0; 5];
        for (home, (family, location)) in homes.iter_mut().zip(locations) {
            *home = match open.iter().position(|(known, _)| *known == location) {
                Some(known) => known,
                None => {
                    let opened = Backend::open(&location, migrations).await;
                    let backend = opened.map_err(|error| NotOpened { family, error })?;
                    open.push((location, backend));
                    open.len() - 1
                }
            };
        }
        Ok(Self::at(open.into_iter().map(|(_, backend)| backend).collect(), homes))
    }

    fn at(open: Vec<Backend>, homes: [usize; 5]) -> Self {
        let [clients, tokens, accounts, keys, audit] = homes;
        Self {
            clients: open[clients].clients(),
            tokens: open[tokens].tokens(),
            accounts: open[accounts].accounts(),
            keys: open[keys].keys(),
            audit: open[audit].audit(),
            open,
            homes,
            client_copies: None,
            account_copies: None,
        }
    }

    /// Every family in this process's memory.
    pub fn in_memory() -> Self {
        Self::at(vec![Backend::Memory(Arc::default())], [0; 5])
    }

    /// The whole store of a family, for moving it; `None` if it keeps nothing.
    pub fn archive(&self, family: Family) -> Option<Arc<dyn Archive>> {
        let [clients, tokens, accounts, keys, audit] = self.homes;
        let home = match family {
            Family::Clients => clients,
            Family::Tokens => tokens,
            Family::Accounts => accounts,
            Family::Keys => keys,
            Family::Audit => audit,
        };
        self.open[home].archive()
    }

    /// Keeps copies of clients, each for at most `bound`, if they live in a backend that tells of changes; elsewhere reading
    /// them anew is as fast. Whoever does this must [`watch`](Self::watch) and [`note`](Self::note) what changes.
    #[must_use]
    pub fn with_client_copies(mut self, bound: Duration) -> Self {
        if bound.is_zero() || self.open[self.homes[0]].watch().is_none() {
            return self;
        }
        let copies = Arc::new(CopiedClients::new(self.clients.clone(), bound));
        self.clients = copies.clone();
        self.client_copies = Some(copies);
        self
    }

    /// Remembers of humans that they may act, each for at most `bound`: the same for accounts.
    #[must_use]
    pub fn with_account_copies(mut self, bound: Duration) -> Self {
        if bound.is_zero() || self.open[self.homes[2]].watch().is_none() {
            return self;
        }
        let copies = Arc::new(CopiedAccounts::new(self.accounts.clone(), bound));
        self.accounts = copies.clone();
        self.account_copies = Some(copies);
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
        if let Some(copies) = &self.account_copies {
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

/// The place that a URL leads to, without what says how to get in: however it is spelled, and whoever asks. Opens nothing.
pub fn place(url: &str) -> Result<String, InvalidStoreUrl> {
    Location::parse(url).map(|location| location.place())
}

/// What keeps a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// This process, for as long as it runs.
    Memory,
    /// A file.
    File(PathBuf),
    Postgres,
    Redis,
}

/// What keeps the store that a URL names. Opens nothing.
pub fn keeper(url: &str) -> Result<Keeper, InvalidStoreUrl> {
    Location::parse(url).map(|location| match location {
        Location::Memory => Keeper::Memory,
        #[cfg(feature = "sqlite")]
        Location::Sqlite(path) => Keeper::File(path),
        #[cfg(feature = "postgres")]
        Location::Postgres(_) => Keeper::Postgres,
        #[cfg(feature = "redis")]
        Location::Redis(_) => Keeper::Redis,
    })
}

/// A change of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaChange {
    pub version: i64,
    pub description: String,
}

/// How the schema of a database compares with the one that this program was made for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaState {
    /// What it lacks: [`Stores::open`] would do this, in that order.
    pub pending: Vec<SchemaChange>,
    /// What a newer version has added, and this one can live beside.
    pub ahead: Vec<SchemaChange>,
}

/// Looks at the schema at `url`. Changes nothing and creates nothing.
pub async fn schema_of(url: &str) -> Result<SchemaState, OpenError> {
    match Location::parse(url)? {
        Location::Memory => Ok(SchemaState::default()),
        #[cfg(feature = "sqlite")]
        Location::Sqlite(path) => sqlite::schema_of(&path).await,
        #[cfg(feature = "postgres")]
        Location::Postgres(address) => postgres::schema_of(&address).await,
        #[cfg(feature = "redis")]
        // It has none; whether it answers is all there is to see.
        Location::Redis(address) => redis::Redis::open(&address).await.map(|_| SchemaState::default()),
    }
}
