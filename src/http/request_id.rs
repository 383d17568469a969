//! What a request is called: a name in every line that the log has of it, in its answer, and for the server behind the gateway.
//!
//! Whoever sends a request may not choose: a name that somebody else's request has, or a long one, would make the log lie. A
//! trusted proxy may, because it has told its own log already.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Response},
};

use super::{App, traffic::Endpoint};
use crate::{domain::correlation::RequestId, log::LoggedRequest};

/// `X-Request-Id`.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes names that are fresh and tell nobody how many there were, without a system call for each.
#[derive(Default)]
pub(super) struct RequestIds {
    /// Two keyed hashes of the count: nobody who has seen names can tell another one (SipHash, with keys of its own).
    halves: [RandomState; 2],
    count: AtomicU64,
}

impl RequestIds {
    fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let [high, low] = [0, 1].map(|half| self.halves[half].hash_one(count));
        RequestId::from_entropy((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }
}

impl App {
    /// Lets a request in: it gets its name, as an extension ([`RequestId`]), in every line that `answer` logs, and in the answer; and
    /// the sender's address stands where the peer's was. It is counted as one for `endpoint`. Every request passes here once, whoever
    /// answers it.
    pub async fn enter<F>(
        &self,
        endpoint: Endpoint,
        mut request: Request,
        answer: impl FnOnce(Request) -> F,
    ) -> Response<Body>
    where
        F: Future<Output = Response<Body>>,
    {
        let counted = self.0.traffic.get().map(|traffic| traffic.begin(&request, endpoint));
        let proxies = &self.0.options.trusted_proxies;
        // Afterwards nobody can tell any more who the peer was.
        let is_trusted = proxies.passes_on(&request);
        let given = if is_trusted { given(&request) } else { None };
        let id = given.unwrap_or_else(|| self.0.request_ids.next());
        #[cfg(feature = "otlp")]
        let traced = self.traced(endpoint, &request, &id, is_trusted);
        proxies.apply(&mut request);
        request.extensions_mut().insert(id.clone());
        let logged = LoggedRequest::new(id.clone(), request.method().clone(), request.uri().clone());
        let mut response = logged.cover(answer(request)).await;
        // Always: a name is printable.
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        #[cfg(feature = "otlp")]
        if let Some(traced) = traced {
            traced.answered(response.status());
        }
        if let Some(counted) = counted {
            counted.answered(response.status());
        }
        response
    }
}

/// The name that the peer gives; one that it repeats is none.
fn given(request: &Request) -> Option<RequestId> {
    let mut values = request.headers().get_all(REQUEST_ID).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() { None } else { RequestId::parse(value) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_have_one_name() {
        let ids = [RequestIds::default(), RequestIds::default()];
        let names: HashSet<RequestId> = (0..2000).map(|n| ids[n % 2].next()).collect();
        assert_eq!(names.len(), 2000);
    }
}
