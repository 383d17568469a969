//! Where a store is: its URL, taken apart.

#[cfg(feature = "sqlite")]
use std::path::PathBuf;

use thiserror::Error;

#[cfg(feature = "postgres")]
use super::postgres;
#[cfg(feature = "redis")]
use super::redis;

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

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    Memory,
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Address),
    #[cfg(feature = "redis")]
    Redis(redis::Address),
}

impl Location {
    pub(super) fn parse(url: &str) -> Result<Self, InvalidStoreUrl> {
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

    /// Where it is, without who asks and how; the same for two URLs that lead to one place.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Memory => "memory:".to_owned(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => {
                // What is not there yet has no other name.
                let whole = path.canonicalize().or_else(|_| std::path::absolute(path));
                format!("sqlite:{}", whole.as_ref().unwrap_or(path).display())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => address.place(),
            #[cfg(feature = "redis")]
            Self::Redis(address) => address.place(),
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
