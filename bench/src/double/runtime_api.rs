//! The Lambda Runtime API, for one function: an event waits until the function asks for the next one, and
//! whoever sent it waits until the function has answered.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::failure::{Context as _, Failure};
use crate::http1::{self, Message};

/// For how long an answer is waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// For how long a function may still run; more than it needs, as on Lambda.
const DEADLINE_MS: &str = "4102444800000";

/// The API of one function's process.
#[derive(Clone, Debug)]
pub struct RuntimeApi {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Held by whoever waits for an answer: Lambda gives an instance one event at a time.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    event: Option<Vec<u8>>,
    answer: Option<(Instant, Result<Vec<u8>, String>)>,
    /// When the function asked for its first event: the end of its start.
    ready: Option<Instant>,
    count: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RuntimeApi {
    /// Starts it.
    ///
    /// # Errors
    /// [`Failure`] if no port can be had.
    pub fn start() -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let addr = http1::serve_all(move |request| answer(&serving, request)).context("runtime API")?;
        Ok(Self { addr, shared })
    }

    /// What Lambda tells the function in its environment.
    pub fn environment(&self, function: &str) -> Vec<(String, String)> {
        [
            ("AWS_LAMBDA_RUNTIME_API", self.addr.to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", function),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Sends `event` and waits: the answer, and how long it took since the event was there to be taken.
    ///
    /// # Errors
    /// [`Failure`] if the function reports an error, or nothing.
    pub fn invoke(&self, event: Vec<u8>) -> Result<(Vec<u8>, Duration), Failure> {
        let _turn = self.shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        let mut state = self.shared.state();
        state.event = Some(event);
        self.shared.changed.notify_all();
        loop {
            if let Some((at, answer)) = state.answer.take() {
                return Ok((answer.map_err(|error| Failure::new("the function", error))?, at - began));
            }
            if began.elapsed() > ANSWER_WAIT {
                return Err(Failure::new("the function", "no answer"));
            }
            let waited = self.shared.changed.wait_timeout(state, ANSWER_WAIT);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the function asks for its first event.
    ///
    /// # Errors
    /// [`Failure`] if it does not.
    pub fn wait_until_ready(&self) -> Result<(), Failure> {
        let began = Instant::now();
        let mut state = self.shared.state();
        while state.ready.is_none() {
            if began.elapsed() > ANSWER_WAIT {
                return Err(Failure::new("the function", "it does not start"));
            }
            let waited = self.shared.changed.wait_timeout(state, ANSWER_WAIT);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// When the function asked for its first event, if it has.
    pub fn ready(&self) -> Option<Instant> {
        self.shared.state().ready
    }
}

fn answer(shared: &Shared, request: Message) -> Message {
    let target = request.target().to_owned();
    let Some(path) = target.strip_prefix("/2018-06-01/runtime/") else {
        return Message::answer(404, "text/plain", "no such thing");
    };
    match path.rsplit('/').next() {
        Some("next") => next(shared),
        Some("response") => done(shared, Ok(request.body)),
        _ => done(shared, Err(String::from_utf8_lossy(&request.body).into_owned())),
    }
}

fn next(shared: &Shared) -> Message {
    let mut state = shared.state();
    state.ready.get_or_insert_with(Instant::now);
    shared.changed.notify_all();
    let event = loop {
        match state.event.take() {
            Some(event) => break event,
            None => state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    };
    state.count += 1;
    let mut message = Message::answer(200, "application/json", event);
    for (name, value) in [
        ("lambda-runtime-aws-request-id", format!("{:08}-0000-4000-8000-000000000000", state.count)),
        ("lambda-runtime-deadline-ms", DEADLINE_MS.to_owned()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:local:000000000000:function:f".to_owned()),
        ("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0".to_owned()),
    ] {
        message.headers.push((name.to_owned(), value));
    }
    message
}

fn done(shared: &Shared, answer: Result<Vec<u8>, String>) -> Message {
    shared.state().answer = Some((Instant::now(), answer));
    shared.changed.notify_all();
    Message::answer(202, "application/json", "{}")
}
