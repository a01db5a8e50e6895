//! Hosts as people should see them, and hosts that want to be taken for others (CON-08; UTS 39).

use shared::grant::Warning;
use unicode_security::MixedScript as _;
use unicode_security::confusable_detection::skeleton;

/// A name shorter than this has too many neighbours for one letter more or less to mean anything.
const NEAR_MISS_CHARS_MIN: usize = 5;

/// A host, with what somebody has registered told apart from what its owner may put in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostView {
    /// The host in its ASCII form, whole.
    pub(crate) host: String,
    /// The registered domain that it is part of, where that is not the whole.
    pub(crate) part_of: Option<String>,
    /// The same in its own alphabet, where it is one alphabet (CON-08).
    pub(crate) reads_as: Option<String>,
}

impl HostView {
    /// Looks at `host`, which is in its ASCII form.
    pub(crate) fn new(host: &str) -> Self {
        let part_of = psl::domain_str(host).filter(|domain| *domain != host).map(str::to_owned);
        let unicode = unicode(host);
        let reads_as = (unicode != host && !mixes_scripts(&unicode)).then_some(unicode);
        Self { host: host.to_owned(), part_of, reads_as }
    }
}

/// What is suspicious about `host`, and which of `known` it resembles.
pub(crate) fn look_alike<'a>(host: &str, known: &'a [String]) -> Option<(Warning, &'a str)> {
    let ours = psl::domain_str(host).unwrap_or(host);
    if known.iter().any(|known| known == ours || known == host) {
        return None;
    }
    let shown = unicode(ours);
    if let Some(resembled) = known.iter().find(|known| resembles(host, ours, &shown, known)) {
        return Some((Warning::LookAlike, resembled));
    }
    mixes_scripts(&unicode(host)).then_some((Warning::MixedScript, ""))
}

fn resembles(host: &str, registrable: &str, shown: &str, known: &str) -> bool {
    let same_skeleton = || skeleton(shown).eq(skeleton(known));
    // The longer the name, the less likely that two honest ones are this close.
    let near = || {
        let (one, other) = (first_label(shown), first_label(known));
        let least = one.chars().count().min(other.chars().count());
        least >= NEAR_MISS_CHARS_MIN && one != other && strsim::osa_distance(one, other) <= 1
    };
    // `claude.ai.example`, `claude-ai.example`: a known host put in front of one's own.
    let borrowed = || {
        let dashed = known.replace('.', "-");
        let before = host.strip_suffix(registrable).unwrap_or_default();
        before.strip_suffix('.').unwrap_or(before).split('.').any(|label| label == dashed)
            || format!(".{before}").contains(&format!(".{known}."))
            || first_label(registrable).contains(&dashed)
    };
    // The same name under another ending: `claude.example` is not `claude.ai`.
    let other_ending = || first_label(shown) == first_label(known);
    same_skeleton() || near() || borrowed() || other_ending()
}

fn first_label(domain: &str) -> &str {
    domain.split('.').next().unwrap_or(domain)
}

fn unicode(host: &str) -> String {
    if host.contains("xn--") { idna::domain_to_unicode(host).0 } else { host.to_owned() }
}

fn mixes_scripts(host: &str) -> bool {
    host.split('.').any(|label| !label.is_single_script())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["claude.ai", "chatgpt.com", "vscode.dev", "github.com"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_known_host_and_a_plain_stranger_raise_no_warning() {
        for host in [
            "claude.ai",
            "login.claude.ai",
            "vscode.dev",
            "app.example.com",
            "notes.example",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "xn--mnchen-3ya.example",
        ] {
            assert_eq!(look_alike(host, &known()), None, "{host}");
        }
    }

    /// CON-08, FIELD idea 11: one letter off, another alphabet, another ending, somebody's name in front.
    #[test]
    fn an_impostor_is_told_by_the_host_that_it_resembles() {
        for (host, resembled) in [
            ("cluade.ai", "claude.ai"),
            ("claudee.ai", "claude.ai"),
            ("claude.example", "claude.ai"),
            ("claude.ai.evil.example", "claude.ai"),
            ("claude-ai.evil.example", "claude.ai"),
            ("claude-ai.example", "claude.ai"),
            ("chatgtp.com", "chatgpt.com"),
            ("www.githab.com", "github.com"),
            // Cyrillic а in claude: mixed scripts, and confusable.
            ("xn--clude-5ve.ai", "claude.ai"),
            // Cyrillic ѵ for v.
            ("xn--scode-x7e.dev", "vscode.dev"),
        ] {
            assert_eq!(look_alike(host, &known()), Some((Warning::LookAlike, resembled)), "{host}");
        }
    }

    #[test]
    fn mixed_alphabets_alone_are_a_warning_and_are_never_shown_as_letters() {
        // Latin and Cyrillic in one label.
        let host = "xn--ntes-55d.example";
        assert_eq!(look_alike(host, &known()), Some((Warning::MixedScript, "")));
        assert_eq!(HostView::new(host).reads_as, None);
    }

    #[test]
    fn the_registrable_part_stands_out() {
        let view = HostView::new("a.b.example.co.uk");
        assert_eq!(
            (view.host.as_str(), view.part_of.as_deref()),
            ("a.b.example.co.uk", Some("example.co.uk"))
        );
        let view = HostView::new("xn--mnchen-3ya.example");
        assert_eq!(view.reads_as.as_deref(), Some("münchen.example"));
        assert_eq!(HostView::new("example.com").part_of, None);
        assert_eq!(HostView::new("127.0.0.1").part_of, None);
    }

    proptest::proptest! {
        #[test]
        fn judging_a_host_never_panics(host in "(xn--)?[a-z0-9.-]{0,60}") {
            let _ = look_alike(&host, &known());
            proptest::prop_assert_eq!(HostView::new(&host).host, host);
        }
    }
}
