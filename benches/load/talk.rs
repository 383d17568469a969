//! What the connections say.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use gateward::{http::path, testing::server::Parameters};

use crate::{
    generator::{Talk, member, post},
    subject::APP,
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

/// Refreshes with what the last refresh brought.
pub(crate) struct Chain {
    client: &'static str,
    request: Vec<u8>,
}

impl Chain {
    pub(crate) fn starting_with(refresh_token: &str, client: &'static str) -> Self {
        Self { client, request: refresh(refresh_token, client) }
    }
}

impl Talk for Chain {
    fn next(&mut self) -> Option<&[u8]> {
        Some(&self.request)
    }

    fn hear(&mut self, body: &[u8]) {
        self.request = refresh(member(body, "refresh_token"), self.client);
    }
}

fn refresh(refresh_token: &str, client: &str) -> Vec<u8> {
    post(path::TOKEN, None, &Parameters::refresh(refresh_token).add("client_id", client).encode())
}

/// Codes that all connections take from.
pub(crate) struct Codes {
    codes: Vec<String>,
    taken: AtomicUsize,
}

impl Codes {
    pub(crate) fn new(codes: Vec<String>) -> Self {
        Self { codes, taken: AtomicUsize::new(0) }
    }

    /// For one connection.
    pub(crate) fn share(self: &Arc<Self>) -> Exchange {
        Exchange { codes: self.clone(), request: Vec::new() }
    }
}

/// Redeems a code that nobody else redeems, and then another one.
pub(crate) struct Exchange {
    codes: Arc<Codes>,
    request: Vec<u8>,
}

impl Talk for Exchange {
    fn next(&mut self) -> Option<&[u8]> {
        let code = self.codes.codes.get(self.codes.taken.fetch_add(1, Ordering::Relaxed))?;
        self.request = post(path::TOKEN, None, &redemption(code).encode());
        Some(&self.request)
    }
}

/// The form with which the public client redeems a code.
pub(crate) fn redemption(code: &str) -> Parameters {
    Parameters::redeem(code).add("client_id", APP)
}
