//! The official clients at MCP servers that know nothing of tokens, behind the gateway: the same stories as at the example. At the
//! server with everything a client of 2026-07-28 asks for the version first, and takes 2025-11-25, the newest that it speaks; a
//! server made with rmcp speaks 2026-07-28, without sessions.

use std::net::TcpListener;

use axum::Router;
use rmcp::{
    ServerHandler,
    model::ProtocolVersion,
    service::ClientLifecycleMode,
    tool, tool_handler, tool_router,
    transport::streamable_http_server::{StreamableHttpService, session::local::LocalSessionManager},
};
use serde_json::json;

use crate::{
    everything::everything,
    rust::{assert_outlives_its_token, assert_steps_up, discover},
    support::{Options, Server, clock::Clock},
    typescript::Story,
    world::{Tool, World},
};

/// A gateward before an MCP server, whose tool of this name needs more than others.
fn before(upstream: &str, large: &str, clock: Option<&Clock>) -> Server {
    let options = Options::new()
        .on_localhost()
        .set("GATEWARD_RESOURCES__1__URI", "{issuer}/behind")
        .set("GATEWARD_RESOURCES__1__UPSTREAM", upstream)
        .set("GATEWARD_RESOURCES__1__REQUIRED_SCOPE", "mcp:read")
        .set("GATEWARD_RESOURCES__1__RULES__0__MCP_METHOD", "tools/call")
        .set("GATEWARD_RESOURCES__1__RULES__0__MCP_NAME", large)
        .set("GATEWARD_RESOURCES__1__RULES__0__SCOPE", "mcp:execute");
    Server::start(clock.into_iter().fold(options, Options::with_clock))
}

impl World {
    /// The MCP server with a bit of everything, unmodified, below the issuer.
    fn behind_gateway() -> Self {
        Self::behind_gateway_by(None)
    }

    /// The same, where gateward runs by a clock of its own.
    fn behind_gateway_by(clock: Option<&Clock>) -> Self {
        let (server, upstream) = everything();
        let small = Tool { name: "get-sum", arguments: json!({"a": 20, "b": 3}), answer: "23" };
        let large = Tool { name: "echo", arguments: json!({"message": "hello"}), answer: "Echo: hello" };
        let gateward = before(&upstream, large.name, clock);
        let mcp = gateward.url("/behind");
        Self { gateward, mcp, small, large, _server: Some(server) }
    }

    /// One that is made with rmcp, in this process.
    fn with_rmcp_behind_gateway() -> Self {
        Self::with_rmcp_behind_gateway_by(None)
    }

    fn with_rmcp_behind_gateway_by(clock: Option<&Clock>) -> Self {
        let small = Tool { name: "small", arguments: json!({}), answer: "little" };
        let large = Tool { name: "large", arguments: json!({}), answer: "much" };
        let gateward = before(&rmcp_server(), large.name, clock);
        let mcp = gateward.url("/behind");
        Self { gateward, mcp, small, large, _server: None }
    }
}

struct Tools;

#[tool_router]
impl Tools {
    #[tool(description = "Does little")]
    async fn small(&self) -> String {
        "little".into()
    }

    #[tool(description = "Does much")]
    async fn large(&self) -> String {
        "much".into()
    }
}

#[tool_handler(name = "unaware", version = "1.0.0")]
impl ServerHandler for Tools {}

/// Starts it. Where it serves MCP.
fn rmcp_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let sessions = std::sync::Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(|| Ok(Tools), sessions, Default::default());
    let routes = Router::new().route_service("/mcp", service);
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    url
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

// Two threads: one waits for what the client prints while the other serves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typescript_client_of_2026_07_28_steps_up() {
    let world = World::with_rmcp_behind_gateway();
    let story = Story::with_step_up(&world, "2026-07-28").await;
    story.assert_stepped_up(&world);
    assert_eq!(story.event("connected")["protocol_version"], "2026-07-28");
}

#[tokio::test]
async fn a_rust_client_of_2026_07_28_steps_up() {
    assert_steps_up(&World::with_rmcp_behind_gateway(), discover()).await;
}

#[tokio::test]
async fn a_typescript_client_from_2025_outlives_its_token() {
    let clock = Clock::new();
    Story::that_outlives_its_token(&World::behind_gateway_by(Some(&clock)), &clock, "legacy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typescript_client_of_2026_07_28_outlives_its_token() {
    let clock = Clock::new();
    Story::that_outlives_its_token(&World::with_rmcp_behind_gateway_by(Some(&clock)), &clock, "2026-07-28").await;
}

#[tokio::test]
async fn a_rust_client_from_2025_outlives_its_token() {
    let clock = Clock::new();
    let world = World::behind_gateway_by(Some(&clock));
    assert_outlives_its_token(&world, &clock, ClientLifecycleMode::Initialize).await;
}

#[tokio::test]
async fn a_rust_client_of_2026_07_28_outlives_its_token() {
    let clock = Clock::new();
    assert_outlives_its_token(&World::with_rmcp_behind_gateway_by(Some(&clock)), &clock, discover()).await;
}
