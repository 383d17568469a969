//! What the server keeps in memory for each connection that rests, and for each token of its memory store.

use std::fmt;

use gateward::http::path;
use tokio::runtime::Runtime;

use crate::{
    generator::{CONNECTIONS, Connection, exhaust, get, ok},
    program::{Place, Program},
    rows::opaque_request,
    talk::{Few, boxes},
};

/// As many as one address may have, and some less.
const RESTING: usize = 900;
const TOKENS: usize = 200_000;

/// Bytes.
pub(crate) struct Weight {
    started: u64,
    connection: u64,
    token: u64,
}

/// Looks at the memory of the process before and after.
pub(crate) fn measure(load: &Runtime) -> Weight {
    let program = Program::start(&Place::at("memory:"), "").expect("memory needs nothing");
    let document = get(path::METADATA);
    let ask = |times| {
        let talks = (0..CONNECTIONS).map(|_| Few::new(document.clone(), times));
        load.block_on(exhaust(program.address, ok("\"issuer\":"), boxes(talks)));
    };
    // Whatever is only made once is there.
    ask(1000);
    let started = program.resident();
    let connections = load.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..RESTING {
            let mut connection = Connection::open(program.address).await;
            connection.exchange(&document, ok("\"issuer\":")).await;
            connections.push(connection);
        }
        connections
    });
    let resting = program.resident();
    drop(connections);
    let before = program.resident();
    let talks = (0..CONNECTIONS).map(|_| Few::new(opaque_request(), TOKENS / CONNECTIONS));
    load.block_on(exhaust(program.address, ok("\"access_token\":\"gw_at_"), boxes(talks)));
    let after = program.resident();
    let each = |more: u64, less: u64, count: usize| more.saturating_sub(less) / count as u64;
    Weight {
        started,
        connection: each(resting, started, RESTING),
        token: each(after, before, TOKENS / CONNECTIONS * CONNECTIONS),
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "- Memory: {} MiB resident after some requests; {} bytes more for each connection that rests (of {RESTING}), {} for each opaque \
             token in the memory store, with its entry in the audit trail (of {TOKENS}).",
            self.started >> 20,
            self.connection,
            self.token
        )
    }
}
