//! The policy that a start asks for: the seed file, `--resource`, and `--set`.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use shared::policy::{Policy, PolicyError, Resource, ScopeDescription};

use crate::args::Setting;

/// A seed file is written by hand; a larger one is the wrong file.
pub const SEED_BYTES_MAX: u64 = 1024 * 1024;

/// The whole seed file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// The MCP servers that tokens are issued for.
    #[serde(default)]
    pub resources: Vec<Resource>,
}

/// What a start asks of the policy cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// Not there, or not readable.
    #[error("--seed {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Larger than [`SEED_BYTES_MAX`].
    #[error("--seed {} is larger than {SEED_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// Not YAML or JSON of this shape. The text names the line.
    #[error("--seed {}: {reason}", .path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// Right in form, wrong in content.
    #[error("--seed {}: {source}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and with which resource.
        source: PolicyError,
    },
    /// Not a resource identifier, or one that is there already under another spelling.
    #[error("--resource: {0}")]
    Resource(PolicyError),
    /// No setting of this name.
    #[error("--set {key}: there is no such setting; there are {known}")]
    UnknownSetting {
        /// The name given.
        key: String,
        /// The names there are.
        known: String,
    },
    /// A setting that does not take this value.
    #[error("--set {key}={value}: {source}")]
    Setting {
        /// The name given.
        key: String,
        /// The value given.
        value: String,
        /// Why it is refused.
        source: PolicyError,
    },
}

impl Seed {
    /// Reads and checks a seed file.
    ///
    /// # Errors
    /// [`SeedError`], whose text is one line with the file, the line or the resource, and the reason.
    pub fn read(path: &Path) -> Result<Self, SeedError> {
        let read = |source| SeedError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(read)?.len() > SEED_BYTES_MAX {
            return Err(SeedError::TooLarge(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        let seed = Self::parse(&text)
            .map_err(|reason| SeedError::Form { path: path.to_owned(), reason: one_line(&reason) })?;
        Policy { resources: seed.resources.clone(), ..Policy::default() }
            .check()
            .map_err(|source| SeedError::Content { path: path.to_owned(), source })?;
        Ok(seed)
    }

    fn parse(text: &str) -> Result<Self, String> {
        // JSON has its own parser: YAML knows neither its surrogate pairs nor its tabs.
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text).map_err(|error| error.to_string());
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a start wants changed in the policy that is in force.
#[derive(Clone, Debug, Default)]
pub struct PolicyChanges {
    /// From `--seed`.
    pub seed: Seed,
    /// From `--resource`: identifiers.
    pub resources: Vec<String>,
    /// From `--set`.
    pub settings: Vec<Setting>,
}

impl PolicyChanges {
    /// The policy that results. A resource that is there already under the same identifier is replaced
    /// by that of the seed file and left alone by `--resource`, so that the same start can be repeated.
    ///
    /// # Errors
    /// [`SeedError`] naming the switch at fault.
    pub fn apply(&self, current: &Policy) -> Result<Policy, SeedError> {
        let mut policy = current.clone();
        for resource in &self.seed.resources {
            policy.resources.retain(|known| known.resource != resource.resource);
            policy.resources.push(resource.clone());
        }
        for resource in &self.resources {
            if !policy.resources.iter().any(|known| known.resource == *resource) {
                policy.resources.push(on_the_fly(resource));
            }
        }
        policy.check().map_err(SeedError::Resource)?;
        self.settings.iter().try_fold(policy, |policy, setting| set(&policy, setting))
    }
}

/// A resource of `--resource`: two scopes that suit a first try, of which a client that asks for
/// nothing in particular gets the harmless one.
fn on_the_fly(resource: &str) -> Resource {
    let scope = |name: &str, description: &str| ScopeDescription {
        name: name.to_owned(),
        description: description.to_owned(),
    };
    Resource {
        resource: resource.to_owned(),
        name: String::new(),
        scopes: vec![
            scope("mcp:read", "Read what this server offers"),
            scope("mcp:write", "Act for you with this server's tools"),
        ],
        default_scopes: Some(vec!["mcp:read".to_owned()]),
        introspection_secrets: Vec::new(),
    }
}

/// `policy` with one setting changed. A setting is a member of a section, `section.member`.
fn set(policy: &Policy, setting: &Setting) -> Result<Policy, SeedError> {
    let refuse = |source| SeedError::Setting {
        key: setting.key().to_owned(),
        value: setting.value().to_owned(),
        source,
    };
    let malformed = |error: serde_json::Error| refuse(PolicyError::malformed(error));
    let mut document = serde_json::to_value(policy).map_err(malformed)?;
    let place = setting
        .key()
        .split_once('.')
        .and_then(|(section, member)| document.get_mut(section)?.as_object_mut()?.get_mut(member));
    match place {
        Some(place) => {
            *place = serde_json::from_str(setting.value())
                .unwrap_or_else(|_| Value::String(setting.value().to_owned()));
        }
        None => {
            let known = settings(&document).join(", ");
            return Err(SeedError::UnknownSetting { key: setting.key().to_owned(), known });
        }
    }
    let changed: Policy = serde_json::from_value(document).map_err(malformed)?;
    changed.check().map_err(refuse)?;
    Ok(changed)
}

fn settings(document: &Value) -> Vec<String> {
    let sections = document.as_object().into_iter().flatten();
    sections
        .flat_map(|(section, members)| {
            let members = members.as_object().into_iter().flatten();
            members.map(move |(member, _)| format!("{section}.{member}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::Folder;

    fn read(text: &str) -> Result<Seed, String> {
        let folder = Folder::new();
        let path = folder.path().join("seed");
        fs::write(&path, text).unwrap();
        Seed::read(&path).map_err(|error| error.to_string())
    }

    const YAML: &str = "\
resources:
  - resource: https://files.example/mcp
    name: Company files
    scopes:
      - name: files:read
        description: Read your files
      - name: files:write
        description: Change your files
    default_scopes: [files:read]
  - resource: http://127.0.0.1:8080/
    scopes: [{ name: x, description: Try it }]
";

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = read(YAML).unwrap();
        assert_eq!(yaml.resources.len(), 2);
        assert_eq!(yaml.resources[0].name, "Company files");
        let json = read(
            "{\n\t\"resources\": [\n\t\t{\"resource\": \"https:\\/\\/files.example/mcp\", \"name\": \"Company files\",
            \"scopes\": [{\"name\": \"files:read\", \"description\": \"Read your files\"},
                         {\"name\": \"files:write\", \"description\": \"Change your files\"}],
            \"default_scopes\": [\"files:read\"]},
            {\"resource\": \"http://127.0.0.1:8080/\", \"scopes\": [{\"name\": \"x\", \"description\": \"Try it\"}]}]}",
        )
        .unwrap();
        assert_eq!(json, yaml);
        assert_eq!(read("").unwrap(), Seed::default());
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_line() {
        for (text, line) in [
            (YAML.replace("name: Company files", "nmae: Company files"), "line 3"),
            (YAML.replace("        description: Read", "        about: Read"), "line 6"),
            (format!("{YAML}clients: []\n"), "line 12"),
            ("{\"resources\": [],\n \"resouces\": []}".to_owned(), "line 2"),
        ] {
            let refused = read(&text).unwrap_err();
            assert!(refused.contains("unknown field"), "{refused}");
            assert!(refused.contains(line), "{refused}");
            assert!(refused.starts_with("--seed ") && !refused.contains('\n'), "{refused}");
        }
    }

    #[test]
    fn a_missing_or_repeated_member_and_broken_text_are_refused_in_one_line() {
        for text in [
            "resources: [{ scopes: [{ name: a, description: b }] }]",
            "resources: [{ resource: https://a.example, scopes: [{ description: a }] }]",
            "resources:\n  - resource: https://a.example\n    resource: https://b.example\n    scopes: []",
            "{\"resources\": [], \"resources\": []}",
            "resources: {",
            "{\"resources\": [",
            "- a list",
            "\u{0}",
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.starts_with("--seed ") && !refused.contains('\n'), "{text:?}: {refused}");
        }
    }

    #[test]
    fn what_cannot_be_a_resource_is_refused_by_name() {
        for (resource, rest) in [
            ("files", ""),
            ("http://files.example/", ""),
            ("http://10.0.0.1/", ""),
            ("ftp://127.0.0.1/", ""),
            ("https://a.example/#x", ""),
            ("https://u:p@a.example/", ""),
            ("https://a.example/", "scopes: [{name: 'a b', description: b}]"),
            ("https://a.example/", "scopes: [{name: '', description: b}]"),
            ("https://a.example/", "scopes: [{name: 'a\"', description: b}]"),
            ("https://a.example/", "scopes: [{name: a}]\n    default_scopes: [c]"),
        ] {
            let text = format!("resources:\n  - resource: '{resource}'\n    {rest}\n");
            let refused = read(&text).unwrap_err();
            assert!(refused.starts_with("--seed ") && !refused.contains('\n'), "{text}: {refused}");
        }
        let twice = "resources: [{resource: https://a.example}, {resource: https://a.example/}]";
        assert!(read(twice).unwrap_err().contains("twice"));
    }

    fn changes(seed: &str, resources: &[&str], settings: &[&str]) -> PolicyChanges {
        PolicyChanges {
            seed: read(seed).unwrap(),
            resources: resources.iter().map(|&resource| resource.to_owned()).collect(),
            settings: settings.iter().map(|setting| setting.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn the_same_start_twice_leaves_the_same_policy() {
        let changes = changes(
            YAML,
            &["http://localhost:3000/mcp", "https://files.example/mcp"],
            &["cache.floor_seconds=0"],
        );
        let first = changes.apply(&Policy::default()).unwrap();
        assert_eq!(first.resources.len(), 3);
        assert_eq!(first.cache.floor_seconds, 0);
        assert_eq!(first.resources.iter().filter(|known| known.name == "Company files").count(), 1);
        let mut second = changes.apply(&first).unwrap();
        second.resources.sort_by(|a, b| a.resource.cmp(&b.resource));
        let mut sorted = first;
        sorted.resources.sort_by(|a, b| a.resource.cmp(&b.resource));
        assert_eq!(second, sorted);
    }

    #[test]
    fn a_resource_of_the_command_line_is_held_to_the_same_rules() {
        for resource in ["http://files.example/mcp", "nonsense", "https://files.example/mcp#x"] {
            let refused = changes(YAML, &[resource], &[]).apply(&Policy::default()).unwrap_err();
            assert!(refused.to_string().starts_with("--resource: "), "{refused}");
        }
    }

    #[test]
    fn a_setting_changes_one_number_and_unknown_names_and_wrong_values_are_refused() {
        let apply = |setting: &str| {
            changes("", &[], &[setting]).apply(&Policy::default()).map_err(|error| error.to_string())
        };
        let policy = apply("lifetimes.access_token_seconds=300").unwrap();
        assert_eq!(policy.lifetimes.access_token_seconds, 300);
        assert_eq!(apply("metadata_documents.ports=[8443]").unwrap().documents.ports, [8443]);
        let unknown = apply("cache.flour_seconds=1").unwrap_err();
        assert!(unknown.contains("cache.floor_seconds"), "{unknown}");
        for setting in [
            "cache=1",
            "cache.floor_seconds.x=1",
            "resources=[]",
            "resources.0=1",
            "cache.floor_seconds=soon",
            "cache.floor_seconds=-1",
            "cache.floor_seconds=",
            "cache.floor_seconds=90000",
            "metadata_documents.ports=8443",
        ] {
            let refused = apply(setting).unwrap_err();
            assert!(refused.starts_with("--set ") && !refused.contains('\n'), "{setting}: {refused}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_huge_is_refused() {
        let folder = Folder::new();
        let path = folder.path().join("seed");
        assert!(matches!(Seed::read(&path).unwrap_err(), SeedError::Read { .. }));
        fs::write(&path, vec![b' '; usize::try_from(SEED_BYTES_MAX).unwrap() + 1]).unwrap();
        assert!(matches!(Seed::read(&path).unwrap_err(), SeedError::TooLarge(_)));
    }
}
