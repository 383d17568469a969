//! Recording entries of another store, each in the place of what has its name here. Everything that leads to an entry is written
//! with it, in the same order and by the same rules as when it first came to be.

use super::{
    Keyed, Redis,
    accounts::{consent_field, consent_member, user_fields},
    clients::{client_fields, with_fields},
    columns::read,
    family::{Written, written},
    keys::key_json,
    news::announced,
    script::{Script, script},
};
use crate::{
    domain::{
        account::{Consent, Session, User},
        assertion::ReplayId,
        client::{Client, Provenance, Removal},
        grant::Grant,
        identifier::{ClientId, UserId},
        key::KeyRecord,
        time::Timestamp,
    },
    port::store::{AuditStore, Change, Entry, GrantFamily, StoreError, StoreResult, TokenStore},
    store::record::{corrupt, word},
};

static CLIENT: Script = script!("", "announce.lua", "import_client.lua");
static GRANT: Script = script!("", "import_grant.lua");
static USER: Script = script!("", "announce.lua", "import_user.lua");
static SESSION: Script = script!("", "sessions.lua", "import_session.lua");
static PAIR: Script = script!("", "import_pair.lua");
static KEY: Script = script!("", "announce.lua", "import_key.lua");

/// The lists that a client can be in, by their places among the keys of `import_client.lua`.
const IDS: u8 = 2;
const NEVER_USED: u8 = 3;
const USED: u8 = 4;
const REMOVED: u8 = 5;

impl Redis {
    /// Records an entry in the place of one of the same name.
    pub(super) async fn record(&self, entry: &Entry) -> StoreResult<()> {
        match entry {
            Entry::Client(client) => self.import_client(client).await,
            Entry::RemovedClient { id, reason, at } => self.import_tombstone(id, *reason, *at).await,
            Entry::Grant(family) => self.import_family(family).await,
            // One with a grant comes with its grant; by itself it could be refused.
            Entry::AccessToken(access) if access.token.grant_id().is_some() => {
                Err(corrupt("an access token that is imported alone is of a grant"))
            }
            Entry::AccessToken(access) => self.record_access(access).await.map(drop),
            Entry::RevokedAccess { id, expires_at } => {
                let revoked = self.names.shard_of(id.as_str().as_bytes()).revoked;
                let revoke = Keyed::new("ZADD", revoked).arg(expires_at.unix()).arg(id.as_str());
                self.put([revoke]).await.map(drop)
            }
            Entry::SingleUse(single) => {
                let uses = self.names.shard_of(single.id.as_bytes()).uses;
                let note = Keyed::new("ZADD", uses).arg(single.until.unix()).arg(single.id.as_bytes());
                self.put([note]).await.map(drop)
            }
            Entry::User(user) => self.import_user(user).await,
            Entry::Session(session) => self.import_session(session).await,
            Entry::Consent(consent) => self.import_consent(consent).await,
            Entry::LoginFailures { key, failures, window_ends_at } => {
                self.import_failures(key, *failures, *window_ends_at).await
            }
            Entry::SigningKey(key) => self.import_key(key).await,
            Entry::AuditEntry(entry) => self.append(std::slice::from_ref(&**entry)).await,
        }
    }

    async fn import_client(&self, client: &Client) -> StoreResult<()> {
        let mut lists = vec![(IDS, 0)];
        if client.provenance == Provenance::Dynamic {
            lists.push(match client.last_used_at {
                Some(at) => (USED, at.unix()),
                None => (NEVER_USED, client.created_at.unix()),
            });
        }
        self.import_named(&client.id, &lists, client_fields(client)?).await
    }

    async fn import_tombstone(&self, id: &ClientId, reason: Removal, at: Timestamp) -> StoreResult<()> {
        let fields = vec![("reason", word(&reason)?.into_bytes()), ("removed_at", at.unix().to_string().into_bytes())];
        self.import_named(id, &[(REMOVED, at.unix())], fields).await
    }

    async fn import_named(
        &self,
        id: &ClientId,
        lists: &[(u8, i64)],
        fields: Vec<(&'static str, Vec<u8>)>,
    ) -> StoreResult<()> {
        let [ids, never_used, used, removed] = self.lists(["ids", "never-used", "used", "removed"]);
        let script = CLIENT.call([&self.client(id), &ids, &never_used, &used, &removed]).arg(id.as_str());
        let script = self.announcing(script, &Change::Client(id.clone())).arg(lists.len());
        let script = lists.iter().fold(script, |script, (list, score)| script.arg(*list).arg(*score));
        announced::<u8>(self.tell(with_fields(script, fields)).await?).map(drop)
    }

    async fn import_family(&self, family: &GrantFamily) -> StoreResult<()> {
        let GrantFamily { grant, code, refresh, access } = family;
        let code = code.as_ref();
        self.forget_old_owners(grant, code.is_some()).await?;
        let Written { fields, ends, due } = written(family)?;
        let mut entries = self.listings(grant);
        entries.extend(code.map(|(code, spent_at)| match spent_at {
            None => self.to_code(code, grant),
            // A spent code is found as long as its grant, and goes with it.
            Some(_) => Keyed::new("SET", self.names.code(&code.digest)).arg(grant.id.as_str()),
        }));
        entries.extend(refresh.iter().map(|(token, _)| self.to_refresh(token, &grant.id)));
        entries.extend(access.iter().map(|access| self.to_access(access, &grant.id)));
        let script = self.grant_call(&GRANT, &grant.id).arg(fields.len() * 2).arg(&fields).arg(&ends);
        let scheduled = self.schedule(grant, code.map(|(code, _)| code), due);
        self.tell_scheduled(scheduled, entries, script).await.map(drop)
    }

    /// Takes away what led to an older version of a grant and will not lead to this one: nothing else would know of it any more.
    async fn forget_old_owners(&self, grant: &Grant, has_code: bool) -> StoreResult<()> {
        let id = grant.id.as_str();
        let owners: Option<String> = read(self.read_one(Keyed::new("HGET", self.names.owners()).arg(id)).await?)?;
        let Some(owners) = owners else { return Ok(()) };
        let [client, user, code] = owners.split(' ').collect::<Vec<_>>()[..] else { return Ok(()) };
        let mut stale = Vec::new();
        if client != grant.client_id.as_str() {
            let client = ClientId::parse(client).map_err(corrupt)?;
            stale.push(Keyed::new("ZREM", self.names.grants_of_client(&client)).arg(id));
        }
        if user != grant.user_id.as_str() {
            let user = UserId::parse(user).map_err(corrupt)?;
            stale.push(Keyed::new("ZREM", self.names.grants_of_user(&user)).arg(id));
        }
        if !has_code && !code.is_empty() {
            stale.push(Keyed::new("UNLINK", self.names.code_named(code)));
        }
        self.note(stale).await
    }

    async fn import_user(&self, user: &User) -> StoreResult<()> {
        let [names, by_name] = ["names", "by-name"].map(|kind| self.names.accounts(kind));
        let import = USER.call([&self.user(user.id.as_str()), &names, &by_name]);
        let import = import.arg(user.id.as_str()).arg(user.username.as_str());
        let import = self.announcing(import, &Change::User(user.id.clone())).arg(&user_fields(user)?);
        let imported: bool = announced(self.tell(import).await?)?;
        refused_unless(imported, "another account has the name of one that is imported")
    }

    async fn import_session(&self, session: &Session) -> StoreResult<()> {
        let import = self.on_sessions(&SESSION).key(self.user(session.user_id.as_str()));
        let import = import
            .arg(session.user_id.as_str())
            .arg(session.digest.as_bytes())
            .arg(session.auth_time.unix())
            .arg(session.last_seen_at.unix());
        let imported: bool = read(self.tell(import).await?)?;
        refused_unless(imported, "a session that is imported is of an unknown account")
    }

    async fn import_consent(&self, consent: &Consent) -> StoreResult<()> {
        let Consent { user_id, client_id, resource, scope, updated_at } = consent;
        let import = PAIR.call([&self.consents(user_id), &self.all_consents()]);
        let import = import.arg(consent_field(client_id, resource)).arg(consent_value(scope.to_string(), *updated_at));
        self.tell(import.arg(consent_member(client_id, user_id, resource)).arg(0)).await.map(drop)
    }

    async fn import_failures(&self, key: &ReplayId, failures: u32, ends: Timestamp) -> StoreResult<()> {
        let import = self.on_failures(&PAIR).arg(key.as_bytes()).arg(failures);
        self.tell(import.arg(key.as_bytes()).arg(ends.unix())).await.map(drop)
    }

    async fn import_key(&self, key: &KeyRecord) -> StoreResult<()> {
        let import = KEY.call([&self.names.keys()]).arg(key.id.as_str()).arg(key_json(key)?);
        announced::<u8>(self.tell(self.announcing(import, &Change::SigningKeys)).await?).map(drop)
    }
}

fn refused_unless(imported: bool, why: &str) -> StoreResult<()> {
    if imported { Ok(()) } else { Err(StoreError::Corrupt(why.to_owned())) }
}

/// As `add_consent.lua` writes it.
fn consent_value(scope: String, at: Timestamp) -> String {
    let at = at.unix().to_string();
    if scope.is_empty() { at } else { format!("{at} {scope}") }
}
