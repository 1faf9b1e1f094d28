//! What must happen, in the words of the design and without a line of the product: sessions as five numbers and two
//! flags, and for each step the answer, the writes and the audit event that it must have.

mod sign_ins;
mod steps;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

pub use sign_ins::{Answer, BROWSERS, Brought, SignIn};

/// A day, in seconds.
const DAY: u32 = 86_400;
/// A moment in January 2027, not on a full second.
pub const BEGIN: i64 = 1_800_000_000_123;
/// How far a clock may be behind the furthest so far, in milliseconds.
const BEHIND: i64 = 45_000;
/// Keys verify for fifteen days after the last token was signed with them, and no token lives longer than seven.
const KEY_OUTLIVES_TOKEN: u32 = 8 * DAY;
pub const MAX_ROTATIONS: usize = 3;
pub const SUBJECTS: [&str; 2] = ["alice", "bob"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Confidential; renews with the access token.
    Desk,
    /// Public; the refresh token is enough.
    Spa,
}

impl Client {
    pub fn id(self) -> &'static str {
        match self {
            Self::Desk => "desk",
            Self::Spa => "spa",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::Desk => Self::Spa,
            Self::Spa => Self::Desk,
        }
    }
}

/// Both may act for both clients, and see each other's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    Portal,
    Office,
}

impl Issuer {
    pub fn id(self) -> &'static str {
        match self {
            Self::Portal => "portal",
            Self::Office => "office",
        }
    }
}

/// Whose sessions an epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Governed {
    Everybody,
    Client(Client),
    Issuer(Issuer),
}

/// `sessions_not_before` of each, in Unix seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epochs {
    pub everybody: i64,
    pub desk: i64,
    pub spa: i64,
    pub portal: i64,
    pub office: i64,
}

impl Epochs {
    fn place(&mut self, whose: Governed) -> &mut i64 {
        match whose {
            Governed::Everybody => &mut self.everybody,
            Governed::Client(Client::Desk) => &mut self.desk,
            Governed::Client(Client::Spa) => &mut self.spa,
            Governed::Issuer(Issuer::Portal) => &mut self.portal,
            Governed::Issuer(Issuer::Office) => &mut self.office,
        }
    }

    /// The greatest that applies, in Unix milliseconds.
    fn of(mut self, client: Client, issuer: Issuer) -> i64 {
        let all = [Governed::Everybody, Governed::Client(client), Governed::Issuer(issuer)];
        all.map(|whose| *self.place(whose)).into_iter().max().unwrap_or_default() * 1000
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Issuer,
    Client(Client),
}

/// Seconds.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub access: u32,
    pub grace: u32,
    pub window: u32,
    pub idle: u32,
    pub absolute: u32,
    pub retry_desk: u32,
    pub retry_spa: u32,
}

impl Settings {
    fn retry(&self, client: Client) -> u32 {
        match client {
            Client::Desk => self.retry_desk,
            Client::Spa => self.retry_spa,
        }
    }
}

/// One session. Times are Unix milliseconds.
#[derive(Clone, Debug)]
pub struct Life {
    pub client: Client,
    pub issuer: Issuer,
    issued_at: i64,
    pub subject: &'static str,
    pub generation: u32,
    pub rotated_at: i64,
    pub access_expires_at: i64,
    pub idle_expires_at: i64,
    pub absolute_expires_at: i64,
    pub is_ended: bool,
    access_seconds: u32,
    pub begins_with_code: bool,
    /// Whether the code has come to its client, and to whoever has watched.
    pub is_code_out: bool,
    /// `exp` of the access token that came with each refresh token that has reached anybody.
    pub held: BTreeMap<u32, i64>,
}

impl Life {
    pub fn ends_at(&self) -> i64 {
        self.idle_expires_at.min(self.absolute_expires_at)
    }

    fn is_live(&self, now: i64) -> bool {
        !self.is_ended && now < self.ends_at()
    }

    /// Its access tokens may still let somebody in, idle or not.
    fn may_let_in(&self, now: i64) -> bool {
        !self.is_ended && now < self.absolute_expires_at
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The request does not reach the store.
    Lost,
    /// The store does it, and says so to nobody.
    AnswerLost,
    /// The answer is lost, and the SDK asks again.
    SeenTwice,
    /// The write that ends the session does not reach the store.
    EndLost,
}

/// Which access token comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Companion {
    /// The one that came with the refresh token.
    Own,
    None,
    /// The latest of this session.
    Of(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Refresh,
    Access,
}

#[derive(Clone, Debug)]
pub enum Step {
    Issue {
        issuer: Issuer,
        client: Client,
        subject: &'static str,
        expires_in: Option<u32>,
    },
    Renew {
        session: usize,
        generation: u32,
        by: Client,
        companion: Companion,
        fault: Fault,
    },
    /// The refresh token with one bit changed.
    Forge {
        session: usize,
        generation: u32,
        bit: usize,
    },
    Revoke {
        session: usize,
        generation: u32,
        by: Caller,
        token: Token,
    },
    Introspect {
        session: usize,
        generation: u32,
        by: Caller,
        token: Token,
    },
    /// To an address that its client is registered for, or to another one.
    Begin {
        client: Client,
        browser: usize,
        is_registered: bool,
    },
    Accept {
        sign_in: usize,
        by: Issuer,
        subject: &'static str,
        fault: Fault,
    },
    Reject {
        sign_in: usize,
        by: Issuer,
    },
    /// By the browser that has begun, or the other one.
    Return {
        answer: usize,
        browser: usize,
    },
    Exchange {
        session: usize,
        by: Client,
        brought: Brought,
        fault: Fault,
    },
    /// The code with one bit changed.
    ForgeCode {
        session: usize,
        bit: usize,
    },
    /// With the ID token that came with the refresh token of this generation.
    SignOut {
        session: usize,
        generation: u32,
    },
    EndOne {
        session: usize,
    },
    EndAll {
        subject: &'static str,
    },
    List {
        subject: &'static str,
    },
    /// Milliseconds; a little backwards, too.
    Clock(i64),
    RotateKeys,
    /// Of every function: what they had in memory is gone.
    Restart,
    Settings(Settings),
    /// So many seconds from now; an epoch never goes back.
    Epoch {
        whose: Governed,
        from_now: i64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Nothing,
    /// New tokens; of a retry, the same refresh token as before if that has reached anybody.
    Tokens {
        session: usize,
        generation: u32,
        iat: i64,
        exp: i64,
    },
    InvalidGrant,
    InvalidRequest,
    WindowClosed,
    InvalidClient,
    Unavailable,
    Page,
    /// With a ticket.
    AtPortal,
    Answered,
    /// With the code of a session, or with an error.
    AtClient {
        session: Option<usize>,
    },
    UnauthorizedClient,
    SignedOut,
    Revoked,
    Active(bool),
    Ended(usize),
    Listed(Vec<usize>),
}

#[derive(Clone, Debug)]
pub struct World {
    pub now: i64,
    furthest: i64,
    pub settings: Settings,
    pub epochs: Epochs,
    pub sessions: Vec<Life>,
    pub sign_ins: Vec<SignIn>,
    pub answers: Vec<Answer>,
    pub rotations: usize,
    /// What the last step must have come to.
    pub expected: Expected,
    pub event: Option<&'static str>,
    /// Writes so far.
    pub writes: usize,
}

impl World {
    fn seconds(&self) -> i64 {
        self.now.div_euclid(1000)
    }

    fn after(&self, seconds: u32) -> i64 {
        self.now + i64::from(seconds) * 1000
    }

    /// Whether the session is older than an epoch in force.
    pub fn is_past_epoch(&self, session: usize) -> bool {
        let life = &self.sessions[session];
        life.issued_at < self.epochs.of(life.client, life.issuer)
    }

    /// Whether the access token is young enough that no rotation has retired its key.
    fn still_verifies(&self, session: usize, generation: u32, companion: Companion) -> bool {
        let held = match companion {
            Companion::Own => &self.sessions[session].held,
            Companion::Of(other) => &self.sessions[other].held,
            Companion::None => return true,
        };
        let exp = match companion {
            Companion::Own => held[&generation],
            _ => *held.last_key_value().unwrap().1,
        };
        self.seconds() < exp + i64::from(KEY_OUTLIVES_TOKEN)
    }

    fn say(&mut self, expected: Expected, event: Option<&'static str>) {
        self.expected = expected;
        self.event = event;
    }

    fn issue(&mut self, issuer: Issuer, client: Client, subject: &'static str, expires_in: Option<u32>) {
        if self.now < self.epochs.of(client, issuer) {
            return self.say(Expected::Unavailable, None);
        }
        let access = self.settings.access;
        let access_seconds = expires_in.map_or(access, |asked| asked.min(access));
        let mut life = self.life(issuer, client, subject, access_seconds);
        let exp = life.access_expires_at.div_euclid(1000);
        life.held.insert(0, exp);
        self.sessions.push(life);
        self.writes += 1;
        let session = self.sessions.len() - 1;
        self.say(Expected::Tokens { session, generation: 0, iat: self.seconds(), exp }, Some("token_issued"));
    }

    /// A session that begins now, and whose tokens have reached nobody yet.
    fn life(&self, issuer: Issuer, client: Client, subject: &'static str, access_seconds: u32) -> Life {
        let absolute_expires_at = self.after(self.settings.absolute);
        Life {
            client,
            issuer,
            issued_at: self.now,
            subject,
            generation: 0,
            rotated_at: self.now,
            access_expires_at: self.after(access_seconds).min(absolute_expires_at),
            idle_expires_at: self.after(self.settings.idle).min(absolute_expires_at),
            absolute_expires_at,
            is_ended: false,
            access_seconds,
            begins_with_code: false,
            is_code_out: false,
            held: BTreeMap::new(),
        }
    }

    fn renew(&mut self, session: usize, generation: u32, by: Client, companion: Companion, fault: Fault) {
        let life = &self.sessions[session];
        if by == Client::Desk && companion == Companion::None {
            return self.say(Expected::InvalidRequest, Some("renewal_rejected"));
        }
        let is_foreign = matches!(companion, Companion::Of(other) if other != session);
        if by != life.client || is_foreign {
            return self.say(Expected::InvalidGrant, Some("renewal_rejected"));
        }
        let exp = match companion {
            Companion::Of(_) => *life.held.last_key_value().unwrap().1,
            Companion::Own | Companion::None => life.held[&generation],
        };
        let may_come_until = (exp + i64::from(self.settings.grace)) * 1000;
        let in_time_at = |moment: i64| by == Client::Spa || moment < may_come_until;
        let reads_only = !in_time_at(self.now);
        if fault == Fault::Lost || reads_only && fault == Fault::AnswerLost {
            return self.say(Expected::Unavailable, None);
        }
        let behind = life.generation - generation;
        let opens_at = life.access_expires_at - i64::from(self.settings.window) * 1000;
        let is_open = self.settings.window == 0 || self.now >= opens_at;
        let is_past_epoch = self.is_past_epoch(session);
        if life.is_live(self.now) && !is_past_epoch && behind == 0 && is_open && !reads_only {
            return self.commit(session, fault, "token_renewed");
        }
        let life = &self.sessions[session];
        if fault == Fault::AnswerLost {
            return self.say(Expected::Unavailable, None);
        }
        if life.is_ended || is_past_epoch {
            return self.say(Expected::InvalidGrant, Some("renewal_rejected"));
        }
        if !life.is_live(self.now) {
            return self.say(Expected::InvalidGrant, Some("token_expired"));
        }
        let elapsed = (self.now - life.rotated_at).max(0);
        let retry = i64::from(self.settings.retry(life.client)) * 1000;
        match behind {
            0 if reads_only => self.say(Expected::InvalidGrant, Some("token_expired")),
            0 => self.say(Expected::WindowClosed, Some("renewal_rejected")),
            1 if retry > 0 && elapsed <= retry => {
                if in_time_at(life.rotated_at.min(self.now)) {
                    self.retry(session, elapsed);
                } else {
                    self.say(Expected::InvalidGrant, Some("token_expired"));
                }
            }
            _ if fault == Fault::EndLost => self.say(Expected::Unavailable, Some("reuse_detected")),
            _ => {
                self.end(session);
                self.say(Expected::InvalidGrant, Some("reuse_detected"));
            }
        }
    }

    fn commit(&mut self, session: usize, fault: Fault, event: &'static str) {
        let (now, seconds, idle_expires_at) = (self.now, self.seconds(), self.after(self.settings.idle));
        let access_expires_at = self.after(self.sessions[session].access_seconds.min(self.settings.access));
        let life = &mut self.sessions[session];
        life.generation += 1;
        life.rotated_at = now;
        life.access_expires_at = access_expires_at.min(life.absolute_expires_at);
        life.idle_expires_at = idle_expires_at.min(life.absolute_expires_at);
        let (generation, exp) = (life.generation, life.access_expires_at.div_euclid(1000));
        self.writes += 1;
        if fault == Fault::AnswerLost {
            return self.say(Expected::Unavailable, None);
        }
        self.sessions[session].held.insert(generation, exp);
        self.say(Expected::Tokens { session, generation, iat: seconds, exp }, Some(event));
    }

    fn retry(&mut self, session: usize, elapsed: i64) {
        let life = &self.sessions[session];
        let first = (life.rotated_at.div_euclid(1000), life.access_expires_at.div_euclid(1000));
        let fresh = self.after(life.access_seconds.min(self.settings.access)).min(life.absolute_expires_at);
        let is_repeated = elapsed <= 60_000 && first.1 > self.seconds();
        let (iat, exp) = if is_repeated { first } else { (self.seconds(), fresh.div_euclid(1000)) };
        let generation = life.generation;
        self.sessions[session].held.insert(generation, exp);
        self.say(Expected::Tokens { session, generation, iat, exp }, Some("token_retried"));
    }

    fn end(&mut self, session: usize) {
        self.sessions[session].is_ended = true;
        self.writes += 1;
    }

    /// A refresh token's worth without using it: `Some(true)` if it is current, `Some(false)` if it could be retried.
    fn worth(&self, session: usize, generation: u32) -> Option<bool> {
        let life = &self.sessions[session];
        let elapsed = (self.now - life.rotated_at).max(0);
        let retry = i64::from(self.settings.retry(life.client)) * 1000;
        match life.generation - generation {
            _ if !life.is_live(self.now) || self.is_past_epoch(session) => None,
            0 => Some(true),
            1 if retry > 0 && elapsed <= retry => Some(false),
            _ => None,
        }
    }

    fn revoke(&mut self, session: usize, generation: u32, by: Caller, token: Token) {
        let life = &self.sessions[session];
        let is_callers = by == Caller::Issuer || by == Caller::Client(life.client);
        let is_good = match token {
            // Whatever its generation, idle or not.
            Token::Refresh => self.now < life.absolute_expires_at,
            Token::Access => life.held[&generation] > self.seconds(),
        };
        if !is_callers || !is_good || life.is_ended {
            return self.say(Expected::Revoked, Some("access_denied"));
        }
        self.end(session);
        self.say(Expected::Revoked, Some("session_revoked"));
    }

    fn introspect(&mut self, session: usize, generation: u32, by: Caller, token: Token) {
        let life = &self.sessions[session];
        let (is_shown, is_live) = match token {
            Token::Refresh => (by == Caller::Issuer, self.worth(session, generation) == Some(true)),
            Token::Access => (
                by == Caller::Issuer || by == Caller::Client(life.client),
                self.now < life.held[&generation] * 1000 && life.may_let_in(self.now) && !self.is_past_epoch(session),
            ),
        };
        match by {
            Caller::Client(Client::Spa) => self.say(Expected::InvalidClient, Some("client_rejected")),
            _ if is_shown && is_live => self.say(Expected::Active(true), None),
            _ => self.say(Expected::Active(false), Some("access_denied")),
        }
    }

    /// Those that have not been ended and not come to their absolute expiry.
    fn going_of(&self, subject: &str) -> Vec<usize> {
        let live = |life: &Life| life.subject == subject && life.may_let_in(self.now);
        self.sessions.iter().enumerate().filter(|(_, life)| live(life)).map(|(session, _)| session).collect()
    }

    fn end_all(&mut self, sessions: &[usize]) {
        sessions.iter().for_each(|session| self.end(*session));
        self.say(Expected::Ended(sessions.len()), (!sessions.is_empty()).then_some("session_revoked"));
    }
}

impl ReferenceStateMachine for World {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let world = |settings| Self {
            now: BEGIN,
            furthest: BEGIN,
            settings,
            epochs: Epochs::default(),
            sessions: Vec::new(),
            sign_ins: Vec::new(),
            answers: Vec::new(),
            rotations: 0,
            expected: Expected::Nothing,
            event: None,
            writes: 0,
        };
        steps::settings().prop_map(world).boxed()
    }

    fn transitions(world: &Self) -> BoxedStrategy<Step> {
        world.steps()
    }

    fn preconditions(world: &Self, step: &Step) -> bool {
        let holds = |session: usize, generation: u32| {
            world.sessions.get(session).is_some_and(|life| life.held.contains_key(&generation))
        };
        match step {
            Step::Renew { session, generation, companion, .. } => {
                let exists = match companion {
                    Companion::Of(other) => world.sessions.get(*other).is_some_and(|life| !life.held.is_empty()),
                    Companion::Own | Companion::None => true,
                };
                exists && holds(*session, *generation) && world.still_verifies(*session, *generation, *companion)
            }
            Step::Forge { session, generation, .. }
            | Step::Revoke { session, generation, .. }
            | Step::Introspect { session, generation, .. } => holds(*session, *generation),
            Step::Accept { sign_in, .. } | Step::Reject { sign_in, .. } => *sign_in < world.sign_ins.len(),
            Step::Return { answer, .. } => *answer < world.answers.len(),
            Step::Exchange { session, .. } | Step::ForgeCode { session, .. } => {
                world.sessions.get(*session).is_some_and(|life| life.is_code_out)
            }
            Step::SignOut { session, generation } => {
                holds(*session, *generation) && world.still_verifies(*session, *generation, Companion::Own)
            }
            Step::EndOne { session } => *session < world.sessions.len(),
            Step::Clock(millis) => world.now + millis >= world.furthest - BEHIND,
            Step::RotateKeys => world.rotations < MAX_ROTATIONS,
            _ => true,
        }
    }

    fn apply(mut world: Self, step: &Step) -> Self {
        match *step {
            Step::Issue { issuer, client, subject, expires_in } => world.issue(issuer, client, subject, expires_in),
            Step::Renew { session, generation, by, companion, fault } => {
                world.renew(session, generation, by, companion, fault);
            }
            Step::Begin { client, browser, is_registered } => world.begin(client, browser, is_registered),
            Step::Accept { sign_in, by, subject, fault } => world.accept(sign_in, by, subject, fault),
            Step::Reject { sign_in, by } => world.reject(sign_in, by),
            Step::Return { answer, browser } => world.give_back(answer, browser),
            Step::Exchange { session, by, brought, fault } => world.exchange(session, by, brought, fault),
            Step::SignOut { session, .. } => world.sign_out(session),
            Step::Forge { .. } | Step::ForgeCode { .. } => world.say(Expected::InvalidGrant, Some("renewal_rejected")),
            Step::Revoke { session, generation, by, token } => world.revoke(session, generation, by, token),
            Step::Introspect { session, generation, by, token } => world.introspect(session, generation, by, token),
            Step::EndOne { session } => {
                let life = &world.sessions[session];
                let is_over = life.is_dead_code(world.now) || world.is_past_epoch(session);
                let is_going = life.may_let_in(world.now) && !is_over;
                world.end_all(if is_going { std::slice::from_ref(&session) } else { &[] });
            }
            Step::EndAll { subject } => {
                // From keys alone, so what an epoch has ended is ended once more, and a dead code as well.
                let going = world.going_of(subject);
                world.end_all(&going);
            }
            Step::List { subject } => {
                let mut live = world.going_of(subject);
                let is_dead_code = |session: usize| world.sessions[session].is_dead_code(world.now);
                live.retain(|session| !world.is_past_epoch(*session) && !is_dead_code(*session));
                live.sort_unstable();
                world.say(Expected::Listed(live), None);
            }
            Step::Clock(millis) => {
                world.now += millis;
                world.furthest = world.furthest.max(world.now);
                world.say(Expected::Nothing, None);
            }
            Step::RotateKeys => {
                world.rotations += 1;
                world.say(Expected::Nothing, None);
            }
            Step::Restart => world.say(Expected::Nothing, None),
            Step::Settings(settings) => {
                world.settings = settings;
                world.say(Expected::Nothing, None);
            }
            Step::Epoch { whose, from_now } => {
                let at = world.seconds() + from_now;
                let epoch = world.epochs.place(whose);
                *epoch = at.max(*epoch);
                world.say(Expected::Nothing, None);
            }
        }
        world
    }
}
