//! `gateward user`.

use gateward::testing::browser::{ScriptedBrowser, Step};

use crate::{
    Home, members,
    support::{
        Options, Server,
        oauth::{Pkce, Wire},
    },
    text,
};

#[test]
fn create_prints_a_random_password_once() {
    let home = Home::new();
    let created = home.json(&["user", "create", "ada", "--json"]);
    assert_eq!(members(&created), ["password", "username"]);
    let password = text(&created, "password");
    assert!(password.len() >= 20, "{password}");

    let listed = home.json(&["user", "list", "--json"]);
    assert_eq!(members(&listed[0]), ["created_at", "status", "user_id", "username"]);
    assert_eq!((text(&listed[0], "username"), text(&listed[0], "status")), ("ada", "active"));
    let printed = home.ok(&["user", "list"]);
    assert!(printed.contains("ada") && !printed.contains(password) && !printed.contains("argon2"));
}

#[test]
fn a_password_from_standard_input_is_not_repeated() {
    let home = Home::new();
    let printed = home.ok_with_input(&["user", "create", "ada", "--password-stdin"], "correct horse\n");
    assert!(printed.contains("ada") && !printed.contains("correct horse") && !printed.contains("password"));
    let printed = home.ok_with_input(&["user", "set-password", "ada", "--password-stdin", "--json"], "battery staple");
    assert!(!printed.contains("battery staple") && !printed.contains("password"));
    let short = home.run_with_input(&["user", "set-password", "ada", "--password-stdin"], "short\n");
    assert_eq!(short.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&short.stderr).contains("at least 8 characters"));
}

#[test]
fn who_is_there_already_and_who_is_not_have_exit_codes_of_their_own() {
    let home = Home::new();
    home.ok(&["user", "create", "ada"]);
    assert!(home.fails(&["user", "create", "ada"], 4).contains("ada"));
    for verb in ["set-password", "disable", "enable"] {
        assert!(home.fails(&["user", verb, "bob"], 3).contains("no user bob"));
    }
    home.fails(&["user", "create", ""], 2);
    assert_eq!(home.json(&["user", "list", "--json"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn disable_and_enable_show_in_the_list() {
    let home = Home::new();
    home.ok(&["user", "create", "ada"]);
    let status = || text(&home.json(&["user", "list", "--json"])[0], "status").to_owned();
    assert!(home.ok(&["user", "disable", "ada"]).contains("disabled ada"));
    assert_eq!(status(), "disabled");
    assert!(home.ok(&["user", "enable", "ada"]).contains("enabled ada"));
    assert_eq!(status(), "active");
}

#[tokio::test]
async fn a_user_made_while_the_server_runs_can_log_in_until_disabled() {
    let server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let (client, resource_server) = (wire.register("Story").await, server.resource_server());
    let created = server.run_json(&["user", "create", "ada", "--json"]);
    let password = text(&created, "password").to_owned();

    let mut browser = ScriptedBrowser::new().unwrap();
    let pkce = Pkce::next();
    let callback = browser.authorize(&wire.authorize_url(&client, &pkce, "s"), "ada", &password).await.unwrap();
    let code = gateward::testing::browser::callback_parameter(&callback, "code").expect("a code");
    let tokens = wire.redeem(&client, &code, &pkce).await;
    assert_eq!(text(&wire.introspect(&resource_server, &tokens.text("access_token")).await, "username"), "ada");

    assert!(server.run(&["user", "disable", "ada"]).status.success());
    assert!(!wire.is_active(&resource_server, &tokens.text("access_token")).await);
    assert_eq!(wire.refresh(&client, &tokens.text("refresh_token")).await.error(), "invalid_grant");
    let page = browser.open(&wire.authorize_url(&client, &pkce, "s")).await.unwrap().page().unwrap();
    assert!(page.login_form().is_some(), "the session is over");
    let refused = browser.log_in(&page, "ada", &password).await.unwrap().page().unwrap();
    assert!(refused.text().contains("not right"), "{}", refused.text());

    assert!(server.run(&["user", "enable", "ada"]).status.success());
    let again = browser.log_in(&refused, "ada", &password).await.unwrap();
    assert!(matches!(again, Step::Page(page) if page.consent_form().is_some()));
    assert!(!wire.is_active(&resource_server, &tokens.text("access_token")).await, "what was revoked stays revoked");
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_and_replaces_the_old_one() {
    let server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let client = wire.register("Story").await;
    let mut browser = ScriptedBrowser::new().unwrap();
    wire.code(&mut browser, &client, server.password()).await;

    let output = server.run_with_input(&["user", "set-password", "admin", "--password-stdin"], "correct horse");
    assert!(output.status.success());

    let url = wire.authorize_url(&client, &Pkce::next(), "s");
    let login = browser.open(&url).await.unwrap().page().unwrap();
    assert!(login.login_form().is_some(), "the session is over");
    let refused = browser.log_in(&login, "admin", server.password()).await.unwrap().page().unwrap();
    assert_eq!(refused.status, 403);
    let consent = browser.log_in(&refused, "admin", "correct horse").await.unwrap().page().unwrap();
    assert!(consent.consent_form().is_some());
    assert_eq!(server.run_json(&["user", "list", "--json"]).as_array().map(Vec::len), Some(1));
}
