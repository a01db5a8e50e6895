//! Where a request came from, for budgets of those who have proved nothing yet.

use std::net::{IpAddr, Ipv6Addr};

/// The network that a request came from, as the gateway saw it. Headers are not asked: anybody can write
/// them. Whoever starts the router sets it as an extension of each request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source(String);

impl Source {
    /// The source of a request from `address`. An IPv6 customer has a whole /64, so that counts as one.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).to_string(),
        })
    }

    /// The source as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Source {
    /// Nobody said: all such requests count as one source.
    fn default() -> Self {
        Self("unknown".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_is_one_source() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
