//! A client's assertion that vouches for itself: `private_key_jwt` (OpenID Connect Core 1.0 §9, RFC 7523 §2.2).

use super::{
    assertion::{Times, verified_claims},
    jwt::{self, Compact},
};
use crate::{
    audit::Reason,
    failure::Unavailable,
    json::Value,
    keys::AssertionKeys,
    policy::Policy,
    registrations::{Client, Registrations},
    values::{Seconds, Timestamp},
};

/// A client makes its assertions for the request at hand: `exp` is at most an hour ahead.
pub const MAX_CLIENT_ASSERTION_SECONDS: Seconds = 3600;

/// How a client says who it is by an assertion: `private_key_jwt` (OpenID Connect Core 1.0 §9, RFC 7523 §2.2).
pub struct ClientAssertion {
    /// The JWT in compact form, as it was sent; nothing of it has been checked.
    pub assertion: String,
    /// `client_id`, where the request has one as well: it must be the same.
    pub client_id: Option<String>,
}

impl ClientAssertion {
    /// The confidential client that made it; or why not, with the client that it claims to come from if there is one. That
    /// client's registration may be faulty: then nobody can tell.
    pub(crate) fn authenticate<'r>(
        &self,
        registrations: &'r Registrations,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Result<&'r Client, (Option<&'r Client>, Reason)>, Unavailable> {
        let Some(id) = self.claimed_id() else { return Ok(Err((None, Reason::AssertionMalformed))) };
        let Some(client) = registrations.client(&id)? else {
            return Ok(Err((None, Reason::AssertionUnknownIssuer)));
        };
        let verified = match &client.assertion_keys {
            Some(keys) => self.verify(&id, keys, policy, now),
            None => Err(Reason::AssertionUnknownIssuer),
        };
        Ok(verified.map(|()| client).map_err(|fault| (Some(client), fault)))
    }

    /// Whom the assertion claims to come from: for a registration to be found by, nothing else.
    pub(crate) fn claimed_id(&self) -> Option<String> {
        let claims = Compact::parse(&self.assertion)?.claims()?;
        claims.get("sub").and_then(Value::as_str).map(str::to_owned)
    }

    /// Checks that the client `id` made the assertion with one of `keys`, for us alone and not long ago.
    ///
    /// `iss` and `sub` are the client's id, `aud` is our issuer identifier and nothing else (the update of RFC 7523
    /// that closes audience injection), `exp` is at most an hour ahead. It may be used again within its life: whoever has
    /// overheard the request has also the refresh token in it, and what that is worth is for the session to say.
    pub(crate) fn verify(&self, id: &str, keys: &AssertionKeys, policy: &Policy, now: Timestamp) -> Result<(), Reason> {
        let token = Compact::parse(&self.assertion).ok_or(Reason::AssertionMalformed)?;
        let claims = verified_claims(keys, token, &["JWT", "client-authentication+jwt"])?;
        let says = |name| claims.get(name).and_then(Value::as_str) == Some(id);
        if !says("iss") || !says("sub") || self.client_id.as_deref().is_some_and(|named| named != id) {
            return Err(Reason::AssertionClaims);
        }
        if claims.get("aud").and_then(jwt::audience).is_none_or(|said| said != [policy.issuer.as_str()]) {
            return Err(Reason::AssertionAudience);
        }
        let times = Times::read(&claims)?;
        times.check(now, policy.clock_skew_seconds)?;
        if times.is_endless(now, MAX_CLIENT_ASSERTION_SECONDS) {
            return Err(Reason::AssertionEndless);
        }
        Ok(())
    }
}
