//! What one instance knows, all of them know: at once, or within a bound that is stated.

use std::{cell::Cell, collections::BTreeSet, fs, path::Path, thread, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gateward::{
    adapter::signing_key::SigningKey,
    protocol::jose::Algorithm,
    testing::browser::{ScriptedBrowser, Step},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    Options, Server,
    engine::{
        postgres::{Postgres, query},
        proxy::Proxy,
    },
    fleet::Fleet,
    make_master_key,
    oauth::{Answer, Identity, Pkce, Wire},
    until,
};

/// News take milliseconds, and what is read anew without them takes ten seconds at most (`background::KEYS`). This is more, for
/// machines that are slow, and less than the minute for which copies are kept where only news may end them.
const SOON: Duration = Duration::from_secs(20);

const WORKER: [&str; 6] = ["--name", "w", "--grant", "client_credentials", "--scope", "mcp:execute"];

async fn soon<F: Future<Output = bool>>(reason: &str, condition: impl FnMut() -> F) {
    assert!(timeout(SOON, until(reason, condition)).await.is_ok(), "not soon: {reason}");
}

fn in_(postgres: &Postgres) -> Options {
    Options::new().with_store(&postgres.url())
}

fn each(fleet: &Fleet, count: usize) -> Vec<Wire> {
    (0..count).map(|number| Wire::past_the_balancer(fleet.instance(number))).collect()
}

async fn may_act(wire: &Wire, worker: &Identity) -> bool {
    let answer = wire.client_credentials(worker).await;
    if answer.status != 200 {
        assert_eq!((answer.status.as_u16(), &*answer.error()), (401, "invalid_client"));
    }
    answer.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_disabled_beside_one_instance_is_disabled_at_the_others_as_soon_as_the_news_arrive() {
    let postgres = Postgres::start();
    let fleet = Fleet::start(2, in_(&postgres).set("GATEWARD_STORES__CLIENT_COPIES", "60s")).await;
    let worker = fleet.instance(0).create_client(&WORKER);
    let instances = each(&fleet, 2);
    for instance in &instances {
        assert!(may_act(instance, &worker).await);
    }
    fleet.instance(0).run_json(&["client", "update", &worker.id, "--disable", "--json"]);
    for instance in &instances {
        soon("the client is disabled", async || !may_act(instance, &worker).await).await;
    }
    fleet.instance(1).run_json(&["client", "update", &worker.id, "--enable", "--json"]);
    for instance in &instances {
        soon("the client is enabled", async || may_act(instance, &worker).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_disabled_while_an_instance_hears_no_news_is_disabled_there_when_its_copy_has_had_its_time() {
    let postgres = Postgres::start();
    let way = Proxy::start(postgres.address());
    // Whoever wants to hear news is cut off before they know that they would.
    way.lose_reply_to(b"LISTEN");
    let options = in_(&postgres).set("GATEWARD_STORES__CLIENT_COPIES", "1s");
    let deaf = |number, options: Options| {
        if number == 1 { options.with_store(&way.url(&postgres.url())) } else { options }
    };
    let fleet = Fleet::start_with(2, options, deaf).await;
    let worker = fleet.instance(0).create_client(&WORKER);
    let instance = Wire::past_the_balancer(fleet.instance(1));
    assert!(may_act(&instance, &worker).await);
    fleet.instance(0).run_json(&["client", "update", &worker.id, "--disable", "--json"]);
    let attempts = Cell::new(1);
    soon("the client is disabled", async || {
        if way.happened() == attempts.get() {
            attempts.set(attempts.get() + 1);
            way.lose_reply_to(b"LISTEN");
        }
        !may_act(&instance, &worker).await
    })
    .await;
    assert!(way.happened() > 0);
    let log = fleet.instance(1).log();
    assert!(!log.contains("news from the store"), "{log}");
}

/// The keys that an instance publishes.
async fn published(wire: &Wire) -> BTreeSet<String> {
    let set = wire.get("/.well-known/jwks.json").await.json(200);
    set["keys"].as_array().expect("a list").iter().map(|key| key["kid"].as_str().expect("a text").to_owned()).collect()
}

/// The key that a token is signed with.
fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a JWT")).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_takes_over_at_once_signs_and_is_known_at_every_instance() {
    let postgres = Postgres::start();
    let fleet = Fleet::start(3, in_(&postgres)).await;
    let worker = fleet.instance(0).create_client(&WORKER);
    let resource_server = fleet.instance(0).resource_server();
    let instances = each(&fleet, 3);
    let old = instances[0].client_credentials(&worker).await.text("access_token");

    let rotated = fleet.instance(0).run_json(&["key", "rotate", "--immediately", "--json"]);
    let new = rotated[0]["kid"].as_str().expect("a text").to_owned();
    assert_ne!(kid(&old), new);
    for instance in &instances {
        soon("the new key is published", async || published(instance).await.contains(&new)).await;
    }
    for instance in &instances {
        let sign = async || instance.client_credentials(&worker).await.text("access_token");
        soon("the new key signs", async || kid(&sign().await) == new).await;
        let token = sign().await;
        for other in &instances {
            assert!(other.is_active(&resource_server, &token).await, "a token by the new key");
            assert!(other.is_active(&resource_server, &old).await, "a token by the old key");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_counts_no_more_at_any_instance_and_none_of_them_stops_signing() {
    let postgres = Postgres::start();
    let fleet = Fleet::start(3, in_(&postgres)).await;
    let worker = fleet.instance(0).create_client(&WORKER);
    let resource_server = fleet.instance(0).resource_server();
    let instances = each(&fleet, 3);
    let old = instances[0].client_credentials(&worker).await.text("access_token");
    for instance in &instances {
        assert!(instance.is_active(&resource_server, &old).await, "and it is remembered as genuine");
    }

    fleet.instance(1).run_json(&["key", "revoke", &kid(&old), "--json"]);
    for instance in &instances {
        soon("the old token is refused", async || {
            // Whatever it has heard, it signs: an answer other than 200 stops the test.
            instance.client_credentials(&worker).await.text("access_token");
            !instance.is_active(&resource_server, &old).await
        })
        .await;
        assert!(!published(instance).await.contains(&kid(&old)));
        let new = instance.client_credentials(&worker).await.text("access_token");
        assert_ne!(kid(&new), kid(&old));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_assertion_that_was_used_at_one_instance_is_refused_at_another() {
    let postgres = Postgres::start();
    let fleet = Fleet::start(2, in_(&postgres)).await;
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let file = fleet.instance(0).directory().join("keys.json");
    fs::write(&file, json!({"keys": [key.public()]}).to_string()).unwrap();
    let client = [&WORKER[..], &["--auth-method", "private_key_jwt", "--jwks", file.to_str().unwrap()]].concat();
    let client = fleet.instance(0).create_client(&client);

    let [one, other] = [0, 1].map(|number| Wire::past_the_balancer(fleet.instance(number)));
    // The server's clock is this one.
    let now = one.client_credentials(&fleet.instance(0).create_client(&WORKER)).await.text("access_token");
    let now: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(now.split('.').nth(1).unwrap()).unwrap()).unwrap();
    let now = now["iat"].as_i64().unwrap();
    let assertion = |jti: &str| {
        let header = json!({"alg": "ES256", "kid": key.id().as_str()});
        let claims = json!({"iss": client.id, "sub": client.id, "aud": fleet.url(), "exp": now + 120, "jti": jti});
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(format!("{header}.{claims}").as_bytes()).unwrap());
        format!("{header}.{claims}.{signature}")
    };
    let send = async |wire: &Wire, assertion: &str| -> Answer {
        let method = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form =
            [("grant_type", "client_credentials"), ("client_assertion_type", method), ("client_assertion", assertion)];
        wire.post("/oauth/token", &client, &form).await
    };
    let first = assertion("1");
    assert_eq!(send(&one, &first).await.status, 200);
    assert_eq!(send(&other, &first).await.error(), "invalid_client");
    assert_eq!(send(&one, &first).await.error(), "invalid_client");
    assert_eq!(send(&other, &assertion("2")).await.status, 200);
    let third = assertion("3");
    let (at_one, at_other) = tokio::join!(send(&one, &third), send(&other, &third));
    let good = [at_one, at_other].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 1, "at the same moment");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_logins_at_different_instances_add_up_to_one_limit() {
    let postgres = Postgres::start();
    let fleet = Fleet::start(2, in_(&postgres).set("GATEWARD_LOGIN__MAX_FAILURES", "4")).await;
    let instances = each(&fleet, 2);
    let client = instances[0].register("c").await;
    let log_in = async |wire: &Wire, password: &str| -> u16 {
        let mut browser = ScriptedBrowser::new().unwrap();
        // The issuer is elsewhere; the pages name paths only.
        let wire = Wire { resource: fleet.instance(0).resource(), ..wire.clone() };
        let page = browser.open(&wire.authorize_url(&client, &Pkce::next(), "s")).await.unwrap().page().unwrap();
        match browser.log_in(&page, "admin", password).await.unwrap() {
            Step::Page(page) => page.status.as_u16(),
            Step::Client(callback) => panic!("{callback}"),
        }
    };
    for number in 0..4 {
        assert_eq!(log_in(&instances[number % 2], "wrong").await, 403, "{number}");
    }
    for instance in &instances {
        assert_eq!(log_in(instance, fleet.password()).await, 429, "even with the password");
    }
}

/// On an empty store, in a directory of its own each; then each of them knows what the others do.
async fn ten_at_once(store: &str, room: &Path) -> Vec<Server> {
    let master_key = room.join("master.key");
    make_master_key(&master_key);
    let options = Options::new().with_store(store).with_master_key(&master_key).with_issuer("http://localhost:9999");
    let starting: Vec<_> = (0..10)
        .map(|_| {
            let options = options.clone();
            thread::spawn(move || Server::start_on_used_store(options))
        })
        .collect();
    let servers: Vec<Server> = starting.into_iter().map(|starting| starting.join().expect("it starts")).collect();

    let count = |arguments: &[&str]| servers[0].run_json(arguments).as_array().expect("a list").len();
    assert_eq!(count(&["key", "list", "--json"]), 1);
    assert_eq!(count(&["user", "list", "--json"]), 1);
    assert_eq!(count(&["client", "list", "--json"]), 1, "the worker of development mode");
    assert_eq!(servers.iter().filter(|server| !server.password().is_empty()).count(), 1, "one of them made admin");
    let secrets = servers.iter().filter(|server| server.data().join("worker.secret").exists());
    assert_eq!(secrets.count(), 1, "one of them made the worker");

    let resource_server = servers[0].resource_server();
    let worker = servers[9].create_client(&WORKER);
    let instances: Vec<Wire> = servers.iter().map(Wire::past_the_balancer).collect();
    let keys = published(&instances[0]).await;
    for (number, instance) in instances.iter().enumerate() {
        assert_eq!(published(instance).await, keys);
        let token = instance.client_credentials(&worker).await.text("access_token");
        assert!(instances[(number + 1) % 10].is_active(&resource_server, &token).await);
    }
    servers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_instances_that_start_at_once_on_an_empty_postgres_all_come_up_and_set_it_up_once() {
    let postgres = Postgres::start();
    let room = tempfile::tempdir().unwrap();
    let servers = ten_at_once(&postgres.url(), room.path()).await;
    let history = postgres.query("select version from _sqlx_migrations where success order by installed_on, version");
    let history = history.expect("a history");
    let versions: Vec<u64> = history.lines().map(|version| version.parse().unwrap()).collect();
    assert!(!versions.is_empty() && versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    assert_eq!(postgres.query("select count(*) from _sqlx_migrations"), Ok(versions.len().to_string()));
    assert_eq!(postgres.query("select count(*) from signing_keys"), Ok("1".to_owned()));
    drop(servers);
}

/// Lets everybody read a table, and nobody write, until so many wait for that.
fn gate(url: &str, table: &'static str, waiting: usize) -> thread::JoinHandle<Result<String, String>> {
    let url = url.to_owned();
    let sql = format!(
        "set statement_timeout = '60s'; do $$ begin
            lock table {table} in share mode;
            while (select count(*) from pg_locks where relation = '{table}'::regclass and not granted) < {waiting} loop
                perform pg_sleep(0.01);
            end loop;
        end $$"
    );
    thread::spawn(move || query(&url, &sql))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_find_nobody_at_the_same_moment_make_one_admin_and_one_worker() {
    let postgres = Postgres::start();
    let room = tempfile::tempdir().unwrap();
    let master_key = room.path().join("master.key");
    make_master_key(&master_key);
    let options = Options::new().with_store(&format!("{}?statement_timeout=2m", postgres.url()));
    let options = options.with_master_key(&master_key);
    let start = || {
        thread::spawn({
            let options = options.clone();
            move || Server::start_on_used_store(options)
        })
    };
    drop(start().join());
    postgres.query("delete from users; delete from clients").unwrap();

    let gates = ["users", "clients"].map(|table| gate(&postgres.url(), table, 3));
    let closed = "select count(*) from pg_locks where mode = 'ShareLock' and granted and locktype = 'relation'";
    until("the gates are closed", async || postgres.query(closed) == Ok("2".to_owned())).await;
    let servers = [start(), start(), start()].map(|starting| starting.join().expect("it starts"));
    for gate in gates {
        assert_eq!(gate.join().unwrap(), Ok(String::new()), "all of them waited");
    }
    assert_eq!(servers.iter().filter(|server| !server.password().is_empty()).count(), 1);
    assert_eq!(servers.iter().filter(|server| server.data().join("worker.secret").exists()).count(), 1);
    assert_eq!(postgres.query("select count(*) from users"), Ok("1".to_owned()));
    assert_eq!(postgres.query("select count(*) from clients"), Ok("1".to_owned()));
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_instances_that_start_at_once_on_an_empty_redis_all_come_up_and_set_it_up_once() {
    let redis = crate::support::engine::redis::Redis::start();
    let room = tempfile::tempdir().unwrap();
    drop(ten_at_once(&redis.url(), room.path()).await);
}
