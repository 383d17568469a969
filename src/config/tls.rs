//! `[tls]`, and what clients are told about it.

use std::{path::PathBuf, time::Duration};

use super::{Config, reader::Reader};
use crate::domain::issuer::Issuer;

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain in PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// How often both files are looked at.
    pub poll: Duration,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

/// `None` in it: plain http.
pub(super) fn read(section: Reader<'_>, issuer: Option<&Issuer>) -> Option<Option<Tls>> {
    let path = |text| Ok::<_, String>(PathBuf::from(text));
    let certificate = section.optional("certificate", path)?;
    let key = section.optional("key", path)?;
    let poll = section.duration("poll", 1, 24 * 3600);
    let handshake_timeout = section.duration("handshake_timeout", 1, 60);
    let (certificate, key) = match (certificate, key) {
        (None, None) => return Some(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => {
            section.fail("key", "must be set, as there is a certificate");
            return None;
        }
        (None, Some(_)) => {
            section.fail("certificate", "must be set, as there is a key");
            return None;
        }
    };
    if issuer.is_some_and(|issuer| !issuer.is_https()) {
        section.fail("certificate", "is of no use to an issuer that is plain http: make the issuer https");
        return None;
    }
    Some(Some(Tls { certificate, key, poll: poll?, handshake_timeout: handshake_timeout? }))
}

impl Config {
    /// The value of `Strict-Transport-Security` (RFC 6797 6.1), unless clients are not to be told. It speaks of a host with all its
    /// ports: on one's own machine it would put an end to everything else that is being developed there.
    pub fn strict_transport_security(&self) -> Option<String> {
        let told = self.issuer.is_https() && !self.issuer.is_loopback() && !self.server.hsts.is_zero();
        told.then(|| format!("max-age={}", self.server.hsts.as_secs()))
    }
}
