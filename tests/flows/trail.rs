//! The audit trail across the ends of a process.

use serde_json::{Value, json};

use crate::support::{Options, Server, oauth::Wire, until};

fn listed(server: &Server, events: &[&str]) -> Value {
    let events = events.iter().flat_map(|event| ["--event", *event]);
    server.run_json(&["audit", "list", "--json"].into_iter().chain(events).collect::<Vec<_>>())
}

fn words(listed: &Value) -> Vec<String> {
    let word = |entry: &Value| {
        let words = ["event", "outcome", "reason"].map(|name| entry[name].as_str());
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    listed.as_array().expect("a list").iter().map(word).collect()
}

#[tokio::test]
async fn at_sigterm_everything_that_was_answered_is_written() {
    let mut server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    for _ in 0..50 {
        assert_eq!(wire.client_credentials(&worker).await.status, 200);
    }
    server.terminate();
    assert!(server.wait().success());
    assert_eq!(listed(&server, &["token.client_credentials"]).as_array().map(Vec::len), Some(50));
    assert_eq!(words(&listed(&server, &["server", "audit"])), ["server.start success", "server.stop success"]);
    server.restart();
    until("the next start is in the trail", async || {
        words(&listed(&server, &["server"])).ends_with(&["server.start success".to_owned()])
    })
    .await;
    assert_eq!(listed(&server, &["audit"]), json!([]), "it had stopped in order");
}

#[tokio::test]
async fn after_kill_9_the_next_start_says_that_the_trail_may_have_a_hole() {
    let mut server = Server::start(Options::new());
    let starts = |server: &Server| words(&listed(server, &["server", "audit"]));
    until("the start is in the trail", async || starts(&server) == ["server.start success"]).await;
    server.kill();
    server.restart();
    let expected = ["server.start success", "audit.gap failed unclean_stop", "server.start success"];
    until("the next start is in the trail", async || starts(&server) == expected).await;
    server.terminate();
    assert!(server.wait().success());
    assert_eq!(starts(&server).last().map(String::as_str), Some("server.stop success"));
}
