//! What happens when DynamoDB or Secrets Manager fails under the real SDK, with its real time-outs: an attempt 2.2 s, an
//! operation 7 s. Every kind of fault, at every request that a function makes, for one request and for all of them.
//!
//! Whoever asked gets the ordinary answer, by the SDK's own retry, or 503 with Retry-After; never a 4xx. After the fault,
//! the same request again succeeds, with the same successor. No session ends by it.

// The SDK's futures are nested deeper than the compiler looks by default.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod functions;
mod proxy;
mod report;
mod secret_faults;
mod sign_in_faults;
mod store_faults;

use std::{future::Future, process::ExitCode, sync::LazyLock};

use libtest_mimic::{Arguments, Trial};
use test_support::logs;
use tokio::{runtime::Runtime, sync::Semaphore};

use crate::{
    proxy::Fault,
    store_faults::{Call, Duration},
};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// The SDK's futures, not optimised, need more than the usual two megabytes.
const STACK_BYTES: usize = 16 << 20;

/// Most of a case's time is waiting; its beginning and end are work.
static AT_ONCE: Semaphore = Semaphore::const_new(32);

fn trial<F: Future<Output = ()>>(name: String, case: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let run = || {
            RUNTIME.block_on(async {
                let _permit = AT_ONCE.acquire().await.unwrap();
                Box::pin(case()).await;
            });
        };
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run)?;
        thread.join().map_err(|_| "panicked, as said above".into())
    })
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (at, call) in Call::ALL.into_iter().enumerate() {
        for (kind, fault) in Fault::ALL.into_iter().enumerate() {
            for duration in [Duration::Once, Duration::ForGood] {
                let number = at * 100 + kind * 2 + usize::from(duration == Duration::ForGood);
                let name = format!("store: {fault:?} at {call:?}, {duration:?}");
                trials.push(trial(name, move || store_faults::case(number, call, fault, duration)));
            }
        }
    }
    // What ails a connection needs one that has been used: none is, before the first load.
    let on_new_connections = Fault::ALL.into_iter().filter(|fault| !fault.is_of_connection());
    for (kind, fault) in on_new_connections.clone().enumerate() {
        for secret in ["latchkey/signing-keys", "latchkey/clients"] {
            for duration in [Duration::Once, Duration::ForGood] {
                let number = trials.len();
                let name = format!("secrets, cold: {fault:?} at {secret}, {duration:?}");
                trials.push(trial(name, move || secret_faults::cold(number, secret, fault, duration)));
            }
        }
        trials.push(trial(format!("secrets, warm: {fault:?}"), move || secret_faults::warm(kind, fault)));
        let name = format!("secrets, unknown key: {fault:?}");
        trials.push(trial(name, move || secret_faults::rotation_unseen(kind, fault)));
    }
    for (kind, fault) in on_new_connections.enumerate() {
        for secret in ["latchkey/ticket-keys", "latchkey/clients"] {
            for duration in [Duration::Once, Duration::ForGood] {
                let number = trials.len();
                let name = format!("sign-in, cold: {fault:?} at {secret}, {duration:?}");
                trials.push(trial(name, move || sign_in_faults::cold(number, secret, fault, duration)));
            }
        }
        trials.push(trial(format!("sign-in, warm: {fault:?}"), move || sign_in_faults::warm(kind, fault)));
    }
    for number in 0..sign_in_faults::useless_texts().len() {
        let case = move || {
            let (secret, text, is_served) = sign_in_faults::useless_texts().remove(number);
            sign_in_faults::useless(number, secret, text, is_served)
        };
        trials.push(trial(format!("sign-in: useless {number}"), case));
    }
    trials.push(trial("secrets, cold: every function".into(), || secret_faults::cold_everywhere(0)));
    trials.push(trial("secrets: rotation in mid flight".into(), || secret_faults::rotation(0)));
    for number in 0..secret_faults::garbage_texts().len() {
        let case = move || {
            let (signing_keys, clients) = secret_faults::garbage_texts().remove(number);
            secret_faults::garbage(number, signing_keys, clients)
        };
        trials.push(trial(format!("secrets: garbage {number}"), case));
    }
    for number in 0..secret_faults::useless_texts().len() {
        let case = move || {
            let (signing_keys, clients) = secret_faults::useless_texts().remove(number);
            secret_faults::useless(number, signing_keys, clients)
        };
        trials.push(trial(format!("secrets: useless {number}"), case));
    }
    trials
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Threads that wait.
    arguments.test_threads = arguments.test_threads.or(Some(48));
    logs::capture();
    let conclusion = libtest_mimic::run(&arguments, trials());
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    println!("{}", report::text());
    let told = logs::check(&logs::text());
    if let Err(fault) = &told {
        println!("the log: {fault}");
    }
    match conclusion.has_failed() || told.is_err() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
