//! Clients that do what no library lets them do.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName, version::TLS13};
use tokio::{io::AsyncReadExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{authority::Authority, host::NAME};

/// What a client trusts and offers.
pub(crate) fn trusting(authority: &Authority, protocols: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

/// Shakes hands and says nothing yet.
pub(crate) async fn dial(address: SocketAddr, config: ClientConfig) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

pub(crate) type Http2 = (SendRequest<Bytes>, Connection<TlsStream<TcpStream>>);

/// A connection of HTTP/2 with settings of one's own.
pub(crate) async fn dial_http2(address: SocketAddr, authority: &Authority, builder: &h2::client::Builder) -> Http2 {
    builder.handshake(dial(address, trusting(authority, &[b"h2"])).await).await.unwrap()
}

/// Reads until the other side has closed, however it does that.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    all
}
