//! Whether a server on this machine is ready: what `gateward healthcheck` asks.
//!
//! One question, which needs no HTTP client. Over TLS the certificate is not judged: it is made out to the name that clients know, while
//! the question goes to an address of this machine, holds no secret, and is believed no more than yes or no.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// More of an answer than this is not looked at.
const LONGEST: u64 = 1024;

/// The status line of what the server at `address` says to `GET /readyz`. `host` is the name that clients know it by.
///
/// # Errors
///
/// There is no connection, or it breaks off.
pub async fn readiness(address: SocketAddr, host: &str, tls: bool) -> io::Result<String> {
    let stream = TcpStream::connect(address).await?;
    if !tls {
        return ask(stream, host).await;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let config = config.map_err(io::Error::other)?.dangerous();
    let config = config.with_custom_certificate_verifier(Arc::new(Whoever(provider))).with_no_client_auth();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned();
    let name = ServerName::try_from(name).unwrap_or_else(|_| address.ip().into());
    ask(TlsConnector::from(Arc::new(config)).connect(name, stream).await?, host).await
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str) -> io::Result<String> {
    let question = format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect())
}

/// Takes any certificate of whoever holds its key.
#[derive(Debug)]
struct Whoever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
