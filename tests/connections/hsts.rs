//! `Strict-Transport-Security` (RFC 6797): for whom, and on what.

use reqwest::{Method, header::ACCEPT};

use crate::support::{Options, Server, oauth::Wire};

fn development() -> Options {
    Options::new().set("GATEWARD_MODE", "development")
}

/// What a client is told with every kind of answer.
async fn told(server: &Server) -> Vec<Option<String>> {
    let wire = Wire::past_the_balancer(server);
    let mut told = Vec::new();
    for (method, path, status) in [
        (Method::GET, "/.well-known/oauth-authorization-server", 200),
        (Method::OPTIONS, "/oauth/token", 200),
        (Method::POST, "/oauth/token", 400),
        (Method::GET, "/oauth/register/nobody", 401),
        (Method::GET, "/oauth/authorize", 400),
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, "/oauth/token", 405),
    ] {
        let request = wire.http.request(method, format!("{}{path}", wire.issuer)).header(ACCEPT, "text/html");
        let answer = request.header("origin", "https://a.example").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let header = answer.headers().get("strict-transport-security");
        told.push(header.map(|value| value.to_str().unwrap().to_owned()));
    }
    told
}

#[tokio::test]
async fn every_answer_of_an_https_issuer_asks_to_come_by_https_only() {
    let server = Server::start(development().with_issuer("https://auth.example.com"));
    assert!(told(&server).await.iter().all(|header| header.as_deref() == Some("max-age=31536000")));
}

#[tokio::test]
async fn an_operator_says_for_how_long_or_not_at_all() {
    let options = development().with_issuer("https://auth.example.com");
    let server = Server::start(options.clone().set("GATEWARD_SERVER__HSTS", "1d"));
    assert!(told(&server).await.iter().all(|header| header.as_deref() == Some("max-age=86400")));
    let server = Server::start(options.set("GATEWARD_SERVER__HSTS", "0s"));
    assert!(told(&server).await.iter().all(Option::is_none));
}

#[tokio::test]
async fn nothing_of_the_kind_is_said_of_one_s_own_machine() {
    // It would hold for every other port of localhost, and for years.
    for issuer in ["http://localhost:3000", "https://localhost:3000", "https://127.0.0.1"] {
        let server = Server::start(development().with_issuer(issuer));
        assert!(told(&server).await.iter().all(Option::is_none), "{issuer}");
    }
}
