//! Where a Postgres is, from a URL.
//!
//! `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=ca.pem&max_connections=32`
//!
//! The parameters of the driver are its own (<https://docs.rs/sqlx/0.9/sqlx/postgres/struct.PgConnectOptions.html>); those of
//! the pool are `max_connections`, `acquire_timeout` and `statement_timeout`, and are taken out before the driver reads the
//! rest. No error and no `Debug` repeats anything that was written, because it may be a part of the password.

use std::{fmt, fs::File, path::PathBuf, str::FromStr, time::Duration};

use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use url::Url;

use crate::store::{InvalidStoreUrl, OpenError};

/// Connections to have at most.
const MAX_CONNECTIONS: u32 = 16;

/// How long to wait for a connection that is free, or for a new one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(4);

/// The longest that makes sense for either; a request is over long before.
const LONGEST: Duration = Duration::from_secs(600);

/// What the driver understands. It warns about everything else, with the value; here it is refused instead.
const OF_THE_DRIVER: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Which of them name a file, or are what would be in it.
const FILES: &[&str] = &["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];

/// Where a Postgres is, and how to use it. Two of them are equal if they may share a pool.
#[derive(Clone)]
pub(in crate::store) struct Address {
    /// As it was written, without what is for the pool.
    url: String,
    options: Box<PgConnectOptions>,
    /// Certificates and keys for the driver, which would not say which of them it cannot read.
    files: Vec<PathBuf>,
    /// At least one.
    pub(super) max_connections: u32,
    pub(super) acquire_timeout: Duration,
    pub(super) statement_timeout: Duration,
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        let settings = |a: &Self| (a.max_connections, a.acquire_timeout, a.statement_timeout);
        self.url == other.url && settings(self) == settings(other)
    }
}

impl Eq for Address {}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("host", &self.options.get_host()).finish_non_exhaustive()
    }
}

fn malformed(what: impl Into<String>) -> InvalidStoreUrl {
    InvalidStoreUrl::Malformed(what.into())
}

impl Address {
    /// Reads a URL; opens nothing.
    pub(in crate::store) fn parse(url: &str) -> Result<Self, InvalidStoreUrl> {
        let mut url = Url::parse(url).map_err(|_| {
            malformed(
                "not postgres://user:password@host:port/database (percent-encode what is special in the password)",
            )
        })?;
        // One place has one spelling, so that families which name it share a pool. It cannot fail: neither is special.
        let _ = url.set_scheme("postgres");
        let mut of_the_driver = Vec::new();
        let (mut max_connections, mut acquire_timeout, mut statement_timeout) =
            (MAX_CONNECTIONS, ACQUIRE_TIMEOUT, STATEMENT_TIMEOUT);
        for (key, value) in url.query_pairs() {
            match &*key {
                "max_connections" => {
                    max_connections = value
                        .parse()
                        .ok()
                        .filter(|count| (1..=10_000).contains(count))
                        .ok_or_else(|| malformed("`max_connections` must be a whole number from 1 to 10000"))?;
                }
                "acquire_timeout" => acquire_timeout = duration("acquire_timeout", &value)?,
                "statement_timeout" => statement_timeout = duration("statement_timeout", &value)?,
                known => {
                    of_the_driver.push(check(known, &value)?);
                }
            }
        }
        let is_file = |(key, value): &&(String, String)| FILES.contains(&&**key) && !value.contains("-----BEGIN");
        let files = of_the_driver.iter().filter(is_file).map(|(_, value)| value.into()).collect();
        url.set_query(None);
        for (key, value) in of_the_driver {
            url.query_pairs_mut().append_pair(&key, &value);
        }
        let options = PgConnectOptions::from_str(url.as_str())
            .map_err(|_| malformed("its user, password, host or database is not what it should be"))?;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("gateward"),
        };
        Ok(Self {
            url: url.into(),
            // Slow statements are the server's to log; here they would tell of every busy moment.
            options: Box::new(options.disable_statement_logging()),
            files,
            max_connections,
            acquire_timeout,
            statement_timeout,
        })
    }

    /// For the driver.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Whether the files that it names can be read.
    pub(super) fn check_files(&self) -> Result<(), OpenError> {
        for path in &self.files {
            File::open(path).map_err(|source| OpenError::File { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// Where it is, without who asks and how.
    pub(in crate::store) fn place(&self) -> String {
        let options = &self.options;
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        // The server's default is a database of the user's name.
        let database = options.get_database().unwrap_or(options.get_username());
        // With another `search_path` it is another place.
        let session = options.get_options().map(|options| format!("?options={options}")).unwrap_or_default();
        format!("postgres://{host}/{database}{session}")
    }

    /// Whether what is said on the way could be read or changed by somebody in between.
    pub(super) fn is_exposed(&self) -> bool {
        use sqlx::postgres::PgSslMode;
        let host = self.options.get_host();
        let near = self.options.get_socket().is_some()
            || host.starts_with('/')
            || host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        !near && !matches!(self.options.get_ssl_mode(), PgSslMode::VerifyFull | PgSslMode::VerifyCa)
    }
}

/// A parameter that the driver knows, with a value that it accepts.
fn check(key: &str, value: &str) -> Result<(String, String), InvalidStoreUrl> {
    let of_session = key.strip_prefix("options[").is_some_and(|rest| rest.ends_with(']'));
    if !of_session && !OF_THE_DRIVER.contains(&key) {
        return Err(malformed(format!(
            "an unknown parameter; there are max_connections, acquire_timeout, statement_timeout, {}",
            OF_THE_DRIVER.join(", ")
        )));
    }
    let mut alone = String::from("postgres://localhost/?");
    url::form_urlencoded::Serializer::for_suffix(&mut alone, "postgres://localhost/?".len()).append_pair(key, value);
    match PgConnectOptions::from_str(&alone) {
        Ok(_) => Ok((key.to_owned(), value.to_owned())),
        Err(_) => Err(malformed(format!("`{key}` has a value that it cannot have"))),
    }
}

/// A whole number of `ms`, `s` or `m`.
fn duration(key: &str, text: &str) -> Result<Duration, InvalidStoreUrl> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: Option<u64> = digits.parse().ok();
    let duration = match (&text[digits.len()..], number) {
        ("ms", Some(number)) => Some(Duration::from_millis(number)),
        ("s", Some(number)) => Some(Duration::from_secs(number)),
        ("m", Some(number)) => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    };
    duration.filter(|duration| !duration.is_zero() && *duration <= LONGEST).ok_or_else(|| {
        malformed(format!("`{key}` must be a duration from \"1ms\" to \"10m\", e.g. \"500ms\" or \"4s\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(url: &str) -> String {
        Address::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn settings_of_the_pool_are_read_and_not_handed_to_the_driver() {
        let url = "postgresql://u:p@h/d?acquire_timeout=500ms&sslmode=disable&max_connections=3&statement_timeout=1m";
        let address = Address::parse(url).unwrap();
        assert_eq!(address.max_connections, 3);
        assert_eq!(address.acquire_timeout, Duration::from_millis(500));
        assert_eq!(address.statement_timeout, Duration::from_secs(60));
        assert_eq!(address.url, "postgres://u:p@h/d?sslmode=disable");
        let plain = Address::parse("postgres://u:p@h/d").unwrap();
        assert_eq!((plain.max_connections, plain.acquire_timeout), (MAX_CONNECTIONS, ACQUIRE_TIMEOUT));
        assert_eq!(plain.options.get_application_name(), Some("gateward"));
    }

    #[test]
    fn two_spellings_of_a_place_are_one_place() {
        let [one, two, other] = ["postgres://u:p@h/d", "postgresql://u:p@h/d", "postgres://u:p@h/e"]
            .map(|url| Address::parse(url).unwrap());
        assert_eq!(one, two);
        assert_ne!(one, other);
        let small = Address::parse("postgres://u:p@h/d?max_connections=3").unwrap();
        assert_ne!(one, small, "another pool");
        let stranger = Address::parse("postgres://v:q@h:5432/d?sslmode=disable").unwrap();
        for same in [&one, &two, &small, &stranger] {
            assert_eq!(same.place(), "postgres://h:5432/d");
        }
        let elsewhere = Address::parse("postgres://u:p@h/d?options[search_path]=x").unwrap();
        assert!(elsewhere.place() != one.place() && other.place() != one.place());
    }

    #[test]
    fn what_is_wrong_is_named_and_never_repeated() {
        for (url, says) in [
            ("postgres://u:s3cret@h:port/d", "percent-encode"),
            ("postgres://u:s3cret", "percent-encode"),
            ("postgres://u:12?s3cret@h/d", "unknown parameter"),
            ("postgres://u@h/d?sslmode=s3cret", "`sslmode`"),
            ("postgres://u@h/d?pasword=s3cret", "unknown parameter"),
            ("postgres://u@h/d?max_connections=s3cret", "`max_connections`"),
            ("postgres://u@h/d?max_connections=0", "`max_connections`"),
            ("postgres://u@h/d?acquire_timeout=s3cret", "`acquire_timeout`"),
            ("postgres://u@h/d?acquire_timeout=0s", "`acquire_timeout`"),
            ("postgres://u@h/d?statement_timeout=5", "`statement_timeout`"),
            ("postgres://u@h/d?statement_timeout=99999999999999999999s", "`statement_timeout`"),
            ("postgres://u@h/d?statement_timeout=2h", "`statement_timeout`"),
        ] {
            let error = wrong(url);
            assert!(error.contains(says) && !error.contains("s3cret"), "{url}: {error}");
        }
        let address = Address::parse("postgres://u:s3cret@h/d?password=s3cret").unwrap();
        assert!(!format!("{address:?}").contains("s3cret"));
    }

    #[test]
    fn a_way_that_others_can_read_is_known_as_such() {
        for (url, exposed) in [
            ("postgres://localhost/d", false),
            ("postgres://127.0.0.1/d", false),
            ("postgres://db.example/d?sslmode=verify-full", false),
            ("postgres://db.example/d?sslmode=require", true),
            ("postgres://db.example/d", true),
        ] {
            assert_eq!(Address::parse(url).unwrap().is_exposed(), exposed, "{url}");
        }
    }
}
