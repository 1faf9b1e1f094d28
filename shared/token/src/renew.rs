//! Renewal: the refresh token, and usually the current access token, for new ones.
//!
//! Order of checks (design §2): client → refresh token's tag → access token's signature and binding → a signer is at
//! hand → access token's times → one conditional write → sign. Nothing before the write changes state.

use std::sync::Arc;

use crate::{
    access_token::{AuthenticAccessToken, Rejection, UnverifiedAccessToken},
    audit::{Event, EventKind},
    authority::Authority,
    identity::ClientId,
    keys::TagKey,
    mint::{Mint, Signers, TokenSet, Validity},
    policy::{ClientPolicy, Policy},
    ports::{
        Audit, AuthoritySource, Clock, Randomness, ReadSession, RenewSession, RenewalOutcome, RevokeSession,
        Unavailable, random,
    },
    refresh_token::{RefreshSecret, RefreshToken, UnverifiedRefreshToken},
    refusal::{Failure, Refusal},
    registry::{Client, Credentials, RenewalRequirement},
    scope::Scope,
    seal::SealedSuccessor,
    session::{
        Decision, Presented, Reason, Renewal, RenewalRules, Reuse, Revocation, Session, Successor, Write, decide,
    },
    time::Timestamp,
};

/// A retry this soon after the renewal repeats the renewal's claims; a later one gets a fresh access token.
const IDENTICAL_RETRY_SECONDS: i64 = 60;

/// How the client says who it is.
pub enum ClientIdentification {
    /// Id and secret, as they may be read, most literal first.
    Authenticated(Vec<Credentials>),
    /// `client_id` without a secret.
    Named(String),
    /// Not at all; the access token must tell.
    FromAccessToken,
}

/// A parsed request to `POST /token/renew`.
pub struct RenewRequest {
    pub client: ClientIdentification,
    pub refresh_token: String,
    pub access_token: Option<String>,
    /// Narrows this answer's access token.
    pub scope: Option<Scope>,
}

/// What renewal needs.
pub struct Renew<'a, S, A> {
    pub store: &'a S,
    pub authority: &'a A,
    pub policy: &'a Policy,
    pub clock: &'a dyn Clock,
    pub randomness: &'a dyn Randomness,
    pub audit: &'a dyn Audit,
}

/// A request whose refresh token, client and access token are authentic and belong together.
struct Authentic<'a> {
    authority: &'a Authority,
    client: &'a Client,
    policy: ClientPolicy,
    token: RefreshToken,
    access_token: Option<AuthenticAccessToken>,
    scope: Option<Scope>,
    now: Timestamp,
}

impl Authentic<'_> {
    /// Whether the access token's times allow a renewal at `moment`.
    fn times_hold_at(&self, moment: Timestamp) -> bool {
        match (self.policy.requires, &self.access_token) {
            (RenewalRequirement::AccessToken, Some(token)) => token.is_renewable_at(moment, &self.policy),
            (RenewalRequirement::AccessToken, None) => false,
            (RenewalRequirement::RefreshToken, _) => true,
        }
    }

    fn rules(&self) -> RenewalRules {
        RenewalRules { retry_seconds: self.policy.retry_seconds, window_seconds: self.policy.window_seconds }
    }

    fn presented(&self) -> Presented {
        Presented {
            client_id: self.client.client_id.clone(),
            generation: self.token.generation,
            secret_hash: self.token.secret().hash(),
            audience: self.access_token.as_ref().map(|token| token.audience.clone()),
            candidate: None,
        }
    }

    fn event(&self, kind: EventKind) -> Event {
        let event = Event::new(kind).client(&self.client.client_id).session(&self.token.session, self.token.generation);
        match &self.access_token {
            None => event,
            Some(token) => Event {
                seconds_to_expiry: Some(token.seconds_to_expiry(self.now)),
                in_grace: Some(token.is_expired_at(self.now)),
                ..event.subject(&token.subject)
            },
        }
    }
}

/// A token of the right generation for the answer, and the claims' times.
struct Answer<'a> {
    kind: EventKind,
    secret: RefreshSecret,
    tag_key: &'a TagKey,
    validity: Validity,
}

impl<S, A> Renew<'_, S, A>
where
    S: RenewSession + ReadSession + RevokeSession,
    A: AuthoritySource,
{
    /// Renews with one conditional write and no read. A refused access token whose times alone are wrong costs one
    /// read instead, so that it cannot hide theft.
    pub async fn run(&self, request: RenewRequest) -> Result<TokenSet, Failure> {
        let now = self.clock.now();
        let authority = self.authority_for(&request, now).await?;
        let authentic = self.authenticate(&authority, request, now)?;
        let signers = Signers::choose(&authority.keys, authentic.client, now)?;
        if !authentic.times_hold_at(now) {
            let record = self.store.read(&authentic.token.session).await?;
            return self.conclude(&authentic, &signers, authentic.presented(), record, None).await;
        }

        let successor = RefreshSecret::from_bytes(random(self.randomness)?);
        let renewal = self.renewal(&authentic, &signers, &successor)?;
        match self.store.renew(&renewal).await? {
            RenewalOutcome::Committed(session) => self.renewed(&authentic, &signers, &session, successor),
            RenewalOutcome::ConditionFailed(record) => {
                let presented = Presented { candidate: Some(renewal.successor.secret_hash), ..renewal.presented };
                self.conclude(&authentic, &signers, presented, record, Some(successor)).await
            }
        }
    }

    /// The authority in force; reloaded once if the tokens name keys that it does not have.
    async fn authority_for(&self, request: &RenewRequest, now: Timestamp) -> Result<Arc<Authority>, Unavailable> {
        let authority = self.authority.current(now).await?;
        let seconds = now.unix_seconds();
        let tag_kid = UnverifiedRefreshToken::parse(&request.refresh_token).ok().map(|token| token.tag_kid());
        let unknown_tag_kid = tag_kid.is_some_and(|kid| authority.keys.tag_key(kid, seconds).is_none());
        let access_token = request.access_token.as_deref().and_then(|text| UnverifiedAccessToken::parse(text).ok());
        let unknown_kid = access_token.is_some_and(|token| authority.keys.verifier(token.kid(), seconds).is_none());
        if unknown_tag_kid || unknown_kid { self.authority.reloaded(now).await } else { Ok(authority) }
    }

    fn authenticate<'a>(
        &self,
        authority: &'a Authority,
        request: RenewRequest,
        now: Timestamp,
    ) -> Result<Authentic<'a>, Failure> {
        // The dear check comes last, unless nothing else names the client.
        let verify_access_token = || {
            let text = request.access_token.as_deref()?;
            Some(
                UnverifiedAccessToken::parse(text)
                    .and_then(|token| token.verify(&authority.keys, &authority.registry, &self.policy.issuer, now)),
            )
        };
        let mut verified_access_token = None;
        let client = match request.client {
            ClientIdentification::Authenticated(candidates) => {
                authority.registry.authenticate_client(&candidates).ok_or_else(|| {
                    let id = candidates.first().map(|first| first.id.clone());
                    self.reject_client(id, "client_unauthenticated")
                })?
            }
            ClientIdentification::Named(id) => self.public_client(authority, &id)?,
            ClientIdentification::FromAccessToken => {
                let token = self.naming_access_token(verify_access_token())?;
                let client = self.public_client(authority, token.client_id.as_str())?;
                verified_access_token = Some(token);
                client
            }
        };
        let policy = self.policy.for_client(client);
        let rejected = |reason| {
            self.audit.record(&Event::new(EventKind::RenewalRejected).client(&client.client_id).because(reason));
        };
        if policy.requires == RenewalRequirement::AccessToken && request.access_token.is_none() {
            rejected("access_token_missing");
            let text = "access_token is missing: this client renews with the access token of the same session";
            return Err(Refusal::InvalidRequest(text.into()).into());
        }

        let invalid_grant = |reason| {
            rejected(reason);
            Failure::Refused(Refusal::InvalidGrant)
        };
        let token = UnverifiedRefreshToken::parse(&request.refresh_token)
            .map_err(|_| invalid_grant("refresh_token_malformed"))?
            .verify(&authority.keys, &client.client_id, now.unix_seconds())
            .ok_or_else(|| invalid_grant("refresh_token_tag"))?;
        let access_token = match verified_access_token {
            Some(token) => Some(token),
            None => verify_access_token().transpose().map_err(|rejection| invalid_grant(rejection.name()))?,
        };
        if let Some(access_token) = &access_token {
            if access_token.client_id != client.client_id {
                return Err(invalid_grant("access_token_of_another_client"));
            }
            if access_token.session != token.session {
                return Err(invalid_grant("access_token_of_another_session"));
            }
        }
        Ok(Authentic { authority, client, policy, token, access_token, scope: request.scope, now })
    }

    /// Where nothing but the access token says who the client is.
    fn naming_access_token(
        &self,
        verified: Option<Result<AuthenticAccessToken, Rejection>>,
    ) -> Result<AuthenticAccessToken, Failure> {
        let (refusal, reason) = match verified {
            Some(Ok(token)) => return Ok(token),
            Some(Err(rejection)) => (Refusal::InvalidGrant, rejection.name()),
            None => {
                let text = "the client is not named: authenticate, or send client_id or the access token";
                (Refusal::InvalidRequest(text.into()), "client_not_named")
            }
        };
        self.audit.record(&Event::new(EventKind::RenewalRejected).because(reason));
        Err(refusal.into())
    }

    /// A client that is only named must be public.
    fn public_client<'a>(&self, authority: &'a Authority, id: &str) -> Result<&'a Client, Failure> {
        let client = authority.registry.client(id).filter(|client| client.is_public());
        client.ok_or_else(|| self.reject_client(Some(id.to_owned()), "client_not_public_or_unknown"))
    }

    fn reject_client(&self, id: Option<String>, reason: &'static str) -> Failure {
        let client_id = id.as_deref().and_then(ClientId::parse).map(|id| id.to_string());
        self.audit.record(&Event { client_id, ..Event::new(EventKind::ClientRejected).because(reason) });
        Refusal::InvalidClient.into()
    }

    /// Everything that the one write needs, from the refresh token alone: the sid carries the session's terms.
    fn renewal(
        &self,
        authentic: &Authentic<'_>,
        signers: &Signers<'_>,
        secret: &RefreshSecret,
    ) -> Result<Renewal, Failure> {
        let Authentic { token, policy, now, .. } = authentic;
        let Some(generation) = token.generation.next() else {
            self.audit.record(&authentic.event(EventKind::RenewalRejected).because("generations_exhausted"));
            return Err(Refusal::InvalidGrant.into());
        };
        let nonce = random(self.randomness)?;
        let sealed = SealedSuccessor::seal(token.secret(), &token.session, generation, secret, nonce)
            .ok_or_else(|| Unavailable::new("cryptography", "the successor could not be sealed"))?;
        let sid = token.session.sid;
        let life = policy.access_token_seconds.min(sid.access_token_seconds());
        Ok(Renewal {
            key: token.session,
            presented: authentic.presented(),
            rules: authentic.rules(),
            now: *now,
            successor: Successor { generation, secret_hash: secret.hash(), tag_kid: signers.tagger.kid(), sealed },
            access_expires_at: now.plus(life).min(sid.absolute_expires_at()),
            idle_expires_at: now.plus(policy.idle_seconds).min(sid.absolute_expires_at()),
        })
    }

    /// Answers from the record that stood in the way of the write, or was read instead of it.
    async fn conclude(
        &self,
        authentic: &Authentic<'_>,
        signers: &Signers<'_>,
        presented: Presented,
        record: Option<Session>,
        candidate: Option<RefreshSecret>,
    ) -> Result<TokenSet, Failure> {
        let decision = decide(record.as_ref(), &presented, authentic.now, authentic.rules());
        match (decision, record, candidate) {
            (Decision::Renewed(Write::Done), Some(session), Some(successor)) => {
                self.renewed(authentic, signers, &session, successor)
            }
            (Decision::Retried, Some(session), _) => self.retried(authentic, signers, &session),
            (Decision::Reused(reuse), _, _) => self.reused(authentic, reuse).await,
            (Decision::Refused(Reason::WindowClosed { opens_at }), _, Some(_)) => {
                self.audit.record(&authentic.event(EventKind::RenewalRejected).because("window_closed"));
                let millis = opens_at.millis_since(authentic.now).max(0);
                let retry_after_seconds = u32::try_from((millis + 999) / 1000).unwrap_or(u32::MAX);
                Err(Refusal::WindowClosed { opens_at, retry_after_seconds }.into())
            }
            // No candidate: the access token's times were wrong, and the refresh token is current.
            (Decision::Renewed(_) | Decision::Refused(Reason::WindowClosed { .. }), _, None) => {
                Err(self.expired(authentic, "access_token_expired"))
            }
            (Decision::Refused(reason @ (Reason::IdleExpired | Reason::AbsoluteExpired)), _, _) => {
                Err(self.expired(authentic, reason.name()))
            }
            (Decision::Refused(Reason::StateMismatch), _, _) => Err(self.state_mismatch(authentic, "record_differs")),
            (Decision::Refused(reason), _, _) => {
                self.audit.record(&authentic.event(EventKind::RenewalRejected).because(reason.name()));
                Err(Refusal::InvalidGrant.into())
            }
            // The store refused a write whose condition holds on the record it gave back.
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
        secret: RefreshSecret,
    ) -> Result<TokenSet, Failure> {
        let is_latest = Some(session.generation) == authentic.token.generation.next();
        let validity = match is_latest {
            true => Validity { iat: session.rotated_at.unix_seconds(), exp: session.access_token_exp() },
            // Our write, and already somebody's next one on top of it.
            false => self.fresh_validity(authentic, session),
        };
        self.answer(
            authentic,
            signers,
            session,
            Answer { kind: EventKind::TokenRenewed, secret, tag_key: signers.tagger, validity },
        )
    }

    fn retried(
        &self,
        authentic: &Authentic<'_>,
        signers: &Signers<'_>,
        session: &Session,
    ) -> Result<TokenSet, Failure> {
        // The access token has had time to expire since the renewal whose answer was lost.
        if !authentic.times_hold_at(session.rotated_at.min(authentic.now)) {
            return Err(self.expired(authentic, "access_token_expired"));
        }
        let secret = session.predecessor.as_ref().and_then(|predecessor| {
            predecessor.sealed_successor.open(authentic.token.secret(), &session.key, session.generation)
        });
        let Some(secret) = secret.filter(|secret| secret.hash() == session.secret_hash) else {
            return Err(self.state_mismatch(authentic, "seal_does_not_open"));
        };
        let iat = session.rotated_at.unix_seconds();
        let exp = session.access_token_exp();
        let is_soon = authentic.now.millis_since(session.rotated_at) <= IDENTICAL_RETRY_SECONDS * 1000;
        let validity = match is_soon && exp > authentic.now.unix_seconds() {
            true => Validity { iat, exp },
            false => self.fresh_validity(authentic, session),
        };
        // The very same successor, letter for letter, even if another tag key is in use by now.
        let renewals_key = authentic.authority.keys.tag_key(session.tag_kid, authentic.now.unix_seconds());
        let tag_key = renewals_key.unwrap_or(signers.tagger);
        self.answer(authentic, signers, session, Answer { kind: EventKind::TokenRetried, secret, tag_key, validity })
    }

    /// The times of an access token made now, outside of a renewal's write.
    fn fresh_validity(&self, authentic: &Authentic<'_>, session: &Session) -> Validity {
        let life = authentic.policy.access_token_seconds.min(session.access_token_seconds);
        let expires_at = authentic.now.plus(life).min(session.absolute_expires_at);
        Validity { iat: authentic.now.unix_seconds(), exp: expires_at.unix_seconds() }
    }

    fn answer(
        &self,
        authentic: &Authentic<'_>,
        signers: &Signers<'_>,
        session: &Session,
        answer: Answer<'_>,
    ) -> Result<TokenSet, Failure> {
        let Authentic { client, now, token, .. } = authentic;
        let generation = token.generation.next().ok_or(Failure::Refused(Refusal::InvalidGrant))?;
        let mint = Mint { session, client, issuer: &self.policy.issuer, signers, now: *now };
        let scope = mint.narrowed_scope(authentic.scope.as_ref());
        let tokens = mint.token_set(generation, answer.secret, answer.tag_key, answer.validity, scope, None)?;
        let event = authentic.event(answer.kind).subject(&session.subject).issuer(&session.issuer_id);
        self.audit.record(&Event { jti: Some(tokens.jti.clone()), generation: Some(generation.number()), ..event });
        Ok(tokens)
    }

    /// Theft: end the session, and say so in the audit trail even if that write fails.
    async fn reused(&self, authentic: &Authentic<'_>, reuse: Reuse) -> Result<TokenSet, Failure> {
        let revocation = Revocation { at: authentic.now, reason: reuse.name().to_owned() };
        let written = self.store.revoke(&authentic.token.session, &revocation).await;
        self.audit.record(&authentic.event(EventKind::ReuseDetected).because(reuse.name()));
        written?;
        Err(Refusal::InvalidGrant.into())
    }

    fn expired(&self, authentic: &Authentic<'_>, reason: &'static str) -> Failure {
        self.audit.record(&authentic.event(EventKind::TokenExpired).because(reason));
        Refusal::InvalidGrant.into()
    }

    fn state_mismatch(&self, authentic: &Authentic<'_>, reason: &'static str) -> Failure {
        self.audit.record(&authentic.event(EventKind::StateMismatch).because(reason));
        Refusal::InvalidGrant.into()
    }
}
