//! The metadata of the resource (RFC 9728 3): the document, where it is, and who may read it.

use gateward::{
    domain::scope::Scope,
    resource::{InvalidProtection, ProtectedResource},
};
use serde_json::json;

use crate::{
    METADATA,
    authority::{Authority, with_token},
    guarded::{Guarded, challenge},
};

const ROOT: &str = "/.well-known/oauth-protected-resource";
const INSERTED: &str = "/.well-known/oauth-protected-resource/mcp";
const ISSUER: &str = "https://auth.example.com";

fn guarded(uri: &str) -> Guarded {
    Guarded::new(ProtectedResource::new(uri, ISSUER))
}

#[tokio::test]
async fn the_document_is_at_the_root_and_behind_the_path() {
    let resource = ProtectedResource::new(crate::RESOURCE, ISSUER)
        .name("Tools")
        .scope("mcp:read offline_access")
        .tool("launch-*", "mcp:execute")
        .also_supports(Scope::parse("mcp:extra offline_access").expect("a scope"));
    let guarded = Guarded::new(resource);
    for path in [ROOT, INSERTED, &format!("{INSERTED}/"), &format!("{ROOT}/"), &format!("{ROOT}?x=1")] {
        let answer = guarded.call("GET", path).send().await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(
            answer.text(),
            json!({
                "resource": "https://mcp.example.com/mcp",
                "authorization_servers": [ISSUER],
                "scopes_supported": ["mcp:execute", "mcp:extra", "mcp:read"],
                "bearer_methods_supported": ["header"],
                "resource_name": "Tools",
            })
            .to_string()
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    }
    assert_eq!(guarded.reached(), 0);
}

#[tokio::test]
async fn head_is_answered_like_get() {
    let answer = guarded(crate::RESOURCE).call("HEAD", INSERTED).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn scripts_may_ask_whether_they_may_read_it() {
    let guarded = guarded(crate::RESOURCE);
    let preflight = guarded.call("OPTIONS", INSERTED).header("origin", "https://app.example");
    let answer = preflight.header("access-control-request-method", "GET").send().await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("*, mcp-protocol-version"));
    assert_eq!(answer.body.len(), 0);
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let guarded = guarded(crate::RESOURCE);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = guarded.call(method, INSERTED).send().await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    assert_eq!(guarded.reached(), 0);
}

#[tokio::test]
async fn other_paths_below_are_not_public() {
    let guarded = guarded(crate::RESOURCE);
    for path in
        ["/.well-known/oauth-protected-resource/other", "/.well-known/oauth-protected-resourcex", "/.well-known"]
    {
        assert_eq!(guarded.call("GET", path).send().await.status, 401, "{path}");
    }
    assert_eq!(guarded.call("GET", "//.well-known/oauth-protected-resource").send().await.status, 400);
}

/// RFC 9728 3.1, and 3.3: a client takes the well-known part out of the URL and must find the resource.
#[tokio::test]
async fn the_path_of_the_resource_is_kept_as_it_is() {
    for (uri, url) in [
        ("https://mcp.example.com/mcp", METADATA),
        ("https://mcp.example.com/mcp/", "https://mcp.example.com/.well-known/oauth-protected-resource/mcp/"),
        ("https://mcp.example.com/", "https://mcp.example.com/.well-known/oauth-protected-resource"),
        ("https://mcp.example.com", "https://mcp.example.com/.well-known/oauth-protected-resource"),
        ("https://mcp.example.com:8443/a/b", "https://mcp.example.com:8443/.well-known/oauth-protected-resource/a/b"),
        ("http://127.0.0.1:8080/mcp", "http://127.0.0.1:8080/.well-known/oauth-protected-resource/mcp"),
    ] {
        let guarded = guarded(uri);
        let answer = guarded.call("GET", "/").send().await;
        assert_eq!(challenge(&answer), format!(r#"Bearer resource_metadata="{url}""#));
        let path = url.splitn(4, '/').nth(3).expect("a path");
        let document = guarded.call("GET", &format!("/{path}")).send().await;
        assert_eq!(document.json()["resource"], uri);
    }
}

#[tokio::test]
async fn the_document_needs_no_authorization_server() {
    let (mut authority, _, _) = with_token().await;
    let guarded = authority.guarded();
    authority.stop();
    let answer = guarded.call("GET", INSERTED).send().await;
    assert_eq!(answer.json()["authorization_servers"], json!([authority.server.authority().issuer.as_str()]));
}

#[tokio::test]
async fn a_token_does_not_matter_to_it() {
    let answer = guarded(crate::RESOURCE).call("GET", INSERTED).bearer("x").header("authorization", "y").send().await;
    assert_eq!(answer.status, 200);
}

#[test]
fn what_no_server_can_be_is_no_resource() {
    for uri in
        ["", "mcp", "urn:example:mcp", "https://mcp.example.com/mcp?x=1", "https://u@mcp.example.com", "https://a/#x"]
    {
        let refused = ProtectedResource::new(uri, ISSUER).layer();
        assert!(matches!(refused, Err(InvalidProtection::Resource(_))), "{uri}");
    }
    for issuer in ["", "http://auth.example.com", "https://auth.example.com/"] {
        let refused = ProtectedResource::new(crate::RESOURCE, issuer).layer();
        assert!(matches!(refused, Err(InvalidProtection::Issuer(..))), "{issuer}");
    }
    let resource = || ProtectedResource::new(crate::RESOURCE, ISSUER);
    assert!(matches!(resource().scope("a\"b").scope("c").layer(), Err(InvalidProtection::Scope(..))));
    assert!(matches!(resource().path("/a/../b", "c").layer(), Err(InvalidProtection::Path(..))));
    assert!(matches!(resource().tool("a*b", "c").layer(), Err(InvalidProtection::Pattern(..))));
}

#[test]
fn a_rule_that_asks_for_nothing_is_refused() {
    let resource = || ProtectedResource::new(crate::RESOURCE, ISSUER);
    for rule in [resource().tool("a", ""), resource().path("/a", ""), resource().method(&http::Method::GET, " ")] {
        assert!(rule.layer().is_err());
    }
    assert!(matches!(resource().mcp("a", "*", "").layer(), Err(InvalidProtection::RuleWithoutScope)));
    assert!(resource().scope("").layer().is_ok(), "any token for it");
}

/// The issuer's own document names the same scopes and the same resource, so that both sides agree.
#[tokio::test]
async fn a_client_that_follows_the_challenge_finds_the_real_server() {
    let authority = Authority::start().await;
    let guarded = authority.guarded();
    let refused = guarded.call("POST", "/mcp").send().await;
    let url = challenge(&refused).split('"').nth(1).expect("a URL").to_owned();
    let path = url.strip_prefix("https://mcp.example.com").expect("this host");
    let document = guarded.call("GET", path).send().await.json();
    let issuer = document["authorization_servers"][0].as_str().expect("an issuer");
    let metadata = reqwest::get(format!("{issuer}/.well-known/oauth-authorization-server")).await.expect("an answer");
    let metadata: serde_json::Value = metadata.json().await.expect("JSON");
    assert_eq!(metadata["issuer"], issuer);
}
