//! `docs/conformance.md` tells the truth: every requirement it names exists, so does every test, and what has
//! none says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::tidy::root;

/// One row of the table: a requirement and the tests that prove it.
struct Row {
    line: usize,
    requirement: String,
    tests: Vec<String>,
}

/// Where the table of proofs begins.
const PROVED: &str = "## Proved\n";

fn rows(document: &str) -> Vec<Row> {
    let before = document.split(PROVED).next().filter(|before| before.len() < document.len());
    let skipped = before.map_or(0, |before| before.lines().count());
    let mut rows = Vec::new();
    for (index, text) in document.lines().enumerate().skip(skipped) {
        let Some(text) = text.strip_prefix('|') else { continue };
        let cells: Vec<&str> = text.trim_end().trim_end_matches('|').split('|').map(str::trim).collect();
        let [requirement, tests] = cells[..] else { panic!("line {}: not two columns", index + 1) };
        if requirement == "requirement" || requirement.starts_with("--") {
            continue;
        }
        let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        rows.push(Row { line: index + 1, requirement: requirement.to_owned(), tests });
    }
    rows
}

fn looks_like_an_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 6
        && bytes[..3].iter().all(u8::is_ascii_uppercase)
        && bytes[3] == b'-'
        && bytes[4..].iter().all(u8::is_ascii_digit)
}

/// Whether `source` defines a test of this name: in Rust a function under a test attribute, in Python a function.
fn defines_test(path: &str, source: &str, name: &str) -> bool {
    if path.ends_with(".py") {
        return source.lines().any(|line| line.starts_with(&format!("def {name}(")));
    }
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let signatures = [format!("fn {name}("), format!("async fn {name}(")];
    lines.iter().enumerate().any(|(at, line)| {
        signatures.iter().any(|signature| line.starts_with(signature.as_str()))
            && lines[..at]
                .iter()
                .rev()
                .take_while(|above| above.starts_with('#') || above.starts_with("//"))
                .any(|above| above.starts_with("#[") && above.contains("test"))
    })
}

/// What is wrong with the table, line by line.
fn problems(document: &str, known: &BTreeSet<&str>, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for Row { line, requirement, tests } in rows(document) {
        if !looks_like_an_id(&requirement) || !known.contains(requirement.as_str()) {
            problems.push(format!("line {line}: {requirement} is no requirement"));
        }
        if !seen.insert(requirement.clone()) {
            problems.push(format!("line {line}: {requirement} stands here twice"));
        }
        if tests.is_empty() {
            problems.push(format!("line {line}: {requirement} names no test"));
        }
        for test in tests {
            let found = test
                .split_once("::")
                .and_then(|(path, name)| Some((path, read(path)?, name)))
                .is_some_and(|(path, source, name)| defines_test(path, &source, name));
            if !found {
                problems.push(format!("line {line}: no test {test}"));
            }
        }
    }
    problems
}

#[test]
fn every_row_names_a_requirement_and_tests_that_exist() {
    let document = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let known = fs::read_to_string(root().join("docs/requirements.txt")).unwrap();
    let known: BTreeSet<&str> = known.lines().collect();
    let read = |path: &str| fs::read_to_string(root().join(Path::new(path))).ok();
    assert!(rows(&document).len() > 20, "the table is not where it was");
    assert_eq!(problems(&document, &known, read), Vec::<String>::new());
}

/// The requirements that stand in the table of reasons, each with its reason.
fn reasons(document: &str) -> Vec<(String, String)> {
    let Some((before, _)) = document.split_once(PROVED) else { return Vec::new() };
    let mut reasons = Vec::new();
    for text in before.lines().filter_map(|line| line.strip_prefix('|')) {
        let cells: Vec<&str> = text.trim_end().trim_end_matches('|').split('|').map(str::trim).collect();
        let [requirements, reason] = cells[..] else { panic!("not two columns: {text}") };
        for requirement in requirements.split(", ").filter(|text| looks_like_an_id(text)) {
            reasons.push((requirement.to_owned(), reason.to_owned()));
        }
    }
    reasons
}

#[test]
fn every_requirement_has_a_test_or_a_reason_and_not_both() {
    let document = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let known = fs::read_to_string(root().join("docs/requirements.txt")).unwrap();
    let proved: BTreeSet<String> = rows(&document).into_iter().map(|row| row.requirement).collect();
    let reasons = reasons(&document);
    assert!(reasons.iter().all(|(_, reason)| reason.len() > 20));
    let explained: BTreeSet<String> = reasons.iter().map(|(requirement, _)| requirement.clone()).collect();
    assert_eq!(explained.len(), reasons.len(), "each once");
    assert_eq!(
        proved.intersection(&explained).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "proved after all"
    );
    let named: BTreeSet<&str> = proved.union(&explained).map(String::as_str).collect();
    let all: BTreeSet<&str> = known.lines().collect();
    assert_eq!(
        all.difference(&named).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "neither proved nor explained"
    );
    assert_eq!(named.difference(&all).collect::<Vec<_>>(), Vec::<&&str>::new(), "no requirement");
}

#[test]
fn requirement_ids_are_well_formed_and_in_order() {
    let known = fs::read_to_string(root().join("docs/requirements.txt")).unwrap();
    let known: Vec<&str> = known.lines().collect();
    assert!(known.iter().all(|id| looks_like_an_id(id)));
    assert!(known.is_sorted_by(|one, next| one < next), "sorted, and each once");
}

#[test]
fn a_wrong_row_is_found() {
    let known = BTreeSet::from(["URL-01", "URL-02", "URL-03"]);
    let read = |path: &str| match path {
        "a.rs" => Some("#[test]\n/// URL-01\nfn works() {}\n\nfn not_a_test() {}\n".to_owned()),
        "b.py" => Some("def works(world):\n".to_owned()),
        _ => None,
    };
    let good = "| requirement | test |\n|---|---|\n| URL-01 | `a.rs::works`, `b.py::works` |\n";
    assert_eq!(problems(good, &known, read), Vec::<String>::new());
    for wrong in [
        "| URL-09 | `a.rs::works` |",
        "| URL-1 | `a.rs::works` |",
        "| URL-01 | `a.rs::works` |",
        "| URL-02 | `a.rs::gone` |",
        "| URL-02 | `a.rs::not_a_test` |",
        "| URL-02 | `c.rs::works` |",
        "| URL-02 | `b.py::gone` |",
        "| URL-02 | `works` |",
        "| URL-02 | works |",
    ] {
        assert_eq!(problems(&format!("{good}{wrong}\n"), &known, read).len(), 1, "{wrong}");
    }
}
