//! A worker, without a human: gets a token for an MCP server with client credentials, and calls a tool there.
//!
//! Beside a running `gateward serve` and `cargo run --example mcp_server`, in the same directory:
//!
//! ```sh
//! gateward client create --name launcher --grant client_credentials --resource http://localhost:3001/mcp \
//!     --scope 'mcp:read mcp:execute' --json > gateward-data/launcher.json
//! cargo run --example worker -- --credentials gateward-data/launcher.json reviewer 'read the patch'
//! ```
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{error::Error, fs, path::PathBuf};

use clap::Parser;
use rmcp::{
    ServiceExt,
    model::CallToolRequestParams,
    object,
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde::Deserialize;

#[derive(Parser)]
struct Arguments {
    /// The URL of the MCP server.
    #[arg(long, env = "MCP_URL", default_value = "http://localhost:3001/mcp")]
    url: String,
    /// The issuer that the client belongs to. Its secret goes nowhere else, whatever the MCP server says who issues tokens.
    #[arg(long, env = "MCP_AUTHORIZATION_SERVER", default_value = "http://localhost:3000")]
    authorization_server: String,
    /// What `gateward client create --json` printed.
    #[arg(long)]
    credentials: PathBuf,
    /// Which specialist is to be launched.
    specialist: String,
    /// What it is to do.
    task: String,
}

#[derive(Deserialize)]
struct Credentials {
    client_id: String,
    client_secret: String,
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { url, authorization_server, credentials, specialist, task } = Arguments::parse();
    let Credentials { client_id, client_secret } = serde_json::from_slice(&fs::read(credentials)?)?;

    // For this MCP server, and for what is to be done there. It lasts an hour; then a worker asks again.
    let form = [("grant_type", "client_credentials"), ("resource", &url), ("scope", "mcp:read mcp:execute")];
    let request = reqwest::Client::new().post(format!("{authorization_server}/oauth/token"));
    let answer = request.basic_auth(client_id, Some(client_secret)).form(&form).send().await?;
    let Issued { access_token } = answer.error_for_status()?.json().await?;

    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(access_token);
    let worker = ().serve(StreamableHttpClientTransport::from_config(config)).await?;
    let call = CallToolRequestParams::new("launch-specialist");
    let arguments = object!({ "specialist": specialist, "task": task });
    let result = worker.call_tool(call.with_arguments(arguments)).await?;
    for text in result.content.iter().filter_map(|content| content.as_text()) {
        println!("{}", text.text);
    }
    worker.cancel().await?;
    Ok(())
}
