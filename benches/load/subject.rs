//! What is measured: the server as `gateward serve` puts it together, with threads, a listener and stores of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use gateward::{
    adapter::{
        assertion::JwtAssertionVerifier, audit::Trail, entropy::OsEntropy, keyring::Keyring, master_key::MasterKey,
        password::Argon2Hasher, sealer::MasterSealer,
    },
    domain::{
        account::Username,
        audit::Run,
        code::NewCode,
        credential::AuthorizationCode,
        grant::Grant,
        identifier::{ClientId, GrantId, UserId},
        issuer::Issuer,
        pkce::CodeChallenge,
        redirect::{MatchedRedirect, RedirectUri},
        resource::ResourceUri,
        scope::Scope,
        time::Timestamp,
    },
    http::{
        App, HttpOptions, router,
        serve::{Drained, ServeOptions, serve},
    },
    port::{clock::Clock, entropy::Entropy},
    protocol::{jose::Algorithm, secret::Secret},
    resource::SystemClock,
    service::{Authority, administer_clients::ClientSpec},
    store::{Migrations, StoreUrls, Stores},
    testing::server::{
        CHALLENGE, ISSUER, OPAQUE_RESOURCE, PASSWORD, REDIRECT, RESOURCE, USERNAME, machine, policy, public_client,
        resource_server,
    },
};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinHandle};

use crate::generator::CONNECTIONS;

/// As in `config/default.toml`.
const CLIENT_COPIES: Duration = Duration::from_secs(5);

/// Longer than any run, so that every code that was put into the store can be redeemed.
const CODE_LIFETIME: Duration = Duration::from_secs(3600);

/// The public client of a human.
pub(crate) const APP: &str = "app";

/// `Authorization` headers of the confidential clients.
pub(crate) struct Callers {
    pub(crate) worker: String,
    /// May ask about tokens for the resource with JWTs.
    pub(crate) resource_server: String,
    /// May ask about tokens for the resource with opaque tokens.
    pub(crate) opaque_resource_server: String,
}

/// A running server.
pub(crate) struct Subject {
    pub(crate) address: SocketAddr,
    pub(crate) callers: Callers,
    runtime: Runtime,
    authority: Authority,
    stores: Stores,
    user: UserId,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Drained>,
}

impl Subject {
    /// Starts one on fresh stores, with a human and clients. Says why if a store cannot be opened.
    pub(crate) fn start(urls: &StoreUrls) -> Result<Self, String> {
        Self::start_on(tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap(), urls, router)
    }

    /// The same with threads and routes of somebody else's choice.
    pub(crate) fn start_on(
        runtime: Runtime,
        urls: &StoreUrls,
        routes: impl FnOnce(&App) -> Router,
    ) -> Result<Self, String> {
        let stores = runtime.block_on(Stores::open_each(urls, Migrations::Run)).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{error}{cause}")
        })?;
        let stores = stores.with_client_copies(CLIENT_COPIES);
        let (authority, user, callers) = runtime.block_on(compose(&stores));
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let app = App::new(authority.clone(), Arc::new(SystemClock), HttpOptions::default());
        let options = ServeOptions { grace: Duration::from_secs(5), ..ServeOptions::default() };
        let (stop, stopped) = oneshot::channel();
        let routes = routes(&app);
        let serving = runtime.spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            serve(&app, routes, vec![listener], options, stopped).await
        });
        for mut feed in stores.watch() {
            let stores = stores.clone();
            runtime.spawn(async move {
                loop {
                    stores.note(&feed.next().await);
                }
            });
        }
        Ok(Self { address, callers, runtime, authority, stores, user, stop, serving })
    }

    /// Puts codes into the store as a consent does, each with a grant of its own.
    pub(crate) fn open_grants(&self, count: usize) -> Vec<String> {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|task| {
                let share = count / CONNECTIONS + usize::from(task < count % CONNECTIONS);
                let (authority, user) = (self.authority.clone(), self.user.clone());
                self.runtime.spawn(async move {
                    let mut codes = Vec::with_capacity(share);
                    for _ in 0..share {
                        codes.push(open_grant(&authority, &user).await);
                    }
                    codes
                })
            })
            .collect();
        let join = async {
            let mut codes = Vec::with_capacity(count);
            for task in tasks {
                codes.extend(task.await.unwrap());
            }
            codes
        };
        self.runtime.block_on(join)
    }

    /// Ends it in order.
    pub(crate) fn stop(self) {
        let Self { runtime, stores, stop, serving, .. } = self;
        stop.send(()).expect("it still serves");
        let drained = runtime.block_on(serving).unwrap();
        assert_eq!(drained, Drained::Completely, "every connection was given up before");
        runtime.block_on(stores.close());
        runtime.shutdown_timeout(Duration::from_secs(5));
    }
}

/// What `gateward serve` makes from its configuration; the policy is that of the tests, which is that of the defaults.
async fn compose(stores: &Stores) -> (Authority, UserId, Callers) {
    let now = SystemClock.now();
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new().unwrap());
    let sealer = Arc::new(MasterSealer::new(&MasterKey::generate(&*entropy), entropy.clone()));
    let mut policy = policy();
    policy.keys.algorithms = vec![Algorithm::ES256];
    let keyring = Keyring::load(stores.keys.clone(), sealer.clone(), policy.keys.clone(), None).await.unwrap();
    keyring.maintain(now).await.unwrap();
    let clock = Arc::new(SystemClock);
    let trail = Trail::start(stores.audit.clone(), clock, Run::from_entropy(entropy.name()), "bench", Vec::new());
    let authority = Authority {
        issuer: Issuer::parse(ISSUER).unwrap(),
        policy: Arc::new(policy),
        clients: stores.clients.clone(),
        tokens: stores.tokens.clone(),
        accounts: stores.accounts.clone(),
        keys: stores.keys.clone(),
        audit: stores.audit.clone(),
        trail,
        signer: Arc::new(keyring),
        assertions: Arc::new(JwtAssertionVerifier),
        sealer,
        passwords: Arc::new(Argon2Hasher::new(1, entropy.clone()).unwrap()),
        entropy,
    };
    let name = Username::parse(USERNAME).unwrap();
    let user = authority.create_user(name, Secret::new(PASSWORD), now).await.unwrap();
    add_client(&authority, APP, public_client(), now).await;
    let callers = Callers {
        worker: add_client(&authority, "worker", machine(), now).await,
        resource_server: add_client(&authority, "mcp", resource_server(RESOURCE), now).await,
        opaque_resource_server: add_client(&authority, "files", resource_server(OPAQUE_RESOURCE), now).await,
    };
    (authority, user.id, callers)
}

/// Adds a client; its `Authorization` header.
async fn add_client(authority: &Authority, id: &str, spec: ClientSpec, now: Timestamp) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let made = authority.create_client(Some(ClientId::parse(id).unwrap()), spec, now).await.unwrap();
    let secret = made.secret.as_ref().map(|secret| secret.expose()).unwrap_or_default();
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

async fn open_grant(authority: &Authority, user: &UserId) -> String {
    let now = SystemClock.now();
    let code = authority.entropy.credential::<AuthorizationCode>();
    let grant = Grant {
        id: GrantId::from_entropy(authority.entropy.name()),
        client_id: ClientId::parse(APP).unwrap(),
        user_id: user.clone(),
        scope: Scope::parse("mcp:read").unwrap(),
        resources: vec![ResourceUri::parse(RESOURCE).unwrap()],
        auth_time: now,
        created_at: now,
        expires_at: now.plus(CODE_LIFETIME),
        revocation: None,
    };
    let new = NewCode {
        digest: code.digest(),
        redirect: MatchedRedirect::restore(RedirectUri::parse(REDIRECT).unwrap()),
        challenge: CodeChallenge::parse(Some(CHALLENGE), Some("S256")).unwrap(),
        expires_at: now.plus(CODE_LIFETIME),
    };
    authority.tokens.open_grant(&grant, &new).await.unwrap();
    code.expose().to_owned()
}
