//! Signing people in at the organisation's OpenID provider (OpenID Connect Core §3.1).
//!
//! Code flow with PKCE, `state`, and `nonce`. All three come from one secret that stands sealed in the
//! cookie of the browser that began the flow, so an answer that reaches another browser is worth nothing.
//! Who a person is follows from issuer and `sub` alone: a name or an e-mail address can change hands.

mod id_token;
mod provider;
mod settings;

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use shared::clock::Timestamp;
use shared::oauth::Params;
use shared::random::Random;
use url::Url;

use crate::sign_in::{
    SignInAnswer, SignInError, SignInFuture, SignInRequest, SignInStep, User, UserAuthenticator,
};

pub use provider::ProviderSetupError;
pub use settings::{ClientAuthentication, SettingsError, UpstreamSettings};

use id_token::Expected;
use provider::{Metadata, Provider};

/// Bytes of the secret behind `state`, `nonce`, and verifier.
const SECRET_BYTES: usize = 32;

/// Groups of one person that are looked at; they travel in the session's cookie.
const GROUPS_MAX: usize = 64;

/// Bytes of all groups together, for the same reason.
const GROUPS_BYTES_MAX: usize = 1_500;

/// Characters of a name on our pages.
const NAME_CHARS_MAX: usize = 100;

/// The organisation's OpenID provider.
pub struct OpenIdProvider {
    settings: UpstreamSettings,
    provider: Provider,
    random: Arc<dyn Random>,
}

impl std::fmt::Debug for OpenIdProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenIdProvider").field("issuer", &self.settings.issuer).finish_non_exhaustive()
    }
}

/// What must be known when the answer comes.
struct Remembered<'a> {
    secret: &'a str,
    /// When a person who had to show themselves again was sent there.
    fresh_since: Option<Timestamp>,
}

impl<'a> Remembered<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        match text.split_once('.') {
            None if text.is_empty() => None,
            None => Some(Self { secret: text, fresh_since: None }),
            Some((secret, since)) => {
                let since = since.parse().ok().map(Timestamp::from_epoch_seconds)?;
                Some(Self { secret, fresh_since: Some(since) })
            }
        }
    }
}

/// A value for `purpose` that tells nothing about the secret it comes from.
fn derived(secret: &str, purpose: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, format!("nameplate {purpose} {secret}").as_bytes()))
}

impl OpenIdProvider {
    /// The provider that `settings` name. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ProviderSetupError`] if no HTTPS client can be built.
    pub fn new(settings: UpstreamSettings, random: Arc<dyn Random>) -> Result<Self, ProviderSetupError> {
        Ok(Self { provider: Provider::new(&settings)?, settings, random })
    }

    async fn begin_now(&self, request: &SignInRequest) -> Result<SignInStep, SignInError> {
        let metadata = self.provider.metadata(request.now).await?;
        let secret: [u8; SECRET_BYTES] =
            self.random.bytes().map_err(|error| SignInError::Unavailable(error.to_string()))?;
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let mut url = Url::parse(&metadata.authorization_endpoint)
            .map_err(|_| SignInError::Unavailable("the authorization endpoint is no URL".to_owned()))?;
        let state = format!("{}.{}", request.flow, derived(&secret, "state"));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &request.callback)
            .append_pair("scope", &self.settings.scopes)
            .append_pair("state", &state)
            .append_pair("nonce", &derived(&secret, "nonce"))
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes())))
            .append_pair("code_challenge_method", "S256");
        if !self.settings.acr_values.is_empty() {
            url.query_pairs_mut().append_pair("acr_values", &self.settings.acr_values.join(" "));
        }
        let mut remember = secret;
        if request.fresh {
            url.query_pairs_mut().append_pair("prompt", "login");
            remember = format!("{remember}.{}", request.now);
        }
        Ok(SignInStep::Redirect { location: url.into(), remember })
    }

    async fn complete_now(&self, answer: &SignInAnswer) -> Result<User, SignInError> {
        let foreign = |what: &str| SignInError::NotGenuine(what.to_owned());
        let remembered =
            Remembered::parse(&answer.remembered).ok_or_else(|| foreign("no sign-in is under way"))?;
        let state = answer.params.get("state").and_then(|state| state.split_once('.')).map(|(_, mark)| mark);
        if state != Some(derived(remembered.secret, "state").as_str()) {
            return Err(foreign("state is not the one that was sent"));
        }
        let metadata = self.provider.metadata(answer.now).await?;
        // RFC 9207 §2.4, FM086: before anything in the answer is believed.
        match answer.params.get("iss") {
            Some(issuer) if issuer == self.settings.issuer => {}
            Some(_) => return Err(foreign("iss names another provider")),
            None if metadata.sends_iss => return Err(foreign("iss is missing")),
            None => {}
        }
        if let Some(error) = answer.params.get("error") {
            return Err(refusal(error, &answer.params));
        }
        let code = answer.params.get("code").ok_or_else(|| foreign("there is no code"))?;
        let tokens = self
            .provider
            .redeem(&metadata, &self.settings, code, remembered.secret, answer, self.random.as_ref())
            .await?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: &derived(remembered.secret, "nonce"),
            acr_values: &self.settings.acr_values,
            fresh_since: remembered.fresh_since,
            now: answer.now,
        };
        let claims = self.provider.verify(&metadata, &tokens.id_token, &expected).await?;
        self.user(&metadata, claims, &tokens).await
    }

    /// Providers put names and groups into the ID token, or only into the userinfo answer (GitLab, and
    /// whoever follows OpenID Connect Core §5.4 to the letter).
    async fn user(
        &self,
        metadata: &Metadata,
        claims: id_token::Claims,
        tokens: &provider::Tokens,
    ) -> Result<User, SignInError> {
        let mut known = claims.all;
        let name = |known: &Value| self.settings.name_claims.iter().find_map(|claim| text(known, claim));
        let missing = name(&known).is_none() || member(&known, &self.settings.groups_claim).is_none();
        if missing && let Some(more) = self.provider.userinfo(metadata, tokens).await? {
            // OpenID Connect Core §5.3.2: an answer about somebody else is not used.
            if more.get("sub").and_then(Value::as_str) != Some(claims.sub.as_str()) {
                return Err(SignInError::NotGenuine("userinfo is about somebody else".to_owned()));
            }
            if let (Some(known), Value::Object(more)) = (known.as_object_mut(), more) {
                for (claim, value) in more {
                    known.entry(claim).or_insert(value);
                }
            }
        }
        let subject = subject(&self.settings.issuer, &claims.sub);
        let name = name(&known).unwrap_or_else(|| subject.chars().take(8).collect());
        Ok(User { subject, name, groups: groups(member(&known, &self.settings.groups_claim)) })
    }
}

/// CID-04: neither an address nor a URL, and the same person at two providers is two people.
fn subject(issuer: &str, sub: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, format!("{issuer}\n{sub}").as_bytes()))
}

/// A claim, by its name or, where it lies deeper (Keycloak's `realm_access.roles`), by its path.
fn member<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| path.split('.').try_fold(claims, |value, name| value.get(name)))
}

fn text(claims: &Value, claim: &str) -> Option<String> {
    let text = member(claims, claim)?.as_str()?;
    let plain: String =
        text.chars().filter(|character| !character.is_control()).take(NAME_CHARS_MAX).collect();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.to_owned())
}

/// A list of texts, or one text. What does not fit is left out: groups only ever open doors.
fn groups(claim: Option<&Value>) -> Vec<String> {
    let listed = match claim {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one.as_str()],
        _ => Vec::new(),
    };
    let mut bytes = 0;
    let mut groups: Vec<String> = Vec::new();
    for group in listed {
        bytes += group.len();
        if groups.len() == GROUPS_MAX || bytes > GROUPS_BYTES_MAX {
            tracing::warn!(groups = listed_len(claim), "the person has more groups than a session holds");
            break;
        }
        groups.push(group.to_owned());
    }
    groups
}

fn listed_len(claim: Option<&Value>) -> usize {
    claim.and_then(Value::as_array).map_or(1, Vec::len)
}

/// OpenID Connect Core §3.1.2.6, OAuth 2.1 §4.1.2.1: what the provider says instead of a code.
fn refusal(error: &str, params: &Params) -> SignInError {
    let reason = || {
        let description = params.get("error_description").unwrap_or_default();
        format!("{error} {description}").chars().filter(|c| !c.is_control()).take(200).collect()
    };
    match error {
        "server_error" | "temporarily_unavailable" => SignInError::Unavailable(reason()),
        "access_denied"
        | "login_required"
        | "interaction_required"
        | "consent_required"
        | "account_selection_required"
        | "unmet_authentication_requirements" => SignInError::Denied(reason()),
        // Everything else means that we are set up wrongly over there.
        _ => SignInError::Unavailable(reason()),
    }
}

impl UserAuthenticator for OpenIdProvider {
    fn begin<'a>(&'a self, request: &'a SignInRequest) -> SignInFuture<'a, SignInStep> {
        Box::pin(self.begin_now(request))
    }

    fn complete<'a>(&'a self, answer: &'a SignInAnswer) -> SignInFuture<'a, User> {
        Box::pin(self.complete_now(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CID-04: the subject is neither the e-mail address nor a URL, and differs by provider.
    #[test]
    fn a_subject_follows_from_issuer_and_sub_alone() {
        let one = subject("https://a.example", "42");
        assert_eq!(one, subject("https://a.example", "42"));
        assert_ne!(one, subject("https://b.example", "42"));
        assert_ne!(one, subject("https://a.example", "43"));
        assert!(one.len() == 43 && !one.contains(['@', ':', '/', '.']), "{one}");
    }

    #[test]
    fn groups_are_read_from_lists_single_texts_and_paths_and_bounded() {
        let claims = serde_json::json!({
            "groups": ["a", 1, "b"], "one": "x", "realm_access": {"roles": ["deep"]}, "a.b": "flat",
        });
        assert_eq!(groups(member(&claims, "groups")), ["a", "b"]);
        assert_eq!(groups(member(&claims, "one")), ["x"]);
        assert_eq!(groups(member(&claims, "realm_access.roles")), ["deep"]);
        assert_eq!(groups(member(&claims, "a.b")), ["flat"]);
        assert_eq!(groups(member(&claims, "none")), Vec::<String>::new());
        let many: Vec<String> = (0..GROUPS_MAX + 5).map(|n| n.to_string()).collect();
        assert_eq!(groups(Some(&serde_json::json!(many))).len(), GROUPS_MAX);
        let long = vec!["g".repeat(400); 10];
        assert_eq!(groups(Some(&serde_json::json!(long))).len(), 3);
    }

    #[test]
    fn names_lose_control_characters_and_length() {
        let claims = serde_json::json!({"name": format!(" A\u{0}d\na{} ", "x".repeat(200)), "empty": " "});
        assert!(text(&claims, "name").unwrap().starts_with("Ada"));
        assert!(text(&claims, "name").unwrap().chars().count() <= NAME_CHARS_MAX);
        assert_eq!(text(&claims, "empty"), None);
    }
}
