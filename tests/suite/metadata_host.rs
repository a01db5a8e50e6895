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
use tests::{Browser, Request, World, document};

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
    assert!(all.len() > 30);
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

/// What a misbehaviour means to the person who meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Nobody can tell: try again. Where the tool is in use, its last good document stands in.
    Outage,
    /// The document, or the way it is served, is wrong: somebody has to mend it.
    Wrong,
    /// Its publisher has taken it away.
    Gone,
}

fn meaning(name: &str) -> Meaning {
    match name {
        "slow headers" | "drip-fed body" | "endless headers" | "silence" | "500" | "bot challenge"
        | "broken off" | "reset" | "no HTTP" => Meaning::Outage,
        "404" | "410" => Meaning::Gone,
        _ => Meaning::Wrong,
    }
}

/// The table in `docs/metadata-documents.md`, row by row: what person, client, and log see of each misbehaviour
/// at first contact, and what they see of it once the tool is in use (CAC-13, FM063 to FM067).
#[tokio::test]
async fn everybody_sees_of_a_misbehaving_host_what_the_table_says() {
    let host = MetadataHost::start("client.test").await.unwrap();
    let mut world = World::new().await;
    world.fetch_from(&host, ScriptedResolver::default(), HURRIED);
    let instance = world.instance().await;
    let request = |path: &str| {
        let redirect_uri = "https://app.example.com/callback";
        Request::default().with("client_id", &host.url(path)).with("redirect_uri", redirect_uri).path()
    };
    let count = misbehaviours("", "{}").len();
    for index in 0..count {
        let [new, known] = [format!("/new/{index}"), format!("/known/{index}")];
        let behaviour = |path: &str| {
            let id = host.url(path);
            misbehaviours(&id, &document(&id)).swap_remove(index)
        };
        let (name, answer) = behaviour(&new);
        let meaning = meaning(name);
        let mut browser = Browser::signed_in(&instance, "ada").await;
        host.set(&known, Response::json(document(&host.url(&known))));
        let page = browser.get(&request(&known)).await;
        browser.decide(&page, "approve").await.assert_status(303);

        host.set(&new, answer);
        let met = browser.get(&request(&new)).await;
        let (status, outcome) = match meaning {
            Meaning::Outage => (503, "client_unreachable"),
            Meaning::Wrong | Meaning::Gone => (400, "invalid_client"),
        };
        met.assert_page(status);
        assert_eq!(met.note.outcome, outcome, "{name}: {:?}", met.note);
        assert!(
            met.note.reason.as_ref().is_some_and(|reason| !reason.is_empty()),
            "{name}: the log says why"
        );
        assert_eq!(met.header("retry-after").is_empty(), status != 503, "{name}");

        // Once in use, and after its copy has expired. A new browser: the remembered consent is not the point.
        world.clock.advance(Duration::from_secs(2 * 3600));
        host.set(&known, behaviour(&known).1);
        let mut grace = Browser::signed_in(&instance, "grace").await;
        let met = grace.get(&request(&known)).await;
        let (status, outcome) = match meaning {
            Meaning::Outage => (200, "consent_shown"),
            Meaning::Wrong | Meaning::Gone => (400, "invalid_client"),
        };
        met.assert_page(status);
        assert_eq!(met.note.outcome, outcome, "{name}, in use: {:?}", met.note);
    }
}

/// FET-10, FET-12, F05, F11: the rows of that table for names and certificates.
#[tokio::test]
async fn a_host_with_a_wrong_certificate_or_address_cannot_be_verified() {
    for certificate in
        [ServerCertificate::Expired, ServerCertificate::SelfSigned, ServerCertificate::OtherHost]
    {
        let host = MetadataHost::start_with("client.test", certificate).await.unwrap();
        host.set("/c", Response::json(document(&host.url("/c"))));
        let addresses: Vec<_> = ["93.184.216.34", "10.0.0.1"].map(|text| text.parse().unwrap()).into();
        let resolver = ScriptedResolver::default().with("mixed.example.com", &addresses);
        let mut world = World::new().await;
        world.fetch_from(&host, resolver, PATIENT);
        let mut browser = Browser::signed_in(&world.instance().await, "ada").await;
        for (client_id, status, outcome) in [
            (host.url("/c"), 400, "invalid_client"),
            ("https://mixed.example.com/c".to_owned(), 400, "invalid_client"),
            ("https://unknown.example.com/c".to_owned(), 503, "client_unreachable"),
        ] {
            let met = browser.get(&Request::default().with("client_id", &client_id).path()).await;
            met.assert_page(status);
            assert_eq!(met.note.outcome, outcome, "{client_id}: {:?}", met.note);
        }
        assert!(host.requests().is_empty(), "{certificate:?}");
    }
}
