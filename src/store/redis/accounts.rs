//! Accounts in Redis: each is a hash; sessions are one hash, with lists by time and by account. All of it is in one slot, so
//! that disabling an account ends its sessions in the same step.

use std::fmt;

use ::redis::{Cmd, Value, cmd};
use async_trait::async_trait;

use super::{
    Keyed, Redis,
    columns::{Columns, read},
    news::announced,
    script::{Invocation, Script, script},
};
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
    port::store::{AccountStore, Change, Creation, Page, StoreResult},
    store::record::{corrupt, session, user, word},
};

static CREATE: Script = script!("", "create_user.lua");
static CHANGE: Script = script!(" flags=allow-oom", "announce.lua", "sessions.lua", "change_user.lua");
static OPEN_SESSION: Script = script!("", "sessions.lua", "open_session.lua");
static CLOSE_SESSION: Script = script!(" flags=allow-oom", "sessions.lua", "close_session.lua");
static FIND_SESSION: Script = script!(" flags=no-writes", "find_session.lua");
static ADD_CONSENT: Script = script!("", "add_consent.lua");
static FORGET_CONSENTS: Script = script!(" flags=allow-oom", "forget_consents.lua");
static FORGET_CONSENTS_OF_CLIENT: Script = script!(" flags=allow-oom", "forget_consents_of_client.lua");
static COUNT_FAILURE: Script = script!("", "count_failure.lua");
static FAILURES: Script = script!(" flags=no-writes", "failures.lua");
static CLEAR_FAILURES: Script = script!(" flags=allow-oom", "clear_failures.lua");
static PURGE: Script = script!(" flags=allow-oom", "sessions.lua", "purge_accounts.lua");

/// How many consents are forgotten in one step: other calls wait as long as it takes.
const CONSENTS: u64 = 500;

/// What names consent to a client at a resource, for one human; neither part holds a space.
pub(super) fn consent_field(client: &ClientId, resource: &ResourceUri) -> String {
    format!("{client} {}", resource.canonical())
}

/// The same in the list of what all humans agreed to; no part holds a space.
pub(super) fn consent_member(client: &ClientId, user: &UserId, resource: &ResourceUri) -> String {
    format!("{client} {user} {}", resource.canonical())
}

/// The fields of an account.
pub(super) fn user_fields(user: &User) -> StoreResult<[(&'static str, String); 5]> {
    Ok([
        ("id", user.id.to_string()),
        ("username", user.username.as_str().to_owned()),
        ("password_hash", user.password.expose().to_owned()),
        ("status", word(&user.status)?),
        ("created_at", user.created_at.unix().to_string()),
    ])
}

impl Redis {
    pub(super) fn user(&self, id: &str) -> String {
        self.names.accounts(format_args!("user:{id}"))
    }

    pub(super) fn consents(&self, id: impl fmt::Display) -> String {
        self.names.accounts(format_args!("consents:{id}"))
    }

    /// A list of the consents of all, by client.
    pub(super) fn all_consents(&self) -> String {
        self.names.accounts("consents")
    }

    /// A script whose keys begin with those of sessions.
    pub(super) fn on_sessions(&self, script: &'static Script) -> Invocation {
        let [sessions, seen, authenticated, by_user] =
            ["sessions", "seen", "authenticated", "by-user"].map(|kind| self.names.accounts(kind));
        script.call([&sessions, &seen, &authenticated, &by_user])
    }

    pub(super) fn on_failures(&self, script: &'static Script) -> Invocation {
        let [failures, windows] = ["failures", "windows"].map(|kind| self.names.accounts(kind));
        script.call([&failures, &windows])
    }

    /// A change of one field of an account.
    fn change(&self, id: &UserId, field: &str, value: &str, ends_sessions: bool) -> Invocation {
        let change = self.on_sessions(&CHANGE).key(self.user(id.as_str()));
        change.arg(id.as_str()).arg(field).arg(value).arg(i32::from(ends_sessions))
    }

    pub(super) async fn users(&self, ids: &[String]) -> StoreResult<Vec<User>> {
        let get = |id: &String| -> Cmd {
            let mut get = cmd("HGETALL");
            get.arg(self.user(id));
            get
        };
        let commands: Vec<Cmd> = ids.iter().map(get).collect();
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut users = Vec::with_capacity(commands.len());
        for answer in self.read(&self.names.accounts("names"), &commands).await? {
            users.extend(Columns::from_hash(answer)?.as_ref().map(user).transpose()?);
        }
        Ok(users)
    }
}

#[async_trait]
impl AccountStore for Redis {
    async fn create_user(&self, user: &User) -> StoreResult<Creation> {
        let [names, by_name] = ["names", "by-name"].map(|kind| self.names.accounts(kind));
        let create = CREATE.call([&self.user(user.id.as_str()), &names, &by_name]);
        let create = create.arg(user.id.as_str()).arg(user.username.as_str()).arg(&user_fields(user)?);
        Ok(if read(self.tell(create).await?)? { Creation::Created } else { Creation::Taken })
    }

    async fn find_user(&self, id: &UserId) -> StoreResult<Option<User>> {
        let found = self.read_one(Keyed::new("HGETALL", self.user(id.as_str()))).await?;
        Columns::from_hash(found)?.as_ref().map(user).transpose()
    }

    async fn active_user(&self, id: &UserId) -> StoreResult<Option<Username>> {
        Ok(self.find_user(id).await?.and_then(User::name_if_active))
    }

    async fn find_user_by_name(&self, name: &Username) -> StoreResult<Option<User>> {
        let find = Keyed::new("HGET", self.names.accounts("names")).arg(name.as_str());
        let id: Option<String> = read(self.read_one(find).await?)?;
        Ok(self.users(&Vec::from_iter(id)).await?.pop())
    }

    async fn list_users(&self, page: Page<Username>) -> StoreResult<Vec<User>> {
        let from = page.after.map_or_else(|| "-".to_owned(), |after| format!("({}", after.as_str()));
        let list = Keyed::new("ZRANGE", self.names.accounts("by-name")).arg(from).arg("+").arg("BYLEX");
        let names: Vec<String> = read(self.read_one(list.arg("LIMIT").arg(0).arg(page.limit)).await?)?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let ids = Keyed::new("HMGET", self.names.accounts("names")).arg(&names);
        let ids: Vec<Option<String>> = read(self.read_one(ids).await?)?;
        self.users(&ids.into_iter().flatten().collect::<Vec<_>>()).await
    }

    async fn set_password(&self, id: &UserId, password: &PasswordHash) -> StoreResult<bool> {
        announced(self.tell(self.change(id, "password_hash", password.expose(), true)).await?)
    }

    async fn set_status(&self, id: &UserId, status: UserStatus) -> StoreResult<bool> {
        let ends_sessions = match status {
            UserStatus::Active => false,
            UserStatus::Disabled => true,
        };
        let change = self.change(id, "status", &word(&status)?, ends_sessions);
        announced(self.tell(self.announcing(change, &Change::User(id.clone()))).await?)
    }

    async fn end_sessions(&self, id: &UserId) -> StoreResult<bool> {
        // Its own value: nothing else changes.
        announced(self.tell(self.change(id, "id", id.as_str(), true)).await?)
    }

    async fn open_session(&self, session: &Session, replaces: Option<&Digest<SessionToken>>) -> StoreResult<bool> {
        let open = self.on_sessions(&OPEN_SESSION).key(self.user(session.user_id.as_str()));
        let open = open
            .arg(session.user_id.as_str())
            .arg(session.digest.as_bytes())
            .arg(session.auth_time.unix())
            .arg(session.last_seen_at.unix());
        let open = match replaces {
            Some(old) => open.arg(old.as_bytes()),
            None => open.arg(""),
        };
        read(self.tell(open).await?)
    }

    async fn find_session(&self, digest: &Digest<SessionToken>) -> StoreResult<Option<(Session, User)>> {
        let sessions = self.names.accounts("sessions");
        let find = Keyed::new("HGET", sessions.clone()).arg(digest.as_bytes());
        let found: Option<String> = read(self.read_one(find).await?)?;
        // Whose it is does not change; everything else is read in one moment.
        let Some((_, id)) = found.as_ref().and_then(|found| found.split_once(' ')) else { return Ok(None) };
        let find = FIND_SESSION.call([&sessions, &self.names.accounts("seen"), &self.user(id)]);
        let found: Option<(String, i64, Value)> = read(self.ask(find.arg(digest.as_bytes())).await?)?;
        let Some((record, last_seen_at, account)) = found else { return Ok(None) };
        let (auth_time, id) = record.split_once(' ').ok_or_else(|| corrupt("a session of nobody"))?;
        let mut columns = Columns::default();
        columns.set("digest", digest.as_bytes());
        columns.set("user_id", id);
        columns.set("auth_time", auth_time);
        columns.set("last_seen_at", last_seen_at.to_string());
        let account = Columns::from_hash(account)?.ok_or_else(|| corrupt("a session of an unknown account"))?;
        Ok(Some((session(&columns)?, user(&account)?)))
    }

    async fn touch_session(&self, digest: &Digest<SessionToken>, now: Timestamp) -> StoreResult<()> {
        let seen = Keyed::new("ZADD", self.names.accounts("seen"));
        self.put([seen.arg("XX").arg("GT").arg(now.unix()).arg(digest.as_bytes())]).await.map(drop)
    }

    async fn close_session(&self, digest: &Digest<SessionToken>) -> StoreResult<bool> {
        read(self.tell(self.on_sessions(&CLOSE_SESSION).arg(digest.as_bytes())).await?)
    }

    async fn consented(&self, user: &UserId, client: &ClientId, resource: &ResourceUri) -> StoreResult<Scope> {
        let find = Keyed::new("HGET", self.consents(user)).arg(consent_field(client, resource));
        let found: Option<String> = read(self.read_one(find).await?)?;
        let scope = found.as_ref().and_then(|found| found.split_once(' ')).map_or("", |(_, scope)| scope);
        Scope::parse(scope).map_err(corrupt)
    }

    async fn add_consent(&self, consent: &Consent) -> StoreResult<()> {
        let Consent { user_id, client_id, resource, scope, updated_at } = consent;
        let add = ADD_CONSENT.call([&self.consents(user_id), &self.all_consents()]);
        let add = add.arg(consent_field(client_id, resource)).arg(consent_member(client_id, user_id, resource));
        let (add, scope) = (add.arg(updated_at.unix()), scope.to_string());
        let add = scope.split_ascii_whitespace().fold(add, |add, word| add.arg(word));
        self.tell(add).await.map(drop)
    }

    async fn forget_consents(&self, user: &UserId, client: Option<&ClientId>) -> StoreResult<u64> {
        let forget = FORGET_CONSENTS.call([&self.consents(user), &self.all_consents()]).arg(user.as_str());
        read(self.tell(forget.arg(client.map_or("", ClientId::as_str))).await?)
    }

    async fn forget_consents_of_client(&self, client: &ClientId) -> StoreResult<u64> {
        let mut forgotten = 0;
        loop {
            let forget = FORGET_CONSENTS_OF_CLIENT.call([&self.all_consents()]);
            let forget = forget.arg(client.as_str()).arg(CONSENTS).arg(self.consents(""));
            let some: u64 = read(self.tell(forget).await?)?;
            forgotten += some;
            if some < CONSENTS {
                return Ok(forgotten);
            }
        }
    }

    async fn count_failure(&self, key: &ReplayId, until: Timestamp, now: Timestamp) -> StoreResult<u32> {
        let count = self.on_failures(&COUNT_FAILURE).arg(key.as_bytes()).arg(until.unix()).arg(now.unix());
        let count: u64 = read(self.tell(count).await?)?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    async fn failures(&self, key: &ReplayId, now: Timestamp) -> StoreResult<Option<(u32, Timestamp)>> {
        let found: Option<(u64, i64)> = read(self.ask(self.on_failures(&FAILURES).arg(key.as_bytes())).await?)?;
        let found = found.map(|(count, end)| (u32::try_from(count).unwrap_or(u32::MAX), Timestamp::from_unix(end)));
        Ok(found.filter(|(_, end)| !end.is_over(now)))
    }

    async fn clear_failures(&self, key: &ReplayId) -> StoreResult<()> {
        self.tell(self.on_failures(&CLEAR_FAILURES).arg(key.as_bytes())).await.map(drop)
    }

    async fn purge(&self, lifetime: SessionLifetime, now: Timestamp, limit: u32) -> StoreResult<u64> {
        let [failures, windows] = ["failures", "windows"].map(|kind| self.names.accounts(kind));
        let purge = self.on_sessions(&PURGE).key(failures).key(windows);
        // The smaller of two ends has passed when either has.
        let purge = purge.arg(now.minus(lifetime.idle).unix()).arg(now.minus(lifetime.absolute).unix());
        read(self.tell(purge.arg(now.unix()).arg(limit)).await?)
    }

    async fn ping(&self) -> StoreResult<()> {
        self.answers().await
    }
}
