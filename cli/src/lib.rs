//! The command line of Nameplate.
//!
//! `inspect` and `document` need no server: they are for whoever publishes a metadata document. `doctor` looks at a
//! server from outside, and all else administers one.

pub mod admin;
pub mod doctor;
pub mod document;
pub mod inspect;
pub mod report;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser, Subcommand};
use shared::clock::SystemClock;
use shared::fetch::dns::SystemResolver;
use shared::fetch::guard::{GuardError, GuardSettings, GuardedFetcher};

/// Whom the publisher of a document sees asking when this command fetches it.
const AGENT: &str = "nameplate inspect";

/// Everything that can be said on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "nameplate",
    version,
    about = "Administers Nameplate; checks and writes OAuth client metadata documents"
)]
pub struct Args {
    /// The server that is administered, such as <https://as.example>
    #[arg(long, global = true, env = "NAMEPLATE_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a metadata document as the authorization server would, and say how to mend it
    Inspect {
        /// The URL of the document, which is also its `client_id`
        url: String,
        /// Check this file as if it were published there, and fetch nothing
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Check a deployment from outside: discovery, keys, headers, endpoints, administration
    Doctor {
        /// The issuer identifier, such as <https://as.example>
        #[arg(long, value_name = "URL")]
        issuer: String,
    },
    /// Administration; requests are signed with the AWS credentials of this machine
    #[command(flatten)]
    Admin(admin::AdminCommand),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Work on documents
    Document {
        /// What to do
        #[command(subcommand)]
        command: DocumentCommand,
    },
}

/// The commands about documents.
#[derive(Debug, Subcommand)]
pub enum DocumentCommand {
    /// Write a correct document; asks for what no option names
    New(document::Options),
}

/// What stops a command. One line, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The terminal is gone.
    #[error("{0}")]
    Terminal(#[from] io::Error),
    /// The fetcher cannot be set up.
    #[error("{0}")]
    Guard(#[from] GuardError),
    /// An examination cannot begin.
    #[error("{0}")]
    Doctor(#[from] doctor::DoctorError),
    /// A document cannot be made of what was said.
    #[error("{0}")]
    Document(#[from] document::NewError),
    /// An administrator's command.
    #[error("{0}")]
    Admin(#[from] admin::AdminError),
    /// A report cannot be written as JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// Runs a command: 0 if all is well, 1 if it found an error or could not do its work.
pub fn run(args: Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(execute(args)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell if this fails, too.
            writeln!(io::stderr(), "nameplate: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn print(report: &report::Report, json: bool, out: &mut impl io::Write) -> Result<bool, CommandError> {
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report.to_json())?)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(report.passed())
}

async fn execute(args: Args) -> Result<bool, CommandError> {
    let mut out = io::stdout().lock();
    let json = args.json;
    match args.command {
        Command::Admin(command) => {
            let options = admin::Options { endpoint: args.endpoint, json };
            Ok(admin::run(command, &options, &mut out).await?)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "nameplate", &mut out);
            Ok(true)
        }
        Command::Man => {
            clap_mangen::Man::new(Args::command()).render(&mut out)?;
            Ok(true)
        }
        Command::Inspect { url, file } => {
            let clock = Arc::new(SystemClock);
            let settings = GuardSettings::new(AGENT);
            let fetcher = GuardedFetcher::new(settings, Arc::new(SystemResolver), clock)?;
            let report = match file {
                Some(path) => {
                    let body = std::fs::read(&path).map_err(|source| CommandError::File { path, source })?;
                    inspect::file(&url, &body)
                }
                None => inspect::published(&url, &fetcher).await,
            };
            print(&report, json, &mut out)
        }
        Command::Doctor { issuer } => {
            let administrator = admin::Client::connect(Some(&issuer)).await;
            print(&doctor::examine(&issuer, administrator).await?, json, &mut out)
        }
        Command::Document { command: DocumentCommand::New(options) } => {
            let output = options.output.clone();
            let stdin = io::stdin();
            let text = if stdin.is_terminal() {
                document::new(options, Some((&mut stdin.lock(), &mut io::stderr())))?
            } else {
                document::new(options, None::<(&mut io::Empty, &mut io::Sink)>)?
            };
            match output {
                Some(path) => {
                    std::fs::write(&path, &text).map_err(|source| CommandError::File { path, source })?;
                }
                None => write!(out, "{text}")?,
            }
            Ok(true)
        }
    }
}
