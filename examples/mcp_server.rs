//! An MCP server that lets in whoever holds an access token for it. Everything that OAuth asks of it is the layer at the bottom.
//!
//! Beside a running `gateward serve`:
//!
//! ```sh
//! cargo run --example mcp_server
//! ```
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, http::request::Parts};
use clap::Parser;
use gateward::resource::{Identity, ProtectedResource};
use rmcp::{
    ServerHandler,
    handler::server::{tool::Extension, wrapper::Parameters},
    schemars::JsonSchema,
    tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde::Deserialize;
use url::Url;

#[derive(Parser)]
struct Arguments {
    /// The URL of this MCP server, as its clients know it: the resource that tokens are for.
    #[arg(long, env = "MCP_URL", default_value = "http://localhost:3001/mcp")]
    url: Url,
    /// Where to listen.
    #[arg(long, env = "MCP_LISTEN", default_value = "127.0.0.1:3001")]
    listen: SocketAddr,
    /// The issuer of the tokens.
    #[arg(long, env = "MCP_AUTHORIZATION_SERVER", default_value = "http://localhost:3000")]
    authorization_server: String,
}

struct Tools;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Assignment {
    /// Which specialist, for instance "reviewer".
    specialist: String,
    /// What it is to do.
    task: String,
}

#[tool_router]
impl Tools {
    #[tool(description = "Say who is calling, and what the token allows")]
    async fn whoami(&self, Extension(parts): Extension<Parts>) -> String {
        let Some(caller) = parts.extensions.get::<Identity>() else { return "nobody".into() };
        format!("{} through {}, allowed: {}", caller.subject(), caller.client_id(), caller.scope())
    }

    #[tool(name = "launch-specialist", description = "Launch a specialist on a task")]
    async fn launch_specialist(&self, Parameters(Assignment { specialist, task }): Parameters<Assignment>) -> String {
        format!("{specialist} was launched: {task}")
    }
}

#[tool_handler(name = "gateward example", version = "1.0.0")]
impl ServerHandler for Tools {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { url, listen, authorization_server } = Arguments::parse();

    // One service for clients with a session (up to 2025-11-25) and without (2026-07-28).
    let mcp = StreamableHttpService::new(
        || Ok(Tools),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default().with_allowed_hosts([url.authority()]),
    );

    let protection = ProtectedResource::new(url.as_str(), authorization_server)
        .name("Example MCP server")
        .scope("mcp:read")
        .tool("launch-specialist", "mcp:execute")
        .trust_mcp_headers() // rmcp compares them with the body
        .layer()?;
    let app = Router::new().route_service(url.path(), mcp).layer(protection);

    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on {} as {url}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
