//! Which requests belong to a site, and whose pages may send them.

use axum::http::{Method, StatusCode};
use gateward::domain::{guarded::GuardedResource, resource::ResourceUri};

use crate::world::{HOST, World, site};

#[tokio::test]
async fn other_hosts_and_paths_are_the_authorization_servers() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    let at = async |host: &str, path: &str| world.call(Method::GET, path).host(host).bearer(&token).send().await.status;
    assert_eq!(at(HOST, "/livez").await, StatusCode::OK);
    assert_eq!(at("localhost:3000", "/mcp").await, StatusCode::NOT_FOUND);
    assert_eq!(at(HOST, "/mcpx").await, StatusCode::NOT_FOUND);
    assert_eq!(world.upstream.count(), 0);
    assert_eq!(at("MCP.example.com:443", "/mcp").await, StatusCode::OK);
}

#[tokio::test]
async fn a_name_that_somebody_made_resolve_to_this_machine_leads_nowhere() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    for host in ["evil.example", "mcp.example.com.evil.example", "mcp.example.com:8080", "127.0.0.1"] {
        let answer = world.call(Method::GET, "/mcp").host(host).bearer(&token).send().await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    let two = world.call(Method::GET, "/mcp").header("host", "evil.example").bearer(&token).send().await;
    assert_eq!(two.status, StatusCode::NOT_FOUND);
    let absolute = world.call(Method::GET, "http://evil.example/mcp").bearer(&token).send().await;
    assert_eq!(absolute.status, StatusCode::NOT_FOUND);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn pages_of_other_origins_are_turned_away() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    for origin in ["https://evil.example", "null", "http://mcp.example.com", "https://mcp.example.com.evil.example"] {
        let answer = world.call(Method::GET, "/mcp").header("origin", origin).bearer(&token).send().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_call_and_read_challenges() {
    let world = World::start().await;
    let token = world.token("mcp:read").await;
    for origin in ["https://app.example.com", "https://mcp.example.com"] {
        let answer = world.call(Method::GET, "/mcp").header("origin", origin).bearer(&token).send().await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert!(answer.seen_header("origin").is_empty());
        let refused = world.call(Method::GET, "/mcp").header("origin", origin).send().await;
        assert_eq!(refused.header("access-control-allow-origin"), Some(origin));
        assert!(refused.header("access-control-expose-headers").unwrap().contains("WWW-Authenticate"));
    }
}

#[tokio::test]
async fn a_preflight_needs_no_token_and_does_not_reach_the_server_behind() {
    let world = World::start().await;
    let answer = world
        .call(Method::OPTIONS, "/mcp")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,mcp-protocol-version")
        .send()
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,mcp-protocol-version"));
    let options = world.call(Method::OPTIONS, "/mcp").send().await;
    assert_eq!(options.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn the_metadata_is_at_both_addresses_of_its_host_and_of_no_other() {
    let world = World::start().await;
    for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"] {
        let answer = world.call(Method::GET, path).send().await;
        assert_eq!(
            answer.body,
            r#"{"resource":"https://mcp.example.com/mcp","authorization_servers":["http://localhost:3000"],"scopes_supported":["mcp:execute","mcp:read","mcp:write"],"bearer_methods_supported":["header"],"resource_name":"Notes"}"#
        );
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let elsewhere = world.call(Method::GET, path).host("other.example").send().await;
        assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn of_two_sites_at_one_host_the_longer_path_decides() {
    let world = World::with_sites(|upstream| {
        let below = GuardedResource {
            uri: ResourceUri::parse("https://mcp.example.com/mcp/files").unwrap(),
            name: "Files".into(),
            ..site(upstream)
        };
        vec![site(upstream), below]
    })
    .await;
    let metadata = async |path: &str| world.call(Method::GET, path).send().await;
    let files = metadata("/.well-known/oauth-protected-resource/mcp/files").await;
    assert!(files.body.contains("https://mcp.example.com/mcp/files"), "{}", files.body);
    // Below the host alone it would be a guess.
    assert_eq!(metadata("/.well-known/oauth-protected-resource").await.status, StatusCode::NOT_FOUND);
    let token = world.token("mcp:read").await;
    let at = async |path: &str| world.call(Method::GET, path).bearer(&token).send().await.status;
    assert_eq!((at("/mcp").await, at("/mcp/files").await), (StatusCode::OK, StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn a_page_of_the_server_behind_cannot_act_in_the_login_page_of_the_same_origin() {
    let shared = World::at("https://mcp.example.com", |upstream| vec![site(upstream)]).await;
    let answer = shared.get("/mcp/moves").await;
    assert_eq!(answer.header("content-security-policy"), Some("sandbox"));
    assert_eq!(answer.header("clear-site-data"), None);
    let apart = World::start().await.get("/mcp/moves").await;
    assert_eq!((apart.header("content-security-policy"), apart.header("clear-site-data")), (None, Some("\"*\"")));
}

#[tokio::test]
async fn a_site_without_a_path_leaves_probes_under_other_names_alone() {
    let world =
        World::with(|site| GuardedResource { uri: ResourceUri::parse("https://mcp.example.com").unwrap(), ..site })
            .await;
    let at = async |path: &str| world.call(Method::GET, path).host("10.0.0.1:3000").send().await.status;
    assert_eq!((at("/livez").await, at("/readyz").await), (StatusCode::OK, StatusCode::OK));
    // It does not say what it asks about; but it is answered.
    assert_eq!(at("/oauth/forward-auth").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn no_case_of_a_path_leads_to_a_site_below_with_the_token_of_the_one_above() {
    let world = World::with_sites(|upstream| {
        let below = GuardedResource {
            uri: ResourceUri::parse("https://mcp.example.com/mcp/files").unwrap(),
            upstream: Some(format!("{}/files", upstream.url()).parse().unwrap()),
            ..site(upstream)
        };
        vec![site(upstream), below]
    })
    .await;
    let token = world.token("mcp:read").await;
    for path in ["/mcp/Files", "/mcp/%46iles/x"] {
        // Were the server behind to make no difference, this would be the other resource.
        let answer = world.call(Method::GET, path).bearer(&token).send().await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
        let asked = world
            .call(Method::GET, "/oauth/forward-auth")
            .host("localhost:3000")
            .bearer(&token)
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", HOST)
            .header("x-forwarded-uri", path);
        assert_eq!(asked.send().await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(world.upstream.count(), 0);
}
