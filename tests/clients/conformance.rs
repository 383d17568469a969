//! The official conformance runner (`@modelcontextprotocol/conformance`), in its `authorization` mode.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    program::{Program, node},
    support::{Options, Server, free_port},
    world::agree,
};

/// The only check that may warn: client ID metadata documents are for a later issue.
const PERMITTED_WARNING: &str = "authorization-server-metadata-cimd";

/// Runs everything that the runner knows for a version of the specification.
async fn assert_conforms(version: &str) {
    let server = Server::start(Options::new().on_localhost());
    let callback_port = free_port().port().to_string();
    let redirect_uri = format!("http://127.0.0.1:{callback_port}/callback");
    let arguments = ["--public", "--grant", "authorization_code", "--redirect-uri", &redirect_uri];
    let client = server.create_client(&arguments);
    let output = server.directory().join("conformance");

    let (mut command, packages) = node();
    command.arg(packages.join("@modelcontextprotocol/conformance/dist/index.js"));
    command.args(["authorization", "--url", server.issuer(), "--client-id", &client.id]);
    command.args(["--resource", &server.resource(), "-p", &callback_port, "--spec-version", version]);
    let runner = Program::start(command.arg("-o").arg(&output).current_dir(server.directory()));
    runner.line("Callback server started");
    let (mut browser, callback) = agree(&server, &runner.line("http")).await;
    browser.deliver(&callback).await.unwrap().page().unwrap();
    runner.finish();

    // The exit status tells of failures only.
    let checks = checks(&output);
    let names: Vec<&str> = checks.iter().filter_map(|check| check["id"].as_str()).collect();
    for expected in ["authorization-server-metadata", "authorization-code-grant"] {
        assert!(names.contains(&expected), "{expected} was not run: {names:?}");
    }
    for check in &checks {
        let permitted = check["id"] == PERMITTED_WARNING && check["status"] == "WARNING";
        assert!(permitted || check["status"] == "SUCCESS", "{check:#}");
    }
}

/// The checks of every scenario: each has a directory with a `checks.json`.
fn checks(output: &Path) -> Vec<Value> {
    let mut checks = Vec::new();
    for scenario in fs::read_dir(output).unwrap() {
        let text = fs::read_to_string(scenario.unwrap().path().join("checks.json")).unwrap();
        checks.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap());
    }
    checks
}

#[tokio::test]
async fn it_conforms_to_2025_03_26() {
    assert_conforms("2025-03-26").await;
}

#[tokio::test]
async fn it_conforms_to_2025_06_18() {
    assert_conforms("2025-06-18").await;
}

#[tokio::test]
async fn it_conforms_to_2025_11_25() {
    assert_conforms("2025-11-25").await;
}

#[tokio::test]
async fn it_conforms_to_2026_07_28() {
    assert_conforms("2026-07-28").await;
}
