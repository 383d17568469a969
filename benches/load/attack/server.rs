//! The server that is attacked: the program itself, in production mode, with SQLite and the limits that it has by default.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use gateward::testing::server::{REDIRECT, RESOURCE};
use tempfile::TempDir;

use crate::program::{APP, digest_of, resident};

/// A running server. Dropping it ends it.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Server {
    /// Starts one where the calling thread may run.
    pub(super) fn start() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = directory.path().join("gateward.toml");
        fs::write(&file, configuration()).unwrap();
        let program = || {
            let mut program = Command::new(env!("CARGO_BIN_EXE_gateward"));
            program.current_dir(directory.path()).env_clear().stdin(Stdio::null());
            program
        };
        let made = program().args(["key", "generate-master", "master.key"]).stdout(Stdio::null()).status().unwrap();
        assert!(made.success(), "a master key");
        let mut serve = program();
        serve.arg("--config").arg(&file).arg("serve").stdout(Stdio::piped());
        // A log that is written and that nobody reads, as it is by an operator's.
        serve.stderr(fs::File::create(directory.path().join("log")).unwrap());
        let mut child = serve.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = said.find_map(|line| line.strip_prefix("listening on ")?.split(' ').next()?.parse().ok());
        let log = || fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        let address = address.unwrap_or_else(|| panic!("the server did not start:\n{}", log()));
        Self { address, child, _directory: directory }
    }

    /// Bytes of memory that it has now.
    pub(super) fn resident(&self) -> u64 {
        resident(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn configuration() -> String {
    let [worker, spare, mcp] = ["worker", "spare", "mcp"].map(digest_of);
    format!(
        r#"
issuer = "https://auth.example.com"
data_directory = "data"
[server]
listen = ["127.0.0.1:0"]
[keys]
master_key = "file:master.key"
[[resources]]
uri = "{RESOURCE}"
scopes = [{{ name = "mcp:read", description = "Read" }}]
[[clients]]
client_id = "{APP}"
grant_types = ["authorization_code", "refresh_token"]
redirect_uris = ["{REDIRECT}"]
[[clients]]
client_id = "worker"
secret = "{worker}"
grant_types = ["client_credentials"]
scope = "mcp:read"
[[clients]]
client_id = "spare"
secret = "{spare}"
grant_types = ["client_credentials"]
scope = "mcp:read"
[[clients]]
client_id = "mcp"
secret = "{mcp}"
resources = ["{RESOURCE}"]
may_introspect = true
"#
    )
}
