//! The official MCP server with a bit of everything (`@modelcontextprotocol/server-everything`). It knows nothing of tokens: whoever
//! reaches it may call all of its tools.

use reqwest::{
    Client,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::json;

use crate::{
    program::{Program, node},
    support::own_address,
};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/everything.mjs");

/// Starts it. The program, and where it serves MCP: up to 2025-11-25, with sessions.
pub(crate) fn everything() -> (Program, String) {
    let address = own_address();
    let (mut command, packages) = node();
    // One of its tools tells its whole environment.
    command.env_clear().env("GATEWARD_TEST_NODE_MODULES", packages);
    let program = Program::start(command.args([PROGRAM, &address.ip().to_string(), &address.port().to_string()]));
    program.line("listening on ");
    (program, format!("http://{address}/mcp"))
}

#[tokio::test]
async fn the_server_with_everything_lets_everybody_in() {
    let (_server, url) = everything();
    let message = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
        },
    });
    let http = Client::builder().no_proxy().build().unwrap();
    let request = http.post(url).header(ACCEPT, "application/json, text/event-stream").json(&message);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    assert!(response.headers().contains_key("mcp-session-id"));
    let body = response.text().await.unwrap();
    assert!(body.contains(r#""protocolVersion":"2025-11-25""#), "{body}");
}
