//! Another web server in front of others, as its configuration says.

use std::{fs, net::SocketAddr};

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{Process, Program, installed};
use crate::support::until;

/// With a directory of its own for everything that it writes. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Caddy {
    _process: Process,
    _room: TempDir,
}

impl Caddy {
    /// Starts one with this Caddyfile, and waits until it listens at `address`, as it says there.
    pub(crate) async fn start(address: SocketAddr, caddyfile: &str) -> Self {
        let room = tempfile::Builder::new().prefix("gateward-caddy-").tempdir().unwrap();
        let file = room.path().join("Caddyfile");
        let storage = room.path().join("storage");
        let global =
            format!("{{\n\tadmin off\n\tpersist_config off\n\tstorage file_system {}\n}}\n", storage.display());
        fs::write(&file, global + caddyfile).unwrap();
        let arguments = ["run", "--adapter", "caddyfile", "--config", file.to_str().unwrap()];
        let process = Process::start(Program {
            path: installed("GATEWARD_TEST_CADDY"),
            arguments: arguments.map(str::to_owned).to_vec(),
            user: None,
            ready: None,
            stop: "TERM",
        });
        until("caddy listens", async || TcpStream::connect(address).await.is_ok()).await;
        Self { _process: process, _room: room }
    }
}
