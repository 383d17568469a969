//! Certificates: good, of an unknown authority, expired, about to expire, of another name.

use std::{fs, path::Path, process::Command, sync::Arc};

use axum::extract::Request;
use gateward::{
    doctor::{Kind, Options, Report, Target, examine},
    resource::SystemClock,
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::world::{World, assert_complaints};

fn openssl(place: &Path, arguments: &str) {
    let run = Command::new("openssl").current_dir(place).args(arguments.split(' ')).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

const AUTHORITY: &str = "[ca]\ndefault_ca = here\n[here]\ndatabase = index.txt\nrand_serial = yes\nnew_certs_dir = .\n\
                         default_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n";

/// An authority, and a certificate of its for `name` with these dates.
fn certify(name: &str, validity: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    openssl(at, "req -x509 -newkey rsa:2048 -nodes -days 3650 -keyout ca.key -out ca.pem -subj /CN=authority");
    openssl(at, "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server");
    for (file, text) in [("ca.cnf", AUTHORITY), ("index.txt", ""), ("san", &format!("subjectAltName={name}"))] {
        fs::write(at.join(file), text).unwrap();
    }
    let sign =
        "ca -batch -notext -config ca.cnf -keyfile ca.key -cert ca.pem -extfile san -in server.csr -out server.pem";
    openssl(at, &format!("{sign} {validity}"));
    place
}

/// gateward behind this certificate, at 127.0.0.1.
async fn serve(place: &Path) -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    let (routes, world) = World::routes(&origin, "").await;
    let chain = vec![CertificateDer::from_pem_file(place.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(place.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let (acceptor, routes) = (acceptor.clone(), routes.clone());
            tokio::spawn(async move {
                // Whoever does not like the certificate hangs up.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = routes.map_request(move |mut request: Request<hyper::body::Incoming>| {
                    request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
                    request.map(axum::body::Body::new)
                });
                let service = TowerToHyperService::new(service);
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    world
}

async fn look(place: &TempDir, trusts: bool) -> Report {
    let world = serve(place.path()).await;
    let authorities = trusts.then(|| fs::read(place.path().join("ca.pem")).unwrap());
    let options = Options { authorities, ..Options::default() };
    let target = Target { kind: Some(Kind::AuthorizationServer), ..Target::at(&world.issuer) };
    examine(&[target], &options, &SystemClock).await.unwrap()
}

const HERE: &str = "IP:127.0.0.1";

/// Everything else is looked at, and in order.
#[tokio::test]
async fn a_certificate_of_an_authority_that_only_the_operator_trusts_is_a_warning() {
    let report = look(&certify(HERE, "-days 90"), true).await;
    assert_complaints(
        &report,
        &["transport.certificate"],
        "Warning: accepted only because of the authority that was named",
    );
    assert!(report.summary.passed > 50, "{:?}", report.summary);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_noticed() {
    let report = look(&certify(HERE, "-days 90"), false).await;
    assert_complaints(&report, &["transport.certificate"], "Failure: ");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_noticed() {
    let report = look(&certify("DNS:auth.example.com", "-days 90"), true).await;
    assert_complaints(&report, &["transport.certificate"], "not valid for name");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_noticed() {
    let report = look(&certify(HERE, "-startdate 20200101000000Z -enddate 20210101000000Z"), true).await;
    assert_complaints(&report, &["transport.certificate"], "expired");
}

#[tokio::test]
async fn a_certificate_that_expires_soon_is_noticed() {
    let report = look(&certify(HERE, "-days 3"), true).await;
    assert_complaints(&report, &["transport.certificate", "transport.certificate_end"], "accepted only because");
    let findings = &report.sections[0].findings;
    let end = findings.iter().find(|finding| finding.check == "transport.certificate_end").unwrap();
    assert!(matches!(end.saw.as_str(), "2 days left" | "3 days left"), "{}", end.saw);
}
