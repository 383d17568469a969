//! A server in this process, behind real sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use gateward::{
    adapter::certificate::{CertificateFiles, ServerCertificate},
    http::{
        router,
        serve::{Drained, PROTOCOLS, ServeOptions, TlsOptions, serve},
    },
    testing::server::TestServer,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::authority::{Authority, Pair};

/// The name that clients know it by; it resolves to nothing.
pub(crate) const NAME: &str = "auth.example.com";

pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Drained>,
}

impl Host {
    /// In plain http.
    pub(crate) async fn start(options: ServeOptions) -> Self {
        Self::start_with(Router::new(), options).await
    }

    /// With more routes than usual.
    pub(crate) async fn start_with(more: Router, options: ServeOptions) -> Self {
        let server = TestServer::builder().issuer(&format!("https://{NAME}")).start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let routes = more.fallback_service(router(&server.app));
        let serving = tokio::spawn(async move {
            serve(&server.app, routes, vec![listener], options, async { stopped.await.unwrap_or_default() }).await
        });
        Self { address, stop: Some(stop), serving }
    }

    /// As SIGTERM does.
    pub(crate) fn stop(&mut self) {
        self.stop.take().expect("still running").send(()).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn end(self) -> Drained {
        self.serving.await.unwrap()
    }
}

/// An authority, and files that it vouches for.
pub(crate) struct Certified {
    pub(crate) authority: Authority,
    pub(crate) directory: TempDir,
    pub(crate) pair: Pair,
    pub(crate) certificate: Arc<ServerCertificate>,
}

impl Certified {
    /// For [`NAME`].
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let directory = tempfile::tempdir().unwrap();
        let pair = authority.certify(&[NAME]);
        pair.write(directory.path());
        let certificate = Arc::new(ServerCertificate::open(files(&directory)).unwrap());
        Self { authority, directory, pair, certificate }
    }

    /// TLS with it, and patience enough for a busy machine.
    pub(crate) fn options(&self) -> ServeOptions {
        ServeOptions { tls: Some(self.tls()), header_timeout: Duration::from_secs(60), ..ServeOptions::default() }
    }

    pub(crate) fn tls(&self) -> TlsOptions {
        TlsOptions { config: self.certificate.tls(), handshake_timeout: Duration::from_secs(30), handshakes: 16 }
    }
}

pub(crate) fn files(directory: &TempDir) -> CertificateFiles {
    let (certificate, key) = (directory.path().join("server.pem"), directory.path().join("server.key"));
    CertificateFiles { certificate, key, protocols: PROTOCOLS }
}
