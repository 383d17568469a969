//! One open store, whichever it is: the only match on a backend.

use std::{fmt, sync::Arc};

#[cfg(feature = "postgres")]
use super::postgres;
#[cfg(feature = "redis")]
use super::redis;
#[cfg(feature = "sqlite")]
use super::sqlite;
use super::{Migrations, OpenError, location::Location, measured::PoolUse, memory};
use crate::port::store::{AccountStore, Archive, AuditStore, ChangeFeed, ClientStore, KeyStore, TokenStore};

/// Something that is open; shared by the families that live in it.
#[derive(Clone)]
pub(super) enum Backend {
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
        f.write_str(self.as_str())
    }
}

impl Backend {
    /// Its kind, as in a URL.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "sqlite",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "postgres",
            #[cfg(feature = "redis")]
            Self::Redis(_) => "redis",
        }
    }

    /// How its connections are used at this moment; `None` if all calls share one, or need none.
    pub(super) fn pool_use(&self) -> Option<PoolUse> {
        match self {
            Self::Memory(_) => None,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Some(sqlite.pool_use()),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => Some(postgres.pool_use()),
            #[cfg(feature = "redis")]
            Self::Redis(_) => None,
        }
    }

    pub(super) async fn open(location: &Location, migrations: Migrations) -> Result<Self, OpenError> {
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

    pub(super) fn clients(&self) -> Arc<dyn ClientStore> {
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

    pub(super) fn tokens(&self) -> Arc<dyn TokenStore> {
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

    pub(super) fn accounts(&self) -> Arc<dyn AccountStore> {
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

    pub(super) fn keys(&self) -> Arc<dyn KeyStore> {
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

    pub(super) fn audit(&self) -> Arc<dyn AuditStore> {
        match self {
            Self::Memory(memory) => memory.audit.clone(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.clone(),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.clone(),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.clone(),
        }
    }

    pub(super) fn archive(&self) -> Option<Arc<dyn Archive>> {
        match self {
            Self::Memory(_) => None,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Some(sqlite.clone()),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => Some(postgres.clone()),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => Some(redis.clone()),
        }
    }

    pub(super) fn watch(&self) -> Option<Box<dyn ChangeFeed>> {
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

    pub(super) async fn close(&self) {
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
