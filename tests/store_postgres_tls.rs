//! A Postgres over TLS: whom it has to be, and what is said if it is somebody else.
#![cfg(all(feature = "testing", feature = "postgres"))]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod support;

use std::{
    error::Error,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Command,
};

use gateward::{
    port::store::Creation,
    store::{OpenError, Stores},
    testing::fixture::user,
};
use support::engine::postgres::Postgres;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// Two authorities, and a server that the first one vouches for.
struct Stage {
    authorities: TempDir,
    server: Postgres,
}

fn openssl(place: &Path, arguments: &str) {
    let run = Command::new("openssl").current_dir(place).args(arguments.split(' ')).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

fn certify(authorities: &Path, room: &Path, ip: IpAddr) -> [PathBuf; 2] {
    let (key, certificate) = (room.join("server.key"), room.join("server.pem"));
    fs::write(authorities.join("san"), format!("subjectAltName=IP:{ip}")).unwrap();
    openssl(
        authorities,
        &format!("req -newkey rsa:2048 -nodes -keyout {} -out server.csr -subj /CN=db", key.display()),
    );
    let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san";
    openssl(authorities, &format!("{sign} -out {}", certificate.display()));
    [certificate, key]
}

impl Stage {
    fn set() -> Self {
        let authorities = tempfile::tempdir().unwrap();
        for name in ["ca", "other"] {
            let new = "req -x509 -newkey rsa:2048 -nodes -days 2";
            openssl(authorities.path(), &format!("{new} -keyout {name}.key -out {name}.pem -subj /CN={name}"));
        }
        let server = Postgres::start_tls(|room, ip| certify(authorities.path(), room, ip));
        Self { authorities, server }
    }

    fn url(&self, mode: &str, authority: Option<&str>) -> String {
        let mut url: Url = self.server.url().parse().unwrap();
        url.query_pairs_mut().append_pair("sslmode", mode);
        if let Some(authority) = authority {
            let authority = self.authorities.path().join(authority);
            url.query_pairs_mut().append_pair("sslrootcert", authority.to_str().unwrap());
        }
        url.into()
    }
}

/// What the operator reads: an error of the database, with its causes.
async fn refusal(stage: &Stage, url: &str) -> String {
    let refused = Stores::open(url).await.unwrap_err();
    assert!(matches!(refused, OpenError::Database(_)), "{refused:?}");
    let mut said = refused.to_string();
    let mut cause = refused.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    let password = Url::parse(&stage.server.url()).unwrap().password().unwrap().to_owned();
    assert!(!said.contains(&password), "{said}");
    said
}

#[tokio::test]
async fn a_server_that_the_named_authority_vouches_for_is_a_store_and_nothing_travels_in_the_clear() {
    let stage = Stage::set();
    let stores = Stores::open(&stage.url("verify-full", Some("ca.pem"))).await.unwrap();
    assert_eq!(stores.accounts.create_user(&user("ada")).await.unwrap(), Creation::Created);
    let sessions = "SELECT count(*) > 0, bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'gateward'";
    assert_eq!(stage.server.query(sessions).unwrap(), "t|t");
    stores.close().await;
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let stage = Stage::set();
    for authority in [Some("other.pem"), None] {
        for mode in ["verify-full", "verify-ca"] {
            let said = refusal(&stage, &stage.url(mode, authority)).await;
            assert!(said.contains("certificate") && said.contains("UnknownIssuer"), "{mode}, {authority:?}: {said}");
        }
    }
}

/// A way to the server through an address that its certificate does not name.
async fn elsewhere(stage: &Stage) -> u16 {
    let (listener, server) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(), stage.server.address());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let mut server = TcpStream::connect(server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut caller, &mut server).await });
        }
    });
    port
}

#[tokio::test]
async fn a_server_of_another_name_is_refused_unless_only_its_authority_counts() {
    let stage = Stage::set();
    let port = elsewhere(&stage).await;
    let at = |host: &str, mode: &str| {
        let mut url: Url = stage.url(mode, Some("ca.pem")).parse().unwrap();
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(port)).unwrap();
        String::from(url)
    };
    for host in ["127.0.0.1", "localhost"] {
        let said = refusal(&stage, &at(host, "verify-full")).await;
        assert!(said.contains("certificate not valid for name \"") && said.contains(host), "{said}");
    }
    Stores::open(&at("127.0.0.1", "verify-ca")).await.unwrap().close().await;
}

#[tokio::test]
async fn a_server_that_insists_on_tls_does_not_let_in_who_goes_without() {
    let stage = Stage::set();
    let said = refusal(&stage, &stage.url("disable", None)).await;
    assert!(said.contains("no encryption"), "{said}");
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_named() {
    let stage = Stage::set();
    let refused = Stores::open(&stage.url("verify-full", Some("missing.pem"))).await.unwrap_err();
    assert!(matches!(refused, OpenError::File { .. }) && refused.to_string().contains("missing.pem"), "{refused:?}");
}
