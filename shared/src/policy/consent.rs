//! Rules for the consent page.

use serde::{Deserialize, Serialize};

/// Known hosts that are compared with each client's; the comparison is done at every page.
pub const KNOWN_HOSTS_MAX: usize = 200;

/// Hosts that impostors would like to be taken for, until an administrator lists others.
const KNOWN_HOSTS_DEFAULT: [&str; 10] = [
    "anthropic.com",
    "chatgpt.com",
    "claude.ai",
    "cursor.com",
    "github.com",
    "gitlab.com",
    "openai.com",
    "vscode.dev",
    "windsurf.com",
    "zed.dev",
];

/// What people are asked, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentPolicy {
    /// Answer for a person who has allowed the very same before (AUT-29): https redirects only, unchanged
    /// document, no larger scope, and never on loopback whatever this says.
    pub remember: bool,
    /// Show a client's own name only once an administrator has approved the tool.
    pub withhold_names: bool,
    /// Registrable domains that other hosts must not be taken for.
    pub known_hosts: Vec<String>,
}

impl Default for ConsentPolicy {
    fn default() -> Self {
        Self {
            remember: true,
            withhold_names: false,
            known_hosts: KNOWN_HOSTS_DEFAULT.map(str::to_owned).to_vec(),
        }
    }
}

impl ConsentPolicy {
    /// Whether the list of known hosts is one: bounded, lower-case ASCII names with a dot.
    pub fn has_sound_hosts(&self) -> bool {
        let sound = |host: &String| {
            host.contains('.')
                && host.len() <= 253
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte))
        };
        self.known_hosts.len() <= KNOWN_HOSTS_MAX && self.known_hosts.iter().all(sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hosts_are_bounded_lower_case_names() {
        assert!(ConsentPolicy::default().has_sound_hosts());
        let with = |hosts: Vec<String>| ConsentPolicy { known_hosts: hosts, ..ConsentPolicy::default() };
        for host in ["Claude.ai", "claude", "https://claude.ai", "cläude.ai"] {
            assert!(!with(vec![host.to_owned()]).has_sound_hosts(), "{host}");
        }
        assert!(!with(vec!["a.b".to_owned(); KNOWN_HOSTS_MAX + 1]).has_sound_hosts());
    }
}
