//! Any policy document is read or refused with a message; an accepted one survives being stored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::policy::Policy;

fuzz_target!(|text: &str| {
    let policy = if text.trim_start().starts_with('{') {
        match Policy::from_json(text) {
            Ok(policy) => policy,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return;
            }
        }
    } else {
        let Ok(policy) = serde_saphyr::from_str::<Policy>(text) else { return };
        let Ok(()) = policy.check() else { return };
        policy
    };
    let json = policy.to_json().expect("a policy can be written");
    assert_eq!(Policy::from_json(&json).expect("an accepted policy is accepted again"), policy);
    // Whatever it says, asking it is harmless.
    policy.default_resource();
    policy.scopes_supported();
    policy.decide_metadata_document("app.example.com");
    for resource in &policy.resources {
        assert!(policy.resource(&resource.resource).is_some());
    }
    for profile in policy.effective_profiles() {
        assert!(policy.profile_named(&profile.name).is_some());
        policy.lifetimes_for(profile);
    }
});
