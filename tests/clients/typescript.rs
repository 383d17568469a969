//! The official TypeScript SDK, in the program beside this file: discovery, registration, login, code, a call, a refresh, a call.

use serde_json::{Value, json};

use crate::{
    program::{Program, node},
    support::clock::Clock,
    world::{TWO_HOURS, World},
};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/mcp_client.mjs");
const AUTHORIZE: &str = "AUTHORIZE ";
const STEP_UP: &str = "--step-up";

/// What happened, in order: `event` and its members.
pub(crate) struct Story(Vec<Value>);

impl Story {
    /// Runs the client against a world.
    pub(crate) async fn in_world(world: &World, options: &[&str]) -> Self {
        let (client, first) = logged_in(world, options).await;
        if options.contains(&STEP_UP) {
            visit(world, client.line_but(&first, AUTHORIZE)).await;
        }
        Self::told_by(client)
    }

    /// Its token expires between two calls; it is neither asked to log in again nor to begin another session.
    pub(crate) async fn that_outlives_its_token(world: &World, clock: &Clock, protocol: &str) {
        let (client, _) = logged_in(world, &["--protocol", protocol, "--expire"]).await;
        let expiring: Value = serde_json::from_str(&client.line(r#"{"event":"expiring""#)).unwrap();
        clock.set_ahead(TWO_HOURS);
        assert_eq!(reqwest::get(expiring["go_on"].as_str().unwrap()).await.unwrap().status(), 200);
        let story = Self::told_by(client);
        let before =
            ["listening", "discovered", "registered", "called_back", "authorized", "connected", "tools_listed"];
        let after = ["tool_called", "expiring", "refreshed", "tool_called", "done"];
        assert_eq!(story.names(), [&before[..], &after].concat());
        story.assert_found_its_way(world);
        for call in story.calls() {
            assert!(call["text"].as_str().unwrap().contains(world.small.answer), "{call}");
        }
    }

    fn told_by(client: Program) -> Self {
        let lines = client.finish();
        let events = lines.iter().filter(|line| line.starts_with('{'));
        Self(events.map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// The whole life of a client of the example.
    async fn of(options: &[&str]) -> (World, Self) {
        let world = World::start();
        let story = Self::in_world(&world, options).await;
        (world, story)
    }

    /// A life with a step-up.
    pub(crate) async fn with_step_up(world: &World, protocol: &str) -> Self {
        let arguments = world.large.arguments.to_string();
        let step_up = [STEP_UP, world.large.name, "--step-up-arguments", &arguments];
        Self::in_world(world, &[&["--protocol", protocol][..], &step_up].concat()).await
    }

    pub(crate) fn event(&self, name: &str) -> &Value {
        let found = self.0.iter().find(|event| event["event"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.0))
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().filter_map(|event| event["event"].as_str()).collect()
    }

    fn calls(&self) -> Vec<&Value> {
        self.0.iter().filter(|event| event["event"] == "tool_called").collect()
    }

    /// What every client goes through, whatever it is like.
    fn assert_complete(&self, world: &World) {
        let before =
            ["listening", "discovered", "registered", "called_back", "authorized", "connected", "tools_listed"];
        let after = ["tool_called", "token_spoiled", "refreshed", "tool_called", "done"];
        assert_eq!(self.names(), [&before[..], &after].concat());
        self.assert_found_its_way(world);
        for tokens in [self.event("authorized"), self.event("refreshed")] {
            assert_eq!(tokens["scope"], "mcp:read offline_access");
            assert_eq!(tokens["expires_in"], 3600);
        }
        let client_id = self.event("registered")["client_id"].as_str().unwrap();
        let text = format!("{} through {client_id}, allowed: mcp:read offline_access", world.subject());
        for call in self.calls() {
            assert_eq!(call["text"], text);
        }
    }

    /// That a token for little became one for more, and stayed one when it was refreshed.
    pub(crate) fn assert_stepped_up(&self, world: &World) {
        let before =
            ["listening", "discovered", "registered", "called_back", "authorized", "connected", "tools_listed"];
        let step_up = ["tool_called", "step_up", "called_back", "stepped_up"];
        let after = ["tool_called", "token_spoiled", "refreshed", "tool_called", "done"];
        assert_eq!(self.names(), [&before[..], &step_up, &after].concat());
        self.assert_found_its_way(world);
        assert_eq!(self.event("authorized")["scope"], "mcp:read offline_access");
        // The union, as the SDK makes it: what the token permits, and what the challenge names.
        assert_eq!(self.event("step_up")["scope"], "mcp:read offline_access mcp:execute");
        for tokens in [self.event("stepped_up"), self.event("refreshed")] {
            assert_eq!(tokens["scope"], "mcp:execute mcp:read offline_access");
        }
        let tools = [&world.small, &world.large, &world.large];
        for (call, tool) in self.calls().into_iter().zip(tools) {
            assert_eq!(call["tool"], tool.name);
            assert!(call["text"].as_str().unwrap().contains(tool.answer), "{call}");
        }
    }

    fn assert_found_its_way(&self, world: &World) {
        assert_eq!(self.event("discovered")["issuer"], world.gateward.issuer());
        assert_eq!(self.event("discovered")["resource"], world.mcp);
        assert_eq!(self.event("called_back")["iss"], world.gateward.issuer());
        assert_eq!(self.event("refreshed")["rotated"], true);
    }
}

/// Starts the client, and logs in for it. The line that asked for it.
async fn logged_in(world: &World, options: &[&str]) -> (Program, String) {
    let (mut command, _) = node();
    let arguments = world.small.arguments.to_string();
    command.args([PROGRAM, &world.mcp, "--tool", world.small.name, "--arguments", &arguments]);
    let client = Program::start(command.args(options));
    let line = visit(world, client.line(AUTHORIZE)).await;
    (client, line)
}

/// Plays the browser: logs in, agrees, and is sent back. The line, which is not to be visited again.
async fn visit(world: &World, line: String) -> String {
    let (mut browser, callback) = world.agree(line.trim_start_matches(AUTHORIZE)).await;
    let page = browser.deliver(&callback).await.unwrap().page().unwrap();
    assert_eq!(page.status, 200);
    line
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
async fn a_client_from_2025_steps_up() {
    let world = World::start();
    let story = Story::with_step_up(&world, "legacy").await;
    story.assert_stepped_up(&world);
    assert_eq!(story.event("connected")["protocol_version"], "2025-11-25");
}

#[tokio::test]
async fn a_client_of_2026_07_28_steps_up() {
    let world = World::start();
    let story = Story::with_step_up(&world, "2026-07-28").await;
    story.assert_stepped_up(&world);
    assert_eq!(story.event("connected")["protocol_version"], "2026-07-28");
}

#[tokio::test]
async fn a_client_from_2025_outlives_its_token() {
    let clock = Clock::new();
    Story::that_outlives_its_token(&World::start_by(Some(&clock)), &clock, "legacy").await;
}

#[tokio::test]
async fn a_client_of_2026_07_28_outlives_its_token() {
    let clock = Clock::new();
    Story::that_outlives_its_token(&World::start_by(Some(&clock)), &clock, "2026-07-28").await;
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
