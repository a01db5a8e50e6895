//! Signing in without a password: a page that asks for a user name and says that it believes it. Or, where
//! the switches name one, at an OpenID provider, as production does.

use std::path::PathBuf;
use std::sync::Arc;

use askama::Template;
use authorize::sign_in::{
    SignInAnswer, SignInError, SignInFuture, SignInRequest, SignInStep, User, UserAuthenticator,
};
use authorize::upstream::{OpenIdProvider, ProviderSetupError, SettingsError, UpstreamSettings};
use shared::oauth::Issuer;
use shared::random::Random;

use crate::args::Args;

/// The form's one field.
pub const USER_NAME: &str = "user_name";

/// Longest user name: it becomes `sub` and stands on every page.
pub const USER_NAME_MAX: usize = 32;

/// Believes whoever signs in. For a laptop only: this crate is linked into no function.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalSignIn;

/// The provider that the switches name. The values are what production reads from its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    variables: Vec<(&'static str, String)>,
}

/// The provider of the switches cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The file with the secret cannot be read.
    #[error("--upstream-client-secret-file {}: {source}", .path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The settings are wrong.
    #[error("upstream provider: {0}")]
    Settings(#[from] SettingsError),
    /// There is no HTTPS client.
    #[error("upstream provider: {0}")]
    Setup(#[from] ProviderSetupError),
}

impl Upstream {
    /// What `args` say; reads the file with the secret.
    ///
    /// # Errors
    /// [`UpstreamError::Secret`] if it cannot be read.
    pub fn from_args(args: &Args) -> Result<Option<Self>, UpstreamError> {
        let Some(issuer) = &args.upstream_issuer else { return Ok(None) };
        let mut variables = vec![("UPSTREAM_ISSUER", issuer.clone())];
        if let Some(path) = &args.upstream_client_secret_file {
            let secret = std::fs::read_to_string(path)
                .map_err(|source| UpstreamError::Secret { path: path.clone(), source })?;
            variables.push(("UPSTREAM_CLIENT_SECRET", secret));
        }
        for (name, value) in [
            ("UPSTREAM_CLIENT_ID", &args.upstream_client_id),
            ("UPSTREAM_SCOPES", &args.upstream_scopes),
            ("UPSTREAM_ACR_VALUES", &args.upstream_acr_values),
        ] {
            variables.extend(value.clone().map(|value| (name, value)));
        }
        Ok(Some(Self { variables }))
    }

    /// The authenticator for the server with this `issuer`.
    ///
    /// # Errors
    /// [`UpstreamError`] if the settings are wrong.
    pub fn open(&self, issuer: &Issuer, random: Arc<dyn Random>) -> Result<OpenIdProvider, UpstreamError> {
        let get =
            |name| self.variables.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone());
        Ok(OpenIdProvider::new(UpstreamSettings::read(get, issuer)?, random)?)
    }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    callback: &'a str,
    flow: &'a str,
    max: usize,
}

impl UserAuthenticator for LocalSignIn {
    fn begin<'a>(&'a self, request: &'a SignInRequest) -> SignInFuture<'a, SignInStep> {
        Box::pin(async move { page(&request.callback, &request.flow.to_string()) })
    }

    fn complete<'a>(&'a self, answer: &'a SignInAnswer) -> SignInFuture<'a, User> {
        Box::pin(async move { user(answer.params.get(USER_NAME).unwrap_or_default()) })
    }
}

fn page(callback: &str, flow: &str) -> Result<SignInStep, SignInError> {
    SignInPage { callback, flow, max: USER_NAME_MAX }
        .render()
        .map(SignInStep::Page)
        .map_err(|error| SignInError::Unavailable(error.to_string()))
}

/// A name that is neither an e-mail address nor a URL, so that no resource takes it for one (CID-04), and
/// that looks the same wherever it is shown.
fn user(name: &str) -> Result<User, SignInError> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let is_sound = name.len() <= USER_NAME_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(is_inner);
    if is_sound {
        Ok(User { subject: name.to_owned(), name: name.to_owned(), groups: Vec::new() })
    } else {
        Err(SignInError::Invalid(
            "a user name has up to 32 lower-case letters, digits, dots, hyphens, and underscores, and starts with a letter",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::form::Form;

    #[test]
    fn the_page_asks_for_a_user_name_only_and_says_so() {
        let SignInStep::Page(html) = page("http://127.0.0.1:9000/sign-in/callback", "f").unwrap() else {
            panic!("the local sign-in left for another server");
        };
        assert!(html.contains("no password"), "{html}");
        let [form] = Form::all(&html).try_into().unwrap();
        assert_eq!(form.action, "http://127.0.0.1:9000/sign-in/callback");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(form.fields, [pair("flow", "f"), pair(USER_NAME, "")]);
    }

    #[test]
    fn whatever_stands_on_the_page_is_escaped() {
        let SignInStep::Page(html) = page("\"><script>", "'\"><script>").unwrap() else {
            panic!("the local sign-in left for another server");
        };
        assert!(!html.contains("<script>"), "{html}");
    }

    /// CID-04: a subject can be taken neither for a URL nor for an e-mail address.
    #[test]
    fn user_names_are_plain_lower_case_words() {
        for name in ["ada", "a", "grace.hopper", "x-1_2", &"a".repeat(USER_NAME_MAX)] {
            assert_eq!(user(name).unwrap().subject, name);
        }
        for name in [
            "",
            " ada",
            "Ada",
            "1ada",
            ".ada",
            "ada@example.com",
            "https://ada.example",
            "a/b",
            "a b",
            "ä",
            "ada\n",
            "ada\u{202e}",
            "<b>",
            &"a".repeat(USER_NAME_MAX + 1),
        ] {
            assert!(matches!(user(name), Err(SignInError::Invalid(_))), "{name:?}");
        }
    }
}
