//! A human and their MCP client.

use gateward::testing::browser::ScriptedBrowser;

use crate::support::{Options, Server, oauth::Wire};

#[tokio::test]
async fn from_discovery_to_a_replayed_refresh_token_that_ends_the_family() {
    let server = Server::start(Options::new());
    let wire = Wire::to(&server);

    let metadata = wire.get("/.well-known/oauth-authorization-server").await.json(200);
    assert_eq!(metadata["issuer"], server.issuer());
    for (endpoint, path) in [
        ("authorization_endpoint", "/oauth/authorize"),
        ("token_endpoint", "/oauth/token"),
        ("registration_endpoint", "/oauth/register"),
        ("introspection_endpoint", "/oauth/introspect"),
    ] {
        assert_eq!(metadata[endpoint], server.url(path));
    }

    let client = wire.register("Story").await;
    let mut browser = ScriptedBrowser::new().unwrap();
    let (code, pkce) = wire.code(&mut browser, &client, server.password()).await;
    let first = wire.redeem(&client, &code, &pkce).await;
    assert_eq!(first.json(200)["token_type"], "Bearer");

    let resource_server = server.resource_server();
    let active = wire.introspect(&resource_server, &first.text("access_token")).await;
    assert_eq!(active["active"], true);
    assert_eq!(active["username"], "admin");
    assert_eq!(active["aud"], server.resource());
    assert_eq!(active["client_id"], client.id.as_str());
    assert_eq!(active["iss"], server.issuer());

    let second = wire.refresh(&client, &first.text("refresh_token")).await;
    let third = wire.refresh(&client, &second.text("refresh_token")).await;
    assert!(wire.is_active(&resource_server, &third.text("access_token")).await);

    // The second is in use, so the first can only come from somebody who kept a copy.
    let replay = wire.refresh(&client, &first.text("refresh_token")).await;
    assert_eq!((replay.status.as_u16(), replay.error().as_str()), (400, "invalid_grant"));
    for answer in [&first, &second, &third] {
        assert!(!wire.is_active(&resource_server, &answer.text("access_token")).await);
    }
    let last = wire.refresh(&client, &third.text("refresh_token")).await;
    assert_eq!(last.error(), "invalid_grant");
}
