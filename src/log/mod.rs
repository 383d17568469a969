//! Which request a line of the log belongs to, and how lines are written.
//!
//! Most requests log nothing. So a request carries its name along, and only a line that is written spells it: a span of `tracing`
//! would be spelled for every request.

mod line;

use std::cell::Cell;

use ::http::{Method, Uri};

pub use self::line::{human, json};
use crate::domain::correlation::{AttemptId, RequestId};

tokio::task_local! {
    static CURRENT: LoggedRequest;
}

/// A request, as the log tells it.
#[derive(Debug, Clone)]
pub struct LoggedRequest {
    id: RequestId,
    attempt: Cell<Option<AttemptId>>,
    method: Method,
    uri: Uri,
}

impl LoggedRequest {
    /// `uri`: only its path is told; a query holds what others send.
    pub const fn new(id: RequestId, method: Method, uri: Uri) -> Self {
        Self { id, attempt: Cell::new(None), method, uri }
    }

    /// Every line that `work` logs belongs to this request. A task of its own is not part of that: see [`carried`].
    pub fn cover<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }
}

/// Lets every line of the current request from now on name its authorization attempt.
pub fn note_attempt(attempt: AttemptId) {
    // Outside of a request there is no line to name it in.
    let _ = CURRENT.try_with(|request| request.attempt.set(Some(attempt)));
}

/// Work of the current request that goes on in a task of its own: its lines belong to the request too.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let request = CURRENT.try_with(Clone::clone).ok();
    async move {
        match request {
            Some(request) => request.cover(work).await,
            None => work.await,
        }
    }
}
