//! The store is lost, and comes back from a backup that was made while it was in use.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use gateward::testing::browser::ScriptedBrowser;

use crate::{
    engines,
    support::{
        Options, Server,
        engine::installed,
        life::{Life, OPAQUE},
        oauth::{Identity, Pkce, Wire},
        output_of,
    },
};

fn succeeds(server: &Server, arguments: &[&str]) -> String {
    let output = server.run(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A worker gets opaque tokens, each of which is written, until the flag is set; `begun` hears of the first.
async fn write_until(wire: &Wire, worker: &Identity, begun: mpsc::Sender<()>, done: &AtomicBool) {
    let fields = [("grant_type", "client_credentials"), ("resource", OPAQUE)];
    while !done.load(Ordering::Relaxed) {
        assert_eq!(wire.post("/oauth/token", worker, &fields).await.status, 200);
        // Nobody listens after the first.
        let _ = begun.send(());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_lost_comes_back_from_a_backup_that_was_made_while_it_was_written_to() {
    let mut server = Server::start(Life::options(Options::new()));
    let mut life = Life::begin(&server).await;
    let backup = server.directory().join("backup.db");
    let backup = backup.to_str().unwrap();

    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    let (wire, done) = (Wire::to(&server), &AtomicBool::new(false));
    let (begun, writes) = mpsc::channel();
    let running = &server;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            writes.recv().expect("a first write");
            let saved = running.run(&["backup", backup]);
            done.store(true, Ordering::Relaxed);
            assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
        });
        let writing = write_until(&wire, &worker, begun, done);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(writing));
    });

    // The disk dies in the middle of the work; what it leaves behind belongs to nothing any more.
    server.kill();
    fs::remove_file(server.data().join("gateward.db")).unwrap();
    let said = succeeds(&server, &["restore", backup]);
    assert!(said.contains("opens the signing keys in it"), "{said}");
    server.restart();
    life.go_on(&server).await;
}

/// What the operations guide says of the time between a backup and its restore.
#[tokio::test]
async fn what_was_issued_since_the_backup_is_unknown_and_what_was_taken_back_counts_again_until_everything_is_ended() {
    let mut server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let resource_server = server.resource_server();
    let app = wire.register("before").await;
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    let mut browser = ScriptedBrowser::new().unwrap();
    let (code, pkce) = wire.code(&mut browser, &app, server.password()).await;
    let old = wire.redeem(&app, &code, &pkce).await;
    let backup = server.directory().join("backup.db");
    succeeds(&server, &["backup", backup.to_str().unwrap()]);

    let new = wire.refresh(&app, &old.text("refresh_token")).await;
    let newcomer = wire.register("after").await;
    server.run_json(&["client", "update", &worker.id, "--disable", "--json"]);
    server.terminate();
    server.wait();
    succeeds(&server, &["restore", backup.to_str().unwrap(), "--force"]);
    server.restart();

    // The client logs in again; and its tokens of before count, whoever has them.
    assert_eq!(wire.refresh(&app, &new.text("refresh_token")).await.error(), "invalid_grant");
    let revived = wire.refresh(&app, &old.text("refresh_token")).await;
    assert!(wire.is_active(&resource_server, &revived.text("access_token")).await);
    let unknown = wire.browse(&wire.authorize_url(&newcomer, &Pkce::next(), "s")).await;
    assert_eq!(unknown.status, 400, "a client that registered meanwhile registers again: {}", unknown.body);
    assert_eq!(wire.client_credentials(&worker).await.status, 200, "disabled meanwhile, and enabled again");

    // So an operator who fears the worst ends everything, before the server starts or while it runs.
    let ended = succeeds(&server, &["grant", "revoke", "--all"]);
    assert_eq!(ended, "revoked 1 grants and ended the sessions of 1 humans\n");
    assert_eq!(wire.refresh(&app, &revived.text("refresh_token")).await.error(), "invalid_grant");
    assert!(!wire.is_active(&resource_server, &revived.text("access_token")).await);
    let page = browser.open(&wire.authorize_url(&app, &Pkce::next(), "s")).await.unwrap().page().unwrap();
    assert!(page.login_form().is_some(), "{}", page.text());
    assert_eq!(wire.client_credentials(&worker).await.status, 200, "clients keep their secrets");
}

/// A line of the operations guide, run by a shell.
fn as_documented(line: &str, directory: &Path, database: &str) {
    let guide = include_str!("../../config/OPERATIONS.md");
    assert!(guide.lines().any(|there| there.trim() == line), "the guide does not say {line}");
    let path = format!("{}:/usr/bin:/bin", installed("GATEWARD_TEST_POSTGRES_BIN").display());
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", line]).current_dir(directory).env("PATH", path).env("DATABASE_URL", database);
    let output = output_of(shell, "");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_postgres_that_is_lost_comes_back_from_what_pg_dump_wrote_of_it() {
    let [lost, new] = [engines::postgres_database().await, engines::postgres_database().await];
    let mut server = Server::start(Life::options(Options::new().with_store(&lost.url)));
    let mut life = Life::begin(&server).await;
    as_documented(
        r#"pg_dump --format=custom --file=gateward.dump --dbname="$DATABASE_URL""#,
        server.directory(),
        &lost.url,
    );
    server.kill();
    drop(lost);
    as_documented(
        r#"pg_restore --exit-on-error --no-owner --dbname="$DATABASE_URL" gateward.dump"#,
        server.directory(),
        &new.url,
    );
    server.restart_on_store(&new.url);
    life.go_on(&server).await;
}
