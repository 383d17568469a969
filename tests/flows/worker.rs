//! A worker that acts for itself (client credentials), and the operator who looks after it while the server runs.

use std::process::Command;

use serde_json::Value;

use crate::support::{
    Options, Server,
    oauth::{Identity, Wire},
    output_of,
};

const WORKER: &[&str] = &["--name", "worker", "--grant", "client_credentials", "--scope", "mcp:execute"];

#[tokio::test]
async fn a_worker_made_while_the_server_runs_gets_a_token_and_gives_it_back() {
    let server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let resource_server = server.resource_server();
    let worker = server.create_client(WORKER);

    let answer = wire.client_credentials(&worker).await;
    assert_eq!(answer.text("scope"), "mcp:execute");
    assert_eq!(answer.json(200).get("refresh_token"), None, "RFC 6749 4.4.3");
    let token = answer.text("access_token");

    let active = wire.introspect(&resource_server, &token).await;
    assert_eq!(active["active"], true);
    assert_eq!(active["sub"], worker.id.as_str());
    assert_eq!(active["scope"], "mcp:execute");

    let revoked = wire.revoke(&worker, &token).await;
    assert_eq!((revoked.status.as_u16(), revoked.body.as_str()), (200, ""));
    assert!(!wire.is_active(&resource_server, &token).await);
}

#[tokio::test]
async fn a_rotated_secret_works_beside_the_old_one_for_the_overlap() {
    let server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let worker = server.create_client(WORKER);
    let rotate = |overlap: &str| -> Identity {
        let rotated = server.run_json(&["client", "rotate-secret", &worker.id, "--overlap", overlap, "--json"]);
        Identity { id: worker.id.clone(), secret: rotated["client_secret"].as_str().map(str::to_owned) }
    };

    let second = rotate("1h");
    assert_ne!(worker.secret, second.secret);
    for both in [&worker, &second] {
        assert_eq!(wire.client_credentials(both).await.status, 200);
    }

    let third = rotate("0s");
    assert_eq!(wire.client_credentials(&third).await.status, 200);
    for old in [&worker, &second] {
        let refused = wire.client_credentials(old).await;
        assert_eq!((refused.status.as_u16(), refused.error().as_str()), (401, "invalid_client"));
    }
}

#[tokio::test]
async fn a_disabled_worker_is_refused_and_its_token_is_inactive_at_once() {
    let server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let resource_server = server.resource_server();
    let worker = server.create_client(WORKER);
    let token = wire.client_credentials(&worker).await.text("access_token");
    assert!(wire.is_active(&resource_server, &token).await);

    server.run_json(&["client", "update", &worker.id, "--disable", "--json"]);
    assert_eq!(wire.client_credentials(&worker).await.error(), "invalid_client");
    assert!(!wire.is_active(&resource_server, &token).await);

    server.run_json(&["client", "update", &worker.id, "--enable", "--json"]);
    assert_eq!(wire.client_credentials(&worker).await.status, 200);
}

/// What the banner says to paste.
fn curl_line(server: &Server) -> String {
    let lines: Vec<String> = server.stdout().lines().map(str::trim).map(str::to_owned).collect();
    lines.iter().find(|line| line.starts_with("curl ")).expect("a curl line").clone()
}

fn paste(line: &str) -> Value {
    let output = output_of(Command::new("sh").args(["-c", line]), "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[tokio::test]
async fn the_curl_line_of_the_banner_prints_a_token_when_pasted() {
    let mut server = Server::start(Options::new());
    assert_eq!(paste(&curl_line(&server))["token_type"], "Bearer");

    server.kill();
    server.restart();
    assert!(paste(&curl_line(&server))["access_token"].is_string(), "after a restart, too");
}
