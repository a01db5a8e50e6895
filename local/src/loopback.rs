//! What counts as this machine.

use url::{Host, Url};

/// Whether the host of `url` is a loopback address or the name `localhost`.
///
/// A name under `.localhost` does not count: resolvers disagree about those.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(addr)) => addr.is_loopback(),
        Some(Host::Ipv6(addr)) => addr.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_and_localhost_are_this_machine() {
        for (url, expected) in [
            ("http://127.0.0.1:9000", true),
            ("http://127.5.5.5/", true),
            ("http://[::1]:1/", true),
            ("http://LOCALHOST/", true),
            ("http://0.0.0.0/", false),
            ("http://[::ffff:127.0.0.1]/", false),
            ("http://localhost.example/", false),
            ("http://a.localhost/", false),
            ("http://127.0.0.1.example.com/", false),
            ("data:text/plain,127.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
