//! What a request is called: a name in every line that the log has of it, in its answer, and for the server behind the gateway.
//!
//! Whoever sends a request may not choose: a name that somebody else's request has, or a long one, would make the log lie. A
//! trusted proxy may, because it has told its own log already.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Response},
};
use sha2::{Digest, Sha256};
use tracing::{Instrument, field, info_span};

use super::{App, traffic::Endpoint};
use crate::domain::correlation::RequestId;

/// `X-Request-Id`.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes names that are fresh and tell nobody how many there were, without a system call for each.
pub(super) struct RequestIds {
    key: [u8; 16],
    count: AtomicU64,
}

impl RequestIds {
    /// `key`: random bits.
    pub(super) const fn new(key: [u8; 16]) -> Self {
        Self { key, count: AtomicU64::new(0) }
    }

    fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let hash = Sha256::new_with_prefix(self.key).chain_update(count.to_be_bytes()).finalize();
        let mut random = [0; 16];
        random.copy_from_slice(&hash[..16]);
        RequestId::from_entropy(random)
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
        let traced = self.traced(&request, &id, is_trusted);
        proxies.apply(&mut request);
        request.extensions_mut().insert(id.clone());
        let (method, path) = (request.method(), request.uri().path());
        // `attempt` is recorded once it is known.
        let span = info_span!("request", %id, attempt = field::Empty, %method, path);
        let mut response = answer(request).instrument(span).await;
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
        let ids = [RequestIds::new([1; 16]), RequestIds::new([2; 16])];
        let names: HashSet<RequestId> = (0..2000).map(|n| ids[n % 2].next()).collect();
        assert_eq!(names.len(), 2000);
    }
}
