//! Figures: what was measured, beside what it may be, as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

/// The value below which `percent` of `sorted` lie; the smallest unit if there are none.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or_default()
}

/// The middle of `values`.
pub fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    percentile(&values, 50)
}

/// Milliseconds, as a number for tables.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Mebibytes.
#[expect(clippy::cast_precision_loss, reason = "no figure of ours has 52 bits")]
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1_u32 << 20)
}

/// A table: a line of names, then lines of cells.
#[derive(Clone, Debug, Default)]
pub struct Table {
    title: String,
    head: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number, with so many digits behind the point.
    Number(f64, usize),
    /// Nothing was measured here.
    Empty,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Cell {
    /// A whole number.
    #[expect(clippy::cast_precision_loss, reason = "no figure of ours has 52 bits")]
    pub fn whole(number: u64) -> Self {
        Self::Number(number as f64, 0)
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number, digits) => format!("{number:.digits$}"),
            Self::Empty => "–".to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => text.clone().into(),
            // As exact as it is shown: more digits would be noise.
            Self::Number(_, digits) => {
                let text = self.text();
                if *digits == 0 {
                    text.parse::<i64>().map_or(Value::Null, Value::from)
                } else {
                    text.parse::<f64>().map_or(Value::Null, Value::from)
                }
            }
            Self::Empty => Value::Null,
        }
    }
}

impl Table {
    /// A table without lines.
    pub fn new(title: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { title: title.to_owned(), head, rows: Vec::new() }
    }

    /// One more line.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// As Markdown, with the title as a heading.
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n| {} |\n|", self.title, self.head.join(" | "));
        for (column, _) in self.head.iter().enumerate() {
            let numbers = self.rows.iter().any(|row| matches!(row.get(column), Some(Cell::Number(..))));
            text.push_str(if numbers { "---:|" } else { "---|" });
        }
        text.push('\n');
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::text).collect();
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }

    /// As JSON: a list of objects.
    pub fn json(&self) -> Value {
        let row = |row: &Vec<Cell>| {
            let members = self.head.iter().zip(row).map(|(name, cell)| (name.clone(), cell.json()));
            Value::Object(members.collect())
        };
        json!({"title": self.title, "rows": self.rows.iter().map(row).collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Duration::from_millis(100));
        assert_eq!(percentile(&values, 99), Duration::from_millis(198));
        assert_eq!(percentile(&values[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn a_table_says_the_same_to_people_and_programs() {
        let mut table = Table::new("Sizes", &["what", "MiB"]);
        table.row(vec!["token".into(), Cell::Number(4.25, 1)]);
        table.row(vec!["fetch".into(), Cell::Empty]);
        assert_eq!(
            table.markdown(),
            "### Sizes\n\n| what | MiB |\n|---|---:|\n| token | 4.2 |\n| fetch | – |\n"
        );
        assert_eq!(table.json()["rows"][0], json!({"what": "token", "MiB": 4.2}));
        assert_eq!(table.json()["rows"][1]["MiB"], Value::Null);
    }
}
