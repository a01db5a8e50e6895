//! The administrator's commands: each is one or two signed requests, and what comes back in a table or as
//! JSON. What takes something away shows its effect first, and asks.

mod client;
mod command;
pub mod import;
mod show;

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

pub use client::{ApiError, Client};
pub use command::AdminCommand;
use command::{Audit, Clients, Decision, Grants, Keys, Policy, Tools};
use show::Shape;

/// What stops an administrator's command.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The server, or the way to it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The import is no table.
    #[error(transparent)]
    Import(#[from] import::ImportError),
    /// The terminal is gone.
    #[error("{0}")]
    Terminal(#[from] io::Error),
    /// Nobody is there to ask.
    #[error("this takes something away: look at the effect above and say --yes")]
    Unconfirmed,
    /// The person said no.
    #[error("nothing was changed")]
    Declined,
}

/// How to speak with the server and with the person.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub endpoint: Option<String>,
    /// JSON for programs instead of tables for people.
    pub json: bool,
}

/// Runs one command, and says whether all is well.
///
/// # Errors
/// [`AdminError`], a line or two that say what to do.
pub async fn run(command: AdminCommand, options: &Options, out: &mut impl Write) -> Result<bool, AdminError> {
    if let AdminCommand::Import { origin, file, least, output } = command {
        return run_import(&file, origin, least, output.as_deref(), options, out);
    }
    let client = Client::connect(options.endpoint.as_deref()).await?;
    let mut session = Session { client, json: options.json, out };
    match command {
        AdminCommand::Tools(command) => session.tools(command).await,
        AdminCommand::Clients(command) => session.clients(command).await,
        AdminCommand::Grants(command) => session.grants(command).await,
        AdminCommand::Policy(command) => session.policy(command).await,
        AdminCommand::Keys(command) => session.keys(command).await,
        AdminCommand::Audit(command) => session.audit(command).await,
        AdminCommand::Explain { reference } => {
            session.show(&format!("/references/{}", encode(&reference)), Shape::Explanation).await
        }
        AdminCommand::Report => session.show("/report", Shape::Record).await,
        AdminCommand::Whoami => session.show("/whoami", Shape::Record).await,
        // Handled above: it needs no server.
        AdminCommand::Import { .. } => Ok(true),
    }
}

struct Session<'a, W> {
    client: Client,
    json: bool,
    out: &'a mut W,
}

/// What stays as it is in a path or query: the unreserved characters of RFC 3986 §2.3, and nothing else. A
/// signature (AWS SigV4) covers this spelling, so `~`, which every tool's id has, must not be escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One part of a path or query.
fn encode(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given: Vec<String> = pairs
        .iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}={}", encode(value))))
        .collect();
    if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
}

impl<W: Write> Session<'_, W> {
    fn print(&mut self, body: &Value, shape: Shape) -> Result<bool, AdminError> {
        if self.json {
            writeln!(self.out, "{body:#}")?;
        } else {
            write!(self.out, "{}", show::text(body, shape))?;
        }
        Ok(true)
    }

    async fn show(&mut self, path: &str, shape: Shape) -> Result<bool, AdminError> {
        let answer = self.client.get(path).await?;
        self.print(&answer.body, shape)
    }

    /// Shows what a change would take away, and asks unless `yes` was said.
    async fn confirm(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        yes: bool,
    ) -> Result<(), AdminError> {
        if yes {
            return Ok(());
        }
        let mark = if path.contains('?') { '&' } else { '?' };
        let dry = self.client.send(method, &format!("{path}{mark}dry_run=true"), body, &[]).await?;
        write!(io::stderr(), "{}", show::text(&dry.body, Shape::Effect))?;
        if !io::stdin().is_terminal() {
            return Err(AdminError::Unconfirmed);
        }
        write!(io::stderr(), "Go on? [y/N] ")?;
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(AdminError::Declined) }
    }

    async fn decide(
        &mut self,
        path: &str,
        decision: &Decision,
        takes_away: bool,
    ) -> Result<bool, AdminError> {
        let body = match &decision.because {
            Some(because) => json!({ "because": because }),
            None => json!({}),
        };
        if takes_away {
            self.confirm(Method::POST, path, Some(&body), decision.yes).await?;
        }
        let answer = self.client.post(path, &body).await?;
        self.print(&answer.body, Shape::Record)
    }

    async fn tools(&mut self, command: Tools) -> Result<bool, AdminError> {
        let path = |id: &str, action: &str| format!("/tools/{}{action}", encode(id));
        match command {
            Tools::List { text, status, mechanism, host, sort, descending, all } => {
                let mut pairs = vec![
                    ("q", text),
                    ("status", status),
                    ("mechanism", mechanism),
                    ("host", host),
                    ("sort", sort),
                    ("descending", descending.then(|| "true".to_owned())),
                    ("limit", all.then(|| "200".to_owned())),
                ];
                let mut tools = Vec::new();
                loop {
                    let given: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_deref())).collect();
                    let page = self.client.get(&format!("/tools{}", query(&given))).await?.body;
                    tools.extend(page.get("tools").and_then(Value::as_array).into_iter().flatten().cloned());
                    let cursor = page.get("cursor").and_then(Value::as_str).map(str::to_owned);
                    if !all || cursor.is_none() {
                        let total = page.get("total").cloned().unwrap_or_default();
                        return self.print(&json!({ "tools": tools, "total": total }), Shape::Tools);
                    }
                    pairs.retain(|(name, _)| *name != "cursor");
                    pairs.push(("cursor", cursor));
                }
            }
            Tools::Show { id } => self.show(&path(&id, ""), Shape::Record).await,
            Tools::Approve(decision) => self.decide(&path(&decision.id, "/approve"), &decision, false).await,
            Tools::Deny(decision) => self.decide(&path(&decision.id, "/deny"), &decision, true).await,
            Tools::Enable(decision) => self.decide(&path(&decision.id, "/enable"), &decision, false).await,
            Tools::Disable(decision) => self.decide(&path(&decision.id, "/disable"), &decision, true).await,
            Tools::Revoke(decision) => self.decide(&path(&decision.id, "/revoke"), &decision, true).await,
            Tools::Rotate(decision) => self.decide(&path(&decision.id, "/rotate"), &decision, true).await,
            Tools::Delete(decision) => self.delete(&path(&decision.id, ""), decision.yes).await,
            Tools::Rename { id, name } => {
                let body = json!({ "name": name });
                let answer = self.client.send(Method::PATCH, &path(&id, ""), Some(&body), &[]).await?;
                self.print(&answer.body, Shape::Record)
            }
            Tools::Merge { id, into, yes } => {
                let body = json!({ "into": into });
                self.confirm(Method::POST, &path(&id, "/merge"), Some(&body), yes).await?;
                let answer = self.client.post(&path(&id, "/merge"), &body).await?;
                self.print(&answer.body, Shape::Record)
            }
            Tools::Map { id, client_id } => {
                let answer = self.client.post(&path(&id, "/map"), &json!({ "client_id": client_id })).await?;
                self.print(&answer.body, Shape::Record)
            }
        }
    }

    async fn delete(&mut self, path: &str, yes: bool) -> Result<bool, AdminError> {
        self.confirm(Method::DELETE, path, None, yes).await?;
        let answer = self.client.send(Method::DELETE, path, None, &[]).await?;
        self.print(&answer.body, Shape::Record)
    }

    async fn clients(&mut self, command: Clients) -> Result<bool, AdminError> {
        match command {
            Clients::Add { client_id, tool, name, redirect_uris, auth_method } => {
                let mut body = json!({ "redirect_uris": redirect_uris });
                let given = [
                    ("client_id", client_id),
                    ("tool", tool),
                    ("name", name),
                    ("token_endpoint_auth_method", auth_method),
                ];
                if let Some(members) = body.as_object_mut() {
                    members.extend(
                        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))),
                    );
                }
                let answer = self.client.post("/registrations", &body).await?;
                self.print(&answer.body, Shape::Record)
            }
            Clients::Rotate { client_id, overlap } => {
                let mut body = json!({ "client_id": client_id });
                if let (Some(members), Some(overlap)) = (body.as_object_mut(), overlap) {
                    members.insert("overlap_seconds".to_owned(), overlap.into());
                }
                let answer = self.client.post("/registrations/rotate-secret", &body).await?;
                self.print(&answer.body, Shape::Record)
            }
            Clients::Remove { client_id, yes } => {
                self.delete(&format!("/registrations?client_id={}", encode(&client_id)), yes).await
            }
        }
    }

    async fn grants(&mut self, command: Grants) -> Result<bool, AdminError> {
        match command {
            Grants::List { tool, user } => {
                let pairs = [("tool", tool.as_deref()), ("subject", user.as_deref())];
                self.show(&format!("/grants{}", query(&pairs)), Shape::Grants).await
            }
            Grants::Revoke(decision) => {
                self.decide(&format!("/grants/{}/revoke", encode(&decision.id)), &decision, true).await
            }
        }
    }

    async fn policy(&mut self, command: Policy) -> Result<bool, AdminError> {
        match command {
            Policy::Get => {
                let answer = self.client.get("/policy").await?;
                writeln!(self.out, "{:#}", answer.body.get("policy").unwrap_or(&Value::Null))?;
                Ok(true)
            }
            Policy::Validate { file } => {
                let answer = self.client.post("/policy/validate", &read_json(&file)?).await?;
                self.print(&answer.body, Shape::Record)
            }
            Policy::Apply { file, yes } => {
                let policy = read_json(&file)?;
                let seen = self.client.get("/policy").await?;
                let checked = self.client.post("/policy/validate", &policy).await?;
                if checked.body.get("changes") == Some(&Value::Bool(false)) {
                    writeln!(self.out, "The policy in force is this one already.")?;
                    return Ok(true);
                }
                if !yes {
                    write!(
                        io::stderr(),
                        "{}",
                        show::differences(seen.body.get("policy").unwrap_or(&Value::Null), &policy)
                    )?;
                    if !io::stdin().is_terminal() {
                        return Err(AdminError::Unconfirmed);
                    }
                    write!(io::stderr(), "Put it in force? [y/N] ")?;
                    io::stderr().flush()?;
                    let mut answer = String::new();
                    io::stdin().lock().read_line(&mut answer)?;
                    if !matches!(answer.trim(), "y" | "Y" | "yes") {
                        return Err(AdminError::Declined);
                    }
                }
                let tag = seen.tag.unwrap_or_default();
                let headers = [("if-match", tag.as_str())];
                let answer = self.client.send(Method::PUT, "/policy", Some(&policy), &headers).await?;
                let version = answer.body.get("version").cloned().unwrap_or_default();
                self.print(&json!({ "version": version }), Shape::Record)
            }
            Policy::History => self.show("/policy/history", Shape::Record).await,
            Policy::Rollback { version } => {
                let answer = self.client.post("/policy/rollback", &json!({ "version": version })).await?;
                let version = answer.body.get("version").cloned().unwrap_or_default();
                self.print(&json!({ "version": version }), Shape::Record)
            }
        }
    }

    async fn keys(&mut self, command: Keys) -> Result<bool, AdminError> {
        match command {
            Keys::List => self.show("/keys", Shape::Record).await,
            Keys::Rotate { usage, yes } => {
                let body = json!({ "usage": usage });
                self.confirm(Method::POST, "/keys/rotate", Some(&body), yes).await?;
                let answer = self.client.post("/keys/rotate", &body).await?;
                self.print(&answer.body, Shape::Record)
            }
        }
    }

    async fn audit(&mut self, command: Audit) -> Result<bool, AdminError> {
        match command {
            Audit::Tail { count } => {
                let count = count.to_string();
                self.show(&format!("/audit{}", query(&[("limit", Some(&count))])), Shape::Entries).await
            }
            Audit::Query { kind, target, actor } => {
                let pairs =
                    [("kind", kind.as_deref()), ("target", target.as_deref()), ("actor", actor.as_deref())];
                self.show(&format!("/audit{}", query(&pairs)), Shape::Entries).await
            }
            Audit::Verify { anchor } => {
                let anchor = anchor.map(|path| read_anchor(&path)).transpose()?;
                let answer = self
                    .client
                    .get(&format!("/audit/verify{}", query(&[("anchor", anchor.as_deref())])))
                    .await?;
                self.print(&answer.body, Shape::Record)?;
                Ok(answer.body.get("intact") == Some(&Value::Bool(true)))
            }
            Audit::Anchor => {
                let answer = self.client.post("/audit/anchors", &json!({})).await?;
                self.print(&answer.body, Shape::Record)
            }
            Audit::Export => {
                let answer = self.client.get("/audit/export").await?;
                write!(self.out, "{}", answer.text)?;
                Ok(true)
            }
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, AdminError> {
    std::fs::read(path).map_err(|source| AdminError::File { path: path.to_owned(), source })
}

fn read_json(path: &Path) -> Result<Value, AdminError> {
    serde_json::from_slice(&read_file(path)?)
        .map_err(|error| AdminError::Content { path: path.to_owned(), reason: error.to_string() })
}

/// The heads in a kept answer, as the query takes them.
fn read_anchor(path: &Path) -> Result<String, AdminError> {
    let kept = read_json(path)?;
    let heads = kept.get("heads").unwrap_or(&kept);
    let head = |head: &Value| {
        let (shard, sequence) = (head.get("shard")?.as_u64()?, head.get("sequence")?.as_u64()?);
        Some(format!("{shard}:{sequence}:{}", head.get("hash")?.as_str()?))
    };
    let heads: Option<Vec<String>> = heads.as_array().and_then(|heads| heads.iter().map(head).collect());
    let refused =
        || AdminError::Content { path: path.to_owned(), reason: "holds no heads of chains".to_owned() };
    Ok(heads.filter(|heads| !heads.is_empty()).ok_or_else(refused)?.join(","))
}

fn run_import(
    file: &Path,
    origin: import::Origin,
    least: usize,
    output: Option<&Path>,
    options: &Options,
    out: &mut impl Write,
) -> Result<bool, AdminError> {
    let plan = import::plan(&read_file(file)?, origin, least.max(1))?;
    let body = serde_json::to_value(&plan).unwrap_or_default();
    if let Some(path) = output {
        std::fs::write(path, format!("{body:#}\n"))
            .map_err(|source| AdminError::File { path: path.to_owned(), source })?;
    }
    if options.json {
        writeln!(out, "{body:#}")?;
    } else {
        write!(out, "{}", show::plan(&plan))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS SigV4, "create a canonical request": only what RFC 3986 §2.3 reserves is escaped, once.
    #[test]
    fn a_tools_id_is_signed_as_it_is_sent() {
        assert_eq!(encode("app.example.com~3kq-A_1"), "app.example.com~3kq-A_1");
        assert_eq!(encode("https://a.example/c d+e%2f"), "https%3A%2F%2Fa.example%2Fc%20d%2Be%252f");
        assert_eq!(query(&[("q", Some("é")), ("no", None)]), "?q=%C3%A9");
    }
}
