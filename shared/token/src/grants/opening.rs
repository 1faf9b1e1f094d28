//! How a session begins, whether an issuer asks for its tokens or accepts a sign-in.

use crate::{
    audit::{Event, EventKind, Reason},
    documents::Signers,
    failure::{Failure, Refusal, Unavailable},
    json::Value,
    policy::Policy,
    ports::{Audit, Randomness, random},
    registrations::{Client, Credentials, EpochVerdict, Issuer, Profile, Registrations},
    session::{Authentication, Session},
    tokens::RefreshSecret,
    values::{CustomClaims, Generation, Owner, Scope, Seconds, SessionKey, Sid, Subject, Timestamp},
};

/// The issuer that has authenticated itself; anybody else is refused, and recorded.
pub(crate) fn authenticated_issuer<'r>(
    registrations: &'r Registrations,
    candidates: &[Credentials],
    audit: &dyn Audit,
) -> Result<&'r Issuer, Failure> {
    registrations.authenticate_issuer(candidates)?.ok_or_else(|| {
        // Only a registered id enters the audit trail: anything else may be a secret in the wrong place.
        let known = candidates.iter().find_map(|candidate| registrations.issuer(&candidate.id).ok().flatten());
        let event = Event::new(EventKind::ClientRejected).because(Reason::IssuerUnauthenticated);
        audit.record(&known.map_or(event.clone(), |issuer| event.issuer(&issuer.issuer_id)));
        Refusal::InvalidClient.into()
    })
}

/// A session that is about to begin.
pub(crate) struct Opening<'a> {
    pub policy: &'a Policy,
    pub issuer: &'a Issuer,
    pub client: &'a Client,
    pub subject: Subject,
    pub scope: Scope,
    pub claims: CustomClaims,
    /// Shortens the life of its access tokens.
    pub expires_in: Option<Seconds>,
    pub authentication: Authentication,
    pub now: Timestamp,
}

impl Opening<'_> {
    /// Nothing begins while an epoch lies ahead: an instance that has not read it yet may still begin a session.
    pub fn check_epoch(&self, registrations: &Registrations) -> Result<(), Unavailable> {
        let epochs = registrations.epochs(&self.client.client_id)?;
        match epochs.verdict(&self.issuer.issuer_id, self.now) {
            EpochVerdict::Live => Ok(()),
            EpochVerdict::Over | EpochVerdict::Unknown => {
                let client = self.client.client_id.as_str();
                let text = format!("sessions_not_before of {client:?} lies ahead or cannot be read");
                Err(Unavailable::new("epoch", text))
            }
        }
    }

    /// The session's record as it is first written, and the secret of its first token.
    pub fn session(
        self,
        signers: &Signers<'_>,
        randomness: &dyn Randomness,
    ) -> Result<(Session, RefreshSecret), Unavailable> {
        let Self { policy, issuer, client, subject, scope, claims, expires_in, authentication, now } = self;
        let clients = policy.for_client(client);
        let allowed = clients.access_token_seconds;
        let access_token_seconds = expires_in.map_or(allowed, |asked| asked.min(allowed));
        let absolute_expires_at = now.plus(policy.absolute_seconds);
        let secret = RefreshSecret::from_bytes(random(randomness)?);
        let session = Session {
            key: SessionKey {
                owner: Owner::of(&client.client_id, &subject),
                sid: Sid::new(absolute_expires_at, access_token_seconds, random(randomness)?),
            },
            subject,
            client_id: client.client_id.clone(),
            issuer_id: issuer.issuer_id.clone(),
            scope,
            audience: client.audience.clone(),
            claims,
            access_token_seconds,
            generation: Generation::FIRST,
            tag_kid: signers.tagger.kid(),
            secret_hash: secret.hash(),
            predecessor: None,
            issued_at: now,
            rotated_at: now,
            access_expires_at: now.plus(access_token_seconds).min(absolute_expires_at),
            idle_expires_at: now.plus(clients.idle_seconds).min(absolute_expires_at),
            absolute_expires_at,
            revocation: None,
            sign_in: None,
            authentication,
        };
        Ok((session, secret))
    }
}

/// Hex digits of a user's id in LibreChat's database, a MongoDB ObjectId.
const LIBRECHAT_ID_DIGITS: usize = 24;

/// LibreChat knows its users by the claim `id`, and answers 500 to one that its database cannot have made.
pub(super) fn has_librechat_id(claims: &CustomClaims) -> bool {
    let is_id = |id: &str| id.len() == LIBRECHAT_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    claims.get("id").and_then(Value::as_str).is_some_and(is_id)
}

/// What a client's profile demands of a session's claims.
pub(crate) fn check_profile(client: &Client, claims: &CustomClaims) -> Result<(), Refusal> {
    if client.profile == Profile::LibreChat && !has_librechat_id(claims) {
        let text = "claims.id must be LibreChat's user id, 24 hex digits in a string: the profile librechat needs it";
        return Err(Refusal::InvalidRequest(text.into()));
    }
    Ok(())
}

/// The new session's id is random: nobody else has it.
pub(crate) fn id_is_taken() -> Unavailable {
    Unavailable::new("session store", "the drawn session id is taken")
}
