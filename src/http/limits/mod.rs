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

use std::{
    mem,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

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

/// A rate that can be set anew.
#[derive(Clone, Default)]
struct Allowance {
    per_second: Option<NonZeroU32>,
    /// What each sender has used of it.
    rate: Option<Arc<Rate>>,
}

impl Allowance {
    /// With another rate everybody begins anew; with the same one nobody does.
    fn set(&self, per_second: Option<NonZeroU32>, clock: &Arc<dyn Clock>) -> Self {
        if self.per_second == per_second {
            return self.clone();
        }
        Self { per_second, rate: per_second.map(|per_second| Arc::new(Rate::new(per_second, clock))) }
    }
}

/// The rates of a class that has clients.
#[derive(Default)]
struct Tiers {
    per_address: Allowance,
    per_client: Allowance,
}

impl Tiers {
    fn set(&self, rates: Rates, clock: &Arc<dyn Clock>) -> Self {
        Self {
            per_address: self.per_address.set(rates.per_address, clock),
            per_client: self.per_client.set(rates.per_client, clock),
        }
    }
}

/// What the operator decides.
#[derive(Default)]
struct Rules {
    exempt: AddressBlocks,
    token: Tiers,
    token_query: Tiers,
    gateway: Tiers,
    pages: Allowance,
    registration: Allowance,
    public: Allowance,
}

impl Rules {
    fn set(&self, options: &LimitOptions, clock: &Arc<dyn Clock>) -> Self {
        Self {
            exempt: options.exempt.clone(),
            token: self.token.set(options.token, clock),
            token_query: self.token_query.set(options.token_query, clock),
            gateway: self.gateway.set(options.gateway, clock),
            pages: self.pages.set(options.pages, clock),
            registration: self.registration.set(options.registration, clock),
            public: self.public.set(options.public, clock),
        }
    }

    fn admit_to(&self, tiers: &Tiers, proven: bool, sender: Sender<'_>, address: IpAddr) -> Result<(), TooEarly> {
        if proven {
            self.check(&tiers.per_client, sender, address)
        } else {
            self.check(&tiers.per_address, sender.block, address)
        }
    }

    fn check(&self, allowance: &Allowance, key: impl std::hash::Hash, address: IpAddr) -> Result<(), TooEarly> {
        match &allowance.rate {
            Some(rate) if !self.exempt.contain(address) => rate.check(key).map_err(TooEarly::by),
            Some(_) | None => Ok(()),
        }
    }
}

/// How many failures of clients an instance writes down, in a second: invented addresses are not to fill the store.
const FAILURES_WRITTEN: NonZeroU32 = match NonZeroU32::new(50) {
    Some(count) => count,
    None => NonZeroU32::MIN,
};

/// What the door counts.
pub(super) struct Limits {
    clock: Arc<dyn Clock>,
    /// Replaced as a whole, so that each request is judged by one set of them.
    rules: RwLock<Arc<Rules>>,
    failures: Budget,
    proven: Proven,
    locked_out: LockedOut,
}

impl Limits {
    pub(super) fn new(options: &LimitOptions, clock: &Arc<dyn Clock>) -> Self {
        Self {
            clock: clock.clone(),
            rules: RwLock::new(Arc::new(Rules::default().set(options, clock))),
            failures: Budget::new(FAILURES_WRITTEN, clock),
            proven: Proven::new(),
            locked_out: LockedOut::new(),
        }
    }

    /// From now on. Whoever has proven to be a client, or is locked out, stays so. For one caller at a time.
    pub(super) fn set(&self, options: &LimitOptions) {
        let next = Arc::new(self.rules().set(options, &self.clock));
        // What is not needed any more goes after the lock: there are requests that wait for it.
        let before = mem::replace(&mut *self.rules.write().unwrap_or_else(PoisonError::into_inner), next);
        drop(before);
    }

    fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a request that is known by its path and address alone.
    pub(super) fn admit(&self, class: Class, address: IpAddr) -> Result<(), TooEarly> {
        let rules = self.rules();
        let allowance = match class {
            Class::Pages => &rules.pages,
            Class::Registration => &rules.registration,
            Class::Public => &rules.public,
            // Judged when it is known which client asks.
            Class::Token | Class::TokenQuery | Class::Health => return Ok(()),
        };
        rules.check(allowance, AddressBlock::of(address), address)
    }

    /// Counts a request of somebody who says which client it is.
    pub(super) fn admit_client(&self, class: Class, sender: Sender<'_>, address: IpAddr) -> Result<(), TooEarly> {
        let rules = self.rules();
        let tiers = match class {
            Class::Token => &rules.token,
            Class::TokenQuery => &rules.token_query,
            Class::Pages | Class::Registration | Class::Public | Class::Health => return Ok(()),
        };
        rules.admit_to(tiers, self.proven.knows(sender), sender, address)
    }

    /// Counts a request that is to cross the gateway.
    pub(super) fn admit_to_gateway(&self, sender: Sender<'_>, address: IpAddr) -> Result<(), TooEarly> {
        let rules = self.rules();
        rules.admit_to(&rules.gateway, self.proven.knows(sender), sender, address)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing passes.
    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH
        }

        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
    }

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

    fn options(pages: u32, public: u32) -> LimitOptions {
        LimitOptions { pages: NonZeroU32::new(pages), public: NonZeroU32::new(public), ..LimitOptions::default() }
    }

    fn limits(options: &LimitOptions) -> Limits {
        let clock: Arc<dyn Clock> = Arc::new(Stopped);
        Limits::new(options, &clock)
    }

    /// How many requests are granted until one is not.
    fn granted(limits: &Limits, class: Class) -> usize {
        (0..1_000).take_while(|_| limits.admit(class, ADDRESS).is_ok()).count()
    }

    #[test]
    fn a_rate_that_is_set_anew_counts_anew_and_one_that_stays_goes_on() {
        let limits = limits(&options(1, 1));
        let burst = granted(&limits, Class::Pages);
        assert_eq!(granted(&limits, Class::Public), burst);
        limits.set(&options(1, 2));
        assert_eq!(granted(&limits, Class::Pages), 0);
        assert_eq!(granted(&limits, Class::Public), 2 * burst);
        limits.set(&options(0, 2));
        assert_eq!(granted(&limits, Class::Pages), 1_000, "no limit");
    }

    #[test]
    fn who_has_proven_themselves_or_is_locked_out_stays_so_when_rates_are_set_anew() {
        let limits = limits(&LimitOptions::default());
        let (good, bad) = ("good".as_bytes(), "bad".as_bytes());
        let sender = |client| Sender { block: AddressBlock::of(ADDRESS), client };
        let until = Timestamp::from_unix(60);
        limits.prove(sender(good));
        limits.lock_out(sender(bad), until);
        let token = Rates { per_address: NonZeroU32::new(1), per_client: None };
        limits.set(&LimitOptions { token, ..LimitOptions::default() });
        let all = |client| (0..100).all(|_| limits.admit_client(Class::Token, sender(client), ADDRESS).is_ok());
        assert!(all(good));
        assert!(!all(b"stranger"));
        assert_eq!(limits.locked_out(sender(bad), Timestamp::EPOCH), Some(until));
    }
}
