//! The properties can fail: for each of them a product that is wrong in one point, and the model finds it out.

use latchkey_token::{
    audit::Reason,
    registrations::Epochs,
    session::{Decision, Presented, Renewal, RenewalRules, Session, Write, decide},
    values::{Generation, Scope, Timestamp},
};

use super::{PRODUCT, Product, Protocol, SMALL, SMALL_OF_CODE, breaks, state};

type Decide = fn(Option<&Session>, &Presented, Timestamp, &RenewalRules) -> Decision;

fn one_behind(record: Option<&Session>, presented: &Presented) -> bool {
    record.is_some_and(|record| record.generation.ahead_of(presented.generation) == Some(1))
}

/// Asks the real rule about a record or a request that has been tampered with.
fn with(record: Option<&Session>, tamper: impl FnOnce(&mut Session)) -> Option<Session> {
    record.cloned().map(|mut record| {
        tamper(&mut record);
        record
    })
}

fn finds(number: &str, protocol: Protocol) {
    assert!(breaks(number, protocol), "invariant {number} holds");
}

fn finds_in_decide(number: &str, decide: Decide, protocol: Protocol) {
    finds(number, Protocol { product: Product { decide, ..PRODUCT }, ..protocol });
}

fn finds_in_renewed(number: &str, renewed: fn(&Session, &Renewal) -> Session) {
    finds(number, Protocol { product: Product { renewed, ..PRODUCT }, ..SMALL });
}

#[test]
fn invariant_1_a_renewal_that_skips_a_generation() {
    finds_in_renewed("1", |record, renewal| {
        let renewed = record.renewed(renewal);
        Session { generation: Generation::new(renewed.generation.number() + 1), ..renewed }
    });
}

#[test]
fn invariant_2_a_predecessor_that_is_renewed() {
    let wrong: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Retried => Decision::Renewed(Write::Due),
        decision => decision,
    };
    finds_in_decide("2", wrong, SMALL);
}

#[test]
fn invariant_2_a_retry_time_that_never_ends() {
    let wrong: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Reused(Reason::PredecessorAfterRetryTime) => Decision::Retried,
        decision => decision,
    };
    finds_in_decide("2", wrong, SMALL);
    finds_in_decide("18", wrong, Protocol { retry: 0, ..SMALL });
}

#[test]
fn invariant_3_any_candidate_taken_for_the_written_one() {
    let wrong: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Retried if presented.candidate.is_some() => Decision::Renewed(Write::Done),
        decision => decision,
    };
    finds_in_decide("3", wrong, SMALL);
}

#[test]
fn invariants_5_and_6_grandparents_revived() {
    let wrong: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Reused(Reason::PredecessorAfterSuccessorUsed) => Decision::Retried,
        decision => decision,
    };
    finds_in_decide("5", wrong, SMALL);
    let wrong: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Reused(Reason::OlderGeneration) => Decision::Refused(Reason::RecordDiffers),
        decision => decision,
    };
    finds_in_decide("6", wrong, SMALL);
}

#[test]
fn invariant_7_theft_overlooked_after_the_retry_time() {
    let wrong: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Reused(Reason::PredecessorAfterRetryTime) => Decision::Refused(Reason::RecordDiffers),
        decision => decision,
    };
    finds_in_decide("7", wrong, SMALL);
}

#[test]
fn invariant_8_a_secret_that_is_not_compared() {
    let wrong: Decide = |record, presented, now, rules| {
        let blind = with(record, |record| {
            if record.generation == presented.generation {
                record.secret_hash = presented.secret_hash;
            }
        });
        decide(blind.as_ref(), presented, now, rules)
    };
    finds_in_decide("8", wrong, SMALL);
}

#[test]
fn invariant_9_a_client_that_is_not_compared() {
    let wrong: Decide = |record, presented, now, rules| {
        let blind = Presented { client_id: state::session().client_id.clone(), ..presented.clone() };
        decide(record, &blind, now, rules)
    };
    finds_in_decide("9", wrong, SMALL);
}

#[test]
fn invariants_10_and_11_a_revocation_that_is_overlooked() {
    let renewing: Decide = |record, presented, now, rules| {
        decide(with(record, |record| record.revocation = None).as_ref(), presented, now, rules)
    };
    finds_in_decide("11", renewing, SMALL);
    let retrying: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Refused(Reason::SessionRevoked) if one_behind(record, presented) => Decision::Retried,
        decision => decision,
    };
    finds_in_decide("10", retrying, SMALL);
}

#[test]
fn invariant_12_an_expiry_that_is_overlooked() {
    let no_idle: Decide = |record, presented, now, rules| {
        decide(
            with(record, |record| record.idle_expires_at = record.absolute_expires_at).as_ref(),
            presented,
            now,
            rules,
        )
    };
    finds_in_decide("12", no_idle, SMALL);
    let no_absolute: Decide = |record, presented, now, rules| {
        let far = now.plus(1);
        let blind = with(record, |record| {
            if record.idle_expires_at >= record.absolute_expires_at {
                (record.idle_expires_at, record.absolute_expires_at) = (far, far);
            }
        });
        decide(blind.as_ref(), presented, now, rules)
    };
    finds_in_decide("12", no_absolute, SMALL);
}

#[test]
fn invariant_13_an_absolute_expiry_that_moves() {
    finds_in_renewed("13", |record, renewal| {
        let renewed = record.renewed(renewal);
        Session { absolute_expires_at: renewed.absolute_expires_at.plus(1), ..renewed }
    });
}

#[test]
fn invariant_14_a_scope_that_widens() {
    finds_in_renewed("14", |record, renewal| Session {
        scope: Scope::parse("openid email admin").unwrap(),
        ..record.renewed(renewal)
    });
}

#[test]
fn invariants_15_and_16_a_client_that_is_not_told_again() {
    let alone = Protocol { has_thief: false, retry: SMALL.absolute, ..SMALL };
    let never_retries: Decide = |record, presented, now, rules| {
        decide(record, presented, now, &RenewalRules { retry_seconds: 0, ..rules.clone() })
    };
    finds_in_decide("15", never_retries, alone.clone());
    finds_in_decide("16", never_retries, alone);
}

#[test]
fn invariant_17_a_retry_time_that_counts_backwards() {
    let wrong: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Retried if record.is_some_and(|record| now < record.rotated_at) => {
            Decision::Reused(Reason::PredecessorAfterRetryTime)
        }
        decision => decision,
    };
    finds_in_decide("17", wrong, Protocol { skew: 1, retry: 2, ..SMALL });
}

#[test]
fn invariant_18_a_function_that_does_not_know_its_own_write() {
    let wrong: Decide =
        |record, presented, now, rules| decide(record, &Presented { candidate: None, ..presented.clone() }, now, rules);
    finds_in_decide("18", wrong, Protocol { retry: 0, ..SMALL });
}

#[test]
fn invariant_24_a_code_taken_for_a_refresh_token() {
    let wrong: Decide = |record, presented, now, rules| {
        let blind = with(record, |record| {
            if presented.binding.is_none() {
                record.sign_in = None;
            }
        });
        decide(blind.as_ref(), presented, now, rules)
    };
    finds_in_decide("24", wrong, SMALL_OF_CODE);
}

#[test]
fn invariants_25_and_28_a_binding_that_is_not_compared() {
    let wrong: Decide = |record, presented, now, rules| {
        let own = record.and_then(|record| record.sign_in.as_ref()).map(|sign_in| sign_in.binding.clone());
        let blind = Presented { binding: presented.binding.as_ref().and(own), ..presented.clone() };
        decide(record, &blind, now, rules)
    };
    finds_in_decide("25", wrong, SMALL_OF_CODE);
    finds_in_decide("28", wrong, SMALL_OF_CODE);
}

#[test]
fn invariant_25_a_code_that_is_retried() {
    let wrong: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Reused(Reason::PredecessorAfterRetryTime) if presented.binding.is_some() => Decision::Retried,
        decision => decision,
    };
    finds_in_decide("25", wrong, SMALL_OF_CODE);
    finds_in_decide("25", wrong, Protocol { clients: 2, has_thief: false, generations: 2, ..SMALL_OF_CODE });
}

#[test]
fn invariant_26_a_second_use_that_is_only_refused() {
    let wrong: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Reused(_) if presented.binding.is_some() => Decision::Refused(Reason::RecordDiffers),
        decision => decision,
    };
    finds_in_decide("26", wrong, SMALL_OF_CODE);
}

#[test]
fn invariant_26_a_binding_that_is_forgotten() {
    let renewed = |record: &Session, renewal: &Renewal| Session { sign_in: None, ..record.renewed(renewal) };
    finds("26", Protocol { product: Product { renewed, ..PRODUCT }, ..SMALL_OF_CODE });
}

#[test]
fn invariant_28_a_code_that_does_not_fit_and_ends_the_session() {
    let wrong: Decide = |record, presented, now, rules| match decide(record, presented, now, rules) {
        Decision::Refused(Reason::RedirectUriMismatch | Reason::CodeVerifierMismatch)
            if one_behind(record, presented) =>
        {
            Decision::Reused(Reason::PredecessorAfterRetryTime)
        }
        decision => decision,
    };
    finds_in_decide("28", wrong, SMALL_OF_CODE);
}

#[test]
fn invariant_31_an_epoch_that_is_overlooked() {
    let wrong: Decide = |record, presented, now, rules| {
        decide(record, presented, now, &RenewalRules { epochs: Epochs::NONE, ..rules.clone() })
    };
    finds_in_decide("31", wrong, Protocol { has_epoch: true, ..SMALL });
}

#[test]
fn a_window_that_is_overlooked() {
    let wrong: Decide = |record, presented, now, rules| {
        decide(record, presented, now, &RenewalRules { window_seconds: 0, ..rules.clone() })
    };
    finds_in_decide("0", wrong, Protocol { window: 1, ..SMALL });
}
