//! `[metrics]`.

use std::net::SocketAddr;

use super::reader::Reader;

/// Whether and where figures are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Where Prometheus reads them; nothing is measured without.
    pub listen: Option<SocketAddr>,
}

impl Metrics {
    pub(super) fn read(section: Reader<'_>) -> Option<Self> {
        let listen = section
            .optional("listen", |text| text.parse().map_err(|_| "must be an address and a port: \"127.0.0.1:9464\""));
        Some(Self { listen: listen? })
    }
}
