//! A certificate that is replaced while the server runs.

use std::{fs, net::SocketAddr};

use gateward::adapter::certificate::{CertificateError, Refreshed, ServerCertificate};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    authority::{Authority, Pair},
    dial::{dial, trusting},
    host::{Certified, Host, NAME, files},
    support::{Options, Server, until},
};

/// What somebody is shown who connects now.
async fn shown(address: SocketAddr, authority: &Authority) -> CertificateDer<'static> {
    let stream = dial(address, trusting(authority, &[b"http/1.1"])).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_open_ones_go_on() {
    let certified = Certified::new();
    let host = Host::start(certified.options()).await;
    let mut open = dial(host.address, trusting(&certified.authority, &[b"http/1.1"])).await;
    let next = certified.authority.certify(&[NAME]);
    next.write(certified.directory.path());
    assert_eq!(certified.certificate.refresh().unwrap(), Refreshed::Changed);
    assert_eq!(certified.certificate.refresh().unwrap(), Refreshed::Unchanged);
    assert_eq!(shown(host.address, &certified.authority).await, next.der());
    open.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    open.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn whoever_comes_back_with_a_ticket_is_shown_the_new_certificate_too() {
    let certified = Certified::new();
    let host = Host::start(certified.options()).await;
    let config = trusting(&certified.authority, &[b"http/1.1"]);
    for (tickets, resumed) in [("none", false), ("of the same certificate", true)] {
        let mut stream = dial(host.address, config.clone()).await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        // Tickets arrive with the answer.
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        assert_eq!(kind == rustls::HandshakeKind::Resumed, resumed, "{tickets}: {kind:?}");
    }
    certified.authority.certify(&[NAME]).write(certified.directory.path());
    certified.certificate.refresh().unwrap();
    let stream = dial(host.address, config).await;
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
}

#[test]
fn what_is_no_pair_is_refused_and_changes_nothing() {
    let certified = Certified::new();
    let (of_others, expires) = (certified.authority.certify(&[NAME]), certified.certificate.expires());
    let directory = certified.directory.path();
    let good = &certified.pair;
    let write = |certificate: &str, key: &str| {
        Pair { certificate: certificate.to_owned(), key: key.to_owned() }.write(directory);
        certified.certificate.refresh().unwrap_err()
    };
    assert!(matches!(write(&good.certificate, &of_others.key), CertificateError::Mismatch { .. }));
    assert!(matches!(write(&of_others.certificate, &good.key), CertificateError::Mismatch { .. }));
    assert!(matches!(write(&good.certificate, ""), CertificateError::NoKey { .. }));
    assert!(matches!(write("nonsense", &good.key), CertificateError::NoCertificate { .. }));
    assert!(matches!(write(&good.key, &good.certificate), CertificateError::NoCertificate { .. }));
    let half = &good.certificate[..good.certificate.len() / 2];
    assert!(matches!(write(half, &good.key), CertificateError::Pem { .. } | CertificateError::NoCertificate { .. }));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(write(garbage, &good.key), CertificateError::Malformed { .. }));
    assert!(matches!(write(&"x".repeat(1 << 21), &good.key), CertificateError::TooLong { .. }));
    good.write(directory);
    fs::remove_file(directory.join("server.key")).unwrap();
    let gone = certified.certificate.refresh().unwrap_err();
    assert!(matches!(gone, CertificateError::Unreadable { .. }) && gone.to_string().contains("server.key"), "{gone}");
    assert_eq!(certified.certificate.expires(), expires);
    // All is well again: nothing has changed.
    good.write(directory);
    assert_eq!(certified.certificate.refresh().unwrap(), Refreshed::Unchanged);
}

#[test]
fn a_certificate_says_how_long_and_for_whom_it_is_good() {
    let certified = Certified::new();
    let pair = certified.authority.certify_until(&["auth.example.com", "*.mcp.example.com", "::1"], 2030);
    pair.write(certified.directory.path());
    let certificate = ServerCertificate::open(files(&certified.directory)).unwrap();
    // 2030-01-01T00:00:00Z is its last second.
    assert_eq!(certificate.expires().unix(), 1_893_456_001);
    for host in ["auth.example.com", "one.mcp.example.com", "[::1]"] {
        assert!(certificate.is_for(host), "{host}");
    }
    for host in ["example.com", "two.one.mcp.example.com", "[::2]", "127.0.0.1", ""] {
        assert!(!certificate.is_for(host), "{host}");
    }
}

/// A server of its own, with an authority, that looks at its files when it is told to.
fn server(certified: &Certified, poll: &str) -> Server {
    let pair = certified.authority.certify(&[NAME, "localhost"]);
    pair.write(certified.directory.path());
    let options = Options::new().on_localhost().with_tls(certified.directory.path());
    Server::start(options.set("GATEWARD_TLS__POLL", poll).set("GATEWARD_SERVER__HEADER_TIMEOUT", "10m"))
}

#[tokio::test]
async fn a_hangup_has_the_files_read_again_and_a_broken_pair_keeps_the_old_one() {
    let certified = Certified::new();
    let server = server(&certified, "1h");
    let mut open = dial(server.address(), trusting(&certified.authority, &[b"http/1.1"])).await;
    let before = shown(server.address(), &certified.authority).await;

    let next = certified.authority.certify(&[NAME, "localhost"]);
    fs::write(certified.directory.path().join("server.pem"), &next.certificate).unwrap();
    server.hang_up();
    server.wait_for_log("the certificate stays as it was");
    assert!(server.log().contains("is not the key of the first certificate"), "{}", server.log());
    assert_eq!(shown(server.address(), &certified.authority).await, before);

    next.write(certified.directory.path());
    server.hang_up();
    server.wait_for_log("another certificate");
    assert_eq!(shown(server.address(), &certified.authority).await, next.der());
    open.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    open.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn files_that_change_are_noticed() {
    let certified = Certified::new();
    let server = server(&certified, "1s");
    let next = certified.authority.certify(&[NAME, "localhost"]);
    next.write(certified.directory.path());
    until("the new certificate is shown", async || shown(server.address(), &certified.authority).await == next.der())
        .await;
}

#[tokio::test]
async fn a_certificate_that_clients_will_refuse_is_complained_about() {
    let certified = Certified::new();
    certified.authority.certify_until(&["other.example.com"], 2020).write(certified.directory.path());
    let server = Server::start(Options::new().on_localhost().with_tls(certified.directory.path()));
    server.wait_for_log("the certificate has expired (2020-01-01T00:00:01Z)");
    server.wait_for_log("the certificate is not one for localhost");
}
