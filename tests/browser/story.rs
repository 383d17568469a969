//! What happens when a human clicks.

use serde_json::json;

use crate::{
    callback::{HEADING, LoopbackClient},
    chromium::{Browser, browse},
    support::{
        Options, Server,
        oauth::{Identity, Pkce, Wire},
    },
};

/// The heading of the consent page.
pub(crate) const CONSENT: &str = "Notebook wants to use Local MCP server as you";

/// A server, and a client that waits on this machine.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) wire: Wire,
    pub(crate) client: Identity,
    pub(crate) listener: LoopbackClient,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let server = Server::start(Options::new());
        let wire = Wire::to(&server);
        // Registered without a port, as native apps do (RFC 8252 7.3).
        let metadata = json!({
            "client_name": "Notebook",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        });
        let registered = wire.register_with(&metadata).await.json(201);
        let client = Identity { id: registered["client_id"].as_str().expect("a client_id").to_owned(), secret: None };
        Self { listener: LoopbackClient::listen().await, server, wire, client }
    }

    pub(crate) fn url(&self, pkce: &Pkce, state: &str) -> String {
        self.wire.authorize_url_with(&self.client, pkce, &self.listener.redirect_uri, state)
    }

    pub(crate) fn grants(&self) -> usize {
        self.server.run_json(&["grant", "list", "--json"]).as_array().expect("a list").len()
    }

    /// To the consent page.
    pub(crate) async fn to_consent(&self, browser: &Browser, pkce: &Pkce, state: &str) {
        browser.goto(&self.url(pkce, state)).await.unwrap();
        browser.shows("Sign in").await;
        browser.log_in("admin", self.server.password()).await;
        browser.shows(CONSENT).await;
    }
}

#[tokio::test]
async fn login_consent_and_approve_lead_back_to_a_loopback_client() {
    browse(async |browser| {
        let mut stage = Stage::set().await;
        let pkce = Pkce::next();
        let state = "st=a&te +%25\u{e9}";
        stage.to_consent(&browser, &pkce, state).await;
        browser.approve().await;
        browser.shows(HEADING).await;

        let arrival = stage.listener.arrival().await;
        assert_eq!(arrival.keys().collect::<Vec<_>>(), ["code", "iss", "state"]);
        assert_eq!(arrival["state"], state);
        assert_eq!(arrival["iss"], stage.server.issuer());
        let tokens = stage.wire.redeem(&stage.client, &arrival["code"], &pkce).await;
        assert_eq!(tokens.json(200)["token_type"], "Bearer");
        // The policy blocked nothing that the pages need, and no page asked for anything that is not there.
        assert_eq!(browser.console().await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn deny_leads_back_with_access_denied() {
    browse(async |browser| {
        let mut stage = Stage::set().await;
        stage.to_consent(&browser, &Pkce::next(), "s").await;
        browser.click("button[value=deny]").await;
        browser.shows(HEADING).await;
        let arrival = stage.listener.arrival().await;
        assert_eq!((arrival["error"].as_str(), arrival["state"].as_str()), ("access_denied", "s"));
        assert_eq!(arrival["iss"], stage.server.issuer());
        assert!(!arrival.contains_key("code"));
        assert_eq!(stage.grants(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_shows_the_problem_and_keeps_the_name() {
    browse(async |browser| {
        let mut stage = Stage::set().await;
        browser.goto(&stage.url(&Pkce::next(), "s")).await.unwrap();
        browser.log_in("admin", "not the password").await;
        let problem = browser.element("[role=alert]").await.text().await.unwrap();
        assert_eq!(problem, "The username or password is not right. Check both and try again.");
        assert_eq!(browser.title().await.unwrap(), "Could not sign in – gateward");
        let name = browser.element("#username").await.prop("value").await.unwrap();
        assert_eq!(name.as_deref(), Some("admin"));
        let focused = browser.active_element().await.unwrap().attr("id").await.unwrap();
        assert_eq!(focused.as_deref(), Some("password"), "what has to be typed again");

        // The same page goes on with the right one.
        browser.log_in("admin", stage.server.password()).await;
        browser.shows(CONSENT).await;
        assert!(stage.listener.is_quiet());
    })
    .await;
}

#[tokio::test]
async fn the_back_button_and_another_answer_change_nothing() {
    browse(async |browser| {
        let mut stage = Stage::set().await;
        let pkce = Pkce::next();
        stage.to_consent(&browser, &pkce, "s").await;
        browser.approve().await;
        browser.shows(HEADING).await;
        let arrival = stage.listener.arrival().await;

        browser.back().await.unwrap();
        browser.shows(CONSENT).await;
        browser.click("button[value=deny]").await;
        browser.shows("You have answered this already").await;

        assert!(stage.listener.is_quiet(), "the client hears nothing of it");
        assert_eq!(stage.grants(), 1);
        assert_eq!(stage.wire.redeem(&stage.client, &arrival["code"], &pkce).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_double_click_on_approve_makes_one_grant_at_most() {
    browse(async |browser| {
        let stage = Stage::set().await;
        stage.to_consent(&browser, &Pkce::next(), "s").await;
        browser.script("const b = document.querySelector('button[value=approve]'); b.click(); b.click();").await;
        let seen = ["You have answered this already", HEADING];
        crate::support::until("an answer to the double click", async || {
            let text = browser.text().await;
            seen.iter().any(|heading| text.contains(heading))
        })
        .await;
        assert!(stage.grants() <= 1);
    })
    .await;
}

#[tokio::test]
async fn in_two_tabs_the_one_that_is_out_of_date_says_so_and_starts_again() {
    browse(async |browser| {
        let mut stage = Stage::set().await;
        let (one, two) = (Pkce::next(), Pkce::next());
        let first = browser.window().await.unwrap();
        browser.goto(&stage.url(&one, "one")).await.unwrap();
        browser.shows("Sign in").await;
        let second = browser.new_window(true).await.unwrap().handle;
        browser.switch_to_window(second).await.unwrap();
        stage.to_consent(&browser, &two, "two").await;

        browser.switch_to_window(first).await.unwrap();
        browser.log_in("admin", stage.server.password()).await;
        browser.shows("This page is out of date").await;
        browser.click("a.primary").await;
        // Signed in by the other tab.
        browser.shows(CONSENT).await;
        browser.approve().await;
        browser.shows(HEADING).await;
        let arrival = stage.listener.arrival().await;
        assert_eq!(arrival["state"], "one");
        assert_eq!(stage.wire.redeem(&stage.client, &arrival["code"], &one).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn two_tabs_of_one_session_are_answered_each_for_itself() {
    browse(async |browser| {
        let mut stage = Stage::set().await;
        let (one, two) = (Pkce::next(), Pkce::next());
        let first = browser.window().await.unwrap();
        stage.to_consent(&browser, &one, "one").await;
        let second = browser.new_window(true).await.unwrap().handle;
        browser.switch_to_window(second).await.unwrap();
        browser.goto(&stage.url(&two, "two")).await.unwrap();
        browser.shows(CONSENT).await;
        browser.approve().await;
        browser.shows(HEADING).await;
        assert_eq!(stage.listener.arrival().await["state"], "two");

        browser.switch_to_window(first).await.unwrap();
        browser.click("button[value=deny]").await;
        browser.shows(HEADING).await;
        let arrival = stage.listener.arrival().await;
        assert_eq!((arrival["state"].as_str(), arrival["error"].as_str()), ("one", "access_denied"));
        assert_eq!(stage.grants(), 1);
    })
    .await;
}

#[tokio::test]
async fn whoever_signs_out_can_go_on_as_somebody_else() {
    browse(async |browser| {
        let mut stage = Stage::set().await;
        let created = stage.server.run_json(&["user", "create", "ada", "--json"]);
        stage.to_consent(&browser, &Pkce::next(), "s").await;
        browser.click("button.quiet").await;
        browser.shows("You are signed out").await;
        browser.click("a.primary").await;
        browser.shows("Sign in").await;
        browser.log_in("ada", created["password"].as_str().expect("a password")).await;
        browser.shows(CONSENT).await;
        assert!(browser.text().await.contains("Signed in as ada"));
        browser.approve().await;
        assert_eq!(stage.listener.arrival().await["state"], "s");
        assert_eq!(
            stage.server.run_json(&["grant", "list", "--user", "ada", "--json"]).as_array().map(Vec::len),
            Some(1)
        );
    })
    .await;
}

#[tokio::test]
async fn an_unknown_client_gets_an_error_page_and_no_redirect() {
    browse(async |browser| {
        let mut stage = Stage::set().await;
        let url = stage.url(&Pkce::next(), "s").replace(&stage.client.id, "nobody");
        browser.goto(&url).await.unwrap();
        browser.shows("This server does not know the app").await;
        let text = browser.text().await;
        assert!(text.contains("remove this connection and add it again") && text.contains("invalid_client"), "{text}");
        assert!(browser.current_url().await.unwrap().as_str().starts_with(stage.server.issuer()));
        assert!(stage.listener.is_quiet());
    })
    .await;
}
