//! A client's key: signs assertions and proofs, and says what its public half is.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

enum Pair {
    Ec(&'static str, EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
    Ed(Ed25519KeyPair),
}

/// One key of a client, for one algorithm.
pub struct Signer {
    /// The algorithm that it signs with unless told otherwise.
    pub alg: &'static str,
    /// Its key id.
    pub kid: String,
    pair: Pair,
}

impl Signer {
    /// A new key for `alg`: `ES256`, `ES384`, `RS256`, `PS256` or `EdDSA`.
    pub fn new(alg: &'static str, kid: &str) -> Self {
        let pair = match alg {
            "ES256" => Pair::Ec("P-256", EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            "ES384" => Pair::Ec("P-384", EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            "RS256" | "PS256" => Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
            "EdDSA" => Pair::Ed(Ed25519KeyPair::generate().unwrap()),
            other => panic!("no keys for {other}"),
        };
        Self { alg, kid: kid.to_owned(), pair }
    }

    /// The public key without `kid` and the like (RFC 7638 §3.2).
    pub fn bare_jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Ec(curve, pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})
            }
            Pair::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())}),
            Pair::Rsa(pair) => {
                let (n, e) = integers(pair.public_key().as_ref());
                json!({"kty": "RSA", "n": text(n), "e": text(e)})
            }
        }
    }

    /// The public key as a key set lists it.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["kid"] = self.kid.clone().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// The bytes that RFC 7638 hashes for an EC or OKP key, hashed.
    pub fn thumbprint(&self) -> String {
        let jwk: std::collections::BTreeMap<String, Value> = serde_json::from_value(self.bare_jwk()).unwrap();
        let bytes = serde_json::to_vec(&jwk).unwrap();
        URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes))
    }

    /// Signs `claims` under `header`, to which `alg` is added unless it is there.
    pub fn sign(&self, mut header: Value, claims: &Value) -> String {
        if header.get("alg").is_none() {
            header["alg"] = self.alg.into();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ec(_, pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                if self.alg == "PS256" {
                    pair.sign(&RSA_PSS_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                } else {
                    pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                }
                signature
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The two integers of a DER `RSAPublicKey` (RFC 8017 A.1.1), without leading zeros.
fn integers(der: &[u8]) -> (&[u8], &[u8]) {
    fn element(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, start) = match der[1] {
            0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
            0x81 => (usize::from(der[2]), 3),
            short => (usize::from(short), 2),
        };
        (&der[start..start + length], &der[start + length..])
    }
    fn trimmed(bytes: &[u8]) -> &[u8] {
        bytes.strip_prefix(&[0]).unwrap_or(bytes)
    }
    let (sequence, _) = element(der);
    let (n, rest) = element(sequence);
    let (e, _) = element(rest);
    (trimmed(n), trimmed(e))
}
