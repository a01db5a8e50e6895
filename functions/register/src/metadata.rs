//! From a registration request to the metadata that is registered, and to the client identifier it has.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::cimd::json;
use shared::client::id::{ClientId, DYNAMIC_PREFIX};
use shared::client::members::Members;
use shared::client::metadata::{
    AuthMethod, AuthMethods, ClientKeys, ClientMetadata, GrantType, ResponseType,
};
use shared::client::redirect::{RedirectKind, RedirectUri, RedirectUriError, RedirectUriFault};
use shared::oauth::Scope;
use shared::policy::{Authentication, ClientFacts, Policy, Profile};
use shared::tool::{Mechanism, ToolId};

use crate::error::RegisterError;

/// What a self-registered client can do at most: act for a person who agreed.
const GRANT_TYPES: [GrantType; 2] = [GrantType::AuthorizationCode, GrantType::RefreshToken];

/// A registration request after reading.
#[derive(Debug)]
pub(crate) struct Requested {
    /// The digest of `metadata`.
    pub(crate) client_id: ClientId,
    /// The tool it belongs to.
    pub(crate) tool: ToolId,
    /// What is stored: normalised, so that two installations of one software say the same.
    pub(crate) metadata: ClientMetadata,
    /// Its redirect URIs as this installation wrote them, in its order.
    pub(crate) redirect_uris: Vec<RedirectUri>,
}

impl Requested {
    /// Reads the `body`. What we do not register is dropped (RFC 7591 §2), and what policy does not allow
    /// such clients is not registered (SPEC 2.8; RFC 7591 §3.2.1).
    pub(crate) fn parse(body: &[u8], policy: &Policy) -> Result<Self, RegisterError> {
        let members = Members::new(json::parse_object(body)?);
        // Not registered, but a key that was sent to us is in wrong hands, and a contradiction is one.
        members.check_no_private_key()?;
        members.keys()?;
        let redirect_uris = redirect_uris(&members)?;
        let (grant_types, response_types) = grants(&members)?;
        let mut metadata = ClientMetadata {
            client_name: members.client_name()?,
            client_uri: members.web_page("client_uri")?,
            logo_uri: members.web_page("logo_uri")?,
            tos_uri: members.web_page("tos_uri")?,
            policy_uri: members.web_page("policy_uri")?,
            redirect_uris,
            unusable_redirect_uris: Vec::new(),
            grant_types,
            response_types,
            auth_methods: auth_methods(&members)?,
            keys: ClientKeys::None,
            scope: None,
            application_type: members.application_type()?,
            software_id: members.string("software_id")?.map(str::to_owned),
            // A new version every week must not be a new client every week.
            software_version: None,
            dpop_bound_access_tokens: members.boolean("dpop_bound_access_tokens")?.unwrap_or(false),
        };
        let profile = policy.profile(&ClientFacts::new(Mechanism::Dynamic, None, &metadata));
        metadata.scope = scope(&members, profile, policy)?;
        hold_to(profile, &mut metadata)?;
        let redirect_uris = std::mem::take(&mut metadata.redirect_uris);
        metadata.redirect_uris = normalised(&redirect_uris);
        let client_id = client_id(&metadata)?;
        let tool = match policy.adopting_tool(&client_id, &metadata) {
            Some(tool) => tool.clone(),
            None => ToolId::of_registration(place(&metadata), client_id.as_str()),
        };
        Ok(Self { client_id, tool, metadata, redirect_uris })
    }

    /// GOV-15: neither the client nor a host that its answers go to may be blocked.
    pub(crate) fn refuse_blocked(&self, policy: &Policy) -> Result<(), RegisterError> {
        let of_host = self
            .metadata
            .redirect_uris
            .iter()
            .filter(|uri| uri.kind() == RedirectKind::Https)
            .find_map(|uri| policy.blocked.host(uri.host_for_display()));
        match policy.block(&self.client_id, None).or(of_host) {
            Some(block) => Err(RegisterError::Blocked(block)),
            None => Ok(()),
        }
    }
}

/// One that could lead a person astray refuses the request (M10, DOC-22). One that merely never matches is
/// dropped, as long as others are left: an editor lists its private-use scheme and a loopback URI without a
/// path beside those that work.
fn redirect_uris(members: &Members) -> Result<Vec<RedirectUri>, RegisterError> {
    let mut usable = Vec::new();
    let mut dropped = None;
    for text in members.redirect_uris()? {
        match RedirectUri::parse(&text) {
            Ok(uri) if uri.kind() == RedirectKind::PrivateUse => {
                dropped = Some(RegisterError::PrivateUseScheme);
            }
            Ok(uri) => usable.push(uri),
            Err(RedirectUriError::Unusable(
                fault @ (RedirectUriFault::SchemeWithoutDot | RedirectUriFault::PathMissing),
            )) => dropped = Some(RedirectUriError::Unusable(fault).into()),
            Err(error) => return Err(error.into()),
        }
    }
    match dropped {
        Some(error) if usable.is_empty() => Err(error),
        Some(_) | None => Ok(usable),
    }
}

fn grants(members: &Members) -> Result<(Vec<GrantType>, Vec<ResponseType>), RegisterError> {
    let (stated, response_types) = members.grants()?;
    let grant_types: Vec<_> = GRANT_TYPES.into_iter().filter(|known| stated.contains(known)).collect();
    if !grant_types.contains(&GrantType::AuthorizationCode) || response_types.is_empty() {
        return Err(RegisterError::NoCode);
    }
    Ok((grant_types, response_types))
}

/// REG-05: a client that does not ask for a secret gets none.
fn auth_methods(members: &Members) -> Result<AuthMethods, RegisterError> {
    let stated = members.string("token_endpoint_auth_method")?;
    let method = match stated {
        None => AuthMethod::None,
        Some(name) => AuthMethod::from_name(name).ok_or(RegisterError::AuthMethod)?,
    };
    match method {
        AuthMethod::None | AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {}
        AuthMethod::PrivateKeyJwt => return Err(RegisterError::AuthMethod),
    }
    AuthMethods::from_declared(Some(method.as_str()), None, AuthMethod::None)
        .map_err(|_| RegisterError::AuthMethod)
}

/// What is left of the scope under the ceiling, in one order; none if nothing is left.
fn scope(members: &Members, profile: &Profile, policy: &Policy) -> Result<Option<String>, RegisterError> {
    let Some(stated) = members.string("scope")? else { return Ok(None) };
    let known = policy.scopes_supported();
    let stated = Scope::parse(stated)?;
    let mut left: Vec<&str> = stated
        .tokens()
        .filter(|token| known.iter().any(|name| name == token))
        .filter(|token| {
            *token == shared::oauth::scope::OFFLINE_ACCESS
                || profile.scope_ceiling.as_ref().is_none_or(|names| names.iter().any(|name| name == token))
        })
        .collect();
    left.sort_unstable();
    Ok((!left.is_empty()).then(|| left.join(" ")))
}

/// Applies the profile: redirect URIs of kinds that it does not honour are not registered.
fn hold_to(profile: &Profile, metadata: &mut ClientMetadata) -> Result<(), RegisterError> {
    metadata.redirect_uris.retain(|uri| profile.redirect_kinds.contains(&uri.kind()));
    if metadata.redirect_uris.is_empty() {
        return Err(RegisterError::RedirectKind);
    }
    let is_enough = match profile.authentication {
        Authentication::Optional => true,
        Authentication::Required => !metadata.auth_methods.is_public(),
        Authentication::Keys => false,
    };
    if is_enough { Ok(()) } else { Err(RegisterError::AuthMethod) }
}

/// Without loopback ports, in one order, each once.
fn normalised(redirect_uris: &[RedirectUri]) -> Vec<RedirectUri> {
    let mut uris: Vec<_> = redirect_uris.iter().map(RedirectUri::without_loopback_port).collect();
    uris.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    uris.dedup();
    uris
}

/// The identifier is the digest of everything that is stored, texts for people included: if a name or a logo
/// could differ under one identifier, whoever registered first would choose what others' users read.
fn client_id(metadata: &ClientMetadata) -> Result<ClientId, RegisterError> {
    let mut context = b"nameplate registration v1\0".to_vec();
    serde_json::to_writer(&mut context, metadata).map_err(|_| RegisterError::Digest)?;
    let text = format!("{DYNAMIC_PREFIX}{}", URL_SAFE_NO_PAD.encode(digest(&SHA256, &context)));
    ClientId::parse(&text).map_err(|_| RegisterError::Digest)
}

/// Where the first of its answers goes, for the name of its tool.
fn place(metadata: &ClientMetadata) -> &str {
    let https = metadata.redirect_uris.iter().find(|uri| uri.kind() == RedirectKind::Https);
    https.map_or("loopback", RedirectUri::host_for_display)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn requested(body: &Value) -> Result<Requested, RegisterError> {
        Requested::parse(body.to_string().as_bytes(), &Policy::default())
    }

    fn id(body: &Value) -> String {
        requested(body).unwrap().client_id.as_str().to_owned()
    }

    fn base() -> Value {
        json!({"redirect_uris": ["http://127.0.0.1:4711/cb", "http://localhost:4711/cb"], "client_name": "Shell"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body = base();
        body[name] = value;
        body
    }

    /// The same software is the same client, whatever its port, its order, and what we do not register.
    #[test]
    fn the_identifier_is_that_of_the_software() {
        let first = id(&base());
        assert!(first.starts_with("dyn~") && first.len() == 47, "{first}");
        assert!(first.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte)));
        for same in [
            with(
                "redirect_uris",
                json!(["http://localhost:9/cb", "http://127.0.0.1/cb", "http://127.0.0.1:1/cb"]),
            ),
            with("grant_types", json!(["authorization_code"])),
            with("response_types", json!(["code"])),
            with("token_endpoint_auth_method", json!("none")),
            with("software_version", json!("1.2.3")),
            with("contacts", json!(["a@b.example"])),
            with("client_uri", json!("http://insecure.example")),
            with("client_name", json!(" Shell ")),
            with("grant_types", json!(["urn:x", "client_credentials", "authorization_code"])),
        ] {
            assert_eq!(id(&same), first, "{same}");
        }
        for other in [
            with("redirect_uris", json!(["http://127.0.0.1:4711/cb"])),
            with("redirect_uris", json!(["http://127.0.0.1/other", "http://localhost/cb"])),
            with("client_name", json!("Shel1")),
            with("logo_uri", json!("https://a.example/logo.png")),
            with("grant_types", json!(["authorization_code", "refresh_token"])),
            with("token_endpoint_auth_method", json!("client_secret_post")),
            with("software_id", json!("shell")),
            with("application_type", json!("web")),
        ] {
            assert_ne!(id(&other), first, "{other}");
        }
    }

    /// Invariant 3: ten thousand installations on ten thousand ports are one client.
    #[test]
    fn ten_thousand_ports_make_one_identifier() {
        let on = |port: u16| id(&json!({"redirect_uris": [format!("http://localhost:{port}/cb")]}));
        let first = on(1024);
        assert!((1025..11_024).all(|port| on(port) == first));
    }

    /// REG-06, M10: what cannot be honoured is refused by the member at fault.
    #[test]
    fn what_cannot_be_honoured_is_refused() {
        let code = |body: &Value| requested(body).err().map(|error| error.code());
        for uris in [
            json!(["http://evil.example/cb"]),
            json!(["https://a.example/cb", "http://evil.example/cb"]),
            json!(["https://a.example/cb#x"]),
            json!(["https://a.example/cb", "javascript:alert(1)"]),
            json!(["com.example.app:/cb"]),
            json!(["cursor://anysphere/cb"]),
            json!([]),
        ] {
            assert_eq!(code(&with("redirect_uris", uris.clone())), Some("invalid_redirect_uri"), "{uris}");
        }
        for (name, value) in [
            ("token_endpoint_auth_method", json!("private_key_jwt")),
            ("token_endpoint_auth_method", json!("tls_client_auth")),
            ("token_endpoint_auth_method", json!(1)),
            ("grant_types", json!(["client_credentials"])),
            ("response_types", json!(["token"])),
            ("client_name", json!("a\u{202e}b")),
            ("client_name", json!(7)),
            ("scope", json!("a\"b")),
            ("jwks", json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})),
            ("jwks_uri", json!("http://a.example/jwks")),
        ] {
            assert_eq!(code(&with(name, value.clone())), Some("invalid_client_metadata"), "{name} {value}");
        }
    }

    /// An editor registers schemes of its own beside URIs that work.
    #[test]
    fn what_never_matches_is_dropped_beside_what_does() {
        let body = json!({"redirect_uris": [
            "http://127.0.0.1:33418", "http://127.0.0.1:33418/", "https://vscode.dev/redirect", "vscode://x/y"
        ]});
        let requested = requested(&body).unwrap();
        let stored: Vec<_> = requested.metadata.redirect_uris.iter().map(RedirectUri::as_str).collect();
        assert_eq!(stored, ["http://127.0.0.1/", "https://vscode.dev/redirect"]);
        assert!(requested.tool.as_str().starts_with("dynamic~vscode.dev~"));
    }
}
