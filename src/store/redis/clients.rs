//! Clients in Redis: each is a hash, and so is the tombstone that takes its place. Lists beside them are for listing, counting
//! and reaping; all of it is in one slot.

use ::redis::{Cmd, ToRedisArgs, cmd};
use async_trait::async_trait;

use super::{
    Keyed, Redis,
    columns::{Columns, read},
    news::announced,
    script::{Invocation, Script, script},
};
use crate::{
    domain::{
        client::{Client, ClientEntry, Provenance, Removal},
        identifier::ClientId,
        time::Timestamp,
    },
    port::store::{Change, ClientStore, Insertion, Page, ReapRule, Replacement, StoreResult},
    store::record::{client, corrupt, entry, to_json, word},
};

static INSERT: Script = script!("", "insert_client.lua");
static REPLACE: Script = script!("", "announce.lua", "replace_client.lua");
static REMOVE: Script = script!(" flags=allow-oom", "announce.lua", "remove_client.lua");
static TOUCH: Script = script!("", "touch_client.lua");
static PURGE: Script = script!(" flags=allow-oom", "purge_tombstones.lua");

/// A column and, if it is filled, its value.
type Column = (&'static str, Option<Vec<u8>>);

/// What an update may change of a client.
fn columns(client: &Client) -> StoreResult<[Column; 17]> {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let optional = |value: &Option<String>| value.as_ref().map(|value| value.as_bytes().to_vec());
    let grant_types: Vec<&str> = client.grant_types.iter().map(|grant| grant.as_str()).collect();
    Ok([
        ("id", text(client.id.as_str())),
        ("name", optional(&client.name)),
        ("uri", optional(&client.uri)),
        ("provenance", text(&word(&client.provenance)?)),
        ("status", text(&word(&client.status)?)),
        ("authentication", text(client.authentication.as_str())),
        ("secrets", text(&to_json(&client.secrets)?)),
        ("jwks", client.jwks.as_ref().map(to_json).transpose()?.map(Into::into)),
        ("redirect_uris", text(&to_json(&client.redirect_uris)?)),
        ("grant_types", text(&to_json(&grant_types)?)),
        ("application_type", text(client.application_type.as_str())),
        ("scope", text(&client.scope.to_string())),
        ("resources", text(&to_json(&client.resources)?)),
        ("may_introspect", text(if client.may_introspect { "1" } else { "0" })),
        ("software_id", optional(&client.software_id)),
        ("software_version", optional(&client.software_version)),
        ("registration_token", client.registration_token.as_ref().map(|digest| digest.as_bytes().to_vec())),
    ])
}

/// All that is filled of a client.
pub(super) fn client_fields(client: &Client) -> StoreResult<Vec<(&'static str, Vec<u8>)>> {
    let number = |number: String| Some(number.into_bytes());
    let all = columns(client)?.into_iter().chain([
        ("created_at", number(client.created_at.unix().to_string())),
        ("last_used_at", client.last_used_at.and_then(|at| number(at.unix().to_string()))),
        ("version", number(client.version.to_string())),
    ]);
    Ok(all.filter_map(|(name, value)| Some((name, value?))).collect())
}

fn is_dynamic(client: &Client) -> &'static str {
    if client.provenance == Provenance::Dynamic { "1" } else { "0" }
}

fn optional(time: Option<Timestamp>) -> String {
    time.map(|at| at.unix().to_string()).unwrap_or_default()
}

impl Redis {
    pub(super) fn client(&self, id: &ClientId) -> String {
        self.names.clients(format_args!("client:{id}"))
    }

    pub(super) fn lists<const N: usize>(&self, kinds: [&str; N]) -> [String; N] {
        kinds.map(|kind| self.names.clients(kind))
    }

    /// Those of these that are registered, in the same order.
    pub(super) async fn registered(&self, ids: Vec<String>) -> StoreResult<Vec<Client>> {
        let get = |id: &String| -> Cmd {
            let mut get = cmd("HGETALL");
            get.arg(self.names.clients(format_args!("client:{id}")));
            get
        };
        let commands: Vec<Cmd> = ids.iter().map(get).collect();
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut clients = Vec::with_capacity(commands.len());
        for answer in self.read(&self.names.clients("ids"), &commands).await? {
            // It may have been removed since it was listed.
            if let Some(columns) = Columns::from_hash(answer)?.filter(|columns| columns.has("id")) {
                clients.push(client(&columns)?);
            }
        }
        Ok(clients)
    }

    /// Names from a list by time, oldest first, from before `before`.
    async fn before(&self, list: String, before: Timestamp, limit: u32) -> StoreResult<Vec<String>> {
        let list = Keyed::new("ZRANGE", list).arg("-inf").arg(format!("({}", before.unix())).arg("BYSCORE");
        read(self.read_one(list.arg("LIMIT").arg(0).arg(limit)).await?)
    }

    fn removal(&self, id: &ClientId, reason: Removal, now: Timestamp) -> StoreResult<Invocation> {
        let [ids, never_used, used, removed] = self.lists(["ids", "never-used", "used", "removed"]);
        let script = REMOVE.call([&self.client(id), &ids, &never_used, &used, &removed]);
        let script = script.arg(id.as_str()).arg(word(&reason)?).arg(now.unix());
        Ok(self.announcing(script, &Change::Client(id.clone())))
    }
}

/// Fields and values.
pub(super) fn with_fields<V: ToRedisArgs>(
    script: Invocation,
    fields: impl IntoIterator<Item = (&'static str, V)>,
) -> Invocation {
    fields.into_iter().fold(script, |script, (name, value)| script.arg(name).arg(value))
}

#[async_trait]
impl ClientStore for Redis {
    async fn insert(&self, client: &Client, max_dynamic: Option<u64>) -> StoreResult<Insertion> {
        let [ids, never_used, used] = self.lists(["ids", "never-used", "used"]);
        let script = INSERT.call([&self.client(&client.id), &ids, &never_used, &used]);
        let script = script
            .arg(client.id.as_str())
            .arg(max_dynamic.map(|limit| limit.to_string()).unwrap_or_default())
            .arg(is_dynamic(client))
            .arg(client.created_at.unix())
            .arg(optional(client.last_used_at));
        let outcome: String = read(self.tell(with_fields(script, client_fields(client)?)).await?)?;
        match outcome.as_str() {
            "inserted" => Ok(Insertion::Inserted),
            "taken" => Ok(Insertion::Taken),
            "full" => Ok(Insertion::LimitReached),
            other => Err(corrupt(format_args!("an outcome: {other}"))),
        }
    }

    async fn find(&self, id: &ClientId) -> StoreResult<Option<ClientEntry>> {
        let found = self.read_one(Keyed::new("HGETALL", self.client(id))).await?;
        entry(&Columns::from_hash(found)?.unwrap_or_default())
    }

    async fn replace(&self, client: &Client) -> StoreResult<Replacement> {
        let [never_used, used] = self.lists(["never-used", "used"]);
        let script = REPLACE.call([&self.client(&client.id), &never_used, &used]);
        let (filled, empty): (Vec<_>, Vec<_>) = columns(client)?.into_iter().partition(|(_, value)| value.is_some());
        let script = script.arg(client.id.as_str()).arg(client.version).arg(is_dynamic(client));
        let script = self.announcing(script, &Change::Client(client.id.clone())).arg(filled.len() * 2);
        let script = with_fields(script, filled.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let script = empty.iter().fold(script, |script, (name, _)| script.arg(name));
        let outcome: String = announced(self.tell(script).await?)?;
        match outcome.as_str() {
            "replaced" => Ok(Replacement::Replaced),
            "conflict" => Ok(Replacement::Conflict),
            "gone" => Ok(Replacement::Gone),
            other => Err(corrupt(format_args!("an outcome: {other}"))),
        }
    }

    async fn remove(&self, id: &ClientId, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        announced(self.tell(self.removal(id, reason, now)?).await?)
    }

    async fn touch(&self, id: &ClientId, now: Timestamp) -> StoreResult<bool> {
        let [never_used, used] = self.lists(["never-used", "used"]);
        let touch = TOUCH.call([&self.client(id), &never_used, &used]);
        read(self.tell(touch.arg(id.as_str()).arg(now.unix())).await?)
    }

    async fn list(&self, page: Page<ClientId>) -> StoreResult<Vec<Client>> {
        let from = page.after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let ids = Keyed::new("ZRANGE", self.names.clients("ids")).arg(from).arg("+").arg("BYLEX");
        let ids = read(self.read_one(ids.arg("LIMIT").arg(0).arg(page.limit)).await?)?;
        self.registered(ids).await
    }

    async fn reapable(&self, rule: ReapRule, limit: u32) -> StoreResult<Vec<Client>> {
        let [never_used, used] = self.lists(["never-used", "used"]);
        let mut ids = self.before(never_used, rule.never_used_before, limit).await?;
        ids.extend(self.before(used, rule.idle_before, limit).await?);
        ids.truncate(limit as usize);
        self.registered(ids).await
    }

    async fn reap(&self, client: &Client, reason: Removal, now: Timestamp) -> StoreResult<bool> {
        let reap = self.removal(&client.id, reason, now)?.arg(optional(client.last_used_at));
        announced(self.tell(reap).await?)
    }

    async fn purge_tombstones(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        let removed = self.names.clients("removed");
        let ids = self.before(removed.clone(), before, limit).await?;
        if ids.is_empty() {
            return Ok(0);
        }
        let script = ids.iter().fold(PURGE.call([&removed]), |script, id| {
            script.key(self.names.clients(format_args!("client:{id}"))).arg(id)
        });
        read(self.tell(script).await?)
    }

    async fn ping(&self) -> StoreResult<()> {
        self.answers().await
    }
}
