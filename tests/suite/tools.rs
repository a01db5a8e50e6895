//! One logical client per tool: DESIGN section 5, invariants 3 and 4, SPEC 2.13.

use shared::aws::{Change, Changed, Introduction, RecordReader, RegistrationStore, ToolStore, Wanted};
use shared::client::id::ClientId;
use shared::client::metadata::ClientMetadata;
use shared::client::registration::Registration;
use shared::clock::{Clock as _, Timestamp};
use shared::policy::DocumentMode;
use shared::tool::{Ceiling, Introduced, Mechanism, Reviewed, Status, Tool, ToolId};
use tests::{
    Browser, CLIENT_ID, Instance, LOOPBACK_CLIENT_ID, Request, Tokens, World, document, token_request,
};

fn tool_id() -> ToolId {
    ToolId::of_metadata_document("app.example.com", CLIENT_ID)
}

fn cli_tool_id() -> ToolId {
    ToolId::of_metadata_document("cli.example.com", LOOPBACK_CLIENT_ID)
}

fn tools(instance: &Instance) -> ToolStore {
    ToolStore::new(instance.tables.clone())
}

fn reviewed() -> Reviewed {
    Reviewed { at: Timestamp::default(), by: "an administrator".to_owned() }
}

async fn change(instance: &Instance, id: &ToolId, change: Change) -> Tool {
    match tools(instance).change(id, &change, None).await.unwrap() {
        Changed::Made(tool) => *tool,
        Changed::Conflict => panic!("{change:?} met a conflict"),
    }
}

async fn all_tools(instance: &Instance) -> Vec<Tool> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = tools(instance).page(after.as_ref(), 100).await.unwrap();
        all.extend(page);
        match next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

async fn count(instance: &Instance, table: &str) -> usize {
    let mut pages =
        instance.tables.client().scan().table_name(format!("test-{table}")).into_paginator().items().send();
    let mut items = 0;
    while let Some(item) = pages.next().await {
        item.unwrap();
        items += 1;
    }
    items
}

/// GOV: the first consent brings in the tool, with how, when, and by whom.
#[tokio::test]
async fn the_first_consent_brings_in_tool_and_registration() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    browser.get(&Request::default().path()).await.assert_page(200);
    assert_eq!(all_tools(&instance).await, [], "looking is not consenting");
    browser.tokens().await;
    let [tool] = all_tools(&instance).await.try_into().unwrap();
    assert_eq!((&tool.id, tool.status, tool.epoch), (&tool_id(), Status::Enabled, 0));
    assert_eq!(tool.name.as_deref(), Some("Example Agent"));
    assert_eq!(tool.introduced.by, "ada");
    assert_eq!(tool.introduced.mechanism, Mechanism::MetadataDocument);
    assert_eq!(tool.last_used_at, Some(world.clock.now()));
    let registrations = RegistrationStore::new(instance.tables.clone()).of_tool(&tool.id).await.unwrap();
    let [registration] = registrations.try_into().unwrap();
    assert_eq!(registration.client_id.as_str(), CLIENT_ID);
    assert_eq!(registration.metadata, None, "identity stays with the document");
}

/// Invariant 3: a thousand people with three installations each leave one tool, one registration, and a
/// grant for each installation.
#[tokio::test]
async fn a_thousand_users_with_three_installations_are_one_tool() {
    let world = World::new().await;
    let instance = world.instance().await;
    for user in 0..1000 {
        let mut browser = Browser::signed_in(&instance, &format!("user{user}")).await;
        for installation in 0..3 {
            let request = Request::loopback(20_000 + user * 3 + installation);
            browser.authorize(&request).await;
        }
    }
    let items = [
        count(&instance, "tools").await,
        count(&instance, "registrations").await,
        count(&instance, "grants").await,
    ];
    println!("1,000 users x 3 installations: {items:?} tools, registrations, grants");
    assert_eq!(items, [1, 1, 3000]);
    assert_eq!(world.fetcher.fetched().len(), 1);
}

/// Concurrent first use by a hundred people: one tool, one registration, and the counts are right.
#[tokio::test]
async fn a_hundred_people_who_bring_in_a_tool_at_once_bring_in_one() {
    let world = World::new().await;
    let instances = [world.instance().await, world.instance().await];
    let mut waiting = Vec::new();
    for user in 0..100 {
        let mut browser = Browser::signed_in(&instances[user % 2], &format!("user{user}")).await;
        let page = browser.get(&Request::default().path()).await;
        waiting.push((browser, page));
    }
    let tasks: Vec<_> = waiting
        .into_iter()
        .map(|(mut browser, page)| {
            tokio::spawn(async move {
                let code = browser.decide(&page, "approve").await.redirect_param("code");
                Tokens::of(&token_request(&browser.instance, &code, &[]).await)
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let [tool] = all_tools(&instances[0]).await.try_into().unwrap();
    assert_eq!(count(&instances[0], "registrations").await, 1);
    let census =
        tools(&instances[0]).count(&[(tool.id.clone(), tool.epoch)], world.clock.now()).await.unwrap();
    assert_eq!((census.users, census.grants), (100, 100));
}

/// Invariant 4: disabled in one process, refused by every path of the other at its next request.
#[tokio::test]
async fn disable_means_now_everywhere() {
    let world = World::new().await;
    let (here, there) = (world.instance().await, world.instance().await);
    let mut browser = Browser::signed_in(&there, "ada").await;
    let tokens = browser.tokens().await;
    let consent = browser.get(&Request::default().with("prompt", "consent").path()).await;
    let unredeemed = browser.authorize(&Request::default()).await;
    let fetched = world.fetcher.fetched().len();

    change(&here, &tool_id(), Change::Disable).await;

    let authorize = browser.get(&Request::default().path()).await;
    authorize.assert_page(403);
    assert!(authorize.body.contains("switched off"), "{}", authorize.body);
    browser.decide(&consent, "approve").await.assert_page(403);
    let code = token_request(&there, &unredeemed, &[]).await;
    assert_eq!(code.assert_status(400).error(), "invalid_grant");
    let refresh = tokens.refresh(&there, CLIENT_ID).await;
    assert_eq!(refresh.assert_status(400).error(), "invalid_grant");
    assert_eq!(world.fetcher.fetched().len(), fetched, "a disabled tool is refused before any fetch");
    // Other tools are not touched.
    browser.get(&Request::loopback(4000).path()).await.assert_page(200);

    // Enabling gives back what was not used up meanwhile.
    change(&here, &tool_id(), Change::Enable(reviewed())).await;
    tokens.refresh(&there, CLIENT_ID).await.assert_status(200);
}

/// Disabling is one write, however many grants there are.
#[tokio::test]
async fn disabling_and_revoking_are_one_write() {
    let world = World::new().await;
    let instance = world.instance().await;
    for user in ["ada", "grace", "joan"] {
        Browser::signed_in(&instance, user).await.tokens().await;
    }
    for one in [Change::Disable, Change::Enable(reviewed()), Change::Revoke] {
        instance.calls.take();
        change(&instance, &tool_id(), one).await;
        assert_eq!(instance.calls.take(), ["UpdateItem"]);
    }
}

/// Revoking ends every grant for good, codes that wait included; consenting again works.
#[tokio::test]
async fn revoking_a_tool_ends_its_grants_and_new_ones_can_be_made() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let tokens = browser.tokens().await;
    let unredeemed = browser.authorize(&Request::default()).await;
    let shown = browser.get(&Request::default().with("prompt", "consent").path()).await;
    assert_eq!(change(&instance, &tool_id(), Change::Revoke).await.epoch, 1);
    tokens.refresh(&instance, CLIENT_ID).await.assert_status(400);
    token_request(&instance, &unredeemed, &[]).await.assert_status(400);
    let code = browser.decide(&shown, "approve").await.redirect_param("code");
    let again = Tokens::of(&token_request(&instance, &code, &[]).await);
    again.refresh(&instance, CLIENT_ID).await.assert_status(200);
}

/// Approval: a pending tool shows its page and nothing else, until an administrator decides.
#[tokio::test]
async fn a_pending_tool_waits_for_its_administrator() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let introduced =
        Introduced { at: world.clock.now(), by: "ada".to_owned(), mechanism: Mechanism::MetadataDocument };
    let tool = Tool::new(tool_id(), None, Status::Pending, introduced.clone());
    let registration = Registration::new(ClientId::parse(CLIENT_ID).unwrap(), tool_id(), introduced, None);
    let store = tools(&instance);
    assert_eq!(store.introduce(&tool, &registration).await.unwrap(), Introduction::New);
    assert_eq!(store.introduce(&tool, &registration).await.unwrap(), Introduction::Existed);

    let page = browser.get(&Request::default().path()).await;
    assert!(page.assert_page(403).body.contains("waiting for approval"), "{}", page.body);
    assert_eq!(world.fetcher.fetched(), Vec::<String>::new());
    store.give_reason(&tool_id(), "for the release notes").await.unwrap();
    store.give_reason(&tool_id(), "another reason").await.unwrap();
    let pending = store.read(&tool_id()).await.unwrap().unwrap();
    assert_eq!(pending.reason.as_deref(), Some("for the release notes"));

    change(&instance, &tool_id(), Change::Enable(reviewed())).await;
    browser.tokens().await;
}

/// GOV-09, REF-09: a tool's ceiling bounds what it can ask for, what it keeps, and who may use it.
#[tokio::test]
async fn a_ceiling_bounds_scopes_resources_and_groups() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let tokens = browser.tokens().await;
    assert_eq!(tokens.scope, "notes:read notes:write");
    let ceiling = Ceiling { scopes: Some(vec!["notes:read".to_owned()]), ..Ceiling::default() };
    change(&instance, &tool_id(), Change::SetCeiling(ceiling)).await;
    let narrowed = Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
    assert_eq!(narrowed.claims()["scope"], "notes:read");
    let page = browser.get(&Request::default().path()).await;
    assert!(!page.body.contains("change your notes"), "{}", page.body);
    let none_left = browser.get(&Request::default().with("scope", "notes:write").path()).await;
    assert_eq!(none_left.redirect_param("error"), "invalid_scope");

    let ceiling = Ceiling { resources: Some(vec!["https://mcp2.example".to_owned()]), ..Ceiling::default() };
    change(&instance, &tool_id(), Change::SetCeiling(ceiling)).await;
    let elsewhere = browser.get(&Request::default().path()).await;
    assert_eq!(elsewhere.redirect_param("error"), "invalid_target");
    assert_eq!(narrowed.refresh(&instance, CLIENT_ID).await.assert_status(400).error(), "invalid_target");

    let ceiling = Ceiling { groups: Some(vec!["staff".to_owned()]), ..Ceiling::default() };
    change(&instance, &tool_id(), Change::SetCeiling(ceiling)).await;
    browser.get(&Request::default().path()).await.assert_page(403);
}

/// Merge: a clone's registrations move, its tokens go on, and what happens to the tool happens to them.
#[tokio::test]
async fn a_merged_tool_lives_on_in_the_other() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    browser.tokens().await;
    let clone = Request::loopback(4000);
    let code = browser.authorize(&clone).await;
    let changes = [("client_id", LOOPBACK_CLIENT_ID), ("redirect_uri", "http://localhost:4000/callback")];
    let tokens = Tokens::of(&token_request(&instance, &code, &changes).await);

    let store = tools(&instance);
    let into = store.read(&tool_id()).await.unwrap().unwrap();
    for _ in 0..2 {
        assert!(matches!(store.merge(&cli_tool_id(), &into).await.unwrap(), Changed::Made(_)));
    }
    let registrations = RegistrationStore::new(instance.tables.clone());
    assert_eq!(registrations.of_tool(&tool_id()).await.unwrap().len(), 2);
    assert_eq!(registrations.of_tool(&cli_tool_id()).await.unwrap().len(), 0);
    let tokens = Tokens::of(&tokens.refresh(&instance, LOOPBACK_CLIENT_ID).await);
    // A new grant of the clone belongs to the tool itself.
    browser.authorize(&clone).await;
    let grants = store.count(&[(tool_id(), 0)], world.clock.now()).await.unwrap();
    assert_eq!(grants.grants, 1, "the unredeemed code does not count yet");
    assert!(matches!(store.change(&cli_tool_id(), &Change::Disable, None).await.unwrap(), Changed::Conflict));

    change(&instance, &tool_id(), Change::Disable).await;
    tokens.refresh(&instance, LOOPBACK_CLIENT_ID).await.assert_status(400);
    browser.get(&clone.path()).await.assert_page(403);
    change(&instance, &tool_id(), Change::Enable(reviewed())).await;
    let tokens = Tokens::of(&tokens.refresh(&instance, LOOPBACK_CLIENT_ID).await);
    change(&instance, &tool_id(), Change::Revoke).await;
    tokens.refresh(&instance, LOOPBACK_CLIENT_ID).await.assert_status(400);
}

/// Two tools cannot be merged into each other.
#[tokio::test]
async fn merging_in_a_circle_is_refused() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    browser.authorize(&Request::default()).await;
    browser.authorize(&Request::loopback(4000)).await;
    let store = tools(&instance);
    let (first, second) =
        (store.read(&tool_id()).await.unwrap().unwrap(), store.read(&cli_tool_id()).await.unwrap().unwrap());
    assert!(matches!(store.merge(&first.id, &second).await.unwrap(), Changed::Made(_)));
    assert_eq!(store.merge(&second.id, &first).await.unwrap(), Changed::Conflict);
    assert_eq!(store.merge(&second.id, &second).await.unwrap(), Changed::Conflict);
}

/// Delete: a tool that is met again begins anew, and no old grant comes back to life.
#[tokio::test]
async fn a_forgotten_tool_comes_back_without_its_grants() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let tokens = browser.tokens().await;
    assert!(matches!(tools(&instance).forget(&tool_id()).await.unwrap(), Changed::Made(_)));
    assert_eq!(all_tools(&instance).await, []);
    assert_eq!(count(&instance, "registrations").await, 0);
    tokens.refresh(&instance, CLIENT_ID).await.assert_status(400);
    let fresh = browser.tokens().await;
    fresh.refresh(&instance, CLIENT_ID).await.assert_status(200);
    tokens.refresh(&instance, CLIENT_ID).await.assert_status(400);
    let [tool] = all_tools(&instance).await.try_into().unwrap();
    assert_eq!((tool.epoch, tool.status), (1, Status::Enabled));
}

/// AD087: a change made on what an administrator no longer sees is refused.
#[tokio::test]
async fn a_change_at_an_old_revision_is_a_conflict() {
    let world = World::new().await;
    let instance = world.instance().await;
    Browser::signed_in(&instance, "ada").await.tokens().await;
    let store = tools(&instance);
    let rename = |name: &str| Change::Rename(name.to_owned());
    assert!(matches!(store.change(&tool_id(), &rename("A"), Some(0)).await.unwrap(), Changed::Made(_)));
    assert_eq!(store.change(&tool_id(), &rename("B"), Some(0)).await.unwrap(), Changed::Conflict);
    let unknown = ToolId::parse("unknown").unwrap();
    assert_eq!(store.change(&unknown, &rename("B"), None).await.unwrap(), Changed::Conflict);
}

/// CID-01, CID-07, GOV-14: a stored record always wins over the document of the same URL, and a document cannot
/// change what an administrator set.
#[tokio::test]
async fn a_pre_registered_url_is_looked_up_and_not_fetched() {
    let world = World::new().await;
    let instance = world.instance().await;
    let managed = document(CLIENT_ID).replace("Example Agent", "The managed one");
    let metadata = metadata(&world, &managed);
    let introduced = Introduced {
        at: world.clock.now(),
        by: "an administrator".to_owned(),
        mechanism: Mechanism::PreRegistered,
    };
    let tool = Tool::new(ToolId::parse("managed").unwrap(), None, Status::Enabled, introduced.clone());
    let registration =
        Registration::new(ClientId::parse(CLIENT_ID).unwrap(), tool.id.clone(), introduced, Some(metadata));
    tools(&instance).introduce(&tool, &registration).await.unwrap();

    let mut browser = Browser::signed_in(&instance, "ada").await;
    let page = browser.get(&Request::default().path()).await;
    assert!(page.assert_page(200).body.contains("The managed one"), "{}", page.body);
    let tokens = browser.tokens().await;
    tokens.refresh(&instance, CLIENT_ID).await.assert_status(200);
    assert_eq!(world.fetcher.fetched(), Vec::<String>::new());
    assert_eq!(all_tools(&instance).await.len(), 1);

    // CID-07: no document is needed for it, so it works where documents are turned off.
    let policies = &instance.policies;
    let (mut policy, version) = {
        let current = policies.current(world.clock.as_ref()).await.unwrap();
        (current.policy.clone(), current.version)
    };
    policy.documents.mode = DocumentMode::Off;
    assert!(policies.replace(version, &policy, "an administrator", world.clock.now()).await.unwrap());
    browser.get(&Request::default().with("prompt", "consent").path()).await.assert_page(200);

    // T15, REG-09: once the registration is gone, the client is told so.
    RegistrationStore::new(instance.tables.clone())
        .remove(&ClientId::parse(CLIENT_ID).unwrap())
        .await
        .unwrap();
    let gone = tokens.refresh(&instance, CLIENT_ID).await;
    assert_eq!(gone.assert_status(401).error(), "invalid_client");
}

fn metadata(_world: &World, body: &str) -> ClientMetadata {
    use shared::cimd::document::{DocumentRules, MetadataDocument};
    use shared::client::id::{MetadataUrl, UrlRules};
    let url = MetadataUrl::parse(&ClientId::parse(CLIENT_ID).unwrap(), &UrlRules::default()).unwrap();
    MetadataDocument::parse(&url, body.as_bytes(), &DocumentRules::default()).unwrap().metadata
}

/// CID-02, mission, priority: one identifier known in several ways resolves to the pre-registered record, then to
/// the document; a dynamic record never shadows a document's URL.
#[tokio::test]
async fn sources_answer_in_the_missions_order() {
    let world = World::new().await;
    let instance = world.instance().await;
    let metadata = metadata(&world, &document(CLIENT_ID).replace("Example Agent", "A stored name"));
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let registrations = RegistrationStore::new(instance.tables.clone());
    let client_id = ClientId::parse(CLIENT_ID).unwrap();
    let known_as = |mechanism| {
        let introduced = Introduced { at: world.clock.now(), by: "test".to_owned(), mechanism };
        Registration::new(client_id.clone(), tool_id(), introduced, Some(metadata.clone()))
    };
    registrations.add(&known_as(Mechanism::Dynamic), world.clock.now()).await.unwrap();
    let by_document = browser.get(&Request::default().path()).await;
    assert!(by_document.body.contains("Example Agent"), "{}", by_document.body);
    registrations.remove(&client_id).await.unwrap();
    registrations.add(&known_as(Mechanism::PreRegistered), world.clock.now()).await.unwrap();
    let by_record = browser.get(&Request::default().path()).await;
    assert!(by_record.body.contains("A stored name"), "{}", by_record.body);
}

/// The records of one request come in one round trip; a missing one is `None`, not an error.
#[tokio::test]
async fn records_are_read_together() {
    let world = World::new().await;
    let instance = world.instance().await;
    Browser::signed_in(&instance, "ada").await.tokens().await;
    let reader = RecordReader::new(instance.tables.clone());
    instance.calls.take();
    let tool = tool_id();
    let wanted = Wanted { grant: None, tool: Some(&tool), client_id: Some(CLIENT_ID) };
    let records = reader.read(wanted).await.unwrap();
    assert_eq!(instance.calls.take(), ["BatchGetItem"]);
    assert_eq!(records.tools.len(), 1);
    assert_eq!(records.registration.unwrap().client_id.as_str(), CLIENT_ID);
    let nothing = reader.read(Wanted { client_id: Some("unknown"), ..Wanted::default() }).await.unwrap();
    assert!(nothing.registration.is_none() && nothing.tools.is_empty());
}
