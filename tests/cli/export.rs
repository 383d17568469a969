//! `gateward client export` and `gateward user export`.

use serde_json::{Value, json};

use crate::{
    Home, members,
    support::{
        Options, Server,
        oauth::{Identity, Wire},
    },
    text,
};

const WORKER: &[&str] = &["client", "create", "--id", "w", "--name", "a \"worker\"", "--grant", "client_credentials"];

fn made() -> (Home, String) {
    let home = Home::new();
    let worker = home.json(&[WORKER, &["--scope", "mcp:read", "--json"]].concat());
    let server = ["--id", "s", "--introspect", "--resource", "http://localhost:3000/mcp"];
    home.ok(&[&["client", "create"], &server[..]].concat());
    home.ok(&["client", "update", "s", "--disable"]);
    home.ok_with_input(&["user", "create", "ada", "--password-stdin"], "correct horse");
    (home, text(&worker, "client_secret").to_owned())
}

#[test]
fn an_export_holds_no_secret_and_no_digest_unless_it_is_asked_for() {
    let (home, secret) = made();
    for arguments in [&["client", "export"][..], &["client", "export", "--json"], &["user", "export", "--json"]] {
        let printed = home.ok(arguments);
        for digest in ["sha256:", "argon2", "gw_cs_"] {
            let is_hint = |line: &&str| line.starts_with("# ");
            assert!(printed.lines().filter(|line| !is_hint(line)).all(|line| !line.contains(digest)), "{printed}");
        }
        assert!(!home.ok(&[arguments, &["--with-digests"]].concat()).contains(&secret));
    }
    let clients = home.json(&["client", "export", "--json", "--with-digests"]);
    let worker = clients.as_array().unwrap().iter().find(|client| client["client_id"] == "w").unwrap();
    assert_eq!(
        members(worker),
        ["auth_method", "client_id", "grant_types", "name", "provenance", "scope", "secret", "status"]
    );
    assert!(text(worker, "secret").starts_with("sha256:"));
    assert_eq!(clients[0]["status"], "disabled");
    let users = home.json(&["user", "export", "--json"]);
    assert_eq!(users, json!([{"username": "ada", "status": "active"}]));
}

#[test]
fn a_client_that_is_disabled_or_lacks_its_secret_is_not_declared_by_accident() {
    let (home, _) = made();
    let printed = home.ok(&["client", "export"]);
    let [disabled, worker] = printed.split("\n\n").collect::<Vec<_>>()[..] else { panic!("{printed}") };
    assert!(disabled.lines().all(|line| line.starts_with("# ")) && disabled.contains("client_id = \"s\""), "{printed}");
    assert!(worker.contains("client_id = \"w\"") && worker.contains("# secret = "), "{printed}");
    // As it stands it is refused, and says what is missing.
    let config = format!("issuer = \"http://localhost:3000\"\nmode = \"development\"\n{printed}");
    home.write("gateward.toml", &config);
    let said = home.fails(&["config", "check", "--config", "gateward.toml"], 5);
    assert!(said.contains("needs `secret`"), "{said}");
}

#[tokio::test]
async fn what_was_exported_with_digests_declares_the_same_clients_and_humans_elsewhere() {
    let (home, secret) = made();
    let exported = ["client", "user"].map(|kind| home.ok(&[kind, "export", "--with-digests"])).concat();
    let resource = "[[resources]]\nuri = \"http://localhost:3000/mcp\"\n\
        scopes = [{ name = \"mcp:read\", description = \"Read\" }]\n";
    let file = home.write("elsewhere.toml", &format!("mode = \"development\"\n{resource}\n{exported}"));
    let server = Server::start_on_used_store(Options::new().set("GATEWARD_CONFIG", file.to_str().unwrap()));
    let worker = Identity { id: "w".to_owned(), secret: Some(secret) };
    assert_eq!(Wire::to(&server).client_credentials(&worker).await.text("scope"), "mcp:read");
    let users: Vec<Value> = server.run_json(&["user", "list", "--json"]).as_array().unwrap().clone();
    assert_eq!(users.len(), 1);
    let clients = server.run_json(&["client", "list", "--json"]);
    let declared = |client: &&Value| client["provenance"] == "configured";
    let declared: Vec<&Value> = clients.as_array().unwrap().iter().filter(declared).collect();
    assert_eq!(declared.len(), 1, "the disabled one stays away");
    // The human logs in with the same password.
    let wire = Wire::to(&server);
    let app = wire.register("app").await;
    let mut browser = gateward::testing::browser::ScriptedBrowser::new().unwrap();
    let url = wire.authorize_url(&app, &crate::support::oauth::Pkce::next(), "s");
    let callback = browser.authorize(&url, "ada", "correct horse").await.unwrap();
    assert!(callback.contains("code="), "{callback}");
}
