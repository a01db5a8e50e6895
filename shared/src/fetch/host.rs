//! Host names we are willing to look up, and the development names that stand outside the rules.

use std::net::IpAddr;

/// Longest host name (RFC 1035 §2.3.4, without the root's dot).
pub const HOST_MAX: usize = 253;

/// Longest label of a host name (RFC 1035 §2.3.4).
pub const LABEL_MAX: usize = 63;

/// Names that never belong to a stranger on the public internet: RFC 6761, RFC 6762, RFC 7686, RFC 8375,
/// RFC 9476, and `.internal`, which ICANN reserved for private use. Reverse zones are part of `.arpa`.
const SPECIAL_USE_SUFFIXES: [&str; 8] =
    ["localhost", "local", "internal", "test", "invalid", "onion", "alt", "arpa"];

/// Where development names may live (RFC 2606, RFC 6761): nobody can own a real host there.
const DEVELOPMENT_SUFFIXES: [&str; 4] = ["test", "example", "invalid", "localhost"];

/// Why a host is not one we would look up (URL-13, SECURITY 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Empty, too long, or with a label outside letters, digits, and hyphens.
    #[error("the host is not a DNS name")]
    NotAName,
    /// Upper-case letters: legal, but the same host has one spelling here.
    #[error("the host is not in lower case")]
    UpperCase,
    /// An IPv4 or IPv6 address in any of the shapes a URL parser understands.
    #[error("the host is an address literal")]
    AddressLiteral,
    /// A name without a dot resolves inside somebody's network only.
    #[error("the host has a single label")]
    SingleLabel,
    /// A trailing dot is another spelling of the same host.
    #[error("the host ends in a dot")]
    TrailingDot,
    /// A special-use name such as `.local` or `.internal`.
    #[error("the host is a special-use name")]
    SpecialUse,
}

/// Checks that `host` is a lower-case DNS name of at least two labels in A-label form.
///
/// Special-use names are accepted here; see [`check_public_name`].
///
/// # Errors
/// The first rule that `host` breaks.
pub fn check_name(host: &str) -> Result<(), HostError> {
    if host.starts_with('[') {
        return Err(HostError::AddressLiteral);
    }
    let relative = host.strip_suffix('.').unwrap_or(host);
    if relative.is_empty() || relative.len() > HOST_MAX {
        return Err(HostError::NotAName);
    }
    let label_is_sound = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !relative.split('.').all(label_is_sound) {
        return Err(HostError::NotAName);
    }
    let last_label = relative.rsplit('.').next().unwrap_or_default();
    if is_number(last_label) {
        return Err(HostError::AddressLiteral);
    }
    if host.ends_with('.') {
        return Err(HostError::TrailingDot);
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(HostError::UpperCase);
    }
    if !host.contains('.') {
        return Err(if is_special_use(host) { HostError::SpecialUse } else { HostError::SingleLabel });
    }
    Ok(())
}

/// Checks that `host` is a DNS name that a stranger can own.
///
/// # Errors
/// The first rule that `host` breaks.
pub fn check_public_name(host: &str) -> Result<(), HostError> {
    check_name(host)?;
    if is_special_use(host) { Err(HostError::SpecialUse) } else { Ok(()) }
}

/// Whether a URL parser would read the last label as (part of) an IPv4 address: decimal, octal, or hexadecimal.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn is_special_use(host: &str) -> bool {
    SPECIAL_USE_SUFFIXES.iter().any(|suffix| is_under(host, suffix))
}

fn is_under(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Why a development name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DevelopmentHostError {
    /// Not a lower-case DNS name.
    #[error("a development host must be a DNS name: {0}")]
    Host(#[from] HostError),
    /// A name that somebody on the internet could own.
    #[error("a development host must lie under .test, .example, .invalid, or .localhost")]
    NotReserved,
    /// A suffix alone: not a name under it.
    #[error("a development host must be a name below .test, .example, .invalid, or .localhost")]
    Bare,
    /// Port 0 cannot be connected to.
    #[error("a development host needs a port")]
    Port,
    /// FET-11: the exception is for this machine's own loopback interface.
    #[error("a development host must point to a loopback address")]
    NotLoopback,
}

/// A name on this machine's loopback interface that may be fetched although it is not public (FET-11).
///
/// It exists only where the program was told so on its command line, and allows exactly this host, port,
/// and address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevelopmentHost {
    host: String,
    port: u16,
    address: IpAddr,
}

impl DevelopmentHost {
    /// Builds an entry.
    ///
    /// # Errors
    /// [`DevelopmentHostError`] unless `host` is a reserved name and `address` is loopback.
    pub fn new(host: &str, port: u16, address: IpAddr) -> Result<Self, DevelopmentHostError> {
        // `localhost` is what every other program on this machine is called too.
        if DEVELOPMENT_SUFFIXES.contains(&host) {
            return Err(DevelopmentHostError::Bare);
        }
        match check_name(host) {
            Ok(()) | Err(HostError::SpecialUse) => {}
            Err(error) => return Err(error.into()),
        }
        if !DEVELOPMENT_SUFFIXES.iter().any(|suffix| is_under(host, suffix)) {
            return Err(DevelopmentHostError::NotReserved);
        }
        if port == 0 {
            return Err(DevelopmentHostError::Port);
        }
        if !address.is_loopback() {
            return Err(DevelopmentHostError::NotLoopback);
        }
        Ok(Self { host: host.to_owned(), port, address })
    }

    /// Whether this entry is for exactly `host` and `port`.
    pub fn is(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port == port
    }

    /// The name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The loopback address behind the name.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// URL-13: what may be looked up, and what is refused before the resolver hears of it.
    #[test]
    fn only_names_that_a_stranger_can_own_are_looked_up() {
        let cases = [
            ("app.example.com", Ok(())),
            ("a.example", Ok(())),
            ("xn--bcher-kva.example", Ok(())),
            ("1.example", Ok(())),
            ("localhost", Err(HostError::SpecialUse)),
            ("intranet", Err(HostError::SingleLabel)),
            ("app.localhost", Err(HostError::SpecialUse)),
            ("printer.local", Err(HostError::SpecialUse)),
            ("metadata.google.internal", Err(HostError::SpecialUse)),
            ("c.test", Err(HostError::SpecialUse)),
            ("c.invalid", Err(HostError::SpecialUse)),
            ("c.onion", Err(HostError::SpecialUse)),
            ("c.alt", Err(HostError::SpecialUse)),
            ("router.home.arpa", Err(HostError::SpecialUse)),
            ("1.0.0.127.in-addr.arpa", Err(HostError::SpecialUse)),
            ("notlocal", Err(HostError::SingleLabel)),
            ("app.notlocal", Ok(())),
            ("localhost.", Err(HostError::TrailingDot)),
            ("app.example.com.", Err(HostError::TrailingDot)),
            ("App.example.com", Err(HostError::UpperCase)),
            ("127.0.0.1", Err(HostError::AddressLiteral)),
            ("127.1", Err(HostError::AddressLiteral)),
            ("2130706433", Err(HostError::AddressLiteral)),
            ("0x7f.1", Err(HostError::AddressLiteral)),
            ("0x7f000001", Err(HostError::AddressLiteral)),
            ("0X7F", Err(HostError::AddressLiteral)),
            ("017700000001", Err(HostError::AddressLiteral)),
            ("app.0x", Err(HostError::AddressLiteral)),
            ("127.0.0.1.", Err(HostError::AddressLiteral)),
            ("[::1]", Err(HostError::AddressLiteral)),
            ("", Err(HostError::NotAName)),
            (".", Err(HostError::NotAName)),
            ("a..example", Err(HostError::NotAName)),
            (".example.com", Err(HostError::NotAName)),
            ("-a.example", Err(HostError::NotAName)),
            ("a-.example", Err(HostError::NotAName)),
            ("a_b.example", Err(HostError::NotAName)),
            ("a%2e.example", Err(HostError::NotAName)),
            ("*.example.com", Err(HostError::NotAName)),
        ];
        for (host, expected) in cases {
            assert_eq!(check_public_name(host), expected, "{host}");
        }
        assert_eq!(check_public_name(&format!("{}.example", "a".repeat(LABEL_MAX))), Ok(()));
        assert_eq!(
            check_public_name(&format!("{}.example", "a".repeat(LABEL_MAX + 1))),
            Err(HostError::NotAName)
        );
        assert_eq!(check_public_name(&format!("{}example", "a.".repeat(124))), Err(HostError::NotAName));
    }

    /// FET-11: nothing but a reserved name on loopback becomes a development host.
    #[test]
    fn a_development_host_is_a_reserved_name_on_loopback() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let entry = DevelopmentHost::new("client.test", 8443, loopback).unwrap();
        assert!(entry.is("client.test", 8443));
        assert!(!entry.is("client.test", 443));
        assert!(!entry.is("other.client.test", 8443));
        assert_eq!((entry.host(), entry.port(), entry.address()), ("client.test", 8443, loopback));
        assert!(DevelopmentHost::new("c.example", 443, IpAddr::V6(Ipv6Addr::LOCALHOST)).is_ok());

        let refused = [
            ("client.example.com", 443, loopback, DevelopmentHostError::NotReserved),
            ("nottest", 443, loopback, DevelopmentHostError::Host(HostError::SingleLabel)),
            ("localhost", 443, loopback, DevelopmentHostError::Bare),
            ("test", 443, loopback, DevelopmentHostError::Bare),
            ("client.test", 0, loopback, DevelopmentHostError::Port),
            ("client.test", 443, IpAddr::from([10, 0, 0, 1]), DevelopmentHostError::NotLoopback),
            ("127.0.0.1", 443, loopback, DevelopmentHostError::Host(HostError::AddressLiteral)),
        ];
        for (host, port, address, error) in refused {
            assert_eq!(DevelopmentHost::new(host, port, address), Err(error), "{host}:{port} {address}");
        }
    }
}
