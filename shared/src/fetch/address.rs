//! Which addresses are the public internet's (FET-10 to FET-12; SECURITY 2).
//!
//! Written by hand from the IANA IPv4 and IPv6 Special-Purpose Address Registries: `ssrf-guard`, the best of
//! the crates that were measured, lets most of `2001::/23` and `100:0:0:1::/64` pass, and the standard library has
//! no stable answer. Entries that the registries call globally reachable are refused too: no metadata
//! document lives there (RFC 6890 lists them all the same).
//!
//! IPv6 turns the question around: only `2000::/3`, the space IANA hands out, is public, and the
//! special-purpose blocks inside it are not. Every form that embeds an IPv4 address in another prefix
//! (mapped, compatible, translated, NAT64) is thereby refused without unpacking anything.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses that no stranger's document may be fetched from.
struct Block<A> {
    first: A,
    prefix: u32,
    what: &'static str,
}

const fn v4(first: [u8; 4], prefix: u32, what: &'static str) -> Block<Ipv4Addr> {
    let [a, b, c, d] = first;
    Block { first: Ipv4Addr::new(a, b, c, d), prefix, what }
}

const fn v6(first: [u16; 3], prefix: u32, what: &'static str) -> Block<Ipv6Addr> {
    let [a, b, c] = first;
    Block { first: Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix, what }
}

const IPV4: [Block<Ipv4Addr>; 19] = [
    v4([0, 0, 0, 0], 8, "this network (RFC 791)"),
    v4([10, 0, 0, 0], 8, "private use (RFC 1918)"),
    v4([100, 64, 0, 0], 10, "shared address space (RFC 6598)"),
    v4([127, 0, 0, 0], 8, "loopback (RFC 1122)"),
    // Instance metadata, container credentials, and the VPC's resolver and clock live here.
    v4([169, 254, 0, 0], 16, "link local (RFC 3927)"),
    v4([172, 16, 0, 0], 12, "private use (RFC 1918)"),
    v4([192, 0, 0, 0], 24, "IETF protocol assignments (RFC 6890)"),
    v4([192, 0, 2, 0], 24, "documentation (RFC 5737)"),
    v4([192, 31, 196, 0], 24, "AS112 (RFC 7535)"),
    v4([192, 52, 193, 0], 24, "AMT (RFC 7450)"),
    v4([192, 88, 99, 0], 24, "6to4 relay anycast (RFC 7526)"),
    v4([192, 168, 0, 0], 16, "private use (RFC 1918)"),
    v4([192, 175, 48, 0], 24, "AS112 delegation (RFC 7534)"),
    v4([198, 18, 0, 0], 15, "benchmarking (RFC 2544)"),
    v4([198, 51, 100, 0], 24, "documentation (RFC 5737)"),
    v4([203, 0, 113, 0], 24, "documentation (RFC 5737)"),
    v4([224, 0, 0, 0], 4, "multicast (RFC 5771)"),
    v4([240, 0, 0, 0], 4, "reserved and limited broadcast (RFC 1112, RFC 8190)"),
    // A public address by the registries, a host agent inside every Azure machine's network.
    v4([168, 63, 129, 16], 32, "Azure host agent"),
];

/// Special-purpose blocks inside `2000::/3`.
const IPV6: [Block<Ipv6Addr>; 5] = [
    // Teredo, benchmarking, ORCHID, AMT, AS112, and drone ids are inside.
    v6([0x2001, 0, 0], 23, "IETF protocol assignments (RFC 2928)"),
    v6([0x2001, 0xdb8, 0], 32, "documentation (RFC 3849)"),
    v6([0x2002, 0, 0], 16, "6to4 (RFC 3056)"),
    v6([0x2620, 0x4f, 0x8000], 48, "AS112 delegation (RFC 7534)"),
    v6([0x3fff, 0, 0], 20, "documentation (RFC 9637)"),
];

const NOT_GLOBAL_UNICAST: &str = "not global unicast (RFC 4291)";
const ISATAP: &str = "ISATAP (RFC 5214)";

/// The one block IANA assigns global unicast addresses from.
const GLOBAL_UNICAST: Block<Ipv6Addr> = v6([0x2000, 0, 0], 3, "global unicast (RFC 4291)");

impl Block<Ipv4Addr> {
    fn holds(&self, address: Ipv4Addr) -> bool {
        let differing = self.first.to_bits() ^ address.to_bits();
        differing.leading_zeros() >= self.prefix
    }
}

impl Block<Ipv6Addr> {
    fn holds(&self, address: Ipv6Addr) -> bool {
        let differing = self.first.to_bits() ^ address.to_bits();
        differing.leading_zeros() >= self.prefix
    }
}

/// Why an address is not public: the registry's name for its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("special-use address: {0}")]
pub struct SpecialUse(&'static str);

impl SpecialUse {
    /// The registry's name for the block.
    pub fn block(self) -> &'static str {
        self.0
    }

    /// The block named `name`, if it is one of ours.
    pub(super) fn of_block(name: &str) -> Option<Self> {
        let blocks = IPV4.iter().map(|block| block.what).chain(IPV6.iter().map(|block| block.what));
        blocks.chain([NOT_GLOBAL_UNICAST, ISATAP]).find(|what| *what == name).map(Self)
    }
}

/// An address on the public internet: proof that it was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicAddress(IpAddr);

impl PublicAddress {
    /// Checks one address.
    ///
    /// # Errors
    /// [`SpecialUse`] for everything that is not an ordinary public unicast address.
    pub fn check(address: IpAddr) -> Result<Self, SpecialUse> {
        match address {
            IpAddr::V4(address) => check_v4(address)?,
            IpAddr::V6(address) => check_v6(address)?,
        }
        Ok(Self(address))
    }

    /// The address.
    pub fn get(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for PublicAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn check_v4(address: Ipv4Addr) -> Result<(), SpecialUse> {
    IPV4.iter().find(|block| block.holds(address)).map_or(Ok(()), |block| Err(SpecialUse(block.what)))
}

fn check_v6(address: Ipv6Addr) -> Result<(), SpecialUse> {
    if !GLOBAL_UNICAST.holds(address) {
        return Err(SpecialUse(NOT_GLOBAL_UNICAST));
    }
    if let Some(block) = IPV6.iter().find(|block| block.holds(address)) {
        return Err(SpecialUse(block.what));
    }
    // ISATAP hides an IPv4 address behind this interface identifier in any prefix (RFC 5214 §6.1).
    let [_, _, _, _, high, low, _, _] = address.segments();
    if matches!(high, 0 | 0x200) && low == 0x5efe {
        return Err(SpecialUse(ISATAP));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First, last, and neighbouring addresses of every block of the registries, every transition form, the
    /// clouds' own addresses, and the addresses that other filters let through.
    const BATTERY: &str = include_str!("addresses.tsv");

    fn rows() -> impl Iterator<Item = (IpAddr, &'static str, &'static str)> {
        let lines = BATTERY.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| {
            let columns: Vec<_> = line.split('\t').collect();
            let [address, expected, why] = columns[..] else { panic!("three columns: {line}") };
            (address.parse().unwrap(), expected, why)
        })
    }

    /// FET-10, FET-12: our column of the battery.
    #[test]
    fn only_public_addresses_pass_the_battery() {
        let mut wrong = Vec::new();
        for (address, expected, why) in rows() {
            let answer = if PublicAddress::check(address).is_ok() { "public" } else { "special" };
            if answer != expected {
                wrong.push(format!("{address} ({why}): {answer}, expected {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// The battery itself: large enough, of both kinds, without a row that contradicts another.
    #[test]
    fn the_battery_is_sound() {
        let mut seen = std::collections::HashMap::new();
        for (address, expected, why) in rows() {
            assert!(matches!(expected, "public" | "special"), "{address}");
            assert!(!why.is_empty(), "{address}");
            assert_eq!(*seen.entry(address).or_insert(expected), expected, "{address}");
        }
        let public = seen.values().filter(|expected| **expected == "public").count();
        assert!(seen.len() >= 200 && public >= 40, "{} rows, {public} public", seen.len());
    }

    /// Every block of the table starts where its prefix says: a slip there would open a neighbour.
    #[test]
    fn blocks_start_on_their_own_boundary() {
        for block in &IPV4 {
            let host_bits = u32::MAX.checked_shr(block.prefix).unwrap_or(0);
            assert_eq!(block.first.to_bits() & host_bits, 0, "{}", block.first);
        }
        for block in IPV6.iter().chain([&GLOBAL_UNICAST]) {
            assert_eq!(block.first.to_bits() & (u128::MAX >> block.prefix), 0, "{}", block.first);
        }
    }

    #[test]
    fn a_refusal_names_the_block() {
        let refusal = PublicAddress::check(IpAddr::from([169, 254, 169, 254])).unwrap_err();
        assert_eq!(refusal.to_string(), "special-use address: link local (RFC 3927)");
        let checked = PublicAddress::check(IpAddr::from([1, 1, 1, 1])).unwrap();
        assert_eq!((checked.get(), checked.to_string()), (IpAddr::from([1, 1, 1, 1]), "1.1.1.1".into()));
    }
}
