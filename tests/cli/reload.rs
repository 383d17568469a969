//! SIGHUP: what a running server takes from a changed file, and what it says of the rest.

use std::{fmt::Write as _, fs, path::PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::{
    Options, Server,
    oauth::{Identity, Wire},
    until,
};

const FILE: &str = r#"mode = "development"
[log]
filter = "error"
[[resources]]
uri = "http://localhost/mcp"
scopes = [{ name = "mcp:read", description = "Read" }]
"#;
const SECRET: &str = "a secret of more than thirty-two characters";

struct Configured {
    server: Server,
    file: PathBuf,
    _directory: TempDir,
}

impl Configured {
    fn start(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateward.toml");
        fs::write(&file, text).unwrap();
        let options = Options::new().set("GATEWARD_CONFIG", file.to_str().unwrap()).without("GATEWARD_LOG__FILTER");
        Self { server: Server::start(options), file, _directory: directory }
    }

    /// Changes the file, and waits until the server has said this about it.
    fn change(&self, text: &str, said: &str) {
        fs::write(&self.file, text).unwrap();
        self.server.hang_up();
        self.server.wait_for_log(said);
    }

    async fn lets_in(&self, id: &str) -> bool {
        let worker = Identity { id: id.to_owned(), secret: Some(SECRET.to_owned()) };
        Wire::to(&self.server).client_credentials(&worker).await.status == 200
    }
}

fn with_client(id: &str) -> String {
    let digest = Sha256::digest(SECRET).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let told = FILE.replace("error", "info");
    format!(
        "{told}[[clients]]\nclient_id = \"{id}\"\ngrant_types = [\"client_credentials\"]\nscope = \"mcp:read\"\nsecret = \
         \"sha256:{digest}\"\n"
    )
}

const READ_AGAIN: &str = "the configuration was read again";
const STAYS: &str = "the configuration stays as it was";
const LATER: &str = "some settings need a restart";

#[test]
fn the_log_tells_what_the_file_says() {
    let configured = Configured::start(FILE);
    assert_eq!(configured.server.log(), "");
    configured.change(&FILE.replace("error", "info"), READ_AGAIN);
}

#[tokio::test]
async fn clients_come_and_go_with_the_file() {
    let configured = Configured::start(FILE);
    assert!(!configured.lets_in("reporter").await);
    configured.change(&with_client("reporter"), READ_AGAIN);
    assert!(configured.lets_in("reporter").await);
    configured.change(&with_client("archivist"), "the client is no longer in the configuration");
    assert!(configured.lets_in("archivist").await && !configured.lets_in("reporter").await);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_explained() {
    let configured = Configured::start(&with_client("reporter"));
    let broken = with_client("archivist").replace("scopes", "scops");
    configured.change(&broken, "unknown key `resources.scops`; did you mean `resources.scopes`?");
    assert!(configured.server.log().contains(STAYS), "{}", configured.server.log());
    assert!(configured.lets_in("reporter").await && !configured.lets_in("archivist").await);
}

#[tokio::test]
async fn an_unsafe_file_changes_nothing_and_is_explained() {
    let configured = Configured::start(&with_client("reporter"));
    let production = with_client("archivist").replace("mode = \"development\"", "mode = \"production\"");
    configured.change(&production, "is plain http, so tokens and passwords could be read on the way");
    assert!(configured.server.log().contains(STAYS), "{}", configured.server.log());
    assert!(configured.lets_in("reporter").await && !configured.lets_in("archivist").await);
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_is_done() {
    let configured = Configured::start(FILE);
    let changed = format!("{}[server]\nrequest_timeout = \"7s\"\n", with_client("reporter"));
    configured.change(&changed, LATER);
    assert!(configured.server.log().contains("server.request_timeout"), "{}", configured.server.log());
    assert!(configured.lets_in("reporter").await);
}

#[tokio::test]
async fn clients_wait_for_the_restart_that_their_resources_need() {
    let configured = Configured::start(FILE);
    let changed = with_client("reporter").replace("Read", "Read everything");
    configured.change(&changed, LATER);
    let log = configured.server.log();
    assert!(log.contains("clients and users stay as they were"), "{log}");
    assert!(log.contains("resources[0].scopes[0].description"), "{log}");
    assert!(!configured.lets_in("reporter").await);
}

/// What the audit trail says of each time that the configuration was read again.
async fn audited(server: &Server, expected: &[&str]) {
    until("it is in the audit trail", async || {
        let listed = server.run_json(&["audit", "list", "--json", "--event", "config"]);
        let word = |entry: &serde_json::Value| format!("{} {}", entry["outcome"], entry["reason"]).replace('"', "");
        listed.as_array().unwrap().iter().map(word).collect::<Vec<_>>() == expected
    })
    .await;
}

#[tokio::test]
async fn each_time_is_in_the_audit_trail_with_what_came_of_it() {
    let configured = Configured::start(&with_client("reporter"));
    configured.change(&with_client("archivist"), READ_AGAIN);
    audited(&configured.server, &["success null"]).await;
    configured.change(&format!("{}[server]\nrequest_timeout = \"7s\"\n", with_client("archivist")), LATER);
    audited(&configured.server, &["success null", "success restart_needed"]).await;
    fs::write(&configured.file, with_client("x").replace("scopes", "scops")).unwrap();
    configured.server.hang_up();
    configured.server.wait_for_log(STAYS);
    fs::write(&configured.file, with_client("archivist")).unwrap();
    audited(&configured.server, &["success null", "success restart_needed", "refused configuration_refused"]).await;
}

/// How many of so many requests for the metadata an address is granted, one after the other, by way of a proxy.
async fn granted(server: &Server, address: &str, requests: usize) -> usize {
    let wire = Wire::to(server);
    let metadata = server.url("/.well-known/oauth-authorization-server");
    let mut granted = 0;
    for _ in 0..requests {
        let answer = wire.http.get(&metadata).header("X-Forwarded-For", address).send().await.unwrap();
        granted += usize::from(answer.status() == 200);
    }
    granted
}

fn with_limits(limits: &str) -> String {
    let told = FILE.replace("error", "info");
    format!("{told}[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[limits]\n{limits}\n")
}

#[tokio::test]
async fn rates_and_whom_they_do_not_count_for_follow_the_file() {
    let configured = Configured::start(&with_limits("public_per_address = 0"));
    let server = &configured.server;
    assert_eq!(granted(server, "203.0.113.1", 50).await, 50, "no limit");
    configured.change(&with_limits("public_per_address = 1"), READ_AGAIN);
    assert!(granted(server, "203.0.113.1", 50).await < 50);
    assert!(!server.log().contains(LATER), "{}", server.log());
    let exempt = with_limits("public_per_address = 1\nexempt = [\"203.0.113.0/24\"]");
    fs::write(&configured.file, exempt).unwrap();
    server.hang_up();
    until("the address is exempt", async || granted(server, "203.0.113.1", 50).await == 50).await;
    assert!(granted(server, "198.51.100.1", 50).await < 50, "another one is not");
}

#[tokio::test]
async fn what_clients_may_get_wrong_needs_a_restart() {
    let configured = Configured::start(&with_limits("client_max_failures = 20"));
    configured.change(&with_limits("client_max_failures = 21"), LATER);
    assert!(configured.server.log().contains("limits.client_max_failures"), "{}", configured.server.log());
}
