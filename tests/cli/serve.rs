//! `gateward serve`: what it makes, what it refuses, what it says.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    Home,
    config::PRODUCTION,
    support::{Options, Server, make_master_key, mode, oauth::Wire, own_address},
};

const SERVE: &[&str] = &["serve", "--config", "gateward.toml"];

/// A configuration that a server would start with, on an address of its own.
fn production() -> Home {
    let home = Home::new().set("GATEWARD_SERVER__LISTEN", own_address().to_string());
    home.write("gateward.toml", PRODUCTION);
    home.ok(&["key", "generate-master", "master.key"]);
    home
}

fn refuses(home: &Home, because: &[&str]) {
    let said = home.fails(SERVE, 5);
    assert!(said.contains("refusing to start"), "{said}");
    for part in because {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(!home.path("gateward-data").exists(), "a server that does not start makes nothing");
}

#[test]
fn outside_development_mode_it_refuses_an_http_issuer() {
    let home = production();
    home.write("gateward.toml", &PRODUCTION.replace("https://auth.example.com", "http://localhost:3000"));
    refuses(
        &home,
        &["issuer: http://localhost:3000 is plain http", "reverse proxy with TLS", "mode = \"development\""],
    );
}

#[test]
fn an_http_issuer_that_is_not_on_loopback_is_refused_in_any_mode() {
    let home = production();
    for issuer in ["http://auth.example.com", "http://10.0.0.1"] {
        let text = PRODUCTION.replace("https://auth.example.com", issuer);
        home.write("gateward.toml", &format!("mode = \"development\"\n{text}"));
        assert!(home.fails(SERVE, 5).contains("gateward.toml:2: `issuer`"));
    }
}

#[test]
fn outside_development_mode_it_refuses_a_missing_master_key() {
    let home = production();
    home.write("gateward.toml", &PRODUCTION.replace("file:master.key", ""));
    refuses(&home, &["keys.master_key: is not set", "gateward key generate-master"]);
    home.write("gateward.toml", &PRODUCTION.replace("file:master.key", "file:absent.key"));
    refuses(&home, &["keys.master_key: absent.key cannot be read", "gateward key generate-master"]);
}

#[test]
fn outside_development_mode_it_refuses_a_master_key_that_the_world_can_read() {
    let home = production();
    for open in [0o644, 0o604, 0o602, 0o620] {
        fs::set_permissions(home.path("master.key"), fs::Permissions::from_mode(open)).unwrap();
        refuses(&home, &["keys.master_key: master.key is open to others", "chmod 0600"]);
    }
}

#[test]
fn outside_development_mode_it_refuses_a_private_key_that_the_world_can_read() {
    let home = production().set("GATEWARD_TLS__CERTIFICATE", "server.pem").set("GATEWARD_TLS__KEY", "server.key");
    refuses(&home, &["tls.key: server.key cannot be read"]);
    home.write("server.key", "");
    fs::set_permissions(home.path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    refuses(&home, &["tls.key: server.key is open to others (mode 0644)", "chmod 0600"]);
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_before_anything_is_made() {
    let home = production().set("GATEWARD_TLS__CERTIFICATE", "server.pem").set("GATEWARD_TLS__KEY", "server.key");
    home.write("server.key", "");
    fs::set_permissions(home.path("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    for command in [SERVE, &["config", "check", "--config", "gateward.toml"]] {
        assert!(home.fails(command, 5).contains("tls: cannot read server.pem"));
    }
    home.write("server.pem", "nonsense");
    assert!(home.fails(SERVE, 5).contains("server.pem holds no certificate"));
    assert!(!home.path("gateward-data").exists(), "a server that does not start makes nothing");
}

#[test]
fn outside_development_mode_it_refuses_to_keep_everything_in_memory() {
    let home = production().set("GATEWARD_STORES__URL", "memory:");
    refuses(&home, &["stores.tokens: is kept in memory", "Use sqlite:PATH"]);
}

#[test]
fn every_unsafe_thing_is_told_at_once() {
    let home = Home::new().set("GATEWARD_STORES__URL", "memory:");
    home.write(
        "gateward.toml",
        &PRODUCTION.replace("https://auth.example.com", "http://localhost:3000").replace("file:master.key", ""),
    );
    refuses(&home, &["issuer: ", "keys.master_key: ", "stores.clients: "]);
}

#[test]
fn a_store_that_cannot_be_opened_ends_with_6() {
    let home = production().set("GATEWARD_STORES__URL", "sqlite:master.key/gateward.db");
    assert!(home.fails(SERVE, 6).contains("master.key/gateward.db"));
    assert!(home.fails(&["client", "list"], 6).contains("master.key/gateward.db"));
}

#[tokio::test]
async fn what_the_first_start_makes_is_for_its_owner_alone() {
    let server = Server::start(Options::new());
    assert_eq!(mode(&server.data()), 0o700);
    for file in ["master.key", "gateward.db", "worker.secret"] {
        assert_eq!(mode(&server.data().join(file)), 0o600, "{file}");
    }
    for entry in fs::read_dir(server.data()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}

#[tokio::test]
async fn the_first_start_prints_the_password_once_and_says_what_to_do_next() {
    let mut server = Server::start(Options::new());
    let printed = server.stdout();
    for expected in [
        "user:     admin".to_owned(),
        format!("password: {}", server.password()),
        format!("resource: {}  [mcp:execute mcp:read mcp:write]", server.resource()),
        format!("metadata: {}", server.url("/.well-known/oauth-authorization-server")),
        format!("data in:  {}", server.data().display()),
        format!("listening on {} as {}", server.address(), server.issuer()),
    ] {
        assert!(printed.lines().any(|line| line == expected), "{expected} is not in:\n{printed}");
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    server.restart();
    assert!(!server.stdout().contains(server.password()) && !server.stdout().contains("password:"));
}

#[tokio::test]
async fn a_second_server_on_the_port_fails_cleanly_and_the_first_goes_on() {
    let first = Server::start(Options::new());
    let second = Home::new().set("GATEWARD_SERVER__LISTEN", first.address().to_string());
    let said = second.fails(&["serve"], 5);
    assert!(
        said.contains(&format!("cannot listen on {}", first.address())) && said.contains("server.listen"),
        "{said}"
    );
    assert!(!second.path("gateward-data").exists(), "it has not touched anything");
    assert_eq!(Wire::to(&first).get("/readyz").await.status, 200);
}

#[tokio::test]
async fn another_master_key_than_the_store_was_sealed_with_is_refused() {
    let mut server = Server::start(Options::new());
    server.kill();
    let master = server.data().join("master.key");
    fs::remove_file(&master).unwrap();
    assert!(server.run(&["key", "generate-master", master.to_str().unwrap()]).status.success());
    for verb in [&["serve"][..], &["key", "list"]] {
        let output = server.run(verb);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains("master key"), "{said}");
    }
}

/// Four files, each of which another process holds: closing one takes as long as SQLite waits for such a lock.
#[tokio::test]
async fn stores_that_do_not_close_do_not_hold_up_the_end() {
    use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};
    let families = ["clients", "tokens", "accounts", "keys"];
    let options = families.iter().fold(Options::new(), |options, family| {
        options.set(&format!("GATEWARD_STORES__{}", family.to_uppercase()), &format!("sqlite:data/{family}.db"))
    });
    let mut server = Server::start(options);
    let mut others = Vec::new();
    for family in families {
        let file = SqliteConnectOptions::new().filename(server.data().join(format!("{family}.db")));
        let mut other = file.connect().await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        others.push(other);
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.log().contains("the store did not close in time"), "{}", server.log());
}

#[test]
fn in_development_mode_it_makes_the_data_directory_when_nothing_else_is_kept_there() {
    let room = tempfile::tempdir().unwrap();
    let master_key = room.path().join("master.key");
    make_master_key(&master_key);
    let server = Server::start(Options::new().with_store("memory:").with_master_key(&master_key));
    assert_eq!(mode(&server.data()), 0o700);
    assert_eq!(mode(&server.data().join("worker.secret")), 0o600);
}
