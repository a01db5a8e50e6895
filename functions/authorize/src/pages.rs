//! The pages as people see them.

use askama::Template;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use shared::policy::branding::Branding;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::App;
use crate::look_alike::HostView;
use crate::words::{Language, Words};

/// Characters of a stranger's text on a page.
const TEXT_CHARS_MAX: usize = 120;

/// What every page has around it.
pub(crate) struct Frame {
    pub(crate) language: Language,
    pub(crate) words: &'static Words,
    /// The operator's name; may be empty.
    pub(crate) operator: String,
    pub(crate) logo: bool,
    /// Whom to ask: text and link.
    pub(crate) support: Option<(String, String)>,
}

impl Frame {
    /// The frame for the request being answered. Reads nothing: a stranger's page must cost nothing, so
    /// the branding is what this process saw last.
    pub(crate) fn current(app: &App) -> Self {
        let branding = app.policies.last_known().map(|known| known.policy.branding.clone());
        Self::new(Language::current(), &branding.unwrap_or_default())
    }

    fn new(language: Language, branding: &Branding) -> Self {
        Self {
            language,
            words: language.words(),
            operator: branding.name.clone(),
            logo: !branding.logo_png.is_empty(),
            support: branding.support_link().map(|link| (branding.support.clone(), link)),
        }
    }
}

/// A page with a title, a text, and at most one way on.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct MessagePage<'a> {
    pub(crate) frame: Frame,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    /// Leads to the log line.
    pub(crate) reference: Option<&'a str>,
    /// Shown so that the person can pass it on; untrusted text.
    pub(crate) client_id: Option<&'a str>,
    /// Where the person can try again.
    pub(crate) retry: Option<&'a str>,
    /// The host that a link leads back to, and the link.
    pub(crate) back: Option<(&'a str, &'a str)>,
}

impl MessagePage<'_> {
    pub(crate) fn html(&self) -> String {
        self.render().unwrap_or_else(|_| FALLBACK.to_owned())
    }
}

/// A tool that waits for an administrator.
#[derive(Template)]
#[template(path = "pending.html")]
pub(crate) struct PendingPage<'a> {
    pub(crate) frame: Frame,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    pub(crate) tool: &'a str,
    /// The form for a reason; `None` once one was given.
    pub(crate) form: Option<&'a str>,
    /// Characters of a reason.
    pub(crate) limit: usize,
}

impl PendingPage<'_> {
    pub(crate) fn html(&self) -> String {
        self.render().unwrap_or_else(|_| FALLBACK.to_owned())
    }
}

/// What a person decides on.
#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage<'a> {
    pub(crate) frame: Frame,
    /// Host of the client identifier: what is verified (CON-02).
    pub(crate) client_host: Option<HostView>,
    /// The identifier itself, where it is no URL (CON-07).
    pub(crate) client_id: Option<&'a str>,
    /// What the client calls itself (CON-06).
    pub(crate) client_name: Option<String>,
    /// Whether it has a name that is not shown.
    pub(crate) name_withheld: bool,
    /// Digest of its logo (DOC-40).
    pub(crate) logo: Option<&'a str>,
    /// Where the code goes (CON-01).
    pub(crate) redirect_host: HostView,
    /// What kind of place that is, where it is not a web site.
    pub(crate) redirect_note: Option<&'static str>,
    pub(crate) resource_name: &'a str,
    pub(crate) resource_host: &'a str,
    /// Facts about the tool.
    pub(crate) facts: &'a [String],
    /// What to look out for.
    pub(crate) warnings: &'a [String],
    /// Each scope in words.
    pub(crate) scopes: &'a [String],
    /// What was allowed before and stays; the other scopes are then the new ones.
    pub(crate) kept: &'a [String],
    pub(crate) refreshable: bool,
    pub(crate) user_name: &'a str,
    pub(crate) flow: &'a str,
    pub(crate) form: &'a str,
    /// Whether what was shown before is no longer what is asked.
    pub(crate) changed: bool,
}

impl ConsentPage<'_> {
    pub(crate) fn html(&self) -> Option<String> {
        self.render().ok()
    }
}

/// A tool on the account page.
pub(crate) struct ConnectedTool {
    pub(crate) id: String,
    /// What stands for it: its host, or its identifier.
    pub(crate) host: String,
    pub(crate) name: Option<String>,
    pub(crate) installations: Vec<Installation>,
}

/// One grant of a tool.
pub(crate) struct Installation {
    pub(crate) grant: String,
    pub(crate) place: String,
    pub(crate) resource: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) allowed: String,
    pub(crate) last_used: String,
}

/// What is connected.
#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct AccountPage<'a> {
    pub(crate) frame: Frame,
    pub(crate) user_name: &'a str,
    pub(crate) tools: &'a [ConnectedTool],
    pub(crate) form: &'a str,
    /// Whether something was just revoked.
    pub(crate) revoked: bool,
}

impl AccountPage<'_> {
    pub(crate) fn html(&self) -> Option<String> {
        self.render().ok()
    }
}

const FALLBACK: &str =
    "<!doctype html><html lang=\"en\"><title>Error</title><p>Something is not working here.</p></html>";

/// A stranger's text made harmless: no control characters, nothing that reorders or hides, bounded.
/// Escaping is the template's; this is about what escaping leaves.
pub(crate) fn plain_text(text: &str) -> String {
    let hides = |character: char| {
        character.is_control()
            || matches!(character,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let mut plain: String = text.chars().filter(|c| !hides(*c)).take(TEXT_CHARS_MAX + 1).collect();
    if plain.chars().count() > TEXT_CHARS_MAX {
        plain.pop();
        plain.push('…');
    }
    plain.trim().to_owned()
}

/// `GET /style.css`: the one stylesheet, with the operator's colours at its end.
pub(crate) async fn stylesheet(State(app): State<Arc<App>>) -> Response {
    let mut css = include_str!("../templates/style.css").to_owned();
    if let Ok(policy) = app.policies.current(app.clock.as_ref()).await {
        let branding = &policy.policy.branding;
        // Checked as `#rrggbb` when the policy was stored.
        if !branding.accent_light.is_empty() {
            let _ = write!(css, "\n:root {{ --accent: {}; }}", branding.accent_light);
        }
        let dark = if branding.accent_dark.is_empty() { ACCENT_DARK } else { &branding.accent_dark };
        if !branding.accent_light.is_empty() || !branding.accent_dark.is_empty() {
            let _ = write!(css, "\n@media (prefers-color-scheme: dark) {{ :root {{ --accent: {dark}; }} }}");
        }
    }
    with_type(css.into_response(), "text/css; charset=utf-8")
}

/// The stylesheet's own accent on dark ground.
const ACCENT_DARK: &str = "#8cc2ff";

/// `GET /logo.png`: the operator's mark.
pub(crate) async fn logo(State(app): State<Arc<App>>) -> Response {
    let policy = app.policies.current(app.clock.as_ref()).await.ok();
    match policy.and_then(|policy| policy.policy.branding.logo()) {
        Some(bytes) => with_type(bytes.into_response(), "image/png"),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn with_type(mut response: Response, media_type: &'static str) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CON-06, D22: what a name contains cannot reorder, hide, or crowd out what stands around it.
    #[test]
    fn names_lose_what_hides_and_are_cut() {
        assert_eq!(plain_text("Cla\u{202e}ude\u{200b}\u{0}\n"), "Claude");
        assert_eq!(plain_text("\u{2066}\u{feff}"), "");
        assert_eq!(plain_text(&"x".repeat(10_000)).chars().count(), TEXT_CHARS_MAX + 1);
        assert_eq!(plain_text("日本語 عربى"), "日本語 عربى");
    }
}
