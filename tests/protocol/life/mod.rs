//! Whole lives of sessions: the use cases, on a store that loses answers, beside a small reference model that knows
//! what each step must come to. Clients and thieves present any token that there has been, with any access token, as
//! whom they like; the clock jumps, keys rotate, settings change, epochs end what is older. Sessions are issued, or begin
//! with a sign-in: tickets, answers and codes go through two browsers, and whoever sees one may try it.

mod reference;
mod system;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::{
    failure::{Failure, Refusal},
    grants::TokenSet,
    json,
    management::SignedOut,
    values::Timestamp,
};
use proptest::test_runner::{Config, RngSeed};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use reference::{Brought, Companion, Expected, Life, Step, Token, World};
use system::{ISSUER, NONCE, Place, System};

use crate::setting;

struct Lives;

/// How many steps came to which event, in all lives.
fn seen() -> MutexGuard<'static, BTreeMap<&'static str, usize>> {
    static SEEN: Mutex<BTreeMap<&'static str, usize>> = Mutex::new(BTreeMap::new());
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StateMachineTest for Lives {
    type SystemUnderTest = System;
    type Reference = World;

    fn init_test(world: &World) -> System {
        System::new(world)
    }

    fn apply(mut system: System, world: &World, step: Step) -> System {
        if let Step::Renew { session, .. } | Step::Introspect { session, .. } = step
            && world.is_past_epoch(session)
        {
            *seen().entry("older than an epoch").or_default() += 1;
        }
        if let Some(remark) = world.remark(&step) {
            *seen().entry(remark).or_default() += 1;
        }
        match step {
            Step::Issue { issuer, client, subject, expires_in } => {
                let answer = system.issue(issuer, client, subject, expires_in);
                if let Ok(tokens) = &answer {
                    system.keys.push(tokens.session);
                }
                check_tokens(&mut system, world, answer);
            }
            Step::Renew { session, generation, by, companion, fault } => {
                system.store().fail(fault);
                let access_token = match companion {
                    Companion::Own => Some(&system.access_tokens[&(session, generation)]),
                    Companion::None => None,
                    Companion::Of(other) => {
                        system.access_tokens.range((other, 0)..(other + 1, 0)).next_back().map(|(_, token)| token)
                    }
                };
                let answer = system.renew(by, &system.refresh_tokens[&(session, generation)], access_token);
                system.store().fail(reference::Fault::None);
                check_tokens(&mut system, world, answer);
            }
            Step::Forge { session, generation, bit } => {
                let token = (session, generation);
                let mut bytes = URL_SAFE_NO_PAD.decode(&system.refresh_tokens[&token][4..]).unwrap();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let forged = format!("lk1_{}", URL_SAFE_NO_PAD.encode(bytes));
                let client = world.sessions[session].client;
                let answer = system.renew(client, &forged, Some(&system.access_tokens[&token]));
                check_tokens(&mut system, world, answer);
            }
            Step::Begin { client, browser, is_registered } => {
                let place = system.begin(client, browser, is_registered);
                assert_eq!(matches!(place, Place::Portal(_)), world.expected == Expected::AtPortal);
                assert_eq!(place == Place::Page, world.expected == Expected::Page);
                if let Place::Portal(ticket) = place {
                    system.tickets.push(ticket);
                }
            }
            Step::Accept { sign_in, by, subject, fault } => {
                system.store().fail(fault);
                let answer = system.accept(by, &system.tickets[sign_in], subject);
                system.store().fail(reference::Fault::None);
                if world.sessions.len() > system.keys.len() {
                    system.learn_of_a_new_session(world.sign_ins[sign_in].client, subject);
                }
                check_answer(&mut system, world, answer);
            }
            Step::Reject { sign_in, by } => {
                let answer = system.reject(by, &system.tickets[sign_in]);
                check_answer(&mut system, world, answer);
            }
            Step::Return { answer, browser } => {
                let place = system.give_back(world.client_of(answer), &system.answers[answer], browser);
                let Expected::AtClient { session } = world.expected else {
                    // Invariant 27: nothing of the answer leaves in another browser.
                    assert_eq!((place, &world.expected), (Place::Page, &Expected::Page));
                    return checked(system, world);
                };
                let Place::Client(code) = place else { panic!("{place:?}") };
                assert_eq!(code.is_some(), session.is_some());
                if let Some((session, code)) = session.zip(code) {
                    let known = system.codes.entry(session).or_insert_with(|| code.clone());
                    assert_eq!(*known, code, "the same answer, the same code");
                }
            }
            Step::Exchange { session, by, brought, fault } => {
                system.store().fail(fault);
                let of = world.sessions[session].client;
                let answer = system.exchange(by, of, &system.codes[&session], brought);
                system.store().fail(reference::Fault::None);
                check_tokens(&mut system, world, answer);
            }
            Step::ForgeCode { session, bit } => {
                let mut bytes = URL_SAFE_NO_PAD.decode(&system.codes[&session][5..]).unwrap();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let forged = format!("lkc1_{}", URL_SAFE_NO_PAD.encode(bytes));
                let of = world.sessions[session].client;
                let answer = system.exchange(of, of, &forged, Brought::Everything);
                check_tokens(&mut system, world, answer);
            }
            Step::SignOut { session, generation } => {
                assert_eq!(system.sign_out(&system.id_tokens[&(session, generation)]), SignedOut::Ended);
                assert_eq!(world.expected, Expected::SignedOut);
            }
            Step::Revoke { session, generation, by, token } => {
                assert!(system.revoke(by, token_text(&system, session, generation, token)).is_ok());
                assert_eq!(world.expected, Expected::Revoked);
            }
            Step::Introspect { session, generation, by, token } => {
                let said = match system.introspect(by, token_text(&system, session, generation, token)) {
                    Ok(said) => Expected::Active(said["active"] == true),
                    Err(failure) => refused(&failure),
                };
                assert_eq!(said, world.expected);
                assert!(said != Expected::Active(true) || !world.is_past_epoch(session), "invariant 31");
            }
            Step::EndOne { session } => {
                let ended = system.end_one(&system.keys[session]).unwrap();
                assert_eq!(Expected::Ended(ended), world.expected);
            }
            Step::EndAll { subject } => {
                assert_eq!(Expected::Ended(system.end_all(subject).unwrap()), world.expected);
            }
            Step::List { subject } => {
                let listed = system.list(subject).unwrap().sessions;
                let number = |key| system.keys.iter().position(|known| *known == key).unwrap();
                let mut sessions: Vec<usize> = listed.iter().map(|(session, _)| number(session.key)).collect();
                assert!(!sessions.iter().any(|session| world.is_past_epoch(*session)), "invariant 31");
                sessions.sort_unstable();
                assert_eq!(Expected::Listed(sessions), world.expected);
            }
            Step::Clock(_) => system.clock().set(Timestamp::from_unix_millis(world.now)),
            Step::RotateKeys => system.rotate_keys(world),
            Step::Restart => system = system.restarted(world),
            Step::Settings(_) | Step::Epoch { .. } => system.set(world),
        }
        checked(system, world)
    }

    fn check_invariants(system: &System, world: &World) {
        // Invariants 4, 8 and 9 in one: nothing writes but what must.
        assert_eq!(system.store().writes(), world.writes);
        for (session, life) in world.sessions.iter().enumerate() {
            let record = system.record(session);
            let Life { generation, rotated_at, access_expires_at, idle_expires_at, absolute_expires_at, .. } = *life;
            let times = [
                (record.rotated_at, rotated_at),
                (record.access_expires_at, access_expires_at),
                (record.idle_expires_at, idle_expires_at),
                (record.absolute_expires_at, absolute_expires_at),
            ];
            for (recorded, expected) in times {
                assert_eq!(recorded.unix_millis(), expected);
            }
            assert_eq!(record.generation.number(), generation);
            assert_eq!(record.revocation.is_some(), life.is_ended);
            assert_eq!(record.subject.as_str(), life.subject);
            assert_eq!(record.client_id.as_str(), life.client.id());
            assert_eq!(record.issuer_id.as_str(), life.issuer.id());
            assert_eq!(record.scope.to_string(), scope_of(life));
            // The nonce stays until the renewal after the exchange, what the code is bound to stays for ever.
            let nonce = record.sign_in.as_ref().map(|sign_in| sign_in.nonce.as_deref());
            assert_eq!(nonce, life.begins_with_code.then(|| (generation <= 1).then_some(NONCE)));
        }
    }
}

fn scope_of(life: &Life) -> &'static str {
    match life.client {
        reference::Client::Desk => "openid profile email",
        reference::Client::Spa => "openid profile",
    }
}

/// Invariant 23: what happens leaves its event.
fn checked(system: System, world: &World) -> System {
    assert_eq!(system.events().first().copied(), world.event);
    *seen().entry(world.event.unwrap_or("no event")).or_default() += 1;
    system
}

/// What the portal is answered.
fn check_answer(system: &mut System, world: &World, answer: Result<String, Failure>) {
    match answer {
        Ok(answer) => {
            assert_eq!(world.expected, Expected::Answered);
            system.answers.push(answer);
        }
        Err(failure) => assert_eq!(refused(&failure), world.expected),
    }
}

fn token_text(system: &System, session: usize, generation: u32, token: Token) -> &str {
    match token {
        Token::Refresh => &system.refresh_tokens[&(session, generation)],
        Token::Access => &system.access_tokens[&(session, generation)],
    }
}

fn refused(failure: &Failure) -> Expected {
    match failure {
        Failure::Refused(Refusal::InvalidGrant) => Expected::InvalidGrant,
        Failure::Refused(Refusal::InvalidRequest(_)) => Expected::InvalidRequest,
        Failure::Refused(Refusal::WindowClosed { .. }) => Expected::WindowClosed,
        Failure::Refused(Refusal::InvalidClient) => Expected::InvalidClient,
        Failure::Refused(Refusal::UnauthorizedClient) => Expected::UnauthorizedClient,
        Failure::Unavailable(_) | Failure::Unrepeatable(_) => Expected::Unavailable,
        Failure::Refused(other) => panic!("{other:?}"),
    }
}

/// An answer is the one that must be given, and its tokens say what they must.
fn check_tokens(system: &mut System, world: &World, answer: Result<TokenSet, Failure>) {
    let tokens = match answer {
        Ok(tokens) => tokens,
        Err(failure) => return assert_eq!(refused(&failure), world.expected),
    };
    let Expected::Tokens { session, generation, iat, exp } = world.expected else {
        panic!("tokens instead of {:?}", world.expected)
    };
    assert!(!world.is_past_epoch(session), "invariant 31");
    let life = &world.sessions[session];
    let now = world.now.div_euclid(1000);
    assert_eq!(tokens.session, system.keys[session]);
    assert_eq!(tokens.expires_in, exp - now);
    assert_eq!(tokens.refresh_token_expires_in, (life.ends_at() - world.now).div_euclid(1000));
    let payload = tokens.access_token.split('.').nth(1).unwrap();
    let claims = json::parse_object(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], life.subject);
    assert_eq!(claims["client_id"], life.client.id());
    assert_eq!(claims["sid"], tokens.session.to_string());
    assert_eq!(claims["scope"], scope_of(life));
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(iat), Some(exp)));
    let id_token = tokens.id_token.unwrap();
    let payload = id_token.split('.').nth(1).unwrap();
    let said = json::parse_object(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!((&said["sub"], &said["sid"], &said["exp"]), (&claims["sub"], &claims["sid"], &claims["exp"]));
    let is_exchange = life.begins_with_code && world.event == Some("token_issued");
    assert_eq!(said.get("nonce").and_then(|nonce| nonce.as_str()), is_exchange.then_some(NONCE));
    system.id_tokens.insert((session, generation), id_token);
    // Invariant 3: the very same successor, whoever asks and however often.
    let token = (session, generation);
    let known = system.refresh_tokens.entry(token).or_insert_with(|| tokens.refresh_token.clone());
    assert_eq!(*known, tokens.refresh_token);
    system.access_tokens.insert(token, tokens.access_token);
}

#[test]
fn sessions_live_as_the_reference_says() {
    let config = Config {
        cases: setting("LATCHKEY_LIVES", 400),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(setting("LATCHKEY_SEED", 1)),
        ..Config::default()
    };
    proptest::proptest!(config.clone(), |((world, steps, seen) in World::sequential_strategy(1..80))| {
        Lives::test_sequential(config.clone(), world, steps, seen);
    });
    let seen = seen();
    println!("{} lives of {} steps: {seen:?}", config.cases, seen.values().sum::<usize>());
    for event in [
        "token_issued",
        "token_renewed",
        "token_retried",
        "renewal_rejected",
        "token_expired",
        "reuse_detected",
        "session_revoked",
        "access_denied",
        "client_rejected",
        "sign_in_started",
        "sign_in_accepted",
        "sign_in_rejected",
        "exchanged",
        "a code used twice",
        "a code that died unused",
        "an exchange that nobody has heard of, made again",
        "a code that does not fit",
        "an answer in another browser",
        "two codes of one ticket",
        "older than an epoch",
    ] {
        assert!(seen.contains_key(event), "{event} has never happened");
    }
}
