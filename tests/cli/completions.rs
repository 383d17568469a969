//! `gateward completions`, `gateward man` and `gateward --version`.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::{Home, support::output_of};

#[path = "../../build.rs"]
#[expect(dead_code, clippy::print_stdout, reason = "only how it asks git is tried")]
mod build_script;

/// Every verb that `--help` names, and the verbs below it: `client`, `client create`, ...
fn verbs(home: &Home, above: &[&str]) -> Vec<Vec<String>> {
    let help = home.ok(&[above, &["--help"]].concat());
    let Some((_, commands)) = help.split_once("Commands:\n") else { return Vec::new() };
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let mut found = Vec::new();
    for name in names {
        let path = [above, &[name]].concat();
        found.push(path.iter().map(|name| (*name).to_owned()).collect());
        found.extend(verbs(home, &path));
    }
    found
}

#[test]
fn each_verb_has_a_page_in_the_manual_and_each_page_a_verb() {
    let home = Home::new();
    home.ok(&["man", "pages/man1"]);
    let pages = fs::read_dir(home.path("pages/man1")).unwrap();
    let pages: BTreeSet<String> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    let verbs = verbs(&home, &[]);
    assert!(verbs.len() > 25, "{verbs:?}");
    let expected = verbs.iter().map(|path| format!("gateward-{}.1", path.join("-")));
    assert_eq!(pages, expected.chain(["gateward.1".to_owned()]).collect());
    let page = fs::read_to_string(home.path("pages/man1/gateward-backup.1")).unwrap();
    assert!(page.starts_with(".ie") || page.starts_with(".TH") || page.contains(".TH"), "{page}");
    assert!(page.contains("SQLite"), "{page}");
}

#[test]
fn each_shell_can_complete_each_verb() {
    let home = Home::new();
    let verbs = verbs(&home, &[]);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = home.ok(&["completions", shell]);
        for name in verbs.iter().filter_map(|path| path.last()) {
            assert!(script.contains(name.as_str()), "{shell} does not know {name}");
        }
    }
    home.fails(&["completions", "tcsh"], 2);
}

#[test]
fn the_version_names_the_commit_if_it_is_known() {
    let printed = Home::new().ok(&["--version"]);
    let version = printed.trim().strip_prefix("gateward ").unwrap();
    let commit = version.strip_prefix(env!("CARGO_PKG_VERSION")).unwrap();
    // A build of a developer names none.
    assert!(commit.is_empty() || commit.starts_with(" (") && commit.ends_with(')'), "{printed}");
}

#[test]
fn a_build_is_named_after_the_repository_that_it_is_the_top_of_and_after_no_other() {
    let room = tempfile::tempdir().unwrap();
    let git = |directory: &Path, arguments: &[&str]| {
        let who = ["-c", "user.name=a", "-c", "user.email=a@localhost"];
        let output = output_of(Command::new("git").arg("-C").arg(directory).args(who).args(arguments), "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(build_script::commit(room.path()), None);
    git(room.path(), &["init", "--quiet"]);
    assert_eq!(build_script::commit(room.path()), None, "without a commit");
    git(room.path(), &["commit", "--quiet", "--allow-empty", "--message", "one"]);
    let commit = build_script::commit(room.path()).unwrap();
    assert!(commit.len() == 12 && git(room.path(), &["rev-parse", "HEAD"]).starts_with(&commit), "{commit}");
    // An archive that somebody unpacked into a repository of theirs.
    let unpacked = room.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    assert_eq!(build_script::commit(&unpacked), None);
}
