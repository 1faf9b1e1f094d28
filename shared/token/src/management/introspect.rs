//! Introspection (RFC 7662): what a live token says, to those whose business it is. Never writes.

use std::sync::Arc;

use serde_json::json;

use super::{
    caller::{Caller, CallerIdentification, identify},
    recognise::{CallersToken, Mentioning, documents_for, is_current, knowing_registered_owner, recognise, scope_of},
};
use crate::{
    audit::{Event, EventKind, Reason},
    documents::Documents,
    failure::{Failure, Refusal},
    json::{Map, Value},
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, ReadSession},
    registrations::Client,
    session::Session,
    tokens::{AuthenticAccessToken, Purpose},
    values::Timestamp,
};

/// What introspection needs.
pub struct Introspect<'a, S, D> {
    /// Where the token's session is read; nothing is written.
    pub store: &'a S,
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings; a client's own settings replace some of them.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// Where refusals and tokens that are not active are recorded.
    pub audit: &'a dyn Audit,
}

impl<S: ReadSession, D: DocumentSource> Introspect<'_, S, D> {
    /// The answer's members: `active`, and for a live token the rest of RFC 7662 §2.2.
    pub async fn run(&self, caller: &CallerIdentification, token: &str) -> Result<Map<String, Value>, Failure> {
        let now = self.clock.now();
        let source = Mentioning { source: self.documents, policy: self.policy, ids: caller.ids(), token: Some(token) };
        let documents = source.current(now).await?;
        self.identify(identify(&documents.registrations, caller, self.policy, now, self.audit)?)?;
        let documents = documents_for(&source, documents, token, now).await?;
        let caller = self.identify(identify(&documents.registrations, caller, self.policy, now, self.audit)?)?;
        let documents = knowing_registered_owner(self.store, &documents, caller, token, self.policy, now).await?;
        let said = match recognise(token, caller, &documents, self.policy, Purpose::LetIn, now)? {
            Err(reason) => Err(reason),
            Ok(CallersToken::Access(token)) => self.access_token(token, &documents, now).await?,
            Ok(CallersToken::Refresh(token, client)) => match caller {
                Caller::Client(_) => Err(Reason::RefreshTokenShownToIssuersOnly),
                Caller::Issuer(_) => {
                    let record = self.store.read(&token.session).await?;
                    let is_current =
                        is_current(&token, client, &documents.registrations, record.as_ref(), self.policy, now)?;
                    record
                        .filter(|_| is_current)
                        .map(|record| self.refresh_token(&record, client))
                        .ok_or(Reason::RefreshTokenNotLive)
                }
            },
        };
        Ok(said.unwrap_or_else(|reason| {
            self.audit.record(&caller.mark(Event::new(EventKind::AccessDenied)).because(reason));
            Map::from_iter([("active".to_owned(), Value::Bool(false))])
        }))
    }

    /// Public clients have nothing that only they know, so they are not told anything.
    fn identify<'a>(&self, caller: Caller<'a>) -> Result<Caller<'a>, Failure> {
        match caller {
            Caller::Client(client) if client.is_public() => {
                let event = Event::new(EventKind::ClientRejected).client(&client.client_id);
                self.audit.record(&event.because(Reason::PublicClient));
                Err(Refusal::InvalidClient.into())
            }
            caller => Ok(caller),
        }
    }

    async fn access_token(
        &self,
        token: AuthenticAccessToken,
        documents: &Arc<Documents>,
        now: Timestamp,
    ) -> Result<Result<Map<String, Value>, Reason>, Failure> {
        if let Err(reason) = token.check_times(now, self.policy.clock_skew_seconds) {
            return Ok(Err(reason));
        }
        let backing = self.store.read(&token.session).await?.and_then(|record| record.backing());
        let scope = match backing {
            Some(backing) => scope_of(&backing, &token, documents, self.policy, now)?,
            None => None,
        };
        let Some(scope) = scope else { return Ok(Err(Reason::SessionNotLive)) };
        let mut answer = members(json!({
            "active": true, "token_type": "Bearer", "iss": self.policy.issuer, "sub": token.subject.as_str(),
            "client_id": token.client_id.as_str(), "aud": token.audience, "scope": scope, "iat": token.iat,
            "exp": token.exp, "jti": token.jti, "sid": token.session.to_string(),
        }));
        answer.extend(token.actors.claim().map(|claim| ("act".to_owned(), claim)));
        Ok(Ok(answer))
    }

    fn refresh_token(&self, record: &Session, client: &Client) -> Map<String, Value> {
        members(json!({
            "active": true, "iss": self.policy.issuer, "sub": record.subject.as_str(),
            "client_id": record.client_id.as_str(), "scope": record.scope.intersection(&client.scope).to_string(),
            "iat": record.rotated_at.unix_seconds(), "exp": record.ends_at().unix_seconds(), "sid": record.key.to_string(),
        }))
    }
}

/// What has no value is left out.
fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(mut members) => {
            members.retain(|_, value| value != "");
            members
        }
        _ => Map::new(),
    }
}
