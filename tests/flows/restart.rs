//! The machine loses power, and nobody has to log in again.

use gateward::testing::browser::ScriptedBrowser;

use crate::support::{
    Options, Server,
    oauth::{Pkce, Wire},
};

#[tokio::test]
async fn after_kill_9_and_a_restart_refresh_token_session_and_clients_still_work() {
    let mut server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let human_client = wire.register("Story").await;
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    let resource_server = server.resource_server();
    let mut browser = ScriptedBrowser::new().unwrap();
    let (code, pkce) = wire.code(&mut browser, &human_client, server.password()).await;
    let before = wire.redeem(&human_client, &code, &pkce).await;
    let (unused, unused_pkce) = wire.code(&mut browser, &human_client, server.password()).await;
    let password = server.password().to_owned();

    server.kill();
    server.restart();

    assert!(!server.stdout().contains("password: "), "the password is shown once");
    assert!(wire.is_active(&resource_server, &before.text("access_token")).await, "the signing key is the same");
    let after = wire.refresh(&human_client, &before.text("refresh_token")).await;
    assert!(wire.is_active(&resource_server, &after.text("access_token")).await);
    assert_eq!(wire.redeem(&human_client, &unused, &unused_pkce).await.status, 200, "a code from before");
    assert_eq!(wire.client_credentials(&worker).await.status, 200);

    // The session: consent at once, without a login.
    let url = wire.authorize_url(&human_client, &Pkce::next(), "again");
    let page = browser.open(&url).await.unwrap().page().unwrap();
    assert!(page.consent_form().is_some() && page.login_form().is_none(), "{}", page.text());
    assert!(page.text().contains("Signed in as admin"));

    // And the password, for whoever lost the cookie.
    let mut other = ScriptedBrowser::new().unwrap();
    wire.code(&mut other, &human_client, &password).await;
}

#[tokio::test]
async fn a_form_that_was_open_during_a_restart_still_counts() {
    let mut server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let client = wire.register("Story").await;
    let mut browser = ScriptedBrowser::new().unwrap();
    let login = browser.open(&wire.authorize_url(&client, &Pkce::next(), "s")).await.unwrap().page().unwrap();
    server.kill();
    server.restart();
    let consent = browser.log_in(&login, "admin", server.password()).await.unwrap().page().unwrap();
    server.kill();
    server.restart();
    let callback = browser.approve(&consent).await.unwrap().client().unwrap();
    assert!(callback.contains("code=") && callback.contains("state=s"), "{callback}");
}

#[tokio::test]
async fn what_was_revoked_before_kill_9_stays_revoked() {
    let mut server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let (client, resource_server) = (wire.register("Story").await, server.resource_server());
    let mut browser = ScriptedBrowser::new().unwrap();
    let (code, pkce) = wire.code(&mut browser, &client, server.password()).await;
    let tokens = wire.redeem(&client, &code, &pkce).await;
    assert_eq!(wire.revoke(&client, &tokens.text("refresh_token")).await.status, 200);

    server.kill();
    server.restart();

    assert!(!wire.is_active(&resource_server, &tokens.text("access_token")).await);
    assert_eq!(wire.refresh(&client, &tokens.text("refresh_token")).await.error(), "invalid_grant");
    assert_eq!(wire.redeem(&client, &code, &pkce).await.error(), "invalid_grant");
}
