//! `gateward purge`.

use serde::Serialize;

use super::{Listing, compose::Assembly, failure::Failure, output};

#[derive(Serialize)]
struct Forgotten {
    tokens: u64,
    accounts: u64,
    clients: u64,
    tombstones: u64,
    audit: u64,
}

pub(super) async fn run(listing: Listing, assembly: &Assembly) -> Result<(), Failure> {
    let purged = assembly.authority.purge(assembly.now()).await?;
    let forgotten = Forgotten {
        tokens: purged.tokens,
        accounts: purged.accounts,
        clients: purged.clients,
        tombstones: purged.tombstones,
        audit: purged.audit,
    };
    output::one(&forgotten, listing.json)
}
