//! Authorization of a request: an unexpired access token, for our audience, of a live session. The grace period does not
//! count here.

use super::recognise::{Bearer, scope_of};
use crate::{
    audit::{Event, EventKind, Reason},
    failure::Unavailable,
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, ReadSession},
    session::Backing,
    tokens::AuthenticAccessToken,
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

/// A token that lets its bearer in, and what it rests on.
pub struct Admitted {
    /// The token, with the scope that the client's registration still allows.
    pub token: AuthenticAccessToken,
    /// What its session is like, to be remembered for a moment.
    pub backing: Backing,
}

impl<S: ReadSession, D: DocumentSource> Admit<'_, S, D> {
    /// The token, if it lets its bearer in; `None`, and an audit line, if not. What `known` says of a session spares its
    /// read; registration and epochs count all the same. A failure is no denial: nobody can tell.
    pub async fn run(
        &self,
        token: &str,
        known: impl FnOnce(&AuthenticAccessToken) -> Option<Backing>,
    ) -> Result<Option<Admitted>, Unavailable> {
        let now = self.clock.now();
        let denied = |reason| {
            self.audit.record(&Event::new(EventKind::AccessDenied).because(reason));
            Ok(None)
        };
        let bearer = match Bearer::of(token, self.documents, self.policy, now).await? {
            Ok(bearer) => bearer,
            Err(rejection) => return denied(rejection),
        };
        let denied = |reason| {
            self.audit.record(&bearer.denied(reason, now));
            Ok(None)
        };
        let token = &bearer.token;
        if !token.audience.iter().any(|audience| audience == self.audience) {
            return denied(Reason::AccessTokenAudienceMismatch);
        }
        if let Err(reason) = token.check_times(now, self.policy.clock_skew_seconds) {
            return denied(reason);
        }
        let backing = match known(token) {
            Some(backing) => Some(backing),
            None => self.store.read(&token.session).await?.and_then(|record| record.backing()),
        };
        let Some(backing) = backing else { return denied(Reason::SessionNotLive) };
        let Some(scope) = scope_of(&backing, token, &bearer.documents, self.policy, now)? else {
            return denied(Reason::SessionNotLive);
        };
        Ok(Some(Admitted { token: AuthenticAccessToken { scope, ..bearer.token }, backing }))
    }
}
