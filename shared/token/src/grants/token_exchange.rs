//! The exchange of an access token for one that is meant for a target (RFC 8693): how a user's identity is passed on to a
//! tool. The new token opens its target and nothing else, and ends with the user's session.
//!
//! Order of checks: client → target and scope, as registered → the token's signature → whose it is → its times → a signer is at
//! hand → one consistent read → sign. Nothing is written.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    client::{ClientCheck, ClientIdentification},
    mint::sign,
};
use crate::{
    audit::{Event, EventKind, Reason},
    documents::Documents,
    failure::{Failure, Refusal},
    json::{Map, Value},
    keys::Signer,
    management::{Caller, Mentioning, scope_of},
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, Randomness, ReadSession, random},
    registrations::{Client, ExchangeTarget},
    session::Backing,
    tokens::{AuthenticAccessToken, Purpose, UnverifiedAccessToken, access_token_type},
    values::{Actors, Scope, Timestamp},
};

/// A parsed request for an exchange, in either form.
pub struct TokenExchangeRequest {
    /// The client that is to act for the user, as the request names it.
    pub client: ClientIdentification,
    /// `subject_token` or `assertion`: the user's access token as it was sent; nothing of it has been checked.
    pub subject_token: String,
    /// Every `audience` and `resource`, as they were sent. There may be none only in the form without such a parameter: then
    /// the scope says which target is meant.
    pub targets: Targets,
    /// Left out: all scopes of the client's entry for the target.
    pub scope: Option<String>,
    /// `requested_token_type`.
    pub issued: IssuedTokenType,
}

/// Which target an exchange is for.
pub enum Targets {
    /// What `audience` and `resource` name; all must name the same.
    Named(Vec<String>),
    /// The only one whose scopes hold what is asked for.
    ByScope,
}

/// What the answer calls the new token (RFC 8693 §3). It is the same token either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IssuedTokenType {
    /// An access token.
    #[default]
    AccessToken,
    /// A JWT.
    Jwt,
}

impl IssuedTokenType {
    /// Reads a token type; `None` if it is another.
    pub fn read(name: &str) -> Option<Self> {
        [Self::AccessToken, Self::Jwt].into_iter().find(|known| known.name() == name)
    }

    /// Its identifier.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }
}

/// What an exchange answers. Holds a live token: has no `Debug`.
pub struct Exchanged {
    /// A signed JWT in compact form (RFC 9068) with `act`.
    pub access_token: String,
    /// What the answer calls it.
    pub issued: IssuedTokenType,
    /// Seconds.
    pub expires_in: i64,
    /// What it allows at its target.
    pub scope: Scope,
}

/// What an exchange needs.
pub struct TokenExchange<'a, S, D> {
    /// Where the user's session is read; nothing is written.
    pub store: &'a S,
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings; a client's own settings replace some of them.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// What the new token's `jti` is drawn from.
    pub randomness: &'a dyn Randomness,
    /// Where the request's events are recorded.
    pub audit: &'a dyn Audit,
}

impl<S: ReadSession, D: DocumentSource> TokenExchange<'_, S, D> {
    /// Exchanges with one consistent read and no write.
    pub async fn run(&self, request: TokenExchangeRequest) -> Result<Exchanged, Failure> {
        let now = self.clock.now();
        let check = ClientCheck { policy: self.policy, audit: self.audit, now };
        let subject_token = UnverifiedAccessToken::parse(&request.subject_token);
        let ids = request.client.ids();
        let source =
            Mentioning { source: self.documents, policy: self.policy, ids, token: Some(&request.subject_token) };
        let mut documents = source.current(now).await?;
        // Who only claims to be a client must not be able to have the keys reloaded.
        check.required_client(&documents.registrations, &request.client)?;
        let is_unknown = |token: &UnverifiedAccessToken<'_>| {
            matches!(documents.keys.verifier(token.kid(), now.unix_seconds()), Ok(None))
        };
        if subject_token.as_ref().is_ok_and(is_unknown) {
            documents = source.reloaded(now).await?;
        }
        let client = check.required_client(&documents.registrations, &request.client)?;
        let rejected = |reason, refusal: Refusal| {
            self.audit.record(&Event::new(EventKind::RenewalRejected).client(&client.client_id).because(reason));
            Failure::Refused(refusal)
        };
        if client.is_public() || client.algorithm.is_symmetric() {
            return Err(rejected(Reason::ExchangeNotForThisClient, Refusal::MayNotExchange));
        }
        let asked = request.scope.as_deref();
        let target = target(client, &request.targets, asked)
            .ok_or_else(|| rejected(Reason::TargetNotRegistered, Refusal::InvalidTarget))?;
        let scope = scope(target, asked).map_err(|refusal| rejected(Reason::ScopeNotAllowed, refusal))?;

        let invalid_grant = |reason| rejected(reason, Refusal::InvalidGrant);
        let token = subject_token
            .map_err(invalid_grant)?
            .verify(&documents.keys, &documents.registrations, self.policy, Purpose::LetIn, now)?
            .map_err(invalid_grant)?;
        let (actors, signer) = self.checked(&documents, client, &token, now)?.map_err(|reason| {
            self.audit.record(&event(EventKind::RenewalRejected, &documents, client, &token).because(reason));
            Failure::Refused(Refusal::InvalidGrant)
        })?;
        let jti = URL_SAFE_NO_PAD.encode(random::<16>(self.randomness)?);

        let backing = self.store.read(&token.session).await?.and_then(|record| record.backing());
        let is_live =
            |backing: &Backing| Ok::<_, Failure>(scope_of(backing, &token, &documents, self.policy, now)?.is_some());
        let backing = match backing {
            Some(backing) if is_live(&backing)? => backing,
            _ => {
                let event = event(EventKind::RenewalRejected, &documents, client, &token);
                self.audit.record(&event.because(Reason::SessionNotLive));
                return Err(Refusal::InvalidGrant.into());
            }
        };
        let seconds =
            target.access_token_seconds.unwrap_or_else(|| self.policy.for_client(client).access_token_seconds);
        let iat = now.unix_seconds();
        let exp = (iat + i64::from(seconds)).min(token.exp).min(backing.absolute_expires_at().unix_seconds());
        let claims = [
            ("iss", Value::from(self.policy.issuer.as_str())),
            ("sub", token.subject.as_str().into()),
            ("aud", target.audience.as_str().into()),
            ("client_id", client.client_id.as_str().into()),
            ("iat", iat.into()),
            ("exp", exp.into()),
            ("jti", jti.as_str().into()),
            ("sid", token.session.to_string().into()),
            ("scope", scope.to_string().into()),
        ];
        let act = actors.claim().map(|claim| ("act", claim));
        let claims: Map<String, Value> =
            claims.into_iter().chain(act).map(|(name, value)| (name.into(), value)).collect();
        let access_token = sign(signer, access_token_type(signer.algorithm()), &claims)?;
        let event = event(EventKind::TokenExchanged, &documents, client, &token);
        self.audit.record(&Event { jti: Some(jti), seconds_to_expiry: Some(exp - iat), ..event });
        Ok(Exchanged { access_token, issued: request.issued, expires_in: exp - iat, scope })
    }

    /// What can be judged of the user's token without its session: who will act for the user, and what signs.
    fn checked<'d>(
        &self,
        documents: &'d Documents,
        client: &Client,
        token: &AuthenticAccessToken,
        now: Timestamp,
    ) -> Result<Result<(Actors, Signer<'d>), Reason>, Failure> {
        // LibreChat knows the secret of HS256: it could make itself a token of anybody.
        let owner = documents.registrations.client(token.client_id.as_str())?;
        if owner.is_none_or(|owner| owner.algorithm.is_symmetric()) {
            return Ok(Err(Reason::AccessTokenAlgorithm));
        }
        if !Caller::Client(client).may_see(token, &documents.registrations, Purpose::LetIn)? {
            return Ok(Err(Reason::AccessTokenOfAnotherClient));
        }
        if let Err(reason) = token.check_times(now, self.policy.clock_skew_seconds) {
            return Ok(Err(reason));
        }
        // The tolerance for clocks does not make a token that is over before it begins.
        if token.is_expired_at(now) {
            return Ok(Err(Reason::AccessTokenExpired));
        }
        let Some(actors) = token.actors.joined_by(&client.client_id) else {
            return Ok(Err(Reason::ExchangedTooOften));
        };
        Ok(Ok((actors, documents.signer(client, now)?)))
    }
}

/// The one target that is meant, if the client is registered for it.
fn target<'c>(client: &'c Client, targets: &Targets, asked: Option<&str>) -> Option<&'c ExchangeTarget> {
    match targets {
        Targets::Named(names) => {
            let (first, others) = names.split_first()?;
            others.iter().all(|other| other == first).then(|| client.exchange_for(first)).flatten()
        }
        Targets::ByScope => {
            let mut holding = client.exchange.iter().filter(|target| scope(target, asked).is_ok());
            let only = holding.next()?;
            holding.next().is_none().then_some(only)
        }
    }
}

/// All of the target's, or what is asked for, if the target has it.
fn scope(target: &ExchangeTarget, asked: Option<&str>) -> Result<Scope, Refusal> {
    let Some(asked) = asked else { return Ok(target.scope.clone()) };
    let unregistered = || Refusal::InvalidScope { unregistered: target.scope.unregistered(asked) };
    target.scope.choose(asked).ok_or_else(unregistered)
}

/// An event about this request, and the user's token and session.
fn event(kind: EventKind, documents: &Documents, client: &Client, token: &AuthenticAccessToken) -> Event {
    let event = Event::new(kind).client(&client.client_id).subject(documents.keys.audit_name(&token.subject));
    Event { session: Some(token.session.audit_name()), ..event }
}
