//! Answers for people: tables, records, and what a change would take away.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::import::Plan;

/// How an answer is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Tools,
    Grants,
    Entries,
    Record,
    Effect,
    Explanation,
}

/// Skipped rows that are listed one by one.
const SKIPPED_SHOWN: usize = 20;

/// The answer as text.
pub(super) fn text(body: &Value, shape: Shape) -> String {
    match shape {
        Shape::Tools => {
            let total = body.get("total").and_then(Value::as_u64).unwrap_or_default();
            let columns = ["id", "name", "status", "introduced.mechanism", "census.users", "last_used_at"];
            format!("{}{total} in all\n", table(body.get("tools"), &columns))
        }
        Shape::Grants => {
            let columns = ["id", "subject", "tool", "resource", "scope", "stage", "approved_at"];
            table(body.get("grants"), &columns)
        }
        Shape::Entries => {
            let columns = ["event.at", "event.kind", "event.target", "event.actor"];
            table(body.get("entries"), &columns)
        }
        Shape::Record => record(body, 0),
        Shape::Effect => effect(body),
        Shape::Explanation => explanation(body),
    }
}

/// The value at a dotted path, in one line.
fn cell(row: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(row, |value, name| value.get(name));
    let name = path.rsplit('.').next().unwrap_or(path);
    found.map(|value| line(name, value)).unwrap_or_default()
}

fn line(name: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Number(number) if name == "at" || name.ends_with("_at") => {
            number.as_u64().map_or_else(|| number.to_string(), date)
        }
        Value::Object(members) if members.len() == 1 => {
            members.iter().map(|(name, value)| format!("{name} {}", line(name, value))).collect()
        }
        other => plain(&other.to_string()),
    }
}

/// What a client sent may hold control characters, which a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Seconds since the epoch as `2026-11-25 02:25 UTC`.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil-from-days of Howard Hinnant, for days since 1970.
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

/// Rows under headings, each column as wide as it must be.
fn table(rows: Option<&Value>, columns: &[&str]) -> String {
    let heading =
        |column: &&str| column.rsplit('.').next().unwrap_or(column).trim_end_matches("_at").to_uppercase();
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(heading).collect()];
    for row in rows.and_then(Value::as_array).into_iter().flatten() {
        lines.push(columns.iter().map(|column| cell(row, column)).collect());
    }
    let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
    for cells in &lines {
        for (at, cell) in cells.iter().enumerate() {
            let width = widths.entry(at).or_default();
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for cells in &lines {
        let padded: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(at, cell)| format!("{cell:width$}", width = widths.get(&at).copied().unwrap_or_default()))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Members one below the other.
fn record(body: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let mut text = String::new();
    let members: Vec<(String, &Value)> = match body {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().map(|item| ("-".to_owned(), item)).collect(),
        other => return format!("{indent}{}\n", line("", other)),
    };
    for (name, value) in members {
        let nested = matches!(value, Value::Object(members) if members.len() > 1)
            || matches!(value, Value::Array(items) if items.iter().any(Value::is_object));
        if nested {
            let _ = write!(text, "{indent}{name}\n{}", record(value, depth + 1));
        } else {
            let _ = writeln!(text, "{indent}{name:20} {}", line(&name, value));
        }
    }
    text
}

fn effect(body: &Value) -> String {
    let Some(effect) = body.get("effect") else { return record(body, 0) };
    let number = |name: &str| effect.get(name).and_then(Value::as_u64).unwrap_or_default();
    format!(
        "{} {}: {} people, {} grants, {} registrations\n",
        cell(body, "action"),
        cell(body, "target"),
        number("users"),
        number("grants"),
        number("registrations")
    )
}

fn explanation(body: &Value) -> String {
    let mut text = format!(
        "{}  {}\nwas refused {}\n\n",
        cell(body, "event.actor"),
        cell(body, "event.at"),
        cell(body, "event.target")
    );
    let detail = body.get("event").and_then(|event| event.get("detail")).and_then(Value::as_object);
    for (name, value) in detail.into_iter().flatten() {
        let _ = writeln!(text, "  {name:18} {}", line(name, value));
    }
    text
}

/// What an import comes to.
pub(super) fn plan(plan: &Plan) -> String {
    let count = |proposals: &[super::import::Proposal]| -> usize {
        proposals.iter().map(|proposal| proposal.client_ids.len()).sum()
    };
    let mut text = format!(
        "{} applications are {} tools; {} resemble no other; {} rows were not understood\n\n",
        count(&plan.tools) + count(&plan.rest),
        plan.tools.len(),
        count(&plan.rest),
        plan.skipped.len()
    );
    for tool in &plan.tools {
        let uris: Vec<String> = tool.redirect_uris.iter().map(|uri| plain(uri)).collect();
        let _ = writeln!(text, "{:6}  {}  {}", tool.client_ids.len(), plain(&tool.name), uris.join(" "));
    }
    if !plan.skipped.is_empty() {
        text.push('\n');
    }
    for skipped in plan.skipped.iter().take(SKIPPED_SHOWN) {
        let _ = writeln!(text, "line {}: {}", skipped.line, plain(&skipped.reason));
    }
    if plan.skipped.len() > SKIPPED_SHOWN {
        let _ = writeln!(text, "and {} more", plan.skipped.len() - SKIPPED_SHOWN);
    }
    text
}

/// What one JSON document has and another has not, by member.
pub(super) fn differences(before: &Value, after: &Value) -> String {
    let mut lines: BTreeMap<&String, String> = BTreeMap::new();
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    flatten("", before, &mut old);
    flatten("", after, &mut new);
    for (path, value) in &old {
        if new.get(path) != Some(value) {
            lines.entry(path).or_default().push_str(&format!("- {path} {value}\n"));
        }
    }
    for (path, value) in &new {
        if old.get(path) != Some(value) {
            lines.entry(path).or_default().push_str(&format!("+ {path} {value}\n"));
        }
    }
    lines.into_values().collect()
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                flatten(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value, into);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, value) in items.iter().enumerate() {
                flatten(&format!("{path}[{at}]"), value, into);
            }
        }
        leaf => {
            into.insert(path.to_owned(), leaf.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_dates_and_columns_stand_below_their_headings() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(1_795_564_800), "2026-11-25 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        let rows = json!([{"id": "a~1", "last_used_at": 0}, {"id": "long-name~2"}]);
        let shown = table(Some(&rows), &["id", "last_used_at"]);
        assert_eq!(shown, "ID           LAST_USED\na~1          1970-01-01 00:00 UTC\nlong-name~2\n");
    }

    /// What a client calls itself cannot move the cursor of an administrator's terminal.
    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let rows = json!({"tools": [{"id": "x", "name": "a\u{1b}[2Jb"}], "total": 1});
        assert!(!text(&rows, Shape::Tools).contains('\u{1b}'));
    }

    #[test]
    fn differences_name_each_member_that_changes() {
        let shown = differences(&json!({"a": {"b": 1}, "c": [1]}), &json!({"a": {"b": 2}, "c": [1, 3]}));
        assert_eq!(shown, "- a.b 1\n+ a.b 2\n+ c[1] 3\n");
    }
}
