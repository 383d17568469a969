//! A Redis of one test.

use std::{
    fs,
    net::SocketAddr,
    ops::{Deref, DerefMut},
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{Process, Program, random_password};
use crate::support::own_address;

/// It writes each change to the disk before it answers: what was answered survives [`Process::kill`].
#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    /// Gone after the process.
    room: TempDir,
    address: SocketAddr,
    password: String,
}

impl Redis {
    /// Starts one in a new directory.
    pub(crate) fn start() -> Self {
        let (address, password) = (own_address(), random_password());
        let room = tempfile::Builder::new().prefix("gateward-redis-").tempdir().unwrap();
        let settings = [
            format!("bind {}", address.ip()),
            format!("port {}", address.port()),
            format!("dir {}", room.path().display()),
            format!("requirepass {password}"),
            "save \"\"".to_owned(),
            "appendonly yes".to_owned(),
            "appendfsync always".to_owned(),
        ];
        // In a file, for every user can read a command line.
        let file = room.path().join("redis.conf");
        fs::write(&file, settings.join("\n")).unwrap();
        let process = Process::start(Program {
            path: "redis-server".into(),
            arguments: vec![file.to_str().unwrap().to_owned()],
            user: None,
            ready: Some("Ready to accept connections"),
            stop: "TERM",
        });
        Self { process, room, address, password }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://default:{}@{}", self.password, self.address)
    }

    /// Where its files are.
    pub(crate) fn data(&self) -> &Path {
        self.room.path()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `redis-cli` prints; what went wrong as an error.
    pub(crate) fn command(&self, words: &[&str]) -> Result<String, String> {
        command(&self.url(), words)
    }
}

/// Asks any Redis; what `redis-cli` prints.
pub(crate) fn command(url: &str, words: &[&str]) -> Result<String, String> {
    let mut client = Command::new("redis-cli");
    let client = client.args(["-e", "--no-auth-warning", "-u", url]).args(words).stdin(Stdio::null());
    let output = client.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))) }
}

impl Deref for Redis {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
