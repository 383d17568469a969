//! How many connections there may be at once, in all and from one sender.
//!
//! One that is too many is closed as soon as it is accepted: whoever waits in the kernel's queue behind an attacker would be served no
//! sooner, and a load balancer learns at once that it should look elsewhere.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    domain::address::AddressBlock,
    http::{peer::AddressBlocks, rejections::Rejection},
};

/// The most connections at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all.
    pub total: usize,
    /// From one address (IPv4) or /64 (IPv6).
    pub per_address: usize,
    /// Whom the second one does not count for: reverse proxies bring the connections of many.
    pub uncounted: AddressBlocks,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: 10_000, per_address: 1_000, uncounted: AddressBlocks::default() }
    }
}

/// The places that there are.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: ConnectionLimits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    /// Never more entries than connections.
    by_block: HashMap<AddressBlock, usize>,
}

/// One connection's place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    block: Option<AddressBlock>,
}

impl Places {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self(Arc::new(Shared { limits, taken: Mutex::default() }))
    }

    /// A place for a connection from `peer`, if there is one.
    pub(super) fn take(&self, peer: IpAddr) -> Result<Place, Rejection> {
        let Shared { limits, .. } = &*self.0;
        let block = (!limits.uncounted.contain(peer)).then(|| AddressBlock::of(peer));
        let mut taken = self.0.taken();
        if taken.total >= limits.total {
            return Err(Rejection::Connections);
        }
        if let Some(block) = block {
            let of_block = taken.by_block.entry(block).or_default();
            if *of_block >= limits.per_address {
                return Err(Rejection::ConnectionsOfAddress);
            }
            *of_block += 1;
        }
        taken.total += 1;
        Ok(Place { shared: self.0.clone(), block })
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics while it is held.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shared.taken();
        taken.total -= 1;
        let Some(block) = self.block else { return };
        if let Some(of_block) = taken.by_block.get_mut(&block) {
            *of_block -= 1;
            if *of_block == 0 {
                taken.by_block.remove(&block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(total: usize, per_address: usize) -> Places {
        let uncounted = AddressBlocks::new(["10.0.0.0/8".parse().unwrap()]);
        Places::new(ConnectionLimits { total, per_address, uncounted })
    }

    fn take(places: &Places, peer: &str) -> Result<Place, Rejection> {
        places.take(peer.parse().unwrap())
    }

    #[test]
    fn an_address_has_its_share_and_others_have_theirs() {
        let places = places(100, 2);
        let held: Vec<_> = (0..2).map(|_| take(&places, "192.0.2.1").unwrap()).collect();
        assert_eq!(take(&places, "192.0.2.1").unwrap_err(), Rejection::ConnectionsOfAddress);
        assert_eq!(take(&places, "::ffff:192.0.2.1").unwrap_err(), Rejection::ConnectionsOfAddress);
        assert!(take(&places, "192.0.2.2").is_ok());
        drop(held);
        assert!(take(&places, "192.0.2.1").is_ok());
    }

    #[test]
    fn a_slash_64_is_one_address() {
        let places = places(100, 2);
        let _held = ["2001:db8::1", "2001:db8::2"].map(|peer| take(&places, peer).unwrap());
        assert_eq!(take(&places, "2001:db8::3").unwrap_err(), Rejection::ConnectionsOfAddress);
        assert!(take(&places, "2001:db8:0:1::3").is_ok());
    }

    #[test]
    fn a_proxy_has_no_share_but_counts_in_all() {
        let places = places(3, 1);
        let _held: Vec<_> = (0..3).map(|_| take(&places, "10.0.0.1").unwrap()).collect();
        assert_eq!(take(&places, "10.0.0.1").unwrap_err(), Rejection::Connections);
        assert_eq!(take(&places, "192.0.2.1").unwrap_err(), Rejection::Connections);
    }

    #[test]
    fn nothing_is_remembered_of_whoever_has_left_or_was_turned_away() {
        let places = places(50, 1);
        let held: Vec<_> = (0..100).filter_map(|n| take(&places, &format!("198.51.100.{n}")).ok()).collect();
        assert_eq!((held.len(), places.0.taken().by_block.len()), (50, 50));
        drop(held);
        assert!(places.0.taken().by_block.is_empty());
        assert_eq!(places.0.taken().total, 0);
    }
}
