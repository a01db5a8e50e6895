//! The only way to send a browser to a client (DESIGN invariant 6).

use axum::response::Response;
use shared::client::metadata::ClientMetadata;
use shared::client::redirect::{RedirectKind, RedirectUri};
use shared::http::log::Note;
use shared::http::page::see_other;
use shared::oauth::{AuthorizationErrorCode, Issuer};
use shared::secret::Secret;

use crate::session::Session;

/// A redirect URI of which it is proved that it belongs to the client and that a person is signed in.
/// There is no other constructor than [`RedirectTarget::prove`].
pub(crate) struct RedirectTarget {
    uri: RedirectUri,
    state: Option<String>,
    issuer: String,
}

impl RedirectTarget {
    /// Compares `requested` with the client's registered redirect URIs (RED-01 to RED-05). `None` means
    /// that it is not one of them: a page then, never a redirect (RED-12).
    pub(crate) fn prove(
        _signed_in: &Session,
        client: &ClientMetadata,
        requested: &str,
        state: Option<&str>,
        issuer: &Issuer,
    ) -> Option<Self> {
        client.matching_redirect_uri(requested)?;
        let uri = RedirectUri::parse(requested).ok()?;
        Some(Self { uri, state: state.map(str::to_owned), issuer: issuer.as_str().to_owned() })
    }

    /// The host that people are shown (CON-01).
    pub(crate) fn host(&self) -> &str {
        self.uri.host_for_display()
    }

    /// The kind of redirect URI.
    pub(crate) fn kind(&self) -> RedirectKind {
        self.uri.kind()
    }

    /// Whether the code goes to a program on the person's own computer.
    pub(crate) fn is_loopback(&self) -> bool {
        self.uri.kind() == RedirectKind::Loopback
    }

    /// Whether the code goes to a web site.
    pub(crate) fn is_web(&self) -> bool {
        self.uri.kind() == RedirectKind::Https
    }

    /// The exact redirect URI, with its real port.
    pub(crate) fn uri(&self) -> &str {
        self.uri.as_str()
    }

    /// Where the browser may go when it submits a form that ends here: for `form-action`.
    pub(crate) fn form_action(&self) -> String {
        self.uri.form_action()
    }

    /// The success response: `code`, `state`, `iss`, each once (AUT-22, AUT-23).
    pub(crate) fn succeed(&self, code: &Secret) -> Response {
        self.redirect(&[("code", code.expose())])
    }

    /// The error response: `error`, `error_description`, `state`, `iss` (AUT-25).
    pub(crate) fn fail(&self, code: AuthorizationErrorCode, description: &'static str) -> Response {
        let note = Note { outcome: code.as_str(), reason: Some(description.to_owned()), ..Note::default() };
        note.on(self.redirect(&[("error", code.as_str()), ("error_description", description)]))
    }

    /// Where a link leads that tells the client of an error (CON-10): for a page, so that the person
    /// decides whether to go there.
    pub(crate) fn failure_link(&self, code: AuthorizationErrorCode, description: &'static str) -> String {
        self.location(&[("error", code.as_str()), ("error_description", description)])
    }

    fn redirect(&self, pairs: &[(&str, &str)]) -> Response {
        see_other(&self.location(pairs))
    }

    fn location(&self, pairs: &[(&str, &str)]) -> String {
        let mut pairs = pairs.to_vec();
        if let Some(state) = &self.state {
            pairs.push(("state", state));
        }
        pairs.push(("iss", &self.issuer));
        self.uri.with_query(pairs)
    }
}
