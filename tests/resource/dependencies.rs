//! The layer is for programs that have no authorization server in them: what it brings along.

use std::{collections::BTreeMap, process::Command};

/// What no program gets that only verifies tokens.
const SERVER: &[&str] = &[
    "axum",
    "sqlx",
    "sqlx-core",
    "redis",
    "clap",
    "askama",
    "argon2",
    "governor",
    "tower_governor",
    "jsonwebtoken",
    "tracing-subscriber",
    "toml",
    "rusqlite",
    "libsqlite3-sys",
    "rand",
    "indicatif",
];

/// Every package behind the library with these features, and the features that it has.
fn packages(features: &str) -> BTreeMap<String, String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}|{f}"])
        .args(["--no-default-features", "--features", features])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).expect("UTF-8");
    let line = |line: &str| {
        let (package, features) = line.split_once('|')?;
        Some((package.split(' ').next()?.to_owned(), features.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn the_layer_brings_no_server_and_no_database() {
    let packages = packages("resource");
    assert!(packages.contains_key("reqwest") && packages.contains_key("tower-layer"), "{packages:?}");
    let found: Vec<_> = SERVER.iter().filter(|name| packages.contains_key(**name)).collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(!packages.contains_key("axum-core"));
    let hyper = &packages["hyper"];
    assert!(hyper.contains("client") && !hyper.contains("server"), "hyper: {hyper}");
    assert!(!packages["hyper-util"].contains("server"), "hyper-util: {}", packages["hyper-util"]);
}

#[test]
fn the_extractor_for_axum_brings_only_its_core() {
    let (without, with) = (packages("resource"), packages("resource-axum"));
    let added: Vec<_> = with.keys().filter(|name| !without.contains_key(*name)).collect();
    assert!(added.iter().any(|name| *name == "axum-core"), "{added:?}");
    let found: Vec<_> = SERVER.iter().filter(|name| with.contains_key(**name)).collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(added.len() <= 3, "{added:?}");
}
