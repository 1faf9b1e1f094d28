//! Renewal: the refresh token, and usually the current access token, for new ones.
//!
//! Order of checks: client → scope's form → resources → refresh token's tag → access token's signature and binding → a signer
//! is at hand → access token's times → one conditional write → sign. Nothing before the write changes state.

use super::{
    client::{ClientCheck, ClientIdentification},
    mint::{Mint, TokenSet, Validity},
    opening::has_librechat_id,
};
use crate::{
    audit::{Event, EventKind, Reason},
    documents::{Documents, Signers},
    failure::{Failure, Refusal, Unavailable},
    keys::{KeyRing, TagKey},
    management::Mentioning,
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, Randomness, ReadSession, RenewSession, RevokeSession, random},
    registrations::{Client, ClientPolicy, Epochs, Profile, RenewalRequirement, epoch_unreadable},
    session::{Decision, Presented, Renewal, RenewalRules, Revocation, RevocationId, Session, Successor, decide},
    tokens::{
        AuthenticAccessToken, CodeBinding, NotASessionToken, Purpose, RefreshSecret, RefreshToken, SealedSuccessor,
        UnverifiedAccessToken, UnverifiedRefreshToken,
    },
    values::{AskedScope, Generation, Seconds, Timestamp},
};

/// A retry this soon after the renewal repeats the renewal's claims; a later one gets a fresh access token.
const IDENTICAL_RETRY_SECONDS: i64 = 60;

/// A parsed request to `POST /token/renew`.
pub struct RenewRequest {
    /// The client, as the request names it.
    pub client: ClientIdentification,
    /// The refresh token as it was sent; nothing of it has been checked.
    pub refresh_token: String,
    /// The access token as it was sent, in the body or the Authorization header; `None` if there was none.
    pub access_token: Option<String>,
    /// Narrows this answer's access token.
    pub scope: Option<String>,
    /// `resource`, all of them (RFC 8707 §2): narrows `aud` of this answer's access token; empty: does not.
    pub resource: Vec<String>,
}

/// What renewal needs.
pub struct Renew<'a, S, D> {
    /// Where sessions are renewed, read and ended.
    pub store: &'a S,
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings; a client's own settings replace some of them.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// What the next refresh token's secret and the nonce of its seal are drawn from.
    pub randomness: &'a dyn Randomness,
    /// Where the request's events are recorded.
    pub audit: &'a dyn Audit,
}

/// What the request holds, taken apart and not yet believed.
struct Unverified<'a> {
    client: &'a ClientIdentification,
    refresh_token: Result<UnverifiedRefreshToken, NotASessionToken>,
    access_token: Option<Result<UnverifiedAccessToken<'a>, Reason>>,
    resource: &'a [String],
    now: Timestamp,
}

impl Unverified<'_> {
    /// Whether a token names a key that `keys` does not have: perhaps it is newer than what is cached.
    fn names_a_key_unknown_to(&self, keys: &KeyRing) -> bool {
        let now = self.now.unix_seconds();
        let tag_key =
            self.refresh_token.as_ref().is_ok_and(|token| matches!(keys.tag_key(token.tag_kid(), now), Ok(None)));
        let key = matches!(&self.access_token, Some(Ok(token)) if matches!(keys.verifier(token.kid(), now), Ok(None)));
        tag_key || key
    }
}

/// A request whose refresh token, client and access token are authentic and belong together.
pub(super) struct Authentic<'a> {
    pub documents: &'a Documents,
    pub client: &'a Client,
    pub policy: ClientPolicy,
    pub epochs: Epochs,
    /// Refresh token or code: from here on both are alike.
    pub token: RefreshToken,
    /// What came along with a code.
    pub binding: Option<CodeBinding>,
    pub access_token: Option<AuthenticAccessToken>,
    pub scope: Option<AskedScope<'a>>,
    /// The audiences that the request asks for; empty: it does not say.
    pub audience: Vec<String>,
    pub now: Timestamp,
}

impl Authentic<'_> {
    /// Whether the access token, as it stands now, would have allowed a renewal at `moment`.
    fn times_hold_at(&self, moment: Timestamp) -> bool {
        match (self.policy.requires, &self.access_token) {
            (RenewalRequirement::AccessToken, Some(token)) => {
                !token.is_from_the_future(self.now) && token.is_renewable_at(moment, &self.policy)
            }
            (RenewalRequirement::AccessToken, None) => false,
            (RenewalRequirement::RefreshToken, _) => true,
        }
    }

    /// What the audit trail says of times that do not hold.
    fn untimely(&self) -> (EventKind, Reason) {
        match self.access_token.as_ref().is_some_and(|token| token.is_from_the_future(self.now)) {
            true => (EventKind::RenewalRejected, Reason::AccessTokenFromTheFuture),
            false => (EventKind::TokenExpired, Reason::AccessTokenExpired),
        }
    }

    fn rules(&self) -> RenewalRules {
        RenewalRules {
            retry_seconds: self.policy.retry_seconds,
            window_seconds: self.policy.window_seconds,
            epochs: self.epochs.clone(),
        }
    }

    /// The session's own term, and never more than is registered today.
    fn access_token_seconds(&self) -> Seconds {
        self.policy.access_token_seconds.min(self.token.session.sid.access_token_seconds())
    }

    fn presented(&self) -> Presented {
        Presented {
            client_id: self.client.client_id.clone(),
            generation: self.token.generation,
            secret_hash: self.token.secret().hash(),
            candidate: None,
            binding: self.binding.clone(),
        }
    }

    /// An event about this request and, where it is known, the session as the store has it.
    fn event(&self, kind: EventKind, session: Option<&Session>) -> Event {
        let event = Event::new(kind).client(&self.client.client_id).session(&self.token.session, self.token.generation);
        let keys = &self.documents.keys;
        let event = match (session, &self.access_token) {
            (Some(session), _) => event.subject(keys.audit_name(&session.subject)).issuer(&session.issuer_id),
            (None, Some(token)) => event.subject(keys.audit_name(&token.subject)),
            (None, None) => event,
        };
        match &self.access_token {
            None => event,
            Some(token) => Event {
                seconds_to_expiry: Some(token.seconds_to_expiry(self.now)),
                in_grace: Some(token.is_expired_at(self.now) && token.is_renewable_at(self.now, &self.policy)),
                ..event
            },
        }
    }
}

/// Why there is no answer from a write.
#[derive(Clone, Copy)]
enum Attempt {
    /// Its condition did not hold.
    Refused,
    /// The access token's times are wrong: the record was read instead.
    TimesWrong,
}

/// The successor that this invocation has drawn.
struct Candidate {
    generation: Generation,
    secret: RefreshSecret,
}

/// What an answer gives out: a refresh token, and an access token of these times.
struct Answer<'a> {
    kind: EventKind,
    generation: Generation,
    secret: RefreshSecret,
    tag_key: &'a TagKey,
    validity: Validity,
}

impl<S, D> Renew<'_, S, D>
where
    S: RenewSession + ReadSession + RevokeSession,
    D: DocumentSource,
{
    /// Renews with one conditional write and no read. A refused access token whose times alone are wrong costs one
    /// read instead, so that it cannot hide theft.
    pub async fn run(&self, request: RenewRequest) -> Result<TokenSet, Failure> {
        let now = self.clock.now();
        let unverified = Unverified {
            client: &request.client,
            refresh_token: UnverifiedRefreshToken::parse(&request.refresh_token),
            access_token: request.access_token.as_deref().map(UnverifiedAccessToken::parse),
            resource: &request.resource,
            now,
        };
        let source = self.documents_naming(unverified.client, request.access_token.as_deref());
        let mut documents = source.current(now).await?;
        // Who only claims to be a client must not be able to have the keys reloaded, or a scope read.
        let client = self.client_check(now).stated_client(&documents.registrations, unverified.client)?;
        let scope = self.scope(client, request.scope.as_deref())?;
        if unverified.names_a_key_unknown_to(&documents.keys) {
            documents = source.reloaded(now).await?;
        }
        let authentic = self.authenticate(&documents, unverified, scope)?;
        let signers = Signers::choose(&documents.keys, authentic.client, now)?;
        if !authentic.times_hold_at(now) {
            let record = self.store.read(&authentic.token.session).await?;
            return self.conclude(&authentic, &signers, record, Attempt::TimesWrong).await;
        }

        self.write(&authentic, &signers).await
    }

    /// One conditional write, and the answer that comes of it.
    pub(super) async fn write(&self, authentic: &Authentic<'_>, signers: &Signers<'_>) -> Result<TokenSet, Failure> {
        let (renewal, candidate) = self.renewal(authentic, signers)?;
        match self.store.renew(&renewal).await?.done() {
            Ok(session) => self.renewed(authentic, signers, &session, candidate),
            Err(record) => self.conclude(authentic, signers, record, Attempt::Refused).await,
        }
    }

    /// Where the documents come from for a request of this client. The access token counts only where nothing else says
    /// which client it is: another one's is refused in any case.
    pub(super) fn documents_naming<'r>(
        &'r self,
        client: &'r ClientIdentification,
        access_token: Option<&'r str>,
    ) -> Mentioning<'r, D> {
        let token = access_token.filter(|_| matches!(client, ClientIdentification::FromAccessToken));
        Mentioning { source: self.documents, policy: self.policy, ids: client.ids(), token }
    }

    pub(super) fn client_check(&self, now: Timestamp) -> ClientCheck<'_> {
        ClientCheck { policy: self.policy, audit: self.audit, now }
    }

    /// Looks at the form only. That is judged before the tokens are: a client with a bug in it learns which.
    fn scope<'t>(&self, client: Option<&Client>, text: Option<&'t str>) -> Result<Option<AskedScope<'t>>, Failure> {
        let Some(text) = text else { return Ok(None) };
        let Some(asked) = AskedScope::parse(text) else {
            let event = Event::new(EventKind::RenewalRejected).because(Reason::ScopeMalformed);
            self.audit.record(&client.map_or(event.clone(), |client| event.client(&client.client_id)));
            return Err(Refusal::InvalidScope { unregistered: Vec::new() }.into());
        };
        Ok(Some(asked))
    }

    /// Judged like the form of the scope, before the tokens are, and never after the write.
    pub(super) fn audience(&self, client: &Client, resources: &[String]) -> Result<Vec<String>, Failure> {
        client.audience_of(resources).ok_or_else(|| {
            let event = Event::new(EventKind::RenewalRejected).client(&client.client_id);
            self.audit.record(&event.because(Reason::ResourceNotAllowed));
            Refusal::InvalidTarget.into()
        })
    }

    fn authenticate<'a>(
        &self,
        documents: &'a Documents,
        request: Unverified<'_>,
        scope: Option<AskedScope<'a>>,
    ) -> Result<Authentic<'a>, Failure> {
        let now = request.now;
        // Verify the signature last: it is expensive. If only the access token names the client, it has to come first.
        let verify = |token: &Result<UnverifiedAccessToken<'_>, Reason>| match token {
            Ok(token) => token.verify(&documents.keys, &documents.registrations, self.policy, Purpose::RenewOrEnd, now),
            Err(rejection) => Ok(Err(*rejection)),
        };
        let check = self.client_check(now);
        let (client, naming_access_token) = match check.stated_client(&documents.registrations, request.client)? {
            Some(client) => (client, None),
            None => {
                let token = self.naming_access_token(check, request.access_token.as_ref().map(verify).transpose()?)?;
                (check.public_client(&documents.registrations, &[token.client_id.to_string()])?, Some(token))
            }
        };
        let audience = self.audience(client, request.resource)?;
        let policy = self.policy.for_client(client);
        let epochs = documents.registrations.epochs(&client.client_id)?;
        let rejected = |reason| {
            self.audit.record(&Event::new(EventKind::RenewalRejected).client(&client.client_id).because(reason));
        };
        if policy.requires == RenewalRequirement::AccessToken && request.access_token.is_none() {
            rejected(Reason::AccessTokenMissing);
            let text = "access_token is missing: this client renews with the access token of the same session";
            return Err(Refusal::InvalidRequest(text.into()).into());
        }
        // Other software adds a Bearer of its own. It says nothing about this session, so it must not cost it: clients drop their
        // tokens at `invalid_grant`. Judged before the refresh token, so that the answer says nothing about that either.
        let foreign = match &request.access_token {
            Some(token) if policy.requires == RenewalRequirement::RefreshToken => match token {
                Ok(token) => token.foreign_because(&documents.keys, now)?,
                Err(reason) => Some(*reason),
            },
            _ => None,
        };
        if let Some(reason) = foreign {
            rejected(reason);
            let text = "the access token is not one of this service: leave it out, this client renews without";
            return Err(Refusal::InvalidRequest(text.into()).into());
        }

        let invalid_grant = |reason| {
            rejected(reason);
            Failure::Refused(Refusal::InvalidGrant)
        };
        let token = request
            .refresh_token
            .map_err(|_| invalid_grant(Reason::RefreshTokenMalformed))?
            .verify(&documents.keys, &client.client_id, now.unix_seconds())?
            .ok_or_else(|| invalid_grant(Reason::RefreshTokenTag))?;
        let access_token = match (naming_access_token, &request.access_token) {
            (Some(token), _) => Some(token),
            (None, Some(token)) => Some(verify(token)?.map_err(&invalid_grant)?),
            (None, None) => None,
        };
        if let Some(access_token) = &access_token {
            if access_token.client_id != client.client_id {
                return Err(invalid_grant(Reason::AccessTokenOfAnotherClient));
            }
            if access_token.session != token.session {
                return Err(invalid_grant(Reason::AccessTokenOfAnotherSession));
            }
        }
        Ok(Authentic { documents, client, policy, epochs, token, binding: None, access_token, scope, audience, now })
    }

    /// Where nothing but the access token says who the client is.
    fn naming_access_token(
        &self,
        check: ClientCheck<'_>,
        verified: Option<Result<AuthenticAccessToken, Reason>>,
    ) -> Result<AuthenticAccessToken, Failure> {
        let (refusal, reason) = match verified {
            Some(Ok(token)) => return Ok(token),
            // Ours, for a client that has been registered once.
            Some(Err(Reason::AccessTokenUnknownClient)) => return Err(check.reject_client(None, Reason::ClientUnknown)),
            Some(Err(rejection)) => (Refusal::InvalidGrant, rejection),
            None => {
                let text = "the client is not named: authenticate, or send client_id or the access token";
                (Refusal::InvalidRequest(text.into()), Reason::ClientNotNamed)
            }
        };
        self.audit.record(&Event::new(EventKind::RenewalRejected).because(reason));
        Err(refusal.into())
    }

    /// Everything that the one write needs, from the refresh token alone: the sid carries the session's terms.
    fn renewal(&self, authentic: &Authentic<'_>, signers: &Signers<'_>) -> Result<(Renewal, Candidate), Failure> {
        let Authentic { token, policy, now, .. } = authentic;
        let Some(generation) = token.generation.next() else {
            self.audit.record(&authentic.event(EventKind::RenewalRejected, None).because(Reason::GenerationsExhausted));
            return Err(Refusal::InvalidGrant.into());
        };
        let secret = RefreshSecret::from_bytes(random(self.randomness)?);
        let nonce = random(self.randomness)?;
        let sealed = SealedSuccessor::seal(token.secret(), &token.session, generation, &secret, nonce)
            .ok_or_else(|| Unavailable::new("cryptography", "the successor could not be sealed"))?;
        let absolute_expires_at = token.session.sid.absolute_expires_at();
        let renewal = Renewal {
            key: token.session,
            presented: authentic.presented(),
            rules: authentic.rules(),
            now: *now,
            successor: Successor { generation, secret_hash: secret.hash(), tag_kid: signers.tagger.kid(), sealed },
            access_expires_at: now.plus(authentic.access_token_seconds()).min(absolute_expires_at),
            idle_expires_at: now.plus(policy.idle_seconds).min(absolute_expires_at),
        };
        Ok((renewal, Candidate { generation, secret }))
    }

    /// Answers from the record that stood in the way of the write, or was read instead of it.
    async fn conclude(
        &self,
        authentic: &Authentic<'_>,
        signers: &Signers<'_>,
        record: Option<Session>,
        attempt: Attempt,
    ) -> Result<TokenSet, Failure> {
        let decision = decide(record.as_ref(), &authentic.presented(), authentic.now, &authentic.rules());
        let refused = |(kind, reason)| {
            self.audit.record(&authentic.event(kind, record.as_ref()).because(reason));
            Err(Refusal::InvalidGrant.into())
        };
        match (decision, &record, attempt) {
            (Decision::Retried, Some(session), _) => self.retried(authentic, signers, session),
            (Decision::Reused(reuse), _, _) => self.reused(authentic, record.as_ref(), reuse).await,
            (Decision::TooEarly { opens_at }, _, Attempt::Refused) => {
                let event = authentic.event(EventKind::RenewalRejected, record.as_ref());
                self.audit.record(&event.because(Reason::WindowClosed));
                Err(window_closed(opens_at, authentic.now).into())
            }
            // The refresh token is current; the access token's times are all that is wrong.
            (Decision::Renewed(_) | Decision::TooEarly { .. }, _, Attempt::TimesWrong) => refused(authentic.untimely()),
            (Decision::Refused(reason @ (Reason::SessionIdleExpired | Reason::SessionAbsoluteExpired)), _, _) => {
                refused((EventKind::TokenExpired, reason))
            }
            (Decision::Refused(Reason::RecordDiffers), _, _) => {
                refused((EventKind::StateMismatch, Reason::RecordDiffers))
            }
            (Decision::Refused(reason), _, _) => refused((EventKind::RenewalRejected, reason)),
            (Decision::Undecided, _, _) => Err(epoch_unreadable().into()),
            // The store refused a write whose condition holds on the record that it gave back.
            (Decision::Renewed(_) | Decision::Retried, _, _) => {
                Err(Unavailable::new("session store", "refused a write although its condition holds").into())
            }
        }
    }

    fn renewed(
        &self,
        authentic: &Authentic<'_>,
        signers: &Signers<'_>,
        session: &Session,
        Candidate { generation, secret }: Candidate,
    ) -> Result<TokenSet, Failure> {
        let validity = match session.generation == generation {
            true => Validity { iat: session.rotated_at.unix_seconds(), exp: session.access_token_exp() },
            // Our write, and already somebody's next one on top of it.
            false => fresh_validity(authentic, session),
        };
        let kind = match authentic.binding {
            Some(_) => EventKind::TokenIssued,
            None => EventKind::TokenRenewed,
        };
        let answer = Answer { kind, generation, secret, tag_key: signers.tagger, validity };
        self.answer(authentic, signers, session, answer)
    }

    fn retried(
        &self,
        authentic: &Authentic<'_>,
        signers: &Signers<'_>,
        session: &Session,
    ) -> Result<TokenSet, Failure> {
        let now = authentic.now;
        let refused = |(kind, reason)| {
            self.audit.record(&authentic.event(kind, Some(session)).because(reason));
            Err(Refusal::InvalidGrant.into())
        };
        // The access token has had time to expire since the renewal whose answer was lost.
        if !authentic.times_hold_at(session.rotated_at.min(now)) {
            return refused(authentic.untimely());
        }
        let secret = session.predecessor.as_ref().and_then(|predecessor| {
            predecessor.sealed_successor.open(authentic.token.secret(), &session.key, session.generation)
        });
        let Some(secret) = secret.filter(|secret| secret.hash() == session.secret_hash) else {
            return refused((EventKind::StateMismatch, Reason::SealDoesNotOpen));
        };
        let first = Validity { iat: session.rotated_at.unix_seconds(), exp: session.access_token_exp() };
        let is_soon = now.millis_since(session.rotated_at) <= IDENTICAL_RETRY_SECONDS * 1000;
        // Nobody is handed a token that has expired, however soon that is.
        let is_alive = first.exp > now.unix_seconds();
        let validity = if is_soon && is_alive { first } else { fresh_validity(authentic, session) };
        // The very same successor, letter for letter, even if another tag key is in use by now.
        let renewals_key = authentic.documents.keys.tag_key(session.tag_kid, now.unix_seconds());
        let tag_key = renewals_key.ok().flatten().unwrap_or(signers.tagger);
        let answer =
            Answer { kind: EventKind::TokenRetried, generation: session.generation, secret, tag_key, validity };
        self.answer(authentic, signers, session, answer)
    }

    fn answer(
        &self,
        authentic: &Authentic<'_>,
        signers: &Signers<'_>,
        session: &Session,
        answer: Answer<'_>,
    ) -> Result<TokenSet, Failure> {
        let Answer { kind, generation, secret, tag_key, validity } = answer;
        let client = authentic.client;
        let mint = Mint { session, client, issuer: &self.policy.issuer, signers, now: authentic.now };
        let signs_in = session.sign_in.as_ref().filter(|_| authentic.binding.is_some());
        let resources = match (authentic.audience.as_slice(), signs_in) {
            ([], Some(sign_in)) => &sign_in.resource,
            (asked, _) => asked,
        };
        let reach = mint.narrowed_reach(authentic.scope, resources);
        // The first ID token has it and no other (OpenID Connect Core §12.2).
        let nonce = signs_in.and_then(|own| own.nonce.as_deref());
        let tokens = mint.token_set(generation, secret, tag_key, validity, reach, nonce)?;
        let lacks_id = client.profile == Profile::LibreChat && !has_librechat_id(&session.claims);
        self.audit.record(&Event {
            jti: Some(tokens.jti.clone()),
            generation: Some(generation.number()),
            // The client became one of LibreChat's after this session was issued: LibreChat will not know the user.
            reason: lacks_id.then_some(Reason::ClaimIdMissing),
            ..authentic.event(kind, Some(session))
        });
        Ok(tokens)
    }

    /// Theft: the audit trail has it whether or not the session can be ended.
    async fn reused(
        &self,
        authentic: &Authentic<'_>,
        record: Option<&Session>,
        reuse: Reason,
    ) -> Result<TokenSet, Failure> {
        self.audit.record(&authentic.event(EventKind::ReuseDetected, record).because(reuse));
        let revocation = Revocation::new(authentic.now, reuse, RevocationId::from_bytes(random(self.randomness)?));
        self.store.revoke(&authentic.token.session, &revocation).await?;
        Err(Refusal::InvalidGrant.into())
    }
}

/// The times of an access token made now, outside of a renewal's write.
fn fresh_validity(authentic: &Authentic<'_>, session: &Session) -> Validity {
    let expires_at = authentic.now.plus(authentic.access_token_seconds()).min(session.absolute_expires_at);
    Validity { iat: authentic.now.unix_seconds(), exp: expires_at.unix_seconds() }
}

/// Whoever comes back at the full second that the answer names is not too early.
fn window_closed(opens_at: Timestamp, now: Timestamp) -> Refusal {
    let full_second = |millis: i64| millis.saturating_add(999).div_euclid(1000);
    Refusal::WindowClosed {
        opens_at: Timestamp::from_unix_seconds(full_second(opens_at.unix_millis())),
        retry_after_seconds: u32::try_from(full_second(opens_at.millis_since(now))).unwrap_or(0),
    }
}
