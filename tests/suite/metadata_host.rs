//! A metadata host that misbehaves on purpose, over real TLS (SPEC 2.2, 4.2).

use std::sync::Arc;
use std::time::Duration;

use shared::cimd::document::{DocumentRules, MetadataDocument};
use shared::client::id::{ClientId, MetadataUrl, UrlRules};
use shared::clock::SystemClock;
use shared::fetch::guard::{GuardSettings, GuardedFetcher};
use shared::fetch::{FetchKind, FetchRequest, Fetcher as _};
use shared::testing::metadata_host::{Answer, MetadataHost, Response, ServerCertificate, misbehaviours};
use shared::testing::resolver::ScriptedResolver;
use tests::document;

/// Ample for loopback on a busy machine, where an answer is expected.
const PATIENT: Duration = Duration::from_secs(20);
/// For answers that never come.
const HURRIED: Duration = Duration::from_millis(500);

/// The document at `path`, as the server would take it, or why not.
async fn read(host: &MetadataHost, path: &str, deadline: Duration) -> Result<MetadataDocument, String> {
    let settings = GuardSettings {
        deadline,
        development: vec![host.development_host().unwrap()],
        development_roots: host.roots(),
        ..GuardSettings::new("https://as.example")
    };
    let resolver = Arc::new(ScriptedResolver::default());
    let fetcher = GuardedFetcher::new(settings, resolver, Arc::new(SystemClock)).unwrap();
    let rules = UrlRules { development: vec![host.development_host().unwrap()], ..UrlRules::default() };
    let url = MetadataUrl::parse(&ClientId::parse(&host.url(path)).unwrap(), &rules).unwrap();
    let request = FetchRequest { url: url.url().clone(), kind: FetchKind::Document };
    let fetched = fetcher.fetch(&request).await.map_err(|error| error.to_string())?;
    MetadataDocument::parse(&url, &fetched.body, &DocumentRules::default()).map_err(|error| error.to_string())
}

/// FET-02 to FET-07, DOC-01, DOC-02: whatever the host does, nothing but the good document is taken.
#[tokio::test]
async fn no_misbehaviour_of_a_host_passes_for_a_document() {
    let host = MetadataHost::start("client.test").await.unwrap();
    let good = document(&host.url("/c"));
    host.set("/c", Response::json(good.clone()));
    read(&host, "/c", PATIENT).await.unwrap();
    let all = misbehaviours(&host.url("/c"), &good);
    assert!(all.len() > 25);
    for (name, answer) in all {
        host.set("/c", answer);
        let taken = read(&host, "/c", HURRIED).await;
        assert!(taken.is_err(), "{name}");
        assert!(host.requests().iter().all(|seen| seen.path == "/c"), "{name}: nothing was followed");
    }
    host.set("/c", Response::json(good));
    read(&host, "/c", PATIENT).await.unwrap();
}

/// FET-09, F11: a certificate that is not the host's own, in each way.
#[tokio::test]
async fn a_host_without_a_valid_certificate_is_not_believed() {
    for certificate in
        [ServerCertificate::Expired, ServerCertificate::SelfSigned, ServerCertificate::OtherHost]
    {
        let host = MetadataHost::start_with("client.test", certificate).await.unwrap();
        host.set("/c", Response::json(document(&host.url("/c"))));
        let refused = read(&host, "/c", PATIENT).await.unwrap_err();
        assert_eq!(refused, "the certificate is not valid for the host", "{certificate:?}");
        assert!(host.requests().is_empty(), "{certificate:?}");
    }
}

/// CAC-17, FM068: a document that changes, and is then withdrawn.
#[tokio::test]
async fn a_host_can_change_and_withdraw_its_document() {
    let host = MetadataHost::start("client.test").await.unwrap();
    let first = document(&host.url("/c"));
    let second = first.replace("Example Agent", "Renamed");
    let answers = vec![
        Response::json(first).into(),
        Response::json(second).into(),
        Answer::from(Response::status(410)),
    ];
    host.set("/c", Answer::InTurn(answers));
    let first = read(&host, "/c", PATIENT).await.unwrap();
    let second = read(&host, "/c", PATIENT).await.unwrap();
    assert_ne!(first.digest, second.digest);
    for _ in 0..2 {
        read(&host, "/c", PATIENT).await.unwrap_err();
    }
}
