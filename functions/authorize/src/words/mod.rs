//! Every text that a person reads, in every language that we have. A new language is a new file with the
//! same fields; a text that is missing does not compile.

mod english;
mod german;

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use shared::grant::Warning;

/// Languages of one header that are looked at.
const LANGUAGES_MAX: usize = 20;

/// A language of our pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    #[default]
    English,
    German,
}

tokio::task_local! {
    /// The language of the request being answered, so that a refusal deep down need not carry it along.
    static CURRENT: Language;
}

impl Language {
    /// The best of ours that the browser asks for (RFC 9110 §12.5.4).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut best = (0_u16, Self::default());
        for range in accepted.split(',').take(LANGUAGES_MAX) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let language = match tag.split('-').next() {
                Some(primary) if primary.eq_ignore_ascii_case("de") => Self::German,
                Some(primary) if primary.eq_ignore_ascii_case("en") || primary == "*" => Self::English,
                _ => continue,
            };
            let weight = parts.next().and_then(|weight| weight.strip_prefix("q=")).map_or(1000, thousandths);
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }

    /// Answers `request` in this language.
    pub(crate) async fn scope<F: Future>(self, answer: F) -> F::Output {
        CURRENT.scope(self, answer).await
    }

    /// The language of the request being answered.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(|language| *language).unwrap_or_default()
    }

    /// Its tag (RFC 5646).
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// Its texts.
    pub(crate) const fn words(self) -> &'static Words {
        match self {
            Self::English => &english::WORDS,
            Self::German => &german::WORDS,
        }
    }

    /// Title and text of a refusal.
    pub(crate) const fn message(self, message: Message) -> (&'static str, &'static str) {
        match self {
            Self::English => english::message(message),
            Self::German => german::message(message),
        }
    }

    /// How many people use a tool here.
    pub(crate) fn used_by(self, people: u64) -> String {
        match (self, people) {
            (Self::English, 1) => "one person uses it here".to_owned(),
            (Self::English, _) => format!("{people} people use it here"),
            (Self::German, 1) => "eine Person nutzt sie hier".to_owned(),
            (Self::German, _) => format!("{people} Personen nutzen sie hier"),
        }
    }

    /// How long ago something was, to the day.
    pub(crate) fn ago(self, age: Duration) -> String {
        let days = age.as_secs() / 86_400;
        match (self, days) {
            (Self::English, 0) => "today".to_owned(),
            (Self::English, 1) => "yesterday".to_owned(),
            (Self::English, _) => format!("{days} days ago"),
            (Self::German, 0) => "heute".to_owned(),
            (Self::German, 1) => "gestern".to_owned(),
            (Self::German, _) => format!("vor {days} Tagen"),
        }
    }

    /// A warning, with the host that another one looks like.
    pub(crate) fn warning(self, warning: Warning, resembled: &str) -> String {
        let words = self.words();
        match warning {
            Warning::Loopback => words.loopback_warning.to_owned(),
            Warning::MixedScript => words.mixed_script_warning.to_owned(),
            Warning::DocumentChanged => words.document_changed_warning.to_owned(),
            Warning::LookAlike => match self {
                Self::English => format!("This is not {resembled}. Its address only looks like it."),
                Self::German => format!("Das ist nicht {resembled}. Die Adresse sieht nur so aus."),
            },
        }
    }
}

/// A quality value in thousandths (RFC 9110 §12.4.2); nonsense counts as zero.
fn thousandths(weight: &str) -> u16 {
    weight.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight)).map_or(0, |weight| {
        // At most 1000.
        (weight * 1000.0) as u16
    })
}

/// What happened, for a page that tells of nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    RequestBroken,
    FlowGone,
    NobodySignedIn,
    FormRefused,
    AlreadyAnswered,
    GroupNotAllowed,
    ClientMalformed,
    ClientUnknown,
    ClientInvalid,
    ToolPending,
    DocumentHeld,
    ToolDisabled,
    ToolWithdrawn,
    ClientUnreachable,
    RedirectUnknown,
    RedirectKind,
    SignInDenied,
    SignInInvalid,
    SignInUnavailable,
    Ours,
    NotFound,
    TooMany,
    Crowded,
    Denied,
    SignedOut,
}

#[cfg(test)]
impl Message {
    const ALL: [Self; 25] = [
        Self::RequestBroken,
        Self::FlowGone,
        Self::NobodySignedIn,
        Self::FormRefused,
        Self::AlreadyAnswered,
        Self::GroupNotAllowed,
        Self::ClientMalformed,
        Self::ClientUnknown,
        Self::ClientInvalid,
        Self::ToolPending,
        Self::DocumentHeld,
        Self::ToolDisabled,
        Self::ToolWithdrawn,
        Self::ClientUnreachable,
        Self::RedirectUnknown,
        Self::RedirectKind,
        Self::SignInDenied,
        Self::SignInInvalid,
        Self::SignInUnavailable,
        Self::Ours,
        Self::NotFound,
        Self::TooMany,
        Self::Crowded,
        Self::Denied,
        Self::SignedOut,
    ];
}

/// Texts without anything to fill in.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) reference: &'static str,
    pub(crate) application: &'static str,
    pub(crate) try_again: &'static str,
    pub(crate) questions: &'static str,
    pub(crate) back_to: &'static str,

    pub(crate) consent_title: &'static str,
    /// Stands before the host.
    pub(crate) consent_from: &'static str,
    /// Stands after the host.
    pub(crate) consent_asks: &'static str,
    pub(crate) consent_unnamed: &'static str,
    pub(crate) changed_since_page: &'static str,
    pub(crate) calls_itself: &'static str,
    pub(crate) not_verified: &'static str,
    pub(crate) name_withheld: &'static str,
    pub(crate) client_id: &'static str,
    pub(crate) part_of: &'static str,
    pub(crate) reads_as: &'static str,
    pub(crate) answer_goes_to: &'static str,
    pub(crate) this_computer: &'static str,
    pub(crate) app_on_this_device: &'static str,
    pub(crate) wants_to_use: &'static str,
    pub(crate) signed_in_as: &'static str,
    pub(crate) not_you: &'static str,
    pub(crate) known_here: &'static str,
    pub(crate) approved: &'static str,
    pub(crate) not_reviewed: &'static str,
    pub(crate) nobody_yet: &'static str,
    pub(crate) first_seen: &'static str,
    pub(crate) will_be_able_to: &'static str,
    pub(crate) will_also_be_able_to: &'static str,
    pub(crate) keeps: &'static str,
    pub(crate) stays_connected: &'static str,
    pub(crate) allow: &'static str,
    pub(crate) deny: &'static str,
    pub(crate) loopback_warning: &'static str,
    pub(crate) mixed_script_warning: &'static str,
    pub(crate) document_changed_warning: &'static str,

    pub(crate) pending_why: &'static str,
    pub(crate) pending_send: &'static str,
    pub(crate) pending_thanks: &'static str,
    pub(crate) pending_tool: &'static str,

    pub(crate) account_title: &'static str,
    pub(crate) account_intro: &'static str,
    pub(crate) account_none: &'static str,
    pub(crate) account_revoked: &'static str,
    pub(crate) installation: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) scopes: &'static str,
    pub(crate) allowed: &'static str,
    pub(crate) last_used: &'static str,
    pub(crate) disconnect: &'static str,
    pub(crate) disconnect_tool: &'static str,
    pub(crate) disconnect_all: &'static str,
    pub(crate) sign_out: &'static str,
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_browser_chooses_the_language_by_weight() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(text));
            Language::of(&headers).tag()
        };
        for (header, language) in [
            ("de", "de"),
            ("de-AT,en;q=0.8", "de"),
            ("en-GB,de;q=0.9", "en"),
            ("fr, de;q=0.5, en;q=0.4", "de"),
            ("de;q=0, en", "en"),
            ("de;q=0", "en"),
            ("fr", "en"),
            ("", "en"),
            ("DE", "de"),
            ("de;q=x, *;q=0.1", "en"),
        ] {
            assert_eq!(of(header), language, "{header}");
        }
    }

    /// Each case has words of its own: a page that says the same about everything helps nobody.
    #[test]
    fn no_two_messages_say_the_same_in_either_language() {
        for language in [Language::English, Language::German] {
            for (index, one) in Message::ALL.into_iter().enumerate() {
                assert!(!language.message(one).1.is_empty());
                for other in Message::ALL.into_iter().skip(index + 1) {
                    assert_ne!(language.message(one).1, language.message(other).1, "{one:?} {other:?}");
                }
            }
        }
    }
}
