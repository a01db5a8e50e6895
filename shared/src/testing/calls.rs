//! Counts what is sent to DynamoDB, and notes which rights it takes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use serde_json::Value;

/// The operations sent so far, one entry per try.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Vec<Call>>>);

#[derive(Clone, Debug)]
struct Call {
    operation: String,
    body: Vec<u8>,
}

impl Calls {
    /// `client`, counted from now on.
    pub fn count(&self, client: &Client) -> Client {
        Client::from_conf(client.config().to_builder().interceptor(Counter(self.clone())).build())
    }

    /// The names of the operations sent since the last time this was asked: `GetItem`, `UpdateItem`.
    pub fn take(&self) -> Vec<String> {
        self.take_calls().into_iter().map(|call| call.operation).collect()
    }

    /// The rights that was sent since the last time this was asked takes: (action, full name of the table or
    /// index, as `table/index/name`).
    pub fn take_rights(&self) -> BTreeSet<(String, String)> {
        self.take_calls().iter().flat_map(rights).collect()
    }

    fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A transaction is authorized as its parts are (DynamoDB developer guide: IAM and transactions).
fn rights(call: &Call) -> Vec<(String, String)> {
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let right = |operation: &str, table: &str| (format!("dynamodb:{operation}"), table.to_owned());
    if let Some(table) = body.get("TableName").and_then(Value::as_str) {
        let index = body.get("IndexName").and_then(Value::as_str);
        let resource = index.map_or_else(|| table.to_owned(), |index| format!("{table}/index/{index}"));
        return vec![right(&call.operation, &resource)];
    }
    if let Some(tables) = body.get("RequestItems").and_then(Value::as_object) {
        return tables.keys().map(|table| right(&call.operation, table)).collect();
    }
    let parts = body.get("TransactItems").and_then(Value::as_array).into_iter().flatten();
    parts
        .filter_map(Value::as_object)
        .flatten()
        .filter_map(|(part, item)| Some(right(&format!("{part}Item"), item.get("TableName")?.as_str()?)))
        .collect()
}

#[derive(Debug)]
struct Counter(Calls);

impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "Counter"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = context.request().body().bytes().unwrap_or_default().to_vec();
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(Call { operation, body });
        Ok(())
    }
}
