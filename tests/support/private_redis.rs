//! A Redis of one test: started on a port of its own, and killed with it.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use redis::{Client, FromRedisValue, cmd};
use tempfile::TempDir;

/// A running server and the directory that it keeps its data in. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct PrivateRedis {
    child: Child,
    directory: TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl PrivateRedis {
    /// Starts one that writes everything through to its disk, and waits until it listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let port = free_port().to_string();
        Self::run(&[&["--port", &port], arguments].concat(), &port)
    }

    /// The same, speaking TLS only.
    pub(crate) fn start_tls(certificate: &str, key: &str, ca: &str) -> Self {
        let port = free_port().to_string();
        let tls = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca];
        let ports = ["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"];
        Self::run(&[ports.as_slice(), &tls].concat(), &port)
    }

    fn run(arguments: &[&str], port: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("gateward-redis-").tempdir().unwrap();
        let port = port.parse().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = launch(&directory, &arguments);
        Self { child, directory, port, arguments }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// As a crash would end it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it or lets it go on (`STOP`, `CONT`): it takes connections and does not answer.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// With the same port and data.
    pub(crate) fn start_again(&mut self) {
        self.child = launch(&self.directory, &self.arguments);
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port of this test, outside of those that the kernel gives to whoever asks for any: one of these could be gone before the server
/// has it.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Each test is a process of its own.
        let number = process::id().wrapping_mul(8).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(10_000 + number % 20_000).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn launch(directory: &TempDir, arguments: &[String]) -> Child {
    let mut child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always", "--save", ""])
        .arg("--dir")
        .arg(directory.path())
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = log.any(|line| line.unwrap().contains("Ready to accept connections"));
    assert!(ready, "redis-server has come to an end");
    // It stops when nobody reads what it says.
    thread::spawn(move || log.for_each(drop));
    child
}

/// Sends a command past the store.
pub(crate) async fn ask<T: FromRedisValue>(server: &PrivateRedis, words: &[&str]) -> T {
    let client = Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await.unwrap()
}
