//! A server behind: it believes whatever it is told, and tells what that was.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::any,
};
use futures_util::stream;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

/// What reached it, in order.
#[derive(Clone, Default)]
pub(crate) struct Upstream {
    seen: Arc<Mutex<Vec<Value>>>,
    address: Option<SocketAddr>,
    events: Arc<Mutex<Option<mpsc::UnboundedSender<Bytes>>>>,
}

impl Upstream {
    /// Starts one on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self { address: Some(listener.local_addr().unwrap()), ..Self::default() };
        let routes = Router::new()
            .route("/base/events", any(events))
            .route("/mcp/events", any(events))
            .route("/base/socket", any(socket))
            .route("/base/refuses", any(|| async { (StatusCode::UNAUTHORIZED, "who are you?") }))
            .route("/base/switches", any(|| async { StatusCode::SWITCHING_PROTOCOLS }))
            .route("/base/never", any(std::future::pending::<Response>))
            .route("/base/moves", any(moves))
            .route("/base/leaves", any(leaves))
            .fallback(tell)
            .with_state(upstream.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        upstream
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/base", self.address.unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// How many requests reached it.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Whether any of them was for this target.
    pub(crate) fn was_asked_for(&self, target: &str) -> bool {
        self.seen.lock().unwrap().iter().any(|seen| seen["target"] == target)
    }

    /// Sends an event to whoever listens at `/events`.
    pub(crate) fn event(&self, text: &str) {
        let events = self.events.lock().unwrap();
        let sender = events.as_ref().expect("somebody listens");
        // Whoever listened may be gone, which is for the test to see.
        let _ = sender.send(Bytes::from(format!("data: {text}\n\n")));
    }

    /// Waits until nobody listens at `/events` any more.
    pub(crate) async fn deserted(&self) {
        let events = self.events.lock().unwrap().clone().expect("somebody listened");
        events.closed().await;
    }

    fn note(&self, request: &Value) {
        self.seen.lock().unwrap().push(request.clone());
    }
}

async fn tell(State(upstream): State<Upstream>, request: Request) -> Json<Value> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap_or_default();
    let trailers = body.trailers().map(lines).unwrap_or_default();
    let body = body.to_bytes();
    let told = json!({
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "headers": lines(&parts.headers),
        "body": String::from_utf8_lossy(&body),
        "trailers": trailers,
    });
    upstream.note(&told);
    Json(told)
}

/// Names may be there more than once, so lines.
fn lines(headers: &HeaderMap) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect()
}

async fn events(State(upstream): State<Upstream>) -> Response {
    let (sender, receiver) = mpsc::unbounded_channel();
    *upstream.events.lock().unwrap() = Some(sender);
    upstream.note(&json!("events"));
    let events = stream::unfold(receiver, |mut receiver| async move {
        Some((Ok::<_, Infallible>(receiver.recv().await?), receiver))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Switches, whatever it is asked for, and says everything twice.
async fn socket(State(upstream): State<Upstream>, mut request: Request) -> Response {
    upstream.note(&json!(lines(request.headers())));
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        let mut bytes = [0; 64];
        while let Ok(length @ 1..) = stream.read(&mut bytes).await {
            if stream.write_all(&bytes[..length].repeat(2)).await.is_err() {
                break;
            }
        }
    });
    (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "websocket")]).into_response()
}

/// To a place of its own that is outside of the site.
async fn leaves(State(upstream): State<Upstream>) -> Response {
    let there = format!("http://{}/login", upstream.address.unwrap());
    (StatusCode::FOUND, [("location", there.clone()), ("content-location", there)]).into_response()
}

async fn moves(State(upstream): State<Upstream>) -> Response {
    let there = format!("{}/there", upstream.url());
    (
        StatusCode::TEMPORARY_REDIRECT,
        [("location", there), ("set-cookie", "a=1".into()), ("clear-site-data", "\"*\"".into())],
    )
        .into_response()
}
