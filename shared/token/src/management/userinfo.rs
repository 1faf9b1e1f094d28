//! Userinfo (OpenID Connect Core §5.3): who the bearer of an access token is, as the session's ID token says it.

use super::recognise::Bearer;
use crate::{
    audit::{Event, EventKind, Reason},
    failure::Failure,
    json::{Map, Value},
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, ReadSession},
    values::OPENID,
};

/// What userinfo needs.
pub struct Userinfo<'a, S, D> {
    /// Where the token's session is read; nothing is written.
    pub store: &'a S,
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// Where a denial is recorded.
    pub audit: &'a dyn Audit,
}

/// What the bearer is answered.
pub enum UserinfoAnswer {
    /// `sub`, and the custom claims of the ID token.
    Claims(Map<String, Value>),
    /// The token is no access token of a live session: `invalid_token` (RFC 6750 §3.1).
    InvalidToken,
    /// The token is good, and not for this: `insufficient_scope`.
    InsufficientScope,
}

impl<S: ReadSession, D: DocumentSource> Userinfo<'_, S, D> {
    /// Reads the session of `token`, which must have the scope `openid`.
    pub async fn run(&self, token: &str) -> Result<UserinfoAnswer, Failure> {
        let now = self.clock.now();
        let denied = |event: Event| {
            self.audit.record(&event);
            Ok(UserinfoAnswer::InvalidToken)
        };
        let rejected = |reason| denied(Event::new(EventKind::AccessDenied).because(reason));
        let bearer = match Bearer::of(token, self.documents, self.policy, now).await? {
            Ok(bearer) => bearer,
            Err(reason) => return rejected(reason),
        };
        let (registrations, token) = (&bearer.documents.registrations, &bearer.token);
        let Some(client) = registrations.client(token.client_id.as_str())? else {
            return rejected(Reason::AccessTokenUnknownClient);
        };
        if !token.actors.is_empty() {
            return denied(bearer.denied(Reason::AccessTokenExchanged, now));
        }
        if let Err(reason) = token.check_times(now, self.policy.clock_skew_seconds) {
            return denied(bearer.denied(reason, now));
        }
        if !client.allowed_scope(&token.scope).split(' ').any(|name| name == OPENID) {
            self.audit.record(&bearer.denied(Reason::ScopeMissing, now));
            return Ok(UserinfoAnswer::InsufficientScope);
        }
        let record = self.store.read(&token.session).await?;
        let Some((record, backing)) = record.and_then(|record| record.backing().map(|backing| (record, backing)))
        else {
            return denied(bearer.denied(Reason::SessionNotLive, now));
        };
        if backing.scope_of(token, registrations, now)?.is_none() {
            return denied(bearer.denied(Reason::SessionNotLive, now));
        }
        let custom = record.claims.allowed_by(&client.claims).map(|(name, value)| (name.clone(), value.clone()));
        let mut claims: Map<String, Value> = custom.collect();
        claims.insert("sub".to_owned(), record.subject.as_str().into());
        Ok(UserinfoAnswer::Claims(claims))
    }
}
