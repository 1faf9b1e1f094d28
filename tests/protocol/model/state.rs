//! What a state of the model holds, and how it looks to the product's functions.

use std::{fmt, sync::OnceLock};

use latchkey_token::{
    audit::Reason,
    session::{Predecessor, Presented, Renewal, Revocation, RevocationId, Session, SignIn, Successor},
    tokens::{CodeBinding, CodeVerifier, SealedSuccessor, SecretHash},
    values::{ClientId, Generation, Seconds, Timestamp},
};
use latchkey_token_testkit::fixture;

use super::{ACCESS, CODE, IDLE, Protocol, Who, invariants::Broken};

const TICK_SECONDS: Seconds = 60;
pub const THIEF_SLOT: u8 = 2;
pub const LATE_SLOT: u8 = 3;

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub time: i8,
    pub record: Option<Record>,
    pub clients: [Client; 2],
    pub thief: Invocation,
    /// Every function knows an epoch that is later than the session.
    pub is_past_epoch: bool,
    /// A write whose function has given up.
    pub late_write: Option<Request>,
    /// The invariants that have been broken on the way here.
    pub broken: Broken,
}

/// The session record, and when its last renewal really began.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub generation: u8,
    pub current: Secret,
    pub predecessor: Option<Secret>,
    pub rotated_at: i8,
    pub rotated_really: i8,
    pub access_expires_at: i8,
    pub idle_expires_at: i8,
    pub revoked: Option<Revoked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client {
    /// The generation of the last token that has reached it.
    pub holds: u8,
    pub invocation: Invocation,
}

/// One run of the renewal function, between two of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invocation {
    None,
    /// Before its write, with the candidate that it has drawn.
    Writing(Request, Secret),
    Reading(Request),
    Ending(Reason),
    /// With the generation of the token that it gives out.
    Answering(Answer, u8),
}

/// A refresh token or a code as it was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    pub generation: u8,
    pub secret: Secret,
    pub kind: Kind,
    pub is_of_another_client: bool,
    /// What the function's clock says.
    pub now: i8,
    pub really: i8,
}

/// As what a token is presented. A code under a refresh token's tag: the tag key has leaked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    RefreshToken,
    /// With the redirect URI and the verifier of its sign-in.
    Code,
    CodeOfAnotherRedirectUri,
    CodeOfAnotherVerifier,
}

/// One of the secrets of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Secret {
    /// The one that has been written.
    Written,
    /// Invented, under a tag that is good: the tag key has leaked.
    Forged,
    /// Drawn by whoever has this slot, and not written.
    Candidate(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    Renewed,
    OwnWrite,
    Retried,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revoked {
    SignOut,
    Reuse,
}

impl State {
    pub fn issued(protocol: &Protocol) -> Self {
        let record = Record {
            generation: 0,
            current: Secret::Written,
            predecessor: None,
            rotated_at: 0,
            rotated_really: 0,
            access_expires_at: if protocol.begins_with_code { CODE } else { ACCESS }.min(protocol.absolute),
            idle_expires_at: if protocol.begins_with_code { CODE } else { IDLE }.min(protocol.absolute),
            revoked: None,
        };
        Self {
            time: 0,
            record: Some(record),
            clients: [Client { holds: 0, invocation: Invocation::None }; 2],
            thief: Invocation::None,
            is_past_epoch: false,
            late_write: None,
            broken: Broken::default(),
        }
    }

    /// Nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.thief == Invocation::None
            && self.late_write.is_none()
            && self.clients.iter().all(|client| client.invocation == Invocation::None)
    }

    pub fn invocation(&self, who: Who) -> Invocation {
        match who {
            Who::Client(client) => self.clients[client].invocation,
            Who::Thief => self.thief,
        }
    }

    pub fn set(&mut self, who: Who, invocation: Invocation) {
        match (who, invocation) {
            (Who::Client(client), _) => self.clients[client].invocation = invocation,
            // It may present any token anyway, whether or not an answer reaches it.
            (Who::Thief, Invocation::Answering(..)) => self.thief = Invocation::None,
            (Who::Thief, _) => self.thief = invocation,
        }
    }

    pub fn revoke(&mut self, revoked: Revoked) {
        if let Some(record) = &mut self.record {
            record.revoked.get_or_insert(revoked);
        }
    }
}

impl Record {
    /// As the product's functions see it.
    pub fn session(&self, protocol: &Protocol) -> Session {
        Session {
            generation: Generation::new(self.generation.into()),
            secret_hash: hash(self.generation, self.current),
            predecessor: self.predecessor.map(|predecessor| Predecessor {
                secret_hash: hash(self.generation.wrapping_sub(1), predecessor),
                sealed_successor: seal(self.generation, self.current),
            }),
            rotated_at: moment(self.rotated_at),
            access_expires_at: moment(self.access_expires_at),
            idle_expires_at: moment(self.idle_expires_at),
            absolute_expires_at: moment(protocol.absolute),
            revocation: self
                .revoked
                .map(|_| Revocation::new(moment(0), Reason::ByClient, RevocationId::from_bytes([0; 16]))),
            sign_in: sign_in(protocol, self.generation),
            ..session().clone()
        }
    }

    pub fn of(session: &Session, rotated_really: i8) -> Self {
        Self {
            generation: session.generation.number() as u8,
            current: secret(&session.secret_hash),
            predecessor: session.predecessor.as_ref().map(|predecessor| secret(&predecessor.secret_hash)),
            rotated_at: ticks(session.rotated_at),
            rotated_really,
            access_expires_at: ticks(session.access_expires_at),
            idle_expires_at: ticks(session.idle_expires_at),
            revoked: session.revocation.as_ref().map(|_| Revoked::SignOut),
        }
    }

    /// From the write on, the candidate is the one secret of its generation.
    pub fn with_its_secret_written(self) -> Self {
        Self { current: Secret::Written, ..self }
    }

    pub fn ends_at(&self, protocol: &Protocol) -> i8 {
        self.idle_expires_at.min(protocol.absolute)
    }
}

impl Kind {
    /// Codes that do not fit what they are bound to.
    pub const MISFITS: [Self; 2] = [Self::CodeOfAnotherRedirectUri, Self::CodeOfAnotherVerifier];
    pub const ALL: [Self; 4] =
        [Self::RefreshToken, Self::Code, Self::CodeOfAnotherRedirectUri, Self::CodeOfAnotherVerifier];

    pub fn is_misfit(self) -> bool {
        Self::MISFITS.contains(&self)
    }

    fn binding(self) -> Option<CodeBinding> {
        static MADE: OnceLock<[CodeBinding; 3]> = OnceLock::new();
        let [fitting, of_another_uri, of_another_verifier] = MADE.get_or_init(|| {
            let fitting = fixture::binding();
            let challenge = fitting.code_challenge().copied();
            let other = CodeVerifier::parse(&"w".repeat(43)).unwrap().challenge();
            let of_another_verifier = CodeBinding::from_record(*fitting.redirect_uri_hash(), Some(other));
            [fitting, CodeBinding::new("https://evil.example/", challenge), of_another_verifier]
        });
        match self {
            Self::RefreshToken => None,
            Self::Code => Some(fitting.clone()),
            Self::CodeOfAnotherRedirectUri => Some(of_another_uri.clone()),
            Self::CodeOfAnotherVerifier => Some(of_another_verifier.clone()),
        }
    }
}

impl Request {
    pub fn presented(&self, candidate: Option<Secret>) -> Presented {
        static OTHER: OnceLock<ClientId> = OnceLock::new();
        let other = || OTHER.get_or_init(|| ClientId::parse("other").unwrap());
        Presented {
            binding: self.kind.binding(),
            client_id: if self.is_of_another_client { other() } else { &session().client_id }.clone(),
            generation: Generation::new(self.generation.into()),
            secret_hash: hash(self.generation, self.secret),
            candidate: candidate.map(|candidate| hash(self.generation + 1, candidate)),
        }
    }

    pub fn renewal(&self, protocol: &Protocol, candidate: Secret) -> Renewal {
        let generation = self.generation + 1;
        Renewal {
            key: session().key,
            presented: self.presented(None),
            rules: protocol.rules(false),
            now: moment(self.now),
            successor: Successor {
                generation: Generation::new(generation.into()),
                secret_hash: hash(generation, candidate),
                tag_kid: 1,
                sealed: seal(generation, candidate),
            },
            access_expires_at: moment((self.now + ACCESS).min(protocol.absolute)),
            idle_expires_at: moment((self.now + IDLE).min(protocol.absolute)),
        }
    }
}

impl Secret {
    fn number(self) -> u8 {
        match self {
            Self::Written => 0,
            Self::Forged => 1,
            Self::Candidate(slot) => 2 + slot,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, record, clients, thief, is_past_epoch, late_write, broken } = self;
        write!(
            f,
            "at {time}: {record:?}\n  {clients:?}\n  thief {thief:?}, late {late_write:?}, past epoch {is_past_epoch}, broken {broken:?}"
        )
    }
}

/// What a record of this generation has of the sign-in that its session began with.
pub fn sign_in(protocol: &Protocol, generation: u8) -> Option<SignIn> {
    protocol.begins_with_code.then(|| SignIn {
        binding: Kind::Code.binding().unwrap(),
        nonce: (generation <= 1).then(|| "a nonce".to_owned()),
        resource: if generation <= 1 { vec!["api".to_owned()] } else { Vec::new() },
    })
}

/// What every session of the model has in common.
pub fn session() -> &'static Session {
    static SESSION: OnceLock<Session> = OnceLock::new();
    SESSION.get_or_init(|| fixture::session(1))
}

pub fn seconds(ticks: i8) -> Seconds {
    TICK_SECONDS * Seconds::try_from(ticks).unwrap()
}

pub fn moment(tick: i8) -> Timestamp {
    Timestamp::from_unix_millis(fixture::NOW.unix_millis() + i64::from(tick) * i64::from(TICK_SECONDS) * 1000)
}

fn ticks(moment: Timestamp) -> i8 {
    (moment.millis_since(fixture::NOW) / (i64::from(TICK_SECONDS) * 1000)) as i8
}

fn hash(generation: u8, secret: Secret) -> SecretHash {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&[generation, secret.number()]);
    SecretHash::from_bytes(bytes)
}

fn secret(hash: &SecretHash) -> Secret {
    match hash.as_bytes()[1] {
        0 => Secret::Written,
        1 => Secret::Forged,
        slot => Secret::Candidate(slot - 2),
    }
}

/// Stands for the seal that only this generation's predecessor opens.
pub fn seal(generation: u8, secret: Secret) -> SealedSuccessor {
    let mut bytes = vec![0; 60];
    bytes[..2].copy_from_slice(&[generation, secret.number()]);
    SealedSuccessor::from_bytes(bytes).unwrap()
}
