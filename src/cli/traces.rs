//! Spans to a collector, by OTLP over HTTP with JSON.
//!
//! They are sent in batches by a thread of their own. While the collector is away some are kept, the rest is dropped: no request waits for
//! it.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use opentelemetry::{Key, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use reqwest::redirect::Policy;
use tokio::runtime::Handle;
use tracing::warn;

use super::failure::Failure;
use crate::{config, http::App};

/// How long one batch may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer of a collector that is read, in bytes.
const ANSWER: usize = 64 * 1024;

/// What sends spans.
pub(super) struct Traces(SdkTracerProvider);

/// Begins to make spans of requests and to send them, if the operator wants it.
pub(super) fn start(traces: &config::Traces, app: &App) -> Result<Option<Traces>, Failure> {
    let Some(endpoint) = &traces.endpoint else { return Ok(None) };
    let failed = |error: &dyn fmt::Display| Failure::configuration(format!("traces.endpoint: {error}"));
    let client = reqwest::Client::builder().redirect(Policy::none()).timeout(PATIENCE).build();
    let client = OnRuntime { client: client.map_err(|error| failed(&error))?, runtime: Handle::current() };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/')))
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| failed(&error))?;
    let share = f64::from(traces.sample_percent) / 100.0;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
        .with_resource(resource())
        .build();
    app.trace(provider.tracer("gateward"));
    Ok(Some(Traces(provider)))
}

/// This server is called `gateward` unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise.
fn resource() -> Resource {
    let named = Resource::builder().build();
    let name = named.get(&Key::from_static_str("service.name"));
    if name.is_some_and(|name| !name.as_str().starts_with("unknown_service")) {
        return named;
    }
    Resource::builder().with_service_name("gateward").build()
}

impl Traces {
    /// Sends what is left.
    pub(super) async fn finish(self) {
        let sent = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
        if !matches!(sent, Ok(Ok(()))) {
            warn!("the last spans were not sent");
        }
    }
}

/// A client of HTTP for the thread that sends, which has no reactor of its own.
#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let call = send(self.client.clone(), request);
        self.runtime.spawn(call).await?
    }
}

async fn send(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request.try_into()?).await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER {
            return Err("the collector says too much".into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(body.into());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    Ok(response)
}
