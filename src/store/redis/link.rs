//! The way to the server or the cluster: what is sent once is never sent again by itself.
//!
//! A change whose answer was lost may have happened. Sending it again would make a redemption look like a replay, so nothing
//! here repeats what may have arrived. Safe to repeat, and repeated, are commands that a cluster redirected (they were not
//! run) and, for whoever says that a call only reads, calls whose connection broke.
//!
//! Standalone: one connection that all calls share. It is replaced as soon as it is known to be broken, by the first call that
//! needs it; calls that come meanwhile wait for that one attempt and share its outcome, so that a server that is down costs
//! each of them one `connect_timeout` at most and does not make them queue up. The manager that comes with the crate is not
//! used: it stays disconnected for good when a reconnection is refused by anything but the network, e.g. a changed password.
//!
//! Cluster: the crate's connection, which knows which node has which slot and replaces broken connections itself. Its retries
//! are off: they make no difference between a redirection and a lost answer. A node that has no slot yet is unknown to it: what
//! is redirected there while its first slot is being moved is [`Unavailable`](crate::port::store::StoreError::Unavailable) until
//! the slot has moved.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, RedisResult,
    ServerErrorKind, Value,
    aio::{MultiplexedConnection, SendError},
    cluster_async::ClusterConnection,
    cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
};
use tokio::{sync::Mutex, time::timeout};

/// How often a command follows the redirections of a cluster. More than a few mean that its nodes do not agree.
const REDIRECTIONS: usize = 5;

/// Commands that may wait to be written to the connection. With fewer, a burst of callers takes turns.
const BUFFER: usize = 1_024;

/// Whether a call may be repeated when nobody knows whether it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It only reads, or twice is the same as once.
    Harmless,
    /// The second time would not be like the first.
    Never,
}

/// Where calls go.
pub(super) enum Link {
    Standalone(Box<Standalone>),
    Cluster(Cluster),
}

impl Link {
    /// Sends commands whose keys are all in the slot of `key`, in this order and with nothing of ours between them; one answer
    /// for each, which may be an error of the server. Bounded in time.
    ///
    /// In a cluster that moves the slot at this moment, commands before the one that is redirected run twice: of several
    /// commands, all but the last have to be such that this makes no difference.
    pub(super) async fn send(&self, key: &[u8], commands: &[Cmd], repeat: Repeat) -> RedisResult<Vec<Value>> {
        match (self.send_once(key, commands).await, repeat) {
            (Err(error), Repeat::Harmless) if error.is_connection_dropped() => self.send_once(key, commands).await,
            (outcome, Repeat::Harmless | Repeat::Never) => outcome,
        }
    }

    /// Whether one round trip can reach every slot.
    pub(super) const fn is_cluster(&self) -> bool {
        match self {
            Self::Standalone(_) => false,
            Self::Cluster(_) => true,
        }
    }

    async fn send_once(&self, key: &[u8], commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        match self {
            Self::Standalone(standalone) => within(standalone.bound(), standalone.send(commands)).await,
            Self::Cluster(cluster) => within(cluster.bound, cluster.send(key, commands)).await,
        }
    }
}

async fn within<T>(bound: Duration, call: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(bound, call).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

fn pipeline(commands: &[Cmd]) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for command in commands {
        pipeline.add_command(command.clone());
    }
    pipeline
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) response: Duration,
}

/// One server.
pub(super) struct Standalone {
    client: Client,
    timeouts: Timeouts,
    /// Attempts to connect that have come to an end.
    attempts: AtomicU64,
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    current: Option<Current>,
    /// Of the last attempt to connect.
    failure: Option<RedisError>,
}

#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    broken: Arc<AtomicBool>,
}

impl Standalone {
    pub(super) fn new(client: Client, timeouts: Timeouts) -> Self {
        Self { client, timeouts, attempts: AtomicU64::new(0), place: Mutex::default() }
    }

    fn bound(&self) -> Duration {
        self.timeouts.connect + self.timeouts.response
    }

    pub(super) async fn send(&self, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        let Current { mut connection, broken } = self.connection().await?;
        let answers = match commands {
            [command] => connection.send_packed_command(command).await.map(|answer| vec![answer]),
            several => connection.send_packed_commands(&pipeline(several), 0, several.len()).await,
        };
        if let Err(error) = &answers
            // After a silence, too: a path that swallows packets does not break a connection by itself.
            && (error.is_io_error() || error.is_unrecoverable_error())
        {
            broken.store(true, Ordering::Release);
        }
        answers
    }

    async fn connection(&self) -> RedisResult<Current> {
        let before = self.attempts.load(Ordering::Acquire);
        let mut place = self.place.lock().await;
        if let Some(current) = place.current.as_ref().filter(|current| !current.broken.load(Ordering::Acquire)) {
            return Ok(current.clone());
        }
        // An attempt that ended while this call waited for its turn is as good as one of its own.
        if self.attempts.load(Ordering::Acquire) != before
            && let Some(failure) = &place.failure
        {
            return Err(failure.clone());
        }
        place.current = None;
        let attempt = self.connect().await;
        self.attempts.fetch_add(1, Ordering::AcqRel);
        place.failure = attempt.as_ref().err().cloned();
        place.current = attempt.as_ref().ok().cloned();
        attempt
    }

    async fn connect(&self) -> RedisResult<Current> {
        let broken = Arc::new(AtomicBool::new(false));
        let noticed = Arc::clone(&broken);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeouts.connect))
            .set_response_timeout(Some(self.timeouts.response))
            .set_pipeline_buffer_size(BUFFER)
            .set_push_sender(move |push: PushInfo| -> Result<(), SendError> {
                noticed.fetch_or(push.kind == PushKind::Disconnection, Ordering::AcqRel);
                Ok(())
            });
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Current { connection, broken })
    }
}

/// The masters of a cluster.
pub(super) struct Cluster {
    pub(super) connection: ClusterConnection,
    /// The longest that a call may take, redirections included.
    pub(super) bound: Duration,
}

impl Cluster {
    async fn send(&self, key: &[u8], commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        // Never a replica: it may not know yet that something was revoked.
        let home = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
        let mut answers = self.route(commands, home.clone()).await;
        for _ in 0..REDIRECTIONS {
            let Err(error) = &answers else { break };
            answers = match (error.kind(), error.redirect_node()) {
                // The connection asks who has which slot before it sends anything else.
                (ErrorKind::Server(ServerErrorKind::Moved), _) => self.route(commands, home.clone()).await,
                (ErrorKind::Server(ServerErrorKind::Ask), Some((node, _))) => self.ask(commands, node).await,
                _ => break,
            };
        }
        answers
    }

    async fn route(&self, commands: &[Cmd], to: SingleNodeRoutingInfo) -> RedisResult<Vec<Value>> {
        let mut connection = self.connection.clone();
        match commands {
            [command] => {
                let answer = connection.route_command(command.clone(), RoutingInfo::SingleNode(to)).await;
                answer.map(|answer| vec![answer])
            }
            several => connection.route_pipeline(pipeline(several), 0, several.len(), to).await,
        }
    }

    /// Sends commands to a node that is receiving their slot at this moment.
    async fn ask(&self, commands: &[Cmd], node: &str) -> RedisResult<Vec<Value>> {
        let to = node.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
        let Some((host, port)) = to else {
            return Err((ErrorKind::ClusterConnectionNotFound, "a redirection to nowhere").into());
        };
        // It holds for one command.
        let asking: Vec<Cmd> = commands.iter().flat_map(|command| [::redis::cmd("ASKING"), command.clone()]).collect();
        let answers = self.route(&asking, SingleNodeRoutingInfo::ByAddress { host, port }).await?;
        Ok(answers.into_iter().skip(1).step_by(2).collect())
    }
}
