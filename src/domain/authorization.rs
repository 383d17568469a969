//! Authorization requests (OAuth 2.1 4.1.1): what may be asked of a human, and what has to happen before a code is issued.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    client::{Client, GrantType, Provenance},
    identifier::ClientId,
    pkce::{ChallengeError, CodeChallenge},
    policy::Policy,
    redirect::{MatchedRedirect, RedirectKind},
    registration::scope_ceiling,
    resource::ResourceUri,
    scope::{OFFLINE_ACCESS, Scope, ScopeToken},
    time::Timestamp,
};
use crate::protocol::authorization::AuthorizationRequest;

/// The most resources of one request.
pub const MAX_RESOURCES: usize = 8;

/// Why a request is answered with an error at the client's redirect URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationRefusal {
    /// A parameter appeared more than once.
    RepeatedParameter,
    /// A signed request object (RFC 9101): not supported.
    RequestObject,
    /// `response_type` is missing.
    ResponseTypeMissing,
    /// `response_type` is not `code`.
    UnsupportedResponseType,
    /// `response_mode` is not `query`.
    UnsupportedResponseMode,
    /// The client is not registered for the authorization code grant.
    UnauthorizedClient,
    /// PKCE is missing or wrong.
    Challenge(ChallengeError),
    /// A resource is unknown, out of the client's reach, or there are too many.
    TargetRefused,
    /// Nothing that was asked for can be granted.
    InvalidScope,
    /// `prompt=none` beside another prompt, or an unknown prompt.
    InvalidPrompt,
    /// `max_age` is no number of seconds.
    InvalidMaxAge,
    /// `prompt=none`, and a login would be needed.
    LoginRequired,
    /// `prompt=none`, and consent would be needed.
    ConsentRequired,
    /// The human said no.
    Denied,
}

/// What the client wants to happen in front of the human (OpenID Connect Core 3.1.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    pub none: bool,
    pub login: bool,
    pub consent: bool,
}

impl Prompt {
    /// `prompt` values of this server.
    pub const SUPPORTED: &'static [&'static str] = &["none", "login", "consent"];

    fn parse(text: &str) -> Option<Self> {
        let mut prompt = Self::default();
        for word in text.split(' ').filter(|w| !w.is_empty()) {
            match word {
                "none" => prompt.none = true,
                // Choosing an account is logging in anew: a browser has one session here.
                "login" | "select_account" => prompt.login = true,
                "consent" => prompt.consent = true,
                _ => return None,
            }
        }
        (!prompt.none || prompt == Self { none: true, ..Self::default() }).then_some(prompt)
    }
}

/// A request that has been judged good, before any human was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    pub client_id: ClientId,
    pub redirect: MatchedRedirect,
    /// Returned byte for byte.
    pub state: Option<String>,
    pub challenge: CodeChallenge,
    /// Never empty.
    pub resources: Vec<ResourceUri>,
    /// Never empty.
    pub scope: Scope,
    pub prompt: Prompt,
    pub max_age: Option<Duration>,
    pub login_hint: Option<String>,
}

/// Judges a request whose client and redirect URI are already known to belong together.
pub fn judge(
    request: &AuthorizationRequest,
    client: &Client,
    redirect: MatchedRedirect,
    policy: &Policy,
) -> Result<Authorization, AuthorizationRefusal> {
    use AuthorizationRefusal as Refusal;
    if request.repeated {
        return Err(Refusal::RepeatedParameter);
    }
    if request.request.is_some() || request.request_uri.is_some() {
        return Err(Refusal::RequestObject);
    }
    match request.response_type.as_deref() {
        Some("code") => {}
        Some(_) => return Err(Refusal::UnsupportedResponseType),
        None => return Err(Refusal::ResponseTypeMissing),
    }
    if request.response_mode.as_deref().is_some_and(|mode| mode != "query") {
        return Err(Refusal::UnsupportedResponseMode);
    }
    if !client.may_use(GrantType::AuthorizationCode) {
        return Err(Refusal::UnauthorizedClient);
    }
    let challenge = CodeChallenge::parse(request.code_challenge.as_deref(), request.code_challenge_method.as_deref())
        .map_err(Refusal::Challenge)?;
    let resources = targets(&request.resources, client, policy)?;
    let scope = scope(request.scope.as_deref(), client, &resources, policy)?;
    let prompt = Prompt::parse(request.prompt.as_deref().unwrap_or_default()).ok_or(Refusal::InvalidPrompt)?;
    let max_age = match request.max_age.as_deref().map(str::parse) {
        None => None,
        Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
        Some(Err(_)) => return Err(Refusal::InvalidMaxAge),
    };
    Ok(Authorization {
        client_id: client.id.clone(),
        redirect,
        state: request.state.clone(),
        challenge,
        resources,
        scope,
        prompt,
        max_age,
        login_hint: request.login_hint.clone().filter(|hint| hint.len() <= 64),
    })
}

/// RFC 8707 2: registered resources only; none named means the default one.
fn targets(names: &[String], client: &Client, policy: &Policy) -> Result<Vec<ResourceUri>, AuthorizationRefusal> {
    if names.len() > MAX_RESOURCES {
        return Err(AuthorizationRefusal::TargetRefused);
    }
    let mut found: Vec<ResourceUri> = Vec::new();
    for name in names {
        let uri = &policy.resources.find(name).ok_or(AuthorizationRefusal::TargetRefused)?.uri;
        if !found.contains(uri) {
            found.push(uri.clone());
        }
    }
    if found.is_empty() {
        found.push(default_resource(client, policy).ok_or(AuthorizationRefusal::TargetRefused)?);
    }
    if found.iter().all(|uri| client.may_reach(uri)) { Ok(found) } else { Err(AuthorizationRefusal::TargetRefused) }
}

/// The resource of a request that names none: the server's default, or the client's first if it may not reach that.
pub fn default_resource(client: &Client, policy: &Policy) -> Option<ResourceUri> {
    let default = &policy.resources.default_resource().uri;
    if client.may_reach(default) { Some(default.clone()) } else { client.resources.first().cloned() }
}

/// The most that a client may have from humans; `None`: whatever its resources offer.
pub fn ceiling(client: &Client, policy: &Policy) -> Option<Scope> {
    match client.provenance {
        Provenance::Dynamic => Some(scope_ceiling(policy)),
        Provenance::Configured | Provenance::Operator if client.scope.is_empty() => None,
        Provenance::Configured | Provenance::Operator => Some(client.scope.clone()),
    }
}

/// Unknown scopes are dropped as long as something is left (RFC 6749 3.3: the answer states what was granted).
fn scope(
    asked: Option<&str>,
    client: &Client,
    resources: &[ResourceUri],
    policy: &Policy,
) -> Result<Scope, AuthorizationRefusal> {
    let known = resources.iter().filter_map(|uri| policy.resources.find(uri.as_str()));
    let (all, default) = known.fold((Scope::none(), Scope::none()), |(all, default), resource| {
        (all.union(&resource.scope()), default.union(&resource.default_scope()))
    });
    let available = match ceiling(client, policy) {
        Some(ceiling) => all.intersection(&ceiling),
        None => all,
    };
    let offline: Scope = ScopeToken::parse(OFFLINE_ACCESS).into_iter().collect();
    let asked = match asked {
        None => default,
        Some(text) => Scope::parse(text).map_err(|_| AuthorizationRefusal::InvalidScope)?,
    };
    let granted = asked.intersection(&available.union(&offline));
    if granted.is_empty() { Err(AuthorizationRefusal::InvalidScope) } else { Ok(granted) }
}

/// What has to happen, once the human is logged in, before a code can be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The human must agree to `new`; `known` was agreed to before.
    AskConsent { new: Scope, known: Scope },
    /// Nothing: everything was agreed to before.
    Issue,
}

/// A login as far as the next step depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Login {
    pub auth_time: Timestamp,
    /// Whether it happened in answer to this very request.
    pub fresh: bool,
}

/// Whether a human must log in, in the order of OpenID Connect Core 3.1.2.3.
pub fn needs_login(request: &Authorization, login: Option<Login>, now: Timestamp) -> bool {
    match login {
        None => true,
        Some(login) if login.fresh => false,
        Some(login) => {
            request.prompt.login
                || request.max_age.is_some_and(|limit| limit.is_zero() || now.since(login.auth_time) > limit)
        }
    }
}

/// The next step for a human who is logged in, given what they agreed to before.
pub fn after_login(request: &Authorization, client: &Client, consented: &Scope, policy: &Policy) -> Step {
    let vouched_for = match client.provenance {
        Provenance::Configured | Provenance::Operator => true,
        Provenance::Dynamic => false,
    };
    // RFC 8252 8.6: any local program could have made a request that comes back to this machine.
    let answer_is_safe = match request.redirect.uri().kind() {
        RedirectKind::Https => true,
        RedirectKind::Loopback | RedirectKind::PrivateScheme => false,
    };
    let may_remember = (vouched_for && answer_is_safe) || policy.consent.remember_unvouched;
    let new = request.scope.difference(consented);
    if new.is_empty() && may_remember && !request.prompt.consent {
        return Step::Issue;
    }
    Step::AskConsent { known: request.scope.intersection(consented), new }
}
