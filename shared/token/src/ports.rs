//! What the domain needs from the world: time, randomness, keys, and a store whose every method is one
//! capability, so that what a function can do matches what its role may do.

use std::{future::Future, sync::Arc};

use crate::{
    audit::Event,
    documents::{Documents, SignInDocuments},
    failure::{Failure, Unavailable},
    keys::{Algorithm, PublicKeys},
    session::{Renewal, Revocation, Session, WriteOutcome},
    tokens::SingleUse,
    values::{ClientId, Owner, SessionKey, Sid, Subject, Timestamp},
};

/// The time. Read once per request.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// Cryptographic randomness.
pub trait Randomness: Send + Sync {
    /// Fills `bytes` completely, or says that it cannot.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Unavailable>;
}

/// Draws an array of random bytes.
pub(crate) fn random<const N: usize>(source: &dyn Randomness) -> Result<[u8; N], Unavailable> {
    let mut bytes = [0; N];
    source.fill(&mut bytes)?;
    Ok(bytes)
}

/// Where audit events go. One per request: it knows who called.
pub trait Audit: Send + Sync {
    /// Records one event. It returns nothing: a failure to record must not fail the request.
    fn record(&self, event: &Event);
}

/// Where key ring and registrations come from.
pub trait DocumentSource: Send + Sync {
    /// The ones in force; cached.
    fn current(&self, now: Timestamp) -> impl Future<Output = Result<Arc<Documents>, Unavailable>> + Send;

    /// The same after an unknown key id: reloaded, but at most once a minute, so that strangers cannot hammer the
    /// source. Falls back to what is cached.
    fn reloaded(&self, now: Timestamp) -> impl Future<Output = Result<Arc<Documents>, Unavailable>> + Send;
}

impl<T: DocumentSource> DocumentSource for Arc<T> {
    fn current(&self, now: Timestamp) -> impl Future<Output = Result<Arc<Documents>, Unavailable>> + Send {
        T::current(self, now)
    }

    fn reloaded(&self, now: Timestamp) -> impl Future<Output = Result<Arc<Documents>, Unavailable>> + Send {
        T::reloaded(self, now)
    }
}

/// Where ticket keys and registrations come from.
pub trait SignInDocumentSource: Send + Sync {
    /// The ones in force; cached, and never loaded again for what a stranger sends.
    fn sign_in_documents(&self, now: Timestamp) -> impl Future<Output = Result<SignInDocuments, Unavailable>> + Send;
}

impl<T: SignInDocumentSource> SignInDocumentSource for Arc<T> {
    fn sign_in_documents(&self, now: Timestamp) -> impl Future<Output = Result<SignInDocuments, Unavailable>> + Send {
        T::sign_in_documents(self, now)
    }
}

impl<T: PublicKeySource> PublicKeySource for Arc<T> {
    fn public_keys(&self, now: Timestamp) -> impl Future<Output = Result<Arc<PublicKeys>, Unavailable>> + Send {
        T::public_keys(self, now)
    }
}

/// Where the published keys come from.
pub trait PublicKeySource: Send + Sync {
    /// The ones in force; cached.
    fn public_keys(&self, now: Timestamp) -> impl Future<Output = Result<Arc<PublicKeys>, Unavailable>> + Send;
}

/// Creates sessions.
pub trait InsertSession: Send + Sync {
    /// Creates `session`, whose id is new. One request. Done before: the record holds this very session. By another: the
    /// id is taken.
    fn insert(&self, session: &Session) -> impl Future<Output = Result<WriteOutcome, Unavailable>> + Send;
}

/// Why it is not known that an assertion has been redeemed.
#[derive(Clone, Debug)]
pub enum RedemptionFailure {
    /// Nothing was written: the same request may be sent again.
    NotWritten(Unavailable),
    /// The answer was lost: the use may have been recorded, and then the assertion is used up.
    OutcomeUnknown(Unavailable),
}

impl From<RedemptionFailure> for Failure {
    fn from(failure: RedemptionFailure) -> Self {
        match failure {
            RedemptionFailure::NotWritten(unavailable) => Self::Unavailable(unavailable),
            RedemptionFailure::OutcomeUnknown(unavailable) => Self::Unrepeatable(unavailable),
        }
    }
}

/// Creates sessions for assertions that may be used once.
pub trait RedeemAssertion: Send + Sync {
    /// Creates `session`, whose id is new, and records the use of `assertion`: both or neither, in one request. Done
    /// before: the use is recorded for this very session. By another: the assertion has been used.
    fn redeem(
        &self,
        assertion: &SingleUse,
        session: &Session,
    ) -> impl Future<Output = Result<WriteOutcome, RedemptionFailure>> + Send;
}

/// Makes private keys.
pub trait GenerateKey: Send + Sync {
    /// A new private key for an asymmetric `algorithm`, as PKCS#8 PEM.
    fn generate(&self, algorithm: Algorithm) -> Result<String, Unavailable>;
}

/// Which stages a version of a secret carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionStages {
    /// Staged as `AWSCURRENT`: the version is in force.
    pub is_current: bool,
    /// Staged as `AWSPENDING`: a rotation is making this version.
    pub is_pending: bool,
}

/// The ring in force. Has no `Debug`: a ring is all secrets.
pub struct CurrentRing {
    /// The id of its version.
    pub version: String,
    /// The document.
    pub ring: String,
}

/// What became of putting a version in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotion {
    /// It is in force, or was until somebody built another one upon it.
    Promoted,
    /// Another version is in force than the one that was to be replaced; nothing has been changed.
    RingChanged,
}

/// A document that is derived from the key ring, for those who may not read the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DerivedDocument {
    /// `verification-keys`: what access tokens and the tags of refresh tokens are verified with.
    VerificationKeys,
    /// `ticket-keys`: what sign-ins and registrations are sealed with.
    TicketKeys,
    /// `public-keys`: what discovery publishes.
    PublicKeys,
}

impl DerivedDocument {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 3] = [Self::VerificationKeys, Self::TicketKeys, Self::PublicKeys];

    /// The name of its secret in the documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerificationKeys => "verification-keys",
            Self::TicketKeys => "ticket-keys",
            Self::PublicKeys => "public-keys",
        }
    }
}

/// The versions of the key ring's secret, and the secrets of what is derived from it.
pub trait RingVersions: Send + Sync {
    /// `None` if there is no such version.
    fn stages(&self, version: &str) -> impl Future<Output = Result<Option<VersionStages>, Unavailable>> + Send;

    /// The ring in force, and which version it is.
    fn current(&self) -> impl Future<Output = Result<CurrentRing, Unavailable>> + Send;

    /// The value of a version; `None` if it has none yet.
    fn value(&self, version: &str) -> impl Future<Output = Result<Option<String>, Unavailable>> + Send;

    /// Gives `version` its value and stages it as pending.
    fn stage_pending(&self, version: &str, ring: &str) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Puts `version` in force in the place of exactly the version `replaced`.
    fn make_current(
        &self,
        version: &str,
        replaced: &str,
    ) -> impl Future<Output = Result<Promotion, Unavailable>> + Send;

    /// A derived document as it is published; `None` before the first time.
    fn published(&self, document: DerivedDocument) -> impl Future<Output = Result<Option<String>, Unavailable>> + Send;

    /// Publishes a derived document; writes nothing if this text is published already.
    fn publish(&self, document: DerivedDocument, text: &str) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// LibreChat's own secret, where the deployment names one.
    fn librechat_secret(&self) -> impl Future<Output = Result<Option<LibreChatSecret>, Unavailable>> + Send;
}

/// LibreChat's own secret, as others keep it. Has no `Debug`.
pub enum LibreChatSecret {
    /// The text that is kept there.
    Text(String),
    /// It cannot be read, and asking again does not help. Says why.
    Unreadable(String),
}

/// What became of a conditional renewal.
pub type RenewalOutcome = WriteOutcome<Session, Option<Session>>;

/// Renews sessions.
pub trait RenewSession: Send + Sync {
    /// Writes `renewal` exactly if [`decide`](crate::session::decide) would say `Renewed(Due)`. One request, no read. The
    /// record as it now stands, or the one that stood in the way if there is one, as [`Renewal::refused_by`] judges it.
    fn renew(&self, renewal: &Renewal) -> impl Future<Output = Result<RenewalOutcome, Unavailable>> + Send;
}

/// Reads single sessions.
pub trait ReadSession: Send + Sync {
    /// Strongly consistent.
    fn read(&self, key: &SessionKey) -> impl Future<Output = Result<Option<Session>, Unavailable>> + Send;

    /// Whose session it is, also where the rest of its record cannot be read. The key proves the record's word: its owner is
    /// a hash of both. `None`: there is no record. A record that says nothing of the kind is a failure. Strongly consistent.
    fn whose(&self, key: &SessionKey) -> impl Future<Output = Result<Option<(ClientId, Subject)>, Unavailable>> + Send {
        async { Ok(self.read(key).await?.map(|session| (session.client_id, session.subject))) }
    }
}

/// A part of an owner's sessions, in the order of their sids.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// What is in it; perhaps nothing, even if more comes.
    pub items: Vec<T>,
    /// The next page is what comes after this sid; `None`: this was the last one.
    pub next: Option<Sid>,
}

/// Lists sessions; strongly consistent.
pub trait ListSessions: Send + Sync {
    /// All records of an owner that can be read, whatever their state.
    fn list(&self, owner: &Owner) -> impl Future<Output = Result<Vec<Session>, Unavailable>> + Send;

    /// The owner's sessions with a sid greater than `after` that have not been revoked: `limit` of them at most, those that
    /// can be read. One request.
    fn page(
        &self,
        owner: &Owner,
        after: &Sid,
        limit: usize,
    ) -> impl Future<Output = Result<Page<Session>, Unavailable>> + Send;

    /// The keys of the owner's sessions with a sid greater than `after` that have not been revoked, whether or not their
    /// records can be read. With a client: those whose records say that they are its. One request.
    fn keys(
        &self,
        owner: &Owner,
        after: &Sid,
        client: Option<&ClientId>,
    ) -> impl Future<Output = Result<Page<SessionKey>, Unavailable>> + Send;
}

/// Ends sessions.
pub trait RevokeSession: Send + Sync {
    /// Ends the session. Done before: the record holds this very revocation. By another: it is unknown, or has been ended
    /// already. One request, and a read if the condition does not hold; never creates a record.
    fn revoke(
        &self,
        key: &SessionKey,
        revocation: &Revocation,
    ) -> impl Future<Output = Result<WriteOutcome, Unavailable>> + Send;
}
