//! `inspect`: the checks of the authorization server, one by one, in words.
//!
//! Each group of members is put into a document that is otherwise correct and read by the server's own
//! parser. So each check fails for its own reason, and the reasons are the server's.

use std::time::Duration;

use serde_json::{Map, Value, json};
use shared::cimd::document::{DocumentError, DocumentRules, MetadataDocument};
use shared::cimd::freshness::{Freshness, FreshnessRules, Lifetime};
use shared::cimd::json::{JsonError, parse_object};
use shared::cimd::logo;
use shared::client::id::{ClientId, ClientUrlError, MetadataUrl, UrlRules};
use shared::client::metadata::{AuthMethod, ClientKeys, ClientMetadata, GrantType, PublicJwks};
use shared::client::redirect::RedirectKind;
use shared::fetch::{DOCUMENT_BYTES_MAX, FetchError, FetchKind, FetchRequest, Fetched, Fetcher};
use url::Url;

use crate::report::{Report, Subject};

/// A document this large is close to what servers read.
const BYTES_COMFORTABLE: usize = DOCUMENT_BYTES_MAX * 4 / 5;

/// Checks `body` as if it were published at `client_id`. Nothing is fetched.
pub fn file(client_id: &str, body: &[u8]) -> Report {
    let mut report = Report::new(Subject::Document(client_id.to_owned()));
    let Some(url) = check_url(client_id, &mut report) else { return report };
    if body.len() > DOCUMENT_BYTES_MAX {
        let found = format!("{} bytes", body.len());
        report.fail(
            "size",
            "FET-06",
            found,
            "Servers read 5 KiB at most. Move keys behind jwks_uri, drop members.",
        );
    } else {
        check_size(body, &mut report);
    }
    check_document(&url, body, &mut report);
    report
}

/// Fetches the document of `client_id` through `fetcher` and checks it, its keys, and its logo.
pub async fn published(client_id: &str, fetcher: &dyn Fetcher) -> Report {
    let mut report = Report::new(Subject::Document(client_id.to_owned()));
    let Some(url) = check_url(client_id, &mut report) else { return report };
    let request = FetchRequest { url: url.url().clone(), kind: FetchKind::Document };
    let fetched = match fetcher.fetch(&request).await {
        Ok(fetched) => fetched,
        Err(error) => {
            report.fail("fetch", fetch_requirement(error), error.to_string(), mend_fetch(error));
            return report;
        }
    };
    report.pass("fetch", "FET-02", format!("200 from {}", fetched.address));
    report.pass("media type", "FET-05", fetched.media_type.clone());
    check_size(&fetched.body, &mut report);
    check_caching(&fetched, &mut report);
    let metadata = check_document(&url, &fetched.body, &mut report);
    if let Some(metadata) = metadata {
        check_keys_behind_uri(&metadata, fetcher, &mut report).await;
        check_logo(&metadata, fetcher, &mut report).await;
    }
    report
}

fn check_url(client_id: &str, report: &mut Report) -> Option<MetadataUrl> {
    let id = match ClientId::parse(client_id) {
        Ok(id) => id,
        Err(error) => {
            report.fail("URL", "URL-01", error.to_string(), "Use a short https URL.");
            return None;
        }
    };
    match MetadataUrl::parse(&id, &UrlRules::default()) {
        Ok(url) => {
            report.pass("URL", "URL-01", "can name a metadata document");
            Some(url)
        }
        Err(error) => {
            let (requirement, mend) = mend_url(error);
            report.fail("URL", requirement, error.to_string(), mend);
            None
        }
    }
}

const fn mend_url(error: ClientUrlError) -> (&'static str, &'static str) {
    match error {
        ClientUrlError::NotHttps => ("URL-01", "Publish the document at an https URL and use that."),
        ClientUrlError::SchemeCase => ("URL-15", "Write https in lower case."),
        ClientUrlError::Character => ("URL-12", "Percent-encode what RFC 3986 does not allow."),
        ClientUrlError::PercentEncoding => ("URL-12", "Follow each % with two hexadecimal digits."),
        ClientUrlError::Fragment => ("URL-06", "Leave out # and what follows."),
        ClientUrlError::UserInfo => ("URL-07", "Leave out the user name and the @."),
        ClientUrlError::Host(_) => ("URL-13", "Use a public host name, in lower case, not an address."),
        ClientUrlError::PortSyntax => ("URL-09", "Leave out the port."),
        ClientUrlError::PortNotListed => ("URL-09", "Serve the document on port 443 and leave out the port."),
        ClientUrlError::PathMissing => ("URL-02", "Give the document a path, such as /oauth/client.json."),
        ClientUrlError::RootPath => ("URL-03", "Give the document a path, such as /oauth/client.json."),
        ClientUrlError::DotSegment => ("URL-04", "Leave out . and .. as path segments."),
        ClientUrlError::EncodedDotSegment => ("URL-05", "Leave out %2e as a path segment."),
        ClientUrlError::Query => ("URL-08", "Leave out the query."),
        ClientUrlError::Respelled => ("URL-15", "Spell the URL as a browser's address bar would."),
        ClientUrlError::Issuer => ("URL-14", "An authorization server's issuer cannot be a client."),
    }
}

const fn fetch_requirement(error: FetchError) -> &'static str {
    match error {
        FetchError::Redirect(_) => "FET-03",
        FetchError::Gone(_) | FetchError::Status(_) => "FET-02",
        FetchError::MediaType => "FET-05",
        FetchError::ContentEncoding | FetchError::TooLarge | FetchError::HeadersTooLarge => "FET-06",
        FetchError::Deadline => "FET-07",
        FetchError::Certificate | FetchError::Tls => "FET-09",
        FetchError::SpecialUse(_) => "FET-10",
        FetchError::TooManyAddresses | FetchError::Peer | FetchError::Guard => "FET-13",
        FetchError::Busy | FetchError::Function => "FET-16",
        FetchError::Url | FetchError::Host(_) | FetchError::PortNotListed => "FET-15",
        FetchError::Resolve | FetchError::NoAddress | FetchError::Connect | FetchError::Interrupted => {
            "FET-04"
        }
    }
}

const fn mend_fetch(error: FetchError) -> &'static str {
    match error {
        FetchError::Redirect(_) => "Serve the document at the URL itself: redirects are never followed.",
        FetchError::Gone(_) => {
            "Publish the document. After a day of 404 or 410, servers may count it as withdrawn."
        }
        FetchError::Status(403 | 429) => {
            "Exempt this path from bot protection and rate limits: servers fetch from shared cloud addresses."
        }
        FetchError::Status(_) => "Answer 200 with the document, without conditions.",
        FetchError::MediaType => "Send Content-Type: application/json, once.",
        FetchError::ContentEncoding => "Send no Content-Encoding where Accept-Encoding is identity.",
        FetchError::TooLarge => "Keep the document below 5 KiB.",
        FetchError::HeadersTooLarge => "Send fewer or shorter headers, below 16 KiB.",
        FetchError::Deadline => "Answer within five seconds, from the look-up of the name to the last byte.",
        FetchError::Certificate => "Use a certificate that is valid for the host, with its whole chain.",
        FetchError::Tls => "Offer TLS 1.2 or 1.3 with usual parameters.",
        FetchError::SpecialUse(_) => "Every address of the host must be public.",
        FetchError::TooManyAddresses => "Publish fewer addresses for the host.",
        FetchError::Resolve | FetchError::NoAddress => "Publish an address for the host in the DNS.",
        FetchError::Connect => "Let the host listen on port 443, for everybody.",
        FetchError::Interrupted => "Answer with plain HTTP/1.1 or HTTP/2, as long as Content-Length says.",
        FetchError::Url | FetchError::Host(_) | FetchError::PortNotListed => {
            "Use an https URL on a public host and port 443."
        }
        FetchError::Peer | FetchError::Guard | FetchError::Busy | FetchError::Function => {
            "Try again; this is not the document's fault."
        }
    }
}

fn check_size(body: &[u8], report: &mut Report) {
    let found = format!("{} bytes", body.len());
    if body.len() > BYTES_COMFORTABLE {
        let mend = "Servers read 5 KiB at most. Move keys behind jwks_uri before it grows further.";
        report.warn("size", "FET-06", found, mend);
    } else {
        report.pass("size", "FET-06", found);
    }
}

fn check_caching(fetched: &Fetched, report: &mut Report) {
    match Freshness::of(fetched, &FreshnessRules::default()).lifetime {
        Lifetime::Reusable(lifetime) => {
            report.pass("caching", "CAC-05", format!("reused for {}", in_words(lifetime)));
        }
        Lifetime::OnlyThisFlow => report.warn(
            "caching",
            "CAC-08",
            "may not be reused, so every sign-in fetches it and none works while your host is down",
            "Send Cache-Control: max-age=3600.",
        ),
    }
}

fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// The members that a check looks at together.
struct Group {
    name: &'static str,
    requirement: &'static str,
    members: &'static [&'static str],
}

const GROUPS: &[Group] = &[
    Group { name: "client_id", requirement: "DOC-02", members: &["client_id"] },
    Group { name: "client_name", requirement: "DOC-03", members: &["client_name"] },
    Group { name: "redirect_uris", requirement: "DOC-20", members: &["redirect_uris"] },
    Group { name: "secrets", requirement: "DOC-11", members: &["client_secret", "client_secret_expires_at"] },
    Group {
        name: "authentication",
        requirement: "DOC-25",
        members: &["token_endpoint_auth_method", "token_endpoint_auth_methods_supported", "jwks", "jwks_uri"],
    },
    Group { name: "grants", requirement: "DOC-30", members: &["grant_types", "response_types"] },
    Group {
        name: "pages",
        requirement: "DOC-32",
        members: &["client_uri", "logo_uri", "tos_uri", "policy_uri"],
    },
    Group {
        name: "other members",
        requirement: "DOC-07",
        members: &[
            "scope",
            "application_type",
            "software_id",
            "software_version",
            "dpop_bound_access_tokens",
        ],
    },
];

fn check_document(url: &MetadataUrl, body: &[u8], report: &mut Report) -> Option<ClientMetadata> {
    let members = match parse_object(body) {
        Ok(members) => members,
        Err(error) => {
            report.fail("JSON", "DOC-01", error.to_string(), mend_json(error));
            return None;
        }
    };
    report.pass("JSON", "DOC-01", "one object, strictly read");
    for group in GROUPS {
        match alone(url, &members, group) {
            Ok(_) => report.pass(group.name, group.requirement, "in order"),
            Err(error) => {
                let (requirement, mend) = mend_document(error);
                report.fail(group.name, requirement, error.to_string(), mend);
            }
        }
    }
    match MetadataDocument::parse(url, body, &DocumentRules::default()) {
        Ok(document) => {
            advise(url, &members, &document.metadata, report);
            Some(document.metadata)
        }
        Err(error) => {
            if report.passed() {
                let (requirement, mend) = mend_document(error);
                report.fail("whole document", requirement, error.to_string(), mend);
            }
            None
        }
    }
}

/// Reads the members of `group` in a document that is otherwise correct.
fn alone(
    url: &MetadataUrl,
    members: &Map<String, Value>,
    group: &Group,
) -> Result<MetadataDocument, DocumentError> {
    let mut document = Map::new();
    document.insert("client_id".to_owned(), url.as_str().into());
    document.insert("redirect_uris".to_owned(), json!([format!("https://{}/callback", url.host())]));
    for name in group.members {
        document.remove(*name);
        if let Some(value) = members.get(*name) {
            document.insert((*name).to_owned(), value.clone());
        }
    }
    MetadataDocument::parse(url, Value::Object(document).to_string().as_bytes(), &DocumentRules::default())
}

const fn mend_json(error: JsonError) -> &'static str {
    match error {
        JsonError::NotUtf8 => "Save the document as UTF-8.",
        JsonError::ByteOrderMark => "Save the document as UTF-8 without a byte order mark.",
        JsonError::Syntax => "Run the document through a JSON checker.",
        JsonError::NotAnObject => "The document is one JSON object: { … }.",
        JsonError::DuplicateMember => "State each member once.",
        JsonError::TooDeep => "Nest less deeply.",
    }
}

const fn mend_document(error: DocumentError) -> (&'static str, &'static str) {
    match error {
        DocumentError::Json(_) => ("DOC-01", "Run the document through a JSON checker."),
        DocumentError::ClientIdMissing => ("DOC-02", "Add client_id with the document's own URL."),
        DocumentError::ClientIdMismatch => {
            ("DOC-02", "client_id must be the URL of the document, character by character.")
        }
        DocumentError::ClientNameMissing => {
            ("DOC-03", "Add client_name: people read it when they are asked.")
        }
        DocumentError::ClientName => {
            ("DOC-03", "Use 1 to 100 characters without control or direction characters.")
        }
        DocumentError::RedirectUrisMissing => ("DOC-04", "Add redirect_uris with at least one URI."),
        DocumentError::TooManyRedirectUris => {
            ("DOC-20", "List at most 20. A loopback URI matches with any port, so one is enough.")
        }
        DocumentError::DangerousRedirectUri => ("DOC-22", "Remove the URI with the dangerous scheme."),
        DocumentError::WrongType(_) => ("DOC-07", "Give the member the JSON type of its definition."),
        DocumentError::SharedSecretMethod => {
            ("DOC-10", "The document is public, so there is no secret: use none or private_key_jwt.")
        }
        DocumentError::ClientSecret => ("DOC-11", "Remove the secret, and count it as known to everybody."),
        DocumentError::PrivateKey => {
            ("DOC-12", "Remove the private key, count it as known to everybody, and make a new one.")
        }
        DocumentError::AuthMethods(_) => {
            ("DOC-25", "List token_endpoint_auth_method in token_endpoint_auth_methods_supported, too.")
        }
        DocumentError::KeysMissing => ("DOC-27", "Add jwks or jwks_uri with the public keys."),
        DocumentError::KeysTwice => ("DOC-28", "Keep jwks or jwks_uri, not both."),
        DocumentError::Jwks(_) => ("DOC-28", "jwks is an object with an array keys of public keys."),
        DocumentError::JwksUri => ("DOC-29", "jwks_uri is an https URL."),
        DocumentError::ResponseTypes => {
            ("DOC-31", "authorization_code among grant_types and code among response_types go together.")
        }
    }
}

/// What is accepted and could be better.
fn advise(url: &MetadataUrl, members: &Map<String, Value>, metadata: &ClientMetadata, report: &mut Report) {
    if metadata.client_name.is_none() {
        let mend = "MCP requires it, and some servers refuse a document without it.";
        report.warn("client_name", "DOC-03", "missing", mend);
    }
    for unusable in &metadata.unusable_redirect_uris {
        let found = format!("{}: {}", unusable.unverified_uri, unusable.reason);
        report.warn("redirect_uris", "DOC-23", found, "It will never match. Mend or remove it.");
    }
    for uri in &metadata.redirect_uris {
        if uri.kind() == RedirectKind::Https && uri.host_for_display() != url.host() {
            let found = format!("{} is on another host than the document", uri.as_str());
            report.warn(
                "redirect_uris",
                "DOC-34",
                found,
                "People see both hosts. The same one is easier to trust.",
            );
        }
    }
    let loopback = metadata.redirect_uris.iter().any(|uri| uri.kind() == RedirectKind::Loopback);
    if loopback && metadata.application_type.is_none() {
        let mend = "Add \"application_type\": \"native\"; servers that assume web refuse loopback redirects.";
        report.warn("application_type", "DOC-36", "missing in a document with loopback redirects", mend);
    }
    if !metadata.may_use(GrantType::RefreshToken) {
        let mend = "Add refresh_token to grant_types, or people sign in again every few minutes.";
        report.warn("grant_types", "DOC-30", "no refresh_token", mend);
    }
    let states_method = members.contains_key("token_endpoint_auth_method")
        || members.contains_key("token_endpoint_auth_methods_supported");
    if !states_method {
        let mend = "State it: RFC 7591's default is a method that documents cannot use.";
        report.warn("authentication", "DOC-24", "no method stated, read as none", mend);
    } else if metadata.auth_methods.declared().is_empty() {
        let mend = "Add none or private_key_jwt; without either the server answers unauthorized_client.";
        report.fail("authentication", "AUT-31", "no method that the server supports", mend);
    } else if metadata.auth_methods.is_public() && metadata.auth_methods.contains(AuthMethod::PrivateKeyJwt) {
        report.pass(
            "authentication",
            "DOC-26",
            "none or private_key_jwt; policies treat the client as public",
        );
    }
    for name in ["client_uri", "logo_uri", "tos_uri", "policy_uri"] {
        let is_https = |value: &Value| value.as_str().is_some_and(|uri| uri.starts_with("https://"));
        if members.get(name).is_some_and(|value| !is_https(value)) {
            report.warn(
                "pages",
                "DOC-32",
                format!("{name} is not https and is ignored"),
                "Use an https URL.",
            );
        }
    }
}

async fn check_keys_behind_uri(metadata: &ClientMetadata, fetcher: &dyn Fetcher, report: &mut Report) {
    let ClientKeys::Uri(uri) = &metadata.keys else { return };
    let fetched = match fetch(uri, FetchKind::Keys, fetcher).await {
        Ok(fetched) => fetched,
        Err(error) => {
            report.fail("jwks_uri", "DOC-29", error.to_string(), mend_fetch(error));
            return;
        }
    };
    let keys = parse_object(&fetched.body)
        .map_err(|error| error.to_string())
        .and_then(|members| PublicJwks::try_from(Value::Object(members)).map_err(|error| error.to_string()));
    match keys {
        Ok(_) => report.pass("jwks_uri", "DOC-29", "a set of public keys"),
        Err(reason) => {
            report.fail("jwks_uri", "DOC-29", reason, "Serve an object with an array keys of public keys.");
        }
    }
}

async fn check_logo(metadata: &ClientMetadata, fetcher: &dyn Fetcher, report: &mut Report) {
    let Some(uri) = &metadata.logo_uri else { return };
    match fetch(uri, FetchKind::Logo, fetcher).await {
        Ok(fetched) => match logo::re_encode(&fetched.body) {
            Ok(_) => report.pass("logo_uri", "DOC-42", "a raster image"),
            Err(error) => {
                let mend = "Use a PNG, JPEG, GIF, or WebP of at most 2048 pixels a side. SVG is refused.";
                report.warn("logo_uri", "DOC-42", error.to_string(), mend);
            }
        },
        Err(FetchError::MediaType) => {
            let mend = "Use a PNG, JPEG, GIF, or WebP with its media type. SVG is refused.";
            report.warn("logo_uri", "DOC-42", "not a raster image", mend);
        }
        Err(error) => report.warn("logo_uri", "DOC-40", error.to_string(), "No logo is shown. Mend its URL."),
    }
}

async fn fetch(uri: &str, kind: FetchKind, fetcher: &dyn Fetcher) -> Result<Fetched, FetchError> {
    let url = Url::parse(uri).map_err(|_| FetchError::Url)?;
    fetcher.fetch(&FetchRequest { url, kind }).await
}

#[cfg(test)]
mod tests;
