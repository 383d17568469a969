//! What an operator looks at besides the log: metrics, the audit trail, spans. Every endpoint is driven, rightly and wrongly; then all of
//! it is searched for every secret that occurred.

use crate::{
    sight::{measured, read},
    story::tell,
    support::{Server, collector::Collector, oauth::Wire},
};

#[tokio::test]
async fn neither_figures_nor_the_audit_trail_nor_spans_hold_a_secret() {
    let (collector, url) = Collector::start().await;
    let mut server = Server::start(measured().set("GATEWARD_TRACES__ENDPOINT", &url));
    let wire = Wire::to(&server);
    let secrets = tell(&server, &wire).await;
    let figures = read(&server).await;
    server.terminate();
    // Its last words go to the collector, which is in this process.
    let (ended, server) = tokio::task::spawn_blocking(move || (server.wait(), server)).await.unwrap();
    assert!(ended.success());
    let trail = server.run_json(&["audit", "list", "--json", "--limit", "10000"]).to_string();
    let spans = collector.text();
    for (place, text, told) in [
        ("the figures", &figures, "gateward_http_requests_total"),
        ("the audit trail", &trail, "token.refresh"),
        ("the spans", &spans, "POST /oauth/token"),
    ] {
        assert!(text.contains(told), "{place} say less than this test thinks: no {told}");
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "`{secret}` is in {place}");
        }
    }
}
