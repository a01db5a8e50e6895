//! Living with metadata documents for years: one fetch for the fleet, versions, outages, withdrawal
//! (SPEC 2.4; FET-16, FET-18).

use std::sync::Arc;
use std::time::Duration;

use shared::cimd::copies::{DETERMINISTIC_BACK_OFF, HOST_FETCHES_MAX, TRANSIENT_BACK_OFF};
use shared::cimd::document::DocumentDigest;
use shared::cimd::documents::{Known, MEMORY_STALENESS, NoDocument};
use shared::cimd::history::{History, VERSIONS_MAX};
use shared::client::id::{ClientId, MetadataUrl, UrlRules};
use shared::clock::Clock as _;
use shared::fetch::FetchError;
use shared::policy::Policy;
use shared::policy::change::{ChangeKind, Consequence, Grade};
use tests::{
    Administrator, Answer, Browser, CLIENT_ID, Instance, LOOPBACK_CLIENT_ID, Request, Tokens, World,
    document, token_request,
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn url(client_id: &str) -> MetadataUrl {
    MetadataUrl::parse(&ClientId::parse(client_id).unwrap(), &UrlRules::default()).unwrap()
}

async fn find(instance: &Instance, policy: &Policy) -> Result<Arc<Known>, NoDocument> {
    instance.documents.find(&url(CLIENT_ID), policy, None).await
}

async fn history(instance: &Instance) -> History {
    instance.documents.history(&url(CLIENT_ID), &Policy::default()).await.unwrap().unwrap()
}

/// The document with `changes`; a `null` removes the member.
fn changed(changes: &[(&str, serde_json::Value)]) -> String {
    let mut document: serde_json::Value = serde_json::from_str(&document(CLIENT_ID)).unwrap();
    for (name, value) in changes {
        if value.is_null() {
            document.as_object_mut().unwrap().remove(*name);
        } else {
            document[*name] = value.clone();
        }
    }
    document.to_string()
}

fn digest(text: &str) -> DocumentDigest {
    DocumentDigest::of(text.as_bytes())
}

/// FET-16, FET-18, F14: 200 people at four instances with an unknown client at once cause one fetch.
#[tokio::test]
async fn two_hundred_people_at_four_instances_cause_one_fetch() {
    let world = World::new().await;
    world.fetcher.dawdle(50);
    let mut browsers = Vec::new();
    for number in 0..4 {
        browsers.push(Browser::signed_in(&world.instance().await, &format!("user{number}")).await);
    }
    let mut people = tokio::task::JoinSet::new();
    for mut browser in browsers.iter().cycle().take(200).cloned() {
        people.spawn(async move { browser.get(&Request::loopback(50_000).path()).await });
    }
    while let Some(answer) = people.join_next().await {
        answer.unwrap().assert_page(200);
    }
    let fetches = world.fetcher.fetched();
    assert_eq!(fetches.iter().filter(|url| *url == LOOPBACK_CLIENT_ID).count(), 1, "{fetches:?}");
}

/// CAC-08: whoever was asking when a document came may finish with it, even one that must not be stored;
/// whoever asks later causes a fetch of their own.
#[tokio::test]
async fn a_document_that_must_not_be_stored_serves_those_who_were_asking() {
    let world = World::new().await;
    world.fetcher.dawdle(50);
    world.fetcher.answer(CLIENT_ID, &document(CLIENT_ID), Some("no-store"));
    let mut lookups = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let instance = world.instance().await;
        for _ in 0..10 {
            let instance = instance.clone();
            lookups.spawn(async move { find(&instance, &Policy::default()).await.map(|_| ()) });
        }
    }
    while let Some(found) = lookups.join_next().await {
        found.unwrap().unwrap();
    }
    let fetches = world.fetcher.fetched().len();
    assert!(fetches <= 4, "{fetches} fetches for 40 who asked at once");
    assert_eq!(world.fetcher.most_at_once("app.example.com"), 1);
    let instance = world.instance().await;
    // Never paced into failure: nobody has to wait after a success.
    for number in 1..=20 {
        find(&instance, &Policy::default()).await.unwrap();
        assert_eq!(world.fetcher.fetched().len(), fetches + number);
    }
}

/// FET-16: many documents of one host are fetched a few at a time, and all are served.
#[tokio::test]
async fn forty_documents_of_one_host_are_fetched_four_at_a_time_and_all_served() {
    let world = World::new().await;
    world.fetcher.dawdle(50);
    // A busy machine must not make somebody wait too long.
    let wait = Duration::from_secs(60);
    let instances = [world.instance_with_wait(wait).await, world.instance_with_wait(wait).await];
    let mut lookups = tokio::task::JoinSet::new();
    for number in 0..40 {
        let client_id = format!("https://many.example.com/{number}.json");
        world.fetcher.answer(&client_id, &document(&client_id), None);
        let instance = instances[number % 2].clone();
        lookups.spawn(async move {
            instance.documents.find(&url(&client_id), &Policy::default(), None).await.map(|_| ())
        });
    }
    while let Some(found) = lookups.join_next().await {
        found.unwrap().unwrap();
    }
    assert_eq!(world.fetcher.fetched().len(), 40);
    let most = world.fetcher.most_at_once("many.example.com");
    assert!((2..=HOST_FETCHES_MAX).contains(&most), "{most} at once");
}

/// FET-16: a signed-in person who tries one invented URL after another does not turn us against its host,
/// and those who use a known tool of that host do not notice.
#[tokio::test]
async fn failed_first_contacts_with_a_host_are_limited_and_its_known_tools_are_not() {
    let world = World::new().await;
    let instance = world.instance().await;
    world.fetcher.answer(CLIENT_ID, &document(CLIENT_ID), Some("no-store"));
    find(&instance, &Policy::default()).await.unwrap();
    let mut outcomes = Vec::new();
    for number in 0..30 {
        let invented = url(&format!("https://app.example.com/invented/{number}"));
        outcomes.push(instance.documents.find(&invented, &Policy::default(), None).await.unwrap_err());
    }
    let busy = outcomes.iter().filter(|outcome| matches!(outcome, NoDocument::Busy { .. })).count();
    assert_eq!(busy, 10, "{outcomes:?}");
    assert_eq!(world.fetcher.fetched().len(), 21);
    find(&instance, &Policy::default()).await.unwrap();
    // The window passes.
    world.clock.advance(Duration::from_secs(60));
    let invented = url("https://app.example.com/invented/once-more");
    let refused = instance.documents.find(&invented, &Policy::default(), None).await.unwrap_err();
    assert!(matches!(refused, NoDocument::Fetch(_)), "{refused}");
}

/// A fetch whose instance died does not stand in the way for long: the lease expires by itself.
#[tokio::test]
async fn a_lease_whose_holder_died_expires_by_itself() {
    use shared::aws::{CopyKey, DocumentStore, Lease, Leasing};
    use shared::cimd::ledger::Ledger;
    use shared::clock::Clock as _;
    use shared::fetch::FetchKind;

    let world = World::new().await;
    let instance = world.instance_with_wait(Duration::ZERO).await;
    let store = DocumentStore::new(instance.tables.clone());
    let key = CopyKey { kind: FetchKind::Document, url: CLIENT_ID };
    let now = world.clock.now();
    let lease = Lease { mark: "dead".to_owned(), until: now.plus(Duration::from_secs(20)) };
    let leased = store.lease::<Ledger>(key, &lease, None, now).await.unwrap();
    assert_eq!(leased, Leasing::Granted);

    let refused = find(&instance, &Policy::default()).await.unwrap_err();
    assert!(matches!(refused, NoDocument::Busy { .. }), "{refused}");
    assert!(world.fetcher.fetched().is_empty());
    world.clock.advance(Duration::from_secs(20));
    find(&instance, &Policy::default()).await.unwrap();
    // The dead one comes back to life: its result is not taken any more.
    assert!(!store.release(key, "dead").await.unwrap());
}

/// FET-18, K01: a copy is fetched again only when its time is up, and costs one read until then.
#[tokio::test]
async fn a_cached_document_costs_one_read_and_no_write() {
    let world = World::new().await;
    let (one, two) = (world.instance().await, world.instance().await);
    find(&one, &Policy::default()).await.unwrap();
    find(&two, &Policy::default()).await.unwrap();
    assert_eq!(two.calls.take(), ["GetItem"]);
    find(&two, &Policy::default()).await.unwrap();
    assert_eq!(two.calls.take(), [""; 0], "memory");
    world.clock.advance(MEMORY_STALENESS);
    find(&two, &Policy::default()).await.unwrap();
    assert_eq!(two.calls.take(), ["GetItem"]);
    world.clock.advance(HOUR);
    find(&two, &Policy::default()).await.unwrap();
    assert_eq!(world.fetcher.fetched().len(), 2);
}

/// K16, CAC-15, FM069: an invalid document neither replaces the good one nor lengthens its life.
#[tokio::test]
async fn an_invalid_document_does_not_replace_a_good_one() {
    let world = World::new().await;
    let instance = world.instance().await;
    let good = find(&instance, &Policy::default()).await.unwrap();
    world.fetcher.answer(CLIENT_ID, "{}", Some("max-age=86400"));
    world.clock.advance(HOUR - Duration::from_secs(1));
    let still = find(&instance, &Policy::default()).await.unwrap();
    assert_eq!(still.body, good.body);
    world.clock.advance(Duration::from_secs(1));
    let refused = find(&instance, &Policy::default()).await.unwrap_err();
    assert!(matches!(refused, NoDocument::Document(_)), "{refused}");
    let history = history(&instance).await;
    assert_eq!(history.ledger.in_force, good.document.digest);
    assert_eq!(history.failure.unwrap().kind, shared::fetch::FailureKind::Deterministic);
    // Nor does it stand in for one that is broken.
    let refused = instance.documents.last_good(&url(CLIENT_ID), &Policy::default(), &refused).await.unwrap();
    assert!(refused.is_none());
}

/// K17: a redirect URI that a new version drops stops matching; a code that was issued on it lives on.
#[tokio::test]
async fn a_dropped_redirect_uri_stops_matching_and_a_live_code_stays_good() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world.instance().await, "alice").await;
    browser.get(&Request::default().path()).await.assert_page(200);
    world.clock.advance(HOUR - Duration::from_secs(30));
    let code = browser.authorize(&Request::default()).await;
    let moved = changed(&[("redirect_uris", serde_json::json!(["https://app.example.com/moved"]))]);
    world.fetcher.answer(CLIENT_ID, &moved, None);
    world.clock.advance(Duration::from_secs(30));
    let answer = browser.get(&Request::default().path()).await;
    answer.assert_page(400);
    assert_eq!(answer.note.outcome, "invalid_redirect_uri");
    Tokens::of(&token_request(&browser.instance, &code, &[]).await);
}

/// CAC-17, GOV-07: every kind of change has its grade, its consequence, and its place in the history.
#[tokio::test]
async fn a_cosmetic_change_is_noted_and_consent_stays_good() {
    let world = World::new().await;
    let instance = world.instance().await;
    let first = find(&instance, &Policy::default()).await.unwrap();
    world.clock.advance(HOUR);
    let renamed = changed(&[("client_name", "Renamed".into())]);
    world.fetcher.answer(CLIENT_ID, &renamed, None);
    let second = find(&instance, &Policy::default()).await.unwrap();
    assert_eq!(second.document.metadata.client_name.as_deref(), Some("Renamed"));
    assert_eq!(second.consent_since, first.document.digest);
    assert_eq!(second.revocation_due, None);

    let history = history(&instance).await;
    assert!(!history.is_held());
    let [latest, before] = &history.versions[..] else { panic!("{history:?}") };
    assert_eq!((latest.text.as_str(), before.text.as_str()), (renamed.as_str(), first.body.as_str()));
    assert_eq!(latest.version.previous.as_ref(), Some(&first.document.digest));
    assert_eq!(latest.version.grade, Some(Grade::Cosmetic));
    let [change] = &latest.version.changes[..] else { panic!("{latest:?}") };
    assert_eq!(change.kind, ChangeKind::Name);
    assert_eq!(change.unverified_before.as_deref(), Some("Example Agent"));
    assert_eq!(change.unverified_after.as_deref(), Some("Renamed"));
    assert_eq!(latest.version.first_seen.since(before.last_seen), HOUR);
    assert_eq!(before.version.first_seen, before.last_seen);
}

/// CAC-17: a redirect URI on a new host is no longer what people agreed to.
#[tokio::test]
async fn after_a_material_change_people_are_asked_again() {
    let world = World::new().await;
    let instance = world.instance().await;
    find(&instance, &Policy::default()).await.unwrap();
    world.clock.advance(HOUR);
    let uris = serde_json::json!(["https://app.example.com/callback", "https://elsewhere.example/callback"]);
    world.fetcher.answer(CLIENT_ID, &changed(&[("redirect_uris", uris)]), None);
    let second = find(&instance, &Policy::default()).await.unwrap();
    assert_eq!(second.consent_since, second.document.digest);
    assert_eq!(second.revocation_due, None);
    assert_eq!(history(&instance).await.ledger.latest.grade, Some(Grade::Material));
}

/// CAC-17: `private_key_jwt` → `none` is a takeover until somebody shows that it is none: the revocation
/// stays due, for every instance, until it is reported done.
#[tokio::test]
async fn a_critical_change_makes_a_revocation_due_until_it_is_done() {
    let world = World::new().await;
    let (one, two) = (world.instance().await, world.instance().await);
    let key = serde_json::json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}]});
    let confidential = changed(&[("token_endpoint_auth_method", "private_key_jwt".into()), ("jwks", key)]);
    world.fetcher.answer(CLIENT_ID, &confidential, None);
    find(&one, &Policy::default()).await.unwrap();
    world.clock.advance(HOUR);
    let relaxed = document(CLIENT_ID);
    world.fetcher.answer(CLIENT_ID, &relaxed, None);
    for instance in [&one, &two] {
        let known = find(instance, &Policy::default()).await.unwrap();
        assert_eq!(known.revocation_due, Some(digest(&relaxed)));
        assert_eq!(known.consent_since, digest(&relaxed));
    }
    assert_eq!(history(&one).await.ledger.latest.grade, Some(Grade::Critical));
    let done = two.documents.revoked(&url(CLIENT_ID), &digest(&relaxed)).await.unwrap();
    assert!(done);
    world.clock.advance(MEMORY_STALENESS);
    for instance in [&one, &two] {
        assert_eq!(find(instance, &Policy::default()).await.unwrap().revocation_due, None);
    }
}

/// What an administrator is answered who decides about the version that reads `text`.
async fn decide(administrator: &Administrator<'_>, action: &str, text: &str) -> Answer {
    let body = serde_json::json!({"client_id": CLIENT_ID, "digest": digest(text).as_str()});
    administrator.post(&format!("/admin/v1/documents/{action}"), body).await
}

fn holding() -> Policy {
    let mut policy = Policy::default();
    policy.documents.changes.material = Consequence::Hold;
    policy
}

fn scoped(scope: &str) -> String {
    changed(&[("scope", scope.into())])
}

/// GOV-07: a held version lets nobody in until an administrator approves the version that they saw.
#[tokio::test]
async fn a_held_version_waits_for_an_administrator() {
    let world = World::new().await;
    let (one, two) = (world.instance().await, world.instance().await);
    let policy = holding();
    let first = find(&one, &policy).await.unwrap();
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &scoped("a b"), None);
    for instance in [&one, &two, &one] {
        assert_eq!(find(instance, &policy).await.unwrap_err(), NoDocument::Held);
    }
    let held = history(&two).await;
    assert!(held.is_held());
    assert_eq!(held.ledger.in_force, first.document.digest);
    // Grants go on as they were.
    let known = two.documents.known_without_fetch(&url(CLIENT_ID), &policy).await.unwrap().unwrap();
    assert_eq!(known.document.digest, first.document.digest);

    let administrator = Administrator::new(&world, &two);
    let approve = async |text: &str| decide(&administrator, "approve", text).await.status;
    // While the administrator reads, the publisher changes it once more.
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &scoped("a b c"), None);
    assert_eq!(find(&one, &policy).await.unwrap_err(), NoDocument::Held);
    assert_eq!(approve(&scoped("a b")).await, 412);
    assert_eq!(find(&one, &policy).await.unwrap_err(), NoDocument::Held);
    assert_eq!(approve(&scoped("a b c")).await, 200);
    for instance in [&one, &two] {
        let known = find(instance, &policy).await.unwrap();
        assert_eq!(known.document.digest, digest(&scoped("a b c")));
        assert_eq!(known.consent_since, known.document.digest, "people are asked again");
    }
}

/// A publisher who takes a held version back leaves nothing to approve.
#[tokio::test]
async fn a_held_version_that_is_taken_back_holds_nobody_any_longer() {
    let world = World::new().await;
    let instance = world.instance().await;
    let policy = holding();
    let first = find(&instance, &policy).await.unwrap();
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &scoped("a b"), None);
    assert_eq!(find(&instance, &policy).await.unwrap_err(), NoDocument::Held);
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &document(CLIENT_ID), None);
    let known = find(&instance, &policy).await.unwrap();
    assert_eq!(known.document.digest, first.document.digest);
    assert_eq!(known.consent_since, first.document.digest, "nobody need be asked again");
}

/// A held client's page says whose turn it is, and leads nowhere.
#[tokio::test]
async fn the_page_of_a_held_client_sends_the_person_to_the_administrator() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world.instance().await, "alice").await;
    let policies = &browser.instance.policies;
    let current = policies.current(world.clock.as_ref()).await.unwrap();
    let mut policy = current.policy.clone();
    policy.documents.changes.material = Consequence::Hold;
    assert!(policies.replace(current.version, &policy, "tests", world.clock.now()).await.unwrap());
    browser.get(&Request::default().path()).await.assert_page(200);
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &scoped("a b"), None);
    let answer = browser.get(&Request::default().path()).await;
    answer.assert_page(403);
    assert_eq!(answer.note.outcome, "client_held");
    assert!(answer.body.contains("administrator"));
}

/// GOV-07: a pinned version serves, whatever is published, through an outage and a broken document; what
/// comes later is listed; a withdrawal ends it.
#[tokio::test]
async fn a_pinned_version_serves_whatever_is_published_until_it_is_withdrawn() {
    let world = World::new().await;
    let (one, two) = (world.instance().await, world.instance().await);
    let policy = Policy::default();
    find(&one, &policy).await.unwrap();
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &scoped("a"), None);
    find(&one, &policy).await.unwrap();
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &scoped("b"), None);
    find(&one, &policy).await.unwrap();

    let pinned = digest(&scoped("a"));
    let administrator = Administrator::new(&world, &two);
    decide(&administrator, "pin", &scoped("a")).await.assert_status(200);
    let serves = || async { find(&one, &policy).await.map(|known| known.document.digest.clone()) };
    world.clock.advance(MEMORY_STALENESS);
    assert_eq!(serves().await.unwrap(), pinned);

    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &scoped("c"), None);
    assert_eq!(serves().await.unwrap(), pinned);
    assert_eq!(history(&one).await.ledger.latest.digest, digest(&scoped("c")));
    world.clock.advance(HOUR);
    world.fetcher.fail(CLIENT_ID, FetchError::Deadline);
    assert_eq!(serves().await.unwrap(), pinned);
    world.clock.advance(TRANSIENT_BACK_OFF);
    world.fetcher.answer(CLIENT_ID, "{}", None);
    assert_eq!(serves().await.unwrap(), pinned);
    world.clock.advance(DETERMINISTIC_BACK_OFF);
    world.fetcher.fail(CLIENT_ID, FetchError::Gone(404));
    assert!(serves().await.is_err());

    // Approving what is published ends the pin.
    world.clock.advance(DETERMINISTIC_BACK_OFF);
    world.fetcher.answer(CLIENT_ID, &scoped("c"), None);
    assert_eq!(serves().await.unwrap(), pinned);
    decide(&Administrator::new(&world, &one), "unpin", &scoped("c")).await.assert_status(200);
    assert_eq!(serves().await.unwrap(), digest(&scoped("c")));
}

/// FM070: a document that differs at every fetch fills no table.
#[tokio::test]
async fn a_flapping_document_keeps_a_bounded_history() {
    let world = World::new().await;
    let instance = world.instance().await;
    for number in 0..VERSIONS_MAX + 5 {
        world.fetcher.answer(CLIENT_ID, &scoped(&format!("s{number}")), None);
        find(&instance, &Policy::default()).await.unwrap();
        world.clock.advance(HOUR);
    }
    let history = history(&instance).await;
    let numbers: Vec<u32> = history.versions.iter().map(|seen| seen.version.number).collect();
    let newest = VERSIONS_MAX + 5;
    assert_eq!(numbers, (6..=newest).rev().collect::<Vec<_>>());
    // It is not kept any more.
    decide(&Administrator::new(&world, &instance), "pin", &scoped("s0")).await.assert_status(412);
}

/// CAC-13, FM065, FM066: the last good document stands in during an outage, up to its age, and never
/// against the host's will.
#[tokio::test]
async fn the_last_good_document_stands_in_for_an_outage_only() {
    let world = World::new().await;
    let instance = world.instance().await;
    let policy = Policy::default();
    let good = find(&instance, &policy).await.unwrap();
    let last_good = || async {
        let reason = find(&instance, &policy).await.unwrap_err();
        let found = instance.documents.last_good(&url(CLIENT_ID), &policy, &reason).await.unwrap();
        found.map(|known| known.document.digest.clone())
    };
    world.clock.advance(HOUR);
    for error in [FetchError::Deadline, FetchError::Status(403), FetchError::Status(429), FetchError::Resolve]
    {
        world.fetcher.fail(CLIENT_ID, error);
        assert_eq!(last_good().await.as_ref(), Some(&good.document.digest), "{error}");
        // While the URL rests, too.
        assert_eq!(last_good().await.as_ref(), Some(&good.document.digest), "{error}");
        world.clock.advance(TRANSIENT_BACK_OFF);
    }
    for error in [FetchError::Certificate, FetchError::Redirect(302), FetchError::MediaType] {
        world.fetcher.fail(CLIENT_ID, error);
        assert_eq!(last_good().await, None, "{error}");
        assert_eq!(last_good().await, None, "{error}");
        world.clock.advance(DETERMINISTIC_BACK_OFF);
    }
    world.fetcher.fail(CLIENT_ID, FetchError::Deadline);
    assert_eq!(last_good().await.as_ref(), Some(&good.document.digest));
    world.clock.advance(7 * DAY);
    assert_eq!(last_good().await, None, "too old");

    for header in ["max-age=600, must-revalidate", "no-cache", "no-store", "s-maxage=600"] {
        world.clock.advance(DETERMINISTIC_BACK_OFF);
        world.fetcher.answer(CLIENT_ID, &document(CLIENT_ID), Some(header));
        find(&instance, &policy).await.unwrap();
        world.clock.advance(HOUR);
        world.fetcher.fail(CLIENT_ID, FetchError::Deadline);
        assert_eq!(last_good().await, None, "{header}");
    }
}

/// FM068: 404 and 410 are a publisher's way to withdraw; the last good document never covers them, not
/// even when an outage follows. Often and for long enough, they count as withdrawn; one good answer ends it.
#[tokio::test]
async fn a_document_that_is_gone_for_a_day_counts_as_withdrawn() {
    let world = World::new().await;
    let instance = world.instance().await;
    let policy = Policy::default();
    let refusal = || async { find(&instance, &policy).await.unwrap_err() };
    find(&instance, &policy).await.unwrap();
    world.clock.advance(HOUR);
    world.fetcher.fail(CLIENT_ID, FetchError::Gone(404));
    for _ in 0..4 {
        assert_eq!(refusal().await, NoDocument::Fetch(FetchError::Gone(404)));
        world.clock.advance(HOUR);
    }
    world.fetcher.fail(CLIENT_ID, FetchError::Deadline);
    let outage = refusal().await;
    assert!(instance.documents.last_good(&url(CLIENT_ID), &policy, &outage).await.unwrap().is_none());
    assert!(!history(&instance).await.withdrawn);

    world.fetcher.fail(CLIENT_ID, FetchError::Gone(410));
    world.clock.advance(DAY);
    assert_eq!(refusal().await, NoDocument::Withdrawn);
    assert_eq!(refusal().await, NoDocument::Withdrawn, "while the URL rests, too");
    assert!(history(&instance).await.withdrawn);

    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &document(CLIENT_ID), None);
    find(&instance, &policy).await.unwrap();
    assert!(!history(&instance).await.withdrawn);
}

/// CAC-16, FM073: documents of tools in use are renewed before they expire, not all at the same time, and
/// no more than asked for.
#[tokio::test]
async fn documents_in_use_are_renewed_before_they_expire() {
    let world = World::new().await;
    let instance = world.instance().await;
    let policy = Policy::default();
    let ids: Vec<String> = (0..20).map(|number| format!("https://v{number}.example/client.json")).collect();
    let urls: Vec<MetadataUrl> = ids.iter().map(|id| url(id)).collect();
    for url in &urls {
        world.fetcher.answer(url.as_str(), &document(url.as_str()), None);
        instance.documents.find(url, &policy, None).await.unwrap();
    }
    let renewed = async |limit| instance.documents.refresh_due(&urls, &policy, limit).await.unwrap().len();
    world.clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(renewed(100).await, 0);
    world.clock.advance(Duration::from_secs(18 * 60));
    assert_eq!(renewed(3).await, 3);
    let some = 3 + renewed(100).await;
    assert!((4..20).contains(&some), "{some} of 20 at one point of the last third");
    assert_eq!(world.fetcher.fetched().len(), 20 + some);
    // One host is down: the others are renewed all the same, and it is not asked again at once.
    world.fetcher.fail(&ids[0], FetchError::Deadline);
    world.clock.advance(Duration::from_secs(6 * 60));
    renewed(100).await;
    assert_eq!(renewed(100).await, 0);
    let before = world.fetcher.fetched().len();
    world.clock.advance(Duration::from_secs(6 * 60));
    for url in &urls[1..] {
        instance.documents.find(url, &policy, None).await.unwrap();
    }
    assert_eq!(world.fetcher.fetched().len(), before, "nobody waited for a fetch");
}

/// FM063, FM067, AUT-29: during an outage of its metadata host, a tool that people here use goes on for
/// everybody, and refreshing needs no host at all; an unknown one gets nobody in and leaves nothing.
#[tokio::test]
async fn an_outage_stops_unknown_tools_and_not_those_in_use() {
    let world = World::new().await;
    let mut alice = Browser::signed_in(&world.instance().await, "alice").await;
    let tokens = alice.tokens().await;
    world.clock.advance(2 * HOUR);
    world.fetcher.fail(CLIENT_ID, FetchError::Status(403));
    world.fetcher.fail(LOOPBACK_CLIENT_ID, FetchError::Deadline);

    tokens.refresh(&alice.instance, CLIENT_ID).await.assert_status(200);
    let mut bob = Browser::signed_in(&world.instance().await, "bob").await;
    bob.get(&Request::default().path()).await.assert_page(200);
    bob.tokens().await;

    let unknown = bob.get(&Request::loopback(50_000).path()).await;
    unknown.assert_page(503);
    assert_eq!(unknown.note.outcome, "client_unreachable");
    assert!(!unknown.header("retry-after").is_empty());
}

/// CAC-17, GOV-07: when a document drops the client's authentication, every grant of the tool ends, on
/// every instance, once; people who agree to what it is now keep what they agree to.
#[tokio::test]
async fn a_critical_change_revokes_the_tools_grants_once() {
    let world = World::new().await;
    // Its keys are optional, so its installations go on as public clients; losing all of them is critical.
    let keyed = |x: &str| {
        changed(&[
            ("token_endpoint_auth_methods_supported", serde_json::json!(["none", "private_key_jwt"])),
            (
                "jwks",
                serde_json::json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": x, "x": x, "y": "b"}]}),
            ),
        ])
    };
    world.fetcher.answer(CLIENT_ID, &keyed("first"), None);
    let mut alice = Browser::signed_in(&world.instance().await, "alice").await;
    let mut bob = Browser::signed_in(&world.instance().await, "bob").await;
    let before = [alice.tokens().await, bob.tokens().await];
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &keyed("other"), None);
    // Both instances learn of it before either grants anything.
    alice.get(&Request::default().path()).await.assert_page(200);
    bob.get(&Request::default().path()).await.assert_page(200);
    for tokens in &before {
        tokens.refresh(&alice.instance, CLIENT_ID).await.assert_status(400);
    }
    let after = alice.tokens().await;
    bob.get(&Request::default().path()).await.assert_page(200);
    world.clock.advance(MEMORY_STALENESS);
    bob.get(&Request::default().path()).await.assert_page(200);
    after.refresh(&bob.instance, CLIENT_ID).await.assert_status(200);
}
