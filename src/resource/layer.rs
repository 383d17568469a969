//! The tower layer.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::{RequestBody, ResponseBody},
    protection::{Look, Protection, RequestHead, Verified},
    refusal::Refusal,
};
use crate::domain::{scope::Scope, scope_rule::Calls};

/// Lets requests through that show a token for this resource with enough scope; see [the module](super).
#[derive(Debug, Clone)]
pub struct ProtectionLayer(Protection);

impl ProtectionLayer {
    /// A layer that judges like this.
    pub fn new(protection: Protection) -> Self {
        Self(protection)
    }
}

impl<S> Layer<S> for ProtectionLayer {
    type Service = Protected<S>;

    fn layer(&self, inner: S) -> Protected<S> {
        Protected { inner, protection: self.0.clone() }
    }
}

/// A service behind the layer.
#[derive(Debug, Clone)]
pub struct Protected<S> {
    inner: S,
    protection: Protection,
}

type Answer<B, E> = Pin<Box<dyn Future<Output = Result<Response<ResponseBody<B>>, E>> + Send>>;

impl<S, B, R> Service<Request<B>> for Protected<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Body<Data = Bytes> + Unpin,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = Answer<R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready is the one to call; its clone may not be.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let protection = self.protection.clone();
        Box::pin(async move {
            match admit(&protection, request).await {
                Ok((request, verified)) => {
                    let response = inner.call(request).await?;
                    Ok(pass(&protection, &verified, response))
                }
                Err(answer) => Ok(answer.map(ResponseBody::own)),
            }
        })
    }
}

/// Judges a request, and tells the service whose it is.
async fn admit<B>(
    protection: &Protection,
    request: Request<B>,
) -> Result<(Request<RequestBody<B>>, Verified), Response<Full<Bytes>>>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut parts, body) = request.into_parts();
    let head = RequestHead::new(&parts.method, &parts.uri, &parts.headers);
    if let Some(metadata) = protection.metadata(head) {
        return Err(metadata);
    }
    let verified = protection.verify(head).await?;
    let refuse = |refusal: Refusal| protection.refuse(&refusal, &Scope::none());
    let body = match protection.look(head, body.is_end_stream()).map_err(refuse)? {
        Look::Done(calls) => {
            protection.judge_scope(head, &verified, Calls::Known(&calls)).await?;
            Either::Left(body)
        }
        Look::Hidden => {
            protection.judge_scope(head, &verified, Calls::Tunnel).await?;
            Either::Left(body)
        }
        Look::Read => {
            protection.refuse_encoded(head).map_err(refuse)?;
            let bytes = collect(protection, body).await.map_err(refuse)?;
            let message = protection.read(head, &bytes).map_err(refuse)?;
            protection.judge_scope(head, &verified, Calls::Known(message.calls())).await?;
            Either::Right(Full::new(bytes))
        }
    };
    parts.extensions.insert(verified.identity.clone());
    parts.extensions.insert(protection.lease(&verified));
    Ok((Request::from_parts(parts, body), verified))
}

async fn collect<B>(protection: &Protection, body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = Limited::new(body, protection.message_limit()).collect();
    match tokio::time::timeout(protection.message_timeout(), body).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::MessageTooLong),
        Ok(Err(_)) | Err(_) => Err(Refusal::MessageIncomplete),
    }
}

/// What the service answered; an event stream ends with the token.
fn pass<R>(protection: &Protection, verified: &Verified, response: Response<R>) -> Response<ResponseBody<R>> {
    if !is_event_stream(response.headers()) {
        return response.map(ResponseBody::passed);
    }
    let lease = protection.lease(verified);
    response.map(|body| {
        ResponseBody::leased(body, async move {
            let ended = lease.ended().await;
            tracing::debug!(?ended, "an event stream ends with its token");
        })
    })
}

/// Whether an answer is one, whatever its parameters and case.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENT_STREAM: &[u8] = b"text/event-stream";
    let start = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().get(..EVENT_STREAM.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(EVENT_STREAM))
}
