//! What administrators can say on the command line.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that people read in a terminal")]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::import::Origin;

/// Commands that speak with a server.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// See tools and decide about them
    #[command(subcommand)]
    Tools(Tools),
    /// Enter clients, replace their secrets, remove them
    #[command(subcommand)]
    Clients(Clients),
    /// See who allowed what, and end it
    #[command(subcommand)]
    Grants(Grants),
    /// See, check, and change the policy
    #[command(subcommand)]
    Policy(Policy),
    /// See keys, and replace them in an emergency
    #[command(subcommand)]
    Keys(Keys),
    /// Look through the audit trail, and verify it
    #[command(subcommand)]
    Audit(Audit),
    /// Say which checks a refused request went through, by the reference on the person's page
    Explain {
        /// The reference
        reference: String,
    },
    /// How far the move from sprawl to tools has come
    Report,
    /// Who you are to the server, and what you may do
    Whoami,
    /// Group an export of applications into the tools behind them; changes nothing
    Import {
        /// Where the file comes from
        origin: Origin,
        /// The file
        file: PathBuf,
        /// Applications that a tool has at least
        #[arg(long, default_value_t = 2)]
        least: usize,
        /// Write the mapping as JSON
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// A decision about one tool.
#[derive(Debug, Args)]
pub struct Decision {
    /// The tool's id
    pub id: String,
    /// Why, for the audit trail
    #[arg(long)]
    pub because: Option<String>,
    /// Do it without asking
    #[arg(long, short)]
    pub yes: bool,
}

/// Commands about tools.
#[derive(Debug, Subcommand)]
pub enum Tools {
    /// List tools
    List {
        /// Part of a name or id
        text: Option<String>,
        /// pending, enabled, disabled, or withdrawn
        #[arg(long)]
        status: Option<String>,
        /// pre_registered, metadata_document, or dynamic
        #[arg(long)]
        mechanism: Option<String>,
        /// The host of its metadata document
        #[arg(long)]
        host: Option<String>,
        /// name, id, status, last_used, introduced, or users
        #[arg(long)]
        sort: Option<String>,
        /// Turn the order round
        #[arg(long)]
        descending: bool,
        /// All pages, not only the first
        #[arg(long)]
        all: bool,
    },
    /// Show one tool with its client identifiers
    Show {
        /// The tool's id
        id: String,
    },
    /// Let a pending tool be used
    Approve(Decision),
    /// Decide against a pending tool
    Deny(Decision),
    /// Let a tool be used again
    Enable(Decision),
    /// Stop a tool at once, for everybody
    Disable(Decision),
    /// End all grants of a tool; people connect again
    Revoke(Decision),
    /// End all grants of a tool and void its secrets
    Rotate(Decision),
    /// Delete a tool
    Delete(Decision),
    /// Give a tool another name
    Rename {
        /// The tool's id
        id: String,
        /// The name
        name: String,
    },
    /// Make a tool part of another
    Merge {
        /// The tool that ends
        id: String,
        /// The tool that stands for it from then on
        #[arg(long)]
        into: String,
        /// Do it without asking
        #[arg(long, short)]
        yes: bool,
    },
    /// Let a client identifier belong to a tool
    Map {
        /// The tool's id
        id: String,
        /// The client identifier, exactly
        client_id: String,
    },
}

/// Commands about registrations.
#[derive(Debug, Subcommand)]
pub enum Clients {
    /// Enter a client: by the URL of its metadata document, or with an id and redirect URIs
    Add {
        /// The URL of its metadata document, or an id; one is made if it is left out
        client_id: Option<String>,
        /// The tool that it belongs to; a new one if left out
        #[arg(long)]
        tool: Option<String>,
        /// Its name
        #[arg(long)]
        name: Option<String>,
        /// Where codes may go; once for each
        #[arg(long = "redirect-uri", value_name = "URI")]
        redirect_uris: Vec<String>,
        /// none, client_secret_basic, or client_secret_post
        #[arg(long, value_name = "METHOD")]
        auth_method: Option<String>,
    },
    /// Replace a client's secret; the one before goes on working for a while
    Rotate {
        /// The client identifier, exactly
        client_id: String,
        /// For how many seconds
        #[arg(long)]
        overlap: Option<u64>,
    },
    /// Remove a registration
    Remove {
        /// The client identifier, exactly
        client_id: String,
        /// Do it without asking
        #[arg(long, short)]
        yes: bool,
    },
}

/// Commands about grants.
#[derive(Debug, Subcommand)]
pub enum Grants {
    /// List grants of a tool, of a person, or of both
    List {
        /// A tool's id
        #[arg(long)]
        tool: Option<String>,
        /// A person, by the `sub` of tokens
        #[arg(long)]
        user: Option<String>,
    },
    /// End one grant
    Revoke(Decision),
}

/// Commands about the policy.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Print the policy in force
    Get,
    /// Check a policy and change nothing
    Validate {
        /// The file
        file: PathBuf,
    },
    /// Put a policy in force
    Apply {
        /// The file
        file: PathBuf,
        /// Do it without asking
        #[arg(long, short)]
        yes: bool,
    },
    /// Who put which version in force, and when
    History,
    /// Put an earlier version in force again
    Rollback {
        /// Its number
        version: u64,
    },
}

/// Commands about keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List keys
    List,
    /// Emergency: new keys now, and no earlier one is honoured
    Rotate {
        /// sig: tokens issued before are refused. seal: everybody signs in again
        usage: String,
        /// Do it without asking
        #[arg(long, short)]
        yes: bool,
    },
}

/// Commands about the audit trail.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// The newest entries
    Tail {
        /// How many
        #[arg(short = 'n', default_value_t = 20)]
        count: u64,
    },
    /// Entries that match
    Query {
        /// What happened, such as `tool_disabled`
        #[arg(long)]
        kind: Option<String>,
        /// A tool's id, a grant's id, a client identifier
        #[arg(long)]
        target: Option<String>,
        /// Part of an ARN or subject
        #[arg(long)]
        actor: Option<String>,
    },
    /// Check all chains; ends with 1 if anything was removed or altered
    Verify {
        /// A file in which an earlier `verify --json` or `anchor --json` was kept
        #[arg(long, value_name = "FILE")]
        anchor: Option<PathBuf>,
    },
    /// Write down where all chains end
    Anchor,
    /// All entries as JSON lines
    Export,
}
