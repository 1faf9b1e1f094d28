//! Sign-ins: a ticket goes to the portal, its answer back through the browser, and the code to the client, which exchanges
//! it once.

use super::{Client, Expected, Fault, Issuer, Life, Step, World};

/// How long a ticket is good, in milliseconds.
const TICKET: i64 = 600_000;
/// How long an answer is good, and the code in it.
const ANSWER: i64 = 60_000;
pub const BROWSERS: usize = 2;

/// A sign-in that a browser has begun. Whoever likes may bring its ticket to an issuer.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub client: Client,
    pub browser: usize,
    begun_at: i64,
}

/// What the portal has said of a sign-in. Whoever likes may bring it back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub sign_in: usize,
    /// The session whose code is in it; of a rejection none.
    session: Option<usize>,
    given_at: i64,
}

/// What comes along with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    Everything,
    AnotherVerifier,
    NoVerifier,
    AnotherRedirectUri,
}

impl Life {
    /// Nobody has exchanged its code in time, or nobody will.
    pub fn is_dead_code(&self, now: i64) -> bool {
        self.begins_with_code && self.generation == 0 && self.idle_expires_at <= now
    }
}

impl World {
    pub(super) fn begin(&mut self, client: Client, browser: usize, is_registered: bool) {
        if !is_registered {
            return self.say(Expected::Page, Some("sign_in_rejected"));
        }
        self.sign_ins.push(SignIn { client, browser, begun_at: self.now });
        self.say(Expected::AtPortal, Some("sign_in_started"));
    }

    /// What the portal is told of its ticket, if it may not answer it.
    fn portals_fault(&self, sign_in: usize, by: Issuer) -> Option<Expected> {
        match by {
            Issuer::Office => Some(Expected::UnauthorizedClient),
            Issuer::Portal if self.now >= self.sign_ins[sign_in].begun_at + TICKET => Some(Expected::InvalidRequest),
            Issuer::Portal => None,
        }
    }

    pub(super) fn accept(&mut self, sign_in: usize, by: Issuer, subject: &'static str, fault: Fault) {
        if let Some(refused) = self.portals_fault(sign_in, by) {
            return self.say(refused, Some("sign_in_rejected"));
        }
        let client = self.sign_ins[sign_in].client;
        if self.now < self.epochs.of(client, by) || fault == Fault::Lost {
            return self.say(Expected::Unavailable, None);
        }
        let absolute_expires_at = self.after(self.settings.absolute);
        let expires_at = (self.now + ANSWER).min(absolute_expires_at);
        self.sessions.push(Life {
            access_expires_at: expires_at,
            idle_expires_at: expires_at,
            begins_with_code: true,
            ..self.life(by, client, subject, self.settings.access)
        });
        self.writes += 1;
        if fault == Fault::AnswerLost {
            return self.say(Expected::Unavailable, None);
        }
        self.answers.push(Answer { sign_in, session: Some(self.sessions.len() - 1), given_at: self.now });
        self.say(Expected::Answered, Some("sign_in_accepted"));
    }

    pub(super) fn reject(&mut self, sign_in: usize, by: Issuer) {
        if let Some(refused) = self.portals_fault(sign_in, by) {
            return self.say(refused, Some("sign_in_rejected"));
        }
        self.answers.push(Answer { sign_in, session: None, given_at: self.now });
        self.say(Expected::Answered, Some("sign_in_rejected"));
    }

    pub(super) fn give_back(&mut self, answer: usize, browser: usize) {
        let Answer { sign_in, session, given_at } = self.answers[answer];
        if self.now >= given_at + ANSWER || browser != self.sign_ins[sign_in].browser {
            return self.say(Expected::Page, Some("sign_in_rejected"));
        }
        if let Some(session) = session {
            self.sessions[session].is_code_out = true;
        }
        self.say(Expected::AtClient { session }, None);
    }

    pub(super) fn exchange(&mut self, session: usize, by: Client, brought: Brought, fault: Fault) {
        let life = &self.sessions[session];
        if by != life.client {
            return self.say(Expected::InvalidGrant, Some("renewal_rejected"));
        }
        if fault == Fault::Lost {
            return self.say(Expected::Unavailable, None);
        }
        let (is_live, is_past_epoch) = (life.is_live(self.now), self.is_past_epoch(session));
        if is_live && !is_past_epoch && life.generation == 0 && brought == Brought::Everything {
            return self.commit(session, fault, "token_issued");
        }
        if fault == Fault::AnswerLost {
            return self.say(Expected::Unavailable, None);
        }
        if life.is_ended || is_past_epoch {
            self.say(Expected::InvalidGrant, Some("renewal_rejected"));
        } else if !is_live {
            self.say(Expected::InvalidGrant, Some("token_expired"));
        } else if brought != Brought::Everything {
            self.say(Expected::InvalidGrant, Some("renewal_rejected"));
        } else if fault == Fault::EndLost {
            self.say(Expected::Unavailable, Some("reuse_detected"));
        } else {
            // Invariant 26: a second use, and be it the first one's repetition.
            self.end(session);
            self.say(Expected::InvalidGrant, Some("reuse_detected"));
        }
    }

    pub(super) fn waits_for_the_portal(&self) -> bool {
        let is_answered = |sign_in| self.answers.iter().any(|answer| answer.sign_in == sign_in);
        let last = self.sign_ins.len() - 1;
        self.now < self.sign_ins[last].begun_at + TICKET && !is_answered(last)
    }

    pub(super) fn waits_for_the_browser(&self) -> bool {
        self.answers.last().is_some_and(|answer| {
            let is_out = |session: usize| self.sessions[session].is_code_out;
            self.now < answer.given_at + ANSWER && answer.session.is_some_and(|session| !is_out(session))
        })
    }

    pub(super) fn waits_for_the_client(&self) -> bool {
        let last = self.sessions.iter().rfind(|life| life.is_code_out);
        last.is_some_and(|life| life.is_live(self.now) && life.held.is_empty())
    }

    /// Whose sign-in an answer belongs to.
    pub fn client_of(&self, answer: usize) -> Client {
        self.sign_ins[self.answers[answer].sign_in].client
    }

    /// What is worth counting of a step that has been made.
    pub fn remark(&self, step: &Step) -> Option<&'static str> {
        match *step {
            Step::Exchange { session, brought, .. } => match self.event {
                Some("token_issued") => Some("exchanged"),
                Some("reuse_detected") if self.sessions[session].held.is_empty() => {
                    Some("an exchange that nobody has heard of, made again")
                }
                Some("reuse_detected") => Some("a code used twice"),
                Some("token_expired") if self.sessions[session].generation == 0 => Some("a code that died unused"),
                Some("renewal_rejected") if brought != Brought::Everything && !self.sessions[session].is_ended => {
                    Some("a code that does not fit")
                }
                _ => None,
            },
            Step::Return { answer, browser } if browser != self.sign_ins[self.answers[answer].sign_in].browser => {
                Some("an answer in another browser")
            }
            Step::Accept { sign_in, .. } if self.expected == Expected::Answered => {
                let codes = self.answers.iter().filter(|answer| answer.sign_in == sign_in && answer.session.is_some());
                (codes.count() > 1).then_some("two codes of one ticket")
            }
            _ => None,
        }
    }

    /// With the ID token that came with these tokens, expired or not.
    pub(super) fn sign_out(&mut self, session: usize) {
        if !self.sessions[session].may_let_in(self.now) {
            return self.say(Expected::SignedOut, Some("access_denied"));
        }
        self.end(session);
        self.say(Expected::SignedOut, Some("session_revoked"));
    }
}
