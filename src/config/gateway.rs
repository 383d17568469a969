//! `[gateway]`.

use std::time::Duration;

use super::reader::Reader;

/// How requests cross the gateway to the MCP servers behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gateway {
    /// The longest request body, in bytes.
    pub body_limit: usize,
    /// For a connection (TCP) to the server behind. TLS counts as part of the answer.
    pub connect_timeout: Duration,
    /// From the moment at which a request is passed on, its body still on the way, until the server behind begins its answer.
    pub response_timeout: Duration,
    /// How often the token behind an open stream is looked at again.
    pub recheck: Duration,
}

impl Gateway {
    pub(super) fn read(section: Reader<'_>) -> Option<Self> {
        let body_limit = section.integer("body_limit", 1024..=64 * 1024 * 1024);
        let connect_timeout = section.duration("connect_timeout", 1, 60);
        let response_timeout = section.duration("response_timeout", 1, 3600);
        let recheck = section.duration("recheck", 1, 60);
        Some(Self {
            body_limit: body_limit?,
            connect_timeout: connect_timeout?,
            response_timeout: response_timeout?,
            recheck: recheck?,
        })
    }
}
