//! A token that somebody asks about: which of the caller's it is, and what it stands for.

use std::sync::Arc;

use super::caller::Caller;
use crate::{
    audit::{Event, EventKind, Reason},
    documents::Documents,
    failure::Unavailable,
    policy::Policy,
    ports::{DocumentSource, ReadSession},
    registrations::{Client, ClientPolicy, Registrations, epoch_unreadable},
    session::{Backing, Decision, Presented, RenewalRules, Session, Write, decide},
    tokens::{
        AuthenticAccessToken, Purpose, RefreshToken, UnverifiedAccessToken, UnverifiedRefreshToken, claimed_client,
    },
    values::Timestamp,
};

/// A token that is the caller's business; not necessarily live.
pub(crate) enum CallersToken<'a> {
    Access(AuthenticAccessToken),
    Refresh(RefreshToken, &'a Client),
}

/// Documents in which those clients are known that have registered themselves and that a request mentions.
pub(crate) struct Mentioning<'a, D> {
    pub source: &'a D,
    /// The deployment's settings; its earlier `iss` are among them.
    pub policy: &'a Policy,
    /// Ids that the request states, of whomever.
    pub ids: Vec<&'a str>,
    /// A JWT whose client counts as well. Its signature is for others to check.
    pub token: Option<&'a str>,
}

impl<D: DocumentSource> Mentioning<'_, D> {
    fn recognised(&self, documents: Arc<Documents>, now: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        // Where no client registers itself, nothing is looked at twice.
        let token = self.token.filter(|_| documents.registrations.has_dynamic_clients());
        let claimed = token.and_then(claimed_client);
        documents.recognising(self.ids.iter().copied().chain(claimed.as_deref()), self.policy, now)
    }
}

impl<D: DocumentSource> DocumentSource for Mentioning<'_, D> {
    async fn current(&self, now: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        self.recognised(self.source.current(now).await?, now)
    }

    async fn reloaded(&self, now: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        self.recognised(self.source.reloaded(now).await?, now)
    }
}

/// An access token that is shown to be let in, and what it was verified with. Its times and its session are still to be
/// judged.
pub(crate) struct Bearer {
    pub documents: Arc<Documents>,
    pub token: AuthenticAccessToken,
}

impl Bearer {
    /// `Err`: it is none of ours, and why.
    pub async fn of<D: DocumentSource>(
        text: &str,
        source: &D,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Result<Self, Reason>, Unavailable> {
        let unverified = match UnverifiedAccessToken::parse(text) {
            Ok(unverified) => unverified,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let source = Mentioning { source, policy, ids: Vec::new(), token: Some(text) };
        let mut documents = source.current(now).await?;
        if documents.keys.verifier(unverified.kid(), now.unix_seconds())?.is_none() {
            documents = source.reloaded(now).await?;
        }
        let verified = unverified.verify(&documents.keys, &documents.registrations, policy, Purpose::LetIn, now)?;
        Ok(verified.map(|token| Self { documents, token }))
    }

    /// That it is not let in, as the audit trail has it.
    pub fn denied(&self, reason: Reason, now: Timestamp) -> Event {
        let event = Event::new(EventKind::AccessDenied).client(&self.token.client_id).because(reason);
        Event {
            session: Some(self.token.session.audit_name()),
            jti: Some(self.token.jti.clone()),
            seconds_to_expiry: Some(self.token.seconds_to_expiry(now)),
            ..event.subject(self.documents.keys.audit_name(&self.token.subject))
        }
    }
}

/// The scope that `token` still has by what its session's record says ([`Backing::scope_of`]).
pub(crate) fn scope_of(
    backing: &Backing,
    token: &AuthenticAccessToken,
    documents: &Arc<Documents>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<String>, Unavailable> {
    if token.actors.is_empty() {
        return backing.scope_of(token, &documents.registrations, now);
    }
    // That the session's client has registered itself nothing but the record tells.
    let documents = Arc::clone(documents).recognising([backing.client_id().as_str()], policy, now)?;
    backing.scope_of(token, &documents.registrations, now)
}

/// The documents in force; reloaded if the token names a key that it does not have.
pub(crate) async fn documents_for<D: DocumentSource>(
    source: &D,
    current: Arc<Documents>,
    token: &str,
    now: Timestamp,
) -> Result<Arc<Documents>, Unavailable> {
    let seconds = now.unix_seconds();
    let is_unknown = match (UnverifiedRefreshToken::parse(token), UnverifiedAccessToken::parse(token)) {
        (Ok(token), _) => matches!(current.keys.tag_key(token.tag_kid(), seconds), Ok(None)),
        (_, Ok(token)) => matches!(current.keys.verifier(token.kid(), seconds), Ok(None)),
        _ => false,
    };
    if is_unknown { source.reloaded(now).await } else { Ok(current) }
}

/// Documents in which the client of an issuer's refresh token is known that has registered itself: the token does not name
/// it, so the session's record is asked. One read, and only where no listed client of the issuer has the token.
pub(crate) async fn knowing_registered_owner<S: ReadSession>(
    store: &S,
    documents: &Arc<Documents>,
    caller: Caller<'_>,
    token: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<Arc<Documents>, Unavailable> {
    let unchanged = Arc::clone(documents);
    let (Caller::Issuer(issuer), Ok(unverified)) = (caller, UnverifiedRefreshToken::parse(token)) else {
        return Ok(unchanged);
    };
    let registrations = &documents.registrations;
    let has_none = matches!(registrations.has_registered_clients(issuer), Ok(false));
    if has_none || matches!(recognise(token, caller, documents, policy, Purpose::RenewOrEnd, now), Ok(Ok(_))) {
        return Ok(unchanged);
    }
    let Some((client, _)) = store.whose(unverified.claimed_session()).await? else { return Ok(unchanged) };
    if !client.is_dynamic() || !registrations.is_client_of(&client, issuer)? {
        return Ok(unchanged);
    }
    let known = unchanged.recognising([client.as_str()], policy, now)?;
    // Where the entry is faulty, nobody can say whether there is such a client.
    known.registrations.client(client.as_str())?;
    Ok(known)
}

/// Recognises a token. What is malformed, forged or somebody else's is `Err` with the audit trail's word for it, unless
/// what it must be judged by is not available.
pub(crate) fn recognise<'a>(
    token: &str,
    caller: Caller<'a>,
    documents: &'a Documents,
    policy: &Policy,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Result<CallersToken<'a>, Reason>, Unavailable> {
    if UnverifiedRefreshToken::parse(token).is_ok() {
        // A client that cannot be asked for may be the token's, unless it turns out to be another's.
        let mut nobodys = Ok(Err(Reason::RefreshTokenTag));
        for client in caller.clients(&documents.registrations) {
            let client = match client {
                Ok(client) => client,
                Err(unavailable) => {
                    nobodys = Err(unavailable);
                    continue;
                }
            };
            let Ok(unverified) = UnverifiedRefreshToken::parse(token) else { break };
            if let Some(token) = unverified.verify(&documents.keys, &client.client_id, now.unix_seconds())? {
                return Ok(Ok(CallersToken::Refresh(token, client)));
            }
        }
        return nobodys;
    }
    let verified = match UnverifiedAccessToken::parse(token) {
        Ok(token) => token.verify(&documents.keys, &documents.registrations, policy, purpose, now)?,
        Err(rejection) => Err(rejection),
    };
    let token = match verified {
        Ok(token) => token,
        Err(rejection) => return Ok(Err(rejection)),
    };
    Ok(match caller.may_see(&token, &documents.registrations, purpose)? {
        true => Ok(CallersToken::Access(token)),
        false => Err(Reason::AccessTokenOfAnotherClient),
    })
}

/// Whether an authentic refresh token renews its session, now or when its window opens; nobody can tell where an epoch cannot
/// be read. Nothing is written.
pub(crate) fn is_current(
    token: &RefreshToken,
    client: &Client,
    registrations: &Registrations,
    record: Option<&Session>,
    policy: &Policy,
    now: Timestamp,
) -> Result<bool, Unavailable> {
    let presented = Presented {
        client_id: client.client_id.clone(),
        generation: token.generation,
        secret_hash: token.secret().hash(),
        candidate: None,
        binding: None,
    };
    let ClientPolicy { retry_seconds, window_seconds, .. } = policy.for_client(client);
    let rules = RenewalRules { retry_seconds, window_seconds, epochs: registrations.epochs(&client.client_id)? };
    match decide(record, &presented, now, &rules) {
        Decision::Renewed(Write::Due) | Decision::TooEarly { .. } => Ok(true),
        Decision::Undecided => Err(epoch_unreadable()),
        Decision::Renewed(Write::Done) | Decision::Retried | Decision::Reused(_) | Decision::Refused(_) => Ok(false),
    }
}
