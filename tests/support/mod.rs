//! The built binary, running: started on a port of its own, watched, killed and started again.
//!
//! Shared by several test binaries; each uses a part of it:
//!
//! ```text
//! #[path = "../support/mod.rs"]
//! #[expect(dead_code, reason = "shared with other test binaries")]
//! mod support;
//! ```

pub(crate) mod captured;
pub(crate) mod clock;
pub(crate) mod collector;
pub(crate) mod engine;
pub(crate) mod fleet;
pub(crate) mod life;
pub(crate) mod oauth;

use std::{
    ffi::OsString,
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use self::captured::{Captured, capture};
use self::clock::Clock;

/// How long a debug build on a busy machine may take for anything that should happen at once.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const BINARY: &str = env!("CARGO_BIN_EXE_gateward");

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    variables: Vec<(String, String)>,
    localhost: bool,
    without: Vec<String>,
    issuer: Option<String>,
    tls: bool,
    ahead: Option<Duration>,
}

impl Options {
    /// Development mode with SQLite, and a log that tells everything of ours.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets an environment variable of the server, e.g. `GATEWARD_SERVER__DRAIN_DELAY`. `{issuer}` in it stands for the issuer.
    #[must_use]
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves out a variable that is set otherwise.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.without.push(name.to_owned());
        self
    }

    /// Whether such a variable is set.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.variables.iter().any(|(set, _)| set == name)
    }

    /// An issuer on `localhost` instead of a loopback address of this process: for clients that know only that name.
    #[must_use]
    pub(crate) fn on_localhost(mut self) -> Self {
        self.localhost = true;
        self
    }

    /// TLS with `server.pem` and `server.key` in this directory, and an https issuer.
    #[must_use]
    pub(crate) fn with_tls(mut self, directory: &Path) -> Self {
        self.tls = true;
        let file = |name: &str| directory.join(name).display().to_string();
        self.set("GATEWARD_MODE", "development")
            .set("GATEWARD_TLS__CERTIFICATE", &file("server.pem"))
            .set("GATEWARD_TLS__KEY", &file("server.key"))
    }

    /// Another issuer than the address where it listens: that of a load balancer.
    #[must_use]
    pub(crate) fn with_issuer(mut self, issuer: &str) -> Self {
        self.issuer = Some(issuer.to_owned());
        self
    }

    /// Keeps everything at this URL, instead of SQLite in the data directory.
    #[must_use]
    pub(crate) fn with_store(self, url: &str) -> Self {
        self.set("GATEWARD_STORES__URL", url)
    }

    /// Keeps grants and tokens at this URL, whatever keeps the rest.
    #[must_use]
    pub(crate) fn with_token_store(self, url: &str) -> Self {
        self.set("REDIS_URL", url)
    }

    /// The master key in this file, instead of one of its own; see [`make_master_key`].
    #[must_use]
    pub(crate) fn with_master_key(self, file: &Path) -> Self {
        self.set("GATEWARD_KEYS__MASTER_KEY", &format!("file:{}", file.display()))
    }

    /// A wall clock that is wrong by whole seconds, and timers that are right.
    #[must_use]
    pub(crate) fn with_clock_ahead(mut self, ahead: Duration) -> Self {
        self.ahead = Some(ahead);
        self
    }

    /// A wall clock that the test moves.
    #[must_use]
    pub(crate) fn with_clock(self, clock: &Clock) -> Self {
        clock.variables().iter().fold(self, |options, (name, value)| options.set(name, value))
    }
}

/// A running server and the directory that it keeps its data in. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    directory: TempDir,
    address: SocketAddr,
    issuer: String,
    options: Options,
    stdout: Arc<Captured>,
    stderr: Arc<Captured>,
    password: String,
}

impl Server {
    /// Starts one in a new directory and waits until it listens.
    pub(crate) fn start(options: Options) -> Self {
        let server = Self::start_on_used_store(options);
        assert!(!server.password.is_empty(), "the first start prints the password of admin");
        server
    }

    /// The same, where the store may know the user already, so that there is no password to print.
    pub(crate) fn start_on_used_store(options: Options) -> Self {
        let directory = tempfile::Builder::new().prefix("gateward-test-").tempdir().unwrap();
        let address = if options.localhost { free_port() } else { own_address() };
        let host = if options.localhost { "localhost".to_owned() } else { address.ip().to_string() };
        let scheme = if options.tls { "https" } else { "http" };
        let issuer = options.issuer.clone().unwrap_or_else(|| format!("{scheme}://{host}:{}", address.port()));
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let child = spawn(&options, directory.path(), address, &issuer, &stdout, &stderr);
        let mut server = Self { child, directory, address, issuer, options, stdout, stderr, password: String::new() };
        server.wait_until_it_listens();
        let line = server.stdout.lines().into_iter().find_map(|line| Some(line.strip_prefix("password: ")?.to_owned()));
        server.password = line.unwrap_or_default();
        server
    }

    /// Starts it again on the same directory and port, after it has ended.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "it still runs");
        (self.stdout, self.stderr) = (Arc::default(), Arc::default());
        self.child =
            spawn(&self.options, self.directory.path(), self.address, &self.issuer, &self.stdout, &self.stderr);
        self.wait_until_it_listens();
    }

    /// The same, with everything at another URL from now on.
    pub(crate) fn restart_on_store(&mut self, url: &str) {
        self.options = self.options.clone().with_store(url);
        self.restart();
    }

    /// The same, for grants and tokens alone.
    pub(crate) fn restart_on_store_for_tokens(&mut self, url: &str) {
        self.options = self.options.clone().with_token_store(url);
        self.restart();
    }

    fn wait_until_it_listens(&mut self) {
        let listens = |line: &str| line.starts_with("listening on ");
        if !self.stdout.wait_for(listens) {
            let _ = self.child.kill();
            panic!("the server does not listen; it said:\n{}\n{}", self.stdout.text(), self.stderr.text());
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Waits for a line of its log.
    pub(crate) fn wait_for_log(&self, wanted: &str) {
        let found = self.stderr.wait_for(|line| line.contains(wanted));
        assert!(found, "no \"{wanted}\" in the log:\n{}", self.stderr.text());
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        assert!(self.stdout.wait_for_end(), "it goes on; it said:\n{}", self.stderr.text());
        self.child.wait().unwrap()
    }

    /// The issuer, without a slash at the end.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A URL below the issuer.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// The resource at the issuer; clients that name none get tokens for it.
    pub(crate) fn resource(&self) -> String {
        self.url("/mcp")
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The password of the user `admin`, as printed at the first start.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Where it keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        data(self.directory.path())
    }

    /// Its working directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it has printed since the last start.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has logged since the last start.
    pub(crate) fn log(&self) -> String {
        self.stderr.text()
    }

    /// Runs a command beside the server, on the same store.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, "")
    }

    /// The same, with something on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = command(&self.options, self.directory.path(), self.address, &self.issuer);
        output_of(command.args(arguments), input)
    }

    /// The settings that it was started with, for what is run beside it in other ways.
    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        let command = command(&self.options, self.directory.path(), self.address, &self.issuer);
        let set = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        set.collect()
    }

    /// Runs a command that must succeed and print JSON.
    pub(crate) fn run_json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "the log explains why a test failed")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.stderr.lines();
            eprintln!("the end of the log:\n{}", log[log.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// The binary, with a clean environment, in a directory.
pub(crate) fn gateward(directory: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().current_dir(directory);
    command
}

/// A new master key in this file.
pub(crate) fn make_master_key(file: &Path) {
    let directory = file.parent().expect("a file in a directory");
    let made = output_of(gateward(directory).args(["key", "generate-master"]).arg(file), "");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Runs a command to its end.
pub(crate) fn output_of(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn command(options: &Options, directory: &Path, address: SocketAddr, issuer: &str) -> Command {
    let mut command = gateward(directory);
    command
        .env("GATEWARD_ISSUER", issuer)
        .env("GATEWARD_SERVER__LISTEN", address.to_string())
        .env("GATEWARD_DATA_DIRECTORY", data(directory))
        .env("GATEWARD_RESOURCES__0__URI", format!("{issuer}/mcp"))
        .env("GATEWARD_LOG__FILTER", "info,gateward=debug")
        .envs(options.variables.iter().map(|(name, value)| (name, value.replace("{issuer}", issuer))));
    for name in &options.without {
        command.env_remove(name);
    }
    if let Some(ahead) = options.ahead {
        command
            .env("LD_PRELOAD", engine::installed("GATEWARD_TEST_FAKETIME"))
            .env("FAKETIME", format!("+{}s", ahead.as_secs()))
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    command
}

fn spawn(
    options: &Options,
    directory: &Path,
    address: SocketAddr,
    issuer: &str,
    stdout: &Arc<Captured>,
    stderr: &Arc<Captured>,
) -> Child {
    let mut command = command(options, directory, address, issuer);
    let mut child = command
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    capture(child.stdout.take().expect("a pipe"), stdout);
    capture(child.stderr.take().expect("a pipe"), stderr);
    child
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

/// An address that nobody else uses: every test process has a loopback address of its own (Linux answers on all of
/// 127.0.0.0/8), so ports cannot collide with those of other tests, nor with the ends of their connections.
pub(crate) fn own_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(4000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 64 + a % 128, b, c);
    SocketAddr::from((ip, NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A free port of 127.0.0.1, for programs that know only that address. Somebody else could take it meanwhile.
pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Asks again and again until the answer is yes: the only place where a test waits for something that cannot tell it.
pub(crate) async fn until<F: Future<Output = bool>>(reason: &str, mut condition: impl FnMut() -> F) {
    let asking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            if condition().await {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, asking).await;
    assert!(in_time.is_ok(), "waited in vain: {reason}");
}

/// The permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
