//! What a process is called in the audit trail.

use std::net::SocketAddr;

use crate::{config::Config, domain::audit::Run, port::entropy::Entropy, resource::SystemClock};

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

/// The run of this process. Names of runs sort by when they began, so what several commands did within one second is listed in the
/// order in which they were given.
pub(super) fn run(entropy: &dyn Entropy) -> Run {
    let began = SystemClock.milliseconds().to_be_bytes();
    let mut name = [0; 16];
    entropy.fill(&mut name);
    // 48 bits last until the year 10889; 80 bits of chance are left.
    for (byte, of_time) in name.iter_mut().zip(began.into_iter().skip(10)) {
        *byte = of_time;
    }
    Run::from_entropy(name)
}

/// The name of this machine, without what could not stand in a table.
fn host() -> String {
    let name = rustix::system::uname();
    let name: String = name.nodename().to_string_lossy().chars().filter(char::is_ascii_graphic).take(64).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
