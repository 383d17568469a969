//! From a socket to the router, and an orderly end.
//!
//! On shutdown: `/readyz` turns 503, so that load balancers look elsewhere, and answers of HTTP/1.1 say that they are the last
//! on their connection; after `drain_delay` no connection is accepted any more; requests in flight are finished within `grace`,
//! and then the process may go.

mod connection;
mod crowd;
mod http2;
mod patience;
mod places;
mod tls;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::http::HeaderValue;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tracing::{info, warn};

use self::{
    connection::{Door, Guest},
    places::Places,
};
pub use self::{
    places::ConnectionLimits,
    tls::{PROTOCOLS, TlsOptions},
};
use super::{App, routes::Routes};

/// Connections that wait at one listener when it is closed, and are let in all the same. More would be a flood.
const LAST_ONES: usize = 4096;

/// What the operator decides about connections.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// How many there may be.
    pub connections: ConnectionLimits,
    /// How connections are encrypted; `None` for plain http.
    pub tls: Option<TlsOptions>,
    /// `Strict-Transport-Security` of every answer (RFC 6797), if clients are to come by https only.
    pub strict_transport_security: Option<HeaderValue>,
    /// How long the head of a request may take to arrive, from its first byte on; the first one, from the connection on.
    pub header_timeout: Duration,
    /// How long a connection may go without a request. In HTTP/2 it is looked at in steps of this length, so it may be twice as long.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of what it is told, be it an answer, an event stream or a WebSocket.
    pub stall_timeout: Duration,
    /// How long to go on accepting after `/readyz` has turned 503.
    pub drain_delay: Duration,
    /// How long a connection without a request stays open after that: a request may be on its way, from a client that has not been
    /// told yet.
    pub linger: Duration,
    /// How long requests in flight have to finish.
    pub grace: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            connections: ConnectionLimits::default(),
            tls: None,
            strict_transport_security: None,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(60),
            drain_delay: Duration::ZERO,
            linger: Duration::from_millis(500),
            grace: Duration::from_secs(25),
        }
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request was finished.
    Completely,
    /// Some were cut off when the time was up.
    TimedOut,
}

/// Serves until `shutdown` completes, and then drains. `routes` are the router of `app`, and whatever lies around it.
pub async fn serve(
    app: &App,
    routes: impl Into<Routes>,
    listeners: Vec<TcpListener>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let (drain_delay, grace) = (options.drain_delay, options.grace);
    let places = Places::new(options.connections.clone());
    let door = Arc::new(Door::new(app.clone(), routes.into(), options));
    // Turns true when connections have to end; each holds a receiver for as long as it lives.
    let closing = watch::Sender::new(false);
    let connect = |(stream, peer): (TcpStream, SocketAddr)| match places.take(peer.ip()) {
        Ok(place) => {
            let (door, closing) = (door.clone(), closing.subscribe());
            tokio::spawn(async move { door.serve(stream, Guest { peer, place }, closing).await });
        }
        Err(why) => app.rejections().note(why),
    };
    let stopping = async {
        shutdown.await;
        app.start_draining();
        info!("draining");
        #[expect(clippy::disallowed_methods, reason = "a drain takes its time; nothing is tested by waiting for it")]
        tokio::time::sleep(drain_delay).await;
    };
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            accepted = accept(&listeners) => match accepted {
                Ok(accepted) => connect(accepted),
                // Out of file descriptors, for example: let others finish and give theirs back.
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    #[expect(clippy::disallowed_methods, reason = "without a pause this would spin")]
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = &mut stopping => break,
        }
    }
    listeners.into_iter().for_each(|listener| close(listener, connect));
    app.end_streams();
    closing.send_replace(true);
    match tokio::time::timeout(grace, closing.closed()).await {
        Ok(()) => Drained::Completely,
        Err(_) => Drained::TimedOut,
    }
}

/// The next connection on any of the listeners.
async fn accept(listeners: &[TcpListener]) -> std::io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|context| {
        for listener in listeners {
            if let std::task::Poll::Ready(accepted) = listener.poll_accept(context) {
                return std::task::Poll::Ready(accepted);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Closes a listener. For the kernel those who wait at it are connected already, and may have sent a request: they are let in
/// first.
fn close(listener: TcpListener, connect: impl Fn((TcpStream, SocketAddr))) {
    let Ok(listener) = listener.into_std() else { return };
    let waiting = std::iter::from_fn(|| listener.accept().ok()).take(LAST_ONES);
    for (stream, peer) in waiting {
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            connect((stream, peer));
        }
    }
}
