//! What must be known about the provider, from the environment.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::EncodingKey;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use shared::oauth::Issuer;
use shared::secret::Secret;
use url::Url;

/// How we show the provider that we are its client.
#[derive(Clone)]
pub enum ClientAuthentication {
    /// A secret that the provider gave us (OAuth 2.1 §2.4.1).
    ClientSecret(Secret),
    /// A P-256 key whose public half the provider knows (`private_key_jwt`, OpenID Connect Core §9).
    PrivateKey {
        /// The private key.
        key: EncodingKey,
        /// Its `kid` at the provider.
        kid: Option<String>,
    },
}

impl std::fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ClientSecret(_) => f.write_str("ClientSecret([redacted])"),
            Self::PrivateKey { kid, .. } => {
                f.debug_struct("PrivateKey").field("kid", kid).finish_non_exhaustive()
            }
        }
    }
}

/// The provider and our registration there.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Its issuer identifier, exactly as its metadata spells it.
    pub issuer: String,
    /// Our client identifier there.
    pub client_id: String,
    /// How we authenticate.
    pub authentication: ClientAuthentication,
    /// What we ask for, separated by spaces.
    pub scopes: String,
    /// The claims that may hold a person's name, the best first.
    pub name_claims: Vec<String>,
    /// The claim that holds their groups.
    pub groups_claim: String,
    /// The ways to sign in that are good enough; any, if empty.
    pub acr_values: Vec<String>,
}

/// Why the provider cannot be used. One line that names the variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A required variable is unset or empty.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// Not an https URL without query and fragment.
    #[error(
        "UPSTREAM_ISSUER must be an https URL without query and fragment (http only on loopback, and only for a loopback issuer)"
    )]
    Issuer,
    /// Both kinds of authentication.
    #[error("UPSTREAM_CLIENT_SECRET and UPSTREAM_PRIVATE_KEY exclude each other")]
    TwoAuthentications,
    /// Not a private key.
    #[error("UPSTREAM_PRIVATE_KEY must be a P-256 key, PKCS#8 in PEM")]
    PrivateKey,
    /// Not an OpenID request.
    #[error("UPSTREAM_SCOPES must contain openid")]
    Scopes,
}

/// OpenID Connect Core §5.4: `profile` brings the name.
const SCOPES_DEFAULT: &str = "openid profile";

const NAME_CLAIMS_DEFAULT: &str = "name preferred_username";

const GROUPS_CLAIM_DEFAULT: &str = "groups";

impl UpstreamSettings {
    /// Settings with the usual scopes and claims.
    ///
    /// # Errors
    /// [`SettingsError::Issuer`] if `issuer` cannot be one. `ours` is our own issuer: http is for a
    /// provider on this machine, and only while we are on this machine too.
    pub fn new(
        issuer: &str,
        client_id: &str,
        authentication: ClientAuthentication,
        ours: &Issuer,
    ) -> Result<Self, SettingsError> {
        if !is_usable(issuer, ours.is_loopback()) || issuer.contains(['?', '#', '@']) {
            return Err(SettingsError::Issuer);
        }
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Ok(Self {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            authentication,
            scopes: SCOPES_DEFAULT.to_owned(),
            name_claims: words(NAME_CLAIMS_DEFAULT),
            groups_claim: GROUPS_CLAIM_DEFAULT.to_owned(),
            acr_values: Vec::new(),
        })
    }

    /// Reads the variables through `get`, which answers `None` for an unset one.
    ///
    /// # Errors
    /// [`SettingsError`] naming the first variable that is missing or wrong.
    pub fn read(get: impl Fn(&'static str) -> Option<String>, ours: &Issuer) -> Result<Self, SettingsError> {
        let set = |name| get(name).filter(|value: &String| !value.trim().is_empty());
        let required = |name| set(name).ok_or(SettingsError::Missing(name));
        let issuer = required("UPSTREAM_ISSUER")?;
        let client_id = required("UPSTREAM_CLIENT_ID")?;
        let authentication = match (set("UPSTREAM_CLIENT_SECRET"), set("UPSTREAM_PRIVATE_KEY")) {
            (Some(_), Some(_)) => return Err(SettingsError::TwoAuthentications),
            (Some(secret), None) => ClientAuthentication::ClientSecret(Secret::new(secret.trim().to_owned())),
            (None, Some(pem)) => private_key(&pem, set("UPSTREAM_PRIVATE_KEY_ID"))?,
            (None, None) => return Err(SettingsError::Missing("UPSTREAM_CLIENT_SECRET")),
        };
        let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut settings = Self::new(&issuer, &client_id, authentication, ours)?;
        if let Some(scopes) = set("UPSTREAM_SCOPES").map(words) {
            if !scopes.iter().any(|scope| scope == "openid") {
                return Err(SettingsError::Scopes);
            }
            settings.scopes = scopes.join(" ");
        }
        if let Some(claims) = set("UPSTREAM_NAME_CLAIMS").map(words) {
            settings.name_claims = claims;
        }
        if let Some(claim) = set("UPSTREAM_GROUPS_CLAIM") {
            settings.groups_claim = claim.trim().to_owned();
        }
        settings.acr_values = set("UPSTREAM_ACR_VALUES").map(words).unwrap_or_default();
        Ok(settings)
    }

    /// Whether the provider may stand on this machine, without TLS.
    pub(super) fn is_loopback(&self) -> bool {
        self.issuer.starts_with("http://")
    }
}

fn private_key(pem: &str, kid: Option<String>) -> Result<ClientAuthentication, SettingsError> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| SettingsError::PrivateKey)?;
    // Found out now and not at the first sign-in.
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
        .map_err(|_| SettingsError::PrivateKey)?;
    Ok(ClientAuthentication::PrivateKey { key: EncodingKey::from_ec_der(der.secret_pkcs8_der()), kid })
}

/// https, or http on this very machine where that is allowed.
pub(super) fn is_usable(url: &str, loopback: bool) -> bool {
    Url::parse(url).is_ok_and(|url| match url.scheme() {
        "https" => url.has_host(),
        "http" => loopback && matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: [(&str, &str); 3] = [
        ("UPSTREAM_ISSUER", "https://login.example/tenant/v2.0"),
        ("UPSTREAM_CLIENT_ID", "nameplate"),
        ("UPSTREAM_CLIENT_SECRET", "secret\n"),
    ];

    fn read(changes: &[(&str, &str)], ours: &str) -> Result<UpstreamSettings, SettingsError> {
        let mut variables = COMPLETE.to_vec();
        for (name, value) in changes {
            variables.retain(|(found, _)| found != name);
            variables.push((name, value));
        }
        let ours = Issuer::parse(ours).unwrap();
        UpstreamSettings::read(
            |name| variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned()),
            &ours,
        )
    }

    /// FM055: no start without a provider, and the line names what is missing.
    #[test]
    fn a_missing_or_wrong_variable_is_named() {
        const OURS: &str = "https://as.example";
        for (name, _) in COMPLETE {
            let refused = read(&[(name, " ")], OURS).unwrap_err().to_string();
            assert_eq!(refused, format!("{name} is not set"));
        }
        for issuer in ["http://login.example", "login", "https://login.example?x", "http://127.0.0.1:1"] {
            assert_eq!(
                read(&[("UPSTREAM_ISSUER", issuer)], OURS).unwrap_err(),
                SettingsError::Issuer,
                "{issuer}"
            );
        }
        assert_eq!(read(&[("UPSTREAM_SCOPES", "profile")], OURS).unwrap_err(), SettingsError::Scopes);
        let key = [("UPSTREAM_PRIVATE_KEY", "junk")];
        assert_eq!(read(&key, OURS).unwrap_err(), SettingsError::TwoAuthentications);
        let key = [("UPSTREAM_PRIVATE_KEY", "junk"), ("UPSTREAM_CLIENT_SECRET", "")];
        assert_eq!(read(&key, OURS).unwrap_err(), SettingsError::PrivateKey);
    }

    #[test]
    fn a_provider_on_this_machine_needs_an_issuer_on_this_machine() {
        let local = [("UPSTREAM_ISSUER", "http://127.0.0.1:9999")];
        assert!(read(&local, "http://127.0.0.1:9000").unwrap().is_loopback());
        assert_eq!(read(&local, "https://as.example").unwrap_err(), SettingsError::Issuer);
    }

    #[test]
    fn scopes_and_claims_have_defaults_and_can_be_chosen() {
        let plain = read(&[], "https://as.example").unwrap();
        assert_eq!((plain.scopes.as_str(), plain.groups_claim.as_str()), ("openid profile", "groups"));
        let chosen = [("UPSTREAM_SCOPES", "openid  email"), ("UPSTREAM_ACR_VALUES", "a b")];
        let chosen = read(&chosen, "https://as.example").unwrap();
        assert_eq!((chosen.scopes.as_str(), chosen.acr_values.len()), ("openid email", 2));
        assert!(!format!("{chosen:?}").contains("secret\n"));
    }
}
