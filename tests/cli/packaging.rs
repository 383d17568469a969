//! The Dockerfile and the systemd unit, as far as they can be judged without a container engine and without a running systemd. What
//! was run by hand is in IMPLEMENTATION.md, "Packaging".

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{
    Home,
    support::{engine::installed, output_of},
};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap()
}

/// The instructions of the Dockerfile, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let text = text.join("\n").replace("\\\n", " ");
    text.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(word, rest)| (word.to_owned(), rest.to_owned()))
        .collect()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_dockerfile_has_nothing_that_hadolint_minds() {
    let output = output_of(Command::new(installed("GATEWARD_TEST_HADOLINT")).arg(repository().join("Dockerfile")), "");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_image_is_made_by_the_rust_of_this_crate_and_runs_as_nobody_in_particular() {
    let instructions = instructions();
    let all = |word: &str| -> Vec<&str> {
        instructions.iter().filter(|(name, _)| name == word).map(|(_, rest)| rest.as_str()).collect()
    };
    let manifest = read("Cargo.toml");
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert_eq!(all("FROM"), [format!("rust:{rust}-bookworm AS build"), "scratch".to_owned()]);
    // By number: there is no file of users to look a name up in before the program runs, and orchestrators want to see that it is
    // not root.
    assert_eq!(all("USER"), ["65532:65532"]);
    // In the form without a shell, for there is none.
    for exec in [all("ENTRYPOINT"), all("CMD")].concat() {
        assert!(exec.starts_with('['), "{exec}");
    }
    let healthcheck = all("HEALTHCHECK")[0];
    let words: Vec<String> = serde_json::from_str(&healthcheck[healthcheck.find('[').unwrap()..]).unwrap();
    assert_eq!(words[0], "/usr/bin/gateward");
    Home::new().ok(&[words[1].as_str(), "--help"]);
}

/// What `.dockerignore` lets through.
fn context() -> Vec<PathBuf> {
    let text = read(".dockerignore");
    let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    assert_eq!(lines.next(), Some("*"), "everything else stays here: history, products, secrets");
    lines.map(|line| line.strip_prefix('!').expect("only exceptions").into()).collect()
}

/// A target of the manifest whose file is left out would stop the build.
#[test]
fn what_is_sent_to_the_builder_is_a_whole_crate_and_nothing_that_is_not_needed() {
    let room = tempfile::tempdir().unwrap();
    for name in context() {
        let copied = Command::new("cp").arg("-R").arg(repository().join(&name)).arg(room.path()).status().unwrap();
        assert!(copied.success(), "{}", name.display());
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--offline", "--locked", "--no-deps", "--format-version=1"]).current_dir(room.path());
    let output = output_of(&mut cargo, "");
    assert!(output.status.success(), "{}", said(&output));
    // What decides about the build, and what is compiled in by its path.
    for name in [
        ".cargo/config.toml",
        "config/default.toml",
        "config/development.toml",
        "migrations/sqlite",
        "migrations/postgres",
    ] {
        assert!(room.path().join(name).exists(), "{name}");
    }
}

/// C compilers write it where a library asks, unless `.cargo/config.toml` tells them another time: the same sources are to make the same
/// program.
#[test]
fn the_program_does_not_say_when_it_was_compiled() {
    let dates = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-9][0-9] (19|20)[0-9]{2}";
    let mut grep = Command::new("grep");
    grep.args(["--text", "--only-matching", "--extended-regexp", dates]).env("LC_ALL", "C");
    let output = output_of(grep.arg(env!("CARGO_BIN_EXE_gateward")), "");
    assert_eq!(said(&output).lines().collect::<Vec<_>>(), ["Jan  1 1970"]);
}

/// The unit, with a program that is there.
fn unit(room: &Path) -> PathBuf {
    let path = room.join("gateward.service");
    let text = read("config/gateward.service");
    assert!(text.contains("ExecStart=/usr/bin/gateward serve"));
    fs::write(&path, text.replace("/usr/bin/gateward", env!("CARGO_BIN_EXE_gateward"))).unwrap();
    path
}

fn systemd_analyze(arguments: &[&str], unit: &Path) -> Output {
    let mut analyze = Command::new(installed("GATEWARD_TEST_SYSTEMD_ANALYZE"));
    output_of(analyze.args(arguments).arg(unit).env("SYSTEMD_LOG_COLOR", "0"), "")
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let room = tempfile::tempdir().unwrap();
    let output = systemd_analyze(&["verify", "--man=no"], &unit(room.path()));
    // It warns, and succeeds, about a setting that it does not know.
    let complaints: Vec<String> =
        said(&output).lines().filter(|line| line.contains("gateward.service")).map(str::to_owned).collect();
    assert!(output.status.success() && complaints.is_empty(), "{}", said(&output));
}

#[test]
fn a_server_that_is_taken_over_finds_little_in_its_sandbox() {
    let room = tempfile::tempdir().unwrap();
    // Ten times the exposure: 0 is nothing, 100 is everything; services without a sandbox have 96.
    let output = systemd_analyze(&["security", "--offline=yes", "--threshold=15"], &unit(room.path()));
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_unit_waits_longer_than_a_server_may_need_to_stop() {
    let unit = read("config/gateward.service");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    let defaults = read("config/default.toml");
    let grace = defaults.lines().find_map(|line| line.strip_prefix("shutdown_grace = ")).unwrap();
    let grace = grace.trim_matches('"').strip_suffix('s').unwrap();
    // The delay of the production example, and the five seconds that the store gets.
    assert!(stop.parse::<u32>().unwrap() > grace.parse::<u32>().unwrap() + 5 + 5);
}
