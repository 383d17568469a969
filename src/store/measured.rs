//! How long the calls of a store take, and how they fail.
//!
//! Around the store itself and inside of whatever keeps copies, so that what is counted is what the store has to do. A call costs two
//! looks at the clock and a box more than without; that is only there if somebody reads the figures.

use std::{future::Future, sync::Arc};

use async_trait::async_trait;

use super::{Stores, backend::Backend};
use crate::{
    domain::{
        access::{AccessToken, OpaqueRecord, Standing},
        account::{Consent, PasswordHash, Session, SessionLifetime, User, UserStatus, Username},
        assertion::{ReplayId, SingleUse},
        audit::{Entry, EntryId, Filter},
        client::{Client, ClientEntry, Removal},
        code::{CodeRecord, NewCode, VerifiedCode},
        credential::{AuthorizationCode, Digest, OpaqueAccessToken, RefreshToken, SessionToken},
        grant::{Grant, Revocation, RevocationReason},
        identifier::{ClientId, GrantId, KeyId, TokenId, UserId},
        key::KeyRecord,
        refresh::{RefreshRecord, VerifiedRefresh},
        resource::ResourceUri,
        scope::Scope,
        time::Timestamp,
    },
    metrics::{Counter, Counters, Histogram, Histograms, Labels, Metrics, Timer},
    port::store::{
        AccountStore, Addition, AuditStore, ClientStore, Creation, Family, GrantFilter, Insertion, Issue, KeyStore,
        Owner, Page, ReapRule, Recording, Redemption, Replacement, Rotation, StoreError, StoreResult, TokenStore, Use,
    },
};

/// How many connections a backend has, and how many changes wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PoolUse {
    busy: usize,
    idle: usize,
    limit: usize,
    /// Changes that wait for the writer; `None` if there is no single one.
    waiting: Option<usize>,
}

impl PoolUse {
    /// At this moment.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) fn of<D: sqlx::Database>(pool: &sqlx::Pool<D>) -> Self {
        let (size, idle) = (pool.size() as usize, pool.num_idle());
        let limit = pool.options().get_max_connections() as usize;
        Self { busy: size.saturating_sub(idle), idle, limit, waiting: None }
    }

    /// With so many changes before the one writer.
    #[cfg(feature = "sqlite")]
    pub(super) const fn waiting(self, waiting: usize) -> Self {
        Self { waiting: Some(waiting), ..self }
    }
}

impl Stores {
    /// Times every call from now on, inside of copies that are kept from now on. Its pools are looked at whenever somebody asks.
    #[must_use]
    pub fn measured(mut self, metrics: &mut Metrics) -> Self {
        let from = Instruments::new(metrics);
        let homes: Vec<(Family, Backend)> =
            [Family::Clients, Family::Tokens, Family::Accounts, Family::Keys, Family::Audit]
                .into_iter()
                .zip(self.homes.map(|home| self.open[home].clone()))
                .collect();
        let [clients, tokens, accounts, keys, audit] = self.homes.map(|home| &self.open[home]);
        self.clients = Arc::new(MeasuredClients::new(self.clients, clients, &from));
        self.tokens = Arc::new(MeasuredTokens::new(self.tokens, tokens, &from));
        self.accounts = Arc::new(MeasuredAccounts::new(self.accounts, accounts, &from));
        self.keys = Arc::new(MeasuredKeys::new(self.keys, keys, &from));
        self.audit = Arc::new(MeasuredAudit::new(self.audit, audit, &from));
        measure_pools(metrics, homes);
        self
    }
}

/// One figure of a pool for each state, or one without a state.
type Shown = Vec<(Option<&'static str>, usize)>;

/// For each family, so that families in one place tell the same figures.
fn measure_pools(metrics: &mut Metrics, homes: Vec<(Family, Backend)>) {
    let homes = Arc::new(homes);
    let of_each = move |figures: fn(PoolUse) -> Shown| {
        let homes = homes.clone();
        move || -> Vec<(Labels, f64)> {
            let used = homes.iter().filter_map(|(family, home)| Some((*family, home.as_str(), home.pool_use()?)));
            used.flat_map(|(family, backend, used)| {
                figures(used).into_iter().map(move |(state, figure)| {
                    let mut labels: Labels = vec![("family", family.as_str()), ("backend", backend)];
                    labels.extend(state.map(|state| ("state", state)));
                    (labels, figure as f64)
                })
            })
            .collect()
        }
    };
    metrics.readings(
        "gateward_store_pool_connections",
        "Connections of a store that are busy and idle, and the most that there may be",
        of_each(|used| vec![(Some("busy"), used.busy), (Some("idle"), used.idle), (Some("limit"), used.limit)]),
    );
    metrics.readings(
        "gateward_store_waiting_writes",
        "Changes that wait for the one writer of a store",
        of_each(|used| used.waiting.map(|waiting| (None, waiting)).into_iter().collect()),
    );
}

/// Where the series of every call come from.
pub(super) struct Instruments {
    took: Histograms,
    failed: Counters,
}

impl Instruments {
    pub(super) fn new(metrics: &mut Metrics) -> Self {
        Self {
            took: metrics.histograms("gateward_store_call_duration_seconds", "How long the calls of a store take"),
            failed: metrics.counters("gateward_store_call_failures", "Calls of a store that came to nothing, and why"),
        }
    }

    fn of(&self, family: Family, backend: &Backend, operation: &'static str) -> Calls {
        let labels =
            || -> Labels { vec![("family", family.as_str()), ("backend", backend.as_str()), ("operation", operation)] };
        let failed = |reason| self.failed.with([labels(), vec![("reason", reason)]].concat());
        Calls {
            took: self.took.with(labels()),
            unavailable: failed("unavailable"),
            corrupt: failed("corrupt"),
            abandoned: failed("abandoned"),
        }
    }
}

/// The calls of one method.
struct Calls {
    took: Histogram,
    unavailable: Counter,
    corrupt: Counter,
    /// Whoever asked did not wait for the answer.
    abandoned: Counter,
}

impl Calls {
    async fn time<T>(&self, call: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        let mut running = Running { calls: self, since: Timer::start(), failed: Some(&self.abandoned) };
        let outcome = call.await;
        running.failed = match &outcome {
            Ok(_) => None,
            Err(StoreError::Unavailable(_)) => Some(&self.unavailable),
            Err(StoreError::Corrupt(_)) => Some(&self.corrupt),
        };
        outcome
    }
}

/// A call that is under way.
struct Running<'a> {
    calls: &'a Calls,
    since: Timer,
    failed: Option<&'a Counter>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.calls.took.observe(self.since.elapsed());
        if let Some(failed) = self.failed {
            failed.inc();
        }
    }
}

/// One family: a store that passes every call on, and times it.
macro_rules! measured {
    ($(#[$doc:meta])* $name:ident, $calls:ident: $store:ident, $family:expr;
     $($method:ident($($argument:ident: $type:ty),*) -> $out:ty,)+) => {
        $(#[$doc])*
        pub(super) struct $name {
            inner: Arc<dyn $store>,
            calls: $calls,
        }

        struct $calls { $($method: Calls,)+ }

        impl $name {
            pub(super) fn new(inner: Arc<dyn $store>, backend: &Backend, from: &Instruments) -> Self {
                Self { inner, calls: $calls { $($method: from.of($family, backend, stringify!($method)),)+ } }
            }
        }

        #[async_trait]
        impl $store for $name {
            $(async fn $method(&self, $($argument: $type),*) -> StoreResult<$out> {
                self.calls.$method.time(self.inner.$method($($argument),*)).await
            })+
        }
    };
}

measured! {
    /// Clients.
    MeasuredClients, ClientCalls: ClientStore, Family::Clients;
    insert(client: &Client, max_dynamic: Option<u64>) -> Insertion,
    find(id: &ClientId) -> Option<ClientEntry>,
    replace(client: &Client) -> Replacement,
    remove(id: &ClientId, reason: Removal, now: Timestamp) -> bool,
    touch(id: &ClientId, now: Timestamp) -> bool,
    list(page: Page<ClientId>) -> Vec<Client>,
    reapable(rule: ReapRule, limit: u32) -> Vec<Client>,
    reap(client: &Client, reason: Removal, now: Timestamp) -> bool,
    purge_tombstones(before: Timestamp, limit: u32) -> u64,
    ping() -> (),
}

measured! {
    /// Tokens.
    MeasuredTokens, TokenCalls: TokenStore, Family::Tokens;
    open_grant(grant: &Grant, code: &NewCode) -> (),
    find_code(digest: &Digest<AuthorizationCode>) -> Option<CodeRecord>,
    redeem(code: &VerifiedCode<'_>, issue: &Issue, now: Timestamp) -> Redemption,
    find_refresh(digest: &Digest<RefreshToken>) -> Option<RefreshRecord>,
    rotate(refresh: &VerifiedRefresh<'_>, sealed_successor: &[u8], issue: &Issue, now: Timestamp) -> Rotation,
    record_access(access: &OpaqueRecord) -> Recording,
    find_access(digest: &Digest<OpaqueAccessToken>) -> Option<(AccessToken, Standing)>,
    standing(id: &TokenId, grant: Option<&GrantId>) -> Standing,
    revoke_access(id: &TokenId, expires_at: Timestamp) -> (),
    revoke_grant(id: &GrantId, revocation: Revocation) -> bool,
    revoke_grants_of(owner: &Owner, reason: RevocationReason, now: Timestamp) -> u64,
    find_grant(id: &GrantId) -> Option<Grant>,
    list_grants(filter: &GrantFilter, page: Page<GrantId>) -> Vec<Grant>,
    has_live_grant(client: &ClientId, now: Timestamp) -> bool,
    use_once(single: SingleUse, now: Timestamp) -> Use,
    purge(now: Timestamp, limit: u32) -> u64,
    ping() -> (),
}

measured! {
    /// Humans.
    MeasuredAccounts, AccountCalls: AccountStore, Family::Accounts;
    create_user(user: &User) -> Creation,
    find_user(id: &UserId) -> Option<User>,
    active_user(id: &UserId) -> Option<Username>,
    find_user_by_name(name: &Username) -> Option<User>,
    list_users(page: Page<Username>) -> Vec<User>,
    set_password(id: &UserId, password: &PasswordHash) -> bool,
    set_status(id: &UserId, status: UserStatus) -> bool,
    end_sessions(id: &UserId) -> bool,
    open_session(session: &Session, replaces: Option<&Digest<SessionToken>>) -> bool,
    find_session(digest: &Digest<SessionToken>) -> Option<(Session, User)>,
    touch_session(digest: &Digest<SessionToken>, now: Timestamp) -> (),
    close_session(digest: &Digest<SessionToken>) -> bool,
    consented(user: &UserId, client: &ClientId, resource: &ResourceUri) -> Scope,
    add_consent(consent: &Consent) -> (),
    forget_consents(user: &UserId, client: Option<&ClientId>) -> u64,
    forget_consents_of_client(client: &ClientId) -> u64,
    count_failure(key: &ReplayId, until: Timestamp, now: Timestamp) -> u32,
    failures(key: &ReplayId, now: Timestamp) -> Option<(u32, Timestamp)>,
    clear_failures(key: &ReplayId) -> (),
    purge(lifetime: SessionLifetime, now: Timestamp, limit: u32) -> u64,
    ping() -> (),
}

measured! {
    /// Signing keys.
    MeasuredKeys, KeyCalls: KeyStore, Family::Keys;
    list() -> Vec<KeyRecord>,
    add(key: &KeyRecord, newest: Option<&KeyId>) -> Addition,
    remove(id: &KeyId) -> bool,
    ping() -> (),
}

measured! {
    /// The audit trail.
    MeasuredAudit, AuditCalls: AuditStore, Family::Audit;
    append(entries: &[Entry]) -> (),
    list(filter: &Filter, page: Page<EntryId>) -> Vec<Entry>,
    turns(instance: &str, limit: u32) -> Vec<Entry>,
    purge(before: Timestamp, limit: u32) -> u64,
    ping() -> (),
}
