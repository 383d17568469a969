//! Where Prometheus reads: `/metrics`, on an address of its own, and nothing else.
//!
//! Figures tell how busy a server is and what it refuses, so they do not belong where strangers are. Few connections at once, each
//! with little time: whoever holds them all only keeps the figures from others who can reach this address.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderValue, Method, Request, Response, StatusCode,
        header::{ALLOW, CONTENT_TYPE},
    },
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tracing::{debug, warn};

use super::respond::{no_store, plain_error};
use crate::metrics::{MEDIA_TYPE, Metrics};

/// Connections at once.
const CONNECTIONS: usize = 16;
/// For one request and its answer. Connections are not kept for longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const HEAD: usize = 8 * 1024;

/// Serves `/metrics` until it is dropped.
pub async fn serve_metrics(listener: TcpListener, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Those that find no place wait in the queue of the system.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let served = serve_one(stream, metrics.clone());
                tokio::spawn(async move {
                    if tokio::time::timeout(PATIENCE, served).await.is_err() {
                        debug!("a reader of metrics took too long");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection for metrics");
                #[expect(clippy::disallowed_methods, reason = "without a pause this would spin")]
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn serve_one(stream: TcpStream, metrics: Arc<Metrics>) -> impl Future<Output = ()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD).keep_alive(false);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    async move {
        if let Err(error) = connection.await {
            debug!(%error, "a connection for metrics ended early");
        }
    }
}

fn answer<B>(request: &Request<B>, metrics: &Metrics) -> Response<Body> {
    if request.uri().path() != "/metrics" {
        return plain_error(StatusCode::NOT_FOUND, "not_found", "Metrics are at /metrics; nothing else is here.");
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = plain_error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "Metrics can only be read.");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let mut response = Response::new(Body::from(metrics.encode()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    no_store(response)
}
