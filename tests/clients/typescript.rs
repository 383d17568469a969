//! The official TypeScript SDK, in the program beside this file: discovery, registration, login, code, a call, a refresh, a call.

use serde_json::{Value, json};

use crate::{
    example::World,
    program::{Program, node},
};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/mcp_client.mjs");

/// What happened, in order: `event` and its members.
struct Story(Vec<Value>);

impl Story {
    /// Runs the client through its whole life.
    async fn of(options: &[&str]) -> (World, Self) {
        let world = World::start();
        let (mut command, _) = node();
        let client = Program::start(command.args([PROGRAM, &world.mcp, "--tool", "whoami"]).args(options));
        let line = client.line("AUTHORIZE ");
        let (mut browser, callback) = world.agree(line.trim_start_matches("AUTHORIZE ")).await;
        let page = browser.deliver(&callback).await.unwrap().page().unwrap();
        assert_eq!(page.status, 200);
        let lines = client.finish();
        let events = lines.iter().filter(|line| line.starts_with('{'));
        (world, Self(events.map(|line| serde_json::from_str(line).unwrap()).collect()))
    }

    fn event(&self, name: &str) -> &Value {
        let found = self.0.iter().find(|event| event["event"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.0))
    }

    /// What every client goes through, whatever it is like.
    fn assert_complete(&self, world: &World) {
        let names: Vec<&str> = self.0.iter().filter_map(|event| event["event"].as_str()).collect();
        let expected = [
            "listening",
            "discovered",
            "registered",
            "called_back",
            "authorized",
            "connected",
            "tools_listed",
            "tool_called",
            "token_spoiled",
            "refreshed",
            "tool_called",
            "done",
        ];
        assert_eq!(names, expected);
        assert_eq!(self.event("discovered")["issuer"], world.gateward.issuer());
        assert_eq!(self.event("discovered")["resource"], world.mcp);
        assert_eq!(self.event("called_back")["iss"], world.gateward.issuer());
        for tokens in [self.event("authorized"), self.event("refreshed")] {
            assert_eq!(tokens["scope"], "mcp:execute offline_access");
            assert_eq!(tokens["expires_in"], 3600);
        }
        assert_eq!(self.event("refreshed")["rotated"], true);
        let client_id = self.event("registered")["client_id"].as_str().unwrap();
        let text = format!("admin through {client_id}, allowed: mcp:execute offline_access");
        assert_eq!(self.event("tool_called")["text"], text);
    }
}

#[tokio::test]
async fn a_client_that_asks_for_the_protocol_version_lives_its_whole_life() {
    let (world, story) = Story::of(&["--protocol", "auto"]).await;
    story.assert_complete(&world);
    assert_eq!(story.event("connected")["protocol_version"], "2026-07-28");
}

#[tokio::test]
async fn a_client_from_2025_lives_its_whole_life() {
    let (world, story) = Story::of(&["--protocol", "legacy"]).await;
    story.assert_complete(&world);
    assert_eq!(story.event("connected")["protocol_version"], "2025-11-25");
}

#[tokio::test]
async fn a_client_that_insists_on_2026_07_28_lives_its_whole_life() {
    let (world, story) = Story::of(&["--protocol", "2026-07-28"]).await;
    story.assert_complete(&world);
    assert_eq!(story.event("connected")["protocol_version"], "2026-07-28");
}

#[tokio::test]
async fn a_client_is_called_back_on_localhost() {
    let (world, story) = Story::of(&["--redirect-host", "localhost"]).await;
    story.assert_complete(&world);
    assert!(story.event("listening")["redirect_uri"].as_str().unwrap().starts_with("http://localhost:"));
}

#[tokio::test]
async fn a_client_is_called_back_on_ipv6() {
    let (world, story) = Story::of(&["--redirect-host", "[::1]"]).await;
    story.assert_complete(&world);
    assert!(story.event("listening")["redirect_uri"].as_str().unwrap().starts_with("http://[::1]:"));
}

#[tokio::test]
async fn a_client_registers_without_a_secret() {
    let (world, story) = Story::of(&["--auth-method", "none"]).await;
    story.assert_complete(&world);
    assert_registered(&story, "none", false);
}

#[tokio::test]
async fn a_client_with_a_secret_authenticates_in_the_header() {
    let (world, story) = Story::of(&["--auth-method", "client_secret_basic"]).await;
    story.assert_complete(&world);
    assert_registered(&story, "client_secret_basic", true);
}

#[tokio::test]
async fn a_client_with_a_secret_authenticates_in_the_body() {
    let (world, story) = Story::of(&["--auth-method", "client_secret_post"]).await;
    story.assert_complete(&world);
    assert_registered(&story, "client_secret_post", true);
}

fn assert_registered(story: &Story, method: &str, has_secret: bool) {
    let registered = story.event("registered");
    assert_eq!(registered["token_endpoint_auth_method"], method);
    assert_eq!(registered["has_secret"], json!(has_secret));
}
