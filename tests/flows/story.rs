//! A story in which every route of the server is asked, rightly and wrongly, and every kind of secret occurs. Whoever tells it
//! gets the secrets that occurred.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use gateward::{
    http::ROUTES,
    testing::browser::{Page, ScriptedBrowser, callback_parameter},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Server,
    oauth::{Answer, CALLBACK, Identity, Pkce, Wire, redemption},
};

/// What occurred.
#[derive(Default)]
struct Seen {
    secrets: BTreeSet<String>,
    routes: BTreeSet<(&'static str, &'static str)>,
}

impl Seen {
    fn secret(&mut self, secret: impl Into<String>) -> String {
        let secret = secret.into();
        assert!(secret.len() >= 8, "`{secret}` could be anywhere");
        self.secrets.insert(secret.clone());
        secret
    }

    fn route(&mut self, method: &'static str, path: &'static str) {
        self.routes.insert((method, path));
    }

    fn identity(&mut self, client: &Identity) {
        if let Some(secret) = &client.secret {
            self.secret(secret);
            self.secret(STANDARD.encode(format!("{}:{secret}", client.id)));
        }
    }

    fn browser(&mut self, browser: &ScriptedBrowser) {
        browser.cookies().values().for_each(|value| drop(self.secret(value)));
    }

    fn page(&mut self, page: &Page) {
        for form in &page.forms {
            self.secret(form.hidden("request").expect("a sealed request"));
        }
    }

    fn pkce(&mut self, pkce: &Pkce) {
        self.secret(&pkce.verifier);
    }

    fn tokens(&mut self, answer: &Answer) {
        let body = answer.json(200);
        for member in ["access_token", "refresh_token"] {
            if let Some(token) = body[member].as_str() {
                self.secret(token);
                // The signature alone would do, too.
                if let Some((_, signature)) = token.rsplit_once('.') {
                    self.secret(signature);
                }
            }
        }
    }
}

/// The whole story; everything that must not be found anywhere.
pub(crate) async fn tell(server: &Server, wire: &Wire) -> BTreeSet<String> {
    let mut seen = Seen::default();
    discover(wire, &mut seen).await;
    operate(server, wire, &mut seen).await;
    let client = manage_a_registration(wire, &mut seen).await;
    let refresh_token = walk_through_the_pages(server, wire, &client, &mut seen).await;
    sign_an_assertion(server, wire, &mut seen).await;
    ask_wrongly(wire, &client, &refresh_token, &mut seen).await;

    for route in ROUTES {
        for method in route.methods {
            assert!(seen.routes.contains(&(*method, route.path)), "{method} {} is not part of this story", route.path);
        }
    }
    assert!(seen.secrets.len() > 40, "{}", seen.secrets.len());
    seen.secrets
}

async fn discover(wire: &Wire, seen: &mut Seen) {
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
        "/oauth/about",
        "/livez",
        "/readyz",
    ] {
        assert_eq!(wire.get(path).await.status, 200, "{path}");
        seen.route("GET", path);
    }
}

/// The worker of the command line; its server; introspection and revocation.
async fn operate(server: &Server, wire: &Wire, seen: &mut Seen) {
    let resource_server = server.resource_server();
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    seen.identity(&resource_server);
    seen.identity(&worker);
    let answer = wire.client_credentials(&worker).await;
    seen.tokens(&answer);
    seen.route("POST", "/oauth/token");
    let token = answer.text("access_token");
    assert!(wire.is_active(&resource_server, &token).await);
    seen.route("POST", "/oauth/introspect");
    assert_eq!(wire.revoke(&worker, &token).await.status, 200);
    seen.route("POST", "/oauth/revoke");
    assert!(!wire.is_active(&resource_server, &token).await);

    let by_post = server.create_client(&[
        "--grant",
        "client_credentials",
        "--scope",
        "mcp:read",
        "--auth-method",
        "client_secret_post",
    ]);
    seen.identity(&by_post);
    let secret = by_post.secret.clone().expect("a secret");
    let public = Identity { id: by_post.id.clone(), secret: None };
    let fields = [("grant_type", "client_credentials"), ("client_secret", secret.as_str())];
    seen.tokens(&wire.post("/oauth/token", &public, &fields).await);
}

/// RFC 7591 and 7592.
async fn manage_a_registration(wire: &Wire, seen: &mut Seen) -> Identity {
    let metadata = json!({"redirect_uris": [CALLBACK], "client_name": "Story", "grant_types": ["authorization_code", "refresh_token"]});
    let registered = wire.register_with(&metadata).await.json(201);
    seen.route("POST", "/oauth/register");
    let text = |json: &Value, member: &str| json[member].as_str().expect("a text").to_owned();
    let id = text(&registered, "client_id");
    let secret = seen.secret(text(&registered, "client_secret"));
    let client = Identity { id: id.clone(), secret: Some(secret) };
    seen.identity(&client);

    let url = format!("{}/oauth/register/{id}", wire.issuer);
    let manage = async |method: Method, token: &str, body: Option<&Value>| {
        let mut request = wire.http.request(method, &url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::of(request.send().await.unwrap()).await.unwrap()
    };
    let mut token = seen.secret(text(&registered, "registration_access_token"));
    assert_eq!(manage(Method::GET, &token, None).await.status, 200);
    seen.route("GET", "/oauth/register/{client_id}");
    let wrong = seen.secret("gw_ra_something-that-was-made-up");
    assert_eq!(manage(Method::GET, &wrong, None).await.status, 401);
    let updated = manage(Method::PUT, &token, Some(&metadata)).await.json(200);
    seen.route("PUT", "/oauth/register/{client_id}");
    token = seen.secret(text(&updated, "registration_access_token"));

    // Another one, to delete.
    let other = wire.register_with(&metadata).await.json(201);
    let other_token = seen.secret(text(&other, "registration_access_token"));
    seen.secret(text(&other, "client_secret"));
    let url = format!("{}/oauth/register/{}", wire.issuer, text(&other, "client_id"));
    let deleted = wire.http.delete(url).bearer_auth(other_token).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    seen.route("DELETE", "/oauth/register/{client_id}");
    assert_eq!(manage(Method::GET, &token, None).await.status, 200);
    client
}

/// Login (wrong, right), sign-out, consent (shown again, denied, approved, answered twice), redemption, refresh and replays.
async fn walk_through_the_pages(server: &Server, wire: &Wire, client: &Identity, seen: &mut Seen) -> String {
    let mut browser = ScriptedBrowser::new().unwrap();
    let pkce = Pkce::next();
    seen.pkce(&pkce);
    let url = wire.authorize_url(client, &pkce, "a state");
    let login = browser.open(&url).await.unwrap().page().unwrap();
    seen.route("GET", "/oauth/authorize");
    seen.page(&login);
    seen.browser(&browser);

    let wrong = seen.secret("correct horse battery staple");
    let again = browser.log_in(&login, "admin", &wrong).await.unwrap().page().unwrap();
    seen.route("POST", "/oauth/login");
    assert_eq!(again.status, 403);
    seen.page(&again);
    let password = seen.secret(server.password());
    let consent = browser.log_in(&again, "admin", &password).await.unwrap().page().unwrap();
    seen.browser(&browser);
    seen.page(&consent);
    // The redirect carried the sealed request, and the page has another seal.
    seen.secret(callback_parameter(&consent.url, "request").expect("a sealed request"));
    seen.route("GET", "/oauth/consent");
    let other_seal = browser.open(&consent.url).await.unwrap().page().unwrap();
    seen.page(&other_seal);

    let signed_out = browser.sign_out(&other_seal).await.unwrap().page().unwrap();
    seen.route("POST", "/oauth/logout");
    assert_eq!(signed_out.heading, "You are signed out");
    seen.route("GET", "/oauth/signed-out");
    seen.browser(&browser);
    let stale = browser.approve(&consent).await.unwrap().page().unwrap();
    assert_eq!(stale.status, 400);

    // The request by POST (RFC 6749 3.1), and a denial.
    let query = url.split_once('?').expect("a query").1.to_owned();
    let posted = wire.http.post(server.url("/oauth/authorize")).body(query);
    let posted = posted.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    seen.route("POST", "/oauth/authorize");
    assert_eq!(posted.status(), 303);
    assert!(posted.headers().get("set-cookie").is_none());
    let login = browser.open(&url).await.unwrap().page().unwrap();
    seen.page(&login);
    let consent = browser.log_in(&login, "admin", &password).await.unwrap().page().unwrap();
    seen.page(&consent);
    seen.browser(&browser);
    let denied = browser.deny(&consent).await.unwrap().client().unwrap();
    seen.route("POST", "/oauth/consent");
    assert_eq!(callback_parameter(&denied, "error").as_deref(), Some("access_denied"));

    let consent = browser.open(&url).await.unwrap().page().unwrap();
    seen.page(&consent);
    let callback = browser.approve(&consent).await.unwrap().client().unwrap();
    let code = seen.secret(callback_parameter(&callback, "code").expect("a code"));
    let twice = browser.approve(&consent).await.unwrap().page().unwrap();
    assert_eq!(twice.heading, "You have answered this already");

    let stranger = Pkce::next();
    seen.pkce(&stranger);
    assert_eq!(wire.post("/oauth/token", client, &redemption(&code, &stranger)).await.error(), "invalid_grant");
    let first = wire.redeem(client, &code, &pkce).await;
    seen.tokens(&first);
    let second = wire.refresh(client, &first.text("refresh_token")).await;
    seen.tokens(&second);
    let repeated = wire.refresh(client, &first.text("refresh_token")).await;
    seen.tokens(&repeated);
    let third = wire.refresh(client, &second.text("refresh_token")).await;
    seen.tokens(&third);
    assert_eq!(wire.redeem(client, &code, &pkce).await.error(), "invalid_grant", "a replayed code");
    assert_eq!(wire.refresh(client, &first.text("refresh_token")).await.error(), "invalid_grant", "a replayed token");
    third.text("refresh_token")
}

/// `private_key_jwt`: accepted, and replayed.
async fn sign_an_assertion(server: &Server, wire: &Wire, seen: &mut Seen) {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &aws_lc_rs::rand::SystemRandom::new());
    let pkcs8 = pkcs8.unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k", "alg": "ES256"}]});
    let file = server.directory().join("keys.json");
    std::fs::write(&file, keys.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let client = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read", "--jwks", file]);

    let now = jsonwebtoken::get_current_timestamp();
    let claims =
        json!({"iss": client.id, "sub": client.id, "aud": server.issuer(), "exp": now + 60, "iat": now, "jti": "once"});
    let header =
        jsonwebtoken::Header { kid: Some("k".into()), ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256) };
    let key = jsonwebtoken::EncodingKey::from_ec_der(pkcs8.as_ref());
    let assertion = seen.secret(jsonwebtoken::encode(&header, &claims, &key).unwrap());
    let signature = assertion.rsplit_once('.').expect("a JWS").1.to_owned();
    seen.secret(signature);
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
    ];
    seen.tokens(&wire.post("/oauth/token", &client, &fields).await);
    assert_eq!(wire.post("/oauth/token", &client, &fields).await.error(), "invalid_client");
}

/// What is wrong is logged, but not with what was presented; not even when it is in the wrong place.
async fn ask_wrongly(wire: &Wire, client: &Identity, token: &str, seen: &mut Seen) {
    let stray = seen.secret("a-secret-in-the-wrong-place");
    for path in ["/oauth/token", "/oauth/authorize", "/oauth/consent", "/oauth/nothing", "/oauth/signed-out", "/livez"]
    {
        wire.get(&format!("{path}?code={stray}&access_token={stray}&refresh_token={stray}&request={stray}")).await;
    }
    let wrong = Identity { id: client.id.clone(), secret: Some(stray.clone()) };
    seen.identity(&wrong);
    assert_eq!(wire.client_credentials(&wrong).await.error(), "invalid_client");
    let duplicate = [("grant_type", "refresh_token"), ("refresh_token", token), ("refresh_token", token)];
    assert_eq!(wire.post("/oauth/token", client, &duplicate).await.error(), "invalid_request");
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        wire.post(path, client, &[("token", &stray)]).await;
        wire.post(path, client, &[("token", token), ("token", &stray)]).await;
    }
    let as_json = wire.http.post(format!("{}/oauth/token", wire.issuer)).json(&json!({"refresh_token": token}));
    assert_eq!(as_json.send().await.unwrap().status(), 400);
    let metadata = json!({"redirect_uris": [format!("https://a.example/?token={stray}#{stray}")], "jwks": stray});
    assert_eq!(wire.register_with(&metadata).await.status, 400);
}
