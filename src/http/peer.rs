//! Whose request is it, when a reverse proxy passes it on?
//!
//! `Forwarded` (RFC 7239) and `X-Forwarded-For` are believed from trusted proxies only, and only as far as they wrote it: read from the
//! right, the first address that is no trusted proxy is the sender. What stands further left, the sender wrote, and may be malformed in
//! a way that is meant to hide what stands right of it; so nothing is parsed from the left, and quotes do not reach across a comma.
//!
//! A proxy that writes one of the two headers lets the other one through as the sender wrote it. Nobody here knows which one it is, so
//! where both are there and tell of different senders, neither is believed: the proxy is the sender.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, Request, header::FORWARDED},
};
use ipnet::IpNet;

/// A set of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressBlocks(Arc<[IpNet]>);

impl AddressBlocks {
    /// Addresses or blocks of addresses.
    pub fn new(blocks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(blocks.into_iter().collect())
    }

    /// Whether an address is among them. An IPv4 address is the same in either notation.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|block| block.contains(&address.to_canonical()))
    }
}

/// The proxies whose word counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(AddressBlocks);

impl TrustedProxies {
    /// Addresses or blocks of addresses.
    pub fn new(blocks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(AddressBlocks::new(blocks))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.contain(address)
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
        if !self.trusts(peer.ip()) {
            return;
        }
        let sender = self.sender(peer.ip(), request.headers());
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(sender, peer.port())));
    }

    fn sender(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let of = |name: &str, read: fn(&str) -> Option<IpAddr>| {
            let mut values =
                headers.get_all(name).iter().rev().map(|value| value.to_str().unwrap_or_default()).peekable();
            values.peek()?;
            Some(self.follow(peer, values.flat_map(|value| value.rsplit(',')).map(read)))
        };
        match (of(FORWARDED.as_str(), forwarded_for), of("x-forwarded-for", parse)) {
            (Some(one), Some(other)) if one != other => peer,
            (Some(sender), _) | (None, Some(sender)) => sender,
            (None, None) => peer,
        }
    }

    /// `hops` from the right.
    fn follow(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut known = peer;
        for hop in hops {
            if !self.trusts(known) {
                break;
            }
            // Something that is no address: the last one that is counts.
            let Some(address) = hop else { break };
            known = address;
        }
        known
    }
}

/// RFC 7239 4: the `for` of one element. An obfuscated identifier and `unknown` are no addresses.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut nodes = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for")).map(|(_, node)| node.trim());
    let node = nodes.next()?;
    let bare = node.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(node);
    // RFC 7239 4: each parameter at most once.
    if nodes.next().is_some() { None } else { parse(bare) }
}

/// An address, which some proxies write with a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(hop, |(address, _)| address);
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn sender_by(peer: &str, fields: &[(&str, &str)]) -> String {
        let trusted = TrustedProxies::new(["10.0.0.0/8", "127.0.0.1/32"].map(|block| block.parse().unwrap()));
        let mut request = Request::new(());
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 49152)));
        for (name, value) in fields {
            request.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        trusted.apply(&mut request);
        request.extensions().get::<ConnectInfo<SocketAddr>>().unwrap().0.ip().to_string()
    }

    fn sender(peer: &str, header: &str) -> String {
        sender_by(peer, &[("x-forwarded-for", header)])
    }

    /// By `Forwarded`, behind one proxy.
    fn forwarded(header: &str) -> String {
        sender_by("127.0.0.1", &[("forwarded", header)])
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(sender("192.0.2.7", "198.51.100.1"), "192.0.2.7");
        assert_eq!(sender_by("192.0.2.7", &[("forwarded", "for=198.51.100.1")]), "192.0.2.7");
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

    #[test]
    fn several_lines_of_a_header_are_one_list() {
        let lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "198.51.100.1, 10.1.1.1")];
        assert_eq!(sender_by("127.0.0.1", &lines), "198.51.100.1");
        let lines = [("forwarded", "for=203.0.113.9"), ("forwarded", "for=198.51.100.1, for=10.1.1.1")];
        assert_eq!(sender_by("127.0.0.1", &lines), "198.51.100.1");
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        for (header, expected) in [
            ("for=198.51.100.1", "198.51.100.1"),
            ("For=\"198.51.100.1:4711\"", "198.51.100.1"),
            ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=\"[2001:db8:cafe::17]\";proto=https", "2001:db8:cafe::17"),
            ("by=203.0.113.43; FOR=198.51.100.1 ;host=for.example", "198.51.100.1"),
            ("for=203.0.113.9, for=198.51.100.1, for=10.1.1.1;by=10.0.0.2", "198.51.100.1"),
        ] {
            assert_eq!(forwarded(header), expected, "{header}");
        }
    }

    #[test]
    fn what_is_no_address_in_forwarded_leaves_the_proxy_as_the_sender() {
        for header in [
            "",
            "for=unknown",
            "for=_hidden",
            "for=\"_SEVKISEK\", by=10.0.0.2",
            "for=198.51.100.1, for=_hidden",
            "proto=https",
            "for",
            "for=198.51.100.1;for=198.51.100.2",
            "for=\"[2001:db8::1\"",
        ] {
            assert_eq!(forwarded(header), "127.0.0.1", "{header}");
        }
        assert_eq!(forwarded("for=_hidden, for=10.1.1.1"), "10.1.1.1");
    }

    #[test]
    fn what_the_sender_wrote_cannot_swallow_what_the_proxy_wrote() {
        for written in ["for=\"203.0.113.9", "for=10.9.9.9;host=\"a", "\\\"", "for=203.0.113.9;"] {
            assert_eq!(forwarded(&format!("{written}, for=198.51.100.1")), "198.51.100.1", "{written}");
        }
    }

    #[test]
    fn a_header_that_the_proxy_did_not_write_is_not_believed_against_the_other() {
        let with = |forwarded: &str, x_forwarded_for: &str| {
            sender_by("127.0.0.1", &[("forwarded", forwarded), ("x-forwarded-for", x_forwarded_for)])
        };
        assert_eq!(with("for=203.0.113.9", "198.51.100.1"), "127.0.0.1");
        assert_eq!(with("for=_hidden", "198.51.100.1"), "127.0.0.1");
        assert_eq!(with("for=198.51.100.1", "unknown"), "127.0.0.1");
        assert_eq!(with("for=203.0.113.9, for=198.51.100.1", "198.51.100.1, 10.1.1.1"), "198.51.100.1");
    }
}
