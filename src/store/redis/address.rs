//! Where a Redis is, read from a URL:
//! `redis://[user:password@]host[:port][/db]` or `rediss://..`, and parameters of ours behind a question mark.

use std::{fmt, path::PathBuf, time::Duration};

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult};
use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

use crate::store::InvalidStoreUrl;

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_PREFIX: &str = "gateward:";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
const DEFAULT_WAIT: Duration = Duration::from_millis(100);

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

/// How many replicas have to confirm a change, and for how long they are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) replicas: u32,
    pub(super) timeout: Duration,
}

/// A Redis, standalone or a cluster, and how to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::store) struct Address {
    tls: bool,
    user: Option<String>,
    password: Option<Zeroizing<String>>,
    /// The one in the URL and then the `node`s; of a cluster, one that answers is enough to find the others.
    pub(super) nodes: Vec<Node>,
    pub(super) database: i64,
    /// Of every key.
    pub(super) prefix: String,
    /// A file with the certificates to trust instead of those of the system.
    pub(super) ca: Option<PathBuf>,
    /// `None` if a change need not be confirmed by replicas.
    pub(super) wait: Option<Wait>,
    pub(super) response_timeout: Duration,
    pub(super) connect_timeout: Duration,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, prefix, .. } = self;
        f.debug_struct("Address").field("nodes", nodes).field("prefix", prefix).finish_non_exhaustive()
    }
}

impl Address {
    /// Reads a URL. What is wrong is named, never repeated: it may be a password in the wrong place.
    pub(in crate::store) fn parse(text: &str) -> Result<Self, InvalidStoreUrl> {
        let url = Url::parse(text).map_err(|error| malformed(error.to_string()))?;
        if url.fragment().is_some() {
            return Err(malformed("it has a fragment (a `#` in a password is written %23)"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| malformed("it has no host"))?;
        let first = Node { host: bare(host), port: url.port().unwrap_or(DEFAULT_PORT) };
        let mut address = Self {
            tls: url.scheme() == "rediss",
            user: Some(decoded(url.username(), "user")?).filter(|user| !user.is_empty()),
            password: url.password().map(|word| decoded(word, "password").map(Zeroizing::new)).transpose()?,
            nodes: vec![first],
            database: match url.path().trim_matches('/') {
                "" => 0,
                number => number.parse::<u16>().map_err(|_| malformed("the database is not a small number"))?.into(),
            },
            prefix: DEFAULT_PREFIX.to_owned(),
            ca: None,
            wait: None,
            response_timeout: DEFAULT_TIMEOUT,
            connect_timeout: DEFAULT_TIMEOUT,
        };
        address.read_parameters(&url)?;
        Ok(address)
    }

    fn read_parameters(&mut self, url: &Url) -> Result<(), InvalidStoreUrl> {
        let mut replicas = 0;
        let mut timeout = DEFAULT_WAIT;
        for (name, value) in url.query_pairs() {
            match &*name {
                "prefix" => self.prefix = prefix(&value)?,
                "node" => self.nodes.push(node(&value)?),
                "ca" if self.tls => self.ca = Some(PathBuf::from(&*value)),
                "ca" => return Err(malformed("`ca` makes sense with rediss:// only")),
                "wait_replicas" => {
                    replicas = value.parse().map_err(|_| malformed("`wait_replicas` is not a number"))?;
                }
                "wait_timeout" => timeout = duration("wait_timeout", &value)?,
                "response_timeout" => self.response_timeout = duration("response_timeout", &value)?,
                "connect_timeout" => self.connect_timeout = duration("connect_timeout", &value)?,
                unknown => {
                    // Only a plain word is repeated: what is none may be half of a password.
                    let plain = unknown.len() <= 32 && unknown.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                    let named = if plain { format!(" `{unknown}`") } else { String::new() };
                    return Err(malformed(format!(
                        "unknown parameter{named}; there are prefix, node, ca, wait_replicas, wait_timeout, \
                         response_timeout and connect_timeout"
                    )));
                }
            }
        }
        if timeout >= self.response_timeout {
            return Err(malformed("`wait_timeout` has to be shorter than `response_timeout`"));
        }
        self.wait = (replicas > 0).then_some(Wait { replicas, timeout });
        Ok(())
    }

    /// Where it is, without who asks and how.
    pub(in crate::store) fn place(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| format!("{}:{}", node.host, node.port)).collect();
        format!("redis://{}/{}?prefix={}", nodes.join(","), self.database, self.prefix)
    }

    /// What the crate needs to connect to a node.
    pub(super) fn connection(&self, node: &Node) -> RedisResult<ConnectionInfo> {
        let Node { host, port } = node.clone();
        let address = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        // In the third version of the protocol a lost connection is noticed when it is lost, not by the next call.
        let mut settings = RedisConnectionInfo::default()
            .set_db(self.database)
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("gateward", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password.as_str());
        }
        Ok(address.into_connection_info()?.set_redis_settings(settings))
    }
}

fn malformed(what: impl Into<String>) -> InvalidStoreUrl {
    InvalidStoreUrl::Malformed(what.into())
}

fn decoded(text: &str, what: &str) -> Result<String, InvalidStoreUrl> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| malformed(format!("the {what} is not UTF-8")))
}

/// An IPv6 address without its brackets, as sockets take it.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

fn node(text: &str) -> Result<Node, InvalidStoreUrl> {
    let wrong = || malformed("a `node` is host:port");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    if host.is_empty() || host.contains(['@', '/']) {
        return Err(wrong());
    }
    Ok(Node { host: bare(host), port: port.parse().map_err(|_| wrong())? })
}

/// Braces say what of a key decides its slot, and that is for the families to say.
fn prefix(text: &str) -> Result<String, InvalidStoreUrl> {
    let fits = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic() && !b"{}".contains(&b));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(malformed("a `prefix` is up to 64 printable characters without braces"))
    }
}

/// `100ms` or `2s`.
fn duration(name: &str, text: &str) -> Result<Duration, InvalidStoreUrl> {
    let wrong = || malformed(format!("`{name}` is a time like 100ms or 2s"));
    let (number, unit): (&str, fn(u64) -> Duration) = match text.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, Duration::from_secs),
    };
    let number = number.parse().ok().filter(|number| (1..=600_000).contains(number)).ok_or_else(wrong)?;
    Ok(unit(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_how() {
        let address = Address::parse(
            "rediss://gate:p%40ss@[::1]:7000/3?prefix=a:&node=b.example:7001&ca=/etc/ca.pem&wait_replicas=2\
             &wait_timeout=50ms&response_timeout=5s&connect_timeout=300ms",
        )
        .unwrap();
        let node = |host: &str, port| Node { host: host.to_owned(), port };
        let expected = Address {
            tls: true,
            user: Some("gate".to_owned()),
            password: Some(Zeroizing::new("p@ss".to_owned())),
            nodes: vec![node("::1", 7000), node("b.example", 7001)],
            database: 3,
            prefix: "a:".to_owned(),
            ca: Some("/etc/ca.pem".into()),
            wait: Some(Wait { replicas: 2, timeout: Duration::from_millis(50) }),
            response_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_millis(300),
        };
        assert_eq!(address, expected);
        assert!(!format!("{address:?}").contains("p@ss"));
        assert_eq!(address.place(), "redis://::1:7000,b.example:7001/3?prefix=a:");
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let address = Address::parse("redis://h").unwrap();
        assert_eq!(address.nodes, [Node { host: "h".to_owned(), port: 6379 }]);
        assert_eq!((address.prefix.as_str(), address.database, address.wait), ("gateward:", 0, None));
        assert_eq!((address.response_timeout, address.connect_timeout), (DEFAULT_TIMEOUT, DEFAULT_TIMEOUT));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_repeated() {
        for (url, part) in [
            ("redis://u:hunter2@", "host"),
            ("redis://u:hunter2@h:99999", "port"),
            ("redis://u:hunter2@h/x", "database"),
            ("redis://u:hunter2@h#x", "fragment"),
            ("redis://u:hunter2@h?tiemout=2s", "`tiemout`"),
            ("redis://u:x?hunter2=1@h", ""),
            ("redis://u:p@h?x&Hunter2", "parameter"),
            ("redis://u:hunter2@h?prefix={a}", "`prefix`"),
            ("redis://u:hunter2@h?node=hunter2", "`node`"),
            ("redis://u:hunter2@h?node=u:hunter2@b:1", "`node`"),
            ("redis://u:hunter2@h?ca=/hunter2", "`ca`"),
            ("redis://u:hunter2@h?wait_replicas=hunter2", "`wait_replicas`"),
            ("redis://u:hunter2@h?wait_timeout=0s", "`wait_timeout`"),
            ("redis://u:hunter2@h?wait_timeout=2s", "`wait_timeout`"),
            ("redis://u:hunter2@h?response_timeout=hunter2", "`response_timeout`"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.to_string().contains(part), "{url}: {error}");
            assert!(!format!("{error} {error:?}").to_lowercase().contains("hunter2"), "{url}: {error}");
        }
    }
}
