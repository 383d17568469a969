//! `/livez` and `/readyz`.

use axum::http::StatusCode;
use gateward::testing::server::TestServer;
use serde_json::json;

use super::{faults::Faults, *};

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
    for family in ["clients.ping", "tokens.ping", "accounts.ping", "keys.ping"] {
        let faults = Faults::default();
        let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
        faults.take_down_at(&[family]);
        assert_eq!(server.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE, "{family}");
        assert_ok(&server.get("/livez").await);
        faults.heal();
        assert_ok(&server.get("/readyz").await);
    }
}

#[tokio::test]
async fn health_is_below_no_issuer_path() {
    let server = TestServer::builder().issuer("https://example.com/t").start().await;
    assert_ok(&server.get("/livez").await);
    assert_ok(&server.get("/readyz").await);
}
