//! The invariants of the README beside this folder that the model can hold, each by its number, and examples that show
//! that the model is not empty of what they speak about.

use std::{fmt, ops::BitOr};

use latchkey_token::{
    audit::Reason,
    session::{Decision, Session, Write},
};
use stateright::Property;

use super::{
    Protocol, Who,
    state::{self, Answer, Invocation, Kind, Record, Request, Revoked, Secret, State},
};

/// Invariants by their numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Broken(u32);

/// The renewal window has no number in the list.
const WINDOW: u8 = 0;

impl Broken {
    const NONE: Self = Self(0);

    const fn invariant(number: u8) -> Self {
        Self(1 << number)
    }

    pub fn note(&mut self, other: Self) {
        self.0 |= other.0;
    }

    const fn has(self, number: u8) -> bool {
        self.0 & (1 << number) != 0
    }
}

impl BitOr for Broken {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((0..32).filter(|number| self.has(*number))).finish()
    }
}

pub fn unless(holds: bool, number: u8) -> Broken {
    if holds { Broken::NONE } else { Broken::invariant(number) }
}

/// Judges a write that has been made.
pub fn of_a_renewal(protocol: &Protocol, before: &Record, request: &Request, renewed: &Session) -> Broken {
    let of_the_model = state::session();
    let unchanged = |session: &Session| {
        (session.key, session.subject.clone(), session.client_id.clone(), session.issuer_id.clone(), session.issued_at)
            == (
                of_the_model.key,
                of_the_model.subject.clone(),
                of_the_model.client_id.clone(),
                of_the_model.issuer_id.clone(),
                of_the_model.issued_at,
            )
            && session.scope == of_the_model.scope
            && session.audience == of_the_model.audience
            && session.claims == of_the_model.claims
            && session.access_token_seconds == of_the_model.access_token_seconds
            && session.authentication == of_the_model.authentication
    };
    let absolute = state::moment(protocol.absolute);
    let opens_at = before.access_expires_at - protocol.window;
    let seals_the_written = renewed.predecessor.as_ref().is_some_and(|predecessor| {
        let after = Record::of(renewed, request.really);
        after.predecessor == Some(request.secret)
            && predecessor.sealed_successor == state::seal(after.generation, after.current)
    });
    unless(renewed.generation.number() == u32::from(before.generation) + 1, 1)
        | unless(request.generation == before.generation && request.secret == Secret::Written, 2)
        | unless(seals_the_written, 3)
        | unless(request.secret != Secret::Forged, 8)
        | unless(!request.is_of_another_client, 9)
        | unless(before.revoked.is_none(), 11)
        | unless(request.now < before.ends_at(protocol), 12)
        | unless(renewed.absolute_expires_at == absolute && renewed.access_expires_at <= absolute, 13)
        | unless(unchanged(renewed), 14)
        | unless(request.kind == protocol.kind_of(before.generation), 24)
        | unless(!request.kind.is_misfit(), 25)
        | unless(request.kind == Kind::RefreshToken || before.generation == 0, 25)
        | unless(renewed.sign_in == state::sign_in(protocol, before.generation + 1), 26)
        | unless(!request.kind.is_misfit(), 28)
        | unless(protocol.window == 0 || request.now >= opens_at || request.kind == Kind::Code, WINDOW)
}

/// What a function has made of a write that was refused, or of a read.
pub struct Conclusion<'a> {
    pub request: &'a Request,
    /// None after a read.
    pub candidate: Option<Secret>,
    pub decision: &'a Decision,
}

pub fn of_a_conclusion(protocol: &Protocol, record: Option<&Record>, conclusion: &Conclusion<'_>) -> Broken {
    let Conclusion { request, candidate, decision } = *conclusion;
    let is_refused = matches!(decision, Decision::Refused(_));
    let is_reuse = matches!(decision, Decision::Reused(_));
    let Some(record) = record else { return unless(is_refused, 12) };
    if request.is_of_another_client {
        return unless(is_refused, 9);
    }
    if record.revoked.is_some() {
        return unless(is_refused, 10);
    }
    if request.now >= record.ends_at(protocol) {
        return unless(is_refused, 12);
    }
    // The generation has fallen, which has been noted when it did.
    let Some(behind) = record.generation.checked_sub(request.generation) else { return Broken::NONE };
    if request.kind.is_misfit() {
        return unless(!decision.gives_tokens(), 25) | unless(is_refused, 28);
    }
    if request.kind != protocol.kind_of(request.generation) {
        return unless(is_refused, 24);
    }
    if request.secret == Secret::Forged {
        // Against an older generation it passes for the secret of that time: whoever has the tag key can end sessions.
        return unless(if behind == 0 { is_refused } else { is_reuse }, 8);
    }
    let is_own_write = candidate == Some(Secret::Written);
    let is_said_to_be_own = *decision == Decision::Renewed(Write::Done);
    let no_others = unless(is_own_write || !is_said_to_be_own, 3);
    no_others
        | match behind {
            0 => match decision {
                Decision::TooEarly { .. } => {
                    let is_closed = request.now < record.access_expires_at - protocol.window;
                    unless(is_closed && request.kind == Kind::RefreshToken, WINDOW)
                }
                Decision::Renewed(Write::Due) => unless(candidate.is_none(), 16),
                _ => Broken::invariant(16),
            },
            1 | 2 if is_own_write => unless(is_said_to_be_own, 18),
            _ if request.kind == Kind::Code => unless(!decision.gives_tokens(), 25) | unless(is_reuse, 26),
            1 => of_a_predecessor(protocol, record, request, decision),
            2 => unless(is_reuse, 5) | unless(is_reuse, 6),
            _ => unless(is_reuse, 6),
        }
}

fn of_a_predecessor(protocol: &Protocol, record: &Record, request: &Request, decision: &Decision) -> Broken {
    let is_retry = *decision == Decision::Retried;
    let is_reuse = matches!(decision, Decision::Reused(_));
    let elapsed = (request.really - record.rotated_really).max(0);
    if protocol.retry == 0 {
        unless(is_reuse, 18)
    } else if elapsed <= protocol.retry - protocol.skew {
        unless(!is_reuse, 17) | unless(is_retry, 3)
    } else if elapsed > protocol.retry + protocol.skew {
        unless(!is_retry, 2) | unless(is_reuse, 7)
    } else {
        unless(is_retry || is_reuse, 7)
    }
}

/// Of all secrets of all generations, those that would give tokens now are the current one and its predecessor within
/// the retry time, and each as what it was given out: a code is no refresh token, fits what it is bound to, and is not
/// retried. Asked when nothing is under way: every record is reached in such a state as well.
fn redeemable(protocol: &Protocol, state: &State) -> bool {
    let Some(record) = state.record.as_ref().filter(|_| state.is_quiet()) else { return true };
    (0..=record.generation + 1).all(|generation| {
        let secrets = (0..=state::LATE_SLOT).map(Secret::Candidate).chain([Secret::Written, Secret::Forged]);
        let kinds = if protocol.begins_with_code && generation == 0 { &Kind::ALL[..] } else { &Kind::ALL[..1] };
        secrets.into_iter().flat_map(|secret| kinds.iter().map(move |kind| (secret, *kind))).all(|(secret, kind)| {
            let is_of_another_client = false;
            let request =
                Request { generation, secret, kind, is_of_another_client, now: state.time, really: state.time };
            let is_as_given_out = secret == Secret::Written && kind == protocol.kind_of(generation);
            match protocol.decided(state, &request, None) {
                Decision::Renewed(_) => is_as_given_out && generation == record.generation,
                Decision::Retried => {
                    is_as_given_out
                        && kind == Kind::RefreshToken
                        && generation + 1 == record.generation
                        && state.time - record.rotated_at <= protocol.retry
                }
                Decision::Reused(_) | Decision::TooEarly { .. } | Decision::Refused(_) | Decision::Undecided => true,
            }
        })
    })
}

/// Whoever uses the code again ends the session, however far it has gone on.
fn ends_at_a_second_use(protocol: &Protocol, state: &State) -> bool {
    let Some(record) = state.record.as_ref().filter(|record| state.is_quiet() && record.generation > 0) else {
        return true;
    };
    let is_over = record.revoked.is_some() || state.time >= record.ends_at(protocol) || state.is_past_epoch;
    let (now, really) = (state.time, state.time);
    let code =
        Request { generation: 0, secret: Secret::Written, kind: Kind::Code, is_of_another_client: false, now, really };
    is_over || matches!(protocol.decided(state, &code, None), Decision::Reused(_))
}

/// Whoever has refresh tokens has them from the code's one exchange, or is about to.
fn one_at_most_has_exchanged(_: &Protocol, state: &State) -> bool {
    let has = |client: &&state::Client| {
        client.holds > 0 || matches!(client.invocation, Invocation::Answering(_, successor) if successor > 0)
    };
    state.clients.iter().filter(has).count() <= 1
}

/// What the client holds would give tokens now, whatever has been lost on the way to it.
fn is_not_stranded(protocol: &Protocol, state: &State, holds: u8) -> bool {
    let Some(record) = state.record.as_ref().filter(|_| state.is_quiet()) else { return true };
    if record.revoked.is_some() || state.time >= record.ends_at(protocol) {
        return true;
    }
    // The one exception: an exchange that was made and that nobody has heard of.
    if protocol.begins_with_code && holds == 0 && record.generation > 0 {
        return true;
    }
    let request = Request {
        generation: holds,
        secret: Secret::Written,
        kind: protocol.kind_of(holds),
        is_of_another_client: false,
        now: state.time,
        really: state.time,
    };
    match protocol.decided(state, &request, None) {
        Decision::Renewed(Write::Due) | Decision::TooEarly { .. } => holds == record.generation,
        Decision::Retried => holds + 1 == record.generation,
        _ => false,
    }
}

macro_rules! unbroken {
    ($($number:literal $name:literal,)*) => {
        vec![$(Property::always(concat!($number, ": ", $name), |_: &Protocol, state: &State| !state.broken.has($number)),)*]
    };
}

pub fn properties(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let mut properties = unbroken![
        0 "nothing is renewed before the window opens, nor refused after",
        1 "the generation rises by one with every renewal",
        2 "only the current token is renewed, only its predecessor retried, within the retry time",
        3 "all answers to one token carry the same successor",
        5 "once its successor has been used, a token is reuse",
        6 "two generations back or more ends the session",
        7 "a predecessor after the retry time ends the session, whatever the access token",
        8 "a forged secret never renews, and changes nothing in its own generation",
        9 "another client's token changes nothing",
        10 "revoked is final",
        11 "nothing is renewed after a revocation",
        12 "nothing succeeds after the idle or the absolute expiry, with the record or without",
        13 "the absolute expiry does not move, and no access token passes it",
        24 "no code, no tokens: a code is good for nothing as a refresh token",
        25 "a code yields tokens once, with its redirect URI and its verifier",
        26 "a code used twice ends the session, whoever was first",
        28 "a code with another redirect URI or verifier writes nothing, used or not",
        31 "once an epoch is in force nothing older renews, whatever raced",
        14 "scope, subject, client, audience and claims stay as they were",
        16 "a current token is never refused",
        17 "no false reuse within the retry time less the clocks' difference",
        18 "without a retry time a token is used once, and the function knows its own write",
    ];
    properties.push(Property::always("2: of all secrets, two at most give tokens", redeemable));
    if protocol.begins_with_code {
        properties
            .push(Property::always("25: of all who have the code, one at most has tokens", one_at_most_has_exchanged));
        properties
            .push(Property::always("26: a code that was used is good for the session's end", ends_at_a_second_use));
    }
    if protocol.is_alone_with_time_to_retry() {
        // The one exception: the exchange of a code whose answer was lost, made again.
        properties.push(Property::always("15: no trouble ends a session", |protocol: &Protocol, state: &State| {
            let has_code_alone = protocol.begins_with_code && state.clients.iter().all(|client| client.holds == 0);
            state.record.as_ref().is_none_or(|record| record.revoked != Some(Revoked::Reuse) || has_code_alone)
        }));
        properties.push(Property::always(
            "16: whatever is lost, the client can go on",
            |protocol: &Protocol, state: &State| {
                is_not_stranded(protocol, state, state.clients.iter().map(|client| client.holds).max().unwrap())
            },
        ));
    }
    properties.extend(examples(protocol));
    properties
}

fn examples(protocol: &Protocol) -> Vec<Property<Protocol>> {
    fn any_client(state: &State, is_so: impl Fn(Invocation) -> bool) -> bool {
        state.clients.iter().any(|client| is_so(client.invocation))
    }
    fn ends_by(state: &State, reused: Reason) -> bool {
        any_client(state, |invocation| invocation == Invocation::Ending(reused))
            || state.invocation(Who::Thief) == Invocation::Ending(reused)
    }
    let mut examples = vec![
        Property::sometimes("a client renews", |_: &Protocol, state: &State| {
            any_client(state, |invocation| matches!(invocation, Invocation::Answering(Answer::Renewed, _)))
        }),
        Property::sometimes("a function meets its own write", |_: &Protocol, state: &State| {
            any_client(state, |invocation| matches!(invocation, Invocation::Answering(Answer::OwnWrite, _)))
        }),
        Property::sometimes("a renewal is under way when the session is signed out", |_: &Protocol, state: &State| {
            state.record.as_ref().is_some_and(|record| record.revoked == Some(Revoked::SignOut))
                && any_client(state, |invocation| matches!(invocation, Invocation::Writing(..)))
        }),
        Property::sometimes("a renewed session runs out unused", |protocol: &Protocol, state: &State| {
            state.record.as_ref().is_some_and(|record| {
                record.generation > 0 && record.revoked.is_none() && state.time >= record.ends_at(protocol)
            })
        }),
        Property::sometimes("a record is deleted", |_: &Protocol, state: &State| state.record.is_none()),
    ];
    if protocol.retry > 0 {
        examples.push(Property::sometimes("a client retries", |_: &Protocol, state: &State| {
            any_client(state, |invocation| matches!(invocation, Invocation::Answering(Answer::Retried, _)))
        }));
    }
    if protocol.clients > 1 || protocol.has_thief {
        examples.extend([
            Property::sometimes("a predecessor comes too late", |_: &Protocol, state: &State| {
                ends_by(state, Reason::PredecessorAfterRetryTime)
            }),
            Property::sometimes("a token comes after its successor was used", |_: &Protocol, state: &State| {
                ends_by(state, Reason::PredecessorAfterSuccessorUsed)
            }),
            Property::sometimes("theft ends a session", |_: &Protocol, state: &State| {
                state.record.as_ref().is_some_and(|record| record.revoked == Some(Revoked::Reuse))
            }),
        ]);
        if protocol.generations > 2 {
            examples.push(Property::sometimes("a still older token comes", |_: &Protocol, state: &State| {
                ends_by(state, Reason::OlderGeneration)
            }));
        }
    }
    if protocol.has_epoch {
        examples.push(Property::sometimes(
            "an epoch comes into force while a renewal is under way",
            |_, state: &State| {
                state.is_past_epoch && any_client(state, |invocation| matches!(invocation, Invocation::Writing(..)))
            },
        ));
    }
    if protocol.clients > 1 && protocol.retry > 0 && !protocol.begins_with_code {
        examples.push(Property::sometimes("two answers to one token are under way", |_: &Protocol, state: &State| {
            let [one, other] = state.clients.map(|client| client.invocation);
            matches!((one, other), (Invocation::Answering(_, a), Invocation::Answering(_, b)) if a == b)
        }));
    }
    if protocol.has_thief {
        examples.push(Property::sometimes("thief and victim are both caught", |_: &Protocol, state: &State| {
            matches!(state.invocation(Who::Thief), Invocation::Ending(_))
                && any_client(state, |invocation| matches!(invocation, Invocation::Ending(_)))
        }));
    }
    if protocol.begins_with_code {
        examples.extend(examples_of_codes(protocol));
    }
    if protocol.has_late_writes {
        examples.push(Property::sometimes(
            "a client renews again while its first write is on the way",
            |_: &Protocol, state: &State| {
                state.late_write.is_some()
                    && any_client(state, |invocation| matches!(invocation, Invocation::Answering(Answer::Renewed, _)))
            },
        ));
    }
    examples
}

fn examples_of_codes(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let mut examples = vec![
        Property::sometimes("a code dies unused", |protocol: &Protocol, state: &State| {
            state.record.as_ref().is_some_and(|record| {
                record.generation == 0 && record.revoked.is_none() && state.time >= record.ends_at(protocol)
            })
        }),
        Property::sometimes(
            "a code whose first use nobody has heard of is used again",
            |_: &Protocol, state: &State| {
                let is_ended = state.record.as_ref().is_some_and(|record| record.revoked == Some(Revoked::Reuse));
                is_ended && state.clients.iter().all(|client| client.holds == 0)
            },
        ),
        Property::sometimes(
            "an exchange is under way when the session is signed out",
            |_: &Protocol, state: &State| {
                let is_exchange = |invocation| {
                    matches!(invocation, Invocation::Writing(Request { kind: Kind::Code, .. }, Secret::Candidate(_)))
                };
                state
                    .record
                    .as_ref()
                    .is_some_and(|record| record.revoked == Some(Revoked::SignOut) && record.generation == 0)
                    && state.clients.iter().any(|client| is_exchange(client.invocation))
            },
        ),
    ];
    if protocol.has_thief {
        examples.push(Property::sometimes("a thief uses a code after its client", |_: &Protocol, state: &State| {
            matches!(state.thief, Invocation::Ending(_)) && state.clients.iter().any(|client| client.holds > 0)
        }));
        examples.push(Property::sometimes(
            "a thief has the code and not its verifier, and the client goes on",
            |_: &Protocol, state: &State| {
                let has_tried = matches!(state.thief, Invocation::Writing(request, _) if request.kind.is_misfit());
                has_tried && state.clients.iter().any(|client| client.holds > 0)
            },
        ));
    }
    if protocol.clients > 1 {
        examples.push(Property::sometimes("two exchanges of one code are under way", |_: &Protocol, state: &State| {
            state.clients.iter().all(|client| matches!(client.invocation, Invocation::Writing(..)) && client.holds == 0)
        }));
    }
    examples
}
