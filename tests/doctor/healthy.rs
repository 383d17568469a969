//! Nothing is wrong with gateward.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::Method;
use gateward::{
    doctor::{Kind, Options, Report, Target, Verdict, examine, text},
    resource::SystemClock,
};

use crate::world::{World, complaints, nothing};

/// What cannot be checked where everything is on one machine.
const WITHOUT_TLS: &[&str] = &["transport.certificate", "transport.certificate_end"];

fn skipped(report: &Report) -> Vec<&str> {
    let findings = report.sections.iter().flat_map(|section| &section.findings);
    findings.filter(|finding| finding.verdict == Verdict::Skipped).map(|finding| finding.check).collect()
}

fn assert_healthy(report: &Report, also_skipped: &[&str]) {
    assert_eq!(complaints(report), []);
    let twice = [WITHOUT_TLS, WITHOUT_TLS].concat();
    let mut expected = [twice.as_slice(), also_skipped].concat();
    let mut found = skipped(report);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected, "{report:#?}");
}

#[tokio::test]
async fn nothing_is_wrong_with_an_issuer_and_an_mcp_server_behind_the_gateway() {
    let report = World::start(nothing).await.examine().await;
    assert_healthy(&report, &["discovery.appended"]);
    assert_eq!((report.sections.len(), report.summary.failures, report.summary.warnings), (2, 0, 0));
    assert!(report.summary.passed > 70, "{:?}", report.summary);
}

#[tokio::test]
async fn nothing_is_wrong_with_an_issuer_that_has_a_path() {
    assert_healthy(&World::below("/tenant/1", nothing).await.examine().await, &[]);
}

#[tokio::test]
async fn from_the_url_of_an_mcp_server_it_finds_the_authorization_server() {
    let world = World::start(nothing).await;
    let report = examine(&[Target::at(&world.mcp)], &Options::default(), &SystemClock).await.unwrap();
    let sections: Vec<(Kind, &str)> =
        report.sections.iter().map(|section| (section.kind, section.url.as_str())).collect();
    assert_eq!(sections, [(Kind::McpServer, world.mcp.as_str()), (Kind::AuthorizationServer, &world.issuer)]);
    // The MCP server is the one resource, and it has a path.
    assert_healthy(&report, &["discovery.appended", "authorize.resource_slash"]);
}

#[tokio::test]
async fn it_tells_an_issuer_from_an_mcp_server() {
    let world = World::below("/tenant", nothing).await;
    for url in [world.issuer.clone(), format!("{}/", world.issuer)] {
        let report = examine(&[Target::at(url)], &Options::default(), &SystemClock).await.unwrap();
        assert_eq!(report.sections[0].kind, Kind::AuthorizationServer);
        assert_healthy_but_for_resources(&report);
    }
}

fn assert_healthy_but_for_resources(report: &Report) {
    assert_eq!(complaints(report), []);
    let expected = [WITHOUT_TLS, &["authorize.resource", "authorize.resource_slash"]].concat();
    assert_eq!(skipped(report), expected);
}

#[tokio::test]
async fn test_clients_are_gone_afterwards() {
    static DELETED: AtomicUsize = AtomicUsize::new(0);
    let world = World::start(|asked, told| {
        if asked.method == Method::DELETE {
            assert_eq!(told.status, 204);
            DELETED.fetch_add(1, Ordering::SeqCst);
        }
    });
    world.await.examine().await;
    assert_eq!(DELETED.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn read_only_registers_nothing_and_says_what_it_leaves_out() {
    let world = World::start(|asked, _| {
        assert!(!(asked.path.starts_with("/oauth/register") && asked.method != Method::OPTIONS));
    });
    let report = world.await.examine_with(&Options { read_only: true, ..Options::default() }).await;
    assert_eq!(complaints(&report), []);
    let found = skipped(&report);
    for check in ["registration.native", "registration.cleanup", "token.bad_code", "authorize.https", "authorize.iss"] {
        assert!(found.contains(&check), "{check}: {found:?}");
    }
    for check in ["token.bad_client", "authorize.unknown_client", "cors.registration"] {
        assert!(!found.contains(&check), "{check}: {found:?}");
    }
}

#[tokio::test]
async fn a_report_says_the_same_to_people_and_to_programs() {
    let report = World::start(|asked, told| {
        if asked.is(Method::GET, "/.well-known/oauth-authorization-server") {
            told.edit(|document| document["op_policy_uri"] = serde_json::Value::Null);
        }
    });
    let report = report.await.examine().await;
    let told = text(&report, false);
    assert!(
        told.contains(
            "\nmetadata\n  FAIL  Every member has its type, and none is null [metadata.types]\n        saw: "
        ),
        "{told}"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["sections"][0]["kind"], "authorization server");
    let findings = json["sections"][0]["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["check"] == "metadata.types").unwrap();
    assert_eq!(finding["verdict"], "failure");
    assert_eq!(finding["saw"], "\"op_policy_uri\" should be left out instead of null");
    assert!(finding["breaks"].is_string() && finding["remedy"].is_string() && finding["title"].is_string());
    assert_eq!(json["summary"]["failures"], 1);
    assert!(
        findings.iter().filter(|finding| finding["verdict"] == "pass").all(|finding| finding.get("remedy").is_none())
    );
}
