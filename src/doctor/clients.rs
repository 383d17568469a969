//! How mainstream MCP clients behave, as far as a server notices: what they register as, where they want to be called back, which headers
//! they send. Seen in their requests and sources; where clients differ, the one that breaks first is written down.

use serde_json::{Value, json};

use super::{authorize, check::Check, registration};

/// What clients of today send as `MCP-Protocol-Version`.
pub(super) const PROTOCOL_VERSION: &str = "2025-11-25";

/// Where the MCP Inspector runs in a browser.
pub const INSPECTOR: &str = "http://localhost:6274";

/// Headers that scripts send to an MCP server, of all versions of the protocol together.
pub(super) const MCP_HEADERS: &[&str] = &[
    "authorization",
    "content-type",
    "mcp-protocol-version",
    "mcp-session-id",
    "mcp-method",
    "mcp-name",
    "last-event-id",
];

/// How a client registers, and how it asks for authorization afterwards.
pub(super) struct Shape {
    /// As whom.
    pub(super) who: &'static str,
    pub(super) registers: &'static Check,
    pub(super) redirect_uris: &'static [&'static str],
    pub(super) method: &'static str,
    pub(super) grant_types: &'static [&'static str],
    /// Which check a redirect URI is for, and the URI as the request names it.
    pub(super) asks: &'static [(&'static Check, &'static str)],
}

const CODE_AND_REFRESH: &[&str] = &["authorization_code", "refresh_token"];

/// One of each kind.
pub(super) const SHAPES: &[Shape] = &[
    // Claude Code listens on a port of its choice, the Inspector on its own; both by the official TypeScript SDK.
    Shape {
        who: "Claude Code and the MCP Inspector",
        registers: &registration::NATIVE,
        redirect_uris: &["http://localhost:6274/oauth/callback"],
        method: "none",
        grant_types: CODE_AND_REFRESH,
        asks: &[(&authorize::LOOPBACK, "http://localhost:6274/oauth/callback")],
    },
    // VS Code registers every place that it may listen at, names a grant that few servers know, and comes back on any port.
    Shape {
        who: "VS Code",
        registers: &registration::VSCODE,
        redirect_uris: &[
            "https://insiders.vscode.dev/redirect",
            "https://vscode.dev/redirect",
            "http://localhost/",
            "http://127.0.0.1/",
            "http://localhost:33418/",
            "http://127.0.0.1:33418/",
        ],
        method: "none",
        grant_types: &["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        asks: &[(&authorize::LOOPBACK_PORT, "http://127.0.0.1:41207/")],
    },
    // Three places in one registration: a server that refuses one of them refuses all.
    Shape {
        who: "Cursor",
        registers: &registration::CURSOR,
        redirect_uris: &[
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
        ],
        method: "none",
        grant_types: CODE_AND_REFRESH,
        asks: &[(&authorize::PRIVATE_SCHEME, "cursor://anysphere.cursor-mcp/oauth/callback")],
    },
    // In the cloud, with a secret in the body.
    Shape {
        who: "Claude",
        registers: &registration::CLAUDE,
        redirect_uris: &["https://claude.ai/api/mcp/auth_callback"],
        method: "client_secret_post",
        grant_types: CODE_AND_REFRESH,
        asks: &[(&authorize::HTTPS, "https://claude.ai/api/mcp/auth_callback")],
    },
    // In the cloud, without a secret, with a place for each connector.
    Shape {
        who: "ChatGPT",
        registers: &registration::CHATGPT,
        redirect_uris: &[
            "https://chatgpt.com/connector/oauth/gateward-doctor",
            "https://chatgpt.com/connector_platform_oauth_redirect",
        ],
        method: "none",
        grant_types: CODE_AND_REFRESH,
        asks: &[],
    },
];

impl Shape {
    /// The body of the registration. It says who really asks.
    pub(super) fn metadata(&self) -> Value {
        json!({
            "client_name": format!("gateward doctor, like {}", self.who),
            "redirect_uris": self.redirect_uris,
            "grant_types": self.grant_types,
            "response_types": ["code"],
            "token_endpoint_auth_method": self.method,
        })
    }
}

/// The first message of a client.
pub(super) fn initialize() -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": {},
            "clientInfo": { "name": "gateward-doctor", "version": env!("CARGO_PKG_VERSION") },
        },
    })
}
