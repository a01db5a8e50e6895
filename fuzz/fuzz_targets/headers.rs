//! Whatever cache headers say, a copy lives within our bounds, and a refusal of storage is heard.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use shared::cimd::freshness::{Freshness, FreshnessRules, Lifetime};
use shared::clock::Timestamp;
use shared::fetch::CacheHeaders;

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let mut line = || lines.next().map(str::to_owned);
    let (expires, date, age) = (line(), line(), line());
    let headers = CacheHeaders {
        cache_control: lines.map(str::to_owned).collect(),
        expires: expires.into_iter().collect(),
        date,
        age,
    };
    let rules = FreshnessRules::default();
    let now = Timestamp::from_epoch_seconds(1_795_600_000);
    let later = now.plus(Duration::from_secs(5));
    let freshness = Freshness::from_headers(&headers, now, later, &rules);
    if let Lifetime::Reusable(lifetime) = freshness.lifetime {
        assert!(rules.floor <= lifetime && lifetime <= rules.ceiling);
    }
    let mut refused = headers;
    refused.cache_control.push("no-store".to_owned());
    let refused = Freshness::from_headers(&refused, now, later, &rules);
    assert_eq!(refused.lifetime, Lifetime::OnlyThisFlow);
    assert!(refused.stale_forbidden);
});
