//! `gateward key`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gateward::testing::browser::ScriptedBrowser;
use serde_json::Value;

use crate::{
    Home, members,
    support::{
        Options, Server, mode,
        oauth::{Pkce, Wire},
    },
    text,
};

#[test]
fn generate_master_writes_a_file_for_its_owner_alone_and_never_over_another() {
    let home = Home::new();
    let printed = home.ok(&["key", "generate-master", "master.key"]);
    let written = std::fs::read_to_string(home.path("master.key")).unwrap();
    assert_eq!(mode(&home.path("master.key")), 0o600);
    assert!(written.starts_with("gw_mk_") && !printed.contains(written.trim()), "{printed}");
    let said = home.fails(&["key", "generate-master", "master.key"], 5);
    assert!(said.contains("master.key") && !said.contains(written.trim()), "{said}");
    assert_eq!(std::fs::read_to_string(home.path("master.key")).unwrap(), written);
    assert!(home.fails(&["key", "generate-master", "no/such/place"], 5).contains("directory"));
}

#[test]
fn list_and_rotate_print_keys_without_what_is_secret_about_them() {
    let home = Home::new();
    let rotated = home.json(&["key", "rotate", "--json"]);
    assert_eq!(members(&rotated[0]), ["added", "algorithm", "kid", "signs_from"]);
    assert_eq!(text(&rotated[0], "algorithm"), "ES256");

    let listed = home.json(&["key", "list", "--json"]);
    let keys = listed.as_array().expect("a list");
    assert!(keys.iter().any(|key| key["kid"] == rotated[0]["kid"]), "{listed}");
    for key in keys {
        assert_eq!(members(key), ["algorithm", "created_at", "kid", "phase", "signs_from"]);
        assert!(["pending", "signing", "verifying"].contains(&text(key, "phase")));
    }
    assert!(home.ok(&["key", "list"]).starts_with("KID"));
    assert!(home.fails(&["key", "rotate", "--algorithm", "PS256"], 2).contains("no resource uses PS256"));
    home.fails(&["key", "rotate", "--algorithm", "none"], 2);
}

#[test]
fn a_key_that_is_not_there_is_not_revoked() {
    let home = Home::new();
    home.ok(&["key", "rotate"]);
    let before = home.json(&["key", "list", "--json"]);
    assert!(home.fails(&["key", "revoke", "nobody-made-this"], 3).contains("there is no key nobody-made-this"));
    assert_eq!(home.json(&["key", "list", "--json"]), before);
}

fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header")).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    text(&header, "kid").to_owned()
}

#[tokio::test]
async fn a_key_rotated_immediately_signs_after_a_restart_and_the_old_one_still_verifies() {
    let mut server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let resource_server = server.resource_server();
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    let before = wire.client_credentials(&worker).await.text("access_token");

    let rotated = server.run_json(&["key", "rotate", "--immediately", "--json"]);
    server.terminate();
    server.wait();
    server.restart();

    let after = wire.client_credentials(&worker).await.text("access_token");
    assert_ne!(kid(&before), kid(&after));
    assert_eq!(kid(&after), text(&rotated[0], "kid"));
    assert!(wire.is_active(&resource_server, &before).await && wire.is_active(&resource_server, &after).await);
    let published = wire.get("/.well-known/jwks.json").await.json(200);
    let published: Vec<&str> = published["keys"].as_array().expect("keys").iter().map(|key| text(key, "kid")).collect();
    assert!(published.contains(&kid(&before).as_str()) && published.contains(&kid(&after).as_str()));
}

#[tokio::test]
async fn a_revoked_key_and_what_it_signed_count_no_more_and_another_one_signs() {
    let mut server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let resource_server = server.resource_server();
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    let before = wire.client_credentials(&worker).await.text("access_token");
    assert!(wire.is_active(&resource_server, &before).await);

    let revoked = server.run_json(&["key", "revoke", &kid(&before), "--json"]);
    assert_eq!(members(&revoked), ["algorithm", "kid", "successor"]);
    server.terminate();
    server.wait();
    server.restart();

    let after = wire.client_credentials(&worker).await.text("access_token");
    assert_eq!(kid(&after), text(&revoked, "successor"));
    assert!(wire.is_active(&resource_server, &after).await && !wire.is_active(&resource_server, &before).await);
    let published = wire.get("/.well-known/jwks.json").await.json(200);
    let published: Vec<&str> = published["keys"].as_array().expect("keys").iter().map(|key| text(key, "kid")).collect();
    assert_eq!(published, [kid(&after)]);
}

#[tokio::test]
async fn with_a_new_master_key_in_the_place_of_one_that_leaked_or_is_lost_everything_but_access_tokens_goes_on() {
    let mut server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let resource_server = server.resource_server();
    let app = wire.register("app").await;
    let mut browser = ScriptedBrowser::new().unwrap();
    let (code, pkce) = wire.code(&mut browser, &app, server.password()).await;
    let tokens = wire.redeem(&app, &code, &pkce).await;
    server.terminate();
    server.wait();
    std::fs::remove_file(server.data().join("master.key")).unwrap();

    let revoked = server.run_json(&["key", "revoke", "--all", "--json"]);
    assert_eq!(revoked[0]["kid"], kid(&tokens.text("access_token")));
    assert_eq!(revoked.as_array().map(Vec::len), Some(1));
    // In development mode the next start makes another one.
    server.restart();
    assert!(!wire.is_active(&resource_server, &tokens.text("access_token")).await);
    let refreshed = wire.refresh(&app, &tokens.text("refresh_token")).await;
    assert!(wire.is_active(&resource_server, &refreshed.text("access_token")).await);
    let page = browser.open(&wire.authorize_url(&app, &Pkce::next(), "s")).await.unwrap().page().unwrap();
    assert!(page.login_form().is_none(), "the session, too");
}
