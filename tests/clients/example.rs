//! The MCP server of `examples/mcp_server.rs`, which trusts a gateward of its own, and what it refuses.

use std::{env, fs, path::PathBuf, process::Command};

use gateward::testing::browser::ScriptedBrowser;
use reqwest::{
    Client, Response,
    header::{ACCEPT, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

use crate::{
    program::Program,
    support::{
        Options, Server,
        oauth::{Identity, Wire},
        own_address,
    },
};

/// An authorization server, an MCP server that trusts it, and a human.
pub(crate) struct World {
    pub(crate) gateward: Server,
    /// The URL of the MCP server.
    pub(crate) mcp: String,
    _example: Program,
}

impl World {
    pub(crate) fn start() -> Self {
        let address = own_address();
        let mcp = format!("http://{address}/mcp");
        // Beside the resource at the issuer, in the place of the second one of config/development.toml.
        let options = Options::new().on_localhost().set("GATEWARD_RESOURCES__1__URI", &mcp);
        let gateward = Server::start(options);
        let created = gateward.run_json(&["client", "create", "--json", "--introspect", "--resource", &mcp]);
        let credentials = gateward.directory().join("mcp_server.json");
        fs::write(&credentials, created.to_string()).unwrap();
        let mut command = Command::new(binary());
        command.args(["--url", &mcp, "--authorization-server", gateward.issuer()]);
        command.args(["--listen", &address.to_string()]).arg("--credentials").arg(&credentials);
        let example = Program::start(&mut command);
        example.line("listening on");
        Self { gateward, mcp, _example: example }
    }

    /// The human of this world logs in, agrees, and is sent back to the client: the callback URL, not visited yet.
    pub(crate) async fn agree(&self, authorize_url: &str) -> (ScriptedBrowser, String) {
        agree(&self.gateward, authorize_url).await
    }

    /// Requests about tokens for the MCP server.
    fn wire(&self) -> Wire {
        Wire { resource: self.mcp.clone(), ..Wire::to(&self.gateward) }
    }

    /// A worker that may do this at the MCP server.
    pub(crate) fn worker(&self, arguments: &[&str]) -> Identity {
        let always = ["--grant", "client_credentials", "--resource", &self.mcp];
        self.gateward.create_client(&[&always, arguments].concat())
    }

    /// The first message of an MCP client, with or without a token.
    async fn initialize(&self, token: Option<&str>) -> Response {
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
            },
        });
        let http = Client::builder().no_proxy().build().unwrap();
        let mut request = http.post(&self.mcp).header(ACCEPT, "application/json, text/event-stream").json(&message);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    }
}

/// The human of a server logs in, agrees, and is sent back to the client: the callback URL, not visited yet.
pub(crate) async fn agree(server: &Server, authorize_url: &str) -> (ScriptedBrowser, String) {
    let mut browser = ScriptedBrowser::new().unwrap();
    let callback = browser.authorize(authorize_url, "admin", server.password()).await;
    let callback = callback.unwrap_or_else(|error| panic!("{error}"));
    (browser, callback)
}

/// Cargo puts examples beside the directory of the tests.
fn binary() -> PathBuf {
    let test = env::current_exe().unwrap();
    let built = test.parent().and_then(|deps| deps.parent()).expect("target/debug").join("examples/mcp_server");
    assert!(built.exists(), "{} is missing: `tests/run`, or `cargo build --example mcp_server`", built.display());
    built
}

fn challenge(response: &Response) -> &str {
    response.headers().get(WWW_AUTHENTICATE).expect("a challenge").to_str().unwrap()
}

#[tokio::test]
async fn without_a_token_the_example_says_where_its_metadata_is() {
    let world = World::start();
    let response = world.initialize(None).await;
    let origin = world.mcp.strip_suffix("/mcp").unwrap();
    let inserted = format!("{origin}/.well-known/oauth-protected-resource/mcp");
    assert_eq!(response.status(), 401);
    assert_eq!(challenge(&response), format!(r#"Bearer resource_metadata="{inserted}", scope="mcp:execute""#));
    for url in [&inserted, &format!("{origin}/.well-known/oauth-protected-resource")] {
        let metadata: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(metadata["resource"], world.mcp);
        assert_eq!(metadata["authorization_servers"], json!([world.gateward.issuer()]));
    }
}

#[tokio::test]
async fn a_worker_is_let_in_until_its_token_is_revoked() {
    let world = World::start();
    let worker = world.worker(&["--scope", "mcp:execute"]);
    let token = world.wire().client_credentials(&worker).await.text("access_token");
    assert_eq!(world.initialize(Some(&token)).await.status(), 200);
    assert_eq!(world.wire().revoke(&worker, &token).await.status, 200);
    let response = world.initialize(Some(&token)).await;
    assert_eq!(response.status(), 401);
    assert!(challenge(&response).ends_with(r#"error="invalid_token""#), "{}", challenge(&response));
}

#[tokio::test]
async fn a_token_with_too_small_a_scope_is_forbidden() {
    let world = World::start();
    let worker = world.worker(&["--scope", "mcp:read"]);
    let token = world.wire().client_credentials(&worker).await.text("access_token");
    let response = world.initialize(Some(&token)).await;
    assert_eq!(response.status(), 403);
    assert!(challenge(&response).ends_with(r#"scope="mcp:execute", error="insufficient_scope""#));
}

#[tokio::test]
async fn a_token_for_another_resource_is_no_token_for_the_example() {
    let world = World::start();
    let other = world.gateward.resource();
    let arguments = ["--grant", "client_credentials", "--scope", "mcp:execute", "--resource", &other];
    let worker = world.gateward.create_client(&arguments);
    let token = world.wire().client_credentials(&worker).await.text("access_token");
    assert_eq!(world.initialize(Some(&token)).await.status(), 401);
}
