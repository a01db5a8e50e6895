//! A KMS that wraps by adding a word in front. What it must have right is the protocol and the number of calls.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Calls;
use crate::failure::{Context as _, Failure};
use crate::http1::{self, Message};

const WRAPPED: &[u8] = b"wrapped:";

/// Starts it: its URL.
///
/// # Errors
/// [`Failure`] if no port can be had.
pub fn start(calls: &Calls) -> Result<String, Failure> {
    let calls = calls.clone();
    let addr = http1::serve_all(move |request| {
        let operation = request.header("x-amz-target").and_then(|target| target.split('.').nth(1));
        let operation = operation.unwrap_or_default();
        calls.count(&format!("kms {operation}"));
        let input: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        answer(operation, &input).map_or_else(
            || Message::answer(400, "application/x-amz-json-1.1", "{}"),
            |out| Message::json(&out),
        )
    });
    Ok(format!("http://{}", addr.context("kms")?))
}

fn answer(operation: &str, input: &Value) -> Option<Value> {
    let bytes = |name: &str| STANDARD.decode(input.get(name)?.as_str()?).ok();
    let key_id = input.get("KeyId")?;
    match operation {
        "Encrypt" => {
            let wrapped = [WRAPPED, &bytes("Plaintext")?].concat();
            Some(json!({"CiphertextBlob": STANDARD.encode(wrapped), "KeyId": key_id}))
        }
        "Decrypt" => {
            let wrapped = bytes("CiphertextBlob")?;
            Some(json!({"Plaintext": STANDARD.encode(wrapped.strip_prefix(WRAPPED)?), "KeyId": key_id}))
        }
        _ => None,
    }
}
