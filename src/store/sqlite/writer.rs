//! The one writer: a task that owns the only connection which may change anything.
//!
//! 1. A caller hands over a *step*, which owns all that it needs, and waits for the outcome.
//! 2. The task begins a transaction with the write lock (`BEGIN IMMEDIATE`), runs the step inside a savepoint, and lets the
//!    steps that have arrived meanwhile join, each inside its own savepoint.
//! 3. It commits once for all of them: one fsync (group commit).
//! 4. Only then does each caller hear its outcome.
//!
//! A caller that goes away (an HTTP client that hangs up) takes nothing with it but its interest: the step belongs to the task,
//! so it happens entirely or, if it was never handed over, not at all, and no transaction is left open. A step that fails is
//! rolled back to its savepoint and spoils nothing for the others. After a failure of the transaction itself the connection is
//! thrown away, everybody in it hears [`StoreError::Unavailable`], and the next step gets a new one. When it cannot even begin,
//! because another process holds the write lock for longer than anybody waits, everybody in the queue hears that.

use std::{future::Future, pin::Pin};

use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};

use crate::port::store::{StoreError, StoreResult};

/// How many steps may wait. More than this, and callers wait to hand theirs over.
const QUEUE: usize = 1024;

/// How many steps share a commit: it bounds how long the write lock is held.
const BATCH: usize = 64;

/// The future of a step.
pub(super) type Running<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// A step that has been asked to run: whether it succeeded, and how to tell its caller once the commit is decided.
struct Ran {
    succeeded: bool,
    tell: Box<dyn FnOnce(Commit) + Send>,
}

#[derive(Clone, Copy)]
enum Commit {
    Done,
    Failed,
}

type Step = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> Running<'c, Ran> + Send>;

enum Message {
    Step(Step),
    Close(oneshot::Sender<()>),
}

/// The way to the task.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Opens the connection and starts the task, which ends when the last way to it is dropped.
    pub(super) async fn open(options: SqliteConnectOptions) -> sqlx::Result<Self> {
        let connection = options.connect().await?;
        let (queue, messages) = mpsc::channel(QUEUE);
        tokio::spawn(Task { options, connection: Some(connection) }.run(messages));
        Ok(Self { queue })
    }

    /// Runs a step and returns its outcome once that is on the disk.
    pub(super) async fn run<T, F>(&self, step: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Running<'c, StoreResult<T>> + Send + 'static,
    {
        let (outcome, heard) = oneshot::channel();
        let step: Step = Box::new(move |connection| {
            let running = step(connection);
            Box::pin(async move {
                // Whoever asked has given up while this waited, and may have been told that it failed: then it did. A step that
                // ran now would be a surprise, e.g. a rotation from a minute ago that makes its own repetition a replay.
                if outcome.is_closed() {
                    return Ran { succeeded: true, tell: Box::new(|_| ()) };
                }
                let result = running.await;
                let succeeded = result.is_ok();
                let tell = Box::new(move |commit| {
                    let result = match commit {
                        Commit::Done => result,
                        // A step's own failure says more than the commit that it may have spoiled.
                        Commit::Failed => result.and_then(|_| Err(unavailable("the transaction failed"))),
                    };
                    // Nobody may be listening any more; that is their right.
                    let _ = outcome.send(result);
                });
                Ran { succeeded, tell }
            })
        });
        self.queue.send(Message::Step(step)).await.map_err(|_| unavailable("the store is closed"))?;
        heard.await.map_err(|_| unavailable("no transaction was begun"))?
    }

    /// How many steps wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether a transaction can be had.
    pub(super) async fn ping(&self) -> StoreResult<()> {
        self.run(|_| Box::pin(async { Ok(()) })).await
    }

    /// Finishes what was handed over, moves the log into the database and ends the task.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

fn unavailable(why: &'static str) -> StoreError {
    StoreError::Unavailable(why.into())
}

struct Task {
    options: SqliteConnectOptions,
    /// `None` after a failure, until the next step.
    connection: Option<SqliteConnection>,
}

impl Task {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut closing = Vec::new();
        while let Some(message) = messages.recv().await {
            match message {
                Message::Step(first) => self.batch(first, &mut messages, &mut closing).await,
                Message::Close(done) => closing.push(done),
            }
            if !closing.is_empty() {
                // What was handed over before this is still answered; nothing new comes in.
                messages.close();
            }
        }
        self.finish().await;
        for done in closing {
            let _ = done.send(());
        }
    }

    /// Runs `first` and those that wait behind it, and commits them together.
    async fn batch(
        &mut self,
        first: Step,
        messages: &mut mpsc::Receiver<Message>,
        closing: &mut Vec<oneshot::Sender<()>>,
    ) {
        let connection = match self.begin().await {
            Ok(connection) => connection,
            Err(error) => {
                self.failed(&error);
                // Each of those behind it would wait as long for the same: they hear it now. A step that is dropped tells
                // its caller so.
                for _ in 0..messages.len() {
                    match messages.try_recv() {
                        Ok(Message::Close(done)) => closing.push(done),
                        Ok(Message::Step(_)) | Err(_) => {}
                    }
                }
                return;
            }
        };
        let mut tell = Vec::new();
        let commit = match transaction(connection, first, messages, closing, &mut tell).await {
            Ok(()) => Commit::Done,
            Err(error) => {
                self.failed(&error);
                Commit::Failed
            }
        };
        for tell in tell {
            tell(commit);
        }
    }

    /// A connection in a transaction that has the write lock.
    async fn begin(&mut self) -> sqlx::Result<&mut SqliteConnection> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            gone @ None => gone.insert(self.options.connect().await?),
        };
        connection.execute("BEGIN IMMEDIATE").await?;
        Ok(connection)
    }

    fn failed(&mut self, error: &sqlx::Error) {
        tracing::warn!(error = error as &dyn std::error::Error, "a SQLite transaction failed");
        // Whatever state it is in: dropping the connection rolls back.
        self.connection = None;
    }

    async fn finish(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let checkpoint = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
            if let Err(error) = checkpoint.and(connection.close().await) {
                tracing::warn!(error = &error as &dyn std::error::Error, "the SQLite store did not close cleanly");
            }
        }
    }
}

/// Runs `first` and those that wait behind it in the transaction that was begun, and commits it.
async fn transaction(
    connection: &mut SqliteConnection,
    first: Step,
    messages: &mut mpsc::Receiver<Message>,
    closing: &mut Vec<oneshot::Sender<()>>,
    tell: &mut Vec<Box<dyn FnOnce(Commit) + Send>>,
) -> sqlx::Result<()> {
    let mut next = Some(first);
    let mut count = 0;
    while let Some(step) = next.take() {
        connection.execute("SAVEPOINT step").await?;
        let ran = step(connection).await;
        tell.push(ran.tell);
        if !ran.succeeded {
            // A full disk rolls the whole transaction back by itself. Then there is no savepoint, this fails, and nobody
            // is told that their step was committed.
            connection.execute("ROLLBACK TO step").await?;
        }
        connection.execute("RELEASE step").await?;
        count += 1;
        if count < BATCH {
            next = match messages.try_recv() {
                Ok(Message::Step(step)) => Some(step),
                Ok(Message::Close(done)) => {
                    closing.push(done);
                    None
                }
                Err(_) => None,
            };
        }
    }
    connection.execute("COMMIT").await?;
    Ok(())
}
