//! What a protected resource is told about itself.

use std::{sync::Arc, time::Duration};

use thiserror::Error;
use tokio::sync::watch;

use super::{
    authorization_server::AuthorizationServer,
    clock::SystemClock,
    introspection::{ClientCredentials, Introspector, REMEMBERED_FOR},
    jwks::KeySource,
    jwt::JwtVerifier,
    layer::ProtectionLayer,
    protection::{Protection, Settings},
    verifier::{TokenVerifier, Verifier},
};
use crate::{
    domain::{
        issuer::{InvalidIssuer, Issuer},
        request_path::{AmbiguousPath, PathPrefix},
        resource::ResourceUri,
        scope::{InvalidScope, Scope},
        scope_rule::{InvalidPattern, Pattern, ScopeRule, ScopeRules},
    },
    port::clock::Clock,
};

/// Why a protected resource cannot be what it was told to be.
#[derive(Debug, Error)]
pub enum InvalidProtection {
    /// Its own URI is none, or has a query.
    #[error("{0:?} is no resource: an absolute http(s) URI without query and fragment is needed")]
    Resource(String),
    /// The issuer is none.
    #[error("the authorization server {0:?}: {1}")]
    Issuer(String, InvalidIssuer),
    /// A scope is none.
    #[error("the scope {0:?}: {1}")]
    Scope(String, InvalidScope),
    /// A path of a rule can be read in two ways.
    #[error("the path {0:?} of a rule: it must begin with a slash, without dots, `//`, `;` or `%2f` ({1})")]
    Path(String, AmbiguousPath),
    /// A rule asks for no scope: what it is about would need nothing.
    #[error("a rule without a scope permits what it seems to protect: name at least one")]
    RuleWithoutScope,
    /// A pattern of a rule is none.
    #[error("the pattern {0:?}: {1}")]
    Pattern(String, InvalidPattern),
    /// TLS cannot be set up.
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// How tokens are verified.
enum Verification {
    Offline,
    Introspection(ClientCredentials),
    Both(ClientCredentials, String),
    Other(Arc<dyn TokenVerifier>),
}

/// A protected resource (RFC 9728): where it lives, who issues tokens for it, and what its requests need.
///
/// Without another word every request needs a JWT for this resource, which is verified offline.
///
/// ```
/// use gateward::resource::ProtectedResource;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let protection = ProtectedResource::new("https://mcp.example.com/mcp", "https://auth.example.com")
///     .scope("mcp:read")
///     .tool("launch-specialist", "mcp:execute")
///     .layer()?;
/// # Ok(()) }
/// ```
pub struct ProtectedResource {
    uri: String,
    issuer: String,
    name: Option<String>,
    rules: Result<ScopeRules, InvalidProtection>,
    also_supported: Scope,
    verification: Verification,
    introspection_cache: Duration,
    http: Option<reqwest::Client>,
    trusts_mcp_headers: bool,
    message_limit: usize,
    message_timeout: Duration,
    recheck: Duration,
    clock: Arc<dyn Clock>,
    closing: Option<watch::Receiver<bool>>,
}

impl ProtectedResource {
    /// A resource, by the URI that clients call it by, and the issuer of its tokens.
    ///
    /// Both as the authorization server knows them: the `uri` of a `[[resources]]`, and its `issuer`. A mistake in either shows when the
    /// first token is refused.
    pub fn new(uri: impl Into<String>, authorization_server: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            issuer: authorization_server.into(),
            name: None,
            rules: Ok(ScopeRules::default()),
            also_supported: Scope::none(),
            verification: Verification::Offline,
            introspection_cache: REMEMBERED_FOR,
            http: None,
            trusts_mcp_headers: false,
            message_limit: 4 * 1024 * 1024,
            message_timeout: Duration::from_secs(10),
            recheck: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
            closing: None,
        }
    }

    /// What humans call it: `resource_name` in its metadata.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// What every request needs, as scopes separated by spaces.
    #[must_use]
    pub fn scope(self, scope: &str) -> Self {
        self.change(|rules| {
            rules.base = rules.base.union(&parse_scope(scope)?);
            Ok(())
        })
    }

    /// What a path and everything below it need beside that.
    #[must_use]
    pub fn path(self, prefix: &str, scope: &str) -> Self {
        self.rule(scope, || {
            let path = PathPrefix::parse(prefix).map_err(|error| InvalidProtection::Path(prefix.to_owned(), error))?;
            Ok(ScopeRule { path: Some(path), ..ScopeRule::default() })
        })
    }

    /// What an HTTP method needs beside that.
    #[must_use]
    pub fn method(self, method: &http::Method, scope: &str) -> Self {
        self.rule(scope, || Ok(ScopeRule { methods: vec![method.as_str().into()], ..ScopeRule::default() }))
    }

    /// What calling a tool needs beside that. A star at the end stands for anything: `launch-*`. To know what is called, bodies
    /// of requests are read from then on, at every path, and refused if they are no JSON-RPC.
    #[must_use]
    pub fn tool(self, name: &str, scope: &str) -> Self {
        self.mcp("tools/call", name, scope)
    }

    /// What an MCP method about something of this name (a tool, a prompt, the URI of a resource) needs beside that. A star at the
    /// end stands for anything; a name that is only a star, for methods without a name too.
    #[must_use]
    pub fn mcp(self, method: &str, name: &str, scope: &str) -> Self {
        self.rule(scope, || {
            let pattern =
                |text: &str| Pattern::parse(text).map_err(|error| InvalidProtection::Pattern(text.to_owned(), error));
            let mcp_name = if name == "*" { None } else { Some(pattern(name)?) };
            Ok(ScopeRule { mcp_method: Some(pattern(method)?), mcp_name, ..ScopeRule::default() })
        })
    }

    /// Rules from elsewhere, instead of those so far.
    #[must_use]
    pub fn rules(self, rules: ScopeRules) -> Self {
        Self { rules: Ok(rules), ..self }
    }

    /// Scopes that the resource knows and no rule names, for its metadata.
    #[must_use]
    pub fn also_supports(self, scope: Scope) -> Self {
        Self { also_supported: scope, ..self }
    }

    /// Asks the authorization server about every token, instead of looking at its signature: opaque tokens work, and a revocation
    /// counts as soon as the answer before it is forgotten.
    #[must_use]
    pub fn introspection(self, credentials: ClientCredentials) -> Self {
        Self { verification: Verification::Introspection(credentials), ..self }
    }

    /// Looks at signatures where there is one, asks about opaque tokens, and does both for requests that need one of the `sensitive`
    /// scopes: `mcp:*` for all of its kind. Answers are remembered here too; see [`introspection_cache`](Self::introspection_cache).
    #[must_use]
    pub fn offline_and_introspection(self, credentials: ClientCredentials, sensitive: &str) -> Self {
        Self { verification: Verification::Both(credentials, sensitive.to_owned()), ..self }
    }

    /// Verifies in a way of its own.
    #[must_use]
    pub fn verifier(self, verifier: Arc<dyn TokenVerifier>) -> Self {
        Self { verification: Verification::Other(verifier), ..self }
    }

    /// How long an answer about a token is remembered: 5 s unless set; zero for not at all, so that each request asks for itself.
    #[must_use]
    pub fn introspection_cache(self, longest: Duration) -> Self {
        Self { introspection_cache: longest, ..self }
    }

    /// The HTTP client for the authorization server, for instance with an authority of your own. It should follow no redirects.
    #[must_use]
    pub fn http_client(self, http: reqwest::Client) -> Self {
        Self { http: Some(http), ..self }
    }

    /// Believes `Mcp-Method` and `Mcp-Name` of clients since 2026-07-28 without a look at the body.
    ///
    /// Only for a server behind that refuses headers which contradict the body (rmcp does): else whoever may list tools may call
    /// any. Messages of older clients are read in any case.
    #[must_use]
    pub fn trust_mcp_headers(self) -> Self {
        Self { trusts_mcp_headers: true, ..self }
    }

    /// The longest message that is read where a rule depends on what it says, in bytes: 4 MiB unless set.
    #[must_use]
    pub fn message_limit(self, bytes: usize) -> Self {
        Self { message_limit: bytes, ..self }
    }

    /// How long such a message may take to arrive: 10 s unless set.
    #[must_use]
    pub fn message_timeout(self, longest: Duration) -> Self {
        Self { message_timeout: longest, ..self }
    }

    /// How often the token behind an open stream is looked at again: every 5 s unless set; between a second and an hour.
    #[must_use]
    pub fn recheck(self, period: Duration) -> Self {
        Self { recheck: period, ..self }
    }

    /// Tells the time; for tests.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Ends open streams when the value turns true, so that an orderly end need not wait for them.
    #[must_use]
    pub fn closing(self, closing: watch::Receiver<bool>) -> Self {
        Self { closing: Some(closing), ..self }
    }

    /// The layer. Nothing is fetched before the first token.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense.
    pub fn layer(self) -> Result<ProtectionLayer, InvalidProtection> {
        Ok(ProtectionLayer::new(self.protection()?))
    }

    /// The judgement alone, for those who answer requests in another way.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense.
    pub fn protection(self) -> Result<Protection, InvalidProtection> {
        let invalid = || InvalidProtection::Resource(self.uri.clone());
        let resource = ResourceUri::parse(&self.uri).map_err(|_| invalid())?;
        let issuer =
            Issuer::parse(&self.issuer).map_err(|error| InvalidProtection::Issuer(self.issuer.clone(), error))?;
        let rules = self.rules?;
        let server = || -> Result<Arc<AuthorizationServer>, InvalidProtection> {
            let http = self.http.clone().map_or_else(AuthorizationServer::http, Ok)?;
            Ok(Arc::new(AuthorizationServer::new(issuer.clone(), http)))
        };
        let offline = |server| JwtVerifier::new(issuer.as_str().to_owned(), resource.clone(), KeySource::new(server));
        let introspector =
            |server, credentials| Introspector::new(server, resource.clone(), credentials, self.introspection_cache);
        let verifier = match self.verification {
            Verification::Offline => Verifier::Offline(offline(server()?)),
            Verification::Introspection(credentials) => Verifier::Introspection(introspector(server()?, credentials)),
            Verification::Both(credentials, sensitive) => {
                let always = parse_scope(&sensitive)?;
                let server = server()?;
                Verifier::Both {
                    offline: offline(server.clone()),
                    introspection: introspector(server, credentials),
                    always,
                }
            }
            Verification::Other(verifier) => Verifier::Other(verifier),
        };
        let settings = Settings {
            issuer: self.issuer,
            name: self.name,
            rules,
            also_supported: self.also_supported,
            trusts_mcp_headers: self.trusts_mcp_headers,
            message_limit: self.message_limit,
            message_timeout: self.message_timeout,
            recheck: self.recheck,
        };
        Protection::new(&resource, settings, verifier, self.clock, self.closing)
            .ok_or(InvalidProtection::Resource(self.uri))
    }

    fn rule(self, scope: &str, conditions: impl FnOnce() -> Result<ScopeRule, InvalidProtection>) -> Self {
        self.change(|rules| {
            let scope = parse_scope(scope)?;
            if scope.is_empty() {
                return Err(InvalidProtection::RuleWithoutScope);
            }
            rules.rules.push(ScopeRule { scope, ..conditions()? });
            Ok(())
        })
    }

    fn change(mut self, change: impl FnOnce(&mut ScopeRules) -> Result<(), InvalidProtection>) -> Self {
        self.rules = self.rules.and_then(|mut rules| {
            change(&mut rules)?;
            Ok(rules)
        });
        self
    }
}

fn parse_scope(text: &str) -> Result<Scope, InvalidProtection> {
    Scope::parse(text).map_err(|error| InvalidProtection::Scope(text.to_owned(), error))
}
