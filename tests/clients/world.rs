//! What the clients meet: an authorization server, an MCP server that trusts it, and a human.

use std::{env, path::PathBuf, process::Command, time::Duration};

use gateward::testing::browser::ScriptedBrowser;
use serde_json::{Value, json};

use crate::{
    program::Program,
    support::{
        Options, Server,
        clock::Clock,
        oauth::{Identity, Wire},
        own_address,
    },
};

/// More than the life of an access token, less than that of a refresh token.
pub(crate) const TWO_HOURS: Duration = Duration::from_secs(7200);

/// A tool of an MCP server, and a call of it.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) arguments: Value,
    /// What the text that it answers holds.
    pub(crate) answer: &'static str,
}

/// An authorization server, an MCP server that trusts it, and a human.
pub(crate) struct World {
    pub(crate) gateward: Server,
    /// The URL of the MCP server.
    pub(crate) mcp: String,
    /// A tool that needs `mcp:read`, as everything does.
    pub(crate) small: Tool,
    /// One that needs `mcp:execute` too.
    pub(crate) large: Tool,
    /// `None` for one in this process.
    pub(crate) _server: Option<Program>,
}

impl World {
    /// The MCP server of `examples/mcp_server.rs`.
    pub(crate) fn start() -> Self {
        Self::start_by(None)
    }

    /// The same, where both servers run by a clock of their own.
    pub(crate) fn start_by(clock: Option<&Clock>) -> Self {
        let address = own_address();
        let mcp = format!("http://{address}/mcp");
        // Beside the resource at the issuer, in the place of the second one of config/development.toml.
        let options = Options::new().on_localhost().set("GATEWARD_RESOURCES__1__URI", &mcp);
        let gateward = Server::start(clock.into_iter().fold(options, Options::with_clock));
        let mut command = Command::new(built("mcp_server"));
        command.envs(clock.into_iter().flat_map(Clock::variables));
        command.args(["--url", &mcp, "--authorization-server", gateward.issuer()]);
        let server = Program::start(command.args(["--listen", &address.to_string()]));
        server.line("listening on");
        let small = Tool { name: "whoami", arguments: json!({}), answer: " through " };
        let assignment = json!({"specialist": "reviewer", "task": "read the patch"});
        let answer = "reviewer was launched: read the patch";
        let large = Tool { name: "launch-specialist", arguments: assignment, answer };
        Self { gateward, mcp, small, large, _server: Some(server) }
    }

    /// The human of this world logs in, agrees, and is sent back to the client: the callback URL, not visited yet.
    pub(crate) async fn agree(&self, authorize_url: &str) -> (ScriptedBrowser, String) {
        agree(&self.gateward, authorize_url).await
    }

    /// What an MCP server knows the human by.
    pub(crate) fn subject(&self) -> String {
        let users = self.gateward.run_json(&["user", "list", "--json"]);
        users[0]["user_id"].as_str().expect("an identifier").to_owned()
    }

    /// Requests about tokens for the MCP server.
    pub(crate) fn wire(&self) -> Wire {
        Wire { resource: self.mcp.clone(), ..Wire::to(&self.gateward) }
    }

    /// A worker that may do this at the MCP server.
    pub(crate) fn worker(&self, arguments: &[&str]) -> Identity {
        let always = ["--grant", "client_credentials", "--resource", &self.mcp];
        self.gateward.create_client(&[&always, arguments].concat())
    }
}

/// The human of a server logs in, agrees, and is sent back to the client: the callback URL, not visited yet.
pub(crate) async fn agree(server: &Server, authorize_url: &str) -> (ScriptedBrowser, String) {
    let mut browser = ScriptedBrowser::new().unwrap();
    let callback = browser.authorize(authorize_url, "admin", server.password()).await;
    let callback = callback.unwrap_or_else(|error| panic!("{error}"));
    (browser, callback)
}

/// The binary of an example: Cargo puts them beside the directory of the tests.
pub(crate) fn built(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let built = test.parent().and_then(|deps| deps.parent()).expect("target/debug").join("examples").join(name);
    assert!(built.exists(), "{} is missing: `tests/run`, or `cargo build --example {name}`", built.display());
    built
}
