//! The server dies in the middle of its work, or its clients do. What clients were told stays true.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod support;

mod chain;
mod engines;
mod fleet;
mod hang_up;
mod kill;
mod outage;
mod shared;

use gateward::testing::browser::ScriptedBrowser;
use serde_json::json;

use crate::{
    chain::Chain,
    support::{
        Options, Server,
        oauth::{CALLBACK, Identity, Wire},
    },
};

/// What every story here needs.
struct Stage {
    server: Server,
    wire: Wire,
    client: Identity,
    resource_server: Identity,
}

impl Stage {
    /// Codes and the window outlast the story, so that nothing depends on how fast this machine is.
    fn options() -> Options {
        Options::new()
            .set("GATEWARD_LIFETIMES__CODE", "10m")
            .set("GATEWARD_LIFETIMES__REFRESH_REUSE_WINDOW", "10m")
            .set("GATEWARD_LOG__FILTER", "warn")
    }

    async fn set() -> Self {
        let server = Server::start(Self::options());
        let wire = Wire::to(&server);
        // Confidential, so that it may introspect its own refresh tokens.
        let metadata = json!({"redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"]});
        let registered = wire.register_with(&metadata).await.json(201);
        let text = |member: &str| registered[member].as_str().expect("a text").to_owned();
        let client = Identity { id: text("client_id"), secret: Some(text("client_secret")) };
        Self { resource_server: server.resource_server(), server, wire, client }
    }

    /// Grants whose codes were not redeemed yet.
    async fn chains(&self, count: usize) -> Vec<Chain> {
        let mut browser = ScriptedBrowser::new().unwrap();
        let mut chains = Vec::new();
        for _ in 0..count {
            let (code, pkce) = self.wire.code(&mut browser, &self.client, self.server.password()).await;
            chains.push(Chain::new(code, pkce));
        }
        chains
    }

    /// Compares what the clients saw with what the server knows.
    async fn audit(&self, chains: Vec<Chain>) {
        let grants = self.server.run_json(&["grant", "list", "--all", "--json"]);
        assert_eq!(grants.as_array().map(Vec::len), Some(chains.len()), "one grant for each time that a human agreed");
        let mut audits = tokio::task::JoinSet::new();
        for share in shares(chains, 8) {
            let (wire, client, resource_server) =
                (self.wire.clone(), self.client.clone(), self.resource_server.clone());
            audits.spawn(async move {
                for chain in share {
                    chain.audit(&wire, &client, &resource_server).await;
                }
            });
        }
        while let Some(audited) = audits.join_next().await {
            if let Err(error) = audited {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        assert_eq!(self.wire.get("/readyz").await.status, 200);
    }
}

/// Deals things out to so many hands.
fn shares<T>(things: Vec<T>, hands: usize) -> Vec<Vec<T>> {
    let mut shares: Vec<Vec<T>> = (0..hands).map(|_| Vec::new()).collect();
    for (at, thing) in things.into_iter().enumerate() {
        shares[at % hands].push(thing);
    }
    shares
}

/// Chance that is the same in every run (SplitMix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// Less than `below`.
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}
