//! A Postgres of one test.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    ops::{Deref, DerefMut},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{Process, Program, command, installed, random_password};
use crate::support::own_address;

/// With the durability of production: what it has committed survives [`Process::kill`].
#[derive(Debug)]
pub(crate) struct Postgres {
    process: Process,
    room: TempDir,
    address: SocketAddr,
    password: String,
}

impl Postgres {
    /// Starts one in a new directory.
    pub(crate) fn start() -> Self {
        Self::start_with("host", |_, _| Vec::new())
    }

    /// The same, letting nobody in without TLS. `certify` gets an empty directory and the address that it is to vouch for, and
    /// says where it put the certificate and its key.
    pub(crate) fn start_tls(certify: impl FnOnce(&Path, IpAddr) -> [PathBuf; 2]) -> Self {
        Self::start_with("hostssl", |room, ip| {
            let [certificate, key] = certify(room, ip);
            let (certificate, key) = (certificate.display(), key.display());
            vec!["ssl=on".to_owned(), format!("ssl_cert_file={certificate}"), format!("ssl_key_file={key}")]
        })
    }

    fn start_with(way_in: &str, more: impl FnOnce(&Path, IpAddr) -> Vec<String>) -> Self {
        let (address, password) = (own_address(), random_password());
        let room = tempfile::Builder::new().prefix("gateward-postgres-").tempdir().unwrap();
        let more = more(room.path(), address.ip());
        fs::write(room.path().join("password"), &password).unwrap();
        let user = user();
        if let Some(user) = user {
            run(Command::new("chown").args(["-R", user]).arg(room.path()));
        }
        let data = room.path().join("data").to_str().unwrap().to_owned();
        let bin = installed("GATEWARD_TEST_POSTGRES_BIN");
        // Forcing an empty database to the disk takes longer than all the rest.
        let mut initdb = command(&bin.join("initdb"), user);
        initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--username=postgres"]);
        run(initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(room.path().join("password")));
        fs::write(Path::new(&data).join("pg_hba.conf"), format!("{way_in} all all 127.0.0.0/8 scram-sha-256\n"))
            .unwrap();
        let settings = [
            format!("listen_addresses={}", address.ip()),
            format!("port={}", address.port()),
            "unix_socket_directories=".to_owned(),
            "fsync=on".to_owned(),
            "synchronous_commit=on".to_owned(),
            "dynamic_shared_memory_type=mmap".to_owned(),
            // One call instead of one for each of a thousand files, before what was killed recovers.
            "recovery_init_sync_method=syncfs".to_owned(),
        ];
        let settings = settings.into_iter().chain(more).flat_map(|setting| ["-c".to_owned(), setting]);
        let process = Process::start(Program {
            path: bin.join("postgres"),
            arguments: ["-D".to_owned(), data].into_iter().chain(settings).collect(),
            user,
            ready: Some("database system is ready to accept connections"),
            // Without waiting for clients to leave.
            stop: "INT",
        });
        Self { process, room, address, password }
    }

    /// As a superuser, the database `postgres`.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres:{}@{}/postgres", self.password, self.address)
    }

    /// Where its files are.
    pub(crate) fn data(&self) -> PathBuf {
        self.room.path().join("data")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `psql` prints; what went wrong as an error.
    pub(crate) fn query(&self, sql: &str) -> Result<String, String> {
        query(&self.url(), sql)
    }
}

/// Asks any Postgres; what `psql` prints.
pub(crate) fn query(url: &str, sql: &str) -> Result<String, String> {
    let psql = installed("GATEWARD_TEST_POSTGRES_BIN").join("psql");
    let mut psql = Command::new(psql);
    psql.args([
        "--no-psqlrc",
        "--no-align",
        "--tuples-only",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--command",
        sql,
        url,
    ]);
    let output = psql.stdin(Stdio::null()).env("PGCONNECT_TIMEOUT", "30").output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Deref for Postgres {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Postgres {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if matches!(self.process.child.try_wait(), Ok(None)) {
            self.process.kill();
        }
        // One that was killed leaves a segment of shared memory to the next start, and there is none. The seventh line of its
        // lock file names it: key and id.
        let lock = fs::read_to_string(self.room.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(id) = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("ipcrm").args(["--shmem-id", id]).stderr(Stdio::null()).status();
        }
    }
}

/// Postgres refuses to run as root.
fn user() -> Option<&'static str> {
    (fs::metadata("/proc/self").unwrap().uid() == 0).then_some("postgres")
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
