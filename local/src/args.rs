//! The command line. These switches exist here and nowhere else: the Lambda functions parse none of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use shared::fetch::host::{DevelopmentHost, DevelopmentHostError};
use shared::oauth::Issuer;

/// Nameplate in one process: every function, an embedded DynamoDB, a sign-in page without passwords.
#[derive(Clone, Debug, Parser)]
#[command(name = "local", version)]
pub struct Args {
    /// Where to listen. Port 0 takes any free port.
    #[arg(long, value_name = "ADDR:PORT", default_value_t = LISTEN_DEFAULT)]
    pub listen: SocketAddr,

    /// The issuer identifier, if it is not `http://` and the address listened on.
    #[arg(long, value_name = "URL", value_parser = Issuer::parse)]
    pub issuer: Option<Issuer>,

    /// Keep the data in this file (and the key that protects its keys beside it) instead of in memory.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,

    /// Use the DynamoDB that another process serves here (`--dynamodb-only`): several servers on one database.
    #[arg(long, value_name = "ADDR:PORT", requires_all = ["key_file", "issuer"], conflicts_with = "data")]
    pub dynamodb: Option<SocketAddr>,

    /// The key that protects the keys in there; the administrator's lies beside it. Servers that share the
    /// database share this file; the first one makes it.
    #[arg(long, value_name = "FILE", requires = "dynamodb")]
    pub key_file: Option<PathBuf>,

    /// Resources with their scopes, as YAML or JSON.
    #[arg(long, value_name = "FILE")]
    pub seed: Option<PathBuf>,

    /// An extra root certificate for the development names of `--resolve`.
    #[arg(long, value_name = "PEM")]
    pub trust_ca: Vec<PathBuf>,

    /// Fetch documents of this development name from this loopback address, as in curl.
    #[arg(long, value_name = "HOST:PORT:ADDR")]
    pub resolve: Vec<Resolve>,

    /// Register this resource (an MCP server's URL), with the scopes `mcp:read` and `mcp:write`.
    #[arg(long, value_name = "URL")]
    pub resource: Vec<String>,

    /// Change a policy setting.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<Setting>,

    /// Sign people in at this OpenID provider instead of by user name alone. `http://` on this machine only.
    #[arg(long, value_name = "URL", requires_all = ["upstream_client_id", "upstream_client_secret_file"])]
    pub upstream_issuer: Option<String>,

    /// Our client identifier at the provider.
    #[arg(long, value_name = "ID", requires = "upstream_issuer")]
    pub upstream_client_id: Option<String>,

    /// A file with our secret at the provider.
    #[arg(long, value_name = "FILE", requires = "upstream_issuer")]
    pub upstream_client_secret_file: Option<PathBuf>,

    /// What to ask the provider for, if not `openid profile`.
    #[arg(long, value_name = "SCOPES", requires = "upstream_issuer")]
    pub upstream_scopes: Option<String>,

    /// How people must have signed in there (`acr_values`).
    #[arg(long, value_name = "ACR", requires = "upstream_issuer")]
    pub upstream_acr_values: Option<String>,

    /// Play the whole story on free ports, with a client and a resource of its own, and exit.
    #[arg(long, conflicts_with_all = [
        "listen", "issuer", "data", "seed", "trust_ca", "resolve", "resource", "set", "dynamodb_only",
        "upstream_issuer", "dynamodb",
    ])]
    pub demo: bool,

    /// Start only the embedded DynamoDB, for `cargo lambda watch`.
    #[arg(long, conflicts_with_all = [
        "listen", "issuer", "seed", "trust_ca", "resolve", "resource", "set", "upstream_issuer", "dynamodb",
    ])]
    pub dynamodb_only: bool,

    /// Where the embedded DynamoDB listens with `--dynamodb-only`.
    #[arg(long, value_name = "ADDR:PORT", default_value_t = DYNAMODB_LISTEN_DEFAULT, requires = "dynamodb_only")]
    pub dynamodb_listen: SocketAddr,
}

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9000);
const DYNAMODB_LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

impl Args {
    /// Parses a command line and checks the rules that join several switches.
    ///
    /// # Errors
    /// [`Usage`]: help or version was asked for, or one line says which switch is wrong and why.
    pub fn from_command_line<I>(command_line: I) -> Result<Self, Usage>
    where
        I: IntoIterator,
        I::Item: Into<std::ffi::OsString> + Clone,
    {
        let args = Self::try_parse_from(command_line).map_err(Usage::from)?;
        args.check().map_err(|error| Usage::Wrong(error.to_string()))?;
        Ok(args)
    }

    fn check(&self) -> Result<(), ArgsError> {
        // The embedded DynamoDB checks no signature: whoever reaches it reads every key and grant.
        if !self.dynamodb_listen.ip().is_loopback() {
            return Err(ArgsError::DynamoDbBeyondLoopback(self.dynamodb_listen));
        }
        if let Some(addr) = self.dynamodb.filter(|addr| !addr.ip().is_loopback()) {
            return Err(ArgsError::SharedBeyondLoopback(addr));
        }
        self.check_development_names()?;
        for (index, resolve) in self.resolve.iter().enumerate() {
            let Resolve(host) = resolve;
            if self.resolve.iter().take(index).any(|Resolve(earlier)| earlier.is(host.host(), host.port())) {
                return Err(ArgsError::ResolvedTwice { host: host.host().to_owned(), port: host.port() });
            }
        }
        Ok(())
    }

    /// A root or an address of one's own choosing must not weaken a server that others can reach.
    fn check_development_names(&self) -> Result<(), ArgsError> {
        let switch = match (self.trust_ca.as_slice(), self.resolve.as_slice()) {
            ([], []) => return Ok(()),
            ([], _) => "--resolve",
            (_, _) => "--trust-ca",
        };
        if !self.listen.ip().is_loopback() {
            return Err(ArgsError::ListenerBeyondLoopback { switch, listen: self.listen });
        }
        match &self.issuer {
            Some(issuer) if !issuer.is_loopback() => {
                Err(ArgsError::IssuerBeyondLoopback { switch, issuer: issuer.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// Why the process does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Help or the version was asked for: this text, on standard output, and success.
    Asked(String),
    /// A switch is wrong: this one line, on standard error, and exit code 2.
    Wrong(String),
}

impl From<clap::Error> for Usage {
    fn from(error: clap::Error) -> Self {
        let text = error.to_string();
        if !error.use_stderr() {
            return Self::Asked(text);
        }
        // clap adds usage and hints over several lines; its first paragraph names the switch and the reason.
        let first = text.split("\n\n").next().unwrap_or_default();
        let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
        Self::Wrong(line.strip_prefix("error: ").unwrap_or(&line).to_owned())
    }
}

/// A rule that joins several switches is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum ArgsError {
    #[error("--dynamodb-listen {0} is not a loopback address: the embedded DynamoDB checks no signatures")]
    DynamoDbBeyondLoopback(SocketAddr),
    #[error("--dynamodb {0} is not a loopback address: what is sent there is not encrypted")]
    SharedBeyondLoopback(SocketAddr),
    #[error("{switch} needs a loopback listener, but --listen is {listen}")]
    ListenerBeyondLoopback { switch: &'static str, listen: SocketAddr },
    #[error("{switch} needs a loopback issuer, but --issuer is {issuer}")]
    IssuerBeyondLoopback { switch: &'static str, issuer: Issuer },
    #[error("--resolve names {host}:{port} twice")]
    ResolvedTwice { host: String, port: u16 },
}

/// `HOST:PORT:ADDR`: documents of `https://HOST:PORT/` are fetched from `ADDR:PORT`, and from nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve(DevelopmentHost);

impl Resolve {
    /// The exception that it makes from the rules for hosts and addresses.
    pub fn development_host(&self) -> &DevelopmentHost {
        &self.0
    }
}

/// A `--resolve` value is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Not three parts.
    #[error("expected HOST:PORT:ADDR")]
    Form,
    /// Not 1 to 65535.
    #[error("PORT must be a number from 1 to 65535")]
    Port,
    /// Not an address.
    #[error("ADDR must be an IP address, such as 127.0.0.1 or [::1]")]
    Addr,
    /// A name somebody can own, or an address beyond this machine.
    #[error(transparent)]
    Host(#[from] DevelopmentHostError),
}

impl FromStr for Resolve {
    type Err = ResolveError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        // Only the address may contain colons, and it comes last.
        let mut parts = value.splitn(3, ':');
        let (Some(host), Some(port), Some(addr)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ResolveError::Form);
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0).ok_or(ResolveError::Port)?;
        let bare = match addr.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(ResolveError::Addr)?,
            None => addr,
        };
        let addr: IpAddr = bare.parse().map_err(|_| ResolveError::Addr)?;
        Ok(Self(DevelopmentHost::new(host, port, addr)?))
    }
}

/// `KEY=VALUE` of `--set`. Which keys exist, and what they take, the policy decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    key: String,
    value: String,
}

impl Setting {
    /// What is set.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// To what; may be empty and may contain `=`.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// A `--set` value is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected KEY=VALUE")]
pub struct SettingError;

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(SettingError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(switches: &[&str]) -> Result<Args, Usage> {
        Args::from_command_line(["local"].iter().chain(switches))
    }

    fn refusal(switches: &[&str]) -> String {
        match parse(switches) {
            Err(Usage::Wrong(line)) => line,
            other => panic!("{switches:?} gave {other:?}"),
        }
    }

    #[test]
    fn without_switches_it_listens_on_loopback_port_9000_in_memory() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.listen.to_string(), "127.0.0.1:9000");
        assert_eq!(args.issuer, None);
        assert_eq!(args.data, None);
        assert!(!args.demo && !args.dynamodb_only);
    }

    #[test]
    fn every_refusal_is_one_line_that_names_the_switch() {
        let table: &[(&[&str], &str)] = &[
            (&["--listen", "9000"], "--listen"),
            (&["--listen", "localhost"], "--listen"),
            (&["--listen", "127.0.0.1:65536"], "--listen"),
            (&["--issuer", "nonsense"], "--issuer"),
            (&["--issuer", "http://auth.example.com"], "--issuer"),
            (&["--issuer", "ftp://127.0.0.1"], "--issuer"),
            (&["--issuer", "https://auth.example.com/?a=b"], "--issuer"),
            (&["--issuer", "https://auth.example.com/#f"], "--issuer"),
            (&["--issuer", "https://user@auth.example.com"], "--issuer"),
            (&["--issuer", "https://auth.example.com/tenant"], "--issuer"),
            (&["--set", "cache"], "--set"),
            (&["--set", "=5"], "--set"),
            (&["--resolve", "a.test:443"], "--resolve"),
            (&["--demo", "--listen", "127.0.0.1:1"], "--demo"),
            (&["--demo", "--data", "x"], "--demo"),
            (&["--dynamodb-only", "--seed", "x"], "--dynamodb-only"),
            (&["--dynamodb-listen", "127.0.0.1:8001"], "--dynamodb-only"),
            (&["--dynamodb-only", "--dynamodb-listen", "0.0.0.0:8000"], "--dynamodb-listen"),
            (&["--dynamodb", "127.0.0.1:8000"], "--key-file"),
            (&["--dynamodb", "127.0.0.1:8000", "--key-file", "k"], "--issuer"),
            (&["--key-file", "k"], "--dynamodb"),
            (&["--demo", "--dynamodb", "127.0.0.1:8000", "--key-file", "k"], "--dynamodb"),
            (&["--data", "x", "--dynamodb", "127.0.0.1:8000", "--key-file", "k"], "--data"),
            (
                &["--dynamodb", "192.0.2.7:8000", "--key-file", "k", "--issuer", "http://localhost:9000"],
                "--dynamodb",
            ),
            (&["--data"], "--data"),
            (&["--nonsense"], "--nonsense"),
            (&["stray"], "stray"),
            (&["--resolve", "a.test:443:127.0.0.1", "--resolve", "a.test:443:127.0.0.2"], "--resolve"),
        ];
        for (switches, named) in table {
            let line = refusal(switches);
            assert!(line.contains(named), "{switches:?}: {line}");
            assert!(!line.contains('\n') && !line.starts_with("error"), "{switches:?}: {line}");
        }
    }

    #[test]
    fn roots_and_addresses_of_ones_own_need_a_loopback_listener_and_issuer() {
        let resolve = ["--resolve", "client.test:8443:127.0.0.1"];
        let trust = ["--trust-ca", "root.pem"];
        for weaker in [resolve, trust] {
            for (switch, value) in [
                ("--listen", "0.0.0.0:9000"),
                ("--listen", "[::]:9000"),
                ("--listen", "192.0.2.7:9000"),
                ("--issuer", "https://auth.example.com"),
                ("--issuer", "https://127.0.0.1.example.com"),
            ] {
                let line = refusal(&[weaker[0], weaker[1], switch, value]);
                assert!(line.starts_with(weaker[0]) && line.contains(switch), "{line}");
            }
            for (switch, value) in [
                ("--listen", "127.0.0.1:0"),
                ("--listen", "[::1]:9000"),
                ("--issuer", "http://localhost:9000"),
                ("--issuer", "http://[::1]:9000"),
                ("--issuer", "https://127.0.0.1"),
            ] {
                parse(&[weaker[0], weaker[1], switch, value]).unwrap();
            }
        }
        parse(&["--listen", "0.0.0.0:9000", "--issuer", "https://auth.example.com"]).unwrap();
    }

    #[test]
    fn resolve_takes_a_development_name_a_port_and_a_loopback_address() {
        for (value, host, port, addr) in [
            ("client.test:443:127.0.0.1", "client.test", 443, "127.0.0.1"),
            ("a.b.example:8443:127.9.9.9", "a.b.example", 8443, "127.9.9.9"),
            ("a-1.invalid:1:[::1]", "a-1.invalid", 1, "::1"),
            ("x.localhost:65535:::1", "x.localhost", 65535, "::1"),
        ] {
            let Resolve(parsed) = value.parse().unwrap();
            assert_eq!((parsed.host(), parsed.port()), (host, port), "{value}");
            assert_eq!(parsed.address(), addr.parse::<IpAddr>().unwrap(), "{value}");
        }
    }

    #[test]
    fn resolve_refuses_real_names_other_machines_and_loose_spellings() {
        for (value, error) in [
            ("", ResolveError::Form),
            ("client.test", ResolveError::Form),
            ("client.test:443", ResolveError::Form),
            ("test:443:127.0.0.1", ResolveError::Host(DevelopmentHostError::Bare)),
            ("localhost:443:127.0.0.1", ResolveError::Host(DevelopmentHostError::Bare)),
            ("a.test:0:127.0.0.1", ResolveError::Port),
            ("a.test:65536:127.0.0.1", ResolveError::Port),
            ("a.test:+443:127.0.0.1", ResolveError::Port),
            ("a.test::127.0.0.1", ResolveError::Port),
            ("a.test:443:", ResolveError::Addr),
            ("a.test:443:localhost", ResolveError::Addr),
            ("a.test:443:127.1", ResolveError::Addr),
            ("a.test:443:[::1", ResolveError::Addr),
            ("a.test:443:127.0.0.1:80", ResolveError::Addr),
        ] {
            assert_eq!(value.parse::<Resolve>(), Err(error), "{value}");
        }
        for host in [
            "",
            "Client.test",
            ".test",
            "a..test",
            "a.test.",
            "-a.test",
            "a_b.test",
            "*.test",
            "claude.ai",
            "example.com",
            "atest",
            "a.localhost.example.com",
            "https",
        ] {
            let refused = format!("{host}:443:127.0.0.1").parse::<Resolve>();
            assert!(matches!(refused, Err(ResolveError::Host(_))), "{host}: {refused:?}");
        }
        for addr in ["10.0.0.1", "0.0.0.0", "169.254.169.254", "[::]", "[::ffff:127.0.0.1]"] {
            let refused = format!("a.test:443:{addr}").parse::<Resolve>();
            assert_eq!(refused, Err(ResolveError::Host(DevelopmentHostError::NotLoopback)), "{addr}");
        }
    }

    #[test]
    fn a_setting_keeps_everything_after_the_first_equals_sign() {
        let setting: Setting = "host.pattern=a=b".parse().unwrap();
        assert_eq!((setting.key(), setting.value()), ("host.pattern", "a=b"));
    }

    #[test]
    fn help_is_an_answer_and_not_an_error() {
        assert!(matches!(parse(&["--help"]), Err(Usage::Asked(text)) if text.contains("--trust-ca")));
        assert!(matches!(parse(&["--version"]), Err(Usage::Asked(_))));
    }
}
