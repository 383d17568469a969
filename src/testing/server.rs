//! The whole server in this process: real router, rules, keys and hashes; memory stores, a clock that stands still, and chance
//! from a seed.
//!
//! ```text
//! TestServer::builder() .. .start()   an operator sets it up
//! server.call(POST, "/oauth/token")   a program talks to it
//! server.visitor()                    a human does, with a cookie jar and without JavaScript
//! ```
//!
//! Signing keys come from aws-lc's own generator, so signatures differ from run to run; everything else repeats itself.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::{collections::BTreeSet, fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::BodyExt;
use tower::ServiceExt;
use url::form_urlencoded;

use super::{clock::ManualClock, entropy::SeededEntropy};
use crate::{
    adapter::{
        assertion::JwtAssertionVerifier, keyring::Keyring, master_key::MasterKey, password::Argon2Hasher,
        sealer::MasterSealer,
    },
    domain::{
        account::{SessionLifetime, User, Username},
        client::{AuthenticationMethod, GrantType},
        credential::Digest,
        identifier::ClientId,
        issuer::Issuer,
        key::KeySchedule,
        policy::{ConsentPolicy, KeyPolicy, Lifetimes, LoginPolicy, Policy, RegistrationMode, RegistrationPolicy},
        redirect::RedirectUri,
        resource::{Resource, ResourceUri, Resources, ScopeDefinition, TokenFormat},
        scope::{Scope, ScopeToken},
        time::Timestamp,
    },
    http::{App, HttpOptions, path, router},
    port::{clock::Clock, entropy::Entropy},
    protocol::{jose::Algorithm, secret::Secret},
    service::{Authority, administer_clients::ClientSpec},
    store::Stores,
};

/// Where the server is, unless a test says otherwise.
pub const ISSUER: &str = "http://localhost:3000";
/// The default resource: JWTs with ES256.
pub const RESOURCE: &str = "https://mcp.example.com/mcp";
/// The other resource: opaque tokens.
pub const OPAQUE_RESOURCE: &str = "https://files.example.com/";
/// Where [`public_client`] gets its codes.
pub const REDIRECT: &str = "https://client.example.com/callback";
/// The human of [`TestServer`].
pub const USERNAME: &str = "ada";
/// Their password.
pub const PASSWORD: &str = "correct horse battery staple";
/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// RFC 7636 appendix B.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// A `state` that nothing but exact bookkeeping brings back whole.
pub const STATE: &str = "af0ifjsldkj";

/// A resource with scopes that are described as `.. <name>`.
pub fn resource(uri: &str, scopes: &[&str], token_format: TokenFormat) -> Resource {
    Resource {
        uri: ResourceUri::parse(uri).expect("a resource indicator"),
        aliases: vec![],
        name: format!("Service at {uri}"),
        scopes: scopes.iter().map(|name| ScopeDefinition { name: token(name), description: words(name) }).collect(),
        default_scope: Scope::NONE,
        token_format,
        token_lifetime: Duration::from_secs(3600),
    }
}

fn token(name: &str) -> ScopeToken {
    ScopeToken::parse(name).expect("a scope token")
}

fn words(name: &str) -> String {
    format!("Do what {} means", name.replace(':', " "))
}

/// The policy of `config/default.toml`, with two resources.
pub fn policy() -> Policy {
    let day = Duration::from_secs(24 * 3600);
    let mcp = Resource {
        aliases: vec![ResourceUri::parse("https://alias.example.com/v1").expect("a resource indicator")],
        default_scope: Scope::parse("mcp:read").expect("a scope"),
        ..resource(RESOURCE, &["mcp:read", "mcp:write", "mcp:execute"], TokenFormat::Jwt(Algorithm::ES256))
    };
    let files = Resource {
        token_lifetime: Duration::from_secs(1800),
        ..resource(OPAQUE_RESOURCE, &["files:read", "mcp:read"], TokenFormat::Opaque)
    };
    Policy {
        resources: Resources::new(vec![mcp, files]).expect("two different resources"),
        lifetimes: Lifetimes {
            code: Duration::from_secs(60),
            refresh: 7 * day,
            refresh_reuse_window: Duration::from_secs(60),
            session: SessionLifetime { idle: day / 12, absolute: day / 2 },
            interaction: Duration::from_secs(600),
            secret_overlap: day,
            assertion: Duration::from_secs(300),
        },
        registration: RegistrationPolicy {
            mode: RegistrationMode::Open,
            allow_client_credentials: false,
            scope_ceiling: None,
            max_clients: 10_000,
            reap_unauthorized_after: day,
            reap_idle_after: 90 * day,
        },
        login: LoginPolicy { max_failures: 10, window: Duration::from_secs(900) },
        consent: ConsentPolicy { remember_unvouched: false },
        keys: KeyPolicy {
            schedule: KeySchedule { rotation_period: 30 * day, publish_ahead: day, verify_after: day },
            algorithms: vec![],
        },
    }
}

/// What an operator says before the server starts.
#[derive(Debug)]
pub struct Builder {
    issuer: String,
    policy: Policy,
    options: HttpOptions,
    token_secret: Option<Secret>,
    stores: Stores,
    seed: u64,
}

impl Builder {
    /// Where the server is.
    #[must_use]
    pub fn issuer(self, issuer: &str) -> Self {
        Self { issuer: issuer.to_owned(), ..self }
    }

    /// Changes what the rules take from the configuration.
    #[must_use]
    pub fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    /// Which resources there are, the default one first.
    #[must_use]
    pub fn resources(self, resources: Vec<Resource>) -> Self {
        self.policy(|policy| policy.resources = Resources::new(resources).expect("resources"))
    }

    /// Changes what the operator decides about the door.
    #[must_use]
    pub fn options(mut self, change: impl FnOnce(&mut HttpOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Puts something in front of the stores.
    #[must_use]
    pub fn stores(mut self, change: impl FnOnce(&mut Stores)) -> Self {
        change(&mut self.stores);
        self
    }

    /// `OAUTH_TOKEN_SECRET`.
    #[must_use]
    pub fn token_secret(self, secret: &str) -> Self {
        Self { token_secret: Some(Secret::new(secret)), ..self }
    }

    /// Another sequence of random bytes.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Starts the server, without any user or client.
    pub async fn start(mut self) -> TestServer {
        let clock = Arc::new(ManualClock::default());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(self.seed));
        let sealer = Arc::new(MasterSealer::new(&MasterKey::generate(&*entropy), entropy.clone()));
        let formats = self.policy.resources.iter().map(|resource| resource.token_format);
        let algorithms: BTreeSet<Algorithm> = formats
            .filter_map(|format| match format {
                TokenFormat::Jwt(Algorithm::HS256) | TokenFormat::Opaque => None,
                TokenFormat::Jwt(algorithm) => Some(algorithm),
            })
            .collect();
        self.policy.keys.algorithms = algorithms.into_iter().collect();
        let policy = Arc::new(self.policy);
        let stores = self.stores;
        let keyring =
            Keyring::load(stores.keys.clone(), sealer.clone(), policy.keys.clone(), self.token_secret.as_ref());
        let keyring = Arc::new(keyring.await.expect("a keyring"));
        keyring.maintain(clock.now()).await.expect("signing keys");
        let authority = Authority {
            issuer: Issuer::parse(&self.issuer).expect("an issuer"),
            policy,
            clients: stores.clients.clone(),
            tokens: stores.tokens.clone(),
            accounts: stores.accounts.clone(),
            keys: stores.keys.clone(),
            signer: keyring.clone(),
            assertions: Arc::new(JwtAssertionVerifier),
            sealer,
            passwords: Arc::new(Argon2Hasher::new(4, entropy.clone()).expect("a hasher")),
            entropy,
        };
        let app = App::new(authority, clock.clone(), self.options);
        TestServer { router: router(&app), app, clock, stores, keyring }
    }
}

/// A server in this process. Clones are the same server.
#[derive(Clone)]
pub struct TestServer {
    pub app: App,
    pub clock: Arc<ManualClock>,
    pub stores: Stores,
    pub keyring: Arc<Keyring>,
    router: Router,
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer").field("app", &self.app).field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl TestServer {
    /// The defaults of [`policy`], at [`ISSUER`].
    pub fn builder() -> Builder {
        Builder {
            issuer: ISSUER.to_owned(),
            policy: policy(),
            options: HttpOptions::default(),
            token_secret: None,
            stores: Stores::in_memory(),
            seed: 1,
        }
    }

    /// A server with the defaults and the user [`USERNAME`].
    pub async fn start() -> Self {
        Self::builder().start().await.with_user().await
    }

    /// Adds the user [`USERNAME`].
    pub async fn with_user(self) -> Self {
        self.create_user(USERNAME, PASSWORD).await;
        self
    }

    /// The use cases.
    pub fn authority(&self) -> &Authority {
        self.app.authority()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets whole seconds pass.
    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Adds a user.
    pub async fn create_user(&self, name: &str, password: &str) -> User {
        let name = Username::parse(name).expect("a user name");
        self.authority().create_user(name, Secret::new(password), self.now()).await.expect("a new user")
    }

    /// Adds a client as an operator does.
    pub async fn create_client(&self, id: &str, spec: ClientSpec) -> TestClient {
        let method = spec.authentication;
        let id = ClientId::parse(id).expect("a client_id");
        let made = self.authority().create_client(Some(id), spec, self.now()).await.expect("a new client");
        let secret = made.secret.map(|secret| secret.expose().to_owned());
        TestClient { id: made.client.id.as_str().to_owned(), secret, method }
    }

    /// Adds a client as the configuration file does, with a secret that somebody chose.
    pub async fn declare_client(&self, id: &str, spec: ClientSpec, secret: &str) -> TestClient {
        let method = spec.authentication;
        let id = ClientId::parse(id).expect("a client_id");
        let declared = self.authority().declare_client(id.clone(), spec, Some(Digest::of(secret)), self.now());
        declared.await.expect("a declared client");
        TestClient { id: id.as_str().to_owned(), secret: Some(secret.to_owned()), method }
    }

    /// Starts a request.
    pub fn call(&self, method: Method, uri: &str) -> Call {
        Call { router: self.router.clone(), request: Request::new(Body::empty()) }.method(method).uri(uri)
    }

    /// `GET`, without anything.
    pub async fn get(&self, uri: &str) -> Answer {
        self.call(Method::GET, uri).send().await
    }

    /// `POST` of a form, without anything else.
    pub async fn post(&self, uri: &str, form: impl Into<Parameters>) -> Answer {
        self.call(Method::POST, uri).form(form).send().await
    }

    /// `POST` of JSON, without anything else.
    pub async fn post_json(&self, uri: &str, body: &serde_json::Value) -> Answer {
        self.call(Method::POST, uri).json(body).send().await
    }

    /// Registers a client (RFC 7591).
    pub async fn register(&self, metadata: &serde_json::Value) -> Answer {
        self.post_json(path::REGISTER, metadata).await
    }

    /// A token request of a client that authenticates by its registered method.
    pub async fn token(&self, client: &TestClient, form: impl Into<Parameters>) -> Answer {
        self.post_as(client, path::TOKEN, form).await
    }

    /// A form of a client that authenticates by its registered method.
    pub async fn post_as(&self, client: &TestClient, uri: &str, form: impl Into<Parameters>) -> Answer {
        self.call(Method::POST, uri).form_as(client, form).send().await
    }

    /// Redeems a code with [`VERIFIER`].
    pub async fn redeem(&self, client: &TestClient, code: &str) -> Answer {
        self.token(client, Parameters::redeem(code)).await
    }

    /// Uses a refresh token.
    pub async fn refresh(&self, client: &TestClient, refresh_token: &str) -> Answer {
        self.token(client, Parameters::refresh(refresh_token)).await
    }

    /// What introspection says of a token.
    pub async fn introspect(&self, caller: &TestClient, token: &str) -> serde_json::Value {
        let answer = self.post_as(caller, path::INTROSPECT, [("token", token)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    }

    /// A human with an empty cookie jar.
    pub fn visitor(&self) -> Visitor {
        Visitor { server: self.clone(), cookie: None }
    }

    /// A code for [`USERNAME`], by login and consent in a fresh browser.
    pub async fn code(&self, query: &Parameters) -> String {
        self.visitor().code(query).await
    }

    /// The tokens of a fresh code, as the token endpoint answers.
    pub async fn tokens(&self, client: &TestClient) -> serde_json::Value {
        let code = self.code(&Parameters::authorize(client)).await;
        let answer = self.redeem(client, &code).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    }
}

/// A registered client, and what it knows.
#[derive(Debug, Clone)]
pub struct TestClient {
    pub id: String,
    pub secret: Option<String>,
    pub method: AuthenticationMethod,
}

impl TestClient {
    /// From the answer to a registration.
    pub fn registered(answer: &Answer) -> Self {
        let body = answer.json();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let method = text("token_endpoint_auth_method").and_then(|name| AuthenticationMethod::parse(&name));
        Self {
            id: text("client_id").expect("a client_id"),
            secret: text("client_secret"),
            method: method.expect("an authentication method"),
        }
    }

    /// The secret of a client that has one.
    pub fn secret(&self) -> &str {
        self.secret.as_deref().expect("a client with a secret")
    }
}

/// A public client of humans, with codes to [`REDIRECT`] and refresh tokens.
pub fn public_client() -> ClientSpec {
    ClientSpec {
        name: Some("Ada's Notebook".to_owned()),
        authentication: AuthenticationMethod::None,
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        redirect_uris: vec![redirect(REDIRECT)],
        scope: Scope::NONE,
        resources: vec![],
        may_introspect: false,
        jwks: None,
    }
}

/// A worker that acts for itself.
pub fn machine() -> ClientSpec {
    ClientSpec {
        name: Some("worker".to_owned()),
        authentication: AuthenticationMethod::ClientSecretBasic,
        grant_types: vec![GrantType::ClientCredentials],
        redirect_uris: vec![],
        scope: Scope::parse("mcp:read files:read").expect("a scope"),
        ..public_client()
    }
}

/// A resource server that asks about the tokens of `resource`.
pub fn resource_server(resource: &str) -> ClientSpec {
    ClientSpec {
        name: Some("resource server".to_owned()),
        authentication: AuthenticationMethod::ClientSecretBasic,
        grant_types: vec![],
        redirect_uris: vec![],
        resources: vec![ResourceUri::parse(resource).expect("a resource indicator")],
        may_introspect: true,
        ..public_client()
    }
}

/// A redirect URI that may be registered.
pub fn redirect(uri: &str) -> RedirectUri {
    RedirectUri::parse(uri).expect("a redirect URI")
}

/// Names and values in order, as a query or a form has them.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// A complete authorization request.
    pub fn authorize(client: &TestClient) -> Self {
        Self::from([
            ("response_type", "code"),
            ("client_id", &client.id),
            ("redirect_uri", REDIRECT),
            ("state", STATE),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ])
    }

    /// A code exchange, without client authentication.
    pub fn redeem(code: &str) -> Self {
        Self::from([("grant_type", "authorization_code"), ("code", code), ("code_verifier", VERIFIER)])
    }

    /// A refresh, without client authentication.
    pub fn refresh(refresh_token: &str) -> Self {
        Self::from([("grant_type", "refresh_token"), ("refresh_token", refresh_token)])
    }

    /// Replaces every parameter of that name by one, or adds it.
    #[must_use]
    pub fn set(self, name: &str, value: &str) -> Self {
        self.without(name).add(name, value)
    }

    /// One more parameter.
    #[must_use]
    pub fn add(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a parameter out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// As `application/x-www-form-urlencoded`.
    pub fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Parameters {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}

impl From<&Self> for Parameters {
    fn from(parameters: &Self) -> Self {
        parameters.clone()
    }
}

/// A request that has not been sent yet.
#[derive(Debug)]
pub struct Call {
    router: Router,
    request: Request<Body>,
}

impl Call {
    fn method(mut self, method: Method) -> Self {
        *self.request.method_mut() = method;
        self.from("192.0.2.1")
    }

    fn uri(mut self, uri: &str) -> Self {
        *self.request.uri_mut() = uri.parse().unwrap_or_else(|error| panic!("{uri}: {error}"));
        self
    }

    /// The address that it comes from.
    #[must_use]
    pub fn from(mut self, address: &str) -> Self {
        let peer = SocketAddr::new(address.parse().expect("an address"), 49152);
        self.request.extensions_mut().insert(ConnectInfo(peer));
        self
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.request.headers_mut().append(name, HeaderValue::from_bytes(value.as_ref()).expect("a header value"));
        self
    }

    /// A body, whatever it is.
    #[must_use]
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// A form.
    #[must_use]
    pub fn form(self, form: impl Into<Parameters>) -> Self {
        self.raw_form(form.into().encode())
    }

    /// A body that says that it is a form.
    #[must_use]
    pub fn raw_form(self, body: impl Into<Body>) -> Self {
        self.header(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded").body(body)
    }

    /// A form of a client that authenticates by its registered method.
    #[must_use]
    pub fn form_as(self, client: &TestClient, form: impl Into<Parameters>) -> Self {
        let form = form.into();
        match client.method {
            AuthenticationMethod::None => self.form(form.add("client_id", &client.id)),
            AuthenticationMethod::ClientSecretBasic => self.basic(&client.id, client.secret()).form(form),
            AuthenticationMethod::ClientSecretPost => {
                self.form(form.add("client_id", &client.id).add("client_secret", client.secret()))
            }
            AuthenticationMethod::PrivateKeyJwt => panic!("sign an assertion"),
        }
    }

    /// JSON.
    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header(CONTENT_TYPE.as_str(), "application/json").body(body.to_string())
    }

    /// RFC 6749 2.3.1: form-encoded, joined, base64.
    #[must_use]
    pub fn basic(self, id: &str, secret: &str) -> Self {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
        self.header(AUTHORIZATION.as_str(), format!("Basic {pair}"))
    }

    /// A bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {token}"))
    }

    /// Sends it, and waits for the whole answer.
    pub async fn send(self) -> Answer {
        let response = self.router.oneshot(self.request).await.unwrap_or_else(|never| match never {});
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The body as JSON, which its media type promises.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{} {}", self.status, self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A text member of the JSON body.
    pub fn member(&self, name: &str) -> String {
        let body = self.json();
        body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned()
    }

    /// The one value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} appears twice");
        Some(value.to_str().expect("a printable header"))
    }

    /// Where a 303 leads.
    pub fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text());
        self.header(LOCATION.as_str()).expect("a Location")
    }

    /// A parameter in the query of [`Answer::location`].
    pub fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.location().split_once('?')?;
        form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// The sealed request that the page's form carries.
    pub fn sealed(&self) -> &str {
        let marker = r#"name="request" value=""#;
        let (_, rest) = self.text().split_once(marker).unwrap_or_else(|| panic!("no form in {}", self.text()));
        rest.split('"').next().unwrap_or_default()
    }

    /// What a reader of the page sees, with single spaces.
    pub fn visible(&self) -> String {
        let (_, main) = self.text().split_once("<main").unwrap_or_else(|| panic!("no page: {}", self.text()));
        let mut inside = true;
        let mut text = String::new();
        for c in main.chars() {
            match c {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    text.push(' ');
                }
                c if !inside => text.push(c),
                _ => {}
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// A human with a browser: keeps the cookie, follows redirects within this server, and runs no script.
#[derive(Debug, Clone)]
pub struct Visitor {
    server: TestServer,
    /// `name=value`.
    pub cookie: Option<String>,
}

impl Visitor {
    /// Starts a request with the cookie.
    pub fn call(&self, method: Method, uri: &str) -> Call {
        let call = self.server.call(method, uri);
        match &self.cookie {
            Some(cookie) => call.header(COOKIE.as_str(), cookie),
            None => call,
        }
    }

    /// Sends a request and keeps the cookie that comes back.
    pub async fn send(&mut self, call: Call) -> Answer {
        let answer = call.send().await;
        if let Some(set) = answer.header(SET_COOKIE.as_str()) {
            self.cookie = set.split(';').next().map(str::to_owned);
        }
        answer
    }

    /// Opens a page.
    pub async fn get(&mut self, uri: &str) -> Answer {
        self.send(self.call(Method::GET, uri)).await
    }

    /// Sends a form.
    pub async fn post(&mut self, uri: &str, form: impl Into<Parameters>) -> Answer {
        self.send(self.call(Method::POST, uri).form(form)).await
    }

    /// Follows the link to the authorization endpoint.
    pub async fn authorize(&mut self, query: &Parameters) -> Answer {
        let uri = format!("{}?{}", self.at(path::AUTHORIZE), query.encode());
        self.get(&uri).await
    }

    /// Fills in the login page, and goes on to the page after it.
    pub async fn log_in(&mut self, page: &Answer) -> Answer {
        let answer = self.log_in_as(page, USERNAME, PASSWORD).await;
        let next = answer.location().to_owned();
        self.get(&next).await
    }

    /// Fills in the login page.
    pub async fn log_in_as(&mut self, page: &Answer, username: &str, password: &str) -> Answer {
        let form = [("request", page.sealed()), ("username", username), ("password", password)];
        self.post(&self.at(path::LOGIN), form).await
    }

    /// Answers the consent page: `approve` or `deny`.
    pub async fn decide(&mut self, page: &Answer, decision: &str) -> Answer {
        self.post(&self.at(path::CONSENT), [("request", page.sealed()), ("decision", decision)]).await
    }

    /// From the link to the answer that goes back to the client: logs in and approves, where asked.
    pub async fn approve(&mut self, query: &Parameters) -> Answer {
        let mut answer = self.authorize(query).await;
        if answer.status == StatusCode::OK && answer.text().contains(r#"name="password""#) {
            answer = self.log_in(&answer).await;
        }
        if answer.status == StatusCode::OK { self.decide(&answer, "approve").await } else { answer }
    }

    /// The code that [`Visitor::approve`] leads to.
    pub async fn code(&mut self, query: &Parameters) -> String {
        let answer = self.approve(query).await;
        answer.parameter("code").unwrap_or_else(|| panic!("no code: {}", answer.location()))
    }

    fn at(&self, below: &str) -> String {
        format!("{}{below}", self.server.authority().issuer.path())
    }
}
