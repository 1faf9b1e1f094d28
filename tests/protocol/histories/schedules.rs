//! Every schedule: a few requests whose steps, each with one request to the store in it, are taken in every order there
//! is, and whose functions die after every step, one in each schedule; then the client asks again.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use latchkey_token::{
    failure::Unavailable,
    ports::{
        InsertSession, ReadSession, RedeemAssertion, RedemptionFailure, RenewSession, RenewalOutcome, RevokeSession,
    },
    session::{Renewal, Revocation, Session, WriteOutcome},
    tokens::SingleUse,
    values::SessionKey,
};
use latchkey_token_testkit::InMemorySessions;

use super::{Round, requests::Requests, specification::Return};

/// A store whose callers stop after each request, its answer on the way, until they are told to go on. What they do
/// before it touches nothing that they share.
#[derive(Default)]
struct Stepped(InMemorySessions);

/// Ready when it is asked for the second time.
async fn step() {
    let mut is_reached = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut is_reached, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

impl InsertSession for Stepped {
    async fn insert(&self, session: &Session) -> Result<WriteOutcome, Unavailable> {
        self.0.insert(session).await
    }
}

impl RedeemAssertion for Stepped {
    async fn redeem(&self, assertion: &SingleUse, session: &Session) -> Result<WriteOutcome, RedemptionFailure> {
        self.0.redeem(assertion, session).await
    }
}

impl RenewSession for Stepped {
    async fn renew(&self, renewal: &Renewal) -> Result<RenewalOutcome, Unavailable> {
        let outcome = self.0.renew(renewal).await;
        step().await;
        outcome
    }
}

impl ReadSession for Stepped {
    async fn read(&self, key: &SessionKey) -> Result<Option<Session>, Unavailable> {
        let record = self.0.read(key).await;
        step().await;
        record
    }
}

impl RevokeSession for Stepped {
    async fn revoke(&self, key: &SessionKey, revocation: &Revocation) -> Result<WriteOutcome, Unavailable> {
        let has_ended = self.0.revoke(key, revocation).await;
        step().await;
        has_ended
    }
}

#[derive(Clone, Copy)]
enum Request {
    /// With the token of this generation; with none: with the latest there is by then.
    Renew(Option<usize>),
    Revoke(usize),
}

use Request::{Renew, Revoke};

struct Scenario {
    name: &'static str,
    client: &'static str,
    /// How often the session has been renewed before.
    generation: usize,
    /// One list for each task.
    tasks: &'static [&'static [Request]],
    /// How many functions die.
    deaths: usize,
}

const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "three renewals with one token",
        client: "spa",
        generation: 0,
        tasks: &[&[Renew(Some(0))], &[Renew(Some(0))], &[Renew(Some(0))]],
        deaths: 1,
    },
    Scenario {
        name: "the same, used once",
        client: "strict",
        generation: 0,
        tasks: &[&[Renew(Some(0))], &[Renew(Some(0))], &[Renew(Some(0))]],
        deaths: 0,
    },
    Scenario {
        name: "two renewals and a sign-out",
        client: "spa",
        generation: 0,
        tasks: &[&[Renew(Some(0))], &[Renew(Some(0))], &[Revoke(0)]],
        deaths: 1,
    },
    Scenario {
        name: "two renewals in a row beside another client and a sign-out",
        client: "spa",
        generation: 0,
        tasks: &[&[Renew(Some(0)), Renew(None)], &[Renew(Some(0))], &[Revoke(0)]],
        deaths: 0,
    },
    Scenario {
        name: "a client, one behind it, and a thief two behind",
        client: "spa",
        generation: 2,
        tasks: &[&[Renew(Some(2)), Renew(None)], &[Renew(Some(1))], &[Renew(Some(0))]],
        deaths: 0,
    },
    Scenario {
        name: "a client, a thief and a sign-out",
        client: "spa",
        generation: 2,
        tasks: &[&[Renew(Some(2))], &[Renew(Some(0))], &[Revoke(1)]],
        deaths: 1,
    },
    Scenario {
        name: "two sign-outs and two renewals",
        client: "spa",
        generation: 1,
        tasks: &[&[Renew(Some(1))], &[Renew(Some(0))], &[Revoke(1)], &[Revoke(0)]],
        deaths: 0,
    },
];

type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

async fn run(round: &Round<Stepped>, task: usize, requests: &'static [Request]) {
    for request in requests {
        match *request {
            Renew(Some(generation)) => {
                let token = round.tokens.lock().unwrap()[generation].clone();
                round.renew(task, &token).await;
            }
            Renew(None) => {
                let token = round.token(0);
                round.renew(task, &token).await;
            }
            Revoke(generation) => {
                let token = round.tokens.lock().unwrap()[generation].clone();
                round.revoke(task, &token).await;
            }
        }
    }
}

fn finished(mut task: Task<'_>) {
    while task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
}

/// One way through the choices: which of how many was taken at each step.
#[derive(Default)]
struct Choices(Vec<(usize, usize)>);

impl Choices {
    fn take(&mut self, step: usize, of: usize) -> usize {
        if step == self.0.len() {
            self.0.push((0, of));
        }
        self.0[step].0
    }

    /// The next way; `false` after the last one.
    fn advance(&mut self) -> bool {
        while let Some((taken, of)) = self.0.pop() {
            if taken + 1 < of {
                self.0.push((taken + 1, of));
                return true;
            }
        }
        false
    }
}

struct Running<'a> {
    /// Which of the scenario's lists.
    requests: usize,
    has_begun: bool,
    future: Task<'a>,
}

impl Scenario {
    fn start<'a>(&self, round: &'a Round<Stepped>, requests: usize, name: usize) -> Running<'a> {
        Running { requests, has_begun: false, future: Box::pin(run(round, name, self.tasks[requests])) }
    }

    /// Runs the scenario in one order; returns how many calls were made.
    fn play(&self, choices: &mut Choices) -> usize {
        let requests = Arc::new(Requests::on(Stepped::default()));
        let mut round = None;
        finished(Box::pin(async { round = Some(Round::begin(Arc::clone(&requests), self.client).await) }));
        let round = round.unwrap();
        let names = self.tasks.len();
        for _ in 0..self.generation {
            finished(Box::pin(run(&round, names, &[Renew(None)])));
        }

        let mut alive: Vec<Running<'_>> = (0..names).map(|task| self.start(&round, task, task)).collect();
        let mut deaths = 0;
        for step in 0.. {
            if alive.is_empty() {
                break;
            }
            // One that has not begun has nothing to leave undone.
            let mortal: Vec<usize> = match deaths < self.deaths {
                true => (0..alive.len()).filter(|index| alive[*index].has_begun).collect(),
                false => Vec::new(),
            };
            let choice = choices.take(step, alive.len() + mortal.len());
            if let Some(running) = alive.get_mut(choice) {
                running.has_begun = true;
                if running.future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    drop(alive.remove(choice));
                }
            } else {
                // The function dies, and whoever called it asks again, of another one.
                let Running { requests, .. } = alive.remove(mortal[choice - alive.len()]);
                deaths += 1;
                alive.push(self.start(&round, requests, names + 1 + deaths));
            }
        }
        let last = names + 2 + self.deaths;
        let is_thief_or_sign_out = |request: &Request| {
            matches!(request, Revoke(_)) || matches!(request, Renew(Some(old)) if old + 1 < self.generation)
        };
        let is_peaceful = self.client == "spa" && !self.tasks.iter().copied().flatten().any(is_thief_or_sign_out);
        let token = round.token(0);
        finished(Box::pin(async {
            let answer = round.renew(last, &token).await;
            // Invariants 3 and 16: whoever died, the session goes on.
            assert!(!is_peaceful || matches!(answer, Return::Tokens(..)), "the session is lost");
        }));
        let history = round.history.lock().unwrap();
        history.check();
        history.calls
    }
}

#[test]
fn every_schedule_is_linearizable() {
    let (mut all, mut all_calls) = (0, 0);
    for scenario in &SCENARIOS {
        let (mut choices, mut schedules, mut calls) = (Choices::default(), 0, 0);
        loop {
            calls += scenario.play(&mut choices);
            schedules += 1;
            if !choices.advance() {
                break;
            }
        }
        println!("{}: {schedules} schedules, {calls} calls", scenario.name);
        all += schedules;
        all_calls += calls;
    }
    println!("{all} schedules, {all_calls} calls");
}
