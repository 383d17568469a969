//! Accounts in memory. An account and its sessions are one family in one shard; names and session digests are indexes.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{Budget, Shards, paged};
use crate::{
    domain::{
        account::{Consent, PasswordHash, Session, SessionLifetime, User, UserStatus, Username},
        assertion::ReplayId,
        credential::{Digest, SessionToken},
        identifier::{ClientId, UserId},
        resource::ResourceUri,
        scope::Scope,
        time::Timestamp,
    },
    port::store::{AccountStore, Creation, Page, StoreResult},
};

struct Account {
    user: User,
    sessions: HashMap<Digest<SessionToken>, Session>,
}

/// Consecutive failures in one window.
struct Failures {
    count: u32,
    until: Timestamp,
}

/// See [`AccountStore`].
#[derive(Default)]
pub(in crate::store) struct MemoryAccounts {
    accounts: Shards<UserId, Account>,
    /// Index.
    names: Shards<Username, UserId>,
    /// Index.
    sessions: Shards<Digest<SessionToken>, UserId>,
    consents: Shards<UserId, Vec<Consent>>,
    failures: Shards<ReplayId, Failures>,
}

impl MemoryAccounts {
    /// Changes an account and, if `change` says so, ends its sessions.
    fn change(&self, id: &UserId, change: impl FnOnce(&mut User) -> EndSessions) -> bool {
        let mut part = self.accounts.of(id);
        let Some(account) = part.get_mut(id) else { return false };
        match change(&mut account.user) {
            EndSessions::Yes => {
                for (digest, _) in account.sessions.drain() {
                    self.sessions.remove(&digest);
                }
            }
            EndSessions::No => {}
        }
        true
    }

    /// Looks at the family that a session belongs to.
    fn with_session<T>(
        &self,
        digest: &Digest<SessionToken>,
        look: impl FnOnce(&mut Account) -> Option<T>,
    ) -> Option<T> {
        let owner = self.sessions.get(digest)?;
        self.accounts.of(&owner).get_mut(&owner).and_then(look)
    }

    fn end(&self, digest: &Digest<SessionToken>) -> bool {
        let ended = self.with_session(digest, |account| {
            let ended = account.sessions.remove(digest);
            self.sessions.remove(digest);
            ended
        });
        ended.is_some()
    }
}

enum EndSessions {
    Yes,
    No,
}

#[async_trait]
impl AccountStore for MemoryAccounts {
    async fn create_user(&self, user: &User) -> StoreResult<Creation> {
        let mut part = self.accounts.of(&user.id);
        let mut names = self.names.of(&user.username);
        if part.contains_key(&user.id) || names.contains_key(&user.username) {
            return Ok(Creation::Taken);
        }
        names.insert(user.username.clone(), user.id.clone());
        part.insert(user.id.clone(), Account { user: user.clone(), sessions: HashMap::new() });
        Ok(Creation::Created)
    }

    async fn find_user(&self, id: &UserId) -> StoreResult<Option<User>> {
        Ok(self.accounts.of(id).get(id).map(|account| account.user.clone()))
    }

    async fn active_user(&self, id: &UserId) -> StoreResult<Option<Username>> {
        Ok(self.find_user(id).await?.and_then(User::name_if_active))
    }

    async fn find_user_by_name(&self, name: &Username) -> StoreResult<Option<User>> {
        match self.names.get(name) {
            Some(id) => self.find_user(&id).await,
            None => Ok(None),
        }
    }

    async fn list_users(&self, page: Page<Username>) -> StoreResult<Vec<User>> {
        let mut all = Vec::new();
        for part in self.accounts.parts() {
            all.extend(part.values().map(|account| account.user.clone()));
        }
        Ok(paged(all.into_iter(), |user| &user.username, &page))
    }

    async fn set_password(&self, id: &UserId, password: &PasswordHash) -> StoreResult<bool> {
        Ok(self.change(id, |user| {
            user.password = password.clone();
            EndSessions::Yes
        }))
    }

    async fn set_status(&self, id: &UserId, status: UserStatus) -> StoreResult<bool> {
        Ok(self.change(id, |user| {
            user.status = status;
            match status {
                UserStatus::Active => EndSessions::No,
                UserStatus::Disabled => EndSessions::Yes,
            }
        }))
    }

    async fn end_sessions(&self, id: &UserId) -> StoreResult<bool> {
        Ok(self.change(id, |_| EndSessions::Yes))
    }

    async fn open_session(&self, session: &Session, replaces: Option<&Digest<SessionToken>>) -> StoreResult<bool> {
        {
            let mut part = self.accounts.of(&session.user_id);
            match part.get_mut(&session.user_id) {
                Some(account) if account.user.is_active() => {
                    account.sessions.insert(session.digest, session.clone());
                    self.sessions.insert(session.digest, session.user_id.clone());
                }
                Some(_) | None => return Ok(false),
            }
        }
        // The old session may be another account's, in another shard. Until this call returns nobody knows the new one, so
        // nobody can tell that the two changes are not one.
        if let Some(old) = replaces.filter(|old| **old != session.digest) {
            self.end(old);
        }
        Ok(true)
    }

    async fn find_session(&self, digest: &Digest<SessionToken>) -> StoreResult<Option<(Session, User)>> {
        Ok(self.with_session(digest, |account| {
            account.sessions.get(digest).map(|session| (session.clone(), account.user.clone()))
        }))
    }

    async fn touch_session(&self, digest: &Digest<SessionToken>, now: Timestamp) -> StoreResult<()> {
        self.with_session(digest, |account| {
            account.sessions.get_mut(digest).map(|session| session.last_seen_at = session.last_seen_at.max(now))
        });
        Ok(())
    }

    async fn close_session(&self, digest: &Digest<SessionToken>) -> StoreResult<bool> {
        Ok(self.end(digest))
    }

    async fn consented(&self, user: &UserId, client: &ClientId, resource: &ResourceUri) -> StoreResult<Scope> {
        let part = self.consents.of(user);
        let mut all = part.get(user).into_iter().flatten();
        let found = all.find(|c| c.client_id == *client && c.resource == *resource);
        Ok(found.map(|c| c.scope.clone()).unwrap_or_default())
    }

    async fn add_consent(&self, consent: &Consent) -> StoreResult<()> {
        let mut part = self.consents.of(&consent.user_id);
        let all = part.entry(consent.user_id.clone()).or_default();
        match all.iter_mut().find(|c| c.client_id == consent.client_id && c.resource == consent.resource) {
            Some(known) => {
                known.scope = known.scope.union(&consent.scope);
                known.updated_at = known.updated_at.max(consent.updated_at);
            }
            None => all.push(consent.clone()),
        }
        Ok(())
    }

    async fn forget_consents(&self, user: &UserId, client: Option<&ClientId>) -> StoreResult<u64> {
        let mut part = self.consents.of(user);
        let Some(all) = part.get_mut(user) else { return Ok(0) };
        let before = all.len();
        all.retain(|c| client.is_some_and(|client| c.client_id != *client));
        let forgotten = before - all.len();
        if all.is_empty() {
            part.remove(user);
        }
        Ok(forgotten as u64)
    }

    async fn forget_consents_of_client(&self, client: &ClientId) -> StoreResult<u64> {
        let mut forgotten = 0;
        for mut part in self.consents.parts() {
            part.retain(|_, all| {
                let before = all.len();
                all.retain(|consent| consent.client_id != *client);
                forgotten += before - all.len();
                !all.is_empty()
            });
        }
        Ok(forgotten as u64)
    }

    async fn count_failure(&self, key: &ReplayId, until: Timestamp, now: Timestamp) -> StoreResult<u32> {
        let mut part = self.failures.of(key);
        let failures = part.entry(*key).or_insert(Failures { count: 0, until });
        if failures.until.is_over(now) {
            *failures = Failures { count: 0, until };
        }
        failures.count = failures.count.saturating_add(1);
        Ok(failures.count)
    }

    async fn failures(&self, key: &ReplayId, now: Timestamp) -> StoreResult<Option<(u32, Timestamp)>> {
        let part = self.failures.of(key);
        Ok(part.get(key).filter(|f| !f.until.is_over(now)).map(|f| (f.count, f.until)))
    }

    async fn clear_failures(&self, key: &ReplayId) -> StoreResult<()> {
        self.failures.remove(key);
        Ok(())
    }

    async fn purge(&self, lifetime: SessionLifetime, now: Timestamp, limit: u32) -> StoreResult<u64> {
        let mut windows = Budget::of(limit);
        self.failures.drain(&mut windows, |_, failures| failures.until.is_over(now));

        let mut sessions = Budget::of(limit);
        for mut part in self.accounts.parts() {
            for account in part.values_mut() {
                account.sessions.retain(|digest, session| {
                    let goes = session.is_over(lifetime, now) && sessions.take();
                    if goes {
                        self.sessions.remove(digest);
                    }
                    !goes
                });
            }
        }
        Ok(u64::from(windows.used) + u64::from(sessions.used))
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}
