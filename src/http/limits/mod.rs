//! Who is heard how often, and how many at once.
//!
//! A sender that has proven nothing shares what its address may ask with everybody else there. A client that got what it asked for has
//! an allowance of its own from then on, at that address: a whole company behind one address is not slowed down by a stranger among them,
//! nor is a client by a stranger elsewhere who uses its name. Every instance counts for itself, by the time that passes and not by the
//! clock on the wall, in memory of a fixed size.
//!
//! What clients guess wrong is counted in the store, for all instances ([`crate::service::lockout`]); whoever is locked out is
//! remembered here, so that turning them away costs the store nothing.

mod class;
mod in_flight;
mod memory;
mod rate;
mod registration;

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

pub use self::class::Rates;
pub(super) use self::{
    class::Class,
    in_flight::{Flight, InFlight},
    registration::RegistrationLimit,
};
use self::{
    memory::{LockedOut, Proven},
    rate::{Budget, Rate},
};
use super::peer::AddressBlocks;
use crate::{
    domain::{address::AddressBlock, time::Timestamp},
    port::clock::Clock,
};

/// What the operator decides about how often somebody may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitOptions {
    /// Whom the rates do not count for.
    pub exempt: AddressBlocks,
    pub token: Rates,
    /// Introspection and revocation.
    pub token_query: Rates,
    /// Pages for humans, by address.
    pub pages: Option<NonZeroU32>,
    /// Registration and its management, by address.
    pub registration: Option<NonZeroU32>,
    /// Metadata, keys, and paths where nothing is, by address.
    pub public: Option<NonZeroU32>,
    /// The MCP servers behind the gateway.
    pub gateway: Rates,
}

/// A request that comes too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooEarly {
    /// Whole seconds, at least one.
    pub retry_after: u32,
}

impl TooEarly {
    fn by(wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000);
        Self { retry_after: u32::try_from(seconds).unwrap_or(u32::MAX).max(1) }
    }

    /// Until `until`.
    pub(super) fn until(until: Timestamp, now: Timestamp) -> Self {
        Self::by(until.since(now))
    }
}

/// Whose allowance counts: an address, and a client there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sender<'a> {
    pub(super) block: AddressBlock,
    /// What it says it is, or the end of its token: nothing that is believed before it was proven.
    pub(super) client: &'a [u8],
}

/// The rates of a class that has clients.
struct Tiers {
    per_address: Option<Rate>,
    per_client: Option<Rate>,
}

impl Tiers {
    fn new(rates: Rates, clock: &Arc<dyn Clock>) -> Self {
        let rate = |per_second: Option<NonZeroU32>| per_second.map(|per_second| Rate::new(per_second, clock));
        Self { per_address: rate(rates.per_address), per_client: rate(rates.per_client) }
    }
}

/// How many failures of clients an instance writes down, in a second: invented addresses are not to fill the store.
const FAILURES_WRITTEN: NonZeroU32 = match NonZeroU32::new(50) {
    Some(count) => count,
    None => NonZeroU32::MIN,
};

/// What the door counts.
pub(super) struct Limits {
    exempt: AddressBlocks,
    token: Tiers,
    token_query: Tiers,
    gateway: Tiers,
    pages: Option<Rate>,
    registration: Option<Rate>,
    public: Option<Rate>,
    failures: Budget,
    proven: Proven,
    locked_out: LockedOut,
}

impl Limits {
    pub(super) fn new(options: &LimitOptions, clock: &Arc<dyn Clock>) -> Self {
        let tiers = |rates| Tiers::new(rates, clock);
        let rate = |per_second: Option<NonZeroU32>| per_second.map(|per_second| Rate::new(per_second, clock));
        Self {
            exempt: options.exempt.clone(),
            token: tiers(options.token),
            token_query: tiers(options.token_query),
            gateway: tiers(options.gateway),
            pages: rate(options.pages),
            registration: rate(options.registration),
            public: rate(options.public),
            failures: Budget::new(FAILURES_WRITTEN, clock),
            proven: Proven::new(),
            locked_out: LockedOut::new(),
        }
    }

    /// Counts a request that is known by its path and address alone.
    pub(super) fn admit(&self, class: Class, address: IpAddr) -> Result<(), TooEarly> {
        let rate = match class {
            Class::Pages => &self.pages,
            Class::Registration => &self.registration,
            Class::Public => &self.public,
            // Judged when it is known which client asks.
            Class::Token | Class::TokenQuery | Class::Health => return Ok(()),
        };
        self.check(rate.as_ref(), AddressBlock::of(address), address)
    }

    /// Counts a request of somebody who says which client it is.
    pub(super) fn admit_client(&self, class: Class, sender: Sender<'_>, address: IpAddr) -> Result<(), TooEarly> {
        let tiers = match class {
            Class::Token => &self.token,
            Class::TokenQuery => &self.token_query,
            Class::Pages | Class::Registration | Class::Public | Class::Health => return Ok(()),
        };
        self.admit_to(tiers, sender, address)
    }

    /// Counts a request that is to cross the gateway.
    pub(super) fn admit_to_gateway(&self, sender: Sender<'_>, address: IpAddr) -> Result<(), TooEarly> {
        self.admit_to(&self.gateway, sender, address)
    }

    fn admit_to(&self, tiers: &Tiers, sender: Sender<'_>, address: IpAddr) -> Result<(), TooEarly> {
        if self.proven.knows(sender) {
            self.check(tiers.per_client.as_ref(), sender, address)
        } else {
            self.check(tiers.per_address.as_ref(), sender.block, address)
        }
    }

    fn check(&self, rate: Option<&Rate>, key: impl std::hash::Hash, address: IpAddr) -> Result<(), TooEarly> {
        match rate {
            Some(rate) if !self.exempt.contain(address) => rate.check(key).map_err(TooEarly::by),
            Some(_) | None => Ok(()),
        }
    }

    /// Notes that a client got what it asked for.
    pub(super) fn prove(&self, sender: Sender<'_>) {
        self.proven.remember(sender);
    }

    /// Until when a client is locked out at an address.
    pub(super) fn locked_out(&self, sender: Sender<'_>, now: Timestamp) -> Option<Timestamp> {
        self.locked_out.until(sender, now)
    }

    /// Notes that a client is locked out at an address.
    pub(super) fn lock_out(&self, sender: Sender<'_>, until: Timestamp) {
        self.locked_out.lock(sender, until);
    }

    /// Whether one more failure may be written into the store.
    pub(super) fn may_write_failure(&self) -> bool {
        self.failures.spend()
    }
}
