//! How tokens are forgotten.
//!
//! 1. A schedule has one entry for each grant: when the first thing in it ends that a purge may take. It is written before the grant
//!    is.
//! 2. A purge prunes grants that are due, each in a step of its own, and then says in the schedule when they are due next, or
//!    takes a grant that is gone out of the lists. Whoever dies in between leaves the entry due, for the next purge. Two purges at
//!    once prune twice, and the second finds nothing.
//! 3. A due grant that is not there may never have come to be, or may be about to, by a caller that is slow. It is looked for
//!    again a day later, when no call can still be under way, and then what leads to it goes.

use tokio::task::JoinSet;

use super::{
    Keyed, Redis,
    columns::read,
    names::SHARDS,
    script::{Script, script},
};
use crate::{
    domain::{
        identifier::{ClientId, GrantId, UserId},
        time::Timestamp,
    },
    port::store::{StoreError, StoreResult},
    store::record::corrupt,
};

static PRUNE_GRANT: Script = script!(" flags=allow-oom", "prune_grant.lua");
static SETTLE: Script = script!(" flags=allow-oom", "settle.lua");
static PURGE_SHARD: Script = script!(" flags=allow-oom", "purge_shard.lua");

/// How many grants are pruned at a time: enough that a server which writes every change through to its disk does so for many of
/// them at once.
const BATCH: u64 = 64;

/// How long a grant is missing before it is taken for gone, in seconds.
const MISSING: i64 = 86_400;

/// How many of each kind: grants, codes, refresh tokens, access tokens.
type Counts = [u64; 4];

/// What `prune_grant.lua` answers: a word for what became of the grant, what went, and when it is due next.
type Pruned = (String, u64, u64, u64, u64, String);

impl Redis {
    /// Uses, access revocations and access tokens without a grant.
    pub(super) async fn purge_shards(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        let mut left = [u64::from(limit); 3];
        for number in 0..SHARDS {
            let keys = self.names.shard(number);
            let purge = PURGE_SHARD.call([&keys.uses, &keys.revoked, &keys.alone]);
            let purge = purge.arg(now.unix()).arg(&left).arg(keys.access);
            let gone: [u64; 3] = read(self.tell(purge).await?)?;
            for (left, gone) in left.iter_mut().zip(gone) {
                *left = left.saturating_sub(gone);
            }
        }
        Ok(left.iter().map(|left| u64::from(limit) - left).sum())
    }

    /// Grants and what hangs off them.
    pub(super) async fn purge_grants(&self, now: Timestamp, limit: u32) -> StoreResult<u64> {
        let limit = u64::from(limit);
        let mut left: Counts = [limit; 4];
        self.forget_missing(now, limit).await?;
        loop {
            // So many that each of them may take something of every kind, and all of them together no more than is left.
            let width = left.into_iter().fold(BATCH, u64::min);
            if width == 0 {
                break;
            }
            let due = self.over(self.names.due(), now, width).await?;
            let more = due.len() as u64 == width;
            let mut prunings = JoinSet::new();
            for (id, at) in due {
                let (redis, share) = (self.clone(), left.map(|left| left / width));
                prunings.spawn(async move { redis.prune(&id, &at, share, now).await });
            }
            while let Some(pruned) = prunings.join_next().await {
                let gone = pruned.map_err(|error| StoreError::Unavailable(error.into()))??;
                for (left, gone) in left.iter_mut().zip(gone) {
                    *left = left.saturating_sub(gone);
                }
            }
            if !more {
                break;
            }
        }
        Ok(left.iter().map(|left| limit - left).sum())
    }

    /// Members of a list by time that are over, with their times.
    async fn over(&self, list: String, now: Timestamp, limit: u64) -> StoreResult<Vec<(GrantId, String)>> {
        let over = Keyed::new("ZRANGE", list).arg("-inf").arg(now.unix()).arg("BYSCORE");
        let over = over.arg("LIMIT").arg(0).arg(limit).arg("WITHSCORES");
        let over: Vec<(String, f64)> = read(self.read_one(over).await?)?;
        over.into_iter().map(|(id, at)| Ok((GrantId::parse(&id).map_err(corrupt)?, at.to_string()))).collect()
    }

    async fn prune(&self, id: &GrantId, at: &str, share: Counts, now: Timestamp) -> StoreResult<Counts> {
        let prune = self.grant_call(&PRUNE_GRANT, id).arg(now.unix()).arg(&share);
        let (what, grants, codes, refresh, access, due): Pruned = read(self.tell(prune).await?)?;
        match what.as_str() {
            "kept" => {
                let settle = SETTLE.call([&self.names.due()]).arg(id.as_str()).arg(at).arg(due);
                self.tell(settle).await?;
            }
            "deleted" => self.unlist(id).await?,
            "gone" => {
                let again = Keyed::new("ZADD", self.names.missing()).arg("NX");
                self.put([again.arg(now.unix().saturating_add(MISSING)).arg(id.as_str())]).await?;
                self.put([Keyed::new("ZREM", self.names.due()).arg(id.as_str())]).await?;
            }
            other => return Err(corrupt(format_args!("an outcome: {other}"))),
        }
        Ok([grants, codes, refresh, access])
    }

    async fn forget_missing(&self, now: Timestamp, limit: u64) -> StoreResult<()> {
        for (id, _) in self.over(self.names.missing(), now, limit).await? {
            let there: bool = read(self.read_one(Keyed::new("EXISTS", self.names.grant(&id).grant)).await?)?;
            if there {
                self.note(vec![Keyed::new("ZADD", self.names.due()).arg("NX").arg(now.unix()).arg(id.as_str())])
                    .await?;
                self.put([Keyed::new("ZREM", self.names.missing()).arg(id.as_str())]).await?;
            } else {
                self.unlist(&id).await?;
            }
        }
        Ok(())
    }

    /// Takes away what leads to a grant that is gone; last of all what says that this is to be done.
    async fn unlist(&self, id: &GrantId) -> StoreResult<()> {
        let name = id.as_str();
        let owners: Option<String> = read(self.read_one(Keyed::new("HGET", self.names.owners()).arg(name)).await?)?;
        let mut entries = vec![Keyed::new("ZREM", self.names.all_grants()).arg(name)];
        let owners: Vec<&str> = owners.as_deref().unwrap_or_default().split(' ').collect();
        if let [client, user, code] = owners[..] {
            let client = ClientId::parse(client).map_err(corrupt)?;
            let user = UserId::parse(user).map_err(corrupt)?;
            entries.push(Keyed::new("ZREM", self.names.grants_of_client(&client)).arg(name));
            entries.push(Keyed::new("ZREM", self.names.grants_of_user(&user)).arg(name));
            entries.push(Keyed::new("UNLINK", self.names.code_named(code)));
        }
        self.note(entries).await?;
        let rest =
            vec![Keyed::new("ZREM", self.names.missing()).arg(name), Keyed::new("HDEL", self.names.owners()).arg(name)];
        self.note(rest).await?;
        self.note(vec![Keyed::new("ZREM", self.names.due()).arg(name)]).await
    }
}
