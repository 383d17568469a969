//! Stores that are down, or stuck, when a test says so.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use gateward::{
    domain::{
        access::{AccessToken, OpaqueRecord, Standing},
        account::{Consent, PasswordHash, Session, SessionLifetime, User, UserStatus, Username},
        assertion::{ReplayId, SingleUse},
        audit,
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
    port::store::{
        AccountStore, Addition, AuditStore, ClientStore, Creation, GrantFilter, Insertion, Issue, KeyStore, Owner,
        Page, ReapRule, Recording, Redemption, Replacement, Rotation, StoreError, StoreResult, TokenStore, Use,
    },
    store::Stores,
};

#[derive(Debug, Default)]
enum Mode {
    #[default]
    Healthy,
    Down,
    /// Only these methods fail.
    DownAt(Vec<&'static str>),
    /// Never answers.
    Stuck,
    /// These methods never answer.
    StuckAt(Vec<&'static str>),
}

/// The switch, and how often each method was called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    mode: Arc<Mutex<Mode>>,
    calls: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Faults {
    /// Puts the switch in front of every family.
    pub(crate) fn wrap(&self, stores: &mut Stores) {
        stores.clients = Arc::new(Faulty { faults: self.clone(), inner: stores.clients.clone() });
        stores.tokens = Arc::new(Faulty { faults: self.clone(), inner: stores.tokens.clone() });
        stores.accounts = Arc::new(Faulty { faults: self.clone(), inner: stores.accounts.clone() });
        stores.keys = Arc::new(Faulty { faults: self.clone(), inner: stores.keys.clone() });
        stores.audit = Arc::new(Faulty { faults: self.clone(), inner: stores.audit.clone() });
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().expect("no panic while it was held") = mode;
    }

    pub(crate) fn heal(&self) {
        self.set(Mode::Healthy);
    }

    pub(crate) fn take_down(&self) {
        self.set(Mode::Down);
    }

    /// `family.method`.
    pub(crate) fn take_down_at(&self, methods: &[&'static str]) {
        self.set(Mode::DownAt(methods.to_vec()));
    }

    pub(crate) fn get_stuck(&self) {
        self.set(Mode::Stuck);
    }

    /// `family.method`.
    pub(crate) fn get_stuck_at(&self, methods: &[&'static str]) {
        self.set(Mode::StuckAt(methods.to_vec()));
    }

    /// How often `family.method` was called.
    pub(crate) fn calls(&self, method: &str) -> usize {
        self.calls.lock().expect("no panic while it was held").get(method).copied().unwrap_or(0)
    }

    async fn pass(&self, method: &'static str) -> StoreResult<()> {
        *self.calls.lock().expect("no panic while it was held").entry(method).or_default() += 1;
        let fails = match &*self.mode.lock().expect("no panic while it was held") {
            Mode::Healthy => Some(false),
            Mode::Down => Some(true),
            Mode::DownAt(methods) => Some(methods.contains(&method)),
            Mode::Stuck => None,
            Mode::StuckAt(methods) => (!methods.contains(&method)).then_some(false),
        };
        match fails {
            Some(false) => Ok(()),
            Some(true) => Err(StoreError::Unavailable("the test says so".into())),
            None => std::future::pending().await,
        }
    }
}

struct Faulty<S: ?Sized> {
    faults: Faults,
    inner: Arc<S>,
}

/// Each method: past the switch, then on to the store.
macro_rules! pass {
    ($self:ident, $family:literal, $method:ident ( $($argument:expr),* )) => {{
        $self.faults.pass(concat!($family, ".", stringify!($method))).await?;
        $self.inner.$method($($argument),*).await
    }};
}

#[async_trait]
impl ClientStore for Faulty<dyn ClientStore> {
    async fn insert(&self, client: &Client, max_dynamic: Option<u64>) -> StoreResult<Insertion> {
        pass!(self, "clients", insert(client, max_dynamic))
    }
    async fn find(&self, id: &ClientId) -> StoreResult<Option<ClientEntry>> {
        pass!(self, "clients", find(id))
    }
    async fn replace(&self, client: &Client) -> StoreResult<Replacement> {
        pass!(self, "clients", replace(client))
    }
    async fn remove(&self, id: &ClientId, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        pass!(self, "clients", remove(id, reason, now))
    }
    async fn touch(&self, id: &ClientId, now: Timestamp) -> StoreResult<bool> {
        pass!(self, "clients", touch(id, now))
    }
    async fn list(&self, page: Page<ClientId>) -> StoreResult<Vec<Client>> {
        pass!(self, "clients", list(page))
    }
    async fn reapable(&self, rule: ReapRule, limit: u32) -> StoreResult<Vec<Client>> {
        pass!(self, "clients", reapable(rule, limit))
    }
    async fn reap(&self, client: &Client, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        pass!(self, "clients", reap(client, reason, now))
    }
    async fn purge_tombstones(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        pass!(self, "clients", purge_tombstones(before, limit))
    }
    async fn ping(&self) -> StoreResult<()> {
        pass!(self, "clients", ping())
    }
}

#[async_trait]
impl TokenStore for Faulty<dyn TokenStore> {
    async fn open_grant(&self, grant: &Grant, code: &NewCode) -> StoreResult<()> {
        pass!(self, "tokens", open_grant(grant, code))
    }
    async fn find_code(&self, digest: &Digest<AuthorizationCode>) -> StoreResult<Option<CodeRecord>> {
        pass!(self, "tokens", find_code(digest))
    }
    async fn redeem(&self, code: &VerifiedCode<'_>, issue: &Issue, now: Timestamp) -> StoreResult<Redemption> {
        pass!(self, "tokens", redeem(code, issue, now))
    }
    async fn find_refresh(&self, digest: &Digest<RefreshToken>) -> StoreResult<Option<RefreshRecord>> {
        pass!(self, "tokens", find_refresh(digest))
    }
    async fn rotate(
        &self,
        refresh: &VerifiedRefresh<'_>,
        sealed_successor: &[u8],
        issue: &Issue,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        pass!(self, "tokens", rotate(refresh, sealed_successor, issue, now))
    }
    async fn record_access(&self, access: &OpaqueRecord) -> StoreResult<Recording> {
        pass!(self, "tokens", record_access(access))
    }
    async fn find_access(&self, digest: &Digest<OpaqueAccessToken>) -> StoreResult<Option<(AccessToken, Standing)>> {
        pass!(self, "tokens", find_access(digest))
    }
    async fn standing(&self, id: &TokenId, grant: Option<&GrantId>) -> StoreResult<Standing> {
        pass!(self, "tokens", standing(id, grant))
    }
    async fn revoke_access(&self, id: &TokenId, expires_at: Timestamp) -> StoreResult<()> {
        pass!(self, "tokens", revoke_access(id, expires_at))
    }
    async fn revoke_grant(&self, id: &GrantId, revocation: Revocation) -> StoreResult<bool> {
        pass!(self, "tokens", revoke_grant(id, revocation))
    }
    async fn revoke_grants_of(&self, owner: &Owner, reason: RevocationReason, now: Timestamp) -> StoreResult<u64> {
        pass!(self, "tokens", revoke_grants_of(owner, reason, now))
    }
    async fn find_grant(&self, id: &GrantId) -> StoreResult<Option<Grant>> {
        pass!(self, "tokens", find_grant(id))
    }
    async fn list_grants(&self, filter: &GrantFilter, page: Page<GrantId>) -> StoreResult<Vec<Grant>> {
        pass!(self, "tokens", list_grants(filter, page))
    }
    async fn has_live_grant(&self, client: &ClientId, now: Timestamp) -> StoreResult<bool> {
        pass!(self, "tokens", has_live_grant(client, now))
    }
    async fn use_once(&self, single: SingleUse, now: Timestamp) -> StoreResult<Use> {
        pass!(self, "tokens", use_once(single, now))
    }
    async fn purge(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        pass!(self, "tokens", purge(now, limit))
    }
    async fn ping(&self) -> StoreResult<()> {
        pass!(self, "tokens", ping())
    }
}

#[async_trait]
impl AccountStore for Faulty<dyn AccountStore> {
    async fn create_user(&self, user: &User) -> StoreResult<Creation> {
        pass!(self, "accounts", create_user(user))
    }
    async fn find_user(&self, id: &UserId) -> StoreResult<Option<User>> {
        pass!(self, "accounts", find_user(id))
    }
    async fn active_user(&self, id: &UserId) -> StoreResult<Option<Username>> {
        pass!(self, "accounts", active_user(id))
    }
    async fn find_user_by_name(&self, name: &Username) -> StoreResult<Option<User>> {
        pass!(self, "accounts", find_user_by_name(name))
    }
    async fn list_users(&self, page: Page<Username>) -> StoreResult<Vec<User>> {
        pass!(self, "accounts", list_users(page))
    }
    async fn set_password(&self, id: &UserId, password: &PasswordHash) -> StoreResult<bool> {
        pass!(self, "accounts", set_password(id, password))
    }
    async fn set_status(&self, id: &UserId, status: UserStatus) -> StoreResult<bool> {
        pass!(self, "accounts", set_status(id, status))
    }
    async fn end_sessions(&self, id: &UserId) -> StoreResult<bool> {
        pass!(self, "accounts", end_sessions(id))
    }
    async fn open_session(&self, session: &Session, replaces: Option<&Digest<SessionToken>>) -> StoreResult<bool> {
        pass!(self, "accounts", open_session(session, replaces))
    }
    async fn find_session(&self, digest: &Digest<SessionToken>) -> StoreResult<Option<(Session, User)>> {
        pass!(self, "accounts", find_session(digest))
    }
    async fn touch_session(&self, digest: &Digest<SessionToken>, now: Timestamp) -> StoreResult<()> {
        pass!(self, "accounts", touch_session(digest, now))
    }
    async fn close_session(&self, digest: &Digest<SessionToken>) -> StoreResult<bool> {
        pass!(self, "accounts", close_session(digest))
    }
    async fn consented(&self, user: &UserId, client: &ClientId, resource: &ResourceUri) -> StoreResult<Scope> {
        pass!(self, "accounts", consented(user, client, resource))
    }
    async fn add_consent(&self, consent: &Consent) -> StoreResult<()> {
        pass!(self, "accounts", add_consent(consent))
    }
    async fn forget_consents(&self, user: &UserId, client: Option<&ClientId>) -> StoreResult<u64> {
        pass!(self, "accounts", forget_consents(user, client))
    }
    async fn forget_consents_of_client(&self, client: &ClientId) -> StoreResult<u64> {
        pass!(self, "accounts", forget_consents_of_client(client))
    }
    async fn count_failure(&self, key: &ReplayId, until: Timestamp, now: Timestamp) -> StoreResult<u32> {
        pass!(self, "accounts", count_failure(key, until, now))
    }
    async fn failures(&self, key: &ReplayId, now: Timestamp) -> StoreResult<Option<(u32, Timestamp)>> {
        pass!(self, "accounts", failures(key, now))
    }
    async fn clear_failures(&self, key: &ReplayId) -> StoreResult<()> {
        pass!(self, "accounts", clear_failures(key))
    }
    async fn purge(&self, lifetime: SessionLifetime, now: Timestamp, limit: u32) -> StoreResult<u64> {
        pass!(self, "accounts", purge(lifetime, now, limit))
    }
    async fn ping(&self) -> StoreResult<()> {
        pass!(self, "accounts", ping())
    }
}

#[async_trait]
impl KeyStore for Faulty<dyn KeyStore> {
    async fn list(&self) -> StoreResult<Vec<KeyRecord>> {
        pass!(self, "keys", list())
    }
    async fn add(&self, key: &KeyRecord, newest: Option<&KeyId>) -> StoreResult<Addition> {
        pass!(self, "keys", add(key, newest))
    }
    async fn remove(&self, id: &KeyId) -> StoreResult<bool> {
        pass!(self, "keys", remove(id))
    }
    async fn ping(&self) -> StoreResult<()> {
        pass!(self, "keys", ping())
    }
}

#[async_trait]
impl AuditStore for Faulty<dyn AuditStore> {
    async fn append(&self, entries: &[audit::Entry]) -> StoreResult<()> {
        pass!(self, "audit", append(entries))
    }
    async fn list(&self, filter: &audit::Filter, page: Page<audit::EntryId>) -> StoreResult<Vec<audit::Entry>> {
        pass!(self, "audit", list(filter, page))
    }
    async fn turns(&self, instance: &str, limit: u32) -> StoreResult<Vec<audit::Entry>> {
        pass!(self, "audit", turns(instance, limit))
    }
    async fn purge(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        pass!(self, "audit", purge(before, limit))
    }
    async fn ping(&self) -> StoreResult<()> {
        pass!(self, "audit", ping())
    }
}
