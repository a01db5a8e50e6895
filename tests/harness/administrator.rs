//! An administrator, as far as it shows on the wire: requests signed with AWS SigV4 by AWS's own code.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use axum::body::Body;
use http::Request;
use local::admin_key::{AdminKey, REGION, SERVICE};
use serde_json::Value;
use shared::clock::Clock;
use shared::secret::Secret;

use crate::response::Answer;
use crate::world::{Instance, World};

/// The key pair of the stories' administrator.
pub fn administrator_key() -> AdminKey {
    AdminKey {
        access_key_id: "LOCALADMINSTORIES000".to_owned(),
        secret: Secret::new("0123456789012345678901234567890123456789".to_owned()),
    }
}

/// Signs `request` with its body for `region` and `service`, at `at` seconds after the epoch.
pub fn sign(
    request: Request<String>,
    key: &AdminKey,
    region: &str,
    service: &str,
    at: u64,
) -> Request<String> {
    sign_at("as.example", request, key, region, service, at)
}

/// As [`sign`], for the server at `authority`.
pub fn sign_at(
    authority: &str,
    mut request: Request<String>,
    key: &AdminKey,
    region: &str,
    service: &str,
    at: u64,
) -> Request<String> {
    let credentials = Credentials::from_keys(&key.access_key_id, key.secret.expose(), None).into();
    let params = v4::SigningParams::builder()
        .identity(&credentials)
        .region(region)
        .name(service)
        .time(UNIX_EPOCH + Duration::from_secs(at))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    request.headers_mut().insert("host", authority.parse().unwrap());
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let uri = format!("https://{authority}{}", request.uri());
    let signable = SignableRequest::new(
        request.method().as_str(),
        uri,
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        SignableBody::Bytes(request.body().as_bytes()),
    )
    .unwrap();
    let (instructions, _) = aws_sigv4::http_request::sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    request
}

/// An administrator at one instance.
#[derive(Clone)]
pub struct Administrator<'a> {
    world: &'a World,
    instance: Instance,
}

impl<'a> Administrator<'a> {
    /// The administrator of `world`, whose requests reach `instance`.
    pub fn new(world: &'a World, instance: &Instance) -> Self {
        Self { world, instance: instance.clone() }
    }

    /// Sends a signed request with a JSON body, if any, and these headers.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(body.map(Value::to_string).unwrap_or_default()).unwrap();
        let now = self.world.clock.now().epoch_seconds();
        let signed = sign(request, &administrator_key(), REGION, SERVICE, now);
        self.instance.send(signed.map(Body::from)).await
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, &[]).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(&body), &[]).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None, &[]).await
    }
}
