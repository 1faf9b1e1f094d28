//! Everything about one code at once, in many orders of their requests to the table.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use latchkey_token::{
    audit::EventKind,
    management::{CallerIdentification, Revoke},
};

use super::{CodeRequest, SECRET, World, authenticated, credentials, exchanging};

const SCHEDULES: u64 = 100;

type Task<'a> = Pin<Box<dyn Future<Output = Option<String>> + 'a>>;

/// Lets the tasks take turns in an order that the seed decides.
fn run(mut tasks: Vec<Task<'_>>, seed: u64) -> Vec<Option<String>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut done = vec![None; tasks.len()];
    while done.iter().any(Option::is_none) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let waiting: Vec<usize> = (0..tasks.len()).filter(|task| done[*task].is_none()).collect();
        let task = waiting[usize::try_from(state % waiting.len() as u64).unwrap()];
        if let Poll::Ready(outcome) = tasks[task].as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            done[task] = Some(outcome);
        }
    }
    done.into_iter().flatten().collect()
}

/// A new world with a code, from now on taking turns.
fn world_with_a_code() -> (World, String) {
    let world = World::new();
    let [code] = &run(vec![Box::pin(async { Some(world.code().await) })], 1)[..] else { panic!("one task") };
    let code = code.clone().unwrap();
    world.world.store.take_turns();
    (world, code)
}

/// The refresh token, if there is one.
fn exchange<'a>(world: &'a World, request: CodeRequest) -> Task<'a> {
    Box::pin(async { world.exchange(request).await.ok().map(|tokens| tokens.refresh_token) })
}

fn renew<'a>(world: &'a World, refresh_token: &'a str) -> Task<'a> {
    Box::pin(async { world.renew(authenticated("chat"), refresh_token).await.ok().map(|tokens| tokens.refresh_token) })
}

fn session(world: &World) -> latchkey_token::session::Session {
    let mut session = None;
    run(
        vec![Box::pin(async {
            session = Some(world.session().await);
            None
        })],
        1,
    );
    session.unwrap()
}

fn count(world: &World, kind: EventKind) -> usize {
    world.trail.0.lock().unwrap().iter().filter(|event| event.kind == kind).count()
}

#[test]
fn of_sixteen_exchanges_at_once_one_commits_and_the_others_end_the_session() {
    for seed in 0..SCHEDULES {
        let (world, code) = world_with_a_code();
        let outcomes = run((0..16).map(|_| exchange(&world, exchanging(&code))).collect(), seed);
        let tokens: Vec<&String> = outcomes.iter().flatten().collect();
        assert_eq!(tokens.len(), 1, "seed {seed}");
        let record = session(&world);
        assert_eq!((record.generation.number(), record.revocation.is_some()), (1, true), "seed {seed}");
        assert_eq!(count(&world, EventKind::TokenIssued), 1, "seed {seed}");
        assert!(count(&world, EventKind::ReuseDetected) > 0, "seed {seed}");
        assert_eq!(run(vec![renew(&world, tokens[0])], seed), [None], "seed {seed}: the winner's tokens as well");
    }
}

#[test]
fn thieves_without_the_verifier_do_not_stand_in_the_way() {
    for seed in 0..SCHEDULES {
        let (world, code) = world_with_a_code();
        let thief = |number: usize| match number % 3 {
            0 => CodeRequest { code_verifier: Some("w".repeat(43)), ..exchanging(&code) },
            1 => CodeRequest { redirect_uri: "https://evil.example/".into(), ..exchanging(&code) },
            _ => CodeRequest { client: super::named("desk"), ..exchanging(&code) },
        };
        let mut tasks: Vec<Task<'_>> = (0..15).map(|number| exchange(&world, thief(number))).collect();
        tasks.push(exchange(&world, exchanging(&code)));
        let outcomes = run(tasks, seed);
        assert!(outcomes[..15].iter().all(Option::is_none), "seed {seed}");
        let refresh_token = outcomes[15].as_ref().unwrap_or_else(|| panic!("seed {seed}"));
        assert!(run(vec![renew(&world, refresh_token)], seed)[0].is_some(), "seed {seed}");
        assert_eq!(world.writes(), 3, "seed {seed}");
    }
}

#[test]
fn an_exchange_that_races_the_sessions_end_gives_tokens_before_it_or_none() {
    let (mut before, mut none) = (0, 0);
    for seed in 0..SCHEDULES {
        let (world, code) = world_with_a_code();
        let key = session(&world).key;
        let portal = CallerIdentification::Issuer(credentials("portal", SECRET));
        let end: Task<'_> = Box::pin(async {
            world.world.sessions(&world.trail).end_one(&portal, &key).await.unwrap();
            None
        });
        let outcomes = run(vec![exchange(&world, exchanging(&code)), end], seed);
        let record = session(&world);
        assert!(record.revocation.is_some(), "seed {seed}");
        assert_eq!(record.generation.number(), u32::from(outcomes[0].is_some()), "seed {seed}");
        match &outcomes[0] {
            Some(refresh_token) => {
                before += 1;
                assert_eq!(run(vec![renew(&world, refresh_token)], seed), [None], "seed {seed}");
            }
            None => none += 1,
        }
    }
    assert!(before > 0 && none > 0, "both orders were tried: {before} and {none}");
}

#[test]
fn a_second_exchange_that_races_a_renewal_ends_the_session_whoever_is_first() {
    let (mut renewed, mut refused) = (0, 0);
    for seed in 0..SCHEDULES {
        let (world, code) = world_with_a_code();
        let first = run(vec![exchange(&world, exchanging(&code))], seed)[0].clone().unwrap();
        let outcomes = run(vec![renew(&world, &first), exchange(&world, exchanging(&code))], seed);
        assert!(outcomes[1].is_none(), "seed {seed}");
        assert!(session(&world).revocation.is_some(), "seed {seed}");
        match &outcomes[0] {
            Some(refresh_token) => {
                renewed += 1;
                assert_eq!(run(vec![renew(&world, refresh_token)], seed), [None], "seed {seed}");
            }
            None => refused += 1,
        }
    }
    assert!(renewed > 0 && refused > 0, "both orders were tried: {renewed} and {refused}");
}

#[test]
fn a_revocation_that_races_a_second_exchange_is_as_final() {
    for seed in 0..SCHEDULES {
        let (world, code) = world_with_a_code();
        let first = run(vec![exchange(&world, exchanging(&code))], seed)[0].clone().unwrap();
        let client = CallerIdentification::Client(credentials("chat", SECRET));
        let revocation: Revoke<'_, _, _> = world.world.revoke(&world.trail);
        let revoke: Task<'_> = Box::pin(async {
            revocation.run(&client, &first).await.unwrap();
            None
        });
        let outcomes = run(vec![revoke, exchange(&world, exchanging(&code))], seed);
        assert_eq!(outcomes, [None, None], "seed {seed}");
        let record = session(&world);
        assert!(record.revocation.is_some() && world.writes() == 3, "seed {seed}: it is ended once");
    }
}
