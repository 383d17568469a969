//! Everything in Redis 7 or Valkey, standalone or a cluster.
//!
//! Every change is one Lua script, and a script's keys are in one hash slot, so that it is one step in a cluster, too.
//!
//! 1. A grant and all that hangs off it are one hash (and the ends of its tokens beside it) in a slot of the grant's own. What
//!    is in there decides; everything else about tokens is an index.
//! 2. An index says where something is: the digest of a token leads to its grant, the name of a client or a human to its grants,
//!    and a schedule to grants in which something ends. An index entry is written *before* what it leads to, by itself: if the
//!    caller goes away in between, what is left leads nowhere, which a reader takes for "not there", and goes by itself (a time
//!    to live) or with a purge. The other way round there would be tokens that nobody finds, and cannot revoke.
//! 3. Tokens without a grant, revoked access tokens and single uses are spread over [`names::SHARDS`] slots. Clients, accounts and
//!    keys are one slot each.
//!
//! Times come from the caller. Redis's own clock is only ever given a time *span*, a day longer than the lifetime of what it
//! may forget.
//!
//! # What can be lost
//!
//! Redis answers before its data is safe unless it is told otherwise, and what is lost here is not only logins: a code or a
//! refresh token that was spent could be unspent again, and **a revocation could be undone**.
//!
//! | setting | a crash of the server loses |
//! |---|---|
//! | `appendonly yes`, `appendfsync always` | nothing that was answered |
//! | `appendonly yes`, `appendfsync everysec` | up to two seconds |
//! | RDB snapshots only | everything since the last one: minutes |
//! | neither | everything |
//!
//! Replication is asynchronous: a failover to a replica loses what had not reached it, whatever the settings above are.
//! `wait_replicas=N` in the URL makes every change wait until N replicas have it, and answer [`StoreError::Unavailable`] if they
//! do not within `wait_timeout`; the change may survive all the same. This makes a loss unlikely and not impossible: a replica that
//! did not confirm may still win the election (<https://redis.io/docs/latest/commands/wait/>). `min-replicas-to-write` on the
//! server bounds what a master that was cut off can take on in vain. All changes to one server share a
//! connection of their own, which waits for one of them at a time: about as many changes per second as there are round trips between the
//! server and its replicas. Where this is not enough, keep tokens in Postgres.
//!
//! Memory is the other way to lose: with another `maxmemory-policy` than `noeviction` Redis may forget what was revoked or
//! spent to make room. [`survey`] warns about both at start.

mod accounts;
mod address;
mod archive;
mod audit;
mod clients;
mod cluster;
mod columns;
mod failure;
mod family;
mod follow;
mod grants;
mod import;
mod keys;
mod link;
mod names;
mod news;
mod purge;
mod script;
mod survey;
mod tokens;

use std::{
    fs, io,
    sync::{Arc, atomic::AtomicBool},
};

use ::redis::{Cmd, RedisError, ServerErrorKind, TlsCertificates, Value, cmd};
use tokio::task::JoinSet;

pub(super) use self::address::Address;
use self::{
    address::Wait,
    cluster::Cluster,
    columns::read,
    link::{Connector, Link, Repeat},
    names::Names,
    news::{Feed, Place},
    script::Invocation,
};
use super::{OpenError, record::corrupt};
use crate::port::store::{ChangeFeed, StoreError, StoreResult};

/// One server or cluster that is open; implements every family.
#[derive(Clone)]
pub(super) struct Redis {
    link: Arc<Link>,
    /// For changes: a way of their own if they wait for replicas, so that nobody who only reads stands in line behind them.
    changes: Arc<Link>,
    names: Names,
    /// Whether index entries are followed in one step: not in a cluster, nor where that was refused.
    follows: Arc<AtomicBool>,
    wait: Option<Wait>,
    /// Where news of changes can be heard.
    news: Arc<Place>,
}

/// A command with the key that says where it goes.
struct Keyed {
    key: String,
    command: Cmd,
}

impl Keyed {
    /// `command`, whose first argument is `key`.
    fn new(name: &str, key: String) -> Self {
        let mut command = cmd(name);
        command.arg(&key);
        Self { key, command }
    }

    #[must_use]
    fn arg(mut self, argument: impl ::redis::ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }
}

impl Redis {
    pub(super) async fn open(address: &Address) -> Result<Arc<Self>, OpenError> {
        // rustls has to be told once per process which cryptography to use; somebody may have done so already.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let (link, connector) = connect(address).await?;
        let names = Names::new(&address.prefix);
        let news = Arc::new(Place { connector, channel: names.changes() });
        let link = Arc::new(link);
        let changes = if address.wait.is_some() { Arc::new(link.another()) } else { Arc::clone(&link) };
        let follows = Arc::new(AtomicBool::new(!link.is_cluster()));
        Ok(Arc::new(Self { link, changes, names, follows, wait: address.wait, news }))
    }

    /// A feed of its own, which connects when it is listened to.
    pub(super) fn watch(&self) -> Box<dyn ChangeFeed> {
        Box::new(Feed::new(Arc::clone(&self.news)))
    }

    /// Reads with commands whose keys are all in the slot of `key`.
    async fn read(&self, key: &str, commands: &[Cmd]) -> StoreResult<Vec<Value>> {
        let answers = self.link.send(key.as_bytes(), commands, Repeat::Harmless).await?;
        Ok(answers.into_iter().map(Value::extract_error).collect::<Result<_, _>>()?)
    }

    /// Reads with one command.
    async fn read_one(&self, keyed: Keyed) -> StoreResult<Value> {
        let answers = self.read(&keyed.key, &[keyed.command]).await?;
        answers.into_iter().next().ok_or_else(|| corrupt("no answer"))
    }

    /// Reads with a script.
    async fn ask(&self, script: Invocation) -> StoreResult<Value> {
        self.run(&self.link, &[], &script, None, Repeat::Harmless).await
    }

    /// Reads with commands wherever their keys are; as many answers, in the same order.
    async fn read_each(&self, keyed: Vec<Keyed>) -> StoreResult<Vec<Value>> {
        let Some(first) = keyed.first().map(|keyed| keyed.key.clone()) else { return Ok(Vec::new()) };
        if !self.link.is_cluster() {
            let commands: Vec<Cmd> = keyed.into_iter().map(|keyed| keyed.command).collect();
            let answers = self.read(&first, &commands).await?;
            return if answers.len() == commands.len() { Ok(answers) } else { Err(corrupt("an answer is missing")) };
        }
        let mut answers = vec![Value::Nil; keyed.len()];
        let mut reads = JoinSet::new();
        for (place, keyed) in keyed.into_iter().enumerate() {
            let this = self.clone();
            reads.spawn(async move { this.read_one(keyed).await.map(|answer| (place, answer)) });
        }
        while let Some(read) = reads.join_next().await {
            let (place, answer) = read.map_err(|error| StoreError::Unavailable(error.into()))??;
            answers[place] = answer;
        }
        Ok(answers)
    }

    /// Changes something with a script.
    async fn tell(&self, script: Invocation) -> StoreResult<Value> {
        self.tell_after(Vec::new(), script).await
    }

    /// Changes something with a script, after index entries that lead to what it makes. Dropped in between, it leaves
    /// entries that lead nowhere; none of them makes a difference, and none stays for good.
    async fn tell_after(&self, entries: Vec<Keyed>, script: Invocation) -> StoreResult<Value> {
        if !self.link.is_cluster() {
            let entries: Vec<Cmd> = entries.into_iter().map(|entry| entry.command).collect();
            return self.confirmed(&entries, &script).await;
        }
        self.note(entries).await?;
        self.confirmed(&[], &script).await
    }

    /// Writes entries each of which may be written twice, wherever they are; in no order, and all or an error.
    async fn note(&self, entries: Vec<Keyed>) -> StoreResult<()> {
        let mut writes = JoinSet::new();
        for Keyed { key, command } in entries {
            let this = self.clone();
            writes.spawn(async move {
                let commands: Vec<Cmd> = [command].into_iter().chain(this.wait.as_ref().map(wait_command)).collect();
                let answers = this.changes.send(key.as_bytes(), &commands, Repeat::Harmless).await?;
                this.check_replicas(outcome(answers, 1)?.into_iter().next())
            });
        }
        while let Some(written) = writes.join_next().await {
            written.map_err(|error| StoreError::Unavailable(error.into()))??;
        }
        Ok(())
    }

    /// Changes something with commands whose keys are in one slot, the same however often the first ones run.
    async fn put<const N: usize>(&self, keyed: [Keyed; N]) -> StoreResult<Value> {
        let slot = keyed.first().map(|keyed| keyed.key.clone()).unwrap_or_default();
        let mut commands: Vec<Cmd> = keyed.into_iter().map(|keyed| keyed.command).collect();
        commands.extend(self.wait.as_ref().map(wait_command));
        let answers = self.changes.send(slot.as_bytes(), &commands, Repeat::Never).await?;
        let mut answers = outcome(answers, N.saturating_sub(1))?.into_iter();
        let answer = answers.next().ok_or_else(|| corrupt("no answer"))?;
        self.check_replicas(answers.next())?;
        Ok(answer)
    }

    async fn confirmed(&self, before: &[Cmd], script: &Invocation) -> StoreResult<Value> {
        self.run(&self.changes, before, script, self.wait.as_ref(), Repeat::Never).await
    }

    /// Runs a script by its hash or, if the server does not know it, in full: then it was not run before.
    async fn run(
        &self,
        link: &Link,
        before: &[Cmd],
        script: &Invocation,
        wait: Option<&Wait>,
        repeat: Repeat,
    ) -> StoreResult<Value> {
        let mut commands = before.to_vec();
        commands.push(script.by_hash());
        commands.extend(wait.map(wait_command));
        let first = link.send(script.slot(), &commands, repeat).await;
        let mut answers = match first.and_then(|answers| outcome(answers, before.len())) {
            Err(error) if error.kind() == ServerErrorKind::NoScript.into() => {
                commands = vec![script.in_full()];
                commands.extend(wait.map(wait_command));
                outcome(link.send(script.slot(), &commands, repeat).await?, 0)?
            }
            answers => answers?,
        }
        .into_iter();
        let answer = answers.next().ok_or_else(|| corrupt("no answer"))?;
        self.check_replicas(answers.next())?;
        Ok(answer)
    }

    /// What was changed may last all the same; but nobody is told that it does.
    fn check_replicas(&self, confirmed: Option<Value>) -> StoreResult<()> {
        let Some(wait) = self.wait else { return Ok(()) };
        let Some(confirmed) = confirmed else { return Ok(()) };
        let confirmed: u32 = read(confirmed)?;
        if confirmed >= wait.replicas {
            return Ok(());
        }
        let missing = format!("{confirmed} of {} replicas have confirmed a change in time", wait.replicas);
        Err(StoreError::Unavailable(missing.into()))
    }

    /// Whether it answers and takes changes: a replica, a full server and one that cannot write its disk refuse this.
    async fn answers(&self) -> StoreResult<()> {
        let entry = Keyed::new("SET", self.names.ping()).arg("").arg("EX").arg(60);
        self.put([entry]).await.map(drop)
    }
}

/// The answers after the first `skip` of them, unless the server refused one.
fn outcome(answers: Vec<Value>, skip: usize) -> Result<Vec<Value>, RedisError> {
    let answers = answers.into_iter().map(Value::extract_error);
    Ok(answers.collect::<Result<Vec<_>, _>>()?.split_off(skip))
}

fn wait_command(wait: &Wait) -> Cmd {
    let mut command = cmd("WAIT");
    command.arg(wait.replicas).arg(u64::try_from(wait.timeout.as_millis()).unwrap_or(u64::MAX));
    command
}

/// The way to the server or cluster, and to each of its nodes that the URL names.
async fn connect(address: &Address) -> Result<(Link, Connector), OpenError> {
    let tls = match &address.ca {
        Some(path) => Some(TlsCertificates { client_tls: None, root_cert: Some(certificates(path)?) }),
        None => None,
    };
    let connector = Connector { address: address.clone(), tls };
    let mut last = None;
    for node in connector.seeds() {
        let standalone = Arc::new(connector.standalone(node).map_err(unusable)?);
        match survey::survey(&standalone).await {
            Ok(false) => return Ok((Link::Standalone(standalone), connector)),
            Ok(true) if address.database != 0 => return Err(unusable("a cluster has no other database than 0")),
            Ok(true) => {
                let cluster = Cluster::open(connector.clone()).await.map_err(unusable)?;
                return Ok((Link::Cluster(Box::new(cluster)), connector));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| unusable("no node")))
}

fn certificates(path: &std::path::Path) -> Result<Vec<u8>, OpenError> {
    let file = |source: io::Error| OpenError::File { path: path.into(), source };
    fs::read(path).map_err(file)
}

fn unusable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> OpenError {
    OpenError::Database(error.into())
}
