//! What the operator decides.
//!
//! One TOML file and the environment, laid over `config/default.toml`, which is compiled in: it names every setting, so whatever
//! it does not name is unknown and refused, and it is where defaults come from, so it cannot lie. Every section has a file here
//! that turns it into types of the domain; nothing below this room reads a setting as text.
//!
//! ```text
//! default.toml < the operator's file < environment     layers, environment: one tree, each value with its origin
//!   -> sections                                        reader: types, and every problem with its place
//!   -> Config                                          policy() for the rules, check_safety() for production
//! ```

mod audit;
mod changes;
mod clients;
mod declaration;
mod document;
mod duration;
mod environment;
mod gateway;
mod guarded;
mod keys;
mod layers;
mod lifetimes;
mod limits;
mod load;
mod log;
mod login;
mod metrics;
mod problem;
mod reader;
mod registration;
mod resources;
mod safety;
mod secret;
mod server;
mod show;
mod stores;
#[cfg(test)]
mod tests;
mod tls;
mod traces;
mod upstream;
mod users;

use std::{
    cell::RefCell,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use changes::Fingerprints;
use environment::Environment;
use reader::{Context, Reader};

pub use self::{
    audit::Audit,
    clients::ClientSpec,
    declaration::{ClientDeclaration, UserDeclaration, declare_clients, declare_users},
    gateway::Gateway,
    keys::{Keys, MasterKey},
    limits::{Limits, Rates},
    load::{load, process_environment},
    log::{Log, LogFormat},
    metrics::Metrics,
    problem::{Place, Problem, Problems},
    registration::RegistrationRate,
    safety::Unsafe,
    server::Server,
    stores::{StoreUrl, Stores},
    tls::Tls,
    traces::Traces,
    users::{StaticPassword, UserSpec},
};
use crate::{
    domain::{
        guarded::GuardedResource,
        issuer::Issuer,
        key::KeySchedule,
        policy::{
            CLOCK_SKEW, ClientLockoutPolicy, ConsentPolicy, KeyPolicy, Lifetimes, LoginPolicy, Policy,
            RegistrationPolicy,
        },
        resource::{Resources, TokenFormat},
    },
    protocol::jose::Algorithm,
};

/// Reads a duration as people write it: `90s`, `15m`, `12h`, `7d`.
///
/// # Errors
///
/// What is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(str::to_owned)
}

/// Every setting with its default and a comment: the source of the defaults.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");
/// What takes the place of the operator's file in development.
pub const DEVELOPMENT: &str = include_str!("../../config/development.toml");

/// What the server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing unsafe is accepted.
    Production,
    /// For the operator's own machine.
    Development,
}

/// The effective configuration, judged.
pub struct Config {
    pub mode: Mode,
    pub issuer: Issuer,
    /// Where the embedded store and a generated master key live.
    pub data_directory: PathBuf,
    pub server: Server,
    /// `None` for plain http.
    pub tls: Option<Tls>,
    pub stores: Stores,
    pub keys: Keys,
    pub lifetimes: Lifetimes,
    pub registration: RegistrationPolicy,
    pub registration_rate: RegistrationRate,
    pub login: LoginPolicy,
    /// How many passwords are hashed at the same time.
    pub password_hash_concurrency: usize,
    pub consent: ConsentPolicy,
    /// How often somebody may ask.
    pub limits: Limits,
    pub client_lockout: ClientLockoutPolicy,
    pub log: Log,
    pub metrics: Metrics,
    pub traces: Traces,
    /// What is kept of what happened.
    pub audit: Audit,
    /// How requests cross to the MCP servers behind.
    pub gateway: Gateway,
    pub resources: Resources,
    /// What requests to each of the resources need, in the same order.
    pub guarded: Vec<GuardedResource>,
    /// Clients that follow the configuration at every start.
    pub clients: Vec<ClientSpec>,
    /// Humans that follow the configuration at every start.
    pub users: Vec<UserSpec>,
    concerns: Vec<Unsafe>,
    shown: String,
    fingerprints: Fingerprints,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A document with the name that messages call it.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

/// What takes the place of the operator's file: the development settings, unless the environment speaks of production.
fn embedded(environment: &Environment) -> Source<'static> {
    let is = |name: &str, test: fn(&str) -> bool| environment.get(name).is_some_and(|text| test(text));
    let production = is("GATEWARD_MODE", |mode| mode == "production")
        || (is("GATEWARD_ISSUER", |issuer| issuer.starts_with("https:"))
            && !is("GATEWARD_MODE", |mode| mode == "development"));
    if production {
        Source { name: "configuration", text: "" }
    } else {
        Source { name: "development.toml", text: DEVELOPMENT }
    }
}

impl Config {
    fn read(
        source: Source<'_>,
        environment: &Environment,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let defaults = document::parse("default.toml", DEFAULTS).map_err(|problem| Problems(vec![problem]))?;
        let given = document::parse(source.name, source.text).map_err(|problem| Problems(vec![problem]))?;
        let mut merged = layers::merge(&defaults, Some(given), source.name, &mut problems);
        environment::overlay(&mut merged, &defaults, environment, &mut problems);
        let context = Context {
            file: source.name,
            environment,
            read_file,
            problems: RefCell::new(problems),
            concerns: RefCell::default(),
            taken: RefCell::default(),
        };
        let config = Self::assemble(&context, &merged);
        let mut problems = context.problems.into_inner();
        match config {
            Some(config) if problems.is_empty() => {
                let shown = show::show(&merged, source.name, config.keys.token_secret.is_some());
                let fingerprints = Fingerprints::of(&merged);
                Ok(Self { concerns: context.concerns.into_inner(), shown, fingerprints, ..config })
            }
            _ => {
                if problems.is_empty() {
                    let message = "a section could not be read".to_owned();
                    problems.push(Problem { place: Place::File(source.name.to_owned()), message });
                }
                problems.sort();
                problems.dedup();
                Err(Problems(problems))
            }
        }
    }

    fn assemble(context: &Context<'_>, merged: &document::Node) -> Option<Self> {
        let root = Reader::root(context, merged);
        let issuer = root.required("issuer", Issuer::parse);
        let mode = root.one_of("mode", &[("production", Mode::Production), ("development", Mode::Development)]);
        let data_directory = root.required("data_directory", |text| Ok::<_, String>(PathBuf::from(text)));
        // Later sections are judged in any case, so that one start names every problem.
        let directory = data_directory.clone().unwrap_or_default();
        let server = root.section("server").and_then(Server::read);
        let tls = root.section("tls").and_then(|section| tls::read(section, issuer.as_ref()));
        let stores = root.section("stores").and_then(|section| Stores::read(section, &directory));
        let keys = root.section("keys").and_then(|section| Keys::read(section, mode, &directory));
        let signing = keys
            .as_ref()
            .map(|keys| resources::Signing { default: keys.algorithm, has_secret: keys.token_secret.is_some() });
        let lifetimes = root.section("lifetimes").and_then(lifetimes::read);
        let resources = resources::read(root, signing);
        let own = guarded::Own { issuer: issuer.as_ref(), listen: server.as_ref().map(|server| &*server.listen) };
        let guarded = guarded::read(root, resources.as_ref(), own);
        let gateway = root.section("gateway").and_then(Gateway::read);
        let registration = root.section("registration").and_then(|s| registration::read(s, resources.as_ref()));
        let login = root.section("login").and_then(login::read);
        let consent = root.section("consent").and_then(login::read_consent);
        let limits = root.section("limits").and_then(|section| limits::read(section, mode));
        let log = root.section("log").and_then(Log::read);
        let traces = root.section("traces").and_then(Traces::read);
        let metrics = root.section("metrics").and_then(Metrics::read);
        let audit = root.section("audit").and_then(Audit::read);
        let clients = clients::read(root, resources.as_ref());
        let users = users::read(root);
        let ((registration, registration_rate), (login, password_hash_concurrency)) = (registration?, login?);
        let (limits, client_lockout) = limits?;
        Some(Self {
            mode: mode?,
            issuer: issuer?,
            data_directory: data_directory?,
            server: server?,
            tls: tls?,
            stores: stores?,
            keys: keys?,
            lifetimes: lifetimes?,
            registration,
            registration_rate,
            login,
            password_hash_concurrency,
            consent: consent?,
            limits,
            client_lockout,
            log: log?,
            metrics: metrics?,
            traces: traces?,
            audit: audit?,
            gateway: gateway?,
            resources: resources?,
            guarded: guarded?,
            clients: clients?,
            users: users?,
            concerns: Vec::new(),
            shown: String::new(),
            fingerprints: Fingerprints::default(),
        })
    }

    /// What the rules take from the configuration.
    pub fn policy(&self) -> Policy {
        let mut algorithms: Vec<Algorithm> = Vec::new();
        for resource in self.resources.iter() {
            match resource.token_format {
                // A shared secret has no key pair: nothing to make, nothing to publish.
                TokenFormat::Jwt(Algorithm::HS256) | TokenFormat::Opaque => {}
                TokenFormat::Jwt(algorithm) if algorithms.contains(&algorithm) => {}
                TokenFormat::Jwt(algorithm) => algorithms.push(algorithm),
            }
        }
        let longest = self.resources.iter().map(|resource| resource.token_lifetime).max().unwrap_or(Duration::ZERO);
        Policy {
            resources: self.resources.clone(),
            lifetimes: self.lifetimes,
            registration: self.registration.clone(),
            login: self.login,
            client_lockout: self.client_lockout,
            consent: self.consent,
            keys: KeyPolicy {
                schedule: KeySchedule {
                    rotation_period: self.keys.rotation_period,
                    publish_ahead: self.keys.publish_ahead,
                    verify_after: longest + CLOCK_SKEW,
                },
                algorithms,
            },
            audit_retention: self.audit.retention,
        }
    }

    /// The effective settings as TOML, each with where it comes from; secrets are hidden.
    pub fn show(&self) -> &str {
        &self.shown
    }
}
