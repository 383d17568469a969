//! Requests as spans, for OpenTelemetry.
//!
//! A span says which route a request was for, its name and its status: nothing that came from the client, so nothing secret. It is part of
//! the trace of whoever sent the request only if that is a trusted proxy: anybody else could mix their requests into the traces of others,
//! and decide what is sampled.

use axum::{
    extract::Request,
    http::{Method, StatusCode},
};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{Span as _, SpanKind, Status, Tracer as _},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{SdkTracer, Span},
};

use super::{App, table::path, traffic::Endpoint};
use crate::domain::correlation::RequestId;

/// A request on its way, as a span that ends with it.
pub(super) struct Traced {
    span: Span,
    answered: bool,
}

impl App {
    /// Makes a span of each request from now on. Once.
    pub fn trace(&self, tracer: SdkTracer) {
        // Whoever does it twice keeps the first.
        let _ = self.0.tracer.set(tracer);
    }

    /// `is_trusted`: whether a trusted proxy sent it.
    pub(super) fn traced(
        &self,
        endpoint: Endpoint,
        request: &Request,
        id: &RequestId,
        is_trusted: bool,
    ) -> Option<Traced> {
        let tracer = self.0.tracer.get()?;
        let parent = if is_trusted {
            TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(request.headers()))
        } else {
            Context::new()
        };
        let method = known(request.method());
        let route = match endpoint {
            Endpoint::Route(Some(route)) if route.route().path == path::REGISTERED => Some(self.path(path::REGISTERED)),
            // All others are what they say.
            Endpoint::Route(Some(_)) => Some(request.uri().path().to_owned()),
            Endpoint::Route(None) | Endpoint::Gateway | Endpoint::ForwardAuth | Endpoint::ResourceMetadata => None,
        };
        let name = route.as_ref().map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("gateward.request_id", id.as_str().to_owned()),
        ];
        attributes.extend(route.map(|route| KeyValue::new("http.route", route)));
        let span = tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
        Some(Traced { span: span.start_with_context(tracer, &parent), answered: false })
    }
}

/// A client may invent methods; a span knows those of the standard.
fn known(method: &Method) -> &'static str {
    const KNOWN: [Method; 7] =
        [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS, Method::PATCH];
    const NAMES: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
    KNOWN.iter().position(|known| known == method).map_or("_OTHER", |at| NAMES[at])
}

impl Traced {
    /// The answer begins.
    pub(super) fn answered(mut self, status: StatusCode) {
        self.answered = true;
        self.span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if status.is_server_error() {
            self.span.set_status(Status::error(""));
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if !self.answered {
            self.span.set_status(Status::error("the client went away"));
        }
        self.span.end();
    }
}
