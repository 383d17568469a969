//! One connection, from its first byte to its last.

use std::{convert::Infallible, error::Error, future::ready, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{
        HeaderValue, Method, Request, Response, StatusCode,
        header::{CONNECTION, HOST, STRICT_TRANSPORT_SECURITY},
    },
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_io_timeout::TimeoutWriter;
use tracing::debug;

use super::{
    ServeOptions,
    crowd::Crowd,
    http2::{self, Streams, Watched},
    patience::{Patient, Progress},
    places::Place,
    tls::{Encrypted, Handshakes},
};
use crate::http::{
    App,
    rejections::Rejection,
    respond::plain_error,
    routes::{Answer, Routes},
};

/// How long a client of HTTP/2 has to acknowledge the end of its connection, if it has no request open.
const FAREWELL: Duration = Duration::from_secs(2);
/// The longest head of a request in HTTP/1.1, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;

/// Who is at the other end, and the place that they have for as long as their connection is open.
pub(super) struct Guest {
    pub(super) peer: SocketAddr,
    pub(super) place: Place,
}

/// What all connections have in common.
pub(super) struct Door {
    app: App,
    routes: Routes,
    options: ServeOptions,
    http1: http1::Builder,
    handshakes: Option<Handshakes>,
    crowd: Crowd,
}

/// Why a connection ended before its time.
type Broken = Box<dyn Error + Send + Sync>;

impl Door {
    pub(super) fn new(app: App, routes: Routes, options: ServeOptions) -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(options.idle_timeout).max_buf_size(HEAD_LIMIT);
        let handshakes = options.tls.clone().map(Handshakes::new);
        Self { app, routes, options, http1, handshakes, crowd: Crowd::default() }
    }

    /// Serves a connection to its end, which comes soon after `closing` has turned true.
    pub(super) async fn serve(self: &Arc<Self>, stream: TcpStream, guest: Guest, closing: watch::Receiver<bool>) {
        let _counted_as_open = self.app.connected();
        // Answers are one small write; waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        // Whoever stops reading makes writing wait, and nothing that is written is looked at meanwhile: neither the end of a
        // token nor that of the server.
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(self.options.stall_timeout));
        let stream = Box::pin(stream);
        let ended = match &self.handshakes {
            None => self.serve_http1(stream, guest, closing).await,
            // In a box: a connection in the clear does not need the room.
            Some(handshakes) => Box::pin(self.serve_tls(handshakes, stream, guest, closing)).await,
        };
        if let Err(error) = ended {
            debug!(error, "a connection ended early");
            self.note(&*error);
        }
    }

    async fn serve_tls(
        self: &Arc<Self>,
        handshakes: &Handshakes,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        guest: Guest,
        closing: watch::Receiver<bool>,
    ) -> Result<(), Broken> {
        let mut giving_up = closing.clone();
        let encrypted = tokio::select! {
            biased;
            encrypted = handshakes.accept(stream) => encrypted?,
            () = async { begins(&mut giving_up).await; pause(self.options.linger).await } => return Ok(()),
        };
        match encrypted {
            Encrypted::Http1(stream) => self.serve_http1(stream, guest, closing).await,
            Encrypted::Http2(stream) => Box::pin(self.serve_http2(stream, guest, closing)).await,
        }
    }

    async fn serve_http1(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        guest: Guest,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), Broken> {
        let Guest { peer, place } = guest;
        let progress = Progress::new();
        let stream = Patient::new(stream, Some(place), progress.clone(), self.options.header_timeout);
        let service = service_fn(|request| {
            // At once: hyper looks for more to read before it asks for the answer, and that is no head that is late.
            progress.answering();
            let answer = self.answer(request, peer);
            let (door, progress) = (self.clone(), progress.clone());
            async move { Ok::<_, Infallible>(door.answered_http1(door.crowd.answer(answer).await, &progress)) }
        });
        let mut connection = pin!(self.http1.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let end = async {
            tokio::select! {
                biased;
                ended = &mut connection => return ended,
                () = begins(&mut closing) => {}
            }
            if let Ok(ended) = timeout(self.options.linger, &mut connection).await {
                return ended;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        };
        let ended = end.await;
        if progress.was_given_up() {
            self.app.rejections().note(Rejection::SlowHead);
        }
        Ok(ended?)
    }

    async fn serve_http2(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        guest: Guest,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), Broken> {
        let Guest { peer, place: _place } = guest;
        let service = service_fn(|request| {
            let answer = self.answer(with_host(request), peer);
            let door = self.clone();
            async move { Ok::<_, Infallible>(door.answered(door.crowd.answer(answer).await).map(Watched)) }
        });
        let streams = Streams::new(self.options.stall_timeout);
        let builder = http2::builder(streams.clone());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        // The first request is expected as soon as in HTTP/1.1; from then on a connection may rest for a while.
        let (mut patience, mut requests) = (self.options.header_timeout, Some(0));
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => return Ok(ended?),
                () = begins(&mut closing) => break,
                () = pause(patience) => {}
            }
            let before = std::mem::replace(&mut requests, streams.at_rest());
            if requests.is_some() && requests == before {
                break;
            }
            patience = self.options.idle_timeout;
        }
        // RFC 9113 6.8: what the client has sent before it hears of the end is answered.
        connection.as_mut().graceful_shutdown();
        loop {
            match timeout(FAREWELL, &mut connection).await {
                Ok(ended) => return Ok(ended?),
                Err(_) if streams.at_rest().is_some() => return Ok(()),
                Err(_) => {}
            }
        }
    }

    fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        // RFC 9110 9.3.6: whoever asks for a tunnel takes this server for a proxy.
        if request.method() == Method::CONNECT {
            let refused = plain_error(StatusCode::NOT_IMPLEMENTED, "invalid_request", "This server is no proxy.");
            return Box::pin(ready(refused));
        }
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        self.routes.answer(request)
    }

    fn answered(&self, mut response: Response<Body>) -> Response<Body> {
        if let Some(policy) = &self.options.strict_transport_security {
            response.headers_mut().entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| policy.clone());
        }
        response
    }

    fn answered_http1(&self, response: Response<Body>, progress: &Progress) -> Response<Body> {
        let mut response = self.answered(response);
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => progress.handed_over(),
            _ => progress.answered(),
        }
        // RFC 9112 9.6. What switches protocols has its own word there.
        if self.app.is_draining() {
            response.headers_mut().entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
        }
        response
    }

    /// Counts a connection that was given up because of a limit.
    fn note(&self, error: &(dyn Error + 'static)) {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large) {
            self.app.rejections().note(Rejection::LargeHead);
        }
    }
}

/// RFC 9113 8.3.1: for everything behind, the host is in `Host`.
fn with_host(mut request: Request<Incoming>) -> Request<Incoming> {
    let authority = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(authority)) = authority {
        request.headers_mut().entry(HOST).or_insert(authority);
    }
    request
}

/// Completes when connections have to end.
async fn begins(closing: &mut watch::Receiver<bool>) {
    // Without a sender there is no server either.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn pause(duration: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the patience of a connection")]
    tokio::time::sleep(duration).await;
}
