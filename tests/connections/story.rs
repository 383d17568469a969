//! The whole way of a client, over TLS from end to end.

use gateward::testing::browser::ScriptedBrowser;
use reqwest::Version;

use crate::{
    host::{Certified, NAME},
    support::{Options, Server, oauth::Wire},
};

#[test]
fn the_health_of_a_server_is_asked_over_tls_whatever_name_it_has() {
    let certified = Certified::new();
    certified.authority.certify(&[NAME]).write(certified.directory.path());
    let server = Server::start(Options::new().on_localhost().with_tls(certified.directory.path()));
    let output = server.run(&["healthcheck"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"ready\n"[..]), "{said}");
}

#[tokio::test]
async fn from_discovery_to_a_token_that_is_introspected_over_tls() {
    let certified = Certified::new();
    certified.authority.certify(&[NAME, "localhost"]).write(certified.directory.path());
    let server = Server::start(Options::new().on_localhost().with_tls(certified.directory.path()));
    assert!(server.issuer().starts_with("https://localhost:"), "{}", server.issuer());
    let http = certified.authority.client().build().unwrap();
    let wire = Wire { http: http.clone(), issuer: server.issuer().to_owned(), resource: server.resource() };

    let metadata = http.get(server.url("/.well-known/oauth-authorization-server")).send().await.unwrap();
    assert_eq!(metadata.version(), Version::HTTP_2);
    let metadata: serde_json::Value = metadata.json().await.unwrap();
    assert_eq!(metadata["issuer"], server.issuer());
    assert_eq!(metadata["token_endpoint"], server.url("/oauth/token"));

    let app = wire.register("App").await;
    let mut browser = ScriptedBrowser::over(http);
    let (code, pkce) = wire.code(&mut browser, &app, server.password()).await;
    assert!(browser.cookies().keys().all(|name| name.starts_with("__Host-")), "{:?}", browser.cookies().keys());
    let tokens = wire.redeem(&app, &code, &pkce).await;
    let again = wire.refresh(&app, &tokens.text("refresh_token")).await;
    let resource_server = server.resource_server();
    let said = wire.introspect(&resource_server, &again.text("access_token")).await;
    assert_eq!((&said["active"], &said["iss"]), (&true.into(), &server.issuer().into()));
    assert_eq!(wire.revoke(&app, &again.text("refresh_token")).await.status, 200);
    assert!(!wire.is_active(&resource_server, &again.text("access_token")).await);
}
