//! What a process is called in the audit trail.

use std::net::SocketAddr;

use crate::config::Config;

/// A server: what the operator says, or the host's name and the first port that it listens on.
pub(super) fn of_server(config: &Config, address: Option<SocketAddr>) -> String {
    let derived = || match address {
        Some(address) => format!("{}:{}", host(), address.port()),
        None => host(),
    };
    config.audit.instance.clone().unwrap_or_else(derived)
}

/// The command line of a machine.
pub(super) fn of_command() -> String {
    host()
}

/// The name of this machine, without what could not stand in a table.
fn host() -> String {
    let name = rustix::system::uname();
    let name: String = name.nodename().to_string_lossy().chars().filter(char::is_ascii_graphic).take(64).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
