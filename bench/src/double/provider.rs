//! An OpenID provider that everybody has an account at. A code is the person's name and the nonce of the
//! request, so there is nothing to remember between two requests.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::failure::{Context as _, Failure};
use crate::http1::{self, Message};

/// Our identifier there.
pub const CLIENT_ID: &str = "nameplate";

/// Our secret there.
pub const CLIENT_SECRET: &str = "not a secret";

/// The code that `person` would come back with after the request with `nonce`.
pub fn code(person: &str, nonce: &str) -> String {
    format!("{person}.{nonce}")
}

/// Starts it: its issuer identifier.
///
/// # Errors
/// [`Failure`] if there is no key or no port.
pub fn start() -> Result<String, Failure> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let pkcs8 = pkcs8.context("key")?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).context("key")?;
    let key = Arc::new(key);
    let addr = http1::serve_all(move |request| {
        let issuer = format!("http://{}", request.header("host").unwrap_or_default());
        answer(&request, &issuer, &key).unwrap_or_else(|| Message::answer(404, "text/plain", "no such thing"))
    });
    Ok(format!("http://{}", addr.context("provider")?))
}

fn answer(request: &Message, issuer: &str, key: &EcdsaKeyPair) -> Option<Message> {
    match request.target() {
        "/.well-known/openid-configuration" => Some(Message::json(&json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
        }))),
        "/jwks" => {
            let (x, y) = key.public_key().as_ref().get(1..)?.split_at_checked(32)?;
            let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
            let key = json!({"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256", "x": x, "y": y});
            Some(Message::json(&json!({"keys": [key]})))
        }
        "/token" => {
            let code = form_urlencoded::parse(&request.body).find(|(name, _)| name == "code")?.1;
            let (person, nonce) = code.split_once('.')?;
            let now = now();
            let claims = json!({
                "iss": issuer, "aud": CLIENT_ID, "sub": person, "nonce": nonce, "iat": now, "exp": now + 300,
                "auth_time": now, "name": person, "groups": [],
            });
            let id_token = sign(&claims, key)?;
            Some(Message::json(&json!({"id_token": id_token, "access_token": "at", "token_type": "Bearer"})))
        }
        _ => None,
    }
}

fn sign(claims: &Value, key: &EcdsaKeyPair) -> Option<String> {
    let header = json!({"alg": "ES256", "kid": "1", "typ": "JWT"});
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, on the machine's time")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
