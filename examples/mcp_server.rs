//! An MCP server that lets in whoever holds an access token for it. Two tools, and everything OAuth asks of a resource server:
//!
//! 1. without a token the answer is 401, and its `WWW-Authenticate` names the protected resource metadata (RFC 9728);
//! 2. the metadata names the authorization server; from there on an MCP client finds its way alone;
//! 3. a token is shown to the authorization server (RFC 7662), which says whether it is active, for whom, and for what;
//! 4. a token for another resource is refused, and so is one whose scope is too small.
//!
//! To ask about tokens it needs credentials of its own. Beside a running `gateward serve`:
//!
//! ```sh
//! gateward client create --name "Example MCP server" --introspect --resource http://localhost:3001/mcp --json \
//!     > gateward-data/mcp_server.json
//! cargo run --example mcp_server
//! ```
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
        request::Parts,
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use clap::Parser;
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
use serde_json::json;
use url::Url;

/// What a token must allow before anything is done with it.
const SCOPE: &str = "mcp:execute";
const METADATA: &str = "/.well-known/oauth-protected-resource";

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
    /// What `gateward client create --introspect --json` printed.
    #[arg(long, env = "MCP_CREDENTIALS", default_value = "gateward-data/mcp_server.json")]
    credentials: PathBuf,
}

// ---- The tools -----------------------------------------------------------------------------------------------------------

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
        let Some(caller) = parts.extensions.get::<Token>() else { return "nobody".into() };
        format!("{} through {}, allowed: {}", caller.name(), caller.client_id, caller.scope)
    }

    #[tool(description = "Launch a specialist on a task")]
    async fn launch_specialist(
        &self,
        Parameters(Assignment { specialist, task }): Parameters<Assignment>,
        Extension(parts): Extension<Parts>,
    ) -> String {
        let caller = parts.extensions.get::<Token>().map_or("nobody", Token::name);
        format!("{specialist} was launched for {caller}: {task}")
    }
}

#[tool_handler(name = "gateward example", version = "1.0.0")]
impl ServerHandler for Tools {}

// ---- The protection ------------------------------------------------------------------------------------------------------

/// What the authorization server says of an active token (RFC 7662 2.2).
#[derive(Clone, Deserialize)]
struct Token {
    aud: String,
    scope: String,
    sub: String,
    username: Option<String>,
    client_id: String,
}

impl Token {
    fn name(&self) -> &str {
        self.username.as_deref().unwrap_or(&self.sub)
    }
}

#[derive(Deserialize)]
struct Credentials {
    client_id: String,
    client_secret: String,
}

struct Guard {
    http: reqwest::Client,
    introspection_endpoint: String,
    credentials: Credentials,
    resource: String,
    metadata_url: String,
}

enum Refusal {
    NoToken,
    InvalidToken,
    InsufficientScope,
    CannotAsk(reqwest::Error),
}

impl Guard {
    async fn admit(&self, headers: &HeaderMap) -> Result<Token, Refusal> {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (scheme, token) = header.split_once(' ').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(Refusal::NoToken);
        }
        let token = self.introspect(token).await.map_err(Refusal::CannotAsk)?.ok_or(Refusal::InvalidToken)?;
        // RFC 8707: a token for somebody else is no token here.
        if token.aud != self.resource {
            return Err(Refusal::InvalidToken);
        }
        if !token.scope.split(' ').any(|scope| scope == SCOPE) {
            return Err(Refusal::InsufficientScope);
        }
        Ok(token)
    }

    async fn introspect(&self, token: &str) -> Result<Option<Token>, reqwest::Error> {
        let request = self
            .http
            .post(&self.introspection_endpoint)
            .basic_auth(&self.credentials.client_id, Some(&self.credentials.client_secret))
            .form(&[("token", token)]);
        let answer: serde_json::Value = request.send().await?.error_for_status()?.json().await?;
        // An inactive token is `{"active": false}` and nothing else, which is no `Token`.
        Ok(Token::deserialize(answer).ok())
    }

    /// RFC 6750 3, with the parameter of RFC 9728 5.1.
    fn refuse(&self, refusal: &Refusal) -> Response {
        let challenge = format!(r#"Bearer resource_metadata="{}", scope="{SCOPE}""#, self.metadata_url);
        let (status, challenge) = match refusal {
            Refusal::NoToken => (StatusCode::UNAUTHORIZED, challenge),
            Refusal::InvalidToken => (StatusCode::UNAUTHORIZED, format!(r#"{challenge}, error="invalid_token""#)),
            Refusal::InsufficientScope => {
                (StatusCode::FORBIDDEN, format!(r#"{challenge}, error="insufficient_scope""#))
            }
            Refusal::CannotAsk(error) => {
                println!("cannot ask the authorization server: {error}");
                return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response();
            }
        };
        (status, [(WWW_AUTHENTICATE, challenge)]).into_response()
    }
}

async fn protect(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    match guard.admit(request.headers()).await {
        Ok(token) => {
            request.extensions_mut().insert(token);
            next.run(request).await
        }
        Err(refusal) => guard.refuse(&refusal),
    }
}

// ---- The server ----------------------------------------------------------------------------------------------------------

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { url, listen, authorization_server, credentials } = Arguments::parse();
    let credentials = fs::read_to_string(&credentials)
        .map_err(|error| format!("{}: {error}; see the top of examples/mcp_server.rs", credentials.display()))?;
    let http = reqwest::Client::new();

    // RFC 8414: where to ask about tokens.
    let discovery = format!("{authorization_server}/.well-known/oauth-authorization-server");
    let discovered: serde_json::Value = http.get(discovery).send().await?.error_for_status()?.json().await?;
    let introspection_endpoint = discovered["introspection_endpoint"].as_str().ok_or("no introspection endpoint")?;

    // RFC 9728 3.1: the path of the resource follows the well-known one.
    let metadata_path = format!("{METADATA}{}", url.path());
    let guard = Arc::new(Guard {
        http,
        introspection_endpoint: introspection_endpoint.to_owned(),
        credentials: serde_json::from_str(&credentials)?,
        resource: url.to_string(),
        metadata_url: url.join(&metadata_path)?.to_string(),
    });
    let metadata = json!({
        "resource": url,
        "authorization_servers": [authorization_server],
        "scopes_supported": [SCOPE],
        "bearer_methods_supported": ["header"],
        "resource_name": "Example MCP server",
    })
    .to_string();
    let metadata = get(async move || ([(CONTENT_TYPE, "application/json")], metadata));

    // One service for clients with a session (up to 2025-11-25) and without (2026-07-28).
    let mcp = StreamableHttpService::new(
        || Ok(Tools),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default().with_allowed_hosts([url.authority()]),
    );
    let app = Router::new()
        .route_service(url.path(), mcp)
        .layer(middleware::from_fn_with_state(guard, protect))
        .route(METADATA, metadata.clone())
        .route(&metadata_path, metadata);

    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on {} as {url}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
