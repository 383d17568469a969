//! A web server in front of others, as its configuration says.

use std::{fs, net::SocketAddr};

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{Process, Program, installed};
use crate::support::until;

/// With a directory of its own for everything that it writes. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Nginx {
    process: Process,
    _room: TempDir,
}

impl Nginx {
    /// Starts one with this in its `http` section, and waits until it listens at `address`, as it says there.
    pub(crate) async fn start(address: SocketAddr, http: &str) -> Self {
        let room = tempfile::Builder::new().prefix("gateward-nginx-").tempdir().unwrap();
        let path = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = kinds.iter().map(|kind| format!("{kind}_temp_path {};\n", path(kind))).collect();
        // One process: there is nobody who would have to be allowed into the directory, nor left over.
        let settings = format!(
            "daemon off;\nmaster_process off;\npid {};\nerror_log stderr info;\nevents {{ worker_connections 256; }}\n\
             http {{\naccess_log off;\n{temporary}{http}\n}}\n",
            path("pid")
        );
        let file = path("nginx.conf");
        fs::write(&file, settings).unwrap();
        let arguments = ["-e", "stderr", "-p", room.path().to_str().unwrap(), "-c", &file];
        let process = Process::start(Program {
            path: installed("GATEWARD_TEST_NGINX"),
            arguments: arguments.map(str::to_owned).to_vec(),
            user: None,
            ready: None,
            stop: "TERM",
        });
        until("nginx listens", async || TcpStream::connect(address).await.is_ok()).await;
        Self { process, _room: room }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}
