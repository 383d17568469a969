//! `gateward doctor`, as people run it.

use std::fs;

use serde_json::Value;

use super::Home;
use crate::support::{Options, Server};

fn verdicts<'a>(report: &'a Value, verdict: &str) -> Vec<&'a str> {
    let sections = report["sections"].as_array().unwrap().iter();
    let findings = sections.flat_map(|section| section["findings"].as_array().unwrap());
    findings.filter(|finding| finding["verdict"] == verdict).map(|finding| finding["check"].as_str().unwrap()).collect()
}

#[test]
fn in_development_mode_nothing_is_wrong() {
    let server = Server::start(Options::new());
    let report = server.run_json(&["doctor", "--json"]);
    assert_eq!((verdicts(&report, "failure"), verdicts(&report, "warning")), (vec![], vec![]), "{report:#}");
    assert_eq!(report["sections"][0]["url"], server.issuer());
    // The MCP server of development mode does not run.
    assert_eq!(report["sections"][1]["kind"], "MCP server");
    assert!(
        report["sections"][1]["findings"].as_array().unwrap().iter().all(|finding| finding["verdict"] == "skipped")
    );
}

#[test]
fn no_test_client_is_left_behind() {
    let server = Server::start(Options::new());
    let before = server.run_json(&["client", "list", "--json"]);
    server.run_json(&["doctor", server.issuer(), "--json"]);
    assert_eq!(server.run_json(&["client", "list", "--json"]), before);
}

#[test]
fn a_report_for_people_is_plain_where_there_is_no_terminal() {
    let server = Server::start(Options::new());
    let output = server.run(&["doctor", server.issuer(), "--read-only"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.starts_with(&format!(
            "{} (authorization server)\n\ntransport\n  ok    It speaks https\n",
            server.issuer()
        )),
        "{told}"
    );
    assert!(told.contains("12 checks: read-only: nothing is registered"), "{told}");
    assert!(!told.contains('\u{1b}'));
}

#[test]
fn what_fails_ends_with_1_and_the_report_is_printed_all_the_same() {
    let home = Home::new();
    // Nobody listens at port 9 of an address of our own.
    let output = home.run_with_input(&["doctor", "http://127.9.9.9:9", "--json"], "");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdicts(&report, "failure"), ["transport.reachable"]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "gateward: 1 check failed\n");
}

#[test]
fn what_makes_no_sense_ends_with_2() {
    let home = Home::new();
    assert!(home.fails(&["doctor", "auth.example.com"], 2).contains("is no http or https URL"));
    assert!(home.fails(&["doctor", "https://a.example", "--ca", "missing.pem"], 2).contains("missing.pem"));
    fs::write(home.path("nonsense.pem"), "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(home.fails(&["doctor", "https://a.example", "--ca", "nonsense.pem"], 2).contains("authorities"));
    assert!(home.fails(&["doctor", "https://a.example", "--mcp", "https://b.example"], 2).contains("--mcp"));
}
