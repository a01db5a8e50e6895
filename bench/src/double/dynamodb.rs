//! The embedded DynamoDB in a process of its own, so that its work is not taken for the server's; a relay in
//! front of it that counts what passes; and a client that reads items as they lie there.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use serde_json::{Map, Value, json};

use super::Calls;
use crate::failure::{Context as _, Failure};
use crate::http1::{self, Connection, Message};
use crate::process::Process;

/// What stands before every table's name in `local --dynamodb-only`.
pub const PREFIX: &str = "nameplate-";

/// Parts that a table is read in at once.
const SEGMENTS: usize = 2;

/// The database.
#[derive(Debug)]
pub struct Database {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Items.
    pub items: u64,
    /// Their bytes, as DynamoDB counts and bills them.
    pub bytes: u64,
    /// Bytes of the largest.
    pub largest: u64,
}

impl Database {
    /// Starts `local --dynamodb-only` with the binary `local`, in memory.
    ///
    /// # Errors
    /// [`Failure`] with what it printed.
    pub fn start(local: &Path, logs: &Path) -> Result<Self, Failure> {
        let arguments = ["--dynamodb-only", "--dynamodb-listen", "127.0.0.1:0"].map(str::to_owned);
        let mut process = Process::start(local, &arguments, &[], logs.join("dynamodb.log"))?;
        let endpoint = process.wait_for_line("DYNAMODB_ENDPOINT=http://")?;
        let addr = endpoint.parse().context(&endpoint)?;
        Ok(Self { process, addr })
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The URL of a relay to it that counts into `calls`.
    ///
    /// # Errors
    /// [`Failure`] if no port can be had.
    pub fn counted(&self, calls: &Calls) -> Result<String, Failure> {
        let (addr, calls) = (self.addr, calls.clone());
        let relay = http1::serve(move || {
            let mut upstream = Connection::open(addr).ok();
            let calls = calls.clone();
            move |request: Message| {
                let operation = request.header("x-amz-target").and_then(|target| target.split('.').nth(1));
                calls.count(&format!("dynamodb {}", operation.unwrap_or("unknown")));
                let answer = upstream.as_mut().map(|upstream| upstream.exchange(&request));
                match answer {
                    Some(Ok((answer, _))) => answer,
                    // The SDK tries again, on a new connection.
                    _ => Message::answer(503, "text/plain", "no database"),
                }
            }
        });
        Ok(format!("http://{}", relay.context("relay")?))
    }

    /// Counts what `table` holds, all of it.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be read.
    pub fn contents(&self, table: &str) -> Result<Contents, Failure> {
        let mut contents = Contents::default();
        self.each_item(table, |item| {
            let bytes = item_bytes(item);
            contents.items += 1;
            contents.bytes += bytes;
            contents.largest = contents.largest.max(bytes);
        })?;
        Ok(contents)
    }

    /// Shows every item of `table` to `look`.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be read.
    pub fn each_item(&self, table: &str, mut look: impl FnMut(&Map<String, Value>)) -> Result<(), Failure> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(4);
        thread::scope(|scope| {
            for segment in 0..SEGMENTS {
                let sender = sender.clone();
                let addr = self.addr;
                scope.spawn(move || scan(addr, table, segment, &sender));
            }
            drop(sender);
            for page in receiver {
                for item in page?.get("Items").and_then(Value::as_array).into_iter().flatten() {
                    look(item.as_object().context("an item")?);
                }
            }
            Ok(())
        })
    }
}

type Pages = std::sync::mpsc::SyncSender<Result<Value, Failure>>;

/// One segment, page by page. If nobody takes the pages any more, there is nothing left to do.
fn scan(addr: SocketAddr, table: &str, segment: usize, pages: &Pages) {
    let mut client = match Client::open(addr) {
        Ok(client) => client,
        Err(error) => return pages.send(Err(error)).unwrap_or_default(),
    };
    let mut input =
        json!({"TableName": format!("{PREFIX}{table}"), "Segment": segment, "TotalSegments": SEGMENTS});
    loop {
        let page = client.ask("Scan", &input);
        let next = page.as_ref().ok().and_then(|page| page.get("LastEvaluatedKey").cloned());
        if pages.send(page).is_err() {
            return;
        }
        let (Some(next), Some(input)) = (next, input.as_object_mut()) else { return };
        input.insert("ExclusiveStartKey".to_owned(), next);
    }
}

struct Client(Connection);

impl Client {
    fn open(addr: SocketAddr) -> Result<Self, Failure> {
        Connection::open(addr).map(Self).context("dynamodb")
    }

    fn ask(&mut self, operation: &str, input: &Value) -> Result<Value, Failure> {
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", &format!("DynamoDB_20120810.{operation}")),
            ("x-amz-date", "20261125T000000Z"),
            // The embedded one looks whether there is a signature, not whether it is right.
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=a/20261125/local/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
            ),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (answer, _) =
            self.0.send("POST", "/", &headers, input.to_string().as_bytes()).context(operation)?;
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status() != 200 {
            return Err(Failure::new(operation, text));
        }
        serde_json::from_str(&text).context(operation)
    }
}

/// The size that DynamoDB bills: names and values, with its overhead for numbers and nesting.
fn item_bytes(item: &Map<String, Value>) -> u64 {
    item.iter().map(|(name, value)| name.len() as u64 + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> u64 {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else { return 0 };
    let text = value.as_str().unwrap_or_default();
    match (kind.as_str(), value) {
        ("S", _) => text.len() as u64,
        // Two digits a byte, and one for sign and exponent.
        ("N", _) => (text.len() as u64).div_ceil(2) + 1,
        ("B", _) => text.len() as u64 / 4 * 3,
        ("L", Value::Array(items)) => 3 + items.iter().map(|item| 1 + value_bytes(item)).sum::<u64>(),
        ("M", Value::Object(items)) => 3 + items.len() as u64 + item_bytes(items),
        (_, Value::Array(texts)) => {
            texts.iter().map(|text| text.as_str().map_or(0, str::len) as u64).sum::<u64>()
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked examples of AWS's page on item sizes.
    #[test]
    fn items_are_as_large_as_dynamodb_says() {
        let size = |item: Value| item_bytes(item.as_object().unwrap());
        assert_eq!(size(json!({"id": {"S": "abc"}})), 5);
        assert_eq!(size(json!({"n": {"N": "1234"}})), 4);
        assert_eq!(size(json!({"l": {"L": [{"S": "ab"}, {"BOOL": true}]}})), 1 + 3 + 3 + 2);
        assert_eq!(size(json!({"m": {"M": {"k": {"S": "v"}}}})), 1 + 3 + 1 + 2);
        assert_eq!(size(json!({"s": {"SS": ["ab", "c"]}, "z": {"NULL": true}})), 1 + 3 + 1 + 1);
    }
}
