//! What a start asks for: the seed file, `--resource`, and `--set`.

mod clients;

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use shared::policy::branding::Branding;
use shared::policy::consent::ConsentPolicy;
use shared::policy::{
    Adoption, Blocked, CacheBounds, DocumentPolicy, Lifetimes, Place, Policy, PolicyError, Profile,
    RegistrationPolicy, Resource, ScopeDescription,
};

pub use clients::{ClientFault, SeedClient, SeedTool, TOOL_NAME_CHARS_MAX, WriteError, write};

use crate::args::Setting;

/// A seed file is written by hand; a larger one is the wrong file.
pub const SEED_BYTES_MAX: u64 = 1024 * 1024;

/// The whole seed file: a policy document, or single members of one, with tools and clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seed {
    /// The policy document, in place of the one in force. Leaves no room for single members beside it.
    pub policy: Option<Policy>,
    /// The MCP servers that tokens are issued for, beside those there are.
    pub resources: Vec<Resource>,
    /// In place of the policy's `lifetimes`.
    pub lifetimes: Option<Lifetimes>,
    /// In place of the policy's `cache`.
    pub cache: Option<CacheBounds>,
    /// In place of the policy's `metadata_documents`.
    #[serde(rename = "metadata_documents")]
    pub documents: Option<DocumentPolicy>,
    /// In place of the policy's `blocked`.
    pub blocked: Option<Blocked>,
    /// In place of the policy's `dynamic_registration`.
    #[serde(rename = "dynamic_registration")]
    pub registration: Option<RegistrationPolicy>,
    /// In place of the policy's `adoption`.
    pub adoption: Option<Vec<Adoption>>,
    /// In place of the policy's `profiles`.
    pub profiles: Option<Vec<Profile>>,
    /// In place of the policy's `consent`.
    pub consent: Option<ConsentPolicy>,
    /// In place of the policy's `branding`.
    pub branding: Option<Branding>,
    /// Tools.
    pub tools: Vec<SeedTool>,
    /// Pre-registered clients.
    pub clients: Vec<SeedClient>,
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
        /// What is wrong in the policy, and where.
        source: PolicyError,
    },
    /// A tool or a client that cannot be one.
    #[error("--seed {}: {}{place}: {fault}", .path.display(), .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    Client {
        /// The file.
        path: PathBuf,
        /// On which line, counted from 1, where that could be told.
        line: Option<u64>,
        /// Where in the document.
        place: Place,
        /// What is wrong.
        fault: ClientFault,
    },
    /// A whole policy and single members of one.
    #[error("--seed {}: give the policy's members under `policy` or at the top, not both", .0.display())]
    Beside(PathBuf),
    /// Good by itself, but not together with what is in force already.
    #[error("--seed, together with the policy in force: {0}")]
    Together(PolicyError),
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
        if seed.policy.is_some() && seed.has_members() {
            return Err(SeedError::Beside(path.to_owned()));
        }
        // By itself, whatever is in force: the file means the same wherever it is applied.
        let alone = seed.over(&Policy::default());
        let in_file = |place: &Place| {
            if seed.policy.is_some() { place.within("policy") } else { place.clone() }
        };
        alone.check().map_err(|error| SeedError::Content {
            path: path.to_owned(),
            source: error.with_line(|place| line(&text, &in_file(place))),
        })?;
        seed.check_clients(&alone).map_err(|(place, fault)| SeedError::Client {
            path: path.to_owned(),
            line: line(&text, &place),
            place,
            fault,
        })?;
        Ok(seed)
    }

    fn has_members(&self) -> bool {
        let policy_only = Self {
            policy: self.policy.clone(),
            tools: self.tools.clone(),
            clients: self.clients.clone(),
            ..Self::default()
        };
        *self != policy_only
    }

    /// `current` with what the file says about it.
    fn over(&self, current: &Policy) -> Policy {
        if let Some(policy) = &self.policy {
            return policy.clone();
        }
        fn put<T: Clone>(place: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                place.clone_from(value);
            }
        }
        let mut policy = current.clone();
        for (index, resource) in self.resources.iter().enumerate() {
            // One that stands twice in the file stays twice, so that the check finds it.
            let is_first =
                !self.resources.iter().take(index).any(|other| other.resource == resource.resource);
            policy.resources.retain(|known| !is_first || known.resource != resource.resource);
            policy.resources.push(resource.clone());
        }
        put(&mut policy.lifetimes, self.lifetimes.as_ref());
        put(&mut policy.cache, self.cache.as_ref());
        put(&mut policy.documents, self.documents.as_ref());
        put(&mut policy.blocked, self.blocked.as_ref());
        put(&mut policy.registration, self.registration.as_ref());
        put(&mut policy.adoption, self.adoption.as_ref());
        put(&mut policy.profiles, self.profiles.as_ref());
        put(&mut policy.consent, self.consent.as_ref());
        put(&mut policy.branding, self.branding.as_ref());
        policy
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

/// The line of `place`, counted from 1.
fn line(text: &str, place: &Place) -> Option<u64> {
    if text.trim_start().starts_with('{') {
        let mut document = serde_json::Deserializer::from_str(text);
        return u64::try_from(place.find(&mut document).line()).ok().filter(|line| *line > 0);
    }
    let found = serde_saphyr::with_deserializer_from_str(text, |document| Err::<(), _>(place.find(document)));
    found.err().and_then(|error| error.location()).map(|location| location.line())
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
    /// The policy that results: the seed file's document, or the one in force with the seed file's members.
    /// A resource that is there already under the same identifier is replaced by that of the seed file and
    /// left alone by `--resource`, so that the same start can be repeated.
    ///
    /// # Errors
    /// [`SeedError`] naming the switch at fault.
    pub fn apply(&self, current: &Policy) -> Result<Policy, SeedError> {
        let mut policy = self.seed.over(current);
        policy.check().map_err(SeedError::Together)?;
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
            (format!("{YAML}client: []\n"), "line 12"),
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

    const CLIENTS: &str = "\
resources:
  - resource: https://files.example/mcp
    scopes: [{ name: files:read, description: Read your files }]
dynamic_registration: { mode: on }
tools:
  - id: files-desktop
    name: Files for the desktop
    ceiling: { scopes: [files:read], resources: ['https://files.example/mcp'] }
    profile: cli
  - id: vendor
    status: disabled
clients:
  - client_id: files-desktop
    tool: files-desktop
    client_name: Files
    redirect_uris: [com.example.files:/callback, 'http://127.0.0.1/callback']
  - client_id: nightly
    tool: files-desktop
    secret: 0123456789abcdef0123456789abcdef
    grant_types: [client_credentials]
  - client_id: https://vendor.example/client.json
    tool: vendor
";

    #[test]
    fn a_seed_is_a_policy_with_tools_and_clients() {
        let seed = read(&CLIENTS.replace("{ mode: on }", "{ mode: 'on' }")).unwrap();
        assert_eq!((seed.tools.len(), seed.clients.len()), (2, 3));
        let policy = PolicyChanges { seed: seed.clone(), ..PolicyChanges::default() };
        let applied = policy.apply(&Policy::default()).unwrap();
        assert_eq!(applied.registration.mode, shared::policy::RegistrationMode::On);
        assert_eq!(applied.resources.len(), 1);
        assert!(!format!("{seed:?}").contains("0123456789abcdef"), "a secret in the log");
    }

    #[test]
    fn a_whole_policy_takes_the_place_of_the_one_in_force() {
        let whole = "policy:\n  resources: [{resource: https://a.example}]\n  cache: {floor_seconds: 5}\n";
        let current = changes(YAML, &[], &[]).apply(&Policy::default()).unwrap();
        let replaced = changes(whole, &[], &[]).apply(&current).unwrap();
        assert_eq!((replaced.resources.len(), replaced.cache.floor_seconds), (1, 5));
        let beside = read(&format!("{whole}cache: {{floor_seconds: 6}}\n")).unwrap_err();
        assert!(beside.contains("not both"), "{beside}");
        let wrong = read(&whole.replace("floor_seconds: 5", "floor_seconds: 90000")).unwrap_err();
        assert!(wrong.contains("line 3: cache.floor_seconds: "), "{wrong}");
    }

    /// GOV: what cannot be a tool or a client is refused with its line.
    #[test]
    fn a_wrong_tool_or_client_is_refused_with_its_line() {
        for (from, to, line, reason) in [
            ("id: vendor", "id: files-desktop", 10, "listed twice"),
            ("profile: cli", "profile: clu", 9, "no profile"),
            ("scopes: [files:read]", "scopes: [files:write]", 8, "no resource of the file defines"),
            ("['https://files.example/mcp']", "['https://other.example/mcp']", 8, "no resource of the file"),
            ("name: Files for", "name: \"\\t\" #", 7, "control"),
            ("id: vendor", "id: Vendor", 10, "tool id"),
            ("status: disabled", "status: gone", 11, "gone"),
            ("tool: vendor", "tool: seller", 22, "not among the tools"),
            ("client_id: nightly", "client_id: files-desktop", 17, "listed twice"),
            ("client_id: nightly", "client_id: dyn~nightly", 17, "dyn~"),
            ("client_id: nightly", "client_id: night/ly", 17, "uses only"),
            ("client_id: nightly", "client_id: http://a.example/x", 17, "uses only"),
            ("tool: vendor", "tool: vendor\n    client_name: Vendor", 23, "metadata document"),
            ("    secret: 0123456789abcdef0123456789abcdef\n", "", 19, "needs a secret"),
            ("secret: 0123456789abcdef0123456789abcdef", "secret: hunter2", 19, "at random"),
            ("[client_credentials]", "[refresh_token]", 20, "authorization_code or"),
            ("[client_credentials]", "[password]", 20, "password"),
            ("com.example.files:/callback", "http://files.example/callback", 16, "redirect"),
            ("    redirect_uris: [com", "    # [com", 13, "redirect URI"),
        ] {
            let text = CLIENTS.replace("mode: on", "mode: 'on'");
            assert!(text.contains(from), "{from}");
            let at = if from == "tool: vendor" { text.rfind(from) } else { text.find(from) }.unwrap();
            let refused = read(&format!("{}{to}{}", &text[..at], &text[at + from.len()..])).unwrap_err();
            assert!(refused.contains(&format!("line {line}")), "{to}: {refused}");
            assert!(refused.contains(reason), "{to}: {refused}");
            assert!(!refused.contains('\n') && !refused.contains("hunter2"), "{to}: {refused}");
        }
    }
}
