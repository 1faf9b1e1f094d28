//! A token that somebody asks about: which of the caller's it is, and what it stands for.

use std::sync::Arc;

use super::caller::Caller;
use crate::{
    audit::Reason,
    documents::Documents,
    failure::Unavailable,
    policy::Policy,
    ports::DocumentSource,
    registrations::{Client, ClientPolicy, Registrations},
    session::{Decision, Presented, RenewalRules, Session, Write, decide},
    tokens::{AuthenticAccessToken, Purpose, RefreshToken, UnverifiedAccessToken, UnverifiedRefreshToken},
    values::Timestamp,
};

/// A token of one of the caller's clients; not necessarily live.
pub(crate) enum CallersToken<'a> {
    Access(AuthenticAccessToken),
    Refresh(RefreshToken, &'a Client),
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
        (Ok(token), _) => current.keys.tag_key(token.tag_kid(), seconds).is_none(),
        (_, Ok(token)) => current.keys.verifier(token.kid(), seconds).is_none(),
        _ => false,
    };
    if is_unknown { source.reloaded(now).await } else { Ok(current) }
}

/// Recognises a token. What is malformed, forged or somebody else's is `Err` with the audit trail's word for it.
pub(crate) fn recognise<'a>(
    token: &str,
    caller: Caller<'a>,
    documents: &'a Documents,
    policy: &Policy,
    purpose: Purpose,
    now: Timestamp,
) -> Result<CallersToken<'a>, Reason> {
    if UnverifiedRefreshToken::parse(token).is_ok() {
        let verified = caller.clients(&documents.registrations).into_iter().find_map(|client| {
            let unverified = UnverifiedRefreshToken::parse(token).ok()?;
            let token = unverified.verify(&documents.keys, &client.client_id, now.unix_seconds())?;
            Some(CallersToken::Refresh(token, client))
        });
        return verified.ok_or(Reason::RefreshTokenTag);
    }
    let token = UnverifiedAccessToken::parse(token)?;
    let token = token.verify(&documents.keys, &documents.registrations, policy, purpose, now)?;
    if caller.may_see(&token.client_id) {
        Ok(CallersToken::Access(token))
    } else {
        Err(Reason::AccessTokenOfAnotherClient)
    }
}

/// Whether an authentic refresh token renews its session, now or when its window opens. Nothing is written.
pub(crate) fn is_current(
    token: &RefreshToken,
    client: &Client,
    registrations: &Registrations,
    record: Option<&Session>,
    policy: &Policy,
    now: Timestamp,
) -> bool {
    let presented = Presented {
        client_id: client.client_id.clone(),
        generation: token.generation,
        secret_hash: token.secret().hash(),
        candidate: None,
    };
    let ClientPolicy { retry_seconds, window_seconds, .. } = policy.for_client(client);
    let rules = RenewalRules { retry_seconds, window_seconds, epochs: registrations.epochs(client) };
    matches!(decide(record, &presented, now, &rules), Decision::Renewed(Write::Due) | Decision::TooEarly { .. })
}
