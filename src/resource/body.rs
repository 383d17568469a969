//! Bodies on their way through the layer.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};

/// The body of a request behind the layer: as it came, or read.
pub type RequestBody<B> = Either<B, Full<Bytes>>;

/// The body of an answer.
pub struct ResponseBody<B>(Kind<B>);

enum Kind<B> {
    /// As the service gave it.
    Passed(B),
    /// An event stream, which ends with the token. Afterwards there is nothing left of it, so that the service notices.
    Leased { body: B, over: Pin<Box<dyn Future<Output = ()> + Send>> },
    /// The layer's own words.
    Own(Full<Bytes>),
}

impl<B> ResponseBody<B> {
    pub(super) fn passed(body: B) -> Self {
        Self(Kind::Passed(body))
    }

    pub(super) fn leased(body: B, over: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Kind::Leased { body, over: Box::pin(over) })
    }

    pub(super) fn own(body: Full<Bytes>) -> Self {
        Self(Kind::Own(body))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let kind = &mut self.get_mut().0;
        match kind {
            Kind::Passed(body) => Pin::new(body).poll_frame(context),
            Kind::Leased { body, over } => {
                if over.as_mut().poll(context).is_pending() {
                    return Pin::new(body).poll_frame(context);
                }
                *kind = Kind::Own(Full::default());
                Poll::Ready(None)
            }
            Kind::Own(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Passed(body) | Kind::Leased { body, .. } => body.is_end_stream(),
            Kind::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Passed(body) => body.size_hint(),
            Kind::Leased { .. } => SizeHint::default(),
            Kind::Own(body) => body.size_hint(),
        }
    }
}
