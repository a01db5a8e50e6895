//! `document new`: writes a document that the server would accept.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::inspect;
use crate::report::{Report, Verdict};

/// What kind of client the document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Runs on a person's device and is answered on the loopback interface
    Native,
    /// Runs on a server and is answered at an https URL
    Web,
}

/// What goes into the document. What is left out is asked for, if there is a terminal.
#[derive(Clone, Debug, Default, Args)]
pub struct Options {
    /// The https URL at which the document will be published
    #[arg(long, value_name = "URL")]
    pub client_id: Option<String>,
    /// The client's name, for people
    #[arg(long)]
    pub name: Option<String>,
    /// What kind of client it is
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Where answers go; may be repeated. A native client needs none
    #[arg(long, value_name = "URI")]
    pub redirect_uri: Vec<String>,
    /// Where the client's public keys are published, if it authenticates with a key
    #[arg(long, value_name = "URL")]
    pub jwks_uri: Option<String>,
    /// The client's home page
    #[arg(long, value_name = "URL")]
    pub client_uri: Option<String>,
    /// The client's logo
    #[arg(long, value_name = "URL")]
    pub logo_uri: Option<String>,
    /// Write to this file
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// Something is needed, and there is nobody to ask.
    #[error("{0} is missing, and there is no terminal to ask for it")]
    Missing(&'static str),
    /// An answer is none of those that are possible.
    #[error("answer native or web")]
    Kind,
    /// The document would be refused.
    #[error("the document would be refused\n{0}")]
    Refused(Report),
    /// The terminal is gone.
    #[error("{0}")]
    Terminal(#[from] io::Error),
}

/// The text of a document. `terminal` is where questions are answered and asked, if there is one.
///
/// # Errors
/// [`NewError`] if something is missing or the document would be refused.
pub fn new<R: BufRead + ?Sized, W: Write + ?Sized>(
    options: Options,
    mut terminal: Option<(&mut R, &mut W)>,
) -> Result<String, NewError> {
    let mut ask = |given: Option<String>, name: &'static str, question: &str| match given {
        Some(given) => Ok(given),
        None => question_for(&mut terminal, name, question),
    };
    let client_id =
        ask(options.client_id, "--client-id", "The https URL at which the document will be published")?;
    let name = ask(options.name, "--name", "The client's name, for people")?;
    let kind = match options.kind {
        Some(kind) => kind,
        None => {
            let question = "native (on a person's device) or web (on a server)";
            let answer = ask(None, "--kind", question)?;
            Kind::from_str(&answer, true).map_err(|_| NewError::Kind)?
        }
    };
    let mut redirect_uris = options.redirect_uri;
    if redirect_uris.is_empty() {
        match kind {
            // Any port matches, and each name only itself (RFC 8252 §7.3): list all that a client may use.
            Kind::Native => redirect_uris.extend(
                ["http://127.0.0.1/callback", "http://[::1]/callback", "http://localhost/callback"]
                    .map(str::to_owned),
            ),
            Kind::Web => {
                redirect_uris.push(ask(None, "--redirect-uri", "The https URL that receives answers")?)
            }
        }
    }
    let method = if options.jwks_uri.is_some() { "private_key_jwt" } else { "none" };
    let mut document = Map::new();
    document.insert("client_id".to_owned(), client_id.as_str().into());
    document.insert("client_name".to_owned(), name.into());
    let pages = [("client_uri", options.client_uri), ("logo_uri", options.logo_uri)];
    for (member, value) in pages {
        document.extend(value.map(|value| (member.to_owned(), Value::from(value))));
    }
    document.insert("redirect_uris".to_owned(), redirect_uris.into());
    document.insert("grant_types".to_owned(), json!(["authorization_code", "refresh_token"]));
    document.insert("response_types".to_owned(), json!(["code"]));
    let application_type = if kind == Kind::Native { "native" } else { "web" };
    document.insert("application_type".to_owned(), application_type.into());
    document.insert("token_endpoint_auth_method".to_owned(), method.into());
    document.insert("token_endpoint_auth_methods_supported".to_owned(), json!([method]));
    document.extend(options.jwks_uri.map(|uri| ("jwks_uri".to_owned(), Value::from(uri))));

    let mut text = format!("{:#}", Value::Object(document));
    text.push('\n');
    let mut report = inspect::file(&client_id, text.as_bytes());
    if !report.passed() {
        report.checks.retain(|check| check.verdict == Verdict::Failed);
        return Err(NewError::Refused(report));
    }
    Ok(text)
}

fn question_for<R: BufRead + ?Sized, W: Write + ?Sized>(
    terminal: &mut Option<(&mut R, &mut W)>,
    name: &'static str,
    question: &str,
) -> Result<String, NewError> {
    let Some((answers, questions)) = terminal else { return Err(NewError::Missing(name)) };
    write!(questions, "{question}: ")?;
    questions.flush()?;
    let mut line = String::new();
    answers.read_line(&mut line)?;
    let answer = line.trim();
    if answer.is_empty() { Err(NewError::Missing(name)) } else { Ok(answer.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT_ID: &str = "https://app.example.com/client.json";

    fn options(kind: Kind) -> Options {
        Options {
            client_id: Some(CLIENT_ID.to_owned()),
            name: Some("Example".to_owned()),
            kind: Some(kind),
            ..Options::default()
        }
    }

    fn silent() -> Option<(&'static mut io::Empty, &'static mut io::Sink)> {
        None
    }

    #[test]
    fn a_written_document_passes_every_check() {
        let mut web = options(Kind::Web);
        web.redirect_uri = vec!["https://app.example.com/callback".to_owned()];
        web.jwks_uri = Some("https://app.example.com/keys".to_owned());
        for options in [options(Kind::Native), web] {
            let text = new(options, silent()).unwrap();
            let report = inspect::file(CLIENT_ID, text.as_bytes());
            let spotless = report.checks.iter().all(|check| check.verdict == Verdict::Passed);
            assert!(spotless, "{report}");
        }
    }

    #[test]
    fn what_no_option_names_is_asked_for() {
        let mut answers = io::Cursor::new(
            "https://app.example.com/client.json\nExample\nweb\nhttps://app.example.com/callback\n",
        );
        let mut questions = Vec::new();
        let text = new(Options::default(), Some((&mut answers, &mut questions))).unwrap();
        assert!(text.contains("\"client_name\": \"Example\""), "{text}");
        assert_eq!(String::from_utf8(questions).unwrap().matches(": ").count(), 4);

        let missing = new(Options::default(), silent()).unwrap_err();
        assert!(matches!(missing, NewError::Missing("--client-id")), "{missing}");
        let mut odd = io::Cursor::new("both\n");
        let mut options = options(Kind::Web);
        options.kind = None;
        assert!(matches!(new(options, Some((&mut odd, &mut Vec::new()))), Err(NewError::Kind)));
    }

    #[test]
    fn a_document_that_would_be_refused_is_not_written() {
        let mut hostile = options(Kind::Web);
        hostile.redirect_uri = vec!["javascript:alert(1)".to_owned()];
        let refused = new(hostile, silent()).unwrap_err();
        assert!(refused.to_string().contains("DOC-22"), "{refused}");
    }
}
