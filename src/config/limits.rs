//! `[limits]`, and what clients may get wrong.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Mode, reader::Reader, server::address_blocks};
use crate::domain::policy::ClientLockoutPolicy;

/// Requests a second from one sender; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// From one address, by whoever has not proven to be a client there.
    pub per_address: Option<NonZeroU32>,
    /// From one client at one address.
    pub per_client: Option<NonZeroU32>,
}

/// How often somebody may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Whom no rate counts for.
    pub exempt: Vec<IpNet>,
    pub token: Rates,
    /// Introspection and revocation.
    pub introspection: Rates,
    pub pages_per_address: Option<NonZeroU32>,
    /// Reading and changing registrations, too.
    pub registration_per_address: Option<NonZeroU32>,
    /// Metadata, keys, and paths where nothing is.
    pub public_per_address: Option<NonZeroU32>,
    pub gateway: Rates,
}

/// Nobody but the operator is on this machine.
const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

pub(super) fn read(section: Reader<'_>, mode: Option<Mode>) -> Option<(Limits, ClientLockoutPolicy)> {
    let exempt = address_blocks(section, "exempt").map(|mut exempt| {
        match mode {
            Some(Mode::Development) => exempt.extend(LOOPBACK),
            Some(Mode::Production) | None => {}
        }
        exempt
    });
    let rate = |key: &str| section.integer::<u32>(key, 0..=1_000_000).map(NonZeroU32::new);
    let rates = |per_address: &str, per_client: &str| {
        let (per_address, per_client) = (rate(per_address), rate(per_client));
        Some(Rates { per_address: per_address?, per_client: per_client? })
    };
    let token = rates("token_per_address", "token_per_client");
    let introspection = rates("introspection_per_address", "introspection_per_client");
    let gateway = rates("gateway_per_address", "gateway_per_client");
    let pages_per_address = rate("pages_per_address");
    let registration_per_address = rate("registration_per_address");
    let public_per_address = rate("public_per_address");
    let max_failures = section.integer("client_max_failures", 1..=1_000_000);
    let window = section.duration("client_failure_window", 1, 24 * 3600);
    let limits = Limits {
        exempt: exempt?,
        token: token?,
        introspection: introspection?,
        pages_per_address: pages_per_address?,
        registration_per_address: registration_per_address?,
        public_per_address: public_per_address?,
        gateway: gateway?,
    };
    Some((limits, ClientLockoutPolicy { max_failures: max_failures?, window: window? }))
}
