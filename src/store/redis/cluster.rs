//! The masters of a cluster: which of them has which slot, and one [`Standalone`] for each.
//!
//! The connection to clusters that comes with the crate is not used: with its retries off, as they have to be, it stops answering
//! for good when one master is down for a while, and until then the masters that are up wait for the one that is down.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value, cmd};
use tokio::{sync::Mutex, task::JoinSet, time::Instant};

use super::{
    address::Node,
    link::{Connector, Standalone, within},
};

/// How often a command follows redirections. More than a few mean that the nodes do not agree.
const REDIRECTIONS: usize = 5;

/// From one drawing of the map to the next: as long as a part of the cluster is away, every call for it asks for another one.
const PAUSE: Duration = Duration::from_millis(100);

/// Hash slots of a cluster (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
const SLOTS: u16 = 16_384;

/// The slot of a key: CRC16 (XMODEM) of what is between the first braces, if that is something, or of all of it.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = || {
        let after = &key[key.iter().position(|byte| *byte == b'{')? + 1..];
        let tag = &after[..after.iter().position(|byte| *byte == b'}')?];
        (!tag.is_empty()).then_some(tag)
    };
    let step = |crc: u16, byte: &u8| {
        let shift = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        (0..8).fold(crc ^ (u16::from(*byte) << 8), shift)
    };
    tag().unwrap_or(key).iter().fold(0, step) % SLOTS
}

/// What is known of a cluster.
#[derive(Default)]
struct Map {
    /// The first and the last slot, and the master that has them; later entries count.
    ranges: Vec<(u16, u16, Node)>,
    nodes: HashMap<Node, Arc<Standalone>>,
}

/// See the module.
pub(super) struct Cluster {
    connector: Connector,
    map: RwLock<Map>,
    /// Whether the map may be wrong.
    stale: AtomicBool,
    /// Held by whoever draws the map anew; everybody else goes by the old one meanwhile. When somebody last began to.
    drawing: Mutex<Option<Instant>>,
}

impl Cluster {
    /// Asks the nodes that are named in the URL who has what.
    pub(super) async fn open(connector: Connector) -> RedisResult<Self> {
        let cluster = Self::unknown(connector);
        cluster.draw().await?;
        Ok(cluster)
    }

    fn unknown(connector: Connector) -> Self {
        Self { connector, map: RwLock::default(), stale: AtomicBool::new(true), drawing: Mutex::default() }
    }

    /// The same cluster by other connections.
    pub(super) fn another(&self) -> Self {
        let another = Self::unknown(self.connector.clone());
        let ranges = self.map.read().unwrap_or_else(PoisonError::into_inner).ranges.clone();
        // Known from the start, so that of several first calls only one has to look.
        if another.replace(ranges).is_err() {
            another.stale.store(true, Ordering::Release);
        }
        another
    }

    /// See [`Link::send`](super::link::Link::send).
    pub(super) async fn send_in_time(&self, key: &[u8], commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        // Each step is bounded; this is for all of them together.
        within(self.connector.bound() * 2, self.send(key, commands)).await
    }

    async fn send(&self, key: &[u8], commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        let slot = slot(key);
        if self.stale.load(Ordering::Acquire)
            && let Ok(mut last) = self.drawing.try_lock()
            && last.is_none_or(|last: Instant| last.elapsed() >= PAUSE)
        {
            *last = Some(Instant::now());
            // Whether this works or not: what counts is what the master that is thought to have the slot says.
            self.draw().await.ok();
        }
        let mut answers = self.ask_master(slot, commands).await;
        for _ in 0..REDIRECTIONS {
            let Some((kind, node)) = answers.as_ref().ok().and_then(|answers| redirection(answers)) else { break };
            answers = if kind == ServerErrorKind::Ask {
                self.ask_receiver(&node, commands).await
            } else {
                self.learn(slot, node)?;
                self.ask_master(slot, commands).await
            };
        }
        if answers.as_ref().is_ok_and(|answers| answers.iter().any(may_have_lost_its_slots)) {
            self.stale.store(true, Ordering::Release);
        }
        answers
    }

    async fn ask_master(&self, slot: u16, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        let master = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            let range = map.ranges.iter().rev().find(|(first, last, _)| (*first..=*last).contains(&slot));
            range.and_then(|(_, _, node)| map.nodes.get(node).cloned())
        };
        let Some(master) = master else {
            self.stale.store(true, Ordering::Release);
            return Err((ErrorKind::ClusterConnectionNotFound, "nobody has this slot").into());
        };
        let answers = master.send_in_time(commands).await;
        if answers.is_err() {
            // Another node may be about to take its place.
            self.stale.store(true, Ordering::Release);
        }
        answers
    }

    /// Sends commands to a node that is receiving their slot at this moment.
    async fn ask_receiver(&self, node: &Node, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        let receiver = self.node(node)?;
        // It holds for one command.
        let asking: Vec<Cmd> = commands.iter().flat_map(|command| [cmd("ASKING"), command.clone()]).collect();
        let answers = receiver.send_in_time(&asking).await?;
        Ok(answers.into_iter().skip(1).step_by(2).collect())
    }

    fn learn(&self, slot: u16, node: Node) -> RedisResult<()> {
        self.node(&node)?;
        self.stale.store(true, Ordering::Release);
        self.map.write().unwrap_or_else(PoisonError::into_inner).ranges.push((slot, slot, node));
        Ok(())
    }

    fn node(&self, node: &Node) -> RedisResult<Arc<Standalone>> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = map.nodes.get(node) {
            return Ok(Arc::clone(known));
        }
        let new = Arc::new(self.connector.standalone(node)?);
        map.nodes.insert(node.clone(), Arc::clone(&new));
        Ok(new)
    }

    /// Asks all nodes for the map at once, so that one that is silent holds up nobody.
    async fn draw(&self) -> RedisResult<()> {
        let mut asked: HashSet<Node> = self.connector.seeds().iter().cloned().collect();
        asked.extend(self.map.read().unwrap_or_else(PoisonError::into_inner).nodes.keys().cloned());
        let mut asking = JoinSet::new();
        for node in asked {
            let way = self.node(&node)?;
            asking.spawn(async move { view(&way, &node).await });
        }
        let mut doubtful = None;
        let mut failure = RedisError::from((ErrorKind::ClusterConnectionNotFound, "no node of the cluster is known"));
        while let Some(answer) = asking.join_next().await {
            match answer {
                Ok(Ok(View { ranges, .. })) if ranges.is_empty() => {}
                Ok(Ok(View { ranges, is_whole: true })) => return self.replace(ranges),
                Ok(Ok(View { ranges, is_whole: false })) => doubtful = Some(ranges),
                Ok(Err(error)) => failure = error,
                Err(error) => failure = std::io::Error::from(error).into(),
            }
        }
        doubtful.map_or(Err(failure), |ranges| self.replace(ranges))
    }

    fn replace(&self, ranges: Vec<(u16, u16, Node)>) -> RedisResult<()> {
        for (_, _, node) in &ranges {
            self.node(node)?;
        }
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        // Those that the URL names are asked every time, whatever they are.
        let seeds = self.connector.seeds();
        map.nodes.retain(|node, _| seeds.contains(node) || ranges.iter().any(|(_, _, master)| master == node));
        map.ranges = ranges;
        self.stale.store(false, Ordering::Release);
        Ok(())
    }
}

/// How the cluster looks to one of its nodes.
struct View {
    ranges: Vec<(u16, u16, Node)>,
    /// Whether the node is among those that decide. One that was cut off from the others, or has just been started, tells of
    /// how things were before.
    is_whole: bool,
}

async fn view(way: &Arc<Standalone>, node: &Node) -> RedisResult<View> {
    let [mut slots, mut info] = [(); 2].map(|()| cmd("CLUSTER"));
    slots.arg("SLOTS");
    info.arg("INFO");
    let mut answers = way.send_in_time(&[slots, info]).await?.into_iter();
    let ranges = ranges(answers.next().unwrap_or(Value::Nil), node)?;
    // A server may forbid to ask for it.
    let info: Option<String> =
        answers.next().and_then(|info| ::redis::from_redis_value(info.extract_error().ok()?).ok());
    let is_whole = info.is_some_and(|info| info.contains("cluster_state:ok"));
    Ok(View { ranges, is_whole })
}

/// Whether an answer says that the node does not serve what it is thought to have: a redirection that leads nowhere, a node that is
/// cut off, or one that was started again and may have lost its place meanwhile.
fn may_have_lost_its_slots(answer: &Value) -> bool {
    let Value::ServerError(error) = answer else { return false };
    matches!(
        error.kind(),
        Some(
            ServerErrorKind::Moved
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
        )
    )
}

/// Where the first command that was redirected was redirected to.
fn redirection(answers: &[Value]) -> Option<(ServerErrorKind, Node)> {
    answers.iter().find_map(|answer| {
        let Value::ServerError(error) = answer else { return None };
        let kind = error.kind().filter(|kind| matches!(kind, ServerErrorKind::Moved | ServerErrorKind::Ask))?;
        let error = RedisError::from(error.clone());
        let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
        (!host.is_empty()).then_some(())?;
        Some((kind, Node { host: host.to_owned(), port: port.parse().ok()? }))
    })
}

/// What `CLUSTER SLOTS` answers: for each range its first and last slot, its master, its replicas.
fn ranges(answer: Value, asked: &Node) -> RedisResult<Vec<(u16, u16, Node)>> {
    let ranges: Vec<Vec<Value>> = ::redis::from_redis_value(answer.extract_error()?)?;
    let mut known = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut parts = range.into_iter();
        let mut next = || parts.next().unwrap_or(Value::Nil);
        let (first, last) = (::redis::from_redis_value(next())?, ::redis::from_redis_value(next())?);
        let master: Vec<Value> = ::redis::from_redis_value(next())?;
        let mut master = master.into_iter();
        let host: Option<String> = ::redis::from_redis_value(master.next().unwrap_or(Value::Nil))?;
        let port = ::redis::from_redis_value(master.next().unwrap_or(Value::Nil))?;
        // A node that does not know its own address is where it was asked.
        let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| asked.host.clone());
        known.push((first, last, Node { host, port }));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_slot_that_the_specification_says() {
        for (key, expected) in [("123456789", 0x31C3), ("", 0), ("{user1000}.following", slot(b"user1000"))] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
    }
}
