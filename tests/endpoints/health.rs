//! `/livez` and `/readyz`.

use axum::http::StatusCode;
use gateward::testing::server::TestServer;
use serde_json::json;

use super::{faults::Faults, *};

const PINGS: [&str; 4] = ["clients.ping", "tokens.ping", "accounts.ping", "keys.ping"];

#[tokio::test]
async fn a_running_server_is_live_and_ready() {
    let server = TestServer::builder().start().await;
    for path in ["/livez", "/readyz"] {
        let answer = server.get(path).await;
        assert_ok(&answer);
        assert_no_store(&answer);
        assert_eq!(answer.json(), json!({ "status": "ok" }));
    }
}

#[tokio::test]
async fn a_draining_server_is_live_but_not_ready() {
    let server = TestServer::builder().start().await;
    server.app.start_draining();
    assert_ok(&server.get("/livez").await);
    let answer = server.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json(), json!({ "status": "draining" }));
}

#[tokio::test]
async fn a_server_without_any_of_its_stores_is_not_ready() {
    for family in PINGS {
        let faults = Faults::default();
        let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
        faults.take_down_at(&[family]);
        assert_eq!(server.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE, "{family}");
        assert_ok(&server.get("/livez").await);
        faults.heal();
        server.pass(1);
        assert_ok(&server.get("/readyz").await);
    }
}

async fn with_faults() -> (Faults, TestServer) {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    (faults, server)
}

fn assert_asked(faults: &Faults, times: usize) {
    assert_eq!(PINGS.map(|ping| faults.calls(ping)), [times; 4]);
}

#[tokio::test]
async fn a_flood_of_questions_reaches_the_stores_once_a_second() {
    let (faults, server) = with_faults().await;
    for second in 1..=3 {
        for _ in 0..50 {
            assert_ok(&server.get("/readyz").await);
        }
        assert_asked(&faults, second);
        server.pass(1);
    }
}

#[tokio::test]
async fn a_store_that_went_away_is_noticed_a_second_later() {
    let (faults, server) = with_faults().await;
    assert_ok(&server.get("/readyz").await);
    faults.take_down();
    server.pass(1);
    assert_eq!(server.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    faults.heal();
    server.pass(1);
    assert_ok(&server.get("/readyz").await);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_keep_an_old_answer() {
    let (faults, server) = with_faults().await;
    assert_ok(&server.get("/readyz").await);
    faults.take_down();
    server.clock.set(server.now().minus(std::time::Duration::from_secs(3600)));
    assert_eq!(server.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// However many ask, and however late.
#[tokio::test(start_paused = true)]
async fn a_stuck_store_is_asked_once_at_a_time_and_not_waited_for() {
    let (faults, server) = with_faults().await;
    faults.get_stuck();
    let started = tokio::time::Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let server = server.clone();
        asking.spawn(async move { server.get("/readyz").await.status });
        tokio::task::yield_now().await;
    }
    server.pass(1);
    asking.spawn(async move { server.get("/readyz").await.status });
    assert_eq!(asking.join_all().await, [StatusCode::SERVICE_UNAVAILABLE; 51]);
    assert_eq!(started.elapsed().as_secs(), 2);
    assert_asked(&faults, 1);
}

#[tokio::test(start_paused = true)]
async fn callers_that_hang_up_do_not_have_a_stuck_store_asked_again() {
    let (faults, server) = with_faults().await;
    faults.get_stuck();
    for _ in 0..50 {
        let asking = tokio::spawn({
            let server = server.clone();
            async move { server.get("/readyz").await }
        });
        tokio::task::yield_now().await;
        asking.abort();
        assert!(asking.await.expect_err("stuck").is_cancelled());
        server.pass(1);
    }
    assert_asked(&faults, 1);
}

#[tokio::test]
async fn health_is_below_no_issuer_path() {
    let server = TestServer::builder().issuer("https://example.com/t").start().await;
    assert_ok(&server.get("/livez").await);
    assert_ok(&server.get("/readyz").await);
}
