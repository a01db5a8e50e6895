//! What a client says about itself (RFC 7591 §2), whichever way it became known.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::redirect::RedirectUri;

/// Most keys in one client's JWK set: a few algorithms, each with an old, a current, and a next key.
pub const CLIENT_KEYS_MAX: usize = 20;

/// Members that only a private or symmetric key has (RFC 7518 §6.2.2, §6.3.2, §6.4.1; `priv` of the `AKP`
/// key type).
const PRIVATE_KEY_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// A client's metadata after parsing: every member known to us, none of them trusted (DOC-06).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientMetadata {
    /// `client_name`: self-asserted, for display beside the host and never alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// `client_uri`, shown as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    /// `logo_uri`, never hot-linked (DOC-40).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    /// `tos_uri`, shown as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
    /// `policy_uri`, shown as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    /// The `redirect_uris` that can match a request.
    pub redirect_uris: Vec<RedirectUri>,
    /// The `redirect_uris` that we will not honour: kept for administrators, never matched (DOC-23). Each
    /// with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable_redirect_uris: Vec<UnusableRedirectUri>,
    /// `grant_types` that we know; others are filtered, not fatal.
    pub grant_types: Vec<GrantType>,
    /// `response_types` that we know.
    pub response_types: Vec<ResponseType>,
    /// How the client declared it can authenticate at the token endpoint.
    pub auth_methods: AuthMethods,
    /// Where its public keys are.
    #[serde(default, skip_serializing_if = "ClientKeys::is_none")]
    pub keys: ClientKeys,
    /// `scope`: what the client may ask for. Not an upper bound (DOC-35).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// `application_type`; absent means unknown (DOC-36).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_type: Option<ApplicationType>,
    /// `software_id`: self-asserted, proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    /// `software_version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    /// `dpop_bound_access_tokens` (RFC 9449 §5.2).
    #[serde(default)]
    pub dpop_bound_access_tokens: bool,
}

impl ClientMetadata {
    /// The registered redirect URI that `requested` stands for (RED-01).
    pub fn matching_redirect_uri(&self, requested: &str) -> Option<&RedirectUri> {
        self.redirect_uris.iter().find(|registered| registered.matches(requested))
    }

    /// Whether the client may use `grant_type` (DOC-30).
    pub fn may_use(&self, grant_type: GrantType) -> bool {
        self.grant_types.contains(&grant_type)
    }
}

/// A redirect URI that was listed and will never match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusableRedirectUri {
    /// As listed. Untrusted text: escape it, never make a link of it.
    pub unverified_uri: String,
    /// Why it is not honoured, in words for an administrator.
    pub reason: String,
}

/// The grant types this server knows, by their registered names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GrantType {
    /// RFC 6749 §4.1.
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
    /// RFC 6749 §6.
    #[serde(rename = "refresh_token")]
    RefreshToken,
    /// RFC 6749 §4.4.
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    /// RFC 7523 §2.1.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
}

impl GrantType {
    /// Reads a registered name; `None` for one that this server does not know.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials, Self::JwtBearer]
            .into_iter()
            .find(|grant_type| grant_type.as_str() == name)
    }

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }
}

/// The response types this server knows: one (OAuth 2.1 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResponseType {
    /// `code`.
    #[serde(rename = "code")]
    Code,
}

/// `application_type` (OpenID Connect Registration §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationType {
    /// Installed on a person's device.
    Native,
    /// Runs on a server.
    Web,
}

/// A way to authenticate at the token endpoint, by its registered name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// Public client.
    None,
    /// Secret in the `Authorization` header (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// Secret in the body (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// Signed assertion (RFC 7523 §2.2).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// The methods that this server supports, on all its endpoints.
    pub const SUPPORTED: [Self; 4] =
        [Self::None, Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt];

    /// Reads a registered name; `None` for one that this server does not know.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::SUPPORTED.into_iter().find(|method| method.as_str() == name)
    }

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

/// `token_endpoint_auth_method` names a method that `token_endpoint_auth_methods_supported` does not list
/// (DOC-25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token_endpoint_auth_method is not among token_endpoint_auth_methods_supported")]
pub struct ContradictoryAuthMethods;

/// The client declared methods, and this server offers none of them: `unauthorized_client` at the
/// authorization endpoint, after sign-in (AUT-31).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no authentication method of the client is supported")]
pub struct NoneSupported;

/// The methods a client declared, as far as this server knows them; the client's preferred one first.
///
/// Empty when all that was declared is unknown here. That is never read as `none`: a client that stated a
/// list must not be downgraded to public (DOC-25).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthMethods(Vec<AuthMethod>);

impl AuthMethods {
    /// Reads `token_endpoint_auth_method` (`singular`) and `token_endpoint_auth_methods_supported`
    /// (`plural`); `absent` is what neither means: `none` for a metadata document (DOC-24),
    /// `client_secret_basic` for a registration (RFC 7591 §2). Unknown names are ignored.
    ///
    /// # Errors
    /// [`ContradictoryAuthMethods`] if both are given and disagree.
    pub fn from_declared(
        singular: Option<&str>,
        plural: Option<&[String]>,
        absent: AuthMethod,
    ) -> Result<Self, ContradictoryAuthMethods> {
        let names: Vec<&str> = match (singular, plural) {
            (None, None) => vec![absent.as_str()],
            (Some(singular), None) => vec![singular],
            (None, Some(plural)) => plural.iter().map(String::as_str).collect(),
            (Some(singular), Some(plural)) => {
                if !plural.iter().any(|name| name == singular) {
                    return Err(ContradictoryAuthMethods);
                }
                std::iter::once(singular).chain(plural.iter().map(String::as_str)).collect()
            }
        };
        let mut methods = Vec::new();
        for method in names.into_iter().filter_map(AuthMethod::from_name) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        Ok(Self(methods))
    }

    /// The declared methods that this server knows.
    pub fn declared(&self) -> &[AuthMethod] {
        &self.0
    }

    /// Whether the client declared `method`.
    pub fn contains(&self, method: AuthMethod) -> bool {
        self.0.contains(&method)
    }

    /// Whether policy must treat the client as public: it offers `none`, so nobody need prove anything to
    /// be it (CAU-13).
    pub fn is_public(&self) -> bool {
        self.contains(AuthMethod::None)
    }

    /// The methods both sides have, the client's preferred one first; any of them is acceptable (DOC-26).
    ///
    /// # Errors
    /// [`NoneSupported`] if there is no such method.
    pub fn usable(&self, supported: &[AuthMethod]) -> Result<Vec<AuthMethod>, NoneSupported> {
        let usable: Vec<_> = self.0.iter().copied().filter(|method| supported.contains(method)).collect();
        if usable.is_empty() { Err(NoneSupported) } else { Ok(usable) }
    }
}

/// Where a client's public keys are (`jwks`, `jwks_uri`; never both, DOC-28).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKeys {
    /// It published none.
    #[default]
    None,
    /// Inside the metadata.
    Inline(PublicJwks),
    /// Behind an `https` URL, fetched through the guard when needed.
    Uri(String),
}

impl ClientKeys {
    /// Whether they are behind a URL.
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::Uri(_))
    }

    /// Whether there are no keys.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// Why a JWK set is not one we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Not an object with an array `keys` of objects that have a `kty` (RFC 7517 §5).
    #[error("the JWK set is malformed")]
    Malformed,
    /// More than [`CLIENT_KEYS_MAX`].
    #[error("the JWK set holds too many keys")]
    TooMany,
    /// DOC-12: private or symmetric key material.
    #[error("the JWK set holds private or symmetric key material")]
    Private,
}

/// A JWK set (RFC 7517 §5) that holds public keys only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct PublicJwks(Value);

impl PublicJwks {
    /// The set as JSON.
    pub fn as_json(&self) -> &Value {
        &self.0
    }
}

impl TryFrom<Value> for PublicJwks {
    type Error = JwksError;

    fn try_from(set: Value) -> Result<Self, Self::Error> {
        let keys = set.get("keys").and_then(Value::as_array).ok_or(JwksError::Malformed)?;
        if keys.len() > CLIENT_KEYS_MAX {
            return Err(JwksError::TooMany);
        }
        for key in keys {
            let key = key.as_object().ok_or(JwksError::Malformed)?;
            key.get("kty").and_then(Value::as_str).ok_or(JwksError::Malformed)?;
            if is_private_key(key) {
                return Err(JwksError::Private);
            }
        }
        Ok(Self(set))
    }
}

impl From<PublicJwks> for Value {
    fn from(keys: PublicJwks) -> Self {
        keys.0
    }
}

/// Whether `object` is a JWK with private or symmetric material (DOC-12).
pub fn is_private_key(object: &Map<String, Value>) -> bool {
    let Some(kty) = object.get("kty") else { return false };
    kty == "oct" || PRIVATE_KEY_MEMBERS.iter().any(|member| object.contains_key(*member))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn methods(
        singular: Option<&str>,
        plural: Option<&[&str]>,
    ) -> Result<AuthMethods, ContradictoryAuthMethods> {
        let plural = plural.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        AuthMethods::from_declared(singular, plural.as_deref(), AuthMethod::None)
    }

    /// DOC-24 to DOC-26, D14 to D17, D25, D26, D28 to D31: the declaration and what is left of it.
    #[test]
    fn declared_methods_are_never_read_more_publicly_than_they_were_stated() {
        use AuthMethod::{None as Public, PrivateKeyJwt};
        const BOTH: &[AuthMethod] = &[PrivateKeyJwt, Public];
        const PUBLIC_ONLY: &[AuthMethod] = &[Public];
        let usable =
            |singular, plural, supported| methods(singular, plural).map(|methods| methods.usable(supported));

        assert_eq!(usable(None, None, BOTH), Ok(Ok(vec![Public])));
        assert_eq!(usable(Some("none"), None, BOTH), Ok(Ok(vec![Public])));
        assert_eq!(usable(Some("private_key_jwt"), None, BOTH), Ok(Ok(vec![PrivateKeyJwt])));
        // D28
        assert_eq!(usable(Some("private_key_jwt"), None, PUBLIC_ONLY), Ok(Err(NoneSupported)));
        // D14
        let both: Option<&[&str]> = Some(&["none", "private_key_jwt"]);
        assert_eq!(usable(Some("none"), both, BOTH), Ok(Ok(vec![Public, PrivateKeyJwt])));
        // D29: the singular is what the client prefers
        assert_eq!(usable(Some("private_key_jwt"), both, BOTH), Ok(Ok(vec![PrivateKeyJwt, Public])));
        assert_eq!(usable(Some("private_key_jwt"), both, PUBLIC_ONLY), Ok(Ok(vec![Public])));
        // D15
        assert_eq!(usable(Some("none"), Some(&["private_key_jwt"]), BOTH), Err(ContradictoryAuthMethods));
        assert_eq!(usable(Some("none"), Some(&[]), BOTH), Err(ContradictoryAuthMethods));
        // D16
        assert_eq!(usable(None, Some(&["private_key_jwt"]), BOTH), Ok(Ok(vec![PrivateKeyJwt])));
        assert_eq!(usable(None, Some(&["private_key_jwt"]), PUBLIC_ONLY), Ok(Err(NoneSupported)));
        // D17, D31
        assert_eq!(usable(None, Some(&["tls_client_auth"]), BOTH), Ok(Err(NoneSupported)));
        assert_eq!(usable(Some("tls_client_auth"), None, BOTH), Ok(Err(NoneSupported)));
        assert_eq!(usable(None, Some(&[]), BOTH), Ok(Err(NoneSupported)));
        // D25, D26
        assert_eq!(usable(None, Some(&["none"]), BOTH), Ok(Ok(vec![Public])));
        assert_eq!(usable(None, Some(&["tls_client_auth", "none"]), BOTH), Ok(Ok(vec![Public])));
        assert_eq!(
            usable(Some("tls_client_auth"), Some(&["tls_client_auth", "none"]), BOTH),
            Ok(Ok(vec![Public]))
        );

        assert!(methods(Some("private_key_jwt"), both).unwrap().is_public());
        assert!(!methods(None, Some(&["private_key_jwt"])).unwrap().is_public());
        assert!(!methods(None, Some(&[])).unwrap().is_public());
        let registered = AuthMethods::from_declared(None, None, AuthMethod::ClientSecretBasic).unwrap();
        assert_eq!(registered.declared(), [AuthMethod::ClientSecretBasic]);
    }

    /// DOC-12, D09: a set with anything secret in it never becomes a `PublicJwks`.
    #[test]
    fn a_key_set_is_public_and_bounded() {
        let set = |key: Value| PublicJwks::try_from(json!({ "keys": [key] }));
        assert!(set(json!({"kty": "EC", "crv": "P-256", "x": "a", "y": "b"})).is_ok());
        assert!(set(json!({"kty": "RSA", "n": "a", "e": "AQAB"})).is_ok());
        assert!(PublicJwks::try_from(json!({"keys": []})).is_ok());
        for member in PRIVATE_KEY_MEMBERS {
            assert_eq!(
                set(json!({"kty": "RSA", "n": "a", "e": "AQAB", member: "x"})),
                Err(JwksError::Private)
            );
        }
        assert_eq!(set(json!({"kty": "oct"})), Err(JwksError::Private));
        for malformed in
            [json!({}), json!([]), json!({"keys": {}}), json!({"keys": [1]}), json!({"keys": [{}]})]
        {
            assert_eq!(PublicJwks::try_from(malformed.clone()), Err(JwksError::Malformed), "{malformed}");
        }
        let keys = vec![json!({"kty": "EC"}); CLIENT_KEYS_MAX + 1];
        assert_eq!(PublicJwks::try_from(json!({ "keys": keys })), Err(JwksError::TooMany));
    }

    #[test]
    fn wire_names_are_the_registered_ones() {
        for method in ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] {
            let read = AuthMethod::from_name(method).unwrap();
            assert_eq!((read.as_str(), serde_json::to_value(read).unwrap()), (method, json!(method)));
        }
        let jwt_bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        for grant_type in ["authorization_code", "refresh_token", "client_credentials", jwt_bearer] {
            let read = GrantType::from_name(grant_type).unwrap();
            assert_eq!((read.as_str(), serde_json::to_value(read).unwrap()), (grant_type, json!(grant_type)));
        }
        assert_eq!(GrantType::from_name("implicit"), None);
        assert_eq!(AuthMethod::from_name("client_secret_jwt"), None);
    }
}
