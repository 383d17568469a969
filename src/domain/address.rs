//! Network addresses as limits count them.

use std::net::IpAddr;

/// What counts as one sender: an IPv4 address, or the /64 of an IPv6 one, which is the smallest block that a household gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressBlock([u8; 8]);

impl AddressBlock {
    /// The block that an address belongs to.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(ip.to_bits()).to_be_bytes()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self([a, b, c, d, e, f, g, h])
            }
        }
    }

    /// For a digest.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> AddressBlock {
        AddressBlock::of(text.parse().unwrap())
    }

    #[test]
    fn a_slash_64_of_ipv6_is_one_sender() {
        assert_eq!(block("2001:db8::1"), block("2001:db8::ffff:1"));
        assert_ne!(block("2001:db8::1"), block("2001:db8:0:1::1"));
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_either_notation() {
        assert_eq!(block("192.0.2.1"), block("::ffff:192.0.2.1"));
        assert_ne!(block("192.0.2.1"), block("192.0.2.2"));
    }
}
