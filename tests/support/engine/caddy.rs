//! Another web server in front of others, as its configuration says.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::{Process, Program, installed};

/// With a directory of its own for everything that it writes. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Caddy {
    _process: Process,
    _room: TempDir,
}

impl Caddy {
    /// Starts one with this Caddyfile, and waits until it listens.
    pub(crate) fn start(caddyfile: &str) -> Self {
        let room = tempfile::Builder::new().prefix("gateward-caddy-").tempdir().unwrap();
        let directory = room.path().to_str().unwrap();
        let file = format!("{directory}/Caddyfile");
        fs::write(&file, format!("{{\n\tadmin off\n}}\n{caddyfile}")).unwrap();
        // It keeps what it was last told, and certificates.
        let [settings, data] = ["CONFIG", "DATA"].map(|kind| format!("XDG_{kind}_HOME={directory}/{kind}"));
        let caddy = installed("GATEWARD_TEST_CADDY");
        let arguments = [&settings, &data, caddy.to_str().unwrap(), "run", "--adapter", "caddyfile", "--config", &file];
        let process = Process::start(Program {
            path: PathBuf::from("env"),
            arguments: arguments.map(str::to_owned).to_vec(),
            user: None,
            ready: Some("serving initial configuration"),
            stop: "TERM",
        });
        Self { _process: process, _room: room }
    }
}
