//! WebSockets: judged at the handshake, and open for as long as the token counts.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, Request, Response,
        header::{CONNECTION, UPGRADE},
    },
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;

use crate::{log, resource::Lease};

const WEBSOCKET: &str = "websocket";

/// A client that wants a WebSocket (RFC 6455 4.1).
pub(super) struct Upgrade(OnUpgrade);

impl Upgrade {
    /// `None` for every other request, also for one that wants another protocol: that stays a plain request (RFC 9110 7.8).
    pub(super) fn of(request: &mut Request<Body>) -> Option<Self> {
        let headers = request.headers();
        let names = |name, wanted: &str| {
            headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .any(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(wanted)))
        };
        let wanted = request.method() == Method::GET && names(CONNECTION, "upgrade") && names(UPGRADE, WEBSOCKET);
        wanted.then(|| Self(hyper::upgrade::on(request)))
    }

    /// Joins the two sides once both have switched, until the token is over.
    pub(super) fn join(self, response: &mut Response<Body>, lease: Lease) {
        let theirs = hyper::upgrade::on(response);
        let tunnel = async move {
            let (client, server) = match tokio::try_join!(self.0, theirs) {
                Ok(both) => both,
                Err(error) => return debug!(%error, "a WebSocket was not opened"),
            };
            let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
            tokio::select! {
                done = tokio::io::copy_bidirectional(&mut client, &mut server) => debug!(?done, "a WebSocket was closed"),
                ended = lease.ended() => debug!(?ended, "a WebSocket ends with its token"),
            }
        };
        tokio::spawn(log::carried(tunnel));
    }
}

/// What says that the next protocol is to be a WebSocket, on one hop.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
}
