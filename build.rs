//! Tells the program which commit it is built from: `gateward --version`.
//!
//! 1. `GATEWARD_COMMIT`, where whoever builds knows better: a package, or a container that gets the sources without their history.
//! 2. In the release profile, the commit that this directory is checked out at. Other profiles name none: the sources of a
//!    developer are not those of any commit, and building anew after each would cost minutes.
//! 3. None, e.g. in a source archive. A repository around this directory, into which somebody unpacked it, is not asked.
//!
//! Nothing else about the build gets into the program: no time, no host and no user.

#![expect(clippy::disallowed_methods, reason = "Cargo talks to a build script by its environment")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

const COMMIT: &str = "GATEWARD_COMMIT";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={COMMIT}");
    let variable = |name: &str| env::var(name).ok().filter(|text| !text.is_empty());
    let commit = match variable(COMMIT) {
        Some(given) => Some(given),
        None if variable("PROFILE").as_deref() == Some("release") => {
            let here = PathBuf::from(variable("CARGO_MANIFEST_DIR").unwrap_or_default());
            for file in what_moves_with_the_commit(&here) {
                println!("cargo:rerun-if-changed={}", file.display());
            }
            commit(&here)
        }
        None => None,
    };
    let version = variable("CARGO_PKG_VERSION").unwrap_or_default();
    let commit = commit.filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
    let named = commit.map_or_else(|| version.clone(), |commit| format!("{version} ({commit})"));
    println!("cargo:rustc-env=GATEWARD_VERSION={named}");
}

/// The commit that `directory` is checked out at; `None` unless it is the top of a repository.
pub(crate) fn commit(directory: &Path) -> Option<String> {
    // A directory, or in a linked checkout a file.
    if !directory.join(".git").exists() {
        return None;
    }
    git(directory, &["rev-parse", "--short=12", "HEAD"])
}

/// The files that change when another commit is checked out or made. Those that do not exist are left out: they would count as
/// changed each time.
fn what_moves_with_the_commit(directory: &Path) -> Vec<PathBuf> {
    if commit(directory).is_none() {
        return Vec::new();
    }
    let branch = git(directory, &["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned).into_iter().chain(branch);
    let files = names.filter_map(|name| git(directory, &["rev-parse", "--git-path", &name]));
    files.map(|file| directory.join(file)).filter(|file| file.exists()).collect()
}

/// What git says; `None` if there is no git, or if it says no.
fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
