//! `gateward healthcheck`: whether the server of this configuration should get traffic, for containers without a shell.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use super::{failure::Failure, output};
use crate::{
    config::{Config, parse_duration},
    http::probe::readiness,
};
use clap::Args;
use thiserror::Error;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How long the answer may take.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    timeout: Duration,
}

/// Why the server should get no traffic.
#[derive(Debug, Error)]
enum NotReady {
    #[error("nothing answers at {0}")]
    Unreachable(SocketAddr, #[source] std::io::Error),
    #[error("{0} does not answer in time")]
    Silent(SocketAddr),
    #[error("{0} answers {1}")]
    Refused(SocketAddr, String),
}

pub(super) async fn run(arguments: &Arguments, config: &Config) -> Result<(), Failure> {
    let Some(address) = config.server.listen.first().copied().map(from_here) else {
        return Err(Failure::configuration("server.listen is empty"));
    };
    let host = config.issuer.as_str().split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
    let answer = match tokio::time::timeout(arguments.timeout, readiness(address, host, config.tls.is_some())).await {
        Ok(answer) => answer.map_err(|error| Failure::failed(&NotReady::Unreachable(address, error)))?,
        Err(_) => return Err(Failure::failed(&NotReady::Silent(address))),
    };
    match answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split(' ').next()) {
        Some("200") => output::line("ready"),
        Some(_) | None => Err(Failure::failed(&NotReady::Refused(address, answer))),
    }
}

/// "Any address" is one to listen at, not one to go to.
fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
