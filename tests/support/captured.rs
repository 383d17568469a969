//! What a process writes, and waiting for it.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex},
};

use super::DEADLINE;

/// What a process writes, line by line, as it comes.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

pub(crate) fn capture(stream: impl Read + Send + 'static, into: &Arc<Captured>) {
    let captured = into.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            captured.lines.lock().unwrap().0.push(String::from_utf8_lossy(&line).into_owned());
            captured.changed.notify_all();
        }
        captured.lines.lock().unwrap().1 = true;
        captured.changed.notify_all();
    });
}

impl Captured {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().0.clone()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Waits for a line. `false` if there is none until the end, or until the deadline.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> bool {
        let found = |lines: &[String]| lines.iter().any(|line| wanted(line));
        let wait = |(lines, ended): &mut (Vec<String>, bool)| !found(lines) && !*ended;
        let (state, _) = self.changed.wait_timeout_while(self.lines.lock().unwrap(), DEADLINE, wait).unwrap();
        found(&state.0)
    }

    /// Waits until the process has closed it. `false` if it has not until the deadline.
    pub(crate) fn wait_for_end(&self) -> bool {
        let wait = |(_, ended): &mut (Vec<String>, bool)| !*ended;
        let (state, _) = self.changed.wait_timeout_while(self.lines.lock().unwrap(), DEADLINE, wait).unwrap();
        state.1
    }
}
