//! What the connections say.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use gateward::{http::path, testing::server::Parameters};

use crate::{
    generator::{Talk, member, post},
    program::APP,
};

/// The same request again and again.
pub(crate) struct Same(Vec<u8>);

impl Same {
    pub(crate) fn new(request: Vec<u8>) -> Self {
        Self(request)
    }
}

impl Talk for Same {
    fn next(&mut self) -> Option<&[u8]> {
        Some(&self.0)
    }
}

/// The same request so many times.
pub(crate) struct Few {
    request: Vec<u8>,
    left: usize,
}

impl Few {
    pub(crate) fn new(request: Vec<u8>, times: usize) -> Self {
        Self { request, left: times }
    }
}

impl Talk for Few {
    fn next(&mut self) -> Option<&[u8]> {
        self.left = self.left.checked_sub(1)?;
        Some(&self.request)
    }
}

/// Refreshes with what the last refresh brought.
pub(crate) struct Chain(Vec<u8>);

impl Chain {
    pub(crate) fn starting_with(refresh_token: &str) -> Self {
        Self(refresh(refresh_token))
    }
}

impl Talk for Chain {
    fn next(&mut self) -> Option<&[u8]> {
        Some(&self.0)
    }

    fn hear(&mut self, answer: &str) {
        self.0 = refresh(member(answer, "refresh_token"));
    }
}

/// The request of the public client for new tokens.
pub(crate) fn refresh(refresh_token: &str) -> Vec<u8> {
    post(path::TOKEN, None, &Parameters::refresh(refresh_token).add("client_id", APP).encode())
}

/// Codes that were handed out and not redeemed yet; all connections share them.
#[derive(Clone, Default)]
pub(crate) struct Codes(Arc<Mutex<VecDeque<String>>>);

impl Codes {
    /// One that nobody else takes.
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap().pop_front()
    }
}

/// Asks for authorization as often as there are codes to be drawn, as a browser whose human agreed before.
pub(crate) struct Authorize {
    codes: Codes,
    requests: Few,
}

impl Authorize {
    pub(crate) fn new(request: Vec<u8>, times: usize, codes: &Codes) -> Self {
        Self { codes: codes.clone(), requests: Few::new(request, times) }
    }
}

impl Talk for Authorize {
    fn next(&mut self) -> Option<&[u8]> {
        self.requests.next()
    }

    fn hear(&mut self, answer: &str) {
        let (_, rest) = answer.split_once("code=").unwrap_or_else(|| panic!("no code in {answer}"));
        let code = rest.split(['&', '\r']).next().unwrap();
        self.codes.0.lock().unwrap().push_back(code.to_owned());
    }
}

/// Redeems a code that nobody else redeems, and then another one.
pub(crate) struct Exchange {
    codes: Codes,
    request: Vec<u8>,
}

impl Exchange {
    pub(crate) fn of(codes: &Codes) -> Self {
        Self { codes: codes.clone(), request: Vec::new() }
    }
}

impl Talk for Exchange {
    fn next(&mut self) -> Option<&[u8]> {
        self.request = redemption(&self.codes.take()?);
        Some(&self.request)
    }
}

/// The request with which the public client redeems a code.
pub(crate) fn redemption(code: &str) -> Vec<u8> {
    post(path::TOKEN, None, &Parameters::redeem(code).add("client_id", APP).encode())
}

pub(crate) fn boxes<T: Talk + 'static>(talks: impl Iterator<Item = T>) -> Vec<Box<dyn Talk>> {
    talks.map(|talk| Box::new(talk) as Box<dyn Talk>).collect()
}
