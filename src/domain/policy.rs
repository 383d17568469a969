//! What the operator decides: lifetimes, who may register, how hard a password may be guessed at. Data only.

use std::time::Duration;

use super::{
    account::SessionLifetime, credential::Digest, key::KeySchedule, resource::Resources, scope::Scope, time::Timestamp,
};
use crate::protocol::jose::Algorithm;

/// Everything the rules take from the configuration.
#[derive(Debug, Clone)]
pub struct Policy {
    pub resources: Resources,
    pub lifetimes: Lifetimes,
    pub registration: RegistrationPolicy,
    pub login: LoginPolicy,
    pub client_lockout: ClientLockoutPolicy,
    pub consent: ConsentPolicy,
    pub keys: KeyPolicy,
    /// How long the audit trail is kept.
    pub audit_retention: Duration,
}

/// How long things live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// An authorization code.
    pub code: Duration,
    /// A refresh token, anew with every rotation.
    pub refresh: Duration,
    /// How long a rotated refresh token may come back while its successor is unused.
    pub refresh_reuse_window: Duration,
    /// A browser session.
    pub session: SessionLifetime,
    /// The time a human has to log in and decide.
    pub interaction: Duration,
    /// How long the old secret works after a rotation, unless the operator says otherwise.
    pub secret_overlap: Duration,
    /// The longest `exp` of a client assertion.
    pub assertion: Duration,
}

/// Clocks of others may be this much off.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// No request takes longer than this: the configuration refuses a longer limit.
pub const LONGEST_REQUEST: Duration = Duration::from_secs(600);

/// How long a store has to remember what makes a difference until `end`. That is longer: a request that was judged at the last
/// moment may be slow to look, and whoever forgets may have a clock that is ahead.
pub fn remembered_until(end: Timestamp) -> Timestamp {
    end.plus(LONGEST_REQUEST).plus(CLOCK_SKEW)
}

/// Who may register clients, and what such clients may have (RFC 7591 5).
#[derive(Debug, Clone)]
pub struct RegistrationPolicy {
    pub mode: RegistrationMode,
    /// Whether a client that registers itself may get tokens without a human.
    pub allow_client_credentials: bool,
    /// The most that a client that registers itself may ask humans for; `None`: every scope.
    pub scope_ceiling: Option<Scope>,
    /// The most dynamic clients there may be at once.
    pub max_clients: u64,
    /// A client that was never authorized is removed after this time.
    pub reap_unauthorized_after: Duration,
    /// A client without a live grant is removed after this time without use.
    pub reap_idle_after: Duration,
}

/// Who may register clients.
#[derive(Debug, Clone)]
pub enum RegistrationMode {
    /// Anyone.
    Open,
    /// Whoever presents one of these initial access tokens (RFC 7591 3).
    InitialAccessToken(Vec<Digest<InitialAccessToken>>),
    /// Nobody.
    Closed,
}

/// Marks digests of initial access tokens: texts that the operator chose.
#[derive(Debug)]
pub enum InitialAccessToken {}

/// How hard passwords may be guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginPolicy {
    /// Failures for one account within the window, from one address, before the answer is "later".
    pub max_failures: u32,
    /// Failures for one account within the window, from all addresses together, before the answer is "later" to addresses from which
    /// nobody ever logged in to it.
    pub max_failures_per_account: u32,
    /// The window.
    pub window: Duration,
}

/// How many wrong credentials a client may present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLockoutPolicy {
    /// Wrong ones of one client within the window, from one address, before the answer is "later".
    pub max_failures: u32,
    /// The window.
    pub window: Duration,
}

/// When a human is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentPolicy {
    /// Whether a remembered consent also counts for clients whose name nobody vouches for, and for loopback and private-scheme
    /// redirects that any local program could have made.
    pub remember_unvouched: bool,
}

/// Which keys sign, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPolicy {
    pub schedule: KeySchedule,
    /// The algorithms that some resource asks for, without HS256.
    pub algorithms: Vec<Algorithm>,
}
