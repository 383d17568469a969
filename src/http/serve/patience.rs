//! How long the head of a request may take, from its first byte on.
//!
//! hyper has one time for an idle connection and for a head that does not end. The two want to be different: a proxy keeps connections
//! for a minute and is surprised when one is closed as it writes to it, while nobody needs ten seconds for a head. So hyper's time is the
//! idle one, and this looks at the bytes: where a head has begun and nothing more comes, a timer runs. A head that arrives whole, as most
//! do, costs no timer.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::places::Place;

/// The head of a request took too long.
#[derive(Debug, Error)]
#[error("the head of a request did not arrive in time")]
struct SlowHead;

/// Nothing of the next request is there.
const WAITING: u8 = 0;
/// A part of a head is there, or the connection is new and owes one.
const HEAD: u8 = 1;
/// A request is being answered.
const ANSWERING: u8 = 2;
/// No more requests will come (a WebSocket).
const HANDED_OVER: u8 = 3;
/// A head did not arrive in time. hyper is told by an error, but says nothing of one that comes before the first byte.
const GIVEN_UP: u8 = 4;

/// What a connection is doing: told by the service, asked by [`Patient`].
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEAD)))
    }

    /// A head was read, and its request is being answered; what is read from now on is its body.
    pub(super) fn answering(&self) {
        self.0.store(ANSWERING, Ordering::Relaxed);
    }

    /// The answer has begun.
    pub(super) fn answered(&self) {
        self.0.store(WAITING, Ordering::Relaxed);
    }

    /// The connection speaks another protocol from now on.
    pub(super) fn handed_over(&self) {
        self.0.store(HANDED_OVER, Ordering::Relaxed);
    }

    /// Whether the connection ended because of a head that did not arrive.
    pub(super) fn was_given_up(&self) -> bool {
        self.is(GIVEN_UP)
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

/// A connection that gives up on a head that does not arrive. It has its place for as long as it is open, whatever it speaks.
pub(super) struct Patient<S> {
    inner: S,
    _place: Option<Place>,
    progress: Progress,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(inner: S, place: Option<Place>, progress: Progress, limit: Duration) -> Self {
        Self { inner, _place: place, progress, limit, timer: None }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.limit;
        #[expect(clippy::disallowed_methods, reason = "whoever sends half a head is given up by the clock alone")]
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        timer.as_mut().poll(context).map(|()| {
            self.progress.0.store(GIVEN_UP, Ordering::Relaxed);
            io::Error::new(io::ErrorKind::TimedOut, SlowHead)
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(result) => {
                if buffer.filled().len() > before && self.progress.is(WAITING) {
                    self.progress.0.store(HEAD, Ordering::Relaxed);
                }
                Poll::Ready(result)
            }
            Poll::Pending if self.progress.is(HEAD) => self.poll_timer(context).map(Err),
            Poll::Pending => {
                self.timer = None;
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn connection() -> (DuplexStream, Patient<DuplexStream>, Progress) {
        let (client, server) = tokio::io::duplex(1024);
        let progress = Progress::new();
        (client, Patient::new(server, None, progress.clone(), LIMIT), progress)
    }

    async fn read(server: &mut Patient<DuplexStream>) -> io::Result<usize> {
        server.read(&mut [0; 64]).await
    }

    fn assert_slow(outcome: io::Result<usize>, server: &Patient<DuplexStream>) {
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(server.progress.was_given_up());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_connects_and_says_nothing_is_given_up() {
        let (_client, mut server, _) = connection();
        assert_slow(read(&mut server).await, &server);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_given_up_however_steadily() {
        let (mut client, mut server, _) = connection();
        let dripping = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LIMIT / 4);
            while client.write_all(b"x").await.is_ok() {
                ticks.tick().await;
            }
        });
        let mut received = 0;
        let outcome = loop {
            match read(&mut server).await {
                Ok(bytes) => received += bytes,
                slow => break slow,
            }
        };
        assert_slow(outcome, &server);
        assert!((2..8).contains(&received), "{received}");
        drop(server);
        dripping.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_and_an_idle_connection_are_not_this_ones_business() {
        let (mut client, mut server, progress) = connection();
        client.write_all(b"POST").await.unwrap();
        assert_eq!(read(&mut server).await.unwrap(), 4);
        progress.answering();
        assert!(tokio::time::timeout(2 * LIMIT, read(&mut server)).await.is_err(), "a body");
        progress.answered();
        assert!(tokio::time::timeout(2 * LIMIT, read(&mut server)).await.is_err(), "between two requests");
        client.write_all(b"GET").await.unwrap();
        assert_eq!(read(&mut server).await.unwrap(), 3);
        assert_slow(read(&mut server).await, &server);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_handed_over_may_take_its_time() {
        let (mut client, mut server, progress) = connection();
        progress.answering();
        progress.handed_over();
        client.write_all(b"frame").await.unwrap();
        assert_eq!(read(&mut server).await.unwrap(), 5);
        assert!(tokio::time::timeout(100 * LIMIT, read(&mut server)).await.is_err());
    }
}
