//! Configuration of a function: read once from the environment, or the process does not start.

use crate::aws::table::DEFAULT_PREFIX;
use crate::oauth::Issuer;
use crate::oauth::issuer::IssuerError;
use crate::policy::{Policy, PolicyError};

/// What every function needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `ISSUER`: the issuer identifier. Never taken from a request (DPO-06).
    pub issuer: Issuer,
    /// `TABLE_PREFIX`: stands before every table name; `nameplate-` if unset.
    pub table_prefix: String,
    /// `DYNAMODB_ENDPOINT`: a DynamoDB other than the region's.
    pub dynamodb_endpoint: Option<String>,
    /// `KMS_KEY_ID`: the key that wraps ours; required by the functions that use keys.
    pub kms_key_id: Option<String>,
    /// `KMS_ENDPOINT`: a KMS other than the region's.
    pub kms_endpoint: Option<String>,
    /// `FETCH_FUNCTION`: name or ARN of the function that fetches strangers' URLs; required by the functions
    /// that need documents.
    pub fetch_function: Option<String>,
    /// `INITIAL_POLICY`: the policy document of a new deployment, as JSON; the steward stores it where there
    /// is none yet.
    pub initial_policy: Option<Policy>,
}

/// Why a function refuses to start. Names the variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is unset or empty.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// `ISSUER` is not an issuer identifier.
    #[error("ISSUER: {0}")]
    Issuer(#[from] IssuerError),
    /// `INITIAL_POLICY` is not a policy document (FM094).
    #[error("INITIAL_POLICY: {0}")]
    InitialPolicy(#[from] PolicyError),
}

impl Config {
    /// Reads the variables through `get`, which answers `None` for an unset one.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first variable that is missing or wrong.
    pub fn read(get: impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let set = |name| get(name).filter(|value| !value.is_empty());
        let issuer = set("ISSUER").ok_or(ConfigError::Missing("ISSUER"))?;
        Ok(Self {
            issuer: Issuer::parse(&issuer)?,
            table_prefix: set("TABLE_PREFIX").unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
            dynamodb_endpoint: set("DYNAMODB_ENDPOINT"),
            kms_key_id: set("KMS_KEY_ID"),
            kms_endpoint: set("KMS_ENDPOINT"),
            fetch_function: set("FETCH_FUNCTION"),
            initial_policy: set("INITIAL_POLICY").map(|json| Policy::from_json(&json)).transpose()?,
        })
    }

    /// [`Self::kms_key_id`], for a function that cannot do without.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] if it is not set.
    pub fn require_kms_key_id(&self) -> Result<String, ConfigError> {
        self.kms_key_id.clone().ok_or(ConfigError::Missing("KMS_KEY_ID"))
    }

    /// [`Self::fetch_function`], for a function that cannot do without.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] if it is not set.
    pub fn require_fetch_function(&self) -> Result<String, ConfigError> {
        self.fetch_function.clone().ok_or(ConfigError::Missing("FETCH_FUNCTION"))
    }

    /// Reads the process environment.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var(name).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FM055: no start without an issuer, and the message names the variable.
    #[test]
    fn a_missing_or_malformed_issuer_stops_the_start() {
        let read = |issuer: Option<&str>| {
            let issuer = issuer.map(str::to_owned);
            Config::read(move |name| if name == "ISSUER" { issuer.clone() } else { None })
        };
        assert_eq!(read(None), Err(ConfigError::Missing("ISSUER")));
        assert_eq!(read(Some("")), Err(ConfigError::Missing("ISSUER")));
        assert!(read(Some("http://as.example")).unwrap_err().to_string().starts_with("ISSUER"));
        let config = read(Some("https://as.example")).unwrap();
        assert_eq!(config.table_prefix, "nameplate-");
    }
}
