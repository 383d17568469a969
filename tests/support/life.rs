//! What a store has to remember: a human with a session, clients with their secrets, tokens of every kind.

use gateward::testing::browser::ScriptedBrowser;
use serde_json::json;

use super::{
    Options, Server,
    oauth::{Answer, CALLBACK, Identity, Pkce, Wire},
};

/// A resource whose tokens are opaque; those of the first one are JWTs.
pub(crate) const OPAQUE: &str = "https://opaque.example/mcp";

/// A life that began on one server and goes on, on that one or on another with the same store, issuer and master key.
#[derive(Debug)]
pub(crate) struct Life {
    password: String,
    browser: ScriptedBrowser,
    app: Identity,
    registration_token: String,
    worker: Identity,
    resource_server: Identity,
    /// The current refresh token.
    refresh: String,
    /// Those that are active.
    access: Vec<String>,
    revoked: String,
    /// Was not redeemed yet.
    code: (String, Pkce),
}

impl Life {
    /// What the server has to know.
    pub(crate) fn options(options: Options) -> Options {
        options
            .set("GATEWARD_RESOURCES__1__URI", OPAQUE)
            .set("GATEWARD_RESOURCES__1__TOKEN_FORMAT", "opaque")
            .set("GATEWARD_RESOURCES__1__SCOPES__0__NAME", "mcp:read")
            .set("GATEWARD_RESOURCES__1__SCOPES__0__DESCRIPTION", "Read")
            .set("GATEWARD_LIFETIMES__CODE", "10m")
    }

    /// Begins it on a server that was just started for the first time.
    pub(crate) async fn begin(server: &Server) -> Self {
        let wire = Wire::past_the_balancer(server);
        let resource_server = server.create_client(&[
            "--name",
            "resource server",
            "--introspect",
            "--resource",
            &server.resource(),
            "--resource",
            OPAQUE,
        ]);
        let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
        let registered = wire
            .register_with(
                &json!({"redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"]}),
            )
            .await
            .json(201);
        let text = |member: &str| registered[member].as_str().expect("a text").to_owned();
        let app = Identity { id: text("client_id"), secret: Some(text("client_secret")) };
        let password = server.password().to_owned();
        let mut browser = ScriptedBrowser::new().unwrap();
        let (code, pkce) = wire.code(&mut browser, &app, &password).await;
        let first = wire.redeem(&app, &code, &pkce).await;
        let second = wire.refresh(&app, &first.text("refresh_token")).await;
        let opaque = Wire { resource: OPAQUE.to_owned(), ..wire.clone() };
        let (code, pkce) = opaque.code(&mut browser, &app, &password).await;
        let of_human = opaque.redeem(&app, &code, &pkce).await;
        let given_back = wire.client_credentials(&worker).await.text("access_token");
        assert_eq!(wire.revoke(&worker, &given_back).await.status, 200);
        let mut access: Vec<_> = [first, second.clone(), of_human].iter().map(|a| a.text("access_token")).collect();
        access.push(opaque_token(&wire, &worker).await.text("access_token"));
        access.push(wire.client_credentials(&worker).await.text("access_token"));
        let life = Self {
            code: wire.code(&mut browser, &app, &password).await,
            password,
            browser,
            app,
            registration_token: text("registration_access_token"),
            worker,
            resource_server,
            refresh: second.text("refresh_token"),
            access,
            revoked: given_back,
        };
        life.is_remembered(&wire).await;
        life
    }

    async fn is_remembered(&self, wire: &Wire) {
        for token in &self.access {
            assert!(wire.is_active(&self.resource_server, token).await, "{token}");
        }
        assert!(!wire.is_active(&self.resource_server, &self.revoked).await);
    }

    /// Everything that was there works, and whatever a client, a human and a worker do next.
    pub(crate) async fn go_on(&mut self, server: &Server) {
        let wire = Wire::past_the_balancer(server);
        self.is_remembered(&wire).await;
        let refreshed = wire.refresh(&self.app, &self.refresh).await;
        self.refresh = refreshed.text("refresh_token");
        self.access.push(refreshed.text("access_token"));
        let (code, pkce) = &self.code;
        self.access.push(wire.redeem(&self.app, code, pkce).await.text("access_token"));
        self.access.push(wire.client_credentials(&self.worker).await.text("access_token"));
        self.access.push(opaque_token(&wire, &self.worker).await.text("access_token"));
        let management = format!("{}/oauth/register/{}", wire.issuer, self.app.id);
        let shown = wire.http.get(management).bearer_auth(&self.registration_token).send().await.unwrap();
        assert_eq!(shown.status(), 200);

        // The session: consent without a login.
        let url = wire.authorize_url(&self.app, &Pkce::next(), "s");
        let page = self.browser.open(&url).await.unwrap().page().unwrap();
        assert!(page.login_form().is_none() && page.text().contains("Signed in as admin"), "{}", page.text());
        self.code = wire.code(&mut self.browser, &self.app, &self.password).await;

        // The password, and a client of which nobody has heard.
        let newcomer = wire.register("Newcomer").await;
        let (code, pkce) = wire.code(&mut ScriptedBrowser::new().unwrap(), &newcomer, &self.password).await;
        let tokens = wire.redeem(&newcomer, &code, &pkce).await;
        assert_eq!(wire.revoke(&newcomer, &tokens.text("refresh_token")).await.status, 200);
        self.revoked = tokens.text("access_token");
        self.is_remembered(&wire).await;
    }
}

async fn opaque_token(wire: &Wire, worker: &Identity) -> Answer {
    wire.post("/oauth/token", worker, &[("grant_type", "client_credentials"), ("resource", OPAQUE)]).await
}
