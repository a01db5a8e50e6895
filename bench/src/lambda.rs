//! The function binaries as Lambda runs them: one event at a time each, behind the gateway's routes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::client::{RESOURCE, RESOURCE_SECRET};
use crate::double::dynamodb::{Database, PREFIX};
use crate::double::runtime_api::RuntimeApi;
use crate::double::{Calls, invoke, kms, provider};
use crate::exchange::{Answer, Request, SignIn, Target};
use crate::failure::{Context as _, Failure};
use crate::http1::Message;
use crate::process::Process;

/// The issuer: nobody connects to it, and http on loopback lets the provider be a double on loopback.
pub const ISSUER: &str = "http://127.0.0.1:9000";

/// The functions that answer the gateway.
const ROUTED: [&str; 3] = ["authorize", "register", "token"];

/// One running function.
#[derive(Debug)]
pub struct Function {
    /// Its process.
    pub process: Process,
    /// What gives it events.
    pub runtime: RuntimeApi,
}

impl Function {
    /// Starts `binaries/name` with `environment`.
    ///
    /// # Errors
    /// [`Failure`] if there is no such binary.
    pub fn start(
        binaries: &Path,
        name: &str,
        environment: &[(String, String)],
        log: PathBuf,
    ) -> Result<Self, Failure> {
        let runtime = RuntimeApi::start()?;
        let mut environment = environment.to_vec();
        environment.extend(runtime.environment(name));
        let process = Process::start(&binaries.join(name), &[], &environment, log)?;
        Ok(Self { process, runtime })
    }

    /// Sends it `request` as the gateway would.
    ///
    /// # Errors
    /// [`Failure`] if no answer comes.
    pub fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let event = event(request).to_string().into_bytes();
        let (answer, took) = self.runtime.invoke(event)?;
        read(&answer, took)
    }
}

/// What stands around the functions, without them.
#[derive(Debug)]
pub struct Surroundings {
    /// The database.
    pub database: Database,
    /// What was asked of it (where it is counted), of KMS, and of Lambda.
    pub calls: Calls,
    /// The environment of every function.
    pub environment: Vec<(String, String)>,
    binaries: PathBuf,
    logs: PathBuf,
}

/// Whether calls to the database pass a relay that counts them, which takes time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// They are counted.
    On,
    /// They go straight to it.
    Off,
}

impl Surroundings {
    /// Starts the doubles and the database, and lets the steward make keys and policy.
    ///
    /// # Errors
    /// [`Failure`] naming what did not start.
    pub fn start(binaries: &Path, logs: &Path, counting: Counting) -> Result<Self, Failure> {
        let database = Database::start(&binaries.join("local"), logs)?;
        let calls = Calls::default();
        let endpoint = match counting {
            Counting::On => database.counted(&calls)?,
            Counting::Off => database.endpoint(),
        };
        let environment = [
            ("ISSUER", ISSUER),
            ("TABLE_PREFIX", PREFIX),
            ("DYNAMODB_ENDPOINT", &endpoint),
            ("KMS_ENDPOINT", &kms::start(&calls)?),
            ("KMS_KEY_ID", "arn:aws:kms:eu-central-1:000000000000:key/00000000-0000-0000-0000-000000000000"),
            ("AWS_ENDPOINT_URL_LAMBDA", &invoke::start(&calls)?),
            ("FETCH_FUNCTION", "fetch"),
            ("INITIAL_POLICY", &policy().to_string()),
            ("UPSTREAM_ISSUER", &provider::start()?),
            ("UPSTREAM_CLIENT_ID", provider::CLIENT_ID),
            ("UPSTREAM_CLIENT_SECRET", provider::CLIENT_SECRET),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_SESSION_TOKEN", "local"),
            ("AWS_REGION", "eu-central-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let surroundings = Self {
            database,
            calls,
            environment: environment.into(),
            binaries: binaries.to_owned(),
            logs: logs.to_owned(),
        };
        let (report, _) = surroundings.function("steward", 0)?.runtime.invoke(b"{}".to_vec())?;
        let report: Value = serde_json::from_slice(&report).context("steward")?;
        let tasks = report.get("tasks").and_then(Value::as_array).context("steward")?;
        if tasks.iter().any(|task| task.get("failure").is_some_and(|failure| !failure.is_null())) {
            return Err(Failure::new("steward", report));
        }
        surroundings.calls.take();
        Ok(surroundings)
    }

    /// Starts one function; `number` tells several of a kind apart.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be started.
    pub fn function(&self, name: &str, number: usize) -> Result<Function, Failure> {
        let log = self.logs.join(format!("{name}-{number}.log"));
        Function::start(&self.binaries, name, &self.environment, log)
    }

    /// Starts one function under valgrind, which counts its instructions.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be started.
    pub fn counted(&self, name: &str) -> Result<Function, Failure> {
        let log = self.logs.join(format!("{name}-counted.log"));
        let runtime = RuntimeApi::start()?;
        let mut environment = self.environment.clone();
        environment.extend(runtime.environment(name));
        let binary = self.binaries.join(name).display().to_string();
        let arguments = ["--tool=callgrind", "--callgrind-out-file=/dev/null", &binary].map(str::to_owned);
        let process = Process::start(Path::new("/usr/bin/valgrind"), &arguments, &environment, log)?;
        Ok(Function { process, runtime })
    }
}

/// The policy that everything is measured with.
pub fn policy() -> Value {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, RESOURCE_SECRET.as_bytes());
    json!({
        "resources": [{
            "resource": RESOURCE,
            "name": "Notes",
            "scopes": [
                {"name": "notes:read", "description": "Read your notes"},
                {"name": "notes:write", "description": "Change your notes"},
            ],
            "introspection_secrets": [URL_SAFE_NO_PAD.encode(digest)],
        }],
        "dynamic_registration": {
            "mode": "on", "new_per_source_per_hour": 1_000_000, "new_per_hour": 1_000_000
        },
    })
}

/// All functions behind the gateway's routes.
#[derive(Debug)]
pub struct Fleet {
    /// What they stand in.
    pub surroundings: Surroundings,
    /// For each of [`ROUTED`] its instances.
    functions: Vec<Vec<Function>>,
    turn: AtomicUsize,
}

impl Fleet {
    /// Starts `instances` of each function.
    ///
    /// # Errors
    /// [`Failure`] naming what did not start.
    pub fn start(surroundings: Surroundings, instances: usize) -> Result<Self, Failure> {
        let start = |name: &&str| (0..instances).map(|number| surroundings.function(name, number)).collect();
        let functions = ROUTED.iter().map(start).collect::<Result<_, Failure>>()?;
        Ok(Self { surroundings, functions, turn: AtomicUsize::new(0) })
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &Function)> {
        let names = ROUTED.into_iter().zip(&self.functions);
        names.flat_map(|(name, functions)| functions.iter().map(move |function| (name, function)))
    }
}

impl Target for Fleet {
    fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let path = request.target.split('?').next().unwrap_or_default();
        let index = match path {
            "/register" => 1,
            "/introspect" | "/jwks.json" | "/par" | "/revoke" | "/token" => 2,
            _ => 0,
        };
        let instances = self.functions.get(index).context("function")?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % instances.len();
        instances.get(turn).context("instance")?.send(request)
    }

    fn cpu(&self) -> Result<Duration, Failure> {
        self.each().map(|(_, function)| function.process.cpu()).sum()
    }

    fn memory(&self) -> Result<Vec<(String, u64, u64)>, Failure> {
        self.each()
            .map(|(name, function)| {
                Ok((name.to_owned(), function.process.memory()?, function.process.peak_memory()?))
            })
            .collect()
    }

    fn sign_in(&self) -> SignIn {
        SignIn::Provider
    }

    fn domain(&self) -> &str {
        "example.com"
    }
}

/// `request` as the HTTP API's payload 2.0 has it.
fn event(request: &Request) -> Value {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let cookies: Vec<&str> = request
        .headers
        .iter()
        .filter(|(name, _)| name == "cookie")
        .flat_map(|(_, value)| value.split("; "))
        .collect();
    let mut headers: Map<String, Value> = request
        .headers
        .iter()
        .filter(|(name, _)| name != "cookie")
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    for (name, value) in [
        ("accept", "*/*"),
        ("host", "as.example"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("x-amzn-trace-id", "Root=1-6925a1b2-0f3c2a1b4d5e6f708192a3b4"),
        ("x-forwarded-for", "198.51.100.7"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    ] {
        headers.insert(name.to_owned(), value.into());
    }
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": "as.example",
            "domainPrefix": "as",
            "http": {
                "method": request.method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "198.51.100.7",
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            },
            "requestId": "Ue4iXh6yIAMEJtA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "25/Nov/2026:02:30:00 +0000",
            "timeEpoch": 1_795_573_800_000_u64,
        },
        "isBase64Encoded": false,
    });
    if let Some(event) = event.as_object_mut() {
        if !cookies.is_empty() {
            event.insert("cookies".to_owned(), cookies.into());
        }
        if !query.is_empty() {
            let pairs = form_urlencoded::parse(query.as_bytes());
            let pairs: Map<String, Value> =
                pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
            event.insert("queryStringParameters".to_owned(), pairs.into());
        }
        if !request.body.is_empty() {
            event.insert("body".to_owned(), request.body.clone().into());
        }
    }
    event
}

fn read(answer: &[u8], took: Duration) -> Result<Answer, Failure> {
    let answer: Value = serde_json::from_slice(answer).context("answer")?;
    let status = answer.get("statusCode").and_then(Value::as_u64).context("statusCode")?;
    let body = answer.get("body").and_then(Value::as_str).unwrap_or_default();
    let body = match answer.get("isBase64Encoded").and_then(Value::as_bool) {
        Some(true) => String::from_utf8_lossy(&STANDARD.decode(body).context("body")?).into_owned(),
        _ => body.to_owned(),
    };
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in answer.get("headers").and_then(Value::as_object).into_iter().flatten() {
        headers.push((name.to_ascii_lowercase(), value.as_str().unwrap_or_default().to_owned()));
    }
    for cookie in answer.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        headers.push(("set-cookie".to_owned(), cookie.as_str().unwrap_or_default().to_owned()));
    }
    Ok(Answer { status: u16::try_from(status).context("statusCode")?, headers, body, took })
}

/// How long a function takes from nothing to its first answer.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Until it asks for its first event.
    pub ready: Duration,
    /// Until its first answer is there.
    pub answered: Duration,
    /// The time on a processor until then.
    pub cpu: Duration,
    /// The most memory it held.
    pub peak_memory: u64,
}

impl Start {
    /// Starts `binaries/name` for one request, and ends it.
    ///
    /// # Errors
    /// [`Failure`] if the answer has another status than `status`.
    pub fn measure(
        binaries: &Path,
        name: &str,
        environment: &[(String, String)],
        log: &Path,
        request: &Request,
        status: u16,
    ) -> Result<Self, Failure> {
        let mut function = Function::start(binaries, name, environment, log.to_owned())?;
        let began = function.process.began;
        let answer = function.send(request)?.expect(status, name)?;
        let answered = Instant::now() - began;
        drop(answer);
        let ready = function.runtime.ready().context("ready")? - began;
        let (cpu, peak_memory) = (function.process.cpu()?, function.process.peak_memory()?);
        function.process.end().context(name)?;
        Ok(Self { ready, answered, cpu, peak_memory })
    }
}

/// Turns a message of our own HTTP into an answer.
pub fn answer_of(message: Message, took: Duration) -> Answer {
    let body = String::from_utf8_lossy(&message.body).into_owned();
    Answer { status: message.status(), headers: message.headers, body, took }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gateway's own shape, as the recorded events of the tests have it.
    #[test]
    fn an_event_carries_query_cookies_and_body_where_the_gateway_puts_them() {
        let request = Request::form("/consent?a=b%20c", &[("x", "y")]).header("cookie", "one=1; two=2");
        let event = event(&request);
        assert_eq!(event["rawPath"], "/consent");
        assert_eq!(event["rawQueryString"], "a=b%20c");
        assert_eq!(event["queryStringParameters"], json!({"a": "b c"}));
        assert_eq!(event["cookies"], json!(["one=1", "two=2"]));
        assert_eq!(event["headers"].get("cookie"), None);
        assert_eq!(event["body"], "x=y");
    }

    #[test]
    fn an_answer_is_read_with_its_cookies_and_its_encoding() {
        let answer = json!({
            "statusCode": 303, "headers": {"Location": "/a"}, "cookies": ["a=1; Path=/"],
            "body": "aGk=", "isBase64Encoded": true,
        });
        let answer = read(answer.to_string().as_bytes(), Duration::ZERO).unwrap();
        assert_eq!((answer.status, answer.header("location"), answer.body.as_str()), (303, "/a", "hi"));
        assert_eq!(answer.header("set-cookie"), "a=1; Path=/");
    }
}
