//! Moving everything out of Redis and into it.
//!
//! Every kind of entries has lists of its own: one, or one for each shard. They are read one after the other, each in the order
//! of its scores and members, and a cursor is the last place. A score changes only where one thing ends and another of the same
//! name begins (a use that is over, a window of failed logins); such an entry may come twice. A member that leads nowhere is
//! left out.

use std::{collections::HashMap, str::FromStr};

use ::redis::Cmd;
use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::task::{JoinError, JoinSet};

use super::{
    Keyed, Redis,
    audit::from_member,
    columns::{Columns, read},
    family::read_family,
    names::{SHARDS, ShardKeys, base64},
    script::{Script, script},
};
use crate::{
    domain::identifier::GrantId,
    port::store::{Archive, Entry, EntryKind, Exported, KeyStore, StoreError, StoreResult},
    store::record::{archived, corrupt},
};

static PART: Script = script!(" flags=no-writes", "bytes.lua", "part.lua");

/// How many entries are recorded at the same time, so that the server writes its log for many of them at once.
const AT_ONCE: usize = 64;

/// A member of a list with its score, both as they are.
type Member = (Vec<u8>, String);

/// The lists of a kind: one name in each slot, in an order that is the same for every version of the program.
fn lists(redis: &Redis, kind: EntryKind) -> Vec<String> {
    let names = &redis.names;
    let sharded = |of: fn(ShardKeys) -> String| (0..SHARDS).map(|number| of(names.shard(number))).collect();
    match kind {
        EntryKind::Client => vec![names.clients("ids")],
        EntryKind::RemovedClient => vec![names.clients("removed")],
        EntryKind::Grant => vec![names.all_grants()],
        EntryKind::AccessToken => sharded(|shard| shard.alone),
        EntryKind::RevokedAccess => sharded(|shard| shard.revoked),
        EntryKind::SingleUse => sharded(|shard| shard.uses),
        EntryKind::User => vec![names.accounts("by-name")],
        EntryKind::Session => vec![names.accounts("by-user")],
        EntryKind::Consent => vec![redis.all_consents()],
        EntryKind::LoginFailures => vec![names.accounts("windows")],
        EntryKind::AuditEntry => vec![names.audit("entries")],
        // A handful, in a hash.
        EntryKind::SigningKey => Vec::new(),
    }
}

/// Where a part begins: in which list, and behind which member.
struct Cursor {
    list: usize,
    behind: Member,
}

impl Cursor {
    fn to_text(&self) -> String {
        let (member, score) = &self.behind;
        format!("{} {score} {}", self.list, base64(member))
    }
}

impl FromStr for Cursor {
    type Err = StoreError;

    fn from_str(text: &str) -> StoreResult<Self> {
        let [list, score, member] = text.split(' ').collect::<Vec<_>>()[..] else {
            return Err(corrupt("a cursor of another store"));
        };
        let score = score.parse::<f64>().map(|_| score.to_owned()).map_err(corrupt)?;
        let member = URL_SAFE_NO_PAD.decode(member).map_err(corrupt)?;
        Ok(Self { list: list.parse().map_err(corrupt)?, behind: (member, score) })
    }
}

impl Redis {
    /// The next members of a list.
    async fn part(&self, list: &str, behind: Option<Member>, limit: usize) -> StoreResult<Vec<Member>> {
        let mut part = PART.call([list]).arg(limit);
        if let Some((member, score)) = behind {
            part = part.arg(score).arg(member);
        }
        read(self.ask(part).await?)
    }

    /// Those entries that there are behind members of a list.
    async fn entries_of(&self, kind: EntryKind, members: Vec<Member>) -> StoreResult<Vec<Entry>> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let records = match kind {
            EntryKind::Client => {
                let clients = self.registered(members.into_iter().map(name).collect::<StoreResult<_>>()?).await?;
                return Ok(clients.into_iter().map(|client| Entry::Client(Box::new(client))).collect());
            }
            EntryKind::User => {
                let names: Vec<String> = members.into_iter().map(name).collect::<StoreResult<_>>()?;
                let ids = Keyed::new("HMGET", self.names.accounts("names")).arg(&names);
                let ids: Vec<Option<String>> = read(self.read_one(ids).await?)?;
                let users = self.users(&ids.into_iter().flatten().collect::<Vec<_>>()).await?;
                return Ok(users.into_iter().map(Entry::User).collect());
            }
            EntryKind::Grant => return self.families(members).await,
            EntryKind::AuditEntry => {
                let entry = |(member, _): Member| Ok(Entry::AuditEntry(Box::new(from_member(&member)?)));
                return members.into_iter().map(entry).collect();
            }
            EntryKind::SigningKey => return Err(corrupt("keys are in no list")),
            EntryKind::RemovedClient => self.tombstones(members).await?,
            EntryKind::AccessToken => self.alone(members).await?,
            EntryKind::RevokedAccess => pairs("token_id", "expires_at", members),
            EntryKind::SingleUse => pairs("id", "expires_at", members),
            EntryKind::Session => self.sessions(members).await?,
            EntryKind::Consent => self.agreements(members).await?,
            EntryKind::LoginFailures => self.windows(members).await?,
        };
        records.iter().map(|record| archived(kind, record)).collect()
    }

    async fn families(&self, members: Vec<Member>) -> StoreResult<Vec<Entry>> {
        let whole = |member| {
            Ok(Keyed::new("HGETALL", self.names.grant(&GrantId::parse(&name(member)?).map_err(corrupt)?).grant))
        };
        let whole = members.into_iter().map(whole).collect::<StoreResult<_>>()?;
        let mut entries = Vec::new();
        for answer in self.read_each(whole).await? {
            let fields: HashMap<Vec<u8>, Vec<u8>> = read(answer)?;
            entries.extend(read_family(fields)?.map(|family| Entry::Grant(Box::new(family))));
        }
        Ok(entries)
    }

    async fn tombstones(&self, members: Vec<Member>) -> StoreResult<Vec<Columns>> {
        let ids: Vec<String> = members.into_iter().map(name).collect::<StoreResult<_>>()?;
        let fields = ["reason", "removed_at"];
        let get = |id| Keyed::new("HMGET", self.names.clients(format_args!("client:{id}"))).arg(&fields).command;
        let commands: Vec<Cmd> = ids.iter().map(get).collect();
        let mut found = Vec::new();
        for (id, answer) in ids.into_iter().zip(self.read(&self.names.clients("removed"), &commands).await?) {
            let mut columns = Columns::from_fields(&fields, read(answer)?);
            if columns.has("reason") {
                columns.set("id", id);
                found.push(columns);
            }
        }
        Ok(found)
    }

    /// Access tokens without a grant, all of one shard.
    async fn alone(&self, members: Vec<Member>) -> StoreResult<Vec<Columns>> {
        let digests = members.into_iter().map(|(member, _)| URL_SAFE_NO_PAD.decode(member).map_err(corrupt));
        let digests: Vec<Vec<u8>> = digests.collect::<StoreResult<_>>()?;
        let name = |digest: &Vec<u8>| format!("{}{}", self.names.shard_of(digest).access, base64(digest));
        let keys: Vec<String> = digests.iter().map(name).collect();
        let Some(slot) = keys.first() else { return Ok(Vec::new()) };
        let commands: Vec<Cmd> = keys.iter().map(|key| Keyed::new("GET", key.clone()).command).collect();
        let mut found = Vec::new();
        for (digest, answer) in digests.into_iter().zip(self.read(slot, &commands).await?) {
            let token: Option<Vec<u8>> = read(answer)?;
            if let Some([b't', record @ ..]) = token.as_deref() {
                let mut columns = Columns::from_json(record)?;
                columns.set("digest", digest);
                found.push(columns);
            }
        }
        Ok(found)
    }

    async fn sessions(&self, members: Vec<Member>) -> StoreResult<Vec<Columns>> {
        let of_user = |(member, _): Member| {
            let space = member.iter().position(|byte| *byte == b' ').ok_or_else(|| corrupt("a session of nobody"))?;
            Ok((member[..space].to_vec(), member[space + 1..].to_vec()))
        };
        let members: Vec<(Vec<u8>, Vec<u8>)> = members.into_iter().map(of_user).collect::<StoreResult<_>>()?;
        let digests: Vec<&Vec<u8>> = members.iter().map(|(_, digest)| digest).collect();
        let [sessions, seen] = ["sessions", "seen"].map(|kind| self.names.accounts(kind));
        let commands = [Keyed::new("HMGET", sessions.clone()), Keyed::new("ZMSCORE", seen)]
            .map(|keyed| keyed.arg(&digests).command);
        let mut answers = self.read(&sessions, &commands).await?.into_iter();
        let mut answer = || answers.next().ok_or_else(|| corrupt("no answer"));
        let (records, seen): (Vec<Option<String>>, Vec<Option<f64>>) = (read(answer()?)?, read(answer()?)?);
        let mut found = Vec::new();
        for (((user, digest), record), seen) in members.into_iter().zip(records).zip(seen) {
            let (Some(record), Some(seen)) = (record, seen) else { continue };
            let (auth_time, _) = record.split_once(' ').ok_or_else(|| corrupt("a session of nobody"))?;
            let mut columns = Columns::default();
            columns.set("digest", digest);
            columns.set("user_id", user);
            columns.set("auth_time", auth_time);
            columns.set("last_seen_at", seen.to_string());
            found.push(columns);
        }
        Ok(found)
    }

    async fn agreements(&self, members: Vec<Member>) -> StoreResult<Vec<Columns>> {
        let members: Vec<String> = members.into_iter().map(name).collect::<StoreResult<_>>()?;
        let parts = |member: &'_ String| -> StoreResult<[String; 3]> {
            let parts: Vec<String> = member.splitn(3, ' ').map(str::to_owned).collect();
            parts.try_into().map_err(|_| corrupt("a consent of nobody"))
        };
        let members: Vec<[String; 3]> = members.iter().map(parts).collect::<StoreResult<_>>()?;
        let get = |[client, user, resource]: &[String; 3]| {
            Keyed::new("HGET", self.consents(user)).arg(format!("{client} {resource}")).command
        };
        let commands: Vec<Cmd> = members.iter().map(get).collect();
        let mut found = Vec::new();
        for ([client, user, resource], answer) in
            members.into_iter().zip(self.read(&self.all_consents(), &commands).await?)
        {
            let Some(value) = read::<Option<String>>(answer)? else { continue };
            let (at, scope) = value.split_once(' ').unwrap_or((&value, ""));
            let mut columns = Columns::default();
            columns.set("client_id", client);
            columns.set("user_id", user);
            columns.set("resource", resource);
            columns.set("updated_at", at);
            columns.set("scope", scope);
            found.push(columns);
        }
        Ok(found)
    }

    async fn windows(&self, members: Vec<Member>) -> StoreResult<Vec<Columns>> {
        let keys: Vec<&Vec<u8>> = members.iter().map(|(key, _)| key).collect();
        let counts = Keyed::new("HMGET", self.names.accounts("failures")).arg(&keys);
        let counts: Vec<Option<String>> = read(self.read_one(counts).await?)?;
        let mut found = Vec::new();
        for (columns, count) in pairs("key", "window_ends_at", members).into_iter().zip(counts) {
            let (mut columns, Some(count)) = (columns, count) else { continue };
            columns.set("failures", count);
            found.push(columns);
        }
        Ok(found)
    }

    async fn some_keys(&self, after: Option<&str>, limit: usize) -> StoreResult<Exported> {
        let mut keys = KeyStore::list(self).await?;
        keys.retain(|key| after.is_none_or(|after| key.id.as_str() > after));
        keys.sort_by(|a, b| a.id.cmp(&b.id));
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| more).map(|key| key.id.to_string());
        Ok(Exported { entries: keys.into_iter().map(|key| Entry::SigningKey(Box::new(key))).collect(), next })
    }
}

/// A member that is a name.
fn name((member, _): Member) -> StoreResult<String> {
    String::from_utf8(member).map_err(corrupt)
}

/// Members and scores as two columns.
fn pairs(member: &str, score: &str, members: Vec<Member>) -> Vec<Columns> {
    let columns = |(name, time): Member| {
        let mut columns = Columns::default();
        columns.set(member, name);
        columns.set(score, time);
        columns
    };
    members.into_iter().map(columns).collect()
}

#[async_trait]
impl Archive for Redis {
    async fn count(&self, kind: EntryKind) -> StoreResult<u64> {
        if kind == EntryKind::SigningKey {
            return read(self.read_one(Keyed::new("HLEN", self.names.keys())).await?);
        }
        let counts = lists(self, kind).into_iter().map(|list| Keyed::new("ZCARD", list)).collect();
        self.read_each(counts).await?.into_iter().map(read::<u64>).sum()
    }

    async fn export(&self, kind: EntryKind, after: Option<&str>, limit: u32) -> StoreResult<Exported> {
        let mut left = limit.max(1) as usize;
        if kind == EntryKind::SigningKey {
            return self.some_keys(after, left).await;
        }
        let lists = lists(self, kind);
        let (begin, mut behind) = match after.map(str::parse).transpose()? {
            Some(Cursor { list, .. }) if list >= lists.len() => return Err(corrupt("a cursor of another store")),
            Some(Cursor { list, behind }) => (list, Some(behind)),
            None => (0, None),
        };
        let mut entries = Vec::new();
        for (number, list) in lists.iter().enumerate().skip(begin) {
            let part = self.part(list, behind.take(), left).await?;
            left -= part.len().min(left);
            let last = part.last().cloned().filter(|_| left == 0);
            entries.extend(self.entries_of(kind, part).await?);
            if let Some(behind) = last {
                return Ok(Exported { entries, next: Some(Cursor { list: number, behind }.to_text()) });
            }
        }
        Ok(Exported { entries, next: None })
    }

    async fn import(&self, entries: &[Entry]) -> StoreResult<()> {
        // Those of one kind need not wait for each other; those of the next one may need them.
        for alike in entries.chunk_by(|one, next| one.kind() == next.kind()) {
            let mut recording = JoinSet::new();
            for entry in alike {
                if recording.len() >= AT_ONCE {
                    recording.join_next().await.map_or(Ok(()), recorded)?;
                }
                let (this, entry) = (self.clone(), entry.clone());
                recording.spawn(async move { this.record(&entry).await });
            }
            while let Some(done) = recording.join_next().await {
                recorded(done)?;
            }
        }
        Ok(())
    }
}

fn recorded(done: Result<StoreResult<()>, JoinError>) -> StoreResult<()> {
    done.map_err(|error| StoreError::Unavailable(error.into()))?
}
