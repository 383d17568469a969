//! The way to the server or the cluster: what is sent once is never sent again by itself.
//!
//! A change whose answer was lost may have happened. Sending it again would make a redemption look like a replay, so nothing
//! here repeats what may have arrived. Safe to repeat, and repeated, are commands that a cluster redirected (they were not
//! run) and, for whoever says that a call only reads, calls whose connection broke.
//!
//! Standalone: one connection that all calls share. Calls that come in the same moment are written to it together, because a system call
//! for each would cost both sides more than most commands do. The connection is replaced as soon as it is known to be broken, by the first call that
//! needs it; calls that come meanwhile wait for that one attempt and share its outcome, so that a server that is down costs
//! each of them one `connect_timeout` at most and does not make them queue up. It is also replaced when the server says that it is
//! a replica now. The manager that comes with the crate is not
//! used: it stays disconnected for good when a reconnection is refused by anything but the network, e.g. a changed password.
//!
//! Cluster: one of these for each master ([`cluster`](super::cluster)).

use std::{
    future::Future,
    io,
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, RedisResult,
    ServerErrorKind, TlsCertificates, Value,
    aio::{MultiplexedConnection, SendError},
};
use tokio::{
    sync::{Mutex, oneshot},
    task::yield_now,
    time::{Instant, timeout},
};

use super::{
    address::{Address, Node},
    cluster::Cluster,
};

/// Commands that may wait to be written to the connection. With fewer, a burst of callers takes turns.
const BUFFER: usize = 1_024;

/// How old a connection is at least that is replaced because its server takes no changes any more, so that one that never does is
/// not asked for a new one with every change.
const DEMOTED: Duration = Duration::from_secs(1);

/// Commands of a call that is written together with others; one that has more would keep their answers waiting.
const SHORT: usize = 8;

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
    Standalone(Arc<Standalone>),
    Cluster(Box<Cluster>),
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

    /// A way to the same place with connections of its own.
    pub(super) fn another(&self) -> Self {
        match self {
            Self::Standalone(standalone) => Self::Standalone(Arc::new(standalone.another())),
            Self::Cluster(cluster) => Self::Cluster(Box::new(cluster.another())),
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
        // In boxes, because they are large: a future has room for its largest part, and is moved with it by everybody above.
        match self {
            Self::Standalone(standalone) => Box::pin(standalone.send_in_time(commands)).await,
            Self::Cluster(cluster) => Box::pin(cluster.send_in_time(key, commands)).await,
        }
    }
}

/// Gives up when it takes too long.
pub(super) async fn within<T>(bound: Duration, call: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(bound, call).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// Whether a server takes no changes because it is a replica. Its name or address may lead to the master of the day by now, and it
/// keeps connections that were made before.
fn is_read_only(answer: &Value) -> bool {
    let Value::ServerError(error) = answer else { return false };
    error.kind() == Some(ServerErrorKind::ReadOnly)
}

/// A reply that ends in the middle, because the connection did, is an answer that cannot be parsed to the crate. To us it is a lost
/// connection: what is kept may be sound, and the next call finds out.
fn unless_torn(error: RedisError) -> RedisError {
    if error.kind() == ErrorKind::Parse { io::Error::new(io::ErrorKind::UnexpectedEof, error).into() } else { error }
}

fn pipeline(commands: Vec<Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}

/// Makes the way to each node.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) address: Address,
    pub(super) tls: Option<TlsCertificates>,
}

impl Connector {
    /// The nodes that the URL names.
    pub(super) fn seeds(&self) -> &[Node] {
        &self.address.nodes
    }

    /// How long one answer may take, with a new connection before it.
    pub(super) fn bound(&self) -> Duration {
        self.address.connect_timeout + self.address.response_timeout
    }

    /// For a connection to a node.
    pub(super) fn client(&self, node: &Node) -> RedisResult<Client> {
        let info = self.address.connection(node)?;
        match self.tls.clone() {
            Some(tls) => Client::build_with_tls(info, tls),
            None => Client::open(info),
        }
    }

    /// The bounds of every connection.
    pub(super) fn configuration(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.address.connect_timeout))
            .set_response_timeout(Some(self.address.response_timeout))
    }

    /// A way to a node; nothing is sent on it yet.
    pub(super) fn standalone(&self, node: &Node) -> RedisResult<Standalone> {
        let (client, configuration) = (self.client(node)?, self.configuration());
        Ok(Standalone {
            client,
            configuration,
            bound: self.bound(),
            // Whoever waits for replicas should not wait for those of others.
            line: self.address.wait.is_none().then(Line::default),
            attempts: AtomicU64::new(0),
            place: Mutex::default(),
            demotions: Arc::default(),
        })
    }
}

/// One server.
pub(super) struct Standalone {
    client: Client,
    configuration: AsyncConnectionConfig,
    /// See [`Connector::bound`].
    bound: Duration,
    /// Where calls meet that are written together; `None` if each goes by itself.
    line: Option<Line>,
    /// Attempts to connect that have come to an end.
    attempts: AtomicU64,
    place: Mutex<Place>,
    /// How often the server turned out not to be a master any more. All ways to it share this.
    demotions: Arc<AtomicU64>,
}

type Line = StdMutex<Vec<Pending>>;

/// Commands of one call, whose caller waits.
struct Pending {
    commands: Vec<Cmd>,
    tell: oneshot::Sender<RedisResult<Vec<Value>>>,
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
    since: Instant,
    /// See [`Standalone::demotions`], when it was made.
    demotions: u64,
}

/// Writes what is in line. One that is dropped before, e.g. with its runtime, takes the line along, so that the next call is the first
/// again.
struct LineWriter {
    way: Arc<Standalone>,
    has_taken: bool,
}

impl LineWriter {
    async fn write(mut self) {
        let connection = self.way.connection().await;
        // Whoever left while this was connecting has not asked.
        let pending = self.way.take_line();
        self.has_taken = true;
        let mut commands = Vec::new();
        let mut callers = Vec::with_capacity(pending.len());
        for Pending { commands: mut of_one, tell } in pending {
            callers.push((of_one.len(), tell));
            commands.append(&mut of_one);
        }
        let answers = match connection {
            Ok(_) if commands.is_empty() => return,
            Ok(connection) => Box::pin(self.way.write(connection, commands)).await,
            Err(error) => Err(error),
        };
        let mut answers = answers.map(Vec::into_iter);
        for (count, tell) in callers {
            let answer = answers.as_mut().map(|answers| answers.take(count).collect()).map_err(|error| error.clone());
            // Nobody may be listening any more; that is their right.
            let _ = tell.send(answer);
        }
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.has_taken {
            drop(self.way.take_line());
        }
    }
}

impl Standalone {
    fn another(&self) -> Self {
        let (client, configuration) = (self.client.clone(), self.configuration.clone());
        Self {
            client,
            configuration,
            bound: self.bound,
            line: self.line.as_ref().map(|_| Line::default()),
            attempts: AtomicU64::new(0),
            place: Mutex::default(),
            demotions: Arc::clone(&self.demotions),
        }
    }

    /// Sends commands in this order, with nothing in between. Bounded in time.
    pub(super) async fn send_in_time(self: &Arc<Self>, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        within(self.bound, self.send(commands)).await.map_err(unless_torn)
    }

    async fn send(self: &Arc<Self>, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        let Some(line) = self.line.as_ref().filter(|_| commands.len() <= SHORT) else {
            return Box::pin(self.write_alone(commands.to_vec())).await;
        };
        let (tell, heard) = oneshot::channel();
        let is_first = {
            let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
            line.push(Pending { commands: commands.to_vec(), tell });
            line.len() == 1
        };
        if is_first {
            let writer = LineWriter { way: Arc::clone(self), has_taken: false };
            tokio::spawn(async move {
                // Whoever is about to call does so first.
                yield_now().await;
                writer.write().await;
            });
        }
        heard.await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::BrokenPipe).into()))
    }

    /// Those who have been waiting, unless they do not wait any more.
    fn take_line(&self) -> Vec<Pending> {
        let Some(line) = &self.line else { return Vec::new() };
        let mut pending = std::mem::take(&mut *line.lock().unwrap_or_else(PoisonError::into_inner));
        pending.retain(|pending| !pending.tell.is_closed());
        pending
    }

    async fn write_alone(&self, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        self.write(self.connection().await?, commands).await
    }

    async fn write(&self, current: Current, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        let Current { mut connection, broken, since, demotions } = current;
        let count = commands.len();
        let answers = match commands.as_slice() {
            [command] => connection.send_packed_command(command).await.map(|answer| vec![answer]),
            _ => connection.send_packed_commands(&pipeline(commands), 0, count).await,
        };
        if let Err(error) = &answers
            // After a silence, too: a path that swallows packets does not break a connection by itself.
            && (error.is_io_error() || error.is_unrecoverable_error())
        {
            broken.store(true, Ordering::Release);
        }
        if answers.as_ref().is_ok_and(|answers| answers.iter().any(is_read_only)) && since.elapsed() > DEMOTED {
            // Whoever was first has seen to it.
            let next = demotions.wrapping_add(1);
            self.demotions.compare_exchange(demotions, next, Ordering::AcqRel, Ordering::Acquire).ok();
        }
        answers
    }

    async fn connection(&self) -> RedisResult<Current> {
        let before = self.attempts.load(Ordering::Acquire);
        let mut place = self.place.lock().await;
        let is_good = |current: &&Current| {
            !current.broken.load(Ordering::Acquire) && current.demotions == self.demotions.load(Ordering::Acquire)
        };
        if let Some(current) = place.current.as_ref().filter(is_good) {
            return Ok(current.clone());
        }
        // An attempt that ended while this call waited for its turn is as good as one of its own.
        if self.attempts.load(Ordering::Acquire) != before
            && let Some(failure) = &place.failure
        {
            return Err(failure.clone());
        }
        place.current = None;
        let attempt = Box::pin(self.connect_anew()).await;
        self.attempts.fetch_add(1, Ordering::AcqRel);
        place.failure = attempt.as_ref().err().cloned();
        place.current = attempt.as_ref().ok().cloned();
        attempt
    }

    async fn connect_anew(&self) -> RedisResult<Current> {
        let demotions = self.demotions.load(Ordering::Acquire);
        let broken = Arc::new(AtomicBool::new(false));
        let noticed = Arc::clone(&broken);
        let hear = move |push: PushInfo| -> Result<(), SendError> {
            noticed.fetch_or(push.kind == PushKind::Disconnection, Ordering::AcqRel);
            Ok(())
        };
        let configuration = self.configuration.clone().set_pipeline_buffer_size(BUFFER).set_push_sender(hear);
        let connection = self.client.get_multiplexed_async_connection_with_config(&configuration).await?;
        Ok(Current { connection, broken, since: Instant::now(), demotions })
    }
}
