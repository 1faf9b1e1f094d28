//! Requests at the same time: what was asked and answered, in the order in which it was, must be what some order of the
//! same requests one after the other would have given (linearizability). On the real store as the scheduler happens to
//! interleave them; on the store in memory in every order of their steps, with every function dying at every step.

mod requests;
mod schedules;
mod specification;

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
};

use dynoxide::Database;
use latchkey::serve::dynamodb::embedded;
use latchkey_token_aws::{DynamoDbSessions, table};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};
use tokio::sync::Barrier;

use requests::{Requests, generation_of};
use specification::{Call, Return, SessionRecord};

use crate::setting;

/// Calls and returns of many tasks, in the order in which they happened.
struct History {
    tester: LinearizabilityTester<usize, SessionRecord>,
    calls: usize,
    /// Who began or ended a call, one after the other.
    order: Vec<(usize, bool)>,
}

impl History {
    fn of(record: SessionRecord) -> Self {
        Self { tester: LinearizabilityTester::new(record), calls: 0, order: Vec::new() }
    }

    fn begins(&mut self, task: usize, call: Call) {
        self.calls += 1;
        self.order.push((task, true));
        self.tester.on_invoke(task, call).unwrap();
    }

    fn ends(&mut self, task: usize, answer: Return) {
        self.order.push((task, false));
        self.tester.on_return(task, answer).unwrap();
    }

    fn check(&self) {
        assert!(self.tester.is_consistent(), "not linearizable: {:#?}", self.tester);
    }

    fn interleaving(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.order.hash(&mut hasher);
        hasher.finish()
    }
}

/// What the tasks of one history share.
struct Round<S> {
    requests: Arc<Requests<S>>,
    client: &'static str,
    history: Mutex<History>,
    /// Every refresh token that has reached anybody, the latest last.
    tokens: Mutex<Vec<String>>,
}

impl<S: requests::SessionStore> Round<S> {
    async fn begin(requests: Arc<Requests<S>>, client: &'static str) -> Self {
        let token = requests.issue(client).await;
        let record = SessionRecord::issued(&token, client != "strict");
        Self { requests, client, history: Mutex::new(History::of(record)), tokens: Mutex::new(vec![token]) }
    }

    /// The token so many places before the latest.
    fn token(&self, back: usize) -> String {
        let tokens = self.tokens.lock().unwrap();
        tokens[tokens.len() - 1 - back.min(tokens.len() - 1)].clone()
    }

    async fn renew(&self, task: usize, token: &str) -> Return {
        self.history.lock().unwrap().begins(task, Call::Renew(generation_of(token)));
        let answer = match self.requests.renew(self.client, token).await {
            Some(token) => Return::Tokens(generation_of(&token), token),
            None => Return::Refused,
        };
        self.history.lock().unwrap().ends(task, answer.clone());
        if let Return::Tokens(_, token) = &answer {
            let mut tokens = self.tokens.lock().unwrap();
            if !tokens.contains(token) {
                tokens.push(token.clone());
                tokens.sort_by_key(|token| generation_of(token));
            }
        }
        answer
    }

    async fn revoke(&self, task: usize, token: &str) {
        self.history.lock().unwrap().begins(task, Call::Revoke(generation_of(token)));
        let has_ended = self.requests.revoke(self.client, token).await;
        self.history.lock().unwrap().ends(task, Return::Ended(has_ended));
    }
}

const TASKS: usize = 4;
const CALLS: usize = 4;

/// Numbers that look random and repeat with the seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// All tasks come with the latest token at the same time, wave after wave.
async fn wave(round: &Round<DynamoDbSessions>, task: usize, meeting: &Barrier) {
    for _ in 0..CALLS {
        let token = round.token(0);
        meeting.wait().await;
        round.renew(task, &token).await;
        meeting.wait().await;
    }
}

/// Clients that fall behind, a thief, sign-outs.
async fn storm(round: &Round<DynamoDbSessions>, task: usize, mut numbers: Numbers) {
    let mut own = round.token(0);
    for _ in 0..CALLS {
        for _ in 0..numbers.below(4) {
            tokio::task::yield_now().await;
        }
        match numbers.below(16) {
            0 => round.revoke(task, &round.token(0)).await,
            1 => drop(round.renew(task, &round.token(3)).await),
            2..4 => drop(round.renew(task, &round.token(1)).await),
            // What this task was given last, though others may have gone on.
            4..8 => {
                if let Return::Tokens(_, token) = round.renew(task, &own).await {
                    own = token;
                }
            }
            _ => drop(round.renew(task, &round.token(0)).await),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn histories_on_the_real_store_are_linearizable() {
    let sdk = embedded(Database::memory().unwrap(), None).await;
    table::create_if_missing(&sdk, "sessions").await.unwrap();
    let requests = Arc::new(Requests::on(DynamoDbSessions::new(&sdk, "sessions")));
    let rounds: usize = setting("LATCHKEY_HISTORIES", 400);
    let (mut calls, mut ended, mut interleavings) = (0, 0, HashSet::new());
    for number in 0..rounds {
        let is_stormy = number % 2 == 1;
        let client = if number % 4 == 3 { "strict" } else { "spa" };
        let round = Arc::new(Round::begin(Arc::clone(&requests), client).await);
        let meeting = Arc::new(Barrier::new(TASKS));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (round, meeting) = (Arc::clone(&round), Arc::clone(&meeting));
                tokio::spawn(async move {
                    match is_stormy {
                        true => storm(&round, task, Numbers((number * TASKS + task) as u64)).await,
                        false => wave(&round, task, &meeting).await,
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        // What all of that has come to, for the history as well.
        let last = round.renew(TASKS, &round.token(0)).await;
        let history = round.history.lock().unwrap();
        history.check();
        calls += history.calls;
        assert!(is_stormy || matches!(last, Return::Tokens(generation, _) if generation as usize == CALLS + 1));
        ended += usize::from(last == Return::Refused);
        interleavings.insert(history.interleaving());
    }
    println!(
        "{rounds} histories of {calls} calls, {} different interleavings, {ended} sessions ended",
        interleavings.len()
    );
    assert!(ended > 0, "no session has ended");
    assert!(interleavings.len() > rounds / 4, "the calls hardly met: {}", interleavings.len());
}
