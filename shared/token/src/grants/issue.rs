//! Issue: the external system turns a signed-in user into a session with tokens.

use super::{
    mint::{Mint, TokenSet, Validity},
    opening::{Opening, authenticated_issuer, check_profile, id_is_taken},
};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    audit::{Event, EventKind, Reason},
    documents::Signers,
    failure::{Failure, Refusal},
    json::{Map, Value},
    management::{Caller, CallerIdentification, identify},
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, InsertSession, Randomness, RedeemAssertion},
    registrations::{Client, Credentials, Issuer, Registrations},
    session::Authentication,
    tokens::{SingleUse, UnverifiedAssertion},
    values::{ClientId, CustomClaims, Scope, Seconds, Subject, Timestamp, is_reserved_claim},
};

/// A parsed request to `POST /token`.
pub struct IssueRequest {
    /// Who has signed in, and how the issuer says so.
    pub grant: IssuerGrant,
    /// Required when the issuer may act for several clients.
    pub client_id: Option<String>,
    /// Left out: all scopes of the client's registration.
    pub scope: Option<String>,
    /// Seconds; shortens the life of this session's access tokens, never lengthens it.
    pub expires_in: Option<Seconds>,
    /// For the first ID token.
    pub nonce: Option<String>,
}

/// How an issuer says who has signed in.
pub enum IssuerGrant {
    /// In the request, which it authenticates.
    Statement {
        /// How the issuer's id and secret may be read, most literal first; empty when none were sent.
        issuer: Vec<Credentials>,
        /// The user, as the external system names it: `sub` of every token of the session.
        subject: Subject,
        /// Custom claims. The request is refused unless the client's registration allows every one.
        claims: Map<String, Value>,
    },
    /// By a JWT that it has signed (RFC 7523 §2.1). Whoever sends it, what it says of the user is in it: the claims that
    /// the client's registration allows are taken from there.
    Assertion {
        /// The JWT in compact form, as it was sent; nothing of it has been checked.
        assertion: String,
        /// Who says that it sends it, if anybody does: the issuer itself, or the client that the tokens are for (RFC 7523
        /// §3.1). Nobody has to; who does must be who it says.
        caller: Option<CallerIdentification>,
    },
}

/// An issuer, and whom it vouches for.
struct Vouching<'r> {
    issuer: &'r Issuer,
    subject: Subject,
    claims: Claims,
    once: Option<SingleUse>,
    bounds: Bounds<'r>,
}

/// What leaves whoever holds an assertion no choice of the client.
#[derive(Default)]
struct Bounds<'r> {
    /// The clients that the issuer's assertions are good for; `None`: all of the issuer's.
    clients: Option<&'r [ClientId]>,
    /// The client that the assertion names.
    named: Option<String>,
    /// Who has authenticated itself beside it.
    caller: Option<Caller<'r>>,
}

enum Claims {
    /// Each must be allowed.
    Stated(Map<String, Value>),
    /// Those that are allowed count.
    Asserted(Map<String, Value>),
}

/// What issue needs.
pub struct Issue<'a, S, D> {
    /// Where the new session is written.
    pub store: &'a S,
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings; a client's own settings replace some of them.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// What the refresh token's secret and the random part of the session's id are drawn from.
    pub randomness: &'a dyn Randomness,
    /// Where the request's events are recorded.
    pub audit: &'a dyn Audit,
    /// Whether the use of an assertion may have been recorded; false at first. Whoever gives up waiting looks here: then
    /// the same request cannot be repeated.
    pub is_redeeming: AtomicBool,
}

impl<S: InsertSession + RedeemAssertion, D: DocumentSource> Issue<'_, S, D> {
    /// Creates a session with one write and answers its first tokens. Everything that can be refused is refused before
    /// the write.
    pub async fn run(&self, request: IssueRequest) -> Result<TokenSet, Failure> {
        let now = self.clock.now();
        let documents = self.documents.current(now).await?;
        let vouching = self.vouching(&documents.registrations, request.grant, now)?;
        let Vouching { issuer, subject, claims, once, bounds } = vouching;
        let client_id = self.client_id(issuer, &bounds, request.client_id.as_deref())?;
        let client = self.client(&documents.registrations, issuer, bounds.clients, client_id)?;
        let reject = |refusal, reason| self.reject(issuer, client, refusal, reason);

        let scope =
            self.scope(client, request.scope.as_deref()).map_err(|refusal| reject(refusal, Reason::ScopeNotAllowed))?;
        let claims = custom_claims(client, claims).map_err(|refusal| reject(refusal, Reason::ClaimsNotAllowed))?;
        let signers = Signers::choose(&documents.keys, client, now)?;
        let opening = Opening {
            policy: self.policy,
            issuer,
            client,
            subject,
            scope,
            claims,
            expires_in: request.expires_in,
            authentication: Authentication::default(),
            now,
        };
        opening.check_epoch(&documents.registrations)?;
        let (session, secret) = opening.session(&signers, self.randomness)?;
        match once {
            None => self.store.insert(&session).await?.done().map_err(|()| id_is_taken())?,
            Some(assertion) => {
                self.is_redeeming.store(true, Ordering::Relaxed);
                let outcome = self.store.redeem(&assertion, &session).await?;
                outcome.done().map_err(|()| reject(Refusal::InvalidGrant, Reason::AssertionReplayed))?;
            }
        }

        let mint = Mint { session: &session, client, issuer: &self.policy.issuer, signers: &signers, now };
        let validity = Validity { iat: now.unix_seconds(), exp: session.access_token_exp() };
        let nonce = request.nonce.as_deref();
        let tokens = mint.token_set(session.generation, secret, signers.tagger, validity, mint.reach(), nonce)?;
        let event = Event::new(EventKind::TokenIssued)
            .client(&client.client_id)
            .issuer(&issuer.issuer_id)
            .subject(documents.keys.audit_name(&session.subject))
            .session(&session.key, session.generation);
        self.audit.record(&Event {
            jti: Some(tokens.jti.clone()),
            seconds_to_expiry: Some(tokens.expires_in),
            ..event
        });
        Ok(tokens)
    }

    fn vouching<'r>(
        &self,
        registrations: &'r Registrations,
        grant: IssuerGrant,
        now: Timestamp,
    ) -> Result<Vouching<'r>, Failure> {
        match grant {
            IssuerGrant::Statement { issuer, subject, claims } => {
                let issuer = authenticated_issuer(registrations, &issuer, self.audit)?;
                Ok(Vouching { issuer, subject, claims: Claims::Stated(claims), once: None, bounds: Bounds::default() })
            }
            IssuerGrant::Assertion { assertion, caller } => {
                let identify = |caller| identify(registrations, &caller, self.policy, now, self.audit);
                let caller = caller.map(identify).transpose()?;
                let rejected = |issuer: Option<&Issuer>, fault: Reason| {
                    let event = Event::new(EventKind::ClientRejected).because(fault);
                    self.audit.record(&issuer.map_or(event.clone(), |issuer| event.issuer(&issuer.issuer_id)));
                    Failure::Refused(Refusal::InvalidGrant)
                };
                let assertion = UnverifiedAssertion::parse(&assertion).map_err(|fault| rejected(None, fault))?;
                let (issuer, rules) = registrations
                    .issuer_of_assertions(assertion.iss())?
                    .ok_or_else(|| rejected(None, Reason::AssertionUnknownIssuer))?;
                let vouched = assertion
                    .verify(&issuer.issuer_id, rules, self.policy, now)
                    .map_err(|fault| rejected(Some(issuer), fault))?;
                let claims = Claims::Asserted(vouched.claims);
                let bounds = Bounds { clients: rules.clients.as_deref(), named: vouched.client_id, caller };
                Ok(Vouching { issuer, subject: vouched.subject, claims, once: vouched.once, bounds })
            }
        }
    }

    /// The client that the tokens are for, as far as anything says so: the request, the assertion, or the client that has
    /// authenticated itself. All that do say the same.
    fn client_id<'b>(
        &self,
        issuer: &Issuer,
        bounds: &'b Bounds<'_>,
        asked: Option<&'b str>,
    ) -> Result<Option<&'b str>, Failure> {
        let rejected = |refusal: Refusal| {
            let event = Event::new(EventKind::ClientRejected).issuer(&issuer.issuer_id);
            self.audit.record(&event.because(Reason::AssertionClient));
            Err(refusal.into())
        };
        let caller = match bounds.caller {
            Some(Caller::Issuer(caller)) if caller.issuer_id != issuer.issuer_id => {
                return rejected(Refusal::InvalidClient);
            }
            Some(Caller::Client(caller)) => Some(caller.client_id.as_str()),
            Some(Caller::Issuer(_)) | None => None,
        };
        let differ = |one: Option<&str>, other: Option<&str>| one.zip(other).is_some_and(|(one, other)| one != other);
        if differ(caller, asked) {
            return rejected(Refusal::InvalidClient);
        }
        let (named, asked) = (bounds.named.as_deref(), asked.or(caller));
        if differ(named, asked) { rejected(Refusal::InvalidGrant) } else { Ok(asked.or(named)) }
    }

    /// The client that `issuer` issues for: one of `among`, if only those may be.
    fn client<'r>(
        &self,
        registrations: &'r Registrations,
        issuer: &Issuer,
        among: Option<&[ClientId]>,
        client_id: Option<&str>,
    ) -> Result<&'r Client, Failure> {
        let rejected = |reason| Event::new(EventKind::ClientRejected).issuer(&issuer.issuer_id).because(reason);
        let may_be = |id: &&ClientId| among.is_none_or(|among| among.contains(id));
        // One that is not registered does not count.
        let mut own = issuer.clients.iter().filter(may_be).filter(|id| registrations.is_client(id));
        let client_id = match (client_id, own.next(), own.next()) {
            (Some(id), _, _) => id,
            (None, Some(only), None) => only.as_str(),
            (None, None, _) => "",
            (None, Some(_), Some(_)) => {
                self.audit.record(&rejected(Reason::ClientIdMissing));
                let text = "client_id is missing: this issuer may act for several clients";
                return Err(Refusal::InvalidRequest(text.into()).into());
            }
        };
        // An unknown client and another issuer's client look the same.
        let is_own = issuer.clients.iter().filter(may_be).any(|id| id.as_str() == client_id);
        let client = if is_own { registrations.client(client_id)? } else { None };
        client.ok_or_else(|| {
            let event = rejected(Reason::IssuerMayNotActForClient);
            let known = registrations.client(client_id).ok().flatten();
            self.audit.record(&known.map_or(event.clone(), |client| event.client(&client.client_id)));
            Refusal::UnauthorizedClient.into()
        })
    }

    fn scope(&self, client: &Client, asked: Option<&str>) -> Result<Scope, Refusal> {
        let Some(asked) = asked else { return Ok(client.scope.clone()) };
        client
            .scope
            .choose(asked)
            .ok_or_else(|| Refusal::InvalidScope { unregistered: client.scope.unregistered(asked) })
    }

    fn reject(&self, issuer: &Issuer, client: &Client, refusal: Refusal, reason: Reason) -> Failure {
        let event = Event::new(EventKind::ClientRejected).client(&client.client_id).issuer(&issuer.issuer_id);
        self.audit.record(&event.because(reason));
        refusal.into()
    }
}

fn custom_claims(client: &Client, claims: Claims) -> Result<CustomClaims, Refusal> {
    let members = match claims {
        Claims::Stated(members) => members,
        Claims::Asserted(members) => {
            let allowed = |name: &String| !is_reserved_claim(name) && client.claims.contains(name);
            members.into_iter().filter(|(name, value)| allowed(name) && !value.is_null()).collect()
        }
    };
    let claims =
        CustomClaims::parse(members, &client.claims).map_err(|fault| Refusal::InvalidRequest(fault.to_string()))?;
    check_profile(client, &claims)?;
    Ok(claims)
}
