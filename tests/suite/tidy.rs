//! Rules about the source itself: layers, crates, files, names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The modules of `shared`, lowest layer first. A module imports its own layer and those below.
const LAYERS: [(&str, &[&str]); 6] = [
    ("ground", &["clock", "metrics", "random", "secret", "seal"]),
    ("vocabulary", &["oauth"]),
    ("domain", &["client", "tool", "policy", "grant", "jose", "audit", "fetch"]),
    ("adapters", &["aws", "testing"]),
    ("resolution", &["cimd", "resolver"]),
    ("edge", &["http", "config", "lambda"]),
];

/// A file longer than this, its tests aside, holds two things.
const LINES_MAX: usize = 700;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["utils", "helpers", "common", "types", "manager", "service"];

/// Folders with source of our own.
const SOURCE: [&str; 9] = ["functions", "shared", "local", "cli", "tests", "bench", "fuzz", "docs", ".ci"];

/// Every file below the folders of [`SOURCE`] and in the root, as a path relative to the root.
fn files() -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    for entry in fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            found.push(path);
        }
    }
    let mut folders: Vec<PathBuf> =
        SOURCE.iter().map(|folder| root.join(folder)).filter(|folder| folder.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_file() {
                found.push(path);
            } else if path.is_dir() && !["target", "node_modules", "__pycache__"].contains(&name.as_str()) {
                folders.push(path);
            }
        }
    }
    found.sort();
    found.iter().map(|path| path.strip_prefix(&root).unwrap().to_owned()).collect()
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let sources: Vec<_> = files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| (path.clone(), fs::read_to_string(root().join(path)).unwrap()))
        .collect();
    assert!(sources.len() > 5, "the sources are not where they were");
    sources
}

/// What is compiled into the product: without comments, and without the test module at the end.
fn product(source: &str) -> String {
    let end = source.find("#[cfg(test)]\nmod ").unwrap_or(source.len());
    source[..end]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// The first name of every path that starts with `prefix`, groups in braces included.
fn names_after(source: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let identifier = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    for (at, _) in source.match_indices(prefix) {
        let before = source[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let rest = &source[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(identifier(rest));
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.insert(identifier(item.trim()));
                    item.clear();
                    continue;
                }
                _ => {}
            }
            item.push(c);
        }
        names.insert(identifier(item.trim()));
    }
    names.remove("");
    names
}

/// The module of `shared` a file belongs to, and how many `super::` lead from the file to the crate's root.
fn module_of(path: &Path) -> Option<(String, usize)> {
    let inner = path.strip_prefix("shared/src").ok()?;
    let parts: Vec<String> =
        inner.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let depth = parts.len() - usize::from(parts.last().is_some_and(|last| last == "mod"));
    (parts != ["lib"]).then(|| (parts[0].clone(), depth))
}

/// Which modules of `shared` each module imports.
fn imports(sources: &[(PathBuf, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeSet<String> = sources.iter().filter_map(|(path, _)| Some(module_of(path)?.0)).collect();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, source) in sources {
        let Some((module, depth)) = module_of(path) else { continue };
        // Test modules in files of their own (`fetch/guard/tests.rs`) may use the doubles above them.
        if path.ends_with("tests.rs") {
            continue;
        }
        let source = product(source);
        let mut names = names_after(&source, "crate::");
        names.append(&mut names_after(&source, &"super::".repeat(depth)));
        let names = names.into_iter().filter(|name| *name != module && modules.contains(name));
        imports.entry(module.clone()).or_default().extend(names);
    }
    imports
}

/// What is wrong with the imports.
fn layer_problems(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let layer = |module: &str| LAYERS.iter().position(|(_, modules)| modules.contains(&module));
    let mut problems = Vec::new();
    for (module, imported) in imports {
        let Some(own) = layer(module) else {
            problems.push(format!("{module} is in no layer: give it one in LAYERS"));
            continue;
        };
        for other in imported {
            if layer(other).is_some_and(|theirs| theirs > own) {
                problems.push(format!("{module} ({}) imports {other}, which is above it", LAYERS[own].0));
            }
        }
        // Only modules of one layer can form a cycle without breaking the rule above.
        let mut reached = BTreeSet::new();
        let mut next: Vec<&String> = imported.iter().collect();
        while let Some(name) = next.pop() {
            if reached.insert(name) {
                next.extend(imports.get(name).into_iter().flatten());
            }
        }
        if reached.contains(module) {
            problems.push(format!("{module} imports itself by way of others"));
        }
    }
    problems
}

#[test]
fn imports_in_shared_point_down() {
    let imports = imports(&rust_files());
    assert!(imports.contains_key("clock"), "the modules of `shared` are not where they were");
    assert_eq!(layer_problems(&imports), Vec::<String>::new());
}

#[test]
fn an_import_that_points_up_is_found() {
    let check = |files: &[(&str, &str)]| {
        let files: Vec<_> =
            files.iter().map(|(path, source)| (PathBuf::from(path), (*source).to_owned())).collect();
        layer_problems(&imports(&files))
    };
    let edge = ("shared/src/http/mod.rs", "");
    for source in [
        "use crate::http::Problem;",
        "use crate::{clock::Clock, http::{Problem, Page}};",
        "use crate::{\n    clock::{Clock, System},\n    http,\n};",
        "fn f() { crate::http::page() }",
        "use super::http::Problem;",
        "use super::super::clock;\nuse super::http;",
    ] {
        assert_eq!(check(&[edge, ("shared/src/clock.rs", source)]).len(), 1, "{source}");
    }
    assert_eq!(check(&[edge, ("shared/src/oauth/scope.rs", "use super::super::http::Problem;")]).len(), 1);
    for source in [
        "// use crate::http::Problem;",
        "//! [`crate::http`]",
        "use other_crate::http::Problem;",
        "#[cfg(test)]\nmod tests {\n    use crate::http;\n}",
    ] {
        assert_eq!(check(&[edge, ("shared/src/clock.rs", source)]), Vec::<String>::new(), "{source}");
    }
    let tests = [edge, ("shared/src/seal.rs", ""), ("shared/src/seal/tests.rs", "use crate::http;")];
    assert_eq!(check(&tests), Vec::<String>::new());
    assert_eq!(check(&[("shared/src/stray.rs", "")]).len(), 1, "no layer");
    let ring = check(&[
        ("shared/src/client/mod.rs", "use crate::tool::Tool;"),
        ("shared/src/tool.rs", "use crate::policy;"),
        ("shared/src/policy.rs", "use crate::client;"),
    ]);
    assert_eq!(ring.len(), 3);
}

/// The manifests of the workspace's members, by folder.
fn manifests() -> Vec<(String, String)> {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    strings(&workspace, "members")
        .into_iter()
        .map(|folder| {
            let text = fs::read_to_string(root().join(&folder).join("Cargo.toml")).unwrap();
            (folder, text)
        })
        .collect()
}

/// The strings of a top-level array in a manifest.
fn strings(manifest: &str, key: &str) -> Vec<String> {
    let start = format!("\n{key} = [");
    let (_, rest) = manifest.split_once(&start).unwrap_or_else(|| panic!("no {key}"));
    let (array, _) = rest.split_once(']').unwrap();
    array.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The crates a manifest depends on, for building or for tests.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies");
            if let Some((_, name)) = table.split_once("dependencies.") {
                names.insert(name.to_owned());
            }
        } else if inside && let Some(name) = line.split(['=', '.', ' ']).next() {
            names.insert(name.trim().to_owned());
        }
    }
    names.remove("");
    names
}

#[test]
fn function_crates_do_not_depend_on_each_other() {
    let manifests = manifests();
    let functions: Vec<&str> =
        manifests.iter().filter_map(|(folder, _)| folder.strip_prefix("functions/")).collect();
    assert!(functions.len() >= 2);
    for (folder, manifest) in &manifests {
        let dependencies = dependencies(manifest);
        if folder.starts_with("functions/") || folder == "shared" {
            for other in &functions {
                assert!(!dependencies.contains(*other), "{folder} depends on {other}");
            }
            for other in ["local", "tests"] {
                assert!(!dependencies.contains(other), "{folder} depends on {other}");
            }
        }
    }
    let manifest =
        "[dependencies]\na.workspace = true\nb = \"1\"\n[dev-dependencies.c]\npath = \"c\"\n[lints]\nd = 1\n";
    assert_eq!(dependencies(manifest), ["a", "b", "c"].map(str::to_owned).into());
}

#[test]
fn every_crate_is_named_like_its_folder_and_keeps_the_lints() {
    for (folder, manifest) in manifests() {
        let name = folder.rsplit('/').next().unwrap();
        let expected = if name == "cli" { "nameplate" } else { name };
        assert!(manifest.contains(&format!("\nname = \"{expected}\"\n")), "{folder} has another name");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{folder} has lints of its own");
    }
}

#[test]
fn local_and_tests_are_not_built_with_the_functions() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let defaults = strings(&workspace, "default-members");
    for folder in ["local", "tests", "bench"] {
        assert!(!defaults.iter().any(|member| member == folder), "{folder} is a default member");
    }
    for member in strings(&workspace, "members") {
        if member.starts_with("functions/") {
            assert!(defaults.contains(&member), "{member} is no default member");
        }
    }
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    // Spelled in two parts, or this file would be the first finding.
    let forbidden = [["#[", "ignore"], ["todo", "!("], ["unimplemented", "!("], ["FIX", "ME"]]
        .map(|parts| parts.concat());
    for (path, source) in rust_files() {
        for text in &forbidden {
            assert!(!source.contains(text.as_str()), "{}: {text}", path.display());
        }
    }
}

#[test]
fn the_suite_never_waits_for_the_wall_clock() {
    let forbidden =
        [["Instant::", "now"], ["sle", "ep("], ["SystemTime::", "now"]].map(|parts| parts.concat());
    for (path, source) in rust_files() {
        if path.starts_with("tests") {
            for text in &forbidden {
                assert!(!source.contains(text.as_str()), "{}: {text}", path.display());
            }
        }
    }
}

#[test]
fn no_line_ends_in_white_space_and_every_file_ends_in_a_line_break() {
    const TEXT: [&str; 12] =
        ["rs", "toml", "md", "txt", "yaml", "yml", "json", "html", "css", "py", "mjs", "sh"];
    for path in files() {
        // Seeds are bytes as strangers send them.
        if path.starts_with("fuzz/seeds") {
            continue;
        }
        let text = path.extension().is_none_or(|extension| TEXT.iter().any(|known| extension == *known));
        let Ok(source) = fs::read_to_string(root().join(&path)) else { continue };
        if !text || source.is_empty() {
            continue;
        }
        for (number, line) in source.lines().enumerate() {
            assert_eq!(line.trim_end(), line, "{}:{}", path.display(), number + 1);
        }
        assert!(source.ends_with('\n'), "{} ends without a line break", path.display());
    }
}

#[test]
fn no_source_file_grows_beyond_one_subject() {
    for (path, source) in rust_files() {
        if path.starts_with("tests") {
            continue;
        }
        let end = source.find("#[cfg(test)]\nmod ").unwrap_or(source.len());
        let lines = source[..end].lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn modules_are_named_after_what_they_hold() {
    for (path, _) in rust_files() {
        for part in path.with_extension("").iter() {
            let part = part.to_string_lossy();
            assert!(!EMPTY_NAMES.contains(&part.as_ref()), "{}", path.display());
        }
    }
}
