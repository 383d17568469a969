//! What clients and resource servers say to the server.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gateward::testing::browser::{ScriptedBrowser, callback_parameter};
use reqwest::{
    Client, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
    redirect::Policy,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::Server;

/// Where the test client wants its codes; nobody listens there.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:1/callback";

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Self { status, headers, body: response.text().await? })
    }

    /// The body as JSON; the test stops if the status is another one.
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A text of the JSON body of a 200.
    pub(crate) fn text(&self, member: &str) -> String {
        let json = self.json(200);
        json[member].as_str().unwrap_or_else(|| panic!("no {member} in {json}")).to_owned()
    }

    /// The `error` of a JSON body, whatever the status.
    pub(crate) fn error(&self) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        json["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// A code verifier and its S256 challenge (RFC 7636).
#[derive(Debug, Clone)]
pub(crate) struct Pkce {
    pub(crate) verifier: String,
    pub(crate) challenge: String,
}

impl Pkce {
    /// Another one each time, the same in each run.
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let verifier = URL_SAFE_NO_PAD.encode(Sha256::digest(format!("verifier {number}")));
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        Self { verifier, challenge }
    }
}

/// How a client says who it is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) id: String,
    /// With `client_secret_basic`.
    pub(crate) secret: Option<String>,
}

/// Requests to one server.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) http: Client,
    pub(crate) issuer: String,
    pub(crate) resource: String,
}

impl Wire {
    pub(crate) fn to(server: &Server) -> Self {
        // A connection for each request: one that is kept open does not survive a restart of the server.
        let http = Client::builder().redirect(Policy::none()).no_proxy().pool_max_idle_per_host(0).build().unwrap();
        Self { http, issuer: server.issuer().to_owned(), resource: server.resource() }
    }

    /// Straight to where a server listens, whatever its issuer is.
    pub(crate) fn past_the_balancer(server: &Server) -> Self {
        Self { issuer: format!("http://{}", server.address()), ..Self::to(server) }
    }

    /// What a browser without any cookie gets at a URL.
    pub(crate) async fn browse(&self, url: &str) -> Answer {
        Answer::of(self.http.get(url).send().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let response = self.http.get(format!("{}{path}", self.issuer)).send().await.unwrap();
        Answer::of(response).await.unwrap()
    }

    /// Posts a form; an error is one of the connection.
    pub(crate) async fn try_post(
        &self,
        path: &str,
        client: &Identity,
        fields: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let id = client.secret.is_none().then_some(("client_id", client.id.as_str()));
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).extend_pairs(id).finish();
        let mut request = self.http.post(format!("{}{path}", self.issuer));
        if let Some(secret) = &client.secret {
            request = request.basic_auth(&client.id, Some(secret));
        }
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        Answer::of(request.send().await?).await
    }

    pub(crate) async fn post(&self, path: &str, client: &Identity, fields: &[(&str, &str)]) -> Answer {
        self.try_post(path, client, fields).await.unwrap()
    }

    /// Registers a public client with the loopback callback (RFC 7591).
    pub(crate) async fn register(&self, name: &str) -> Identity {
        let metadata = json!({
            "client_name": name,
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        });
        let registered = self.register_with(&metadata).await.json(201);
        Identity { id: registered["client_id"].as_str().expect("a client_id").to_owned(), secret: None }
    }

    pub(crate) async fn register_with(&self, metadata: &Value) -> Answer {
        let request = self.http.post(format!("{}/oauth/register", self.issuer)).json(metadata);
        Answer::of(request.send().await.unwrap()).await.unwrap()
    }

    /// The URL of an authorization request.
    pub(crate) fn authorize_url(&self, client: &Identity, pkce: &Pkce, state: &str) -> String {
        self.authorize_url_with(client, pkce, CALLBACK, state)
    }

    pub(crate) fn authorize_url_with(&self, client: &Identity, pkce: &Pkce, callback: &str, state: &str) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &client.id)
            .append_pair("redirect_uri", callback)
            .append_pair("code_challenge", &pkce.challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", &self.resource)
            .append_pair("state", state)
            .finish();
        format!("{}/oauth/authorize?{query}", self.issuer)
    }

    /// Lets a human agree; the code and its verifier.
    pub(crate) async fn code(
        &self,
        browser: &mut ScriptedBrowser,
        client: &Identity,
        password: &str,
    ) -> (String, Pkce) {
        let pkce = Pkce::next();
        let url = self.authorize_url(client, &pkce, "a state");
        let callback = browser.authorize(&url, "admin", password).await.unwrap();
        let code = callback_parameter(&callback, "code").unwrap_or_else(|| panic!("no code in {callback}"));
        (code, pkce)
    }

    pub(crate) async fn redeem(&self, client: &Identity, code: &str, pkce: &Pkce) -> Answer {
        self.post("/oauth/token", client, &redemption(code, pkce)).await
    }

    pub(crate) async fn refresh(&self, client: &Identity, token: &str) -> Answer {
        self.post("/oauth/token", client, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub(crate) async fn client_credentials(&self, client: &Identity) -> Answer {
        self.post("/oauth/token", client, &[("grant_type", "client_credentials")]).await
    }

    /// What a resource server learns of a token.
    pub(crate) async fn introspect(&self, resource_server: &Identity, token: &str) -> Value {
        self.post("/oauth/introspect", resource_server, &[("token", token)]).await.json(200)
    }

    pub(crate) async fn is_active(&self, resource_server: &Identity, token: &str) -> bool {
        let answer = self.introspect(resource_server, token).await;
        if answer["active"] == true {
            return true;
        }
        assert_eq!(answer, json!({"active": false}), "RFC 7662 2.2: nothing more is said");
        false
    }

    pub(crate) async fn revoke(&self, client: &Identity, token: &str) -> Answer {
        self.post("/oauth/revoke", client, &[("token", token)]).await
    }
}

/// The form of a code redemption.
pub(crate) fn redemption<'a>(code: &'a str, pkce: &'a Pkce) -> [(&'a str, &'a str); 3] {
    [("grant_type", "authorization_code"), ("code", code), ("code_verifier", &pkce.verifier)]
}

impl Server {
    /// The server of the resource, who may introspect, made on the command line.
    pub(crate) fn resource_server(&self) -> Identity {
        let resource = self.resource();
        self.create_client(&["--name", "resource server", "--introspect", "--resource", &resource])
    }

    /// A client made on the command line.
    pub(crate) fn create_client(&self, arguments: &[&str]) -> Identity {
        let created = self.run_json(&[&["client", "create", "--json"], arguments].concat());
        Identity {
            id: created["client_id"].as_str().expect("a client_id").to_owned(),
            secret: created["client_secret"].as_str().map(str::to_owned),
        }
    }
}
