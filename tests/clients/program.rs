//! Programs beside the server.

use std::{
    env,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use crate::support::{Captured, capture};

/// A running program whose output is read as it comes. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    stdout: Arc<Captured>,
    stderr: Arc<Captured>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdout, stderr) = (Arc::default(), Arc::default());
        capture(child.stdout.take().expect("a pipe"), &stdout);
        capture(child.stderr.take().expect("a pipe"), &stderr);
        Self { child, stdout, stderr }
    }

    /// Waits for the first line of its standard output that begins like this.
    pub(crate) fn line(&self, prefix: &str) -> String {
        self.line_but("", prefix)
    }

    /// Waits for the first one that begins like this and is not that one.
    pub(crate) fn line_but(&self, other: &str, prefix: &str) -> String {
        let wanted = |line: &str| line.starts_with(prefix) && line != other;
        self.stdout.wait_for(wanted);
        let line = self.stdout.lines().into_iter().find(|line| wanted(line));
        line.unwrap_or_else(|| panic!("no line with `{prefix}`; it said:\n{}", self.said()))
    }

    /// Waits until it has ended well; the lines of its standard output.
    pub(crate) fn finish(mut self) -> Vec<String> {
        assert!(self.stdout.wait_for_end(), "it does not end; it said:\n{}", self.said());
        let status = self.child.wait().unwrap();
        assert!(self.stderr.wait_for_end());
        assert!(status.success(), "{status}; it said:\n{}", self.said());
        self.stdout.lines()
    }

    fn said(&self) -> String {
        format!("{}\n{}", self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Node, and where its packages are.
pub(crate) fn node() -> (Command, PathBuf) {
    let tool = |name: &str| {
        env::var_os(name)
            .map_or_else(|| panic!("{name} is not set: tests/run installs Node and sets it"), PathBuf::from)
    };
    (Command::new(tool("GATEWARD_TEST_NODE")), tool("GATEWARD_TEST_NODE_MODULES"))
}
