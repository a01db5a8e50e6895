//! Refreshing under races and in any order: SPEC 2.7 (REF), invariant 7, CVE-2026-1035.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tests::{Browser, CLIENT_ID, Instance, LOOPBACK_CLIENT_ID, Request, Tokens, World, form, token_request};

async fn refresh(instance: &Instance, token: &str, client_id: &str) -> Option<String> {
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client_id)];
    let answer = instance.post("/token", form(&pairs)).await;
    if answer.status == 200 {
        return Some(answer.json()["refresh_token"].as_str().unwrap().to_owned());
    }
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, "invalid_grant"));
    None
}

/// TR300, TR302, REF-08: twenty refreshes of one token at once, over two instances. One successor comes of
/// it, however many are told, and it works.
#[tokio::test]
async fn twenty_refreshes_at_once_have_one_successor() {
    let world = World::new().await;
    let instances = [world.instance().await, world.instance().await];
    let mut token = Browser::signed_in(&instances[0], "ada").await.tokens().await.refresh;
    for _ in 0..5 {
        let attempts: Vec<_> = (0..20_usize)
            .map(|attempt| {
                let (instance, token) = (instances[attempt % 2].clone(), token.clone());
                tokio::spawn(async move { refresh(&instance, &token, CLIENT_ID).await })
            })
            .collect();
        let mut told = Vec::new();
        for attempt in attempts {
            told.extend(attempt.await.unwrap());
        }
        // The one that rotated, and the one that the retry window lets through.
        assert!((1..=2).contains(&told.len()), "{}", told.len());
        let successors: BTreeSet<String> = told.into_iter().collect();
        assert_eq!(successors.len(), 1);
        token = successors.into_iter().next().unwrap();
    }
    assert!(refresh(&instances[1], &token, CLIENT_ID).await.is_some());
}

/// FM073: the window is one client's, for one retry, and for its time; nothing outside of it, and nobody
/// else inside of it.
#[tokio::test]
async fn the_retry_window_is_for_the_same_client_once_and_for_its_time() {
    let world = World::new().await;
    let instance = world.instance().await;
    let first = Browser::signed_in(&instance, "ada").await.tokens().await.refresh;
    let second = refresh(&instance, &first, CLIENT_ID).await.unwrap();
    assert_eq!(refresh(&instance, &first, LOOPBACK_CLIENT_ID).await, None);
    world.clock.advance(Duration::from_secs(29));
    assert_eq!(refresh(&instance, &first, CLIENT_ID).await.as_ref(), Some(&second));
    // The third presentation is refused and revokes nothing.
    assert_eq!(refresh(&instance, &first, CLIENT_ID).await, None);
    let third = refresh(&instance, &second, CLIENT_ID).await.unwrap();
    world.clock.advance(Duration::from_secs(30));
    // Outside of the window it is a replay, and ends the grant.
    assert_eq!(refresh(&instance, &second, CLIENT_ID).await, None);
    assert_eq!(refresh(&instance, &third, CLIENT_ID).await, None);
}

/// What happens to one grant.
#[derive(Clone, Debug)]
enum Act {
    /// Refresh with the nth token that was ever handed out.
    Refresh(usize),
    /// The same, as another client.
    RefreshAsOther(usize),
    /// Refresh with a token with one character changed.
    RefreshBent(usize),
    /// Present the code again.
    RedeemAgain,
    /// Present the code again with a wrong verifier.
    RedeemWrongly,
    /// Let time pass, in seconds.
    Wait(u64),
    /// Two refreshes at once, on two instances.
    Race(usize, usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0_usize..6).prop_map(Act::Refresh),
        1 => (0_usize..6).prop_map(Act::RefreshAsOther),
        1 => (0_usize..6).prop_map(Act::RefreshBent),
        1 => Just(Act::RedeemAgain),
        1 => Just(Act::RedeemWrongly),
        2 => (0_u64..40).prop_map(Act::Wait),
        2 => (0_usize..6, 0_usize..6).prop_map(|(a, b)| Act::Race(a, b)),
    ];
    proptest::collection::vec(act, 1..14)
}

/// Invariant 7: no sequence of valid and invalid requests, in order or at once, yields two live refresh
/// tokens in one grant. Of all tokens ever handed out, at the end at most one rotates once the retry
/// window is over, and none does after that.
#[test]
fn no_sequence_of_requests_yields_two_live_refresh_tokens() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (world, instances) = runtime.block_on(async {
        let world = World::new().await;
        let instances = [world.instance().await, world.instance().await];
        (world, instances)
    });
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let result = runner.run(&acts(), |acts| {
        runtime.block_on(async {
            let mut browser = Browser::signed_in(&instances[0], "ada").await;
            live_after(&world, &instances, &mut browser, &acts).await
        })
    });
    result.unwrap();
}

async fn live_after(
    world: &World,
    instances: &[Instance; 2],
    browser: &mut Browser,
    acts: &[Act],
) -> Result<(), TestCaseError> {
    let code = browser.authorize(&Request::default()).await;
    let mut handed_out = vec![Tokens::of(&token_request(&instances[0], &code, &[]).await).refresh];
    for act in acts {
        let pick = |n: &usize| handed_out[n % handed_out.len()].clone();
        let mut got = Vec::new();
        match act {
            Act::Refresh(n) => got.extend(refresh(&instances[n % 2], &pick(n), CLIENT_ID).await),
            Act::RefreshAsOther(n) => {
                prop_assert_eq!(refresh(&instances[0], &pick(n), LOOPBACK_CLIENT_ID).await, None);
            }
            Act::RefreshBent(n) => {
                let mut bent = pick(n);
                let replacement = if bent.ends_with('A') { "Q" } else { "A" };
                bent.replace_range(60..61, replacement);
                if bent != pick(n) {
                    prop_assert_eq!(refresh(&instances[0], &bent, CLIENT_ID).await, None);
                }
            }
            Act::RedeemAgain => {
                prop_assert_eq!(token_request(&instances[1], &code, &[]).await.error(), "invalid_grant");
            }
            Act::RedeemWrongly => {
                let wrong = [("code_verifier", "x".repeat(43))];
                let wrong = wrong.each_ref().map(|(name, value)| (*name, value.as_str()));
                prop_assert_eq!(token_request(&instances[1], &code, &wrong).await.error(), "invalid_grant");
            }
            Act::Wait(seconds) => world.clock.advance(Duration::from_secs(*seconds)),
            Act::Race(a, b) => {
                let (a, b) = (pick(a), pick(b));
                let (a, b) = tokio::join!(
                    refresh(&instances[0], &a, CLIENT_ID),
                    refresh(&instances[1], &b, CLIENT_ID)
                );
                got.extend(a.into_iter().chain(b));
            }
        }
        for token in got {
            if !handed_out.contains(&token) {
                handed_out.push(token);
            }
        }
    }
    // The newest one goes first: an older one would be a replay, which ends the grant.
    world.clock.advance(Duration::from_secs(31));
    let mut live = 0;
    for token in handed_out.iter().rev() {
        live += usize::from(refresh(&instances[0], token, CLIENT_ID).await.is_some());
        world.clock.advance(Duration::from_secs(31));
    }
    prop_assert!(live <= 1, "{} live of {}", live, handed_out.len());
    Ok(())
}
