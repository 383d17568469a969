//! `[server]`.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use super::reader::Reader;
use crate::domain::policy::LONGEST_REQUEST;

/// How the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Never empty.
    pub listen: Vec<SocketAddr>,
    /// Reverse proxies whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long requests in flight may take to finish after SIGTERM.
    pub shutdown_grace: Duration,
    /// How long to go on accepting connections after SIGTERM, while `/readyz` says 503.
    pub drain_delay: Duration,
    /// From the first byte of a request to the answer.
    pub request_timeout: Duration,
    /// For the head of a request to arrive.
    pub header_timeout: Duration,
    /// How long a connection is kept on which nothing is asked.
    pub idle_timeout: Duration,
    /// The most requests that are worked on at once.
    pub max_in_flight: usize,
    /// The most connections at once.
    pub max_connections: usize,
    /// The most of them from one address.
    pub max_connections_per_address: usize,
    /// The longest request body, in bytes.
    pub body_limit: usize,
    /// For how long clients of an https issuer remember to come by https only; zero if they are not told to.
    pub hsts: Duration,
}

impl Server {
    pub(super) fn read(section: Reader<'_>) -> Option<Self> {
        let listen = section.each("listen", |text| {
            text.parse::<SocketAddr>()
                .map_err(|_| "an address and a port is needed, such as 127.0.0.1:3000 or [::]:3000")
        });
        if listen.as_ref().is_some_and(Vec::is_empty) {
            section.fail("listen", "at least one address is needed");
        }
        let trusted_proxies = address_blocks(section, "trusted_proxies");
        let shutdown_grace = section.duration("shutdown_grace", 0, 600);
        let drain_delay = section.duration("drain_delay", 0, 600);
        let request_timeout = section.duration("request_timeout", 1, LONGEST_REQUEST.as_secs());
        let header_timeout = section.duration("header_timeout", 1, 600);
        let idle_timeout = section.duration("idle_timeout", 1, 3600);
        let max_in_flight = section.integer("max_in_flight", 1..=1_000_000);
        let max_connections = section.integer("max_connections", 1..=10_000_000);
        let max_connections_per_address = section.integer("max_connections_per_address", 1..=10_000_000);
        let body_limit = section.integer("body_limit", 1024..=16 * 1024 * 1024);
        let hsts = section.duration("hsts", 0, 2 * 365 * 24 * 3600);
        Some(Self {
            listen: listen?,
            trusted_proxies: trusted_proxies?,
            shutdown_grace: shutdown_grace?,
            drain_delay: drain_delay?,
            request_timeout: request_timeout?,
            header_timeout: header_timeout?,
            idle_timeout: idle_timeout?,
            max_in_flight: max_in_flight?,
            max_connections: max_connections?,
            max_connections_per_address: max_connections_per_address?,
            body_limit: body_limit?,
            hsts: hsts?,
        })
    }
}

/// Addresses or blocks of them.
pub(super) fn address_blocks(section: Reader<'_>, key: &str) -> Option<Vec<IpNet>> {
    section.each(key, |text| {
        let address = |text: &str| text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>()
            .or_else(|_| address(text))
            .map_err(|_| "an address or a block such as 10.0.0.0/8 is needed")
    })
}
