//! The protected MCP server, broken in one way at a time.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::world::{Asked, Told, breaks, defects};

const PLACE: &str = "/.well-known/oauth-protected-resource";

fn is_first_message(asked: &Asked) -> bool {
    asked.is(Method::POST, "/mcp") && !asked.has("authorization")
}

fn token(asked: &Asked) -> String {
    asked.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn is_document(asked: &Asked) -> bool {
    asked.method == Method::GET && asked.path.starts_with(PLACE)
}

fn document(asked: &Asked, told: &mut Told, member: &str, value: serde_json::Value) {
    if is_document(asked) && told.status == 200 {
        told.edit(|document| document[member] = value);
    }
}

fn ok(told: &mut Told) {
    told.become_json(200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
}

/// Metadata that only the challenge leads to.
fn elsewhere(asked: &Asked, told: &mut Told, servers: &[String]) {
    if is_first_message(asked) {
        let pointer = format!("Bearer resource_metadata=\"{}/elsewhere\"", told.origin);
        told.set("www-authenticate", &pointer);
    }
    if asked.path == "/elsewhere" {
        told.set("access-control-allow-origin", "*");
        let body = json!({ "resource": format!("{}/mcp", told.origin), "authorization_servers": servers });
        told.become_json(200, &body.to_string());
    }
}

defects! {
    a_server_that_lets_everybody_in_is_noticed: "mcp.challenge", "200", |asked, told| {
        if is_first_message(asked) { ok(told); }
    };
    another_scheme_is_noticed: "mcp.bearer", "Basic", |asked, told| {
        if is_first_message(asked) { told.set("www-authenticate", "Basic realm=\"mcp\""); }
    };
    a_challenge_that_leads_nowhere_is_noticed: "mcp.resource_metadata", "is missing", |asked, told| {
        if is_first_message(asked) { told.set("www-authenticate", "Bearer scope=\"mcp:read\""); }
    };
    a_page_instead_of_a_challenge_is_noticed: "mcp.challenge_body", "text/html", |asked, told| {
        if is_first_message(asked) { told.become_page(401); }
    };
    a_stream_for_everybody_is_noticed: "mcp.get", "200", |asked, told| {
        if asked.is(Method::GET, "/mcp") { told.become_page(200); }
    };
    a_head_that_fails_is_noticed: "mcp.head", "500", |asked, told| {
        if asked.is(Method::HEAD, "/mcp") { told.status = StatusCode::INTERNAL_SERVER_ERROR; }
    };
    a_token_that_is_refused_by_403_is_noticed: "mcp.invalid_token", "403", |asked, told| {
        if token(asked) == "Bearer gateward-doctor" { told.become_json(403, "{}"); }
    };
    a_401_that_does_not_say_why_is_noticed: "mcp.invalid_token_error", "no error", |asked, told| {
        if token(asked) == "Bearer gateward-doctor" { told.set("www-authenticate", "Bearer"); }
    };
    a_server_that_looks_at_no_signature_is_noticed: "mcp.unsigned_token", "200", |asked, told| {
        if token(asked).ends_with('.') { ok(told); }
    };
    a_server_that_looks_for_tokens_in_the_query_is_noticed: "mcp.query_token", "invalid_token", |asked, told| {
        if asked.query("access_token").is_some() { told.set("www-authenticate", "Bearer error=\"invalid_token\""); }
    };
    a_preflight_that_needs_a_token_is_noticed: "mcp.preflight", "401", |asked, told| {
        if asked.is(Method::OPTIONS, "/mcp") { told.become_json(401, "{}"); }
    };
    a_challenge_that_pages_cannot_read_is_noticed: "mcp.exposed", "not exposed", |asked, told| {
        if is_first_message(asked) { told.remove("access-control-expose-headers"); }
    };
    missing_metadata_of_an_mcp_server_is_noticed: "mcp.metadata", "404", |asked, told| {
        if is_document(asked) { told.become_nothing(); }
    };
    metadata_that_only_the_challenge_leads_to_is_noticed: "mcp.metadata_place", "404", |asked, told| {
        let servers = [told.origin.clone()];
        elsewhere(asked, told, &servers);
        if is_document(asked) { told.become_nothing(); }
    };
    metadata_that_depends_on_the_place_is_noticed: "mcp.metadata_agree", "differs from", |asked, told| {
        let servers = [told.origin.clone(), told.origin.clone()];
        elsewhere(asked, told, &servers);
    };
    a_resource_with_a_slash_too_many_is_noticed: "mcp.resource", "/mcp/\", clients call", |asked, told| {
        let other = format!("{}/mcp/", told.origin);
        document(asked, told, "resource", other.into());
    };
    an_mcp_server_without_an_authorization_server_is_noticed: "mcp.authorization_servers", "missing or empty", |asked, told| {
        document(asked, told, "authorization_servers", json!([]));
    };
    tokens_in_the_query_that_are_invited_are_noticed: "mcp.bearer_methods", "query", |asked, told| {
        document(asked, told, "bearer_methods_supported", json!(["header", "query"]));
    };
    metadata_of_an_mcp_server_that_pages_cannot_read_is_noticed: "mcp.metadata_cors", "no Access-Control", |asked, told| {
        if is_document(asked) { told.remove("access-control-allow-origin"); }
    };
}

#[tokio::test]
async fn a_challenge_that_leads_to_nothing_is_noticed() {
    breaks(&["mcp.metadata"], "/nowhere: 404", |asked, told| {
        if is_first_message(asked) {
            let pointer = format!("Bearer resource_metadata=\"{}/nowhere\"", told.origin);
            told.set("www-authenticate", &pointer);
        }
    })
    .await;
}
