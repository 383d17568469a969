//! Engines that one test owns, and may stop, freeze and kill, and what stands between them and the servers. `tests/run`
//! installs them and says in the environment where they are.

pub(crate) mod caddy;
pub(crate) mod haproxy;
pub(crate) mod nginx;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod redis;

use std::{
    env, fs, io,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::Duration,
};

use super::{Captured, DEADLINE, capture};

/// A program that goes on in the background. Dropping it kills it and whatever it started; so does the end of the test.
#[derive(Debug)]
pub(crate) struct Process {
    program: Program,
    child: Child,
    said: Arc<Captured>,
}

/// How a [`Process`] is started and ended.
#[derive(Debug)]
struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    /// Another user than the one who runs the tests.
    user: Option<&'static str>,
    /// What a line has in it as soon as the program can be used.
    ready: Option<&'static str>,
    /// The signal upon which it ends in good order, and soon.
    stop: &'static str,
}

impl Process {
    fn start(program: Program) -> Self {
        let (child, said) = program.launch();
        Self { program, child, said }
    }

    /// Starts it again, after it was stopped or killed: at the same address, with the data that it finds.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "it still runs");
        (self.child, self.said) = self.program.launch();
    }

    /// Ends it in good order.
    pub(crate) fn stop(&mut self) {
        self.signal(self.program.stop, &[self.child.id()]);
        self.wait();
    }

    /// `kill -9`, and waits until it and whatever it started are gone.
    pub(crate) fn kill(&mut self) {
        let mut all = vec![self.child.id()];
        all.extend(self.children());
        self.signal("KILL", &all);
        self.wait();
    }

    /// It still takes connections, for the kernel does that for it, and says nothing more.
    pub(crate) fn pause(&mut self) {
        // First the one that starts others.
        self.freeze(self.child.id());
        for child in self.children() {
            self.freeze(child);
        }
    }

    fn freeze(&self, id: u32) {
        self.signal("STOP", &[id]);
        // One that had just ended stays a zombie: whoever would collect it is frozen.
        poll("a process stops", || matches!(state(id), None | Some('T' | 'Z')));
    }

    /// It goes on where it was.
    pub(crate) fn resume(&mut self) {
        let mut all = self.children();
        all.push(self.child.id());
        self.signal("CONT", &all);
    }

    /// What it has said since the last start.
    pub(crate) fn log(&self) -> String {
        self.said.text()
    }

    fn children(&self) -> Vec<u32> {
        let id = self.child.id();
        let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
    }

    /// Some of them may have ended meanwhile.
    fn signal(&self, name: &str, ids: &[u32]) {
        let ids = ids.iter().map(u32::to_string);
        let _ = Command::new("kill").arg(format!("-{name}")).args(ids).stderr(Stdio::null()).status().unwrap();
    }

    /// Until all who write into its log are gone: it, and whatever it started.
    fn wait(&mut self) {
        assert!(self.said.wait_for_end(), "it goes on; it said:\n{}", self.said.text());
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the log explains why a test failed")]
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.said.lines();
            let end = log[log.len().saturating_sub(40)..].join("\n");
            eprintln!("the end of the log of {}:\n{end}", self.program.path.display());
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

impl Program {
    fn launch(&self) -> (Child, Arc<Captured>) {
        let (reader, writer) = io::pipe().unwrap();
        let mut command = command(&self.path, self.user);
        command.args(&self.arguments).stdin(Stdio::null());
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = spawn(command);
        let said = Arc::default();
        capture(reader, &said);
        if let Some(ready) = self.ready
            && !said.wait_for(|line| line.contains(ready))
        {
            let _ = child.kill();
            panic!("{} does not start; it said:\n{}", self.path.display(), said.text());
        }
        (child, said)
    }
}

/// A program, run as somebody, that the kernel kills when its parent is gone.
fn command(program: &PathBuf, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.arg(program);
    command
}

/// Its parent is the thread that starts it, as the kernel sees it; so one that never ends starts them all.
fn spawn(command: Command) -> Child {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, started) in inbox {
                let _ = started.send(command.spawn());
            }
        });
        orders
    });
    let (started, child) = mpsc::channel();
    starter.send((command, started)).unwrap();
    child.recv().unwrap().unwrap()
}

/// The state of a process, as `ps` shows it; `None` when it is gone.
fn state(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Asks again and again, like [`super::until`], where nothing is async.
fn poll(reason: &str, mut condition: impl FnMut() -> bool) {
    let pause = Duration::from_millis(5);
    for _ in 0..DEADLINE.as_millis() / pause.as_millis() {
        if condition() {
            return;
        }
        thread::park_timeout(pause);
    }
    panic!("waited in vain: {reason}");
}

/// What `tests/run` says in the environment.
pub(crate) fn installed(variable: &str) -> PathBuf {
    env::var_os(variable)
        .map_or_else(|| panic!("{variable} is not set: tests/run installs what is missing and sets it"), PathBuf::from)
}

/// 128 bits that no other user of this machine can guess.
fn random_password() -> String {
    use std::io::Read;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
