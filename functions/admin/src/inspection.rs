//! A metadata document as an administrator sees it before letting it in: what it says, and the checks it went
//! through (GOV-14).

use serde::Serialize;
use shared::cimd::documents::{Known, NoDocument};
use shared::client::id::{ClientId, MetadataUrl};
use shared::policy::{ClientFacts, DocumentDecision, Policy};
use shared::tool::Mechanism;
use utoipa::ToSchema;

use crate::App;
use crate::problem::AdminError;

/// One check.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    /// What is checked: `blocked`, `policy`, `document`, `redirect_uris`, or `profile`.
    check: &'static str,
    /// Whether it is as it should be.
    passed: bool,
    /// What there is to know. It may quote the publisher: escape it.
    says: String,
}

impl Check {
    fn new(check: &'static str, passed: bool, says: impl Into<String>) -> Self {
        Self { check, passed, says: says.into() }
    }
}

/// A metadata document. Its words are the publisher's: escape them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Inspection {
    /// Its URL.
    client_id: String,
    /// Which version it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
    /// Where codes may go.
    redirect_uris: Vec<String>,
    /// How it authenticates.
    token_endpoint_auth_methods: Vec<&'static str>,
    /// The checks, in order.
    checks: Vec<Check>,
    /// Its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Fetches the document at `url`, unless a fresh copy is at hand, and checks it. With it comes why it cannot be
/// used, if it cannot. What is blocked is not fetched.
pub(crate) async fn inspect(
    app: &App,
    url: &MetadataUrl,
    policy: &Policy,
) -> Result<(Inspection, Option<NoDocument>), AdminError> {
    let id = ClientId::parse(url.as_str()).map_err(|error| AdminError::Malformed(error.to_string()))?;
    if let Some(block) = policy.block(&id, Some(url.host())) {
        return Err(AdminError::NotNow(block.to_string()));
    }
    let mut checks = vec![Check::new("blocked", true, "neither the identifier nor its host is blocked")];
    checks.push(match policy.decide_metadata_document(url.host()) {
        DocumentDecision::Allowed => {
            Check::new("policy", true, "anybody may bring in documents of this host")
        }
        DocumentDecision::NeedsApproval => {
            Check::new("policy", true, "documents of this host need the approval that registering gives")
        }
        DocumentDecision::Refused(reason) => {
            Check::new("policy", false, format!("{reason}; registering lets this one in"))
        }
    });
    match app.documents.find(url, policy, None).await {
        Ok(known) => {
            judge(&mut checks, &known, url, policy);
            let metadata = &known.document.metadata;
            let inspection = Inspection {
                client_id: url.as_str().to_owned(),
                digest: Some(known.document.digest.as_str().to_owned()),
                client_name: metadata.client_name.clone(),
                redirect_uris: metadata.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect(),
                token_endpoint_auth_methods: metadata
                    .auth_methods
                    .declared()
                    .iter()
                    .map(|method| method.as_str())
                    .collect(),
                checks,
                text: Some(known.body.clone()),
            };
            Ok((inspection, None))
        }
        Err(reason) => {
            checks.push(Check::new("document", false, reason.to_string()));
            let inspection = Inspection {
                client_id: url.as_str().to_owned(),
                digest: None,
                client_name: None,
                redirect_uris: Vec::new(),
                token_endpoint_auth_methods: Vec::new(),
                checks,
                text: None,
            };
            Ok((inspection, Some(reason)))
        }
    }
}

fn judge(checks: &mut Vec<Check>, known: &Known, url: &MetadataUrl, policy: &Policy) {
    let metadata = &known.document.metadata;
    checks.push(Check::new("document", true, "it was fetched and passes every rule"));
    let unusable: Vec<String> = metadata
        .unusable_redirect_uris
        .iter()
        .map(|unusable| format!("{}: {}", unusable.unverified_uri, unusable.reason))
        .collect();
    checks.push(match unusable.as_slice() {
        [] => Check::new("redirect_uris", true, format!("all {} are usable", metadata.redirect_uris.len())),
        some => Check::new("redirect_uris", false, some.join("; ")),
    });
    let facts = ClientFacts::new(Mechanism::PreRegistered, Some(url.host()), metadata);
    let profile = policy.profile(&facts);
    let refused: Vec<&str> = metadata
        .redirect_uris
        .iter()
        .filter(|uri| !profile.redirect_kinds.contains(&uri.kind()))
        .map(|uri| uri.as_str())
        .collect();
    checks.push(match refused.as_slice() {
        [] => Check::new("profile", true, format!("{}: all its redirect URIs are honoured", profile.name)),
        some => Check::new("profile", false, format!("{} does not honour {}", profile.name, some.join(", "))),
    });
}
