//! The renewal protocol as a model whose every state is visited: clients, a thief with any token that there has ever
//! been, writes that are lost, seen twice or late, lost answers, crashes between any two steps, sign-out, and time. The
//! session's first token is a refresh token, or a code.
//!
//! What a token is worth is asked of the product's own [`decide`], and what a renewal leaves behind of its own
//! [`Session::renewed`]; the other steps of a request are modelled. Whether what comes of it is right, [`invariants`]
//! judges in words of its own.
//!
//! Time goes in ticks. Of each generation one secret is ever written, which the judge makes sure of; so a state holds
//! tokens by their generation.

mod invariants;
mod sabotage;
mod state;

use std::{collections::BTreeSet, ops::RangeInclusive, time::Instant};

use latchkey_token::{
    registrations::Epochs,
    session::{Decision, Presented, Renewal, RenewalRules, Session, Write, decide},
    values::Timestamp,
};
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::setting;
use invariants::Conclusion;
use state::{Answer, Invocation, Kind, Record, Request, Revoked, Secret, State};

/// Life of an access token, in ticks.
const ACCESS: i8 = 2;
/// A session unused this long ends.
const IDLE: i8 = 3;
/// A code unused this long is dead.
const CODE: i8 = 1;

/// The functions under test: the product's, or some that are wrong on purpose.
#[derive(Clone, Copy)]
struct Product {
    decide: fn(Option<&Session>, &Presented, Timestamp, &RenewalRules) -> Decision,
    renewed: fn(&Session, &Renewal) -> Session,
}

const PRODUCT: Product = Product { decide, renewed: Session::renewed };

/// Who takes part, and under which settings. Times are ticks.
#[derive(Clone)]
struct Protocol {
    product: Product,
    /// Whether the session's first token is a code.
    begins_with_code: bool,
    /// They share one session, and each learns of a successor only by an answer of its own.
    clients: usize,
    has_thief: bool,
    /// Whether a write may arrive after the function that made it has given up.
    has_late_writes: bool,
    /// Whether an operator sets an epoch that ends the session.
    has_epoch: bool,
    retry: i8,
    window: i8,
    /// The most that the clocks of two functions differ by.
    skew: i8,
    absolute: i8,
    /// Nobody renews beyond this generation.
    generations: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Client(usize),
    Thief,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    /// By the client or the issuer, at any moment.
    SignOut,
    /// An epoch later than the session is in force: every function has read it.
    Epoch,
    /// The table deletes a record that is over.
    Delete,
    /// A request arrives and reads its clock.
    Start(Who, Request),
    /// The same, with an access token whose times are wrong: it reads where others write.
    StartReading(Who, Request),
    /// The one conditional write, and what its outcome leads to.
    Write(Who),
    /// The write is made; its answer is lost on the way to the function, whose SDK will send it again.
    WriteUnheard(Who),
    Read(Who),
    /// The write that ends a session after reuse.
    End(Who),
    /// The answer reaches the client.
    Deliver(Who),
    /// The function dies, the store is down, or the answer is lost: the client knows nothing.
    Vanish(Who),
    /// The function gives up, and its write is still on the way.
    Leave(Who),
    LateWriteArrives,
    LateWriteIsLost,
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::issued(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.time < self.absolute {
            actions.push(Action::Tick);
        }
        match &state.record {
            Some(record) if record.revoked.is_none() && state.time < self.absolute => actions.push(Action::SignOut),
            Some(_) if state.time >= self.absolute => actions.push(Action::Delete),
            _ => {}
        }
        if self.has_epoch && !state.is_past_epoch {
            actions.push(Action::Epoch);
        }
        for client in 0..self.clients {
            self.moves(state, Who::Client(client), actions);
        }
        if self.has_thief {
            self.moves(state, Who::Thief, actions);
        }
        if state.late_write.is_some() {
            actions.extend([Action::LateWriteArrives, Action::LateWriteIsLost]);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.step(&mut state, action);
        // Clients are alike: which is which does not matter.
        state.clients[..self.clients].sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        invariants::properties(self)
    }
}

impl Protocol {
    fn moves(&self, state: &State, who: Who, actions: &mut Vec<Action>) {
        match state.invocation(who) {
            Invocation::None => self.starts(state, who, actions),
            Invocation::Writing(_, candidate) => {
                actions.extend([Action::Write(who), Action::Vanish(who)]);
                if candidate != Secret::Written {
                    actions.push(Action::WriteUnheard(who));
                    if self.has_late_writes && state.late_write.is_none() {
                        actions.push(Action::Leave(who));
                    }
                }
            }
            Invocation::Reading(_) => actions.extend([Action::Read(who), Action::Vanish(who)]),
            Invocation::Ending(_) => actions.extend([Action::End(who), Action::Vanish(who)]),
            Invocation::Answering(..) => actions.extend([Action::Deliver(who), Action::Vanish(who)]),
        }
    }

    fn starts(&self, state: &State, who: Who, actions: &mut Vec<Action>) {
        let Some(record) = &state.record else { return };
        for generation in self.tokens_of(state, record, who).filter(|generation| *generation < self.generations) {
            for ahead in 0..=self.skew {
                let request = Request {
                    generation,
                    secret: Secret::Written,
                    kind: self.kind_of(generation),
                    is_of_another_client: false,
                    now: state.time + ahead,
                    really: state.time,
                };
                actions.push(Action::Start(who, request));
                // No access token comes along with a code.
                if request.kind == Kind::RefreshToken {
                    actions.push(Action::StartReading(who, request));
                } else if who == Who::Thief {
                    let kinds = Kind::MISFITS.into_iter().chain([Kind::RefreshToken]);
                    actions.extend(kinds.map(|kind| Action::Start(who, Request { kind, ..request })));
                }
                if who == Who::Thief && generation == record.generation {
                    actions.push(Action::Start(who, Request { is_of_another_client: true, ..request }));
                    actions.push(Action::Start(who, Request { secret: Secret::Forged, ..request }));
                }
            }
        }
    }

    /// As what the token of a generation was given out.
    fn kind_of(&self, generation: u8) -> Kind {
        if self.begins_with_code && generation == 0 { Kind::Code } else { Kind::RefreshToken }
    }

    fn tokens_of(&self, state: &State, record: &Record, who: Who) -> RangeInclusive<u8> {
        match who {
            Who::Client(client) => state.clients[client].holds..=state.clients[client].holds,
            Who::Thief => 0..=record.generation,
        }
    }

    fn step(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick => state.time += 1,
            Action::SignOut => state.revoke(Revoked::SignOut),
            Action::Epoch => state.is_past_epoch = true,
            Action::Delete => state.record = None,
            Action::Start(who, request) => {
                state.set(who, Invocation::Writing(request, Secret::Candidate(who.slot())));
            }
            Action::StartReading(who, request) => state.set(who, Invocation::Reading(request)),
            Action::Write(who) => {
                let Invocation::Writing(request, candidate) = state.invocation(who) else { return };
                let next = match self.write(state, &request, candidate) {
                    true => Invocation::Answering(Answer::Renewed, request.generation + 1),
                    false => self.conclude(state, &request, Some(candidate)),
                };
                state.set(who, next);
            }
            Action::WriteUnheard(who) => {
                let Invocation::Writing(request, candidate) = state.invocation(who) else { return };
                if self.write(state, &request, candidate) {
                    state.set(who, Invocation::Writing(request, Secret::Written));
                }
            }
            Action::Read(who) => {
                let Invocation::Reading(request) = state.invocation(who) else { return };
                let next = self.conclude(state, &request, None);
                state.set(who, next);
            }
            Action::End(who) => {
                state.set(who, Invocation::None);
                state.revoke(Revoked::Reuse);
            }
            Action::Deliver(who) => {
                let Invocation::Answering(_, successor) = state.invocation(who) else { return };
                state.set(who, Invocation::None);
                if let Who::Client(client) = who {
                    state.clients[client].holds = state.clients[client].holds.max(successor);
                }
            }
            Action::Vanish(who) => state.set(who, Invocation::None),
            Action::Leave(who) => {
                let Invocation::Writing(request, _) = state.invocation(who) else { return };
                state.set(who, Invocation::None);
                state.late_write = Some(request);
            }
            Action::LateWriteArrives => {
                let Some(request) = state.late_write.take() else { return };
                self.write(state, &request, Secret::Candidate(state::LATE_SLOT));
            }
            Action::LateWriteIsLost => state.late_write = None,
        }
    }

    /// The store's part: it writes exactly if the rule, asked without a candidate, says so.
    fn write(&self, state: &mut State, request: &Request, candidate: Secret) -> bool {
        if self.decided(state, request, None) != Decision::Renewed(Write::Due) {
            return false;
        }
        let Some(record) = state.record.take() else { return false };
        let renewed = (self.product.renewed)(&record.session(self), &request.renewal(self, candidate));
        state.broken.note(invariants::of_a_renewal(self, &record, request, &renewed));
        state.broken.note(invariants::unless(!state.is_past_epoch, 31));
        state.record = Some(Record::of(&renewed, request.really).with_its_secret_written());
        true
    }

    /// The function's part once the store has refused the write, or has been read instead.
    fn conclude(&self, state: &mut State, request: &Request, candidate: Option<Secret>) -> Invocation {
        let decision = self.decided(state, request, candidate);
        let conclusion = Conclusion { request, candidate, decision: &decision };
        state.broken.note(match state.is_past_epoch {
            true => invariants::unless(!decision.gives_tokens(), 31),
            false => invariants::of_a_conclusion(self, state.record.as_ref(), &conclusion),
        });
        let successor = request.generation + 1;
        match decision {
            Decision::Renewed(Write::Done) => Invocation::Answering(Answer::OwnWrite, successor),
            Decision::Retried => Invocation::Answering(Answer::Retried, successor),
            Decision::Reused(reuse) => Invocation::Ending(reuse),
            Decision::Renewed(Write::Due) | Decision::TooEarly { .. } | Decision::Refused(_) | Decision::Undecided => {
                Invocation::None
            }
        }
    }

    fn decided(&self, state: &State, request: &Request, candidate: Option<Secret>) -> Decision {
        let record = state.record.as_ref().map(|record| record.session(self));
        let presented = request.presented(candidate);
        (self.product.decide)(record.as_ref(), &presented, state::moment(request.now), &self.rules(state.is_past_epoch))
    }

    fn rules(&self, is_past_epoch: bool) -> RenewalRules {
        let (retry_seconds, window_seconds) = (state::seconds(self.retry), state::seconds(self.window));
        let epoch = is_past_epoch.then(|| state::session().issued_at.plus(1));
        RenewalRules { retry_seconds, window_seconds, epochs: Epochs::new(epoch, []) }
    }
}

impl Protocol {
    fn is_alone_with_time_to_retry(&self) -> bool {
        self.clients == 1 && !self.has_thief && self.retry >= self.absolute
    }
}

impl Who {
    fn slot(self) -> u8 {
        match self {
            Self::Client(client) => client as u8,
            Self::Thief => state::THIEF_SLOT,
        }
    }
}

/// Explores `protocol` to the end.
fn explore(name: &str, protocol: Protocol) {
    let more: u8 = setting("LATCHKEY_MODEL_DEPTH", 0);
    let protocol = Protocol {
        generations: protocol.generations + more,
        absolute: protocol.absolute + more as i8,
        retry: if protocol.retry >= protocol.absolute { protocol.retry + more as i8 } else { protocol.retry },
        ..protocol
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let checker = protocol.checker().threads(threads).spawn_bfs().join();
    println!(
        "{name}: {} states, {} transitions, at most {} steps away, {} properties, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        checker.model().properties().len(),
        began.elapsed().as_secs_f32(),
    );
    checker.assert_properties();
}

/// Whether one of the invariants of this number is found to be broken.
fn breaks(number: &str, protocol: Protocol) -> bool {
    let prefix = format!("{number}:");
    let names =
        protocol.properties().into_iter().map(|property| property.name).filter(|name| name.starts_with(&prefix));
    let names: BTreeSet<&'static str> = names.collect();
    let checker = protocol.checker().finish_when(HasDiscoveries::AnyOf(names.clone())).spawn_bfs().join();
    names.iter().any(|name| checker.discovery(name).is_some())
}

/// The smallest model in which everything happens that the invariants speak of.
const SMALL: Protocol = Protocol {
    product: PRODUCT,
    begins_with_code: false,
    clients: 1,
    has_thief: true,
    has_late_writes: false,
    has_epoch: false,
    retry: 1,
    window: 0,
    skew: 0,
    absolute: 4,
    generations: 3,
};

/// The same, for a session that begins with a code.
const SMALL_OF_CODE: Protocol = Protocol { begins_with_code: true, ..SMALL };

#[test]
fn two_clients_and_a_thief() {
    explore("two clients and a thief", Protocol { clients: 2, generations: 2, ..SMALL });
}

#[test]
fn two_clients_and_late_writes() {
    let protocol = Protocol { clients: 2, has_thief: false, has_late_writes: true, generations: 2, ..SMALL };
    explore("two clients and late writes", protocol);
}

#[test]
fn a_client_and_a_thief_who_goes_far_back() {
    explore("a client and a thief who goes far back", SMALL);
}

#[test]
fn two_clients_and_no_retry_time() {
    explore("two clients and no retry time", Protocol { retry: 0, clients: 2, has_thief: false, ..SMALL });
}

#[test]
fn an_epoch_in_the_middle_of_everything() {
    explore("an epoch in the middle of everything", Protocol { has_epoch: true, has_late_writes: true, ..SMALL });
}

#[test]
fn clocks_that_differ() {
    explore("clocks that differ", Protocol { skew: 1, retry: 2, generations: 2, ..SMALL });
}

#[test]
fn a_renewal_window() {
    explore("a renewal window", Protocol { window: 1, ..SMALL });
}

#[test]
fn a_client_alone_with_all_the_time_to_retry() {
    explore(
        "a client alone with all the time to retry",
        Protocol { has_thief: false, has_late_writes: true, retry: SMALL.absolute, generations: 4, ..SMALL },
    );
}

#[test]
fn a_code_that_two_clients_and_a_thief_have() {
    explore("a code that two clients and a thief have", Protocol { clients: 2, generations: 2, ..SMALL_OF_CODE });
}

#[test]
fn a_code_and_a_thief_who_goes_far_back() {
    explore("a code and a thief who goes far back", SMALL_OF_CODE);
}

#[test]
fn a_code_and_an_epoch() {
    explore("a code and an epoch", Protocol { has_epoch: true, generations: 2, ..SMALL_OF_CODE });
}

#[test]
fn a_code_that_two_clients_have_and_late_writes() {
    let protocol = Protocol { clients: 2, has_thief: false, has_late_writes: true, generations: 2, ..SMALL_OF_CODE };
    explore("a code that two clients have and late writes", protocol);
}

#[test]
fn a_code_and_clocks_that_differ() {
    explore("a code and clocks that differ", Protocol { skew: 1, retry: 2, generations: 2, ..SMALL_OF_CODE });
}

#[test]
fn a_code_and_a_renewal_window() {
    explore("a code and a renewal window", Protocol { window: 1, ..SMALL_OF_CODE });
}

#[test]
fn a_code_and_a_client_alone_with_all_the_time_to_retry() {
    explore(
        "a code and a client alone with all the time to retry",
        Protocol { has_thief: false, has_late_writes: true, retry: SMALL.absolute, generations: 4, ..SMALL_OF_CODE },
    );
}
