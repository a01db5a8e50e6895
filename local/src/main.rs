//! `cargo run -p local`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use local::args::{Args, Usage};
use local::data::DataFile;
use local::demo;
use local::dynamodb::DynamoDb;
use local::start::{Config, Outside, Running, StartError, start};
use local::table;
use shared::aws::table::DEFAULT_PREFIX;
use shared::oauth::server_metadata::path;
use tracing_subscriber::EnvFilter;

/// A switch is wrong, or what it names cannot be had.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = match Args::from_command_line(std::env::args_os()) {
        Ok(args) => args,
        Err(Usage::Asked(text)) => {
            say(&text);
            return ExitCode::SUCCESS;
        }
        Err(Usage::Wrong(line)) => return fail(&line, USAGE),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}"), 1),
    };
    runtime.block_on(run(args))
}

async fn run(args: Args) -> ExitCode {
    if args.demo {
        return match demo::run(io::stdout().lock()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string(), 1),
        };
    }
    log_to_standard_error();
    let served = if args.dynamodb_only { serve_dynamodb(&args).await } else { serve(&args).await };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string(), USAGE),
    }
}

/// The embedded database warns of every condition that does not hold, which is how ours are meant to end.
const QUIET: &str = "info,dynoxide=error";

/// One line per request, as the functions write it, for a person at a terminal. `RUST_LOG` says more.
fn log_to_standard_error() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

async fn serve(args: &Args) -> Result<(), StartError> {
    let interrupted = Interrupted::new()?;
    let running = start(Config::from_args(args)?, Outside::default()).await?;
    say(&banner(args, &running));
    interrupted.wait().await;
    say("Stopping.\n");
    running.stop().await;
    Ok(())
}

async fn serve_dynamodb(args: &Args) -> Result<(), StartError> {
    let interrupted = Interrupted::new()?;
    let data = args.data.as_deref().map(DataFile::open).transpose()?;
    let dynamodb = DynamoDb::start(args.dynamodb_listen, data).await?;
    let endpoint = dynamodb.endpoint();
    if let Err(error) = table::create(dynamodb.client(), DEFAULT_PREFIX).await {
        dynamodb.stop().await;
        return Err(error.into());
    }
    say(&format!("DYNAMODB_ENDPOINT={endpoint}\nTABLE_PREFIX={DEFAULT_PREFIX}\nCtrl-C stops it.\n"));
    interrupted.wait().await;
    say("Stopping.\n");
    dynamodb.stop().await;
    Ok(())
}

/// The wish to stop, listened for from the beginning, so that none is lost while it starts.
#[cfg(unix)]
struct Interrupted(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Interrupted {
    fn new() -> Result<Self, StartError> {
        use tokio::signal::unix::{SignalKind, signal};
        let both = || Ok(Self(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
        both().map_err(StartError::Signal)
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// The wish to stop.
#[cfg(not(unix))]
struct Interrupted;

#[cfg(not(unix))]
impl Interrupted {
    fn new() -> Result<Self, StartError> {
        Ok(Self)
    }

    async fn wait(self) {
        // If there is nothing to wait for, stopping is the safe answer.
        tokio::signal::ctrl_c().await.ok();
    }
}

fn banner(args: &Args, running: &Running) -> String {
    let issuer = running.issuer();
    let mut text = format!(
        "Nameplate is running. Sign-in believes every user name: for this computer only.\n\n\
         \x20 issuer     {issuer}\n\
         \x20 discovery  {}\n\
         \x20 data       {}\n\n",
        issuer.url(path::METADATA),
        match (&args.data, args.dynamodb) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(addr)) => format!("in the DynamoDB on {addr}"),
            (None, None) => "in memory, gone when it stops".to_owned(),
        },
    );
    let key = running.admin_key();
    text.push_str(&format!(
        "For the administrator, `nameplate` in another terminal:\n\
         \x20 export NAMEPLATE_ENDPOINT=http://{} AWS_REGION={} \\\n\
         \x20   AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}\n\n",
        running.addr(),
        local::admin_key::REGION,
        key.access_key_id,
        key.secret.expose(),
    ));
    if !running.addr().ip().is_loopback() {
        text.push_str(
            "WARNING: it listens beyond loopback, and anybody who reaches it can sign in as anybody.\n\n",
        );
    }
    if args.resource.is_empty() && args.seed.is_none() {
        text.push_str(
            "Try next: name your MCP server, so that tokens can be issued for it:\n\
             \x20 cargo run -p local -- --resource http://127.0.0.1:3000/mcp\n\
             or see the whole story by itself:\n\
             \x20 cargo run -p local -- --demo\n",
        );
    } else {
        text.push_str(&format!(
            "Try next: put {issuer} into your MCP server's `authorization_servers`, and point an MCP client at it.\n"
        ));
    }
    text.push_str("Ctrl-C stops it.\n");
    text
}

fn say(text: &str) {
    // Nobody to tell is no reason to stop serving.
    io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()).ok();
}

fn fail(line: &str, code: u8) -> ExitCode {
    writeln!(io::stderr(), "local: {line}").ok();
    ExitCode::from(code)
}
