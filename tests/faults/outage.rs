//! The store is away: it is silent, or it is gone. Requests are refused soon and not one after the other, and when it is back, so
//! is the server, without being started again.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use tokio::{task::JoinSet, time::timeout};

#[cfg(feature = "redis")]
use crate::support::engine::redis::Redis;
use crate::support::{
    Options, Server,
    engine::{Process, postgres::Postgres, proxy::Proxy},
    oauth::{Answer, Identity, Wire},
    until,
};

/// So many at once, many more than there are connections.
const REQUESTS: usize = 64;

/// Four connections, each waited for for 300 ms and then for 1.2 s (the statement and what the network may add). A request makes
/// two calls of the store at most before it is refused.
const POSTGRES: &str = "?max_connections=4&acquire_timeout=300ms&statement_timeout=700ms";

/// Two waits of half a second.
#[cfg(feature = "redis")]
const REDIS: &str = "?connect_timeout=500ms&response_timeout=500ms";

/// More than twice as long as any of them has to wait (3 s), for machines that are slow. One after the other, on four connections,
/// they would wait for 16 * 1.2 s.
const BOUND: Duration = Duration::from_secs(8);

/// A server, and an opaque token whose standing only the store knows.
struct Stage {
    server: Server,
    wire: Wire,
    resource_server: Identity,
    worker: Identity,
    token: String,
}

impl Stage {
    async fn set(options: Options) -> Self {
        let server = Server::start(options.set("GATEWARD_RESOURCES__0__TOKEN_FORMAT", "opaque"));
        let wire = Wire::to(&server);
        let worker = server.create_client(&["--name", "w", "--grant", "client_credentials", "--scope", "mcp:execute"]);
        let resource_server = server.resource_server();
        let token = wire.client_credentials(&worker).await.text("access_token");
        assert!(wire.is_active(&resource_server, &token).await);
        Self { server, wire, resource_server, worker, token }
    }

    /// Half of them want something written, and half want to know.
    async fn ask_at_once(&self) -> Vec<Answer> {
        let mut requests = JoinSet::new();
        for number in 0..REQUESTS {
            let (wire, token) = (self.wire.clone(), self.token.clone());
            let (worker, resource_server) = (self.worker.clone(), self.resource_server.clone());
            requests.spawn(async move {
                if number % 2 == 0 {
                    wire.client_credentials(&worker).await
                } else {
                    wire.post("/oauth/introspect", &resource_server, &[("token", &token)]).await
                }
            });
        }
        timeout(BOUND, requests.join_all()).await.expect("requests pile up")
    }

    async fn survives(&self, store: &mut Process, leaves: impl Fn(&mut Process), returns: impl Fn(&mut Process)) {
        leaves(store);
        // The second time nothing is left of what was connected, and the first has left nothing behind that is in the way.
        for _ in 0..2 {
            for answer in self.ask_at_once().await {
                assert_eq!((answer.status.as_u16(), &*answer.error()), (503, "temporarily_unavailable"));
                assert_eq!(answer.headers[RETRY_AFTER], "2");
            }
            // An answer to this may be a second old.
            let not_ready = until("it is not ready", async || {
                let ready = self.wire.get("/readyz").await;
                ready.status == 503 && ready.headers[RETRY_AFTER] == "2"
            });
            timeout(BOUND, not_ready).await.expect("it is not ready");
            assert_eq!(self.wire.get("/livez").await.status, 200);
        }
        returns(store);
        until("it is ready again", async || self.wire.get("/readyz").await.status == 200).await;
        assert!(self.ask_at_once().await.iter().all(|answer| answer.status == 200));
        assert!(self.wire.is_active(&self.resource_server, &self.token).await);
        assert!(!self.server.log().contains("panicked"), "{}", self.server.log());
    }
}

/// Cuts replies of the store after each small number of bytes.
async fn replies_that_end_in_the_middle(stage: &Stage, way: &Proxy) {
    for bytes in 1..=24 {
        let before = way.happened();
        way.cut_after(bytes);
        while way.happened() == before {
            for answer in [
                stage.wire.client_credentials(&stage.worker).await,
                stage.wire.post("/oauth/introspect", &stage.resource_server, &[("token", &stage.token)]).await,
            ] {
                let passes = answer.status == 503 && answer.error() == "temporarily_unavailable";
                assert!(answer.status == 200 || passes, "after {bytes} bytes: {}", answer.body);
            }
        }
    }
}

async fn with_everything_in(postgres: &Postgres) -> Stage {
    Stage::set(Options::new().with_store(&format!("{}{POSTGRES}", postgres.url()))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_silent_requests_are_refused_soon_and_do_not_pile_up() {
    let mut postgres = Postgres::start();
    let stage = with_everything_in(&postgres).await;
    stage.survives(&mut postgres, Process::pause, Process::resume).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_gone_requests_are_refused_soon_and_do_not_pile_up() {
    let mut postgres = Postgres::start();
    let stage = with_everything_in(&postgres).await;
    stage.survives(&mut postgres, Process::stop, Process::start_again).await;
    stage.survives(&mut postgres, Process::kill, Process::start_again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_of_postgres_that_ends_in_the_middle_is_no_reply() {
    let postgres = Postgres::start();
    let way = Proxy::start(postgres.address());
    let stage = Stage::set(Options::new().with_store(&way.url(&postgres.url()))).await;
    replies_that_end_in_the_middle(&stage, &way).await;
}

#[cfg(feature = "redis")]
async fn with_tokens_in(redis: &Redis, postgres: &Postgres) -> Stage {
    let options = Options::new().with_store(&postgres.url()).with_token_store(&format!("{}{REDIS}", redis.url()));
    Stage::set(options).await
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_silent_requests_are_refused_soon_and_do_not_pile_up() {
    let (postgres, mut redis) = (Postgres::start(), Redis::start());
    let stage = with_tokens_in(&redis, &postgres).await;
    stage.survives(&mut redis, Process::pause, Process::resume).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_gone_requests_are_refused_soon_and_do_not_pile_up() {
    let (postgres, mut redis) = (Postgres::start(), Redis::start());
    let stage = with_tokens_in(&redis, &postgres).await;
    stage.survives(&mut redis, Process::stop, Process::start_again).await;
    stage.survives(&mut redis, Process::kill, Process::start_again).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_of_redis_that_ends_in_the_middle_is_no_reply() {
    let redis = Redis::start();
    let way = Proxy::start(redis.address());
    let stage = Stage::set(Options::new().with_token_store(&way.url(&redis.url()))).await;
    replies_that_end_in_the_middle(&stage, &way).await;
}
