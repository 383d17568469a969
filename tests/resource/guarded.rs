//! A small router behind the layer, and requests to it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, Method, Request, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use gateward::{
    resource::{Identity, ProtectedResource},
    testing::server::Answer,
};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::mpsc;
use tower::ServiceExt;

type Frames = mpsc::UnboundedReceiver<Result<http_body::Frame<Bytes>, Infallible>>;
/// What sends the events of `/events` and the parts of `/download`.
pub(crate) type Events = mpsc::UnboundedSender<Result<http_body::Frame<Bytes>, Infallible>>;

/// A service behind the layer. Clones are the same service.
#[derive(Clone)]
pub(crate) struct Guarded {
    router: Router,
    reached: Arc<AtomicUsize>,
    events: Arc<Mutex<Option<Frames>>>,
}

async fn whoami(identity: Identity, method: Method, body: Bytes) -> Json<serde_json::Value> {
    Json(json!({
        "method": method.as_str(),
        "iss": identity.issuer(),
        "sub": identity.subject(),
        "client_id": identity.client_id(),
        "scope": identity.scope(),
        "resource": identity.resource(),
        "human": identity.is_human(),
        "exp": identity.expires_at().unix(),
        "body": String::from_utf8_lossy(&body),
    }))
}

impl Guarded {
    pub(crate) fn new(resource: ProtectedResource) -> Self {
        let layer = resource.layer().expect("a layer");
        let (reached, events) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None::<Frames>)));
        let streaming = |media_type: &'static str| {
            let events = events.clone();
            get(move || async move { stream(media_type, &events) })
        };
        let count = reached.clone();
        let router = Router::new()
            .route("/events", streaming("text/event-stream"))
            .route("/events-in-capitals", streaming("Text/Event-Stream; charset=utf-8"))
            .route("/download", streaming("application/octet-stream"))
            .fallback(any(whoami))
            .layer(axum::middleware::map_request(move |request: Request<Body>| {
                count.fetch_add(1, Ordering::SeqCst);
                async move { request }
            }))
            .layer(layer);
        Self { router, reached, events }
    }

    /// How many requests got through.
    pub(crate) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }

    /// What `/events` and `/download` are to send.
    pub(crate) fn events(&self) -> Events {
        let (events, frames) = mpsc::unbounded_channel();
        *self.events.lock().unwrap_or_else(PoisonError::into_inner) = Some(frames);
        events
    }

    pub(crate) fn call(&self, method: &str, uri: &str) -> Call {
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).expect("a request");
        Call { router: self.router.clone(), request }
    }

    /// `GET /mcp` with a token.
    pub(crate) async fn get(&self, token: &str) -> Answer {
        self.call("GET", "/mcp").bearer(token).send().await
    }

    /// `POST /mcp` of a message with a token.
    pub(crate) async fn post(&self, token: &str, message: impl Into<Body>) -> Answer {
        self.call("POST", "/mcp").bearer(token).body(message).send().await
    }
}

fn stream(media_type: &'static str, events: &Mutex<Option<Frames>>) -> Response {
    let frames = events.lock().unwrap_or_else(PoisonError::into_inner).take().expect("events");
    ([(CONTENT_TYPE, media_type)], Body::new(Received(frames))).into_response()
}

/// A channel as a body.
struct Received(Frames);

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context)
    }
}

/// A request that has not been sent yet.
pub(crate) struct Call {
    router: Router,
    request: Request<Body>,
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.request.headers_mut().append(name, HeaderValue::from_bytes(value.as_ref()).expect("a header value"));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// The head of the answer, and its body as it comes.
    pub(crate) async fn open(self) -> Response {
        self.router.oneshot(self.request).await.unwrap_or_else(|never| match never {})
    }

    pub(crate) async fn send(self) -> Answer {
        let (head, body) = self.open().await.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }
}

/// A body that never says anything, and whether somebody has asked it to.
pub(crate) fn silent_body() -> (Body, Arc<AtomicUsize>) {
    struct Silent(Arc<AtomicUsize>);
    impl http_body::Body for Silent {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Poll::Pending
        }
    }
    let polled = Arc::new(AtomicUsize::new(0));
    (Body::new(Silent(polled.clone())), polled)
}

/// A body that breaks off after a whole message.
pub(crate) fn broken_body() -> Body {
    struct Broken(bool);
    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())));
            }
            Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(br#"{"method":"ping"}"#)))))
        }
    }
    Body::new(Broken(false))
}

/// The challenge of a refusal.
#[track_caller]
pub(crate) fn challenge(answer: &Answer) -> &str {
    answer.header("www-authenticate").unwrap_or_else(|| panic!("no challenge: {} {}", answer.status, answer.text()))
}

/// 401 `invalid_token`.
#[track_caller]
pub(crate) fn assert_invalid(answer: &Answer) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert!(challenge(answer).contains(r#"error="invalid_token""#), "{}", challenge(answer));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// 503, and when to come again.
#[track_caller]
pub(crate) fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert_eq!(answer.header("www-authenticate"), None);
}

#[track_caller]
pub(crate) fn assert_bad_request(answer: &Answer) {
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[track_caller]
pub(crate) fn assert_passed(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.text());
}
