//! The whole renewal protocol as one pure function: what a refresh token, or a code, is worth against a record.
//!
//! The store's conditional write is the same rule said in the database's words; the store contract suite holds both
//! together.

use super::{
    outcome::WriteOutcome,
    record::Session,
    renewal::{Presented, Renewal, RenewalRules},
};
use crate::{
    audit::Reason,
    registrations::{EpochVerdict, Epochs},
    values::{Generation, Timestamp},
};

/// What a presented refresh token or code is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The token is current: the write may take place, or this invocation has already made it.
    Renewed(Write),
    /// The token was renewed a moment ago: the same successor again, nothing written.
    Retried,
    /// The token was renewed and is not a permitted retry: theft; the session ends.
    Reused(Reason),
    /// The token is current, and renewal opens at this time. Nothing changes.
    TooEarly {
        /// When the access token of the last issue or renewal expires, less the window.
        opens_at: Timestamp,
    },
    /// Nothing changes.
    Refused(Reason),
    /// Whoever presented the token would be given new ones or told to come later, but for the epoch of the session's issuer,
    /// which cannot be read. Nothing changes.
    Undecided,
}

/// Whether the write of a renewal is still to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The condition holds; nothing has been written yet.
    Due,
    /// The record already holds our own candidate: the write was made, its answer was lost on the way.
    Done,
}

/// Decides about `presented` against `record` as it stands at `now`.
///
/// The order of the questions is part of the protocol. [`Decision::Renewed`] with [`Write::Due`] is given exactly when the store's
/// condition holds.
pub fn decide(record: Option<&Session>, presented: &Presented, now: Timestamp, rules: &RenewalRules) -> Decision {
    let Some(record) = record else { return Decision::Refused(Reason::SessionUnknown) };
    match decide_with_known_epochs(record, presented, now, rules) {
        Decision::Renewed(_) | Decision::Retried | Decision::TooEarly { .. }
            if rules.epochs.verdict(&record.issuer_id, record.issued_at) == EpochVerdict::Unknown =>
        {
            Decision::Undecided
        }
        decision => decision,
    }
}

fn decide_with_known_epochs(record: &Session, presented: &Presented, now: Timestamp, rules: &RenewalRules) -> Decision {
    if let Some(reason) = refusal_by_state(record, presented, now, &rules.epochs) {
        return Decision::Refused(reason);
    }
    if is_own_write(record, presented) {
        return Decision::Renewed(Write::Done);
    }
    if let Some(binding) = &presented.binding
        && let Some(reason) = binding.misfit(record.sign_in.as_ref().map(|sign_in| &sign_in.binding))
    {
        return Decision::Refused(reason);
    }
    if presented.binding.is_none() && is_first_of_a_sign_in(record, presented) {
        return Decision::Refused(Reason::RecordDiffers);
    }
    match record.generation.ahead_of(presented.generation) {
        Some(0) if record.secret_hash == presented.secret_hash => decide_about_current(record, presented, now, rules),
        Some(1) if may_retry(record, presented, now, rules) => Decision::Retried,
        Some(1) => Decision::Reused(Reason::PredecessorAfterRetryTime),
        Some(2) => Decision::Reused(Reason::PredecessorAfterSuccessorUsed),
        None | Some(0) => Decision::Refused(Reason::RecordDiffers),
        Some(_) => Decision::Reused(Reason::OlderGeneration),
    }
}

impl Decision {
    /// Whether whoever presented the token is given new ones.
    pub const fn gives_tokens(&self) -> bool {
        matches!(self, Self::Renewed(_) | Self::Retried)
    }
}

impl Renewal {
    /// What it means that the store has refused this renewal and gave back `record`: done before, if the record holds
    /// this renewal's own successor and is otherwise good.
    pub fn refused_by(&self, record: Option<Session>) -> WriteOutcome<Session, Option<Session>> {
        let presented = Presented { candidate: Some(self.successor.secret_hash), ..self.presented.clone() };
        match (decide(record.as_ref(), &presented, self.now, &self.rules), record) {
            (Decision::Renewed(Write::Done), Some(record)) => WriteOutcome::DoneBefore(record),
            (_, record) => WriteOutcome::ByAnother(record),
        }
    }
}

fn refusal_by_state(record: &Session, presented: &Presented, now: Timestamp, epochs: &Epochs) -> Option<Reason> {
    if record.client_id != presented.client_id {
        Some(Reason::ClientMismatch)
    } else if record.revocation.is_some() {
        Some(Reason::SessionRevoked)
    } else if epochs.have_ended(&record.issuer_id, record.issued_at) {
        Some(Reason::SessionBeforeEpoch)
    } else if record.idle_expires_at <= now {
        Some(Reason::SessionIdleExpired)
    } else if record.absolute_expires_at <= now {
        Some(Reason::SessionAbsoluteExpired)
    } else {
        None
    }
}

/// The first token of a session that began with a sign-in is a code: there has never been a refresh token of that
/// generation. Only with a leaked tag key could somebody make one of a code, to get around what the code is bound to.
fn is_first_of_a_sign_in(record: &Session, presented: &Presented) -> bool {
    record.sign_in.is_some() && presented.generation == Generation::FIRST
}

/// The candidate's hash was drawn by this invocation alone, so finding it proves that this invocation wrote it.
fn is_own_write(record: &Session, presented: &Presented) -> bool {
    let Some(candidate) = presented.candidate else { return false };
    match record.generation.ahead_of(presented.generation) {
        Some(1) => record.secret_hash == candidate,
        Some(2) => record.predecessor.as_ref().is_some_and(|predecessor| predecessor.secret_hash == candidate),
        _ => false,
    }
}

/// The window is about access tokens: before the exchange of a code there is none.
fn decide_about_current(record: &Session, presented: &Presented, now: Timestamp, rules: &RenewalRules) -> Decision {
    let opens_at = record.access_expires_at.minus(rules.window_seconds);
    if rules.window_seconds > 0 && presented.binding.is_none() && opens_at > now {
        return Decision::TooEarly { opens_at };
    }
    Decision::Renewed(Write::Due)
}

/// A code may never be exchanged again (RFC 6749 §4.1.2). A clock that is behind the one that rotated counts as no time at
/// all.
fn may_retry(record: &Session, presented: &Presented, now: Timestamp, rules: &RenewalRules) -> bool {
    let elapsed = now.millis_since(record.rotated_at).max(0);
    rules.retry_seconds > 0
        && presented.binding.is_none()
        && elapsed <= i64::from(rules.retry_seconds) * 1000
        && record.predecessor.as_ref().is_some_and(|predecessor| predecessor.secret_hash == presented.secret_hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        session::{Revocation, RevocationId},
        testing::{NOW, binding, code_session, hash, presented, renewal, session},
        tokens::{CodeBinding, CodeVerifier},
        values::{ClientId, IssuerId},
    };

    const RULES: RenewalRules = RenewalRules { retry_seconds: 60, window_seconds: 0, epochs: Epochs::NONE };

    fn at_generation(generation: u32) -> Session {
        session(generation)
    }

    fn decided(record: &Session, presented: &Presented) -> Decision {
        decide(Some(record), presented, NOW, &RULES)
    }

    #[test]
    fn the_current_token_is_renewed() {
        assert_eq!(decided(&at_generation(3), &presented(3)), Decision::Renewed(Write::Due));
    }

    #[test]
    fn a_record_that_is_gone_foreign_revoked_or_expired_is_refused_before_anything_else() {
        assert_eq!(decide(None, &presented(3), NOW, &RULES), Decision::Refused(Reason::SessionUnknown));
        let refused = |change: fn(&mut Session)| {
            let mut record = at_generation(9);
            change(&mut record);
            // Even a token that would count as reuse.
            decided(&record, &presented(3))
        };
        assert_eq!(
            refused(|record| record.client_id = ClientId::parse("other").unwrap()),
            Decision::Refused(Reason::ClientMismatch)
        );
        assert_eq!(
            refused(|record| record.revocation =
                Some(Revocation::new(NOW, Reason::ByClient, RevocationId::from_bytes([1; 16])))),
            Decision::Refused(Reason::SessionRevoked)
        );
        assert_eq!(refused(|record| record.idle_expires_at = NOW), Decision::Refused(Reason::SessionIdleExpired));
        assert_eq!(
            refused(|record| record.absolute_expires_at = NOW),
            Decision::Refused(Reason::SessionAbsoluteExpired)
        );
    }

    fn code() -> Presented {
        Presented { binding: Some(binding()), ..presented(0) }
    }

    #[test]
    fn a_code_is_exchanged_once_and_ends_its_session_the_second_time() {
        let windowed = RenewalRules { window_seconds: 600, ..RULES };
        let decided = |record: &Session, presented: &Presented| decide(Some(record), presented, NOW, &windowed);
        assert_eq!(decided(&code_session(), &code()), Decision::Renewed(Write::Due), "no window");
        let mut renewal = renewal(&code_session());
        renewal.presented = code();
        let exchanged = code_session().renewed(&renewal);
        assert_eq!(decided(&exchanged, &code()), Decision::Reused(Reason::PredecessorAfterRetryTime), "no retry");
        let own = Presented { candidate: Some(hash(1)), ..code() };
        assert_eq!(decided(&exchanged, &own), Decision::Renewed(Write::Done));
        let older = Session { sign_in: code_session().sign_in, ..at_generation(7) };
        assert_eq!(decided(&older, &code()), Decision::Reused(Reason::OlderGeneration));
    }

    #[test]
    fn a_code_with_another_redirect_uri_or_verifier_is_refused_used_or_not_and_ends_nothing() {
        let verifier = CodeVerifier::parse(&"v".repeat(43)).unwrap();
        for generation in [0, 1, 2, 9] {
            let record = Session { sign_in: code_session().sign_in, ..at_generation(generation) };
            let brought = |binding| decided(&record, &Presented { binding: Some(binding), ..presented(0) });
            assert_eq!(
                brought(CodeBinding::new("https://chat.example.org/callback", Some(verifier.challenge()))),
                Decision::Refused(Reason::CodeVerifierMismatch)
            );
            assert_eq!(
                brought(CodeBinding::new("https://evil.example/", None)),
                Decision::Refused(Reason::RedirectUriMismatch)
            );
        }
        let issued = at_generation(0);
        assert_eq!(decided(&issued, &code()), Decision::Refused(Reason::RedirectUriMismatch));
    }

    #[test]
    fn a_code_is_no_refresh_token_even_for_who_can_make_its_tag() {
        for generation in [0, 1, 5] {
            let record = Session { sign_in: code_session().sign_in, ..at_generation(generation) };
            assert_eq!(decided(&record, &presented(0)), Decision::Refused(Reason::RecordDiffers));
        }
    }

    #[test]
    fn the_nonce_is_there_after_the_exchange_and_gone_after_the_next_renewal() {
        let nonce = |record: &Session| record.sign_in.as_ref().unwrap().nonce.clone();
        let mut exchange = renewal(&code_session());
        exchange.presented = code();
        let exchanged = code_session().renewed(&exchange);
        assert_eq!(nonce(&exchanged).as_deref(), Some("n"));
        assert_eq!(nonce(&exchanged.renewed(&renewal(&exchanged))), None);
    }

    #[test]
    fn a_session_from_before_its_epoch_is_over_for_its_token_and_for_a_retry() {
        let record = at_generation(4);
        let after = |seconds| RenewalRules { epochs: Epochs::new(Some(record.issued_at.plus(seconds)), []), ..RULES };
        for generation in [4, 3] {
            let decided = |rules| decide(Some(&record), &presented(generation), NOW, &rules);
            assert_eq!(decided(after(1)), Decision::Refused(Reason::SessionBeforeEpoch));
            assert_ne!(decided(after(0)), Decision::Refused(Reason::SessionBeforeEpoch));
        }
        let of = |issuer: &str| {
            let issuer = IssuerId::parse(issuer).unwrap();
            decide(
                Some(&record),
                &presented(4),
                NOW,
                &RenewalRules { epochs: Epochs::new(None, [(issuer, NOW)]), ..RULES },
            )
        };
        assert_eq!(of("portal"), Decision::Refused(Reason::SessionBeforeEpoch));
        assert_eq!(of("other"), Decision::Renewed(Write::Due));
    }

    #[test]
    fn where_the_epoch_cannot_be_read_nobody_is_given_tokens_and_what_is_certain_is_decided() {
        let record = Session { rotated_at: NOW, ..at_generation(4) };
        let unknown = |issuer: &str| RenewalRules {
            epochs: Epochs::NONE.without_knowing([IssuerId::parse(issuer).unwrap()]).unwrap(),
            ..RULES
        };
        let decided = |generation, rules| decide(Some(&record), &presented(generation), NOW, &rules);
        assert_eq!(decided(4, unknown("portal")), Decision::Undecided);
        assert_eq!(decided(4, RenewalRules { window_seconds: 86_400, ..unknown("portal") }), Decision::Undecided);
        assert_eq!(decided(3, unknown("portal")), Decision::Undecided, "a retry is given tokens as well");
        assert_eq!(decided(2, unknown("portal")), Decision::Reused(Reason::PredecessorAfterSuccessorUsed));
        assert_eq!(decided(4, unknown("other")), Decision::Renewed(Write::Due));
    }

    #[test]
    fn a_millisecond_before_expiry_still_renews() {
        let mut record = at_generation(3);
        record.idle_expires_at = Timestamp::from_unix_millis(NOW.unix_millis() + 1);
        record.absolute_expires_at = record.idle_expires_at;
        assert_eq!(decided(&record, &presented(3)), Decision::Renewed(Write::Due));
    }

    #[test]
    fn the_predecessor_is_a_retry_until_the_retry_time_is_over() {
        let mut record = at_generation(4);
        for (seconds_ago, expected) in
            [(0, Decision::Retried), (60, Decision::Retried), (61, Decision::Reused(Reason::PredecessorAfterRetryTime))]
        {
            record.rotated_at = NOW.minus(seconds_ago);
            assert_eq!(decided(&record, &presented(3)), expected, "{seconds_ago} s");
        }
        record.rotated_at = Timestamp::from_unix_millis(NOW.minus(60).unix_millis() - 1);
        assert_eq!(decided(&record, &presented(3)), Decision::Reused(Reason::PredecessorAfterRetryTime));
    }

    #[test]
    fn a_clock_behind_the_rotation_counts_as_no_time() {
        let mut record = at_generation(4);
        record.rotated_at = NOW.plus(3_600);
        assert_eq!(decided(&record, &presented(3)), Decision::Retried);
    }

    #[test]
    fn retry_seconds_zero_is_strict_single_use_yet_knows_its_own_write() {
        let strict = RenewalRules { retry_seconds: 0, ..RULES };
        let mut record = at_generation(4);
        record.rotated_at = NOW;
        assert_eq!(
            decide(Some(&record), &presented(3), NOW, &strict),
            Decision::Reused(Reason::PredecessorAfterRetryTime)
        );
        let own = Presented { candidate: Some(hash(4)), ..presented(3) };
        assert_eq!(decide(Some(&record), &own, NOW, &strict), Decision::Renewed(Write::Done));
        // Meanwhile somebody has retried, been handed our candidate, and used it.
        assert_eq!(decide(Some(&at_generation(5)), &own, NOW, &strict), Decision::Renewed(Write::Done));
        assert_eq!(decide(Some(&at_generation(6)), &own, NOW, &strict), Decision::Reused(Reason::OlderGeneration));
    }

    #[test]
    fn older_generations_are_reuse_however_young() {
        for (generation, reuse) in [
            (5, Reason::PredecessorAfterSuccessorUsed),
            (6, Reason::OlderGeneration),
            (u32::MAX, Reason::OlderGeneration),
        ] {
            let mut record = at_generation(generation);
            record.rotated_at = NOW;
            assert_eq!(decided(&record, &presented(3)), Decision::Reused(reuse), "{generation}");
        }
    }

    #[test]
    fn a_predecessor_with_another_secret_is_no_retry() {
        let mut record = at_generation(4);
        record.rotated_at = NOW;
        let forged = Presented { secret_hash: hash(99), ..presented(3) };
        assert_eq!(decided(&record, &forged), Decision::Reused(Reason::PredecessorAfterRetryTime));
    }

    #[test]
    fn a_record_behind_the_token_or_with_another_hash_is_a_state_mismatch() {
        let mismatch = Decision::Refused(Reason::RecordDiffers);
        assert_eq!(decided(&at_generation(2), &presented(3)), mismatch);
        let forged = Presented { secret_hash: hash(99), ..presented(3) };
        assert_eq!(decided(&at_generation(3), &forged), mismatch);
    }

    #[test]
    fn the_window_opens_before_the_access_token_expires() {
        let rules = RenewalRules { window_seconds: 600, ..RULES };
        let mut record = at_generation(3);
        record.access_expires_at = NOW.plus(600);
        assert_eq!(decide(Some(&record), &presented(3), NOW, &rules), Decision::Renewed(Write::Due));
        record.access_expires_at = Timestamp::from_unix_millis(NOW.plus(600).unix_millis() + 1);
        let opens_at = Timestamp::from_unix_millis(NOW.unix_millis() + 1);
        assert_eq!(decide(Some(&record), &presented(3), NOW, &rules), Decision::TooEarly { opens_at });
        // A retry is not a renewal: the window does not matter.
        let mut rotated = at_generation(4);
        rotated.rotated_at = NOW;
        assert_eq!(decide(Some(&rotated), &presented(3), NOW, &rules), Decision::Retried);
    }

    #[test]
    fn what_remains_after_a_renewal_decides_the_next_one() {
        let record = at_generation(3);
        let mut renewal = crate::testing::renewal(&record);
        renewal.successor.tag_kid = 2;
        let renewed = record.renewed(&renewal);
        assert_eq!((renewed.generation, renewed.tag_kid), (Generation::new(4), 2));
        assert_eq!(
            (renewed.rotated_at, renewed.access_expires_at, renewed.idle_expires_at),
            (NOW, renewal.access_expires_at, renewal.idle_expires_at)
        );
        assert_eq!(decided(&renewed, &presented(3)), Decision::Retried);
        assert_eq!(decided(&renewed, &presented(4)), Decision::Renewed(Write::Due));
        assert_eq!(renewed.absolute_expires_at, record.absolute_expires_at);
        assert_eq!(renewed.scope, record.scope);
    }
}
