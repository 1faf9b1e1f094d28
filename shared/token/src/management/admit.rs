//! Authorization of a request: an unexpired access token, for our audience, of a live session. The grace period does not
//! count here.

use crate::{
    audit::{Event, EventKind, Reason},
    failure::Unavailable,
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, ReadSession},
    tokens::{AuthenticAccessToken, UnverifiedAccessToken},
};

/// What authorization needs.
pub struct Admit<'a, S, D> {
    /// Where the token's session is read, unless it is known to be live.
    pub store: &'a S,
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings: `iss`, and the tolerance for clocks.
    pub policy: &'a Policy,
    /// The audience that a token must name.
    pub audience: &'a str,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// Where a denial is recorded.
    pub audit: &'a dyn Audit,
}

impl<S: ReadSession, D: DocumentSource> Admit<'_, S, D> {
    /// The token, if it lets its bearer in; `None`, and an audit line, if not. `is_known_live` may spare the read of a
    /// session that has been found live a moment ago.
    pub async fn run(
        &self,
        token: &str,
        is_known_live: impl FnOnce(&AuthenticAccessToken) -> bool,
    ) -> Result<Option<AuthenticAccessToken>, Unavailable> {
        let now = self.clock.now();
        let denied = |reason| {
            self.audit.record(&Event::new(EventKind::AccessDenied).because(reason));
            Ok(None)
        };
        let unverified = match UnverifiedAccessToken::parse(token) {
            Ok(unverified) => unverified,
            Err(rejection) => return denied(rejection),
        };
        let mut documents = self.documents.current(now).await?;
        if documents.keys.verifier(unverified.kid(), now.unix_seconds()).is_none() {
            documents = self.documents.reloaded(now).await?;
        }
        let token = match unverified.verify(&documents.keys, &documents.registrations, &self.policy.issuer, now) {
            Ok(token) => token,
            Err(rejection) => return denied(rejection),
        };
        let denied = |reason| {
            let event = Event::new(EventKind::AccessDenied).client(&token.client_id).subject(&token.subject);
            let mut event = event.because(reason);
            event.session = Some(token.session.audit_name());
            event.jti = Some(token.jti.clone());
            event.seconds_to_expiry = Some(token.seconds_to_expiry(now));
            self.audit.record(&event);
            Ok(None)
        };
        if !token.audience.iter().any(|audience| audience == self.audience) {
            return denied(Reason::AccessTokenAudienceMismatch);
        }
        if let Err(reason) = token.check_times(now, self.policy.clock_skew_seconds) {
            return denied(reason);
        }
        if !is_known_live(&token) {
            let record = self.store.read(&token.session).await?;
            if !record.is_some_and(|record| record.is_live_for(&token, now)) {
                return denied(Reason::SessionNotLive);
            }
        }
        Ok(Some(token))
    }
}
