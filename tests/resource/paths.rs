//! Rules about paths: no spelling of a path needs less than the plain one.

use crate::{
    RESOURCE,
    authority::with_token,
    guarded::{Guarded, assert_bad_request, assert_passed},
};

async fn setting() -> (crate::authority::Authority, Guarded, String) {
    let (authority, _, token) = with_token().await;
    let resource = authority.resource(RESOURCE).scope("mcp:read").path("/mcp/admin", "mcp:execute");
    let guarded = Guarded::new(resource);
    assert_passed(&guarded.get(&token).await);
    (authority, guarded, token)
}

#[tokio::test]
async fn another_spelling_of_a_path_needs_the_same() {
    let (_authority, guarded, token) = setting().await;
    for path in [
        "/mcp/admin",
        "/mcp/admin/",
        "/mcp/admin/x",
        "/mcp/%61dmin",
        "/mcp/%61%64%6D%69%6e/x",
        "/%6dcp/admin?x=/../",
        "/mcp/admin?",
        "http://mcp.example.com/mcp/admin",
    ] {
        assert_eq!(guarded.call("GET", path).bearer(&token).send().await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_path_that_servers_read_differently_is_refused_for_everybody() {
    let (_authority, guarded, token) = setting().await;
    let before = guarded.reached();
    for path in [
        "/mcp/x/../admin",
        "/mcp/./admin",
        "/mcp//admin",
        "//mcp/admin",
        "/mcp/%2e/admin",
        "/mcp/x/%2e%2E/admin",
        "/mcp%2fadmin",
        "/mcp%2Fadmin",
        "/mcp/admin;x=1",
        "/mcp;/admin",
        "/mcp/admin%3b",
        "/mcp%5cadmin",
        "/mcp/%2561dmin",
        "/mcp/admin%00",
        "/mcp/%zz",
        "/mcp/..",
    ] {
        let answer = guarded.call("GET", path).bearer(&token).send().await;
        assert_bad_request(&answer);
        assert_eq!(answer.header("www-authenticate"), None, "a token would not help: {path}");
        assert_bad_request(&guarded.call("GET", path).send().await);
    }
    assert_eq!(guarded.reached(), before);
}

#[tokio::test]
async fn a_neighbour_with_the_same_beginning_needs_no_more() {
    let (_authority, guarded, token) = setting().await;
    for path in ["/mcp/administrator", "/mcp/admi", "/x/mcp/admin"] {
        assert_passed(&guarded.call("GET", path).bearer(&token).send().await);
    }
}

#[tokio::test]
async fn a_request_for_no_path_is_refused() {
    let (_authority, guarded, token) = setting().await;
    assert_bad_request(&guarded.call("OPTIONS", "*").bearer(&token).send().await);
    assert_bad_request(&guarded.call("CONNECT", "mcp.example.com:443").bearer(&token).send().await);
}
