//! What access tokens rest on: their session, and what the registration still allows of it.

use super::record::Session;
use crate::{
    failure::Unavailable,
    registrations::{Client, EpochVerdict, Epochs, Registrations, epoch_unreadable},
    tokens::AuthenticAccessToken,
    values::{ClientId, IssuerId, Owner, Scope, Timestamp},
};

/// What of a session's record its access tokens rest on: enough to judge them for a moment without the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    client_id: ClientId,
    issuer_id: IssuerId,
    audience: Vec<String>,
    scope: Scope,
    issued_at: Timestamp,
    absolute_expires_at: Timestamp,
}

impl Session {
    /// What access tokens of this session rest on; `None` once it has been ended.
    pub fn backing(&self) -> Option<Backing> {
        self.revocation.is_none().then(|| Backing {
            client_id: self.client_id.clone(),
            issuer_id: self.issuer_id.clone(),
            audience: self.audience.clone(),
            scope: self.scope.clone(),
            issued_at: self.issued_at,
            absolute_expires_at: self.absolute_expires_at,
        })
    }
}

impl Backing {
    /// The scope that `token` still has, its own times apart; `None` if it is not good any more: its session is over, or the
    /// registrations do not allow it as it is. The idle time ends renewals, not tokens that are out.
    ///
    /// A token of the session's own client rests on record and registration. One that has been exchanged rests on the session's
    /// life, and for its scope and audience on the exchange entry of its own client as it is now: no entry, no token. Where a
    /// registration or an epoch that matters cannot be read, nobody can tell.
    pub fn scope_of(
        &self,
        token: &AuthenticAccessToken,
        registrations: &Registrations,
        now: Timestamp,
    ) -> Result<Option<String>, Unavailable> {
        let Some(client) = registrations.client(self.client_id.as_str())? else { return Ok(None) };
        let epochs = registrations.epochs(&client.client_id)?;
        if token.actors.is_empty() {
            let holds = self.holds(token, client, &epochs, now)?;
            return Ok(holds.then(|| client.allowed_scope(&token.scope)));
        }
        let actor = registrations.client(token.client_id.as_str())?;
        let target = match token.audience.as_slice() {
            [audience] => actor.and_then(|actor| actor.exchange_for(audience)),
            _ => None,
        };
        let is_the_subjects = token.session.owner == Owner::of(&self.client_id, &token.subject);
        let target = target.filter(|_| is_the_subjects && !client.algorithm.is_symmetric());
        let Some(target) = target else { return Ok(None) };
        Ok(self.lives(&epochs, now)?.then(|| target.scope.allowed_of(&token.scope)))
    }

    /// Whether `token` of the session's own client holds: its session is `client`'s, not over, not before its epochs, and
    /// of an audience that record and registration both have, or of the registration's where they have none in common.
    /// A token that says more than its session is none of ours: LibreChat knows the secret of its HS256 key.
    fn holds(
        &self,
        token: &AuthenticAccessToken,
        client: &Client,
        epochs: &Epochs,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let audience = client.allowed_audience(&self.audience);
        let holds = self.client_id == token.client_id
            && self.client_id == client.client_id
            && token.audience.iter().all(|one| audience.contains(one))
            && token.scope.split_ascii_whitespace().all(|name| self.scope.contains(name));
        if holds { self.lives(epochs, now) } else { Ok(false) }
    }

    /// If nothing but the epoch of the session's issuer is in question, and that cannot be read, nobody can tell.
    fn lives(&self, epochs: &Epochs, now: Timestamp) -> Result<bool, Unavailable> {
        match (now < self.absolute_expires_at, epochs.verdict(&self.issuer_id, self.issued_at)) {
            (false, _) | (true, EpochVerdict::Over) => Ok(false),
            (true, EpochVerdict::Live) => Ok(true),
            (true, EpochVerdict::Unknown) => Err(epoch_unreadable()),
        }
    }

    /// Whose session it is.
    pub const fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// When the session is over whatever happens: no token outlives it.
    pub const fn absolute_expires_at(&self) -> Timestamp {
        self.absolute_expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        registrations::Registrations,
        session::{Revocation, RevocationId},
        testing::{NOW, session},
        values::Actors,
    };

    fn client(audience: &str) -> Client {
        let text = format!(
            r#"{{"issuers":[],"clients":[{{"client_id":"librechat","type":"public","audience":[{audience}]}}]}}"#
        );
        Registrations::parse(&text).unwrap().client("librechat").unwrap().unwrap().clone()
    }

    fn token(record: &Session) -> AuthenticAccessToken {
        AuthenticAccessToken {
            session: record.key,
            client_id: record.client_id.clone(),
            subject: record.subject.clone(),
            audience: record.audience.clone(),
            iat: NOW.unix_seconds(),
            exp: NOW.plus(600).unix_seconds(),
            jti: "jti".into(),
            scope: String::new(),
            actors: Actors::default(),
        }
    }

    fn holds(record: &Session, token: &AuthenticAccessToken, now: Timestamp) -> bool {
        let backing = record.backing();
        backing.is_some_and(|backing| backing.holds(token, &client(r#""librechat""#), &Epochs::NONE, now).unwrap())
    }

    #[test]
    fn an_access_token_rests_on_its_clients_session_until_revocation_or_absolute_expiry() {
        let record = session(3);
        let own = token(&record);
        assert!(holds(&record, &own, NOW));
        let foreign = AuthenticAccessToken { client_id: ClientId::parse("other").unwrap(), ..token(&record) };
        assert!(!holds(&record, &foreign, NOW));
        assert!(holds(&record, &own, record.idle_expires_at), "the idle time ends renewals, not tokens");
        let end = record.absolute_expires_at;
        assert!(holds(&record, &own, Timestamp::from_unix_millis(end.unix_millis() - 1)));
        assert!(!holds(&record, &own, end));
        let revocation = Revocation::new(NOW, crate::audit::Reason::ByClient, RevocationId::from_bytes([1; 16]));
        assert!(!holds(&record.ended(&revocation), &own, NOW));
    }

    #[test]
    fn a_token_that_says_more_than_its_session_does_not_hold() {
        let record = session(3);
        let saying = |scope: &str, audience: &[&str]| AuthenticAccessToken {
            scope: scope.into(),
            audience: audience.iter().map(|one| (*one).to_owned()).collect(),
            ..token(&record)
        };
        assert!(holds(&record, &saying("openid", &["librechat"]), NOW));
        assert!(!holds(&record, &saying("openid admin", &["librechat"]), NOW));
        assert!(!holds(&record, &saying("openid", &["orders"]), NOW));
        assert!(!holds(&record, &saying("openid", &["librechat", "orders"]), NOW));
    }

    #[test]
    fn a_narrowed_registration_reaches_tokens_that_are_out() {
        let record = Session { audience: vec!["librechat".into(), "orders".into()], ..session(3) };
        let backing = record.backing().unwrap();
        let of = |audience: &[&str]| AuthenticAccessToken {
            audience: audience.iter().map(|one| (*one).to_owned()).collect(),
            ..token(&record)
        };
        let holds = |token, registered| backing.holds(&token, &client(registered), &Epochs::NONE, NOW).unwrap();
        assert!(holds(of(&["librechat", "orders"]), r#""orders","librechat""#));
        assert!(!holds(of(&["librechat", "orders"]), r#""librechat""#));
        assert!(holds(of(&["librechat"]), r#""librechat""#));
        // Nothing in common is left: what is registered now.
        assert!(holds(of(&["chat"]), r#""chat""#) && !holds(of(&["librechat"]), r#""chat""#));
    }

    #[test]
    fn a_session_from_before_its_epoch_backs_no_token() {
        let record = session(3);
        let backing = record.backing().unwrap();
        let asked = |epochs: &Epochs| backing.holds(&token(&record), &client(r#""librechat""#), epochs, NOW);
        let holds = |epochs: &Epochs| asked(epochs).unwrap();
        assert!(holds(&Epochs::new(Some(record.issued_at), [])));
        assert!(!holds(&Epochs::new(Some(record.issued_at.plus(1)), [])));
        assert!(!holds(&Epochs::new(None, [(record.issuer_id.clone(), record.issued_at.plus(1))])));
        assert!(holds(&Epochs::new(None, [(IssuerId::parse("other").unwrap(), NOW)])));
        let unknown = |epochs: Epochs| epochs.without_knowing([record.issuer_id.clone()]).unwrap();
        assert!(asked(&unknown(Epochs::NONE)).is_err(), "nobody can tell");
        assert!(
            !holds(&unknown(Epochs::new(Some(record.issued_at.plus(1)), []))),
            "and need not, if it is over anyway"
        );
    }
}
