//! News of changes, as lines on a channel of the server.
//!
//! The script that changes something tells of it in the same step, so that no change is without news because whoever made it
//! died or went away. What is told reaches those who listen at that moment, and in a cluster those who listen at any node; it
//! is kept for nobody. So whoever connects again takes it that anything may have changed.
//!
//! A user of the server who is restricted to channels needs the one called `{prefix}changes`.

use std::{sync::Arc, time::Duration};

use ::redis::{
    FromRedisValue, PushInfo, PushKind, RedisError, RedisResult, Value,
    aio::{MultiplexedConnection, SendError},
    cmd,
};
use async_trait::async_trait;
use tokio::{
    sync::{Notify, mpsc},
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    Redis,
    address::Node,
    columns::read,
    link::{Connector, within},
    script::Invocation,
};
use crate::port::store::{Change, ChangeFeed, StoreResult};

/// From one attempt to connect to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a connection on which nothing is heard is asked for a sign of life.
const SILENCE: Duration = Duration::from_secs(10);

/// News that may wait to be read. Whoever is slower than that connects again, and hears that anything may have changed.
const WAITING: usize = 1_024;

impl Redis {
    /// Adds what `announce.lua` needs to tell of a change.
    pub(super) fn announcing(&self, script: Invocation, change: &Change) -> Invocation {
        script.arg(self.names.changes()).arg(change.to_line())
    }
}

/// The outcome of a script that also told of it. That it could not is for the operator: others see the change when their copies end.
pub(super) fn announced<T: FromRedisValue>(answer: Value) -> StoreResult<T> {
    let (outcome, untold): (T, String) = read(answer)?;
    if !untold.is_empty() {
        tracing::warn!(error = untold, "Redis does not let us tell other instances of a change");
    }
    Ok(outcome)
}

/// Where news can be heard.
pub(super) struct Place {
    /// Each node that the URL names hears everything; the first one that answers is listened to.
    pub(super) connector: Connector,
    pub(super) channel: String,
}

/// Somebody who listens. Every wait in here can be given up and begun again.
pub(super) struct Feed {
    place: Arc<Place>,
    /// When to connect.
    attempts: Option<Interval>,
    /// Whether the last attempt failed, so that one outage is one warning.
    away: bool,
    line: Option<Line>,
}

impl Feed {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self { place, attempts: None, away: false, line: None }
    }
}

#[async_trait]
impl ChangeFeed for Feed {
    async fn next(&mut self) -> Change {
        loop {
            if let Some(line) = &mut self.line {
                if let Some(change) = line.next().await {
                    return change;
                }
                tracing::debug!("the connection for news from Redis is lost");
                self.line = None;
            }
            self.attempts.get_or_insert_with(|| every(PAUSE)).tick().await;
            match self.place.listen().await {
                Ok(line) => {
                    self.line = Some(line);
                    self.away = false;
                    return Change::Anything;
                }
                Err(error) if self.away => tracing::debug!(%error, "still no news from Redis"),
                Err(error) => {
                    self.away = true;
                    tracing::warn!(%error, "no news from Redis: copies are kept until they end by themselves");
                }
            }
        }
    }
}

/// At once, and then never sooner than this after the last time.
fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Place {
    async fn listen(&self) -> RedisResult<Line> {
        let mut last = None;
        for node in self.connector.seeds() {
            match within(self.connector.bound(), self.listen_at(node)).await {
                Ok(line) => return Ok(line),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected).into()))
    }

    async fn listen_at(&self, node: &Node) -> RedisResult<Line> {
        let (sender, news) = mpsc::channel(WAITING);
        let broken = Arc::new(Notify::new());
        let lost = Arc::clone(&broken);
        let hear = move |push: PushInfo| -> Result<(), SendError> {
            // What does not fit is lost.
            let overflows = push.kind == PushKind::Message && sender.try_send(change(&push)).is_err();
            if overflows || push.kind == PushKind::Disconnection {
                lost.notify_one();
            }
            Ok(())
        };
        let configuration = self.connector.configuration().set_push_sender(hear);
        let client = self.connector.client(node)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&configuration).await?;
        connection.subscribe(&self.channel).await?;
        Ok(Line { connection, news, broken, heartbeat: every(SILENCE) })
    }
}

/// What a message tells: a channel and a line.
fn change(push: &PushInfo) -> Change {
    match push.data.as_slice() {
        [_, Value::BulkString(line)] => str::from_utf8(line).map_or(Change::Anything, Change::from_line),
        _ => Change::Anything,
    }
}

/// One connection that has subscribed; it is closed with this.
struct Line {
    connection: MultiplexedConnection,
    news: mpsc::Receiver<Change>,
    broken: Arc<Notify>,
    heartbeat: Interval,
}

impl Line {
    /// The next change; `None` if some may have been lost.
    async fn next(&mut self) -> Option<Change> {
        loop {
            tokio::select! {
                change = self.news.recv() => return change,
                () = self.broken.notified() => return None,
                // A path that swallows packets does not break a connection by itself.
                _ = self.heartbeat.tick() => {
                    if cmd("PING").exec_async(&mut self.connection).await.is_err_and(|error| is_silence(&error)) {
                        return None;
                    }
                }
            }
        }
    }
}

/// Whether nothing was heard; a refusal is a sign of life, too.
fn is_silence(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}
