//! The command line, as scripts and people use it: what it prints, what it hides, how it ends.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | it failed |
//! | 2 | the command line is wrong |
//! | 3 | there is no such thing |
//! | 4 | there is such a thing already |
//! | 5 | the configuration is wrong or unsafe |
//! | 6 | the store cannot be reached |
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod support;

#[path = "../support/engines.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod engines;

mod audit;
mod backup;
mod client;
mod completions;
mod config;
mod doctor;
mod export;
mod grant;
mod healthcheck;
mod key;
mod metrics;
mod packaging;
mod reload;
mod serve;
mod store;
mod store_copy;
#[cfg(feature = "otlp")]
mod traces;
mod user;

use std::{path::PathBuf, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{gateward, output_of};

/// A directory in which commands run, without a server: the development defaults, with their data below.
struct Home {
    directory: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("gateward-cli-").tempdir().unwrap();
        Self { directory, variables: Vec::new() }
    }

    fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = gateward(self.directory.path());
        output_of(command.args(arguments).envs(self.variables.iter().map(|(n, v)| (n, v))), input)
    }

    /// What a command that must succeed prints.
    fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with_input(arguments, "")
    }

    fn ok_with_input(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run_with_input(arguments, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// What a command says that must fail with this exit code. It prints nothing that a script could take for a result.
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run_with_input(arguments, "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
        said
    }
}

/// The names of the members, sorted.
fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_possible() {
    let home = Home::new();
    for wrong in [&["nonsense"][..], &["client"], &["client", "create", "--nonsense"], &["user", "create"]] {
        let said = home.fails(wrong, 2);
        assert!(said.contains("Usage:"), "{said}");
    }
    assert!(!home.path("gateward-data").exists(), "nothing was made");
}

#[test]
fn help_and_version_need_no_configuration() {
    let home = Home::new().set("GATEWARD_NONSENSE", "x");
    assert!(home.ok(&["--help"]).contains("Exit codes: 0 done"));
    assert!(home.ok(&["--version"]).starts_with("gateward "));
}
