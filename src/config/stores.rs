//! `[stores]`.

use std::{fmt, path::Path, time::Duration};

use zeroize::Zeroizing;

use super::reader::Reader;

const SCHEMES: &[&str] = &["memory:", "sqlite:", "postgres://", "postgresql://", "redis://", "rediss://"];

/// A client or a human who was disabled while nobody could tell is disabled after a minute at the latest, in seconds.
const LONGEST_COPY: u64 = 60;

/// Up to some ten GiB of memory.
const MOST_ISSUED_COPIES: i64 = 10_000_000;

/// The URL of a store. It may hold a password, so it prints without one.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(Zeroizing<String>);

impl StoreUrl {
    /// Takes the URL of a kind of store that this server knows; whether it is built in, the store says when it is opened.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        // `sqlite:` alone would be a database that is gone with its connection.
        if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) && text != "sqlite:" {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err("must be sqlite:PATH, postgres://.., redis://.., rediss://.. or memory:")
        }
    }

    /// SQLite in a file of a directory.
    fn embedded(directory: &Path) -> Self {
        Self(Zeroizing::new(format!("sqlite:{}", directory.join("gateward.db").display())))
    }

    /// The whole URL, with its password, for whoever opens the store.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the store forgets everything when the server ends.
    pub fn is_memory(&self) -> bool {
        self.0.starts_with("memory:") || self.0.starts_with("sqlite::memory:")
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// A store URL without its password, and without the parameters that could hold one.
pub(super) fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (rest, parameters) = match rest.split_once('?') {
        Some((rest, _)) => (rest, "?.."),
        None => (rest, ""),
    };
    // A password may hold an unescaped `@` or `/`: the last `@` ends it.
    match rest.rsplit_once('@') {
        Some((userinfo, place)) => match userinfo.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:(hidden)@{place}{parameters}"),
            None => format!("{scheme}://{userinfo}@{place}{parameters}"),
        },
        None => format!("{scheme}://{rest}{parameters}"),
    }
}

/// Where each family of things is kept. Equal URLs mean one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stores {
    pub clients: StoreUrl,
    pub tokens: StoreUrl,
    pub accounts: StoreUrl,
    pub keys: StoreUrl,
    pub audit: StoreUrl,
    /// The longest that a copy of a client is used when the store is on another machine; zero: none are kept.
    pub client_copies: Duration,
    /// The longest that it is remembered that a human may act when the store is on another machine; zero: it is not.
    pub account_copies: Duration,
    /// How many codes, and how many refresh tokens, are remembered by the instance that issued them.
    pub issued_copies: u64,
}

impl Stores {
    pub(super) fn read(section: Reader<'_>, data_directory: &Path) -> Option<Self> {
        let [main, clients, tokens, accounts, keys, audit] =
            ["url", "clients", "tokens", "accounts", "keys", "audit"].map(|key| section.optional(key, StoreUrl::parse));
        let main = main?.unwrap_or_else(|| StoreUrl::embedded(data_directory));
        let [client_copies, account_copies] =
            ["client_copies", "account_copies"].map(|key| section.duration(key, 0, LONGEST_COPY));
        let issued_copies = section.integer("issued_copies", 0..=MOST_ISSUED_COPIES);
        let or_main = |url: Option<StoreUrl>| url.unwrap_or_else(|| main.clone());
        Some(Self {
            clients: or_main(clients?),
            tokens: or_main(tokens?),
            accounts: or_main(accounts?),
            keys: or_main(keys?),
            audit: or_main(audit?),
            client_copies: client_copies?,
            account_copies: account_copies?,
            issued_copies: issued_copies?,
        })
    }

    /// Everything in one store.
    #[must_use]
    pub fn all_in(url: &StoreUrl) -> Self {
        let [clients, tokens, accounts, keys, audit] = [(); 5].map(|()| url.clone());
        Self {
            clients,
            tokens,
            accounts,
            keys,
            audit,
            client_copies: Duration::ZERO,
            account_copies: Duration::ZERO,
            issued_copies: 0,
        }
    }

    /// Each family with its store.
    pub fn families(&self) -> [(&'static str, &StoreUrl); 5] {
        [
            ("clients", &self.clients),
            ("tokens", &self.tokens),
            ("accounts", &self.accounts),
            ("keys", &self.keys),
            ("audit", &self.audit),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_url_prints_without_its_password() {
        for (url, shown) in [
            ("postgres://u:p@h:5432/db", "postgres://u:(hidden)@h:5432/db"),
            ("postgres://u:p@/x@h/db?sslmode=require&password=x", "postgres://u:(hidden)@h/db?.."),
            ("redis://:p@h", "redis://:(hidden)@h"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            ("sqlite:data/x.db", "sqlite:data/x.db"),
        ] {
            let parsed = StoreUrl::parse(url).unwrap();
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(format!("{parsed:?}"), format!("StoreUrl({shown})"));
            assert_eq!(parsed.expose(), url);
        }
    }

    #[test]
    fn a_store_of_an_unknown_kind_is_refused() {
        for bad in ["", "x", "mysql://h", "sqlite", "sqlite:", "postgres:h"] {
            assert!(StoreUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_spelling_of_memory_is_memory() {
        for url in ["memory:", "sqlite::memory:"] {
            assert!(StoreUrl::parse(url).unwrap().is_memory(), "{url}");
        }
    }
}
