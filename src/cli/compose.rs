//! The composition root: from a configuration to an [`Authority`] with real stores, keys and clocks behind it.

use std::{path::Path, sync::Arc, time::Duration};

use super::{failure::Failure, instance};
use crate::{
    adapter::{
        assertion::JwtAssertionVerifier,
        audit::{CountedTrail, Trail},
        entropy::OsEntropy,
        keyring::Keyring,
        master_key::{MasterKey, MasterKeyError},
        password::Argon2Hasher,
        sealer::MasterSealer,
    },
    config::{self, Config, StoreUrl},
    domain::{
        audit::{Action, Event, Outcome, Reason},
        time::Timestamp,
    },
    metrics::Metrics,
    port::{audit::AuditTrail, clock::Clock, entropy::Entropy, store::Family},
    resource::SystemClock,
    service::{Authority, IssuedCopies},
    store::{Migrations, NotOpened, StoreUrls, Stores, check_url},
};

/// How long the store of the audit trail may take for what is left; the rest goes to the log.
pub(super) const TRAIL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the stores may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that runs.
pub(super) struct Assembly {
    pub(super) config: Config,
    pub(super) authority: Authority,
    pub(super) keyring: Arc<Keyring>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stores: Stores,
    pub(super) trail: Arc<Trail>,
    pub(super) passwords: Arc<Argon2Hasher>,
    /// If somebody is to read them.
    pub(super) metrics: Option<Metrics>,
}

impl Assembly {
    /// Opens the stores and the keys that the configuration names. `instance` writes to the audit trail.
    pub(super) async fn open(config: Config, instance: &str) -> Result<Self, Failure> {
        check_stores(&config)?;
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new().map_err(|error| Failure::failed(&error))?);
        let master = master_key(&config, &*entropy)?;
        let sealer = Arc::new(MasterSealer::new(&master, entropy.clone()));
        let stores = open_stores(&config, Migrations::Run).await?;
        let mut metrics = config.metrics.listen.map(|_| Metrics::default());
        let stores = match &mut metrics {
            Some(metrics) => stores.measured(metrics),
            None => stores,
        };
        let stores =
            stores.with_client_copies(config.stores.client_copies).with_account_copies(config.stores.account_copies);
        let policy = Arc::new(config.policy());
        let secret = config.keys.token_secret.as_ref();
        let keyring = Keyring::load(stores.keys.clone(), sealer.clone(), policy.keys.clone(), secret).await?;
        let keyring = Arc::new(keyring);
        let passwords = Argon2Hasher::new(config.password_hash_concurrency, entropy.clone())
            .map_err(|error| Failure::failed(&error))?;
        let passwords = Arc::new(passwords);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let leave_out = config.audit.leave_out.clone();
        let trail = Trail::start(stores.audit.clone(), clock.clone(), instance::run(&*entropy), instance, leave_out);
        let events: Arc<dyn AuditTrail> = match &mut metrics {
            Some(metrics) => Arc::new(CountedTrail::new(trail.clone(), metrics)),
            None => trail.clone(),
        };
        // The memory store is as near as a copy.
        let issued_copies = if config.stores.tokens.is_memory() { 0 } else { config.stores.issued_copies };
        let copies = Arc::new(IssuedCopies::new(issued_copies, &policy.lifetimes));
        let authority = Authority {
            issuer: config.issuer.clone(),
            policy,
            clients: stores.clients.clone(),
            tokens: stores.tokens.clone(),
            copies,
            accounts: stores.accounts.clone(),
            keys: stores.keys.clone(),
            audit: stores.audit.clone(),
            trail: events,
            signer: keyring.clone(),
            assertions: Arc::new(JwtAssertionVerifier),
            sealer,
            passwords: passwords.clone(),
            entropy,
        };
        Ok(Self { config, authority, keyring, clock, stores, trail, passwords, metrics })
    }

    /// Notes in the audit trail what an operator did; `about` says to whom.
    pub(super) fn by_operator(&self, action: Action, about: impl FnOnce(Event) -> Event) {
        self.authority.record(about(by_operator(self.now(), action)));
    }

    /// Writes the audit trail to its end, then closes the stores. A store that is stuck does not hold the process.
    pub(super) async fn close(&self) -> bool {
        self.trail.close(TRAIL_TIMEOUT).await;
        tokio::time::timeout(CLOSE_TIMEOUT, self.stores.close()).await.is_ok()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

const fn by_operator(now: Timestamp, action: Action) -> Event {
    Event::new(now, action, Outcome::Success, Some(Reason::ByOperator))
}

/// The way into the audit trail for a command that needs no more than the stores, and perhaps has no master key.
pub(super) struct CommandTrail(Arc<Trail>);

impl CommandTrail {
    pub(super) fn start(stores: &Stores) -> Result<Self, Failure> {
        let entropy = OsEntropy::new().map_err(|error| Failure::failed(&error))?;
        let clock = Arc::new(SystemClock);
        Ok(Self(Trail::start(
            stores.audit.clone(),
            clock,
            instance::run(&entropy),
            &instance::of_command(),
            Vec::new(),
        )))
    }

    /// Notes what an operator did; `about` says to whom.
    pub(super) fn by_operator(&self, action: Action, about: impl FnOnce(Event) -> Event) {
        self.0.record(about(by_operator(SystemClock.now(), action)));
    }

    /// Writes it to its end.
    pub(super) async fn close(&self) {
        self.0.close(TRAIL_TIMEOUT).await;
    }
}

/// Refuses what production does not accept.
pub(super) fn refuse_unsafe(config: &Config, saying: &str) -> Result<(), Failure> {
    let found = config.check_safety();
    if found.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = found.iter().map(|one| format!("\n  {one}")).collect();
    Err(Failure::configuration(format!("{saying}:{}", list.concat())))
}

/// Whether every family lives in a store of this build.
pub(super) fn check_stores(config: &Config) -> Result<(), Failure> {
    for (family, url) in config.stores.families() {
        check_url(url.expose()).map_err(|error| {
            Failure::configuration(format!(
                "{}: {error} (see [stores]; DATABASE_URL and REDIS_URL set it too)",
                which(family, url)
            ))
        })?;
    }
    Ok(())
}

/// Opens the stores; `migrations` says what becomes of schemas that are older than this program.
pub(super) async fn open_stores(config: &Config, migrations: Migrations) -> Result<Stores, Failure> {
    let [clients, tokens, accounts, keys, audit] =
        config.stores.families().map(|(_, url)| Some(url.expose().to_owned()));
    let urls = StoreUrls { default: String::new(), clients, tokens, accounts, keys, audit };
    Stores::open_each(&urls, migrations).await.map_err(|NotOpened { family, error }| {
        let url = match family {
            Family::Clients => &config.stores.clients,
            Family::Tokens => &config.stores.tokens,
            Family::Accounts => &config.stores.accounts,
            Family::Keys => &config.stores.keys,
            Family::Audit => &config.stores.audit,
        };
        Failure::store(which(family.as_str(), url), &error)
    })
}

/// The store of a family, for people; without its password.
pub(super) fn which(family: &str, url: &StoreUrl) -> String {
    format!("the store of {family}, {url}")
}

fn master_key(config: &Config, entropy: &dyn Entropy) -> Result<MasterKey, Failure> {
    match &config.keys.master_key {
        config::MasterKey::File(path) => Ok(MasterKey::read(path)?),
        config::MasterKey::Environment { name, secret } => MasterKey::parse(secret.expose())
            .map_err(|error| Failure::configuration(format!("the environment variable {name}: {error}"))),
        config::MasterKey::Generate(path) => read_or_generate(path, entropy),
        config::MasterKey::Missing => Err(Failure::configuration(
            "keys.master_key is not set, so nothing can be sealed. Make one with `gateward key generate-master FILE` and set \
             keys.master_key = \"file:FILE\".",
        )),
    }
}

/// Development mode: the first start makes the key.
fn read_or_generate(path: &Path, entropy: &dyn Entropy) -> Result<MasterKey, Failure> {
    match MasterKey::read(path) {
        Err(MasterKeyError::Missing { .. }) => {
            if let Some(directory) = path.parent() {
                private_directory(directory)?;
            }
            match MasterKey::generate(entropy).create(path, entropy) {
                // Another process was first: its key is the key.
                Ok(()) | Err(MasterKeyError::Exists { .. }) => Ok(MasterKey::read(path)?),
                Err(error) => Err(error.into()),
            }
        }
        other => Ok(other?),
    }
}

/// Makes a directory for its owner only, unless it is there.
pub(super) fn private_directory(path: &Path) -> Result<(), Failure> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|error| Failure::configuration(format!("cannot make the directory {}: {error}", path.display())))
}
