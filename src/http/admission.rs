//! Whether a request is let in at all, before anything is done for it; and what it is told if not.

use std::net::{IpAddr, SocketAddr};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER},
    response::IntoResponse,
};

use super::{
    App,
    html::error_page,
    limits::{Class, Flight, Sender, TooEarly},
    rejections::Rejection,
    respond::{ErrorText, Refusal, TOO_OFTEN, plain_error},
};
use crate::{
    domain::{address::AddressBlock, correlation::RequestId},
    protocol::error::RegistrationErrorCode,
};

/// When to come back to a server that has too much to do, in seconds.
const BUSY_RETRY_SECONDS: u32 = 1;

impl App {
    /// Counts a request. `None` is for health, which nothing holds up.
    pub(super) fn let_in(&self, request: &Request) -> Result<Option<Flight<'_>>, Box<Response<Body>>> {
        let class = Class::of(request.uri().path(), self.authority().issuer.path());
        if class == Class::Health {
            return Ok(None);
        }
        if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>()
            && let Err(early) = self.limits().admit(class, peer.ip())
        {
            self.rejections().note(Rejection::TooOften);
            return Err(Box::new(too_often(class, early, request)));
        }
        match self.0.in_flight.begin() {
            Some(flight) => Ok(Some(flight)),
            None => {
                self.rejections().note(Rejection::Busy);
                Err(Box::new(busy()))
            }
        }
    }

    /// Counts a request that is to cross the gateway, with what it presents as its token.
    ///
    /// # Errors
    ///
    /// The answer to one that is one too many.
    pub fn let_cross(
        &self,
        address: IpAddr,
        authorization: Option<&HeaderValue>,
    ) -> Result<Crossing, Box<Response<Body>>> {
        let crossing = Crossing { app: self.clone(), block: AddressBlock::of(address), token: tail(authorization) };
        self.limits().admit_to_gateway(crossing.sender(), address).map_err(|early| {
            self.rejections().note(Rejection::TooOften);
            Box::new(plainly(early))
        })?;
        Ok(crossing)
    }
}

/// Somebody who wants to cross the gateway.
#[derive(Debug, Clone)]
pub struct Crossing {
    app: App,
    block: AddressBlock,
    token: [u8; TAIL],
}

/// So much of the end of a token is not the same by chance: of a signature, or of random characters.
const TAIL: usize = 32;

impl Crossing {
    /// Its token is good: from now on it has an allowance of its own.
    pub fn succeeded(&self) {
        self.app.limits().prove(self.sender());
    }

    fn sender(&self) -> Sender<'_> {
        Sender { block: self.block, client: &self.token }
    }
}

fn tail(authorization: Option<&HeaderValue>) -> [u8; TAIL] {
    let value = authorization.map(HeaderValue::as_bytes).unwrap_or_default();
    value.last_chunk().copied().unwrap_or_default()
}

fn plainly(early: TooEarly) -> Response<Body> {
    let mut response = plain_error(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", TOO_OFTEN);
    response.headers_mut().insert(RETRY_AFTER, early.retry_after.into());
    response
}

/// In the words of the endpoint.
fn too_often(class: Class, early: TooEarly, request: &Request) -> Response<Body> {
    match class {
        Class::Pages => {
            let name = request.extensions().get().map(RequestId::as_str).unwrap_or_default();
            let mut response = error_page(name, &PAGE, None);
            response.headers_mut().insert(RETRY_AFTER, early.retry_after.into());
            response
        }
        Class::Registration => Refusal::<RegistrationErrorCode>::too_many(TOO_OFTEN, early).into_response(),
        Class::Token | Class::TokenQuery | Class::Public | Class::Health => plainly(early),
    }
}

fn busy() -> Response<Body> {
    let mut response = plain_error(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "The server has too much to do. Try again shortly.",
    );
    response.headers_mut().insert(RETRY_AFTER, BUSY_RETRY_SECONDS.into());
    response
}

const PAGE: ErrorText = ErrorText {
    status: StatusCode::TOO_MANY_REQUESTS,
    title: "Too many requests",
    explanation: "This server has heard from your network more often than it can answer.",
    advice: "Wait a moment, then go back and try again.",
    code: Some("temporarily_unavailable"),
};
