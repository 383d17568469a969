//! Registration and the token endpoint, each broken in one way.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::world::{Asked, Told, defects};

fn is_registration(asked: &Asked) -> bool {
    asked.is(Method::POST, "/oauth/register")
}

fn refuse(asked: &Asked, told: &mut Told, who: &str) {
    if is_registration(asked) && asked.body.contains(&format!("like {who}\"")) {
        told.become_json(400, r#"{"error":"invalid_redirect_uri","error_description":"No."}"#);
    }
}

fn is_token(asked: &Asked) -> bool {
    asked.is(Method::POST, "/oauth/token")
}

const UNKNOWN: &str = "client_id=gateward-doctor-nobody";

defects! {
    a_registration_that_needs_a_token_is_noticed: "registration.open", "401 \"invalid_token\"", |asked, told| {
        if is_registration(asked) { told.become_json(401, r#"{"error":"invalid_token"}"#); }
    };
    a_server_that_refuses_clients_of_the_desktop_is_noticed: "registration.native", "invalid_redirect_uri", |asked, told| {
        refuse(asked, told, "Claude Code and the MCP Inspector");
    };
    a_server_that_refuses_vs_code_is_noticed: "registration.vscode", "invalid_redirect_uri", |asked, told| refuse(asked, told, "VS Code");
    a_server_that_refuses_cursor_is_noticed: "registration.cursor", "invalid_redirect_uri", |asked, told| refuse(asked, told, "Cursor");
    a_server_that_refuses_claude_is_noticed: "registration.claude", "invalid_redirect_uri", |asked, told| refuse(asked, told, "Claude");
    a_server_that_refuses_chatgpt_is_noticed: "registration.chatgpt", "invalid_redirect_uri", |asked, told| refuse(asked, told, "ChatGPT");
    a_registration_that_is_answered_by_200_is_noticed: "registration.status", "200", |asked, told| {
        if is_registration(asked) && told.status == 201 { told.status = StatusCode::OK; }
    };
    a_null_in_the_answer_is_noticed: "registration.answer", "\"client_uri\" is null", |asked, told| {
        if is_registration(asked) && told.status == 201 { told.edit(|body| body["client_uri"] = json!(null)); }
    };
    a_registration_that_cannot_be_managed_is_noticed: "registration.manageable" and "registration.cleanup",
        "registration_client_uri", |asked, told| {
            if is_registration(asked) && told.status == 201 {
                told.edit(|body| { body.as_object_mut().unwrap().remove("registration_client_uri"); });
            }
        };
    a_secret_in_a_cache_is_noticed: "registration.no_store", "Cache-Control is \"\"", |asked, told| {
        if is_registration(asked) { told.remove("cache-control"); }
    };
    a_redirect_that_runs_as_a_script_is_noticed: "registration.bad_redirect", "javascript:", |asked, told| {
        if is_registration(asked) && asked.body.contains("javascript:") {
            let uri = format!("{}/oauth/register/evil", told.origin);
            let body = json!({ "client_id": "evil", "registration_client_uri": uri, "registration_access_token": "x" });
            told.become_json(201, &body.to_string());
        }
        if asked.path == "/oauth/register/evil" { told.become_json(204, ""); }
    };
    test_clients_that_stay_are_noticed: "registration.cleanup", "500", |asked, told| {
        if asked.method == Method::DELETE { told.become_json(500, "{}"); }
    };
    errors_that_are_pages_are_noticed: "token.json", "text/html", |asked, told| {
        if is_token(asked) { told.become_page(400); }
    };
    a_client_that_fails_without_401_is_noticed: "token.bad_client", "400 \"invalid_client\"", |asked, told| {
        if is_token(asked) && asked.has("authorization") { told.become_json(400, r#"{"error":"invalid_client"}"#); }
    };
    a_401_without_a_scheme_is_noticed: "token.challenge", "no WWW-Authenticate", |asked, told| {
        if is_token(asked) { told.remove("www-authenticate"); }
    };
    an_unknown_client_that_is_not_told_so_is_noticed: "token.unknown_client", "400 \"invalid_grant\"", |asked, told| {
        if is_token(asked) && asked.body.contains(UNKNOWN) { told.become_json(400, r#"{"error":"invalid_grant"}"#); }
    };
    tokens_in_a_cache_are_noticed: "token.no_store", "no-store is missing", |asked, told| {
        if is_token(asked) { told.remove("cache-control"); }
    };
    a_wrong_code_that_is_no_invalid_grant_is_noticed: "token.bad_code", "\"invalid_request\"", |asked, told| {
        if is_token(asked) && asked.body.contains("code=") && !asked.body.contains(UNKNOWN) {
            told.become_json(400, r#"{"error":"invalid_request"}"#);
        }
    };
    a_wrong_refresh_token_that_is_no_invalid_grant_is_noticed: "token.bad_refresh_token", "500 \"server_error\"", |asked, told| {
        if is_token(asked) && asked.body.contains("grant_type=refresh_token") {
            told.become_json(500, r#"{"error":"server_error"}"#);
        }
    };
}
