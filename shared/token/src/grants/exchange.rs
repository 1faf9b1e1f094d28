//! The exchange of an authorization code (RFC 6749 §4.1.3): the first renewal of a session that began with a sign-in. The
//! code is the session's first token, so there is no table of codes, and what judges refresh tokens judges codes as well.

use super::{
    client::ClientIdentification,
    mint::TokenSet,
    renew::{Authentic, Renew},
};
use crate::{
    audit::{Event, EventKind, Reason},
    documents::Signers,
    failure::{Failure, Refusal},
    ports::{DocumentSource, ReadSession, RenewSession, RevokeSession},
    tokens::{CodeBinding, CodeVerifier, UnverifiedCode},
    values::Generation,
};

/// A parsed request for the exchange of a code.
pub struct CodeRequest {
    /// The client, as the request names it.
    pub client: ClientIdentification,
    /// The code as it was sent; nothing of it has been checked.
    pub code: String,
    /// `redirect_uri`: the sign-in's.
    pub redirect_uri: String,
    /// `code_verifier` (RFC 7636 §4.5).
    pub code_verifier: Option<String>,
    /// `resource`, all of them (RFC 8707 §2): narrows `aud` of this answer's access token; empty: as the sign-in asked.
    pub resource: Vec<String>,
}

impl<S, D> Renew<'_, S, D>
where
    S: RenewSession + ReadSession + RevokeSession,
    D: DocumentSource,
{
    /// Exchanges a code with one conditional write and no read. What does not fit the code changes nothing; a code that fits
    /// and has been exchanged before ends its session, since one of the two is not who the code was meant for.
    pub async fn exchange(&self, request: CodeRequest) -> Result<TokenSet, Failure> {
        let now = self.clock.now();
        let code = UnverifiedCode::parse(&request.code);
        let check = self.client_check(now);
        let source = self.documents_naming(&request.client, None);
        let mut documents = source.current(now).await?;
        // Who only claims to be a client must not be able to have the keys reloaded.
        check.required_client(&documents.registrations, &request.client)?;
        let is_unknown =
            |code: &UnverifiedCode| matches!(documents.keys.tag_key(code.tag_kid(), now.unix_seconds()), Ok(None));
        if code.as_ref().is_ok_and(is_unknown) {
            documents = source.reloaded(now).await?;
        }
        let client = check.required_client(&documents.registrations, &request.client)?;
        let audience = self.audience(client, &request.resource)?;
        let invalid_grant = |reason| {
            self.audit.record(&Event::new(EventKind::RenewalRejected).client(&client.client_id).because(reason));
            Failure::Refused(Refusal::InvalidGrant)
        };
        let verifier = request.code_verifier.as_deref().map(CodeVerifier::parse);
        if let Some(None) = verifier {
            return Err(invalid_grant(Reason::CodeVerifierMalformed));
        }
        let challenge = verifier.flatten().map(|verifier| verifier.challenge());
        let token = code
            .map_err(|_| invalid_grant(Reason::CodeMalformed))?
            .verify(&documents.keys, &client.client_id, now.unix_seconds())?
            // No other has ever been made: only with a leaked tag key could a refresh token be dressed up as a code.
            .filter(|code| code.generation == Generation::FIRST)
            .ok_or_else(|| invalid_grant(Reason::CodeTag))?;
        let authentic = Authentic {
            documents: &documents,
            client,
            policy: self.policy.for_client(client),
            epochs: documents.registrations.epochs(&client.client_id)?,
            token: token.into_kind(),
            binding: Some(CodeBinding::new(&request.redirect_uri, challenge)),
            access_token: None,
            scope: None,
            audience,
            now,
        };
        let signers = Signers::choose(&documents.keys, client, now)?;
        self.write(&authentic, &signers).await
    }
}
