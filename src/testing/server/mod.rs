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
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod call;
mod client;
mod policy;
mod visitor;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::{Method, StatusCode};

pub use self::{
    call::{Answer, Call, Parameters},
    client::{TestClient, machine, public_client, redirect, resource_server},
    policy::{policy, resource},
    visitor::Visitor,
};
use super::{clock::ManualClock, entropy::SeededEntropy};
use crate::{
    adapter::{
        assertion::JwtAssertionVerifier,
        audit::{CountedTrail, Trail},
        keyring::Keyring,
        master_key::MasterKey,
        password::Argon2Hasher,
        sealer::MasterSealer,
    },
    domain::{
        account::{User, Username},
        audit::{self, Run},
        credential::Digest,
        identifier::ClientId,
        issuer::Issuer,
        policy::Policy,
        resource::{Resource, Resources, TokenFormat},
        time::Timestamp,
    },
    http::{App, HttpOptions, Routes, path, router},
    metrics::Metrics,
    port::{clock::Clock, entropy::Entropy, store::Page},
    protocol::{jose::Algorithm, secret::Secret},
    service::{Authority, IssuedCopies, administer_clients::ClientSpec},
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

/// As in a configuration that does not say.
const ISSUED_COPIES: u64 = 10_000;

/// The next run that writes to an audit trail.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// What an operator says before the server starts.
#[derive(Debug)]
pub struct Builder {
    issuer: String,
    policy: Policy,
    options: HttpOptions,
    token_secret: Option<Secret>,
    stores: Stores,
    issued_copies: u64,
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

    /// How many codes and refresh tokens the server remembers that it issues.
    #[must_use]
    pub fn issued_copies(self, issued_copies: u64) -> Self {
        Self { issued_copies, ..self }
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
        let mut metrics = Metrics::default();
        let stores = self.stores.measured(&mut metrics);
        let keyring =
            Keyring::load(stores.keys.clone(), sealer.clone(), policy.keys.clone(), self.token_secret.as_ref());
        let keyring = Arc::new(keyring.await.expect("a keyring"));
        keyring.maintain(clock.now()).await.expect("signing keys");
        // From no chance, so that the sequence which tests rely on stays as it is.
        let run = Run::from_entropy(u128::from(RUNS.fetch_add(1, Ordering::Relaxed)).to_be_bytes());
        let trail = Trail::start(stores.audit.clone(), clock.clone(), run, "test", Vec::new());
        let copies = Arc::new(IssuedCopies::new(self.issued_copies, &policy.lifetimes));
        let authority = Authority {
            issuer: Issuer::parse(&self.issuer).expect("an issuer"),
            policy,
            clients: stores.clients.clone(),
            tokens: stores.tokens.clone(),
            copies,
            accounts: stores.accounts.clone(),
            keys: stores.keys.clone(),
            audit: stores.audit.clone(),
            trail: Arc::new(CountedTrail::new(trail.clone(), &mut metrics)),
            signer: keyring.clone(),
            assertions: Arc::new(JwtAssertionVerifier),
            sealer,
            passwords: Arc::new(Argon2Hasher::new(4, entropy.clone()).expect("a hasher")),
            entropy,
        };
        let app = App::new(authority, clock.clone(), self.options);
        app.measure(&mut metrics);
        TestServer { router: router(&app), app, clock, stores, keyring, trail, metrics: Arc::new(metrics) }
    }
}

/// A server in this process. Clones are the same server.
#[derive(Clone)]
pub struct TestServer {
    pub app: App,
    pub clock: Arc<ManualClock>,
    pub stores: Stores,
    pub keyring: Arc<Keyring>,
    pub trail: Arc<Trail>,
    pub metrics: Arc<Metrics>,
    router: Routes,
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
            issued_copies: ISSUED_COPIES,
            seed: 1,
        }
    }

    /// A server with the defaults and the user [`USERNAME`].
    pub async fn start() -> Self {
        Self::builder().start().await.with_user().await
    }

    /// Another instance: the same stores, keys, time and chance, and no memory of what this one issued.
    #[must_use]
    pub fn beside(&self) -> Self {
        let here = self.authority();
        let copies = Arc::new(IssuedCopies::new(ISSUED_COPIES, &here.policy.lifetimes));
        let app = App::new(Authority { copies, ..here.clone() }, self.clock.clone(), HttpOptions::default());
        Self { router: router(&app), app, ..self.clone() }
    }

    /// What an operator who starts the server again makes of it, e.g. with another policy: the same stores, master key and
    /// time. Chance repeats itself, so names that this server draws may be taken already.
    pub async fn again(&self, builder: Builder) -> Self {
        let after = Builder { stores: self.stores.clone(), ..builder }.start().await;
        after.clock.advance(self.now().since(after.now()));
        after
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

    /// What the audit trail says, the oldest first.
    pub async fn audited(&self) -> Vec<audit::Entry> {
        assert!(self.trail.flush().await, "the audit trail could not be written");
        let page = Page { after: None, limit: 10_000 };
        let mut entries = self.stores.audit.list(&audit::Filter::default(), page).await.expect("the audit trail");
        entries.reverse();
        entries
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
        Call::new(self.router.clone(), method, uri)
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
        Visitor::new(self.clone())
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
