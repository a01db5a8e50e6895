//! The seed file: resources and their scopes, in YAML or JSON.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use shared::oauth::{ResourceId, Scope};

/// A seed file is written by hand; a larger one is the wrong file.
pub const SEED_BYTES_MAX: u64 = 1024 * 1024;

/// The whole seed file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// The MCP servers that tokens are issued for.
    #[serde(default)]
    pub resources: Vec<SeedResource>,
}

/// One MCP server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedResource {
    /// Its resource identifier (RFC 8707 §2), exactly as its own metadata states it.
    pub resource: String,
    /// What the consent page calls it; its host, if missing.
    pub name: Option<String>,
    /// What a client can ask for there.
    pub scopes: Vec<SeedScope>,
    /// What a client gets that asks for nothing in particular; every scope, if missing.
    pub default_scopes: Option<Vec<String>>,
}

/// One scope of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedScope {
    /// The scope token (RFC 6749 §3.3).
    pub name: String,
    /// What the consent page says about it, in words.
    pub description: String,
}

/// A seed file or a `--resource` cannot be used.
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
    #[error("{switch}: resource {resource:?}: {reason}")]
    Resource {
        /// `--seed` or `--resource`.
        switch: &'static str,
        /// Which resource.
        resource: String,
        /// What is wrong with it.
        reason: String,
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
        check("--seed", &seed.resources)?;
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

    /// Adds the resources of `--resource`, which come with two scopes that suit a first try.
    ///
    /// # Errors
    /// [`SeedError::Resource`] if one is not a resource identifier or is there twice.
    pub fn with_resources(mut self, identifiers: &[String]) -> Result<Self, SeedError> {
        let added = identifiers.iter().map(|resource| SeedResource {
            resource: resource.clone(),
            name: None,
            scopes: vec![
                SeedScope {
                    name: "mcp:read".to_owned(),
                    description: "Read what this server offers".to_owned(),
                },
                SeedScope {
                    name: "mcp:write".to_owned(),
                    description: "Act on your behalf with this server's tools".to_owned(),
                },
            ],
            default_scopes: Some(vec!["mcp:read".to_owned()]),
        });
        self.resources.extend(added);
        check("--resource", &self.resources)?;
        Ok(self)
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn check(switch: &'static str, resources: &[SeedResource]) -> Result<(), SeedError> {
    let mut seen = HashSet::new();
    for resource in resources {
        let refused = |reason| SeedError::Resource { switch, resource: resource.resource.clone(), reason };
        resource.check().map_err(refused)?;
        if !seen.insert(resource.resource.as_str()) {
            return Err(refused("is there twice".to_owned()));
        }
    }
    Ok(())
}

impl SeedResource {
    fn check(&self) -> Result<(), String> {
        ResourceId::parse(&self.resource).map_err(|error| error.to_string())?;
        if self.name.as_ref().is_some_and(|name| name.trim().is_empty()) {
            return Err("its name is empty".to_owned());
        }
        if self.scopes.is_empty() {
            return Err("has no scopes".to_owned());
        }
        let mut names = HashSet::new();
        for SeedScope { name, description } in &self.scopes {
            if !is_scope_token(name) {
                return Err(format!("{name:?} is not a scope name"));
            }
            if description.trim().is_empty() {
                return Err(format!("scope {name} has no description"));
            }
            if !names.insert(name.as_str()) {
                return Err(format!("scope {name} is there twice"));
            }
        }
        for name in self.default_scopes.iter().flatten() {
            if !names.contains(name.as_str()) {
                return Err(format!("default scope {name} is not among its scopes"));
            }
        }
        Ok(())
    }
}

/// One token (RFC 6749 §3.3), neither none nor several.
fn is_scope_token(name: &str) -> bool {
    Scope::parse(name).is_ok_and(|scope| scope.tokens().eq([name]))
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
        assert_eq!(yaml.resources[0].name.as_deref(), Some("Company files"));
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
            "resources: [{ resource: https://a.example, name: A }]",
            "resources: [{ scopes: [{ name: a, description: b }] }]",
            "resources: [{ resource: https://a.example, scopes: [{ name: a }] }]",
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
        for (resource, scopes, reason) in [
            ("files", "[{name: a, description: b}]", "not an absolute URI"),
            ("http://files.example/", "[{name: a, description: b}]", "https"),
            ("http://10.0.0.1/", "[{name: a, description: b}]", "https"),
            ("ftp://127.0.0.1/", "[{name: a, description: b}]", "https"),
            ("'https://a.example/#x'", "[{name: a, description: b}]", "fragment"),
            ("https://u:p@a.example/", "[{name: a, description: b}]", "user"),
            ("https://a.example/", "[]", "no scopes"),
            ("https://a.example/", "[{name: 'a b', description: b}]", "scope name"),
            ("https://a.example/", "[{name: '', description: b}]", "scope name"),
            ("https://a.example/", "[{name: 'a\"', description: b}]", "scope name"),
            ("https://a.example/", "[{name: ä, description: b}]", "scope name"),
            ("https://a.example/", "[{name: a, description: ' '}]", "no description"),
            ("https://a.example/", "[{name: a, description: b}, {name: a, description: c}]", "twice"),
            ("https://a.example/", "[{name: a, description: b}]\n    default_scopes: [c]", "default scope c"),
            ("https://a.example/", "[{name: a, description: b}]\n    name: ''", "name is empty"),
        ] {
            let text = format!("resources:\n  - resource: {resource}\n    scopes: {scopes}\n");
            let refused = read(&text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn resources_of_the_command_line_join_those_of_the_file() {
        let seed = read(YAML).unwrap();
        let both = seed.clone().with_resources(&["http://localhost:3000/mcp".to_owned()]).unwrap();
        assert_eq!(both.resources.len(), 3);
        let twice = seed.clone().with_resources(&["https://files.example/mcp".to_owned()]).unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
        let plain = seed.with_resources(&["http://files.example/mcp".to_owned()]).unwrap_err();
        assert!(plain.to_string().starts_with("--resource: "), "{plain}");
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
