//! The MCP server of `examples/mcp_server.rs`: what it refuses, and whom it lets in, among them `examples/worker.rs`.

use std::{fs, process::Command};

use reqwest::{
    Client, Response,
    header::{ACCEPT, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

use crate::{
    program::Program,
    world::{World, built},
};

/// A message of an MCP client, with or without a token.
async fn send(world: &World, token: Option<&str>, message: &Value) -> Response {
    let http = Client::builder().no_proxy().build().unwrap();
    let mut request = http.post(&world.mcp).header(ACCEPT, "application/json, text/event-stream").json(message);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

/// The first one.
fn initialize() -> Value {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
        },
    })
}

/// The token of a worker that may do this.
async fn token(world: &World, scope: &str) -> String {
    let worker = world.worker(&["--scope", scope]);
    world.wire().client_credentials(&worker).await.text("access_token")
}

fn metadata_url(world: &World) -> String {
    format!("{}/.well-known/oauth-protected-resource/mcp", world.mcp.strip_suffix("/mcp").unwrap())
}

fn challenge(response: &Response) -> &str {
    response.headers().get(WWW_AUTHENTICATE).expect("a challenge").to_str().unwrap()
}

#[tokio::test]
async fn without_a_token_the_example_says_where_its_metadata_is() {
    let world = World::start();
    let response = send(&world, None, &initialize()).await;
    let inserted = metadata_url(&world);
    assert_eq!(response.status(), 401);
    assert_eq!(challenge(&response), format!(r#"Bearer resource_metadata="{inserted}", scope="mcp:read""#));
    for url in [&inserted, inserted.strip_suffix("/mcp").unwrap()] {
        let metadata: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(metadata["resource"], world.mcp);
        assert_eq!(metadata["authorization_servers"], json!([world.gateward.issuer()]));
        assert_eq!(metadata["scopes_supported"], json!(["mcp:execute", "mcp:read"]));
    }
}

#[tokio::test]
async fn a_worker_is_let_in() {
    let world = World::start();
    let token = token(&world, "mcp:read").await;
    assert_eq!(send(&world, Some(&token), &initialize()).await.status(), 200);
}

#[test]
fn the_worker_of_the_examples_launches_a_specialist() {
    let world = World::start();
    let always = ["client", "create", "--json", "--name", "launcher", "--grant", "client_credentials"];
    let created = world
        .gateward
        .run_json(&[&always[..], &["--resource", &world.mcp, "--scope", "mcp:read mcp:execute"]].concat());
    let credentials = world.gateward.directory().join("launcher.json");
    fs::write(&credentials, created.to_string()).unwrap();
    let mut command = Command::new(built("worker"));
    command.args(["--url", &world.mcp, "--authorization-server", world.gateward.issuer()]);
    command.arg("--credentials").arg(&credentials).args(["reviewer", "read the patch"]).env("NO_PROXY", "*");
    assert_eq!(Program::start(&mut command).finish(), [world.large.answer]);
}

#[tokio::test]
async fn a_token_with_too_small_a_scope_is_told_all_that_the_tool_needs() {
    let world = World::start();
    let token = token(&world, "mcp:read").await;
    let call = json!({
        "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": world.large.name, "arguments": world.large.arguments},
    });
    let response = send(&world, Some(&token), &call).await;
    let metadata = metadata_url(&world);
    assert_eq!(response.status(), 403);
    assert_eq!(
        challenge(&response),
        format!(r#"Bearer resource_metadata="{metadata}", scope="mcp:execute mcp:read", error="insufficient_scope""#)
    );
}

#[tokio::test]
async fn a_token_for_another_resource_is_no_token_for_the_example() {
    let world = World::start();
    let other = world.gateward.resource();
    let arguments = ["--grant", "client_credentials", "--scope", "mcp:read", "--resource", &other];
    let worker = world.gateward.create_client(&arguments);
    let token = world.wire().client_credentials(&worker).await.text("access_token");
    let response = send(&world, Some(&token), &initialize()).await;
    assert_eq!(response.status(), 401);
    assert!(challenge(&response).ends_with(r#"error="invalid_token""#), "{}", challenge(&response));
}

/// The example trusts rmcp to compare them, in a session that began before there were such headers, too.
#[tokio::test]
async fn headers_that_contradict_the_message_call_nothing_of_the_example() {
    let world = World::start();
    let token = token(&world, "mcp:read").await;
    let begun = send(&world, Some(&token), &initialize()).await;
    let session = begun.headers().get("mcp-session-id").expect("a session").clone();
    let call = json!({
        "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {
            "name": world.large.name, "arguments": world.large.arguments,
            "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
        },
    });
    let http = Client::builder().no_proxy().build().unwrap();
    for (method, name) in [("tools/list", None), ("tools/call", Some("whoami")), ("notifications/initialized", None)] {
        for session in [None, Some(&session)] {
            let request = http.post(&world.mcp).header(ACCEPT, "application/json, text/event-stream");
            let mut request = request.bearer_auth(&token).header("mcp-protocol-version", "2026-07-28").json(&call);
            request = request.header("mcp-method", method);
            request = name.into_iter().fold(request, |request, name| request.header("mcp-name", name));
            request = session.into_iter().fold(request, |request, session| request.header("mcp-session-id", session));
            let response = request.send().await.unwrap();
            let status = response.status();
            let text = response.text().await.unwrap();
            assert!(status == 400 && !text.contains("was launched"), "{method} {name:?}: {status} {text}");
        }
    }
}
