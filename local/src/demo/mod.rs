//! `--demo`: the whole story by itself, on free ports of this machine.

pub mod browser;
pub mod form;
pub mod narration;
pub mod resource;
pub mod story;

use std::io::{self, Write};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use shared::policy::{Resource, ScopeDescription};
use shared::random::OsRandom;
use shared::testing::metadata_host::{MetadataHost, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::browser::{Wire, WireError};
use self::narration::Narrator;
use self::resource::DemoResource;
use self::story::{Stage, Story, StoryError};
use crate::dynamodb::ANY_PORT;
use crate::seed::{PolicyChanges, Seed};
use crate::start::{Config, Outside, Running, StartError, start};

/// The vendor's host: a name that nobody can own (RFC 6761).
const VENDOR: &str = "editor.test";

/// Where the vendor publishes what it says about its client.
const DOCUMENT_PATH: &str = "/oauth/client.json";

/// Where the client listens for the person to come back: the document names no port, the request does
/// (RFC 8252 §7.3).
const REDIRECT_URI: &str = "http://127.0.0.1:33418/callback";
const REDIRECT_URI_WITHOUT_PORT: &str = "http://127.0.0.1/callback";

/// The demo failed. One line: where, and why.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The stage could not be set up.
    #[error("the demo cannot start: {0}")]
    Start(#[from] StartError),
    /// A port, a certificate, or the output.
    #[error("the demo cannot start: {0}")]
    Io(#[from] io::Error),
    /// The metadata host's name or certificate.
    #[error("the demo cannot start: the metadata host: {0}")]
    Host(String),
    /// No HTTP client.
    #[error("the demo cannot start: {0}")]
    Wire(#[from] WireError),
    /// A step of the story.
    #[error("step {step} failed ({title}): {source}")]
    Step {
        /// Its number.
        step: u32,
        /// What it was to show.
        title: String,
        /// What went wrong.
        source: StoryError,
    },
}

/// Sets the stage, plays the story, tells it to `out`, and clears everything away.
///
/// # Errors
/// [`DemoError`] of the first thing that goes wrong.
pub async fn run<W: Write>(mut out: W) -> Result<(), DemoError> {
    let vendor = MetadataHost::start(VENDOR).await?;
    let wire = Wire::new()?;
    let listener = TcpListener::bind(ANY_PORT).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let stage = Stage {
        resource: format!("{origin}{}", resource::PATH),
        client_id: vendor.url(DOCUMENT_PATH),
        redirect_uri: REDIRECT_URI.to_owned(),
    };
    publish_document(&vendor, &stage);

    let server = start(config(&vendor, &stage)?, Outside::default()).await?;
    let issuer = server.issuer().to_string();
    let resource = DemoResource { origin, issuer: issuer.clone(), wire: wire.clone() };
    let resource = Ended(tokio::spawn(async move { axum::serve(listener, resource.router()).await }));

    writeln!(out, "Nameplate, the authorization server:  {issuer}")?;
    writeln!(out, "An MCP server that trusts it:         {}", stage.resource)?;
    writeln!(out, "An MCP client's nameplate:            {}", stage.client_id)?;
    let mut narrator = Narrator::new(&mut out);
    let fetches = || vendor.requests().len();
    let played = Story::new(&stage, &mut narrator, wire, &OsRandom, &fetches).play().await;
    let told = played.map_err(|source| {
        let (step, title) = narrator.current();
        DemoError::Step { step, title: title.to_owned(), source }
    });
    clear(server, resource).await;
    told?;
    let fetches = fetches();
    writeln!(out, "\nThe story is told. Nameplate read the client's document {fetches} time(s) in all.")?;
    writeln!(out, "Start it for yourself: cargo run -p local")?;
    Ok(())
}

fn publish_document(vendor: &MetadataHost, stage: &Stage) {
    let document = json!({
        "client_id": stage.client_id,
        "client_name": "Demo Editor",
        "client_uri": vendor.url("/"),
        "redirect_uris": [REDIRECT_URI_WITHOUT_PORT],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    let response = Response::json(document.to_string()).header("Cache-Control", "max-age=3600");
    vendor.set(DOCUMENT_PATH, response);
}

fn config(vendor: &MetadataHost, stage: &Stage) -> Result<Config, DemoError> {
    let host = |error: &dyn std::fmt::Display| DemoError::Host(error.to_string());
    let root = CertificateDer::from_pem_slice(vendor.ca_pem().as_bytes()).map_err(|error| host(&error))?;
    let scope =
        ScopeDescription { name: resource::SCOPE.to_owned(), description: "See who you are".to_owned() };
    let notes = Resource {
        resource: stage.resource.clone(),
        name: "Demo notes".to_owned(),
        scopes: vec![scope],
        default_scopes: None,
        introspection_secrets: Vec::new(),
    };
    Ok(Config {
        policy: PolicyChanges {
            seed: Seed { resources: vec![notes], ..Seed::default() },
            ..PolicyChanges::default()
        },
        roots: vec![root],
        development: vec![vendor.development_host().map_err(|error| host(&error))?],
        ..Config::default()
    })
}

async fn clear(server: Running, resource: Ended) {
    drop(resource);
    server.stop().await;
}

/// A task that ends with the demo.
struct Ended(JoinHandle<io::Result<()>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_demo_tells_its_story_to_the_end_and_no_secret_in_full() {
        let mut story = Vec::new();
        let told = super::run(&mut story).await;
        let story = String::from_utf8(story).unwrap();
        told.unwrap_or_else(|error| panic!("{error}\n{story}"));
        assert!(story.contains("error: invalid_grant"), "{story}");
        assert!(story.contains("You are ada"), "{story}");
        assert!(story.contains("document 1 time(s)"), "{story}");
        // Every secret here is an unbroken run of at least 43 base64url characters.
        let is_secret = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let longest = story.as_bytes().split(|byte| !is_secret(*byte)).map(<[u8]>::len).max().unwrap();
        assert!(longest < 43, "{story}");
    }
}
