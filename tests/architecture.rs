//! The rooms of the house, and who may go where: imports point inward.
//!
//! Every path that starts with `crate::` counts, in a `use` or in the middle of an expression, in tests too.
#![expect(clippy::expect_used, reason = "a source that cannot be read has failed the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A room, and what of this crate it may name: rooms, or single things in one.
struct Room {
    name: &'static str,
    may_import: &'static [&'static str],
    /// Crates that only this room may use, so that what they do is done in one place.
    owns: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    // The words on the wire know nobody.
    Room { name: "protocol", may_import: &[], owns: &[] },
    Room { name: "domain", may_import: &["protocol"], owns: &[] },
    // protocol: a signer takes claims and keys as they stand on the wire.
    Room { name: "port", may_import: &["domain", "protocol"], owns: &[] },
    // The tower layer stands alone: it is for programs that have no authorization server in them.
    Room {
        name: "resource",
        may_import: &["domain", "port::clock::Clock", "protocol"],
        owns: &["aws_lc_rs", "reqwest", "tower_layer", "tower_service"],
    },
    // Counters and timers, for whoever has something to count.
    Room { name: "metrics", may_import: &[], owns: &["prometheus_client"] },
    // domain: the names of requests and attempts.
    Room { name: "log", may_import: &["domain"], owns: &[] },
    // log: a step that outlives its request is still told as a part of it.
    Room { name: "service", may_import: &["domain", "log", "port", "protocol"], owns: &[] },
    // Nothing of protocol: what is kept is what the rules know, not what was on the wire.
    // metrics: how long calls take is known where they are made.
    Room { name: "store", may_import: &["domain", "metrics", "port"], owns: &["sqlx"] },
    // protocol: claims, keys and algorithms are its trade. resource: there is one reader of compact JWS. metrics: events are counted on
    // their way into the audit trail.
    Room {
        name: "adapter",
        may_import: &["domain", "metrics", "port", "protocol", "resource::jws"],
        owns: &["aws_lc_rs", "jsonwebtoken", "x509_cert"],
    },
    // port: the clock is read at the door, once per request; and what is wrong with an assertion or a store has an answer, or a
    // word in the audit trail, of its own. No other port: whoever could reach a store or a signer here would decide something.
    // log, metrics: requests are named and counted where they come in.
    Room {
        name: "http",
        may_import: &[
            "service",
            "domain",
            "log",
            "metrics",
            "protocol",
            "port::clock::Clock",
            "port::crypto::AssertionError",
            "port::store::StoreError",
        ],
        owns: &["askama", "governor", "hyper", "hyper_util", "tokio_rustls", "tower_governor", "tower_http"],
    },
    // The layer, with the authority's own knowledge of tokens, in front of servers elsewhere. http: how a peer is told by a
    // proxy, and how answers are written.
    Room {
        name: "gateway",
        may_import: &[
            "domain",
            "http",
            "log",
            "port::clock::Clock",
            "port::store::StoreError",
            "protocol",
            "resource",
            "service",
        ],
        owns: &["hyper", "hyper_rustls", "hyper_util", "tower_http"],
    },
    // Looks at servers from the outside, as a client does, so it has a client of its own (reqwest), and knows nothing of what is
    // inside of ours. resource: there is one judgement of which published keys can be used.
    Room {
        name: "doctor",
        may_import: &["domain", "port::clock::Clock", "protocol", "resource::key_set"],
        owns: &["httpdate", "reqwest", "x509_cert"],
    },
    // domain: what an operator writes is parsed into the types of the rules (issuer, scope, redirect URI, policy), so that what
    // cannot be is refused at start. protocol: key sets, algorithms and secrets in the file.
    Room { name: "config", may_import: &["domain", "protocol"], owns: &["toml"] },
    // The composition root.
    Room {
        name: "cli",
        may_import: &[
            "adapter", "config", "doctor", "domain", "gateway", "http", "log", "metrics", "port", "protocol",
            "resource", "service", "store",
        ],
        // reqwest: the way to a collector of spans.
        owns: &["clap", "opentelemetry_otlp", "reqwest"],
    },
    // Builds whole servers, but not by the command line. The two macros of the contract suite are its own; the language keeps
    // exported macros at the root.
    Room {
        name: "testing",
        may_import: &[
            "adapter",
            "config",
            "domain",
            "gateway",
            "http",
            "metrics",
            "port",
            "protocol",
            "resource",
            "service",
            "stamp_store_behaviours",
            "store",
            "store_behaviours",
        ],
        owns: &["reqwest"],
    },
];

/// The rules are pure and synchronous, and so is what they are made of.
const WITHOUT_REACTOR: &[&str] = &["protocol", "domain", "port"];

/// Files that may be longer than 400 lines, and why.
const LONG_FILES: &[(&str, &str)] =
    &[("src/testing/contract/races.rs", CONTRACT), ("src/testing/contract/tokens.rs", CONTRACT)];
const CONTRACT: &str = "one short behaviour after the other, and the family is the concept";
const LONG: usize = 400;

struct Source {
    /// As in the repository: `src/room/file.rs`.
    name: String,
    /// With comments blanked out; lines and columns stay.
    text: String,
}

impl Source {
    /// `None` for the files of the crate root.
    fn room(&self) -> Option<&str> {
        let mut parts = self.name.split('/').skip(1);
        let room = parts.next().expect("below src");
        parts.next().map(|_| room)
    }

    /// How many `super::` lead from its top level to the crate root.
    fn depth(&self) -> usize {
        let parts = self.name.split('/').count() - 1;
        if self.name.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    fn line(&self, at: usize) -> String {
        let number = self.text[..at].matches('\n').count();
        format!("{}:{}: {}", self.name, number + 1, self.text.lines().nth(number).unwrap_or_default().trim())
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    files(&root().join("src"), &mut found);
    found.sort();
    assert!(found.len() > 100, "the sources are there");
    let read = |path: &PathBuf| Source {
        name: path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/"),
        text: without_comments(&fs::read_to_string(path).expect("a source")),
    };
    found.iter().map(read).collect()
}

fn without_comments(text: &str) -> String {
    let blank = |line: &str| {
        let code = line.find("//").filter(|at| line[..*at].trim_end().len() < *at || *at == 0).unwrap_or(line.len());
        format!("{}{}", &line[..code], " ".repeat(line.len() - code))
    };
    text.lines().map(blank).collect::<Vec<_>>().join("\n")
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every place where `prefix` starts a path.
fn starts<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(prefix)
        .map(|(at, _)| at)
        .filter(|at| !text[..*at].chars().next_back().is_some_and(|before| is_name(before) || before == ':'))
}

/// The paths of a `use` tree, or the one path of an expression, from just behind `crate::`; each with its place.
fn paths(text: &str, at: usize, before: &str, found: &mut Vec<(usize, String)>) -> usize {
    let mut end = at;
    let mut path = before.to_owned();
    loop {
        let rest = &text[end..];
        if rest.starts_with('{') {
            let mut next = end + 1;
            loop {
                next += text[next..].len() - text[next..].trim_start().len();
                match text[next..].chars().next() {
                    Some('}') => return next + 1,
                    Some(',') => next += 1,
                    Some(_) => {
                        next = paths(text, next, &path, found);
                        // `as name`
                        next += text[next..].find([',', '}']).expect("a closed tree");
                    }
                    None => return next,
                }
            }
        }
        let name: String = rest.chars().take_while(|c| is_name(*c) || *c == '*').collect();
        path.push_str(&name);
        end += name.len();
        if name.is_empty() || !text[end..].starts_with("::") {
            found.push((at, path.trim_end_matches("::").to_owned()));
            return end;
        }
        path.push_str("::");
        end += 2;
    }
}

fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in starts(&source.text, "crate::") {
        paths(&source.text, at + "crate::".len(), "", &mut found);
    }
    found
}

fn room(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

fn is_allowed(room: &Room, path: &str) -> bool {
    let within = |allowed: &str| path == allowed || path.starts_with(&format!("{allowed}::"));
    within(room.name) || room.may_import.iter().any(|allowed| within(allowed))
}

#[test]
fn every_room_is_on_the_plan() {
    let found: BTreeSet<String> = sources().iter().filter_map(|source| source.room().map(str::to_owned)).collect();
    let planned: BTreeSet<String> = ROOMS.iter().map(|room| room.name.to_owned()).collect();
    assert_eq!(found, planned);
    let outside: Vec<_> = sources().iter().filter(|s| s.room().is_none()).map(|s| s.name.clone()).collect();
    assert_eq!(outside, ["src/lib.rs", "src/main.rs"]);
}

#[test]
fn imports_point_inward() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(room) = source.room().and_then(room) else { continue };
        for (at, path) in imports(&source) {
            if !is_allowed(room, &path) {
                wrong.push(format!("{}\n    {} may not import {path}", source.line(at), room.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Else the rule above could be walked around.
#[test]
fn no_room_is_left_by_super() {
    let mut wrong = Vec::new();
    for source in sources() {
        if source.room().is_none() {
            continue;
        }
        for at in starts(&source.text, "super::") {
            let mut rest = &source.text[at..];
            let mut steps = 0;
            while let Some(next) = rest.strip_prefix("super::") {
                steps += 1;
                rest = next;
            }
            let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
            if steps >= source.depth() && room(&name).is_some() {
                wrong.push(source.line(at));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_done_in_one_place_is_done_in_no_other() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(here) = source.room() else { continue };
        let own = room(here).map_or(&[][..], |room| room.owns);
        for owner in ROOMS {
            for owned in owner.owns.iter().filter(|owned| !own.contains(owned)) {
                for at in starts(&source.text, &format!("{owned}::")) {
                    wrong.push(format!("{}\n    {owned} is for {}", source.line(at), owner.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn only_the_door_and_its_tests_speak_http() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| !matches!(s.room(), Some("gateway" | "http" | "testing") | None)) {
        wrong.extend(starts(&source.text, "axum::").map(|at| source.line(at)));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_rules_need_no_reactor() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| s.room().is_some_and(|room| WITHOUT_REACTOR.contains(&room))) {
        wrong.extend(starts(&source.text, "tokio::").map(|at| source.line(at)));
        wrong.extend(source.text.match_indices(".await").map(|(at, _)| source.line(at)));
        if source.room() != Some("port") {
            wrong.extend(starts(&source.text, "async ").map(|at| source.line(at)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_file_holds_one_concept() {
    let mut long: Vec<String> =
        sources().into_iter().filter(|source| source.text.lines().count() > LONG).map(|source| source.name).collect();
    long.sort();
    let excused: Vec<&str> = LONG_FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(long, excused, "over {LONG} lines: name the missing concept, or take it off the list");
}

#[test]
fn nothing_is_left_undone_or_allowed_without_a_reason() {
    let mut wrong = Vec::new();
    for source in sources() {
        // In comments; the text of the source is without them.
        let whole = fs::read_to_string(root().join(&source.name)).expect("a source");
        wrong.extend(
            ["TODO", "FIXME", "XXX"]
                .iter()
                .filter(|mark| whole.contains(*mark))
                .map(|mark| format!("{}: {mark}", source.name)),
        );
        for mark in ["todo!", "unimplemented!", "#[allow", "#![allow", ", allow("] {
            wrong.extend(source.text.match_indices(mark).map(|(at, _)| source.line(at)));
        }
        for (at, _) in source.text.match_indices("[expect(") {
            let attribute = &source.text[at..][..source.text[at..].find(")]").expect("an end")];
            if !attribute.contains("reason =") {
                wrong.push(source.line(at));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A guard that sees nothing guards nothing.
#[test]
fn the_reader_of_imports_sees_every_form() {
    let text = "use crate::{\n    a::{b::C, d::{self, E as F}},\n    g,\n};\nuse crate::h::i;\nlet x: crate::j::K = 1; // crate::no\n/// crate::no\nuse notcrate::l;";
    let source = Source { name: "src/x/y.rs".to_owned(), text: without_comments(text) };
    let paths: Vec<String> = imports(&source).into_iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["a::b::C", "a::d::self", "a::d::E", "g", "h::i", "j::K"]);
    assert_eq!((source.room(), source.depth()), (Some("x"), 2));
}

#[test]
fn the_plan_refuses_what_it_should() {
    let http = room("http").expect("http");
    for refused in ["store::Stores", "adapter::keyring", "config", "cli", "port::store::TokenStore", "port::clock"] {
        assert!(!is_allowed(http, refused), "{refused}");
    }
    for allowed in ["http::App", "service::Authority", "port::store::StoreError"] {
        assert!(is_allowed(http, allowed), "{allowed}");
    }
    assert!(!is_allowed(room("domain").expect("domain"), "domain_of_others::X"));
}
