//! Where spans arrive.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify};

use super::DEADLINE;

/// A collector of the smallest kind: it takes OTLP over HTTP with JSON.
#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<(Mutex<Vec<String>>, Notify)>);

impl Collector {
    /// Starts one, and says where it is.
    pub(crate) async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (collector, url)
    }

    /// Everything that it was sent, as it came.
    pub(crate) fn text(&self) -> String {
        self.0.0.lock().unwrap().concat()
    }

    /// The spans that it was sent so far.
    pub(crate) fn spans(&self) -> Vec<Value> {
        let bodies = self.0.0.lock().unwrap();
        let bodies = bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap());
        let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        bodies
            .flat_map(|body| list(&body, "resourceSpans"))
            .flat_map(|resource| list(&resource, "scopeSpans"))
            .flat_map(|scope| list(&scope, "spans"))
            .collect()
    }

    /// The spans, once there are this many.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Value> {
        let enough = async {
            loop {
                let more = self.0.1.notified();
                let spans = self.spans();
                if spans.len() >= count {
                    return spans;
                }
                more.await;
            }
        };
        tokio::time::timeout(DEADLINE, enough).await.expect("spans arrive")
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) -> &'static str {
    collector.0.0.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
    collector.0.1.notify_one();
    "{}"
}
