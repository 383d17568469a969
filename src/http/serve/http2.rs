//! The streams of an HTTP/2 connection, and what no client gets more of.
//!
//! A connection of HTTP/1.1 has one answer at a time: if its client takes nothing, the socket is full, and that is noticed there.
//! Here the client lets in each answer by itself (flow control, RFC 9113 5.2): the socket of one that lets in nothing is never
//! full, and nothing asks for the rest of an answer meanwhile. So each stream has a watch of its own.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{rt::Executor, server::conn::http2};
use hyper_util::rt::TokioTimer;
use tokio::time::{Sleep, sleep};
use tracing::debug;

/// Requests at once on one connection. RFC 9113 6.5.2 advises against less.
const STREAMS: u32 = 100;
/// The longest head of a request, in bytes as RFC 9113 6.5.2 counts them. It is for each of the streams.
const HEAD_LIMIT: u32 = 16 * 1024;
/// How much of a body may be on its way before it is read, in bytes: of one request,
const STREAM_WINDOW: u32 = 64 * 1024;
/// and of all requests of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How much of an answer is kept for a client that does not take it, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// Requests that were withdrawn before they were looked at, and answers that broke off because of the client's mistakes: beyond
/// this a connection is closed ("rapid reset", CVE-2023-44487).
const RESETS: usize = 20;
const ERRORS: usize = 100;
/// How often a client is asked whether it is still there, and how long its answer may take.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// How HTTP/2 is spoken on one connection.
pub(super) fn builder(streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(ERRORS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    builder
}

/// The streams of one connection.
#[derive(Clone)]
pub(super) struct Streams {
    stall_timeout: Duration,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// Counts a stream as ended, however it ends.
struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}

impl Streams {
    pub(super) fn new(stall_timeout: Duration) -> Self {
        Self { stall_timeout, counts: Arc::default() }
    }

    /// How many have begun, if none is open.
    pub(super) fn at_rest(&self) -> Option<u64> {
        // Read first: whatever ended had begun before.
        let ended = self.counts.ended.load(Ordering::Acquire);
        let begun = self.counts.begun.load(Ordering::Acquire);
        (begun == ended).then_some(begun)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.counts.begun.fetch_add(1, Ordering::Release);
        let open = Open(self.counts.clone());
        tokio::spawn(PROGRESS.scope(Cell::default(), until_it_stalls(stream, self.stall_timeout, open)));
    }
}

/// Works on a stream to its end, or until its client has taken nothing for too long. A stream that is dropped is cancelled
/// (RFC 9113 7).
async fn until_it_stalls(stream: impl Future<Output = ()>, stall_timeout: Duration, _open: Open) {
    let mut stream = pin!(stream);
    let mut stall: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        match PROGRESS.with(Cell::take) {
            Progress::Waiting => stall = None,
            #[expect(clippy::disallowed_methods, reason = "a watch that is set back with every piece of an answer")]
            Progress::HandedOut => stall = Some(Box::pin(sleep(stall_timeout))),
            Progress::None => {}
        }
        if let Some(stall) = &mut stall {
            ready!(stall.as_mut().poll(context));
            debug!("a client takes nothing of an answer");
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// What the body of an answer has done last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Progress {
    /// Nothing since somebody looked.
    #[default]
    None,
    /// It waits for this server, or for one behind it.
    Waiting,
    /// It handed out a piece, or its end: until it is asked again, the client has to take that.
    HandedOut,
}

tokio::task_local! {
    /// Of the stream that is being worked on.
    static PROGRESS: Cell<Progress>;
}

/// The body of an answer, which notes what it does.
pub(super) struct Watched(pub(super) Body);

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.0).poll_frame(context);
        let progress = if polled.is_ready() { Progress::HandedOut } else { Progress::Waiting };
        // Outside of a stream nobody looks.
        let _ = PROGRESS.try_with(|cell| cell.set(progress));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
