//! From a socket to the router, and an orderly end.
//!
//! On shutdown: `/readyz` turns 503, so that load balancers look elsewhere; after `drain_delay` no connection is accepted
//! any more; requests in flight are finished within `grace`, and then the process may go.

use std::{convert::Infallible, future::Future, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutWriter;
use tower::ServiceExt;
use tracing::{debug, info, warn};

use super::App;

/// What the operator decides about connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeOptions {
    /// How long the head of a request may take to arrive.
    pub header_timeout: Duration,
    /// How long a client may take nothing of what it is told, be it an answer, an event stream or a WebSocket.
    pub stall_timeout: Duration,
    /// How long to go on accepting after `/readyz` has turned 503.
    pub drain_delay: Duration,
    /// How long requests in flight have to finish.
    pub grace: Duration,
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
    routes: Router,
    listeners: Vec<TcpListener>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let connections = GracefulShutdown::new();
    let stopping = async {
        shutdown.await;
        app.start_draining();
        info!("draining");
        #[expect(clippy::disallowed_methods, reason = "a drain takes its time; nothing is tested by waiting for it")]
        tokio::time::sleep(options.drain_delay).await;
    };
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            accepted = accept(&listeners) => match accepted {
                Ok((stream, peer)) => connect(stream, peer, &routes, &connections, options),
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
    drop(listeners);
    app.end_streams();
    match tokio::time::timeout(options.grace, connections.shutdown()).await {
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

fn connect(
    stream: TcpStream,
    peer: SocketAddr,
    routes: &Router,
    connections: &GracefulShutdown,
    options: ServeOptions,
) {
    // Answers are one small write; waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    let routes = routes.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(routes.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.header_timeout).max_buf_size(64 * 1024);
    // Whoever stops reading makes writing wait, and nothing that is written is looked at meanwhile: neither the end of a token nor
    // that of the server.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(options.stall_timeout));
    let stream = Box::pin(stream);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a connection ended early");
        }
    });
}
