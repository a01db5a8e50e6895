//! How long a fetched document may be used again (RFC 9111 §4.2; SPEC 2.4).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::fetch::{CacheHeaders, Fetched};

/// Our own bounds on what a document's host asks for (CAC-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshnessRules {
    /// Least lifetime where one is given or none is stated. Not applied to an express refusal (CAC-10).
    pub floor: Duration,
    /// Lifetime where the answer states none.
    pub default: Duration,
    /// Greatest lifetime.
    pub ceiling: Duration,
}

impl Default for FreshnessRules {
    fn default() -> Self {
        Self {
            floor: Duration::from_secs(60),
            default: Duration::from_secs(60 * 60),
            ceiling: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// What may be done with a fetched copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It may be used again for this long after it was received.
    Reusable(Duration),
    /// The authorization flow that fetched it may finish with it; nobody else may use it (CAC-08).
    OnlyThisFlow,
}

/// The reading of an answer's cache headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// How long the copy is fresh.
    pub lifetime: Lifetime,
    /// The host forbids use after that, whatever the reason (`must-revalidate`, `no-cache`, `no-store`,
    /// `s-maxage`; RFC 9111 §4.2.4, CAC-13).
    pub stale_forbidden: bool,
}

impl Freshness {
    /// Reads the headers of `fetched`.
    pub fn of(fetched: &Fetched, rules: &FreshnessRules) -> Self {
        Self::from_headers(&fetched.cache, fetched.requested_at, fetched.received_at, rules)
    }

    /// Reads `headers` of an answer that was asked for and received at these instants.
    pub fn from_headers(
        headers: &CacheHeaders,
        requested_at: Timestamp,
        received_at: Timestamp,
        rules: &FreshnessRules,
    ) -> Self {
        let directives = Directives::read(&headers.cache_control);
        let stale_forbidden = directives.no_store
            || directives.no_cache
            || directives.must_revalidate
            || directives.s_maxage != Seconds::Absent;
        let lifetime = match stated_lifetime(&directives, headers, received_at) {
            Stated::Refused => Lifetime::OnlyThisFlow,
            stated => {
                let whole = if let Stated::For(lifetime) = stated { lifetime } else { rules.default };
                let age = age(headers).saturating_add(received_at.since(requested_at));
                // The ceiling comes last: it also bounds a floor that was configured above it.
                Lifetime::Reusable(whole.saturating_sub(age).max(rules.floor).min(rules.ceiling))
            }
        };
        Self { lifetime, stale_forbidden }
    }
}

/// What the answer itself says.
enum Stated {
    Nothing,
    For(Duration),
    /// It refuses reuse, or says something that can only be read as already stale.
    Refused,
}

/// RFC 9111 §4.2.1, the smaller of `s-maxage` and `max-age` where both are given (CAC-11): whether we are a
/// shared cache is nobody's to say, so the more careful reading wins.
fn stated_lifetime(directives: &Directives, headers: &CacheHeaders, received_at: Timestamp) -> Stated {
    if directives.no_store || directives.no_cache {
        return Stated::Refused;
    }
    let seconds = match (directives.s_maxage, directives.max_age) {
        (Seconds::Invalid, _) | (_, Seconds::Invalid) => return Stated::Refused,
        (Seconds::Valid(shared), Seconds::Valid(any)) => shared.min(any),
        (Seconds::Valid(only), Seconds::Absent) | (Seconds::Absent, Seconds::Valid(only)) => only,
        (Seconds::Absent, Seconds::Absent) => return lifetime_from_expires(headers, received_at),
    };
    if seconds == 0 { Stated::Refused } else { Stated::For(Duration::from_secs(seconds)) }
}

/// CAC-05, CAC-06: `Expires` minus `Date`. What is no date, or two dates, has expired.
fn lifetime_from_expires(headers: &CacheHeaders, received_at: Timestamp) -> Stated {
    let expires = match headers.expires.as_slice() {
        [] => return Stated::Nothing,
        [expires] => expires,
        _ => return Stated::Refused,
    };
    let date = headers.date.as_deref().and_then(http_date).unwrap_or(received_at);
    match http_date(expires).map(|expires| expires.since(date)) {
        Some(lifetime) if !lifetime.is_zero() => Stated::For(lifetime),
        Some(_) | None => Stated::Refused,
    }
}

/// `Age` (RFC 9111 §5.1): the first value counts, one that is no number is ignored.
fn age(headers: &CacheHeaders) -> Duration {
    let first = headers.age.as_deref().and_then(|value| value.split(',').next());
    match first.map(|value| Seconds::read(value.trim())) {
        Some(Seconds::Valid(seconds)) => Duration::from_secs(seconds),
        Some(Seconds::Absent | Seconds::Invalid) | None => Duration::ZERO,
    }
}

/// An HTTP date in any of its three forms (RFC 9110 §5.6.7).
fn http_date(value: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_epoch_seconds(since_epoch.as_secs()))
}

/// The value of a directive that counts seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seconds {
    Absent,
    Valid(u64),
    Invalid,
}

impl Seconds {
    fn read(digits: &str) -> Self {
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Invalid;
        }
        // Too large for the type is too large for the ceiling as well.
        Self::Valid(digits.parse().unwrap_or(u64::MAX))
    }

    /// CAC-07: a repeated directive that disagrees with itself means nothing we could trust.
    fn and(self, value: &str) -> Self {
        let next = Self::read(value);
        match self {
            Self::Absent => next,
            Self::Valid(_) if self == next => self,
            Self::Valid(_) | Self::Invalid => Self::Invalid,
        }
    }
}

/// The response directives that decide (RFC 9111 §5.2.2). `private` is none of them (CAC-11), unknown ones
/// are ignored (CAC-12).
struct Directives {
    no_store: bool,
    no_cache: bool,
    must_revalidate: bool,
    max_age: Seconds,
    s_maxage: Seconds,
}

impl Directives {
    fn read(cache_control: &[String]) -> Self {
        let mut directives = Self {
            no_store: false,
            no_cache: false,
            must_revalidate: false,
            max_age: Seconds::Absent,
            s_maxage: Seconds::Absent,
        };
        for directive in cache_control.iter().flat_map(|line| split_outside_quotes(line)) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" => directives.no_store = true,
                // With a list of fields it forbids less; reading it as the whole is the careful side.
                "no-cache" => directives.no_cache = true,
                "must-revalidate" | "proxy-revalidate" => directives.must_revalidate = true,
                "max-age" => directives.max_age = directives.max_age.and(value),
                "s-maxage" => directives.s_maxage = directives.s_maxage.and(value),
                _ => {}
            }
        }
        directives
    }
}

/// The elements of a comma-separated list whose values may be quoted strings (RFC 9110 §5.6.1).
fn split_outside_quotes(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |character: char| {
        let is_escaped = escaped;
        escaped = quoted && !is_escaped && character == '\\';
        if character == '"' && !is_escaped {
            quoted = !quoted;
        }
        character == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_epoch_seconds(1_795_600_000);

    /// `name: value` lines, as an answer carries them.
    fn headers(lines: &str) -> CacheHeaders {
        let all = |name: &str| -> Vec<String> {
            let fields = lines.lines().filter_map(|line| line.split_once(": "));
            fields.filter(|field| field.0 == name).map(|field| field.1.to_owned()).collect()
        };
        CacheHeaders {
            cache_control: all("Cache-Control"),
            expires: all("Expires"),
            date: all("Date").pop(),
            age: all("Age").pop(),
        }
    }

    fn seconds(lines: &str) -> u64 {
        let freshness = Freshness::from_headers(&headers(lines), NOW, NOW, &FreshnessRules::default());
        match freshness.lifetime {
            Lifetime::Reusable(lifetime) => lifetime.as_secs(),
            Lifetime::OnlyThisFlow => 0,
        }
    }

    /// CAC-04 to CAC-12, K01 to K14: default 1 h, floor 60 s, ceiling 24 h; 0 means for this flow only.
    #[test]
    fn lifetimes_follow_the_headers_within_our_bounds() {
        let cases = [
            ("", 3600),                                    // K01
            ("Cache-Control: max-age=600", 600),           // K02
            ("Cache-Control: max-age=600\nAge: 500", 100), // K03
            ("Cache-Control: max-age=10", 60),             // K04
            ("Cache-Control: max-age=31536000", 86400),    // K05
            ("Cache-Control: no-store", 0),                // K06
            ("Cache-Control: no-cache", 0),                // K07
            ("Cache-Control: max-age=0", 0),
            ("Cache-Control: max-age=600, no-store", 0), // K08
            ("Cache-Control: no-store\nCache-Control: max-age=600", 0),
            ("Cache-Control: max-age=abc", 0), // K09
            ("Cache-Control: max-age=600, max-age=60", 0),
            ("Cache-Control: max-age=60, max-age=600", 0),
            ("Cache-Control: max-age=600\nCache-Control: max-age=60", 0),
            ("Cache-Control: max-age=600, max-age=600", 600),
            ("Expires: 0", 0), // K10
            ("Expires: -1", 0),
            ("Date: Wed, 25 Nov 2026 10:00:00 GMT\nExpires: Wed, 25 Nov 2026 10:30:00 GMT", 1800), // K11
            ("Cache-Control: max-age=60\nExpires: Wed, 25 Nov 2099 10:30:00 GMT", 60),             // K12
            ("Cache-Control: s-maxage=60, max-age=3600", 60),                                      // K13
            ("Cache-Control: s-maxage=3600, max-age=60", 60),
            ("Cache-Control: s-maxage=600", 600),
            ("Cache-Control: s-maxage=0, max-age=600", 0),
            ("Cache-Control: foo=1, max-age=600", 600), // K14
            // CAC-11, CAC-12
            ("Cache-Control: private, max-age=600", 600),
            ("Cache-Control: public", 3600),
            ("Cache-Control: immutable", 3600),
            ("Cache-Control: community=\"no-store, max-age=0\", max-age=600", 600),
            ("Cache-Control: x=\"a\\\", no-store\", max-age=600", 600),
            ("Cache-Control: no-cache=\"set-cookie\", max-age=600", 0),
            ("Cache-Control: NO-STORE", 0),
            ("Cache-Control: Max-Age=600", 600),
            ("Cache-Control:  max-age=600 ", 600),
            ("Cache-Control: max-age = 600", 600),
            ("Cache-Control: max-age=\"600\"", 600),
            ("Cache-Control: ,,max-age=600,", 600),
            ("Cache-Control: max-age", 0),
            ("Cache-Control: max-age=", 0),
            ("Cache-Control: max-age=-1", 0),
            ("Cache-Control: max-age=+600", 0),
            ("Cache-Control: max-age=600.5", 0),
            ("Cache-Control: max-age=600s", 0),
            ("Cache-Control: max-age=99999999999999999999999", 86400),
            ("Cache-Control: s-maxage=x, max-age=600", 0),
            // Age
            ("Cache-Control: max-age=600\nAge: 700", 60),
            ("Cache-Control: max-age=600\nAge: abc", 600),
            ("Cache-Control: max-age=600\nAge: 500, 1", 100),
            ("Cache-Control: max-age=600\nAge: 99999999999999999999999", 60),
            ("Age: 600", 3000),
            // Expires
            ("Date: Wed, 25 Nov 2026 10:00:00 GMT\nExpires: Wed, 25 Nov 2026 10:00:00 GMT", 0),
            ("Date: Wed, 25 Nov 2026 10:00:00 GMT\nExpires: Wed, 25 Nov 2026 09:00:00 GMT", 0),
            ("Date: nonsense\nExpires: Wed, 25 Nov 2099 10:00:00 GMT", 86400),
            ("Expires: Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Expires: Wednesday, 25-Nov-26 10:30:00 GMT\nDate: Wed Nov 25 10:00:00 2026", 1800),
            ("Expires: Wed, 25 Nov 2099 10:00:00 GMT\nExpires: Wed, 25 Nov 2098 10:00:00 GMT", 0),
            ("Cache-Control: max-age=0\nExpires: Wed, 25 Nov 2099 10:30:00 GMT", 0),
            ("Cache-Control: max-age=x\nExpires: Wed, 25 Nov 2099 10:30:00 GMT", 0),
        ];
        for (lines, expected) in cases {
            assert_eq!(seconds(lines), expected, "{lines}");
        }
    }

    /// CAC-05: a slow answer has aged on its way.
    #[test]
    fn the_time_since_the_request_counts_as_age() {
        let answered = NOW.plus(Duration::from_secs(5));
        let read = |lines: &str, rules: &FreshnessRules| {
            Freshness::from_headers(&headers(lines), NOW, answered, rules).lifetime
        };
        let expected = Lifetime::Reusable(Duration::from_secs(595));
        assert_eq!(read("Cache-Control: max-age=600", &FreshnessRules::default()), expected);
        // A ceiling below the floor wins.
        let odd = FreshnessRules { ceiling: Duration::from_secs(30), ..FreshnessRules::default() };
        assert_eq!(read("Cache-Control: max-age=600", &odd), Lifetime::Reusable(Duration::from_secs(30)));
    }

    /// CAC-13: who forbids stale use.
    #[test]
    fn a_host_can_forbid_stale_use() {
        let cases = [
            ("", false),
            ("Cache-Control: max-age=600", false),
            ("Cache-Control: private, max-age=600", false),
            ("Cache-Control: max-age=600, must-revalidate", true),
            ("Cache-Control: max-age=600, proxy-revalidate", true),
            ("Cache-Control: s-maxage=600", true),
            ("Cache-Control: no-cache", true),
            ("Cache-Control: no-store", true),
        ];
        for (lines, forbidden) in cases {
            let freshness = Freshness::from_headers(&headers(lines), NOW, NOW, &FreshnessRules::default());
            assert_eq!(freshness.stale_forbidden, forbidden, "{lines}");
        }
    }

    proptest! {
        /// Whatever a host sends, a copy is never kept longer than we allow.
        #[test]
        fn no_header_extends_a_lifetime_beyond_the_ceiling(
            cache_control in "\\PC{0,40}", expires in "\\PC{0,40}", age in "\\PC{0,10}",
        ) {
            let headers = CacheHeaders {
                cache_control: vec![cache_control], expires: vec![expires], date: None, age: Some(age),
            };
            let rules = FreshnessRules::default();
            if let Lifetime::Reusable(lifetime) = Freshness::from_headers(&headers, NOW, NOW, &rules).lifetime {
                prop_assert!(rules.floor <= lifetime && lifetime <= rules.ceiling);
            }
        }

        /// CAC-08: a refusal of storage is heard whatever stands beside it, on whichever line.
        #[test]
        fn no_store_is_heard_among_any_other_directives(
            before in prop::collection::vec("[a-z-]{1,12}(=[0-9a-z]{1,6})?", 0..5),
            after in prop::collection::vec("[a-z-]{1,12}(=[0-9a-z]{1,6})?", 0..5),
            own_line: bool,
        ) {
            let (before, after) = (before.join(", "), after.join(", "));
            let cache_control = if own_line {
                vec![before, "No-Store".to_owned(), after]
            } else {
                vec![format!("{before}, no-store , {after}")]
            };
            let headers = CacheHeaders { cache_control, ..CacheHeaders::default() };
            let freshness = Freshness::from_headers(&headers, NOW, NOW, &FreshnessRules::default());
            prop_assert_eq!(freshness, Freshness { lifetime: Lifetime::OnlyThisFlow, stale_forbidden: true });
        }

        /// CAC-05: what has aged longer is not fresh for longer.
        #[test]
        fn more_age_never_means_more_life(max_age: u32, age: u32, more in 0_u32..100_000, on_its_way in 0_u64..60) {
            let lifetime = |age: u64| {
                let headers = CacheHeaders {
                    cache_control: vec![format!("max-age={max_age}")],
                    age: Some(age.to_string()),
                    ..CacheHeaders::default()
                };
                let answered = NOW.plus(Duration::from_secs(on_its_way));
                match Freshness::from_headers(&headers, NOW, answered, &FreshnessRules::default()).lifetime {
                    Lifetime::Reusable(lifetime) => lifetime,
                    Lifetime::OnlyThisFlow => Duration::ZERO,
                }
            };
            prop_assert!(lifetime(u64::from(age) + u64::from(more)) <= lifetime(u64::from(age)));
        }
    }
}
