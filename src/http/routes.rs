//! What answers requests, as one service that costs nothing to clone.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Router, body::Body, extract::Request, http::Response};
use tower::Service;

/// An answer under way.
pub type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Everything that answers requests. Clones are the same.
///
/// axum's own router clones every layer of a route for every request, so what all routes have in common is no layer of it.
#[derive(Clone)]
pub struct Routes(Arc<dyn Fn(Request) -> Answer + Send + Sync>);

impl Routes {
    /// What `answer` makes of a request.
    pub fn new(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    /// The answer to a request.
    pub fn answer(&self, request: Request) -> Answer {
        self.0(request)
    }
}

impl From<Router> for Routes {
    fn from(router: Router) -> Self {
        Self::new(move |request| {
            let answer = router.clone().call(request);
            Box::pin(async move { answer.await.unwrap_or_else(|never| match never {}) })
        })
    }
}

impl Service<Request> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let answer = self.answer(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}
