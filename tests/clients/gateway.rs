//! The official clients at an MCP server that knows nothing of tokens, behind the gateway: the same stories as at the example. A
//! client of 2026-07-28 asks for the version first, and takes 2025-11-25, the newest that this server speaks.

use rmcp::{model::ProtocolVersion, service::ClientLifecycleMode};
use serde_json::json;

use crate::{
    everything::everything,
    rust::assert_steps_up,
    support::{Options, Server},
    typescript::Story,
    world::{Tool, World},
};

impl World {
    /// The MCP server with a bit of everything, unmodified, below the issuer.
    fn behind_gateway() -> Self {
        let (server, upstream) = everything();
        let options = Options::new()
            .on_localhost()
            .set("GATEWARD_RESOURCES__1__URI", "{issuer}/everything")
            .set("GATEWARD_RESOURCES__1__UPSTREAM", &upstream)
            .set("GATEWARD_RESOURCES__1__REQUIRED_SCOPE", "mcp:read")
            .set("GATEWARD_RESOURCES__1__RULES__0__MCP_METHOD", "tools/call")
            .set("GATEWARD_RESOURCES__1__RULES__0__MCP_NAME", "echo")
            .set("GATEWARD_RESOURCES__1__RULES__0__SCOPE", "mcp:execute");
        let gateward = Server::start(options);
        let mcp = gateward.url("/everything");
        let small = Tool { name: "get-sum", arguments: json!({"a": 20, "b": 3}), answer: "23" };
        let large = Tool { name: "echo", arguments: json!({"message": "hello"}), answer: "Echo: hello" };
        Self { gateward, mcp, small, large, _server: server }
    }
}

async fn assert_typescript_steps_up(protocol: &str) {
    let world = World::behind_gateway();
    let story = Story::with_step_up(&world, protocol).await;
    story.assert_stepped_up(&world);
    assert_eq!(story.event("connected")["protocol_version"], "2025-11-25");
    assert_eq!(story.event("connected")["server"], "mcp-servers/everything");
}

#[tokio::test]
async fn a_typescript_client_from_2025_steps_up() {
    assert_typescript_steps_up("legacy").await;
}

#[tokio::test]
async fn a_typescript_client_that_asks_for_the_protocol_version_steps_up() {
    assert_typescript_steps_up("auto").await;
}

#[tokio::test]
async fn a_rust_client_from_2025_steps_up() {
    assert_steps_up(&World::behind_gateway(), ClientLifecycleMode::Initialize).await;
}

#[tokio::test]
async fn a_rust_client_that_asks_for_the_protocol_version_steps_up() {
    let lifecycle =
        ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::V_2026_07_28], legacy_version: None };
    assert_steps_up(&World::behind_gateway(), lifecycle).await;
}
