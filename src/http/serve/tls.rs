//! The handshake of TLS, which strangers may draw out, repeat and break off.

use std::{io, sync::Arc, time::Duration};

use rustls::{ServerConfig, server::Acceptor};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// HTTP/2 and HTTP/1.1, as they are offered in a handshake (RFC 7301), most wanted first.
pub const PROTOCOLS: &[&[u8]] = &[HTTP2, b"http/1.1"];
const HTTP2: &[u8] = b"h2";

/// How connections are encrypted.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// The certificate and what else a handshake needs; what it is at that moment counts. Offers [`PROTOCOLS`].
    pub config: watch::Receiver<Arc<ServerConfig>>,
    /// How long a handshake may take, with waiting for its turn.
    pub handshake_timeout: Duration,
    /// How many handshakes may be going on; others wait for their turn.
    pub handshakes: usize,
}

/// Why there is no encrypted connection.
#[derive(Debug, Error)]
pub(super) enum NoTls {
    #[error("the TLS handshake took too long")]
    TooSlow,
    #[error("the TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
}

/// What a handshake led to.
pub(super) enum Encrypted<S> {
    Http1(TlsStream<S>),
    Http2(TlsStream<S>),
}

/// All handshakes of a server.
pub(super) struct Handshakes {
    options: TlsOptions,
    places: Semaphore,
}

impl Handshakes {
    pub(super) fn new(options: TlsOptions) -> Self {
        Self { places: Semaphore::new(options.handshakes), options }
    }

    /// Shakes hands. Whoever says nothing, or something else than TLS, takes nobody's place.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<Encrypted<S>, NoTls> {
        let handshake = async {
            let greeted = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            let _place = self.places.acquire().await.map_err(io::Error::other)?;
            let config = self.options.config.borrow().clone();
            greeted.into_stream(config).await
        };
        let stream = timeout(self.options.handshake_timeout, handshake).await.map_err(|_| NoTls::TooSlow)??;
        match stream.get_ref().1.alpn_protocol() {
            Some(HTTP2) => Ok(Encrypted::Http2(stream)),
            Some(_) | None => Ok(Encrypted::Http1(stream)),
        }
    }
}
