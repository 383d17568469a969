//! The issuer identifier (RFC 8414 2): one string, byte for byte, everywhere.

use std::{fmt, net::IpAddr};

use thiserror::Error;
use url::{Host, Url};

/// Why a text cannot be the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidIssuer {
    /// Not an absolute URL with a host.
    #[error("the issuer must be an absolute https URL such as https://auth.example.com")]
    NotAUrl,
    /// `http` on a host that is not this machine.
    #[error("an http issuer is only allowed on loopback (127.0.0.0/8, [::1], localhost, *.localhost); use https")]
    NotHttps,
    /// RFC 8414 2: no query, no fragment; and no user either.
    #[error("the issuer must not have a query, a fragment or a user")]
    ExtraParts,
    /// A trailing slash, or a text that URL parsers would rewrite.
    #[error("the issuer must be written in canonical form: lower-case host, no default port, no trailing slash")]
    NotCanonical,
}

/// Where this authorization server lives, as clients compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    origin_length: usize,
    https: bool,
}

impl Issuer {
    /// Judges a configured issuer. The text is kept as it is: a URL type would add a slash.
    pub fn parse(text: &str) -> Result<Self, InvalidIssuer> {
        let url = Url::parse(text).map_err(|_| InvalidIssuer::NotAUrl)?;
        let host = url.host().ok_or(InvalidIssuer::NotAUrl)?;
        let https = match url.scheme() {
            "https" => true,
            "http" if is_loopback(&host) => false,
            "http" => return Err(InvalidIssuer::NotHttps),
            _ => return Err(InvalidIssuer::NotAUrl),
        };
        let user = !url.username().is_empty() || url.password().is_some();
        if url.query().is_some() || url.fragment().is_some() || user {
            return Err(InvalidIssuer::ExtraParts);
        }
        let origin = url.origin().ascii_serialization();
        let path = if url.path() == "/" { "" } else { url.path() };
        if text != format!("{origin}{path}") || path.ends_with('/') {
            return Err(InvalidIssuer::NotCanonical);
        }
        Ok(Self { text: text.to_owned(), origin_length: origin.len(), https })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port, without a slash.
    pub fn origin(&self) -> &str {
        &self.text[..self.origin_length]
    }

    /// The path: empty, or `/` and more, never with a slash at the end.
    pub fn path(&self) -> &str {
        &self.text[self.origin_length..]
    }

    /// Whether browsers reach it over TLS, which decides on `Secure` cookies.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Whether its host is this machine, whichever machine that is.
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.text).is_ok_and(|url| url.host().is_some_and(|host| is_loopback(&host)))
    }

    /// The absolute URL of an endpoint below the issuer; `path` starts with a slash.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a host is this machine: 127.0.0.0/8, `[::1]`, `localhost` or below it (RFC 6761 6.3).
pub(super) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(ip) => IpAddr::V4(*ip).is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_loopback_only() {
        for good in [
            "http://localhost:3000",
            "http://127.0.0.2",
            "http://[::1]:80801".trim_end_matches('1'),
            "http://a.localhost",
        ] {
            assert!(Issuer::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Issuer::parse("http://auth.example.com"), Err(InvalidIssuer::NotHttps));
        assert_eq!(Issuer::parse("http://localhost.example.com"), Err(InvalidIssuer::NotHttps));
    }

    #[test]
    fn an_issuer_that_url_types_would_rewrite_is_refused() {
        for bad in [
            "https://a.example/",
            "https://A.example",
            "https://a.example:443",
            "https://a.example/x/",
            "https://a.example/x/../y",
        ] {
            assert_eq!(Issuer::parse(bad), Err(InvalidIssuer::NotCanonical), "{bad}");
        }
    }

    #[test]
    fn query_fragment_and_user_are_refused() {
        for bad in ["https://a.example?x", "https://a.example#x", "https://u@a.example"] {
            assert_eq!(Issuer::parse(bad), Err(InvalidIssuer::ExtraParts), "{bad}");
        }
    }

    #[test]
    fn origin_and_path_are_parts_of_the_very_text() {
        let issuer = Issuer::parse("https://a.example:8443/tenant/1").unwrap();
        assert_eq!((issuer.origin(), issuer.path()), ("https://a.example:8443", "/tenant/1"));
    }
}
