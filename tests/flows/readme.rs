//! What README.md and config/OPERATIONS.md tell people to paste, pasted.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    engines,
    support::{Options, Server, capture, oauth::Wire, output_of, own_address},
};

const README: &str = include_str!("../../README.md");
const OPERATIONS: &str = include_str!("../../config/OPERATIONS.md");

/// Blocks of the README that are not pasted here: how they begin, and what tries them instead.
const TRIED_ELSEWHERE: &[(&str, &str)] = &[
    // This test runs in the second one; what the first one prints is below, by the same binary.
    ("cargo run --release -- serve", "flows worker::the_curl_line_of_the_banner_prints_a_token_when_pasted"),
    ("cargo run --example mcp_server", "clients example::without_a_token_the_example_says_where_its_metadata_is"),
    ("gateward client create --name launcher", "clients example::the_worker_of_the_examples_launches_a_specialist"),
    ("gateward doctor", "cli doctor::in_development_mode_nothing_is_wrong"),
    // A program with a page of its own, and one that needs an account; the official SDK is what both are made of.
    ("npx @modelcontextprotocol/inspector", "clients typescript::a_client_from_2025_lives_its_whole_life"),
    ("claude mcp add", "clients typescript::a_client_that_asks_for_the_protocol_version_lives_its_whole_life"),
];

/// Blocks of the README that are pasted here, by how they begin.
const PASTED: &[&str] = &[WORKER, CLIENTS, TOKENS, PRODUCTION, SEVERAL, COPY];
const WORKER: &str = "curl -sS http://localhost:3000/oauth/token -u \"worker:";
const CLIENTS: &str = "alias gateward=";
const TOKENS: &str = "curl -sS http://localhost:3000/oauth/token -u WORKER_ID";
const PRODUCTION: &str = "mkdir -p /etc/gateward";
const SEVERAL: &str = "export DATABASE_URL=";
const COPY: &str = "gateward store copy";

/// The blocks of a document that a shell is to read.
fn shell_blocks(document: &str) -> Vec<String> {
    let blocks = document.split("```sh\n").skip(1);
    blocks.map(|rest| rest.split_once("```").expect("the block ends").0.trim_end().to_owned()).collect()
}

fn block(beginning: &str) -> String {
    let mut found = shell_blocks(README).into_iter().filter(|block| block.starts_with(beginning));
    let block = found.next().unwrap_or_else(|| panic!("the README has no block that begins with {beginning}"));
    assert!(found.next().is_none(), "two blocks begin with {beginning}");
    block
}

#[test]
fn every_block_of_the_readme_is_pasted_by_a_test() {
    for block in shell_blocks(README) {
        let begins = |beginning: &&str| block.starts_with(*beginning);
        let count = PASTED.iter().filter(|b| begins(b)).count();
        let elsewhere = TRIED_ELSEWHERE.iter().filter(|(beginning, _)| begins(beginning)).count();
        assert_eq!(count + elsewhere, 1, "{block}");
    }
    let implementation = include_str!("../../IMPLEMENTATION.md");
    for (beginning, test) in TRIED_ELSEWHERE {
        assert!(shell_blocks(README).iter().any(|block| block.starts_with(beginning)), "{beginning} is gone");
        // The names there are checked by the test `coverage`.
        assert!(implementation.contains(&format!("`{test}`")), "{test} is in no table");
    }
}

/// A directory in which `gateward` is the built binary.
struct Desk {
    directory: TempDir,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("gateward-desk-").tempdir().unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_gateward"), directory.path().join("bin/gateward")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// A shell that stops at the first command that fails.
    fn shell(&self, working_directory: &Path, script: &str) -> Command {
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", script]).current_dir(working_directory).env_clear();
        shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.path("bin")));
        shell
    }

    fn paste(&self, script: &str) -> String {
        succeeds(script, &output_of(&mut self.shell(self.directory.path(), script), ""))
    }

    /// Beside a server, in its directory and with its settings.
    fn paste_beside(&self, server: &Server, script: &str) -> String {
        let mut shell = self.shell(server.directory(), script);
        succeeds(script, &output_of(shell.envs(server.environment()), ""))
    }

    /// Runs lines the last of which starts a server, until that listens.
    fn serves(&self, working_directory: &Path, script: &str) {
        let mut shell = self.shell(working_directory, script);
        let mut child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (Arc::default(), Arc::default());
        capture(child.stdout.take().expect("a pipe"), &stdout);
        capture(child.stderr.take().expect("a pipe"), &stderr);
        let listens = stdout.wait_for(|line| line.starts_with("listening on "));
        // The shell has become the server, as it is the last thing that was to be done.
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(listens, "{script}: {}{}", stdout.text(), stderr.text());
    }
}

fn succeeds(script: &str, output: &Output) -> String {
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The values of the lines `name  value`.
fn values(printed: &str, name: &str) -> Vec<String> {
    let value =
        |line: &str| line.split_once(' ').filter(|(key, _)| *key == name).map(|(_, value)| value.trim().to_owned());
    printed.lines().filter_map(value).collect()
}

#[test]
fn five_minutes_with_a_worker() {
    let server = Server::start(Options::new());
    let desk = Desk::new();
    // The README speaks of the default address and directory, and of the release.
    let here = |text: &str| {
        text.replace("http://localhost:3000", server.issuer())
            .replace("gateward-data", "data")
            .replace("alias gateward=$PWD/target/release/gateward\n", "")
    };
    assert_eq!(json(&desk.paste_beside(&server, &here(&block(WORKER))))["token_type"], "Bearer");

    let clients = desk.paste_beside(&server, &here(&block(CLIENTS)));
    let (ids, secrets) = (values(&clients, "client_id"), values(&clients, "client_secret"));
    let [worker_id, server_id] = &ids[..] else { panic!("{clients}") };
    let [worker_secret, server_secret] = &secrets[..] else { panic!("{clients}") };
    let block = here(&block(TOKENS))
        .replace("WORKER_ID", worker_id)
        .replace("WORKER_SECRET", worker_secret)
        .replace("SERVER_ID", server_id)
        .replace("SERVER_SECRET", server_secret);
    let [get, ask, give_back] = block.lines().collect::<Vec<_>>()[..] else { panic!("{block}") };
    let token = json(&desk.paste_beside(&server, get))["access_token"].as_str().unwrap().to_owned();
    let ask = ask.replace("ACCESS_TOKEN", &token);
    assert_eq!(json(&desk.paste_beside(&server, &ask))["active"], true);
    assert_eq!(desk.paste_beside(&server, &give_back.replace("ACCESS_TOKEN", &token)), "");
    assert_eq!(desk.paste_beside(&server, &ask), r#"{"active":false}"#);
}

#[test]
fn from_the_example_to_a_production_server() {
    let desk = Desk::new();
    let (etc, repository) = (desk.path("etc"), Path::new(env!("CARGO_MANIFEST_DIR")));
    let block = block(PRODUCTION).replace("/etc/gateward", &etc);
    let [copy, key, check, serve] = block.lines().collect::<Vec<_>>()[..] else { panic!("{block}") };
    let output = output_of(&mut desk.shell(repository, copy), "");
    succeeds(copy, &output);

    // "And edit it": what names this machine, and secrets.
    let file = format!("{etc}/gateward.toml");
    let edited = fs::read_to_string(&file).unwrap().replace("/etc/gateward", &etc);
    let edited =
        edited.replace("/var/lib/gateward", &desk.path("lib")).replace("127.0.0.1:3000", &own_address().to_string());
    fs::write(&file, edited).unwrap();
    fs::write(format!("{etc}/ada.password"), "correct horse battery staple").unwrap();
    let secret = "export MCP_SERVER_SECRET=0123456789abcdef0123456789abcdef\n";
    assert!(desk.paste(&format!("{secret}{key}\n{check}")).ends_with("the configuration is good\n"));
    desk.serves(desk.directory.path(), &format!("{secret}{serve}"));
}

#[tokio::test]
async fn one_of_several_instances() {
    let desk = Desk::new();
    let database = engines::postgres_database().await;
    let redis = engines::fresh_part_of(&engines::redis_url());
    let example = include_str!("../../config/several.example.toml");
    let config = example.replace("0.0.0.0:3000", &own_address().to_string());
    fs::write(desk.path("gateward.toml"), config).unwrap();
    desk.paste("gateward key generate-master master.key");
    let block = block(SEVERAL)
        .replace(
            "postgres://gateward:PASSWORD@db.internal/gateward?sslmode=verify-full",
            &format!("'{}'", database.url),
        )
        .replace("rediss://gateward:PASSWORD@redis.internal:6379", &format!("'{redis}'"));
    assert!(!block.contains("PASSWORD"), "{block}");
    desk.serves(desk.directory.path(), &block);
}

#[tokio::test]
async fn from_one_store_to_another() {
    let mut server = Server::start(Options::new());
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    server.terminate();
    server.wait();
    let (desk, database) = (Desk::new(), engines::postgres_database().await);
    let command = block(COPY).replace("gateward-data", "data");
    let copied = desk.paste_beside(&server, &format!("export DATABASE_URL='{}'\n{command}", database.url));
    assert!(copied.ends_with("both stores hold the same\n"), "{copied}");
    server.restart_on_store(&database.url);
    assert_eq!(Wire::to(&server).client_credentials(&worker).await.status, 200);
}

/// In the order of the guide. Those about Postgres are in `backup`; what the others are good for, in `tests/cli`.
#[tokio::test]
async fn every_command_of_the_operations_guide_does_something() {
    let mut server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let app = wire.register("app").await;
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    let mut browser = gateward::testing::browser::ScriptedBrowser::new().unwrap();
    let (code, pkce) = wire.code(&mut browser, &app, server.password()).await;
    assert_eq!(wire.redeem(&app, &code, &pkce).await.status, 200);
    let grant = server.run_json(&["grant", "list", "--json"])[0]["grant_id"].as_str().unwrap().to_owned();
    let kid = server.run_json(&["key", "list", "--json"])[0]["kid"].as_str().unwrap().to_owned();
    let desk = Desk::new();
    let lines = shell_blocks(OPERATIONS).join("\n");
    for line in lines.lines().filter(|line| !line.starts_with("pg_")) {
        let line = line
            .replace("KID", &kid)
            .replace("CLIENT_ID", &worker.id)
            .replace("USERNAME", "admin")
            .replace("GRANT_ID", &grant)
            .replace("/etc/gateward", &desk.path(""));
        if line.starts_with("gateward restore") {
            server.kill();
            fs::remove_file(server.data().join("gateward.db")).unwrap();
        }
        assert_ne!(desk.paste_beside(&server, &line), "", "{line}");
    }
    for link in ["../IMPLEMENTATION.md#several-instances", "../CHANGELOG.md", "gateward.service", "../Dockerfile"] {
        let target = link.split('#').next().expect("a path");
        assert!(OPERATIONS.contains(link), "{link}");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(target).exists(), "{link}");
    }
}
