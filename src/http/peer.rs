//! Whose request is it, when a reverse proxy passes it on?
//!
//! `X-Forwarded-For` is believed from trusted proxies only, and only as far as they wrote it: read from the right, the first
//! address that is no trusted proxy is the sender. What stands further left, the sender wrote.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{extract::ConnectInfo, http::Request};
use ipnet::IpNet;

/// The proxies whose word counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Addresses or blocks of addresses.
    pub fn new(blocks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(blocks.into_iter().collect())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|block| block.contains(&address.to_canonical()))
    }

    /// Whether a request comes from one of them.
    pub(super) fn passes_on<B>(&self, request: &Request<B>) -> bool {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        peer.is_some_and(|ConnectInfo(peer)| self.trusts(peer.ip()))
    }

    /// Puts the sender's address where the peer's is.
    pub fn apply<B>(&self, request: &mut Request<B>) {
        let Some(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer) else {
            return;
        };
        let values = request.headers().get_all("x-forwarded-for").iter().rev().map(|v| v.to_str().unwrap_or_default());
        let hops = values.flat_map(|value| value.rsplit(','));
        let sender = self.sender(peer.ip(), hops);
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(sender, peer.port())));
    }

    /// `hops` from the right.
    fn sender<'a>(&self, peer: IpAddr, hops: impl Iterator<Item = &'a str>) -> IpAddr {
        let mut known = peer;
        for hop in hops {
            if !self.trusts(known) {
                break;
            }
            // Something that is no address: the last one that is counts.
            let Some(address) = parse(hop.trim()) else { break };
            known = address;
        }
        known
    }
}

/// An address, which some proxies write with a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(hop, |(address, _)| address);
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(peer: &str, header: &str) -> String {
        let trusted = TrustedProxies::new(["10.0.0.0/8", "127.0.0.1/32"].map(|block| block.parse().unwrap()));
        trusted.sender(peer.parse().unwrap(), header.rsplit(',')).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(sender("192.0.2.7", "198.51.100.1"), "192.0.2.7");
    }

    #[test]
    fn the_first_address_from_the_right_that_is_no_proxy_is_the_sender() {
        assert_eq!(sender("127.0.0.1", "203.0.113.9, 198.51.100.1, 10.1.1.1"), "198.51.100.1");
    }

    #[test]
    fn what_the_sender_wrote_itself_does_not_count() {
        assert_eq!(sender("127.0.0.1", "10.9.9.9, 198.51.100.1"), "198.51.100.1");
    }

    #[test]
    fn without_a_usable_header_the_proxy_is_the_sender() {
        for header in ["", "unknown", "198.51.100.1, _hidden"] {
            assert_eq!(sender("127.0.0.1", header), "127.0.0.1");
        }
    }

    #[test]
    fn ports_and_brackets_are_read() {
        assert_eq!(sender("127.0.0.1", "198.51.100.1:4711"), "198.51.100.1");
        assert_eq!(sender("127.0.0.1", "[2001:db8::1]:443"), "2001:db8::1");
        assert_eq!(sender("::ffff:127.0.0.1", "2001:db8::1"), "2001:db8::1");
    }
}
