//! From a list of thousands of nearly identical applications to the few tools behind them.
//!
//! Two applications belong to one tool if they have the same name, spelling of case and spaces aside, and
//! the same redirect URIs, loopback ports aside. A name alone proves nothing: anybody can register it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// A row that is not understood: reported with its line, and skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Line of the file, counted from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// A tool that is proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// The name that its applications have.
    pub name: String,
    /// Where they redirect to, loopback ports removed.
    pub redirect_uris: Vec<String>,
    /// Their client identifiers.
    pub client_ids: Vec<String>,
}

/// What an export comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Tools, the one with the most applications first.
    pub tools: Vec<Proposal>,
    /// Applications that resemble no other.
    pub rest: Vec<Proposal>,
    /// Rows that were not understood.
    pub skipped: Vec<Skipped>,
}

/// The file is no table of applications.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A column is missing.
    #[error("the first line must name the columns; there is none called {0}")]
    Column(&'static str),
    /// Not CSV at all.
    #[error("the file is not CSV: {0}")]
    Csv(#[from] csv::Error),
}

/// Where the export comes from: how its columns are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Origin {
    /// `oauth_applications` of GitLab: `uid`, `name`, `redirect_uri` with one URI per line.
    Gitlab,
    /// Any table with the columns `client_id`, `name`, `redirect_uris`, separated by spaces.
    Csv,
}

impl Origin {
    const fn columns(self) -> [&'static str; 3] {
        match self {
            Self::Gitlab => ["uid", "name", "redirect_uri"],
            Self::Csv => ["client_id", "name", "redirect_uris"],
        }
    }
}

/// Reads an export and groups it; groups of fewer than `least` applications are the rest.
///
/// # Errors
/// [`ImportError`] if it has not the columns.
pub fn plan(text: &[u8], origin: Origin, least: usize) -> Result<Plan, ImportError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let headers = reader.headers()?.clone();
    let column = |name: &'static str| {
        headers.iter().position(|header| header.trim() == name).ok_or(ImportError::Column(name))
    };
    let [id, name, uris] = origin.columns();
    let (id, name, uris) = (column(id)?, column(name)?, column(uris)?);
    let mut groups: BTreeMap<(String, BTreeSet<String>), Proposal> = BTreeMap::new();
    let mut plan = Plan::default();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                plan.skipped.push(Skipped { line, reason: error.to_string() });
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(at).map(str::trim).filter(|text| !text.is_empty());
        let (Some(client_id), Some(name), Some(uris)) = (field(id), field(name), field(uris)) else {
            plan.skipped.push(Skipped { line, reason: "a column is empty or missing".to_owned() });
            continue;
        };
        let uris: Result<BTreeSet<String>, String> = uris.split_whitespace().map(normal_uri).collect();
        let uris = match uris {
            Ok(uris) => uris,
            Err(reason) => {
                plan.skipped.push(Skipped { line, reason });
                continue;
            }
        };
        let proposal = groups.entry((normal_name(name), uris.clone())).or_insert_with(|| Proposal {
            name: name.to_owned(),
            redirect_uris: uris.into_iter().collect(),
            client_ids: Vec::new(),
        });
        proposal.client_ids.push(client_id.to_owned());
    }
    let (tools, rest) = groups.into_values().partition(|group| group.client_ids.len() >= least);
    (plan.tools, plan.rest) = (tools, rest);
    plan.tools
        .sort_by(|a: &Proposal, b| b.client_ids.len().cmp(&a.client_ids.len()).then(a.name.cmp(&b.name)));
    Ok(plan)
}

fn normal_name(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// A redirect URI without its port, where the port is chosen anew at each start.
fn normal_uri(uri: &str) -> Result<String, String> {
    let mut url = url::Url::parse(uri).map_err(|error| format!("redirect URI {uri}: {error}"))?;
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if loopback && url.scheme() == "http" {
        url.set_port(None).map_err(|()| format!("redirect URI {uri}: no port"))?;
        return Ok(url.to_string());
    }
    Ok(uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Idea 24, FIELD 3.1: six thousand rows are twelve tools and the rest, in one go.
    #[test]
    fn six_thousand_applications_are_twelve_tools() {
        let mut file = String::from("id,name,redirect_uri,uid,scopes\n");
        for row in 0..6000 {
            let tool = row % 12;
            let port = 30_000 + row;
            file.push_str(&format!(
                "{row},Agent {tool},http://127.0.0.1:{port}/callback/{tool},uid-{row},api\n"
            ));
        }
        file.push_str("9001,Lonely,https://lonely.example/cb,uid-l,api\n");
        file.push_str("9002,,https://nameless.example/cb,uid-n,api\n");
        file.push_str("9003,Broken,not a uri,uid-b,api\n");
        let plan = plan(file.as_bytes(), Origin::Gitlab, 2).unwrap();
        assert_eq!(plan.tools.len(), 12);
        assert!(plan.tools.iter().all(|tool| tool.client_ids.len() == 500), "{:?}", plan.tools[0].name);
        assert_eq!(plan.rest.len(), 1);
        let lines: Vec<u64> = plan.skipped.iter().map(|skipped| skipped.line).collect();
        assert_eq!(lines, [6003, 6004]);
    }

    /// Advisory of FIELD idea 3: one name with two destinations is two tools.
    #[test]
    fn a_name_alone_makes_no_tool() {
        let file = "client_id,name,redirect_uris\na,Claude,https://claude.ai/cb\nb, claude ,https://evil.example/cb\n\
                    c,CLAUDE,https://claude.ai/cb\n";
        let plan = plan(file.as_bytes(), Origin::Csv, 2).unwrap();
        assert_eq!(plan.tools.len(), 1);
        assert_eq!(plan.tools[0].client_ids, ["a", "c"]);
        assert_eq!(plan.rest[0].client_ids, ["b"]);
        assert!(matches!(super::plan(b"x,y\n", Origin::Csv, 2), Err(ImportError::Column("client_id"))));
    }

    #[test]
    fn a_port_matters_unless_it_is_a_loopback_one() {
        assert_eq!(normal_uri("http://localhost:4000/cb"), normal_uri("http://localhost:5000/cb"));
        assert_ne!(normal_uri("https://a.example:4000/cb"), normal_uri("https://a.example:5000/cb"));
    }
}
