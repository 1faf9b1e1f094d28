//! All registrations: who there is, and who is who they say.

use super::{
    client::{Client, ClientType},
    credentials::{Credentials, admit},
    epochs::Epochs,
    issuer::{AssertionRules, Issuer},
};
use crate::values::Timestamp;

/// All registrations of the deployment.
#[derive(Clone, Debug, Default)]
pub struct Registrations {
    pub(super) issuers: Vec<Issuer>,
    pub(super) clients: Vec<Client>,
    /// Sessions that were issued earlier are over, whoever's they are.
    pub(super) sessions_not_before: Option<Timestamp>,
}

impl Registrations {
    /// All clients, in the order of the document.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// The client with this id; `None` if there is none.
    pub fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.client_id.as_str() == id)
    }

    /// The issuer with this id; `None` if there is none, or it is disabled.
    pub fn issuer(&self, id: &str) -> Option<&Issuer> {
        self.enabled_issuers().find(|issuer| issuer.issuer_id.as_str() == id)
    }

    fn enabled_issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.iter().filter(|issuer| !issuer.is_disabled)
    }

    /// From when on sessions of `client` are good. A disabled issuer's epoch counts like any other's.
    pub fn epochs(&self, client: &Client) -> Epochs {
        let floor = self.sessions_not_before.max(client.sessions_not_before);
        let own = |issuer: &Issuer| Some((issuer.issuer_id.clone(), issuer.sessions_not_before?));
        Epochs::new(floor, self.issuers.iter().filter_map(own))
    }

    /// The issuer whose id and secret one of `candidates` states.
    pub fn authenticate_issuer(&self, candidates: &[Credentials]) -> Option<&Issuer> {
        candidates.iter().find_map(|credentials| {
            let issuer = self.issuer(&credentials.id);
            admit(issuer.map(|issuer| &issuer.secrets), &credentials.secret).then_some(issuer)?
        })
    }

    /// The confidential client whose id and secret one of `candidates` states.
    pub fn authenticate_client(&self, candidates: &[Credentials]) -> Option<&Client> {
        candidates.iter().find_map(|credentials| {
            let client = self.client(&credentials.id);
            let secrets = client.and_then(|client| match client.client_type() {
                ClientType::Confidential(secrets) => Some(secrets),
                ClientType::Public => None,
            });
            admit(secrets, &credentials.secret).then_some(client)?
        })
    }

    /// The issuer whose assertions carry this `iss`, and how they are verified.
    pub(crate) fn issuer_of_assertions(&self, iss: &str) -> Option<(&Issuer, &AssertionRules)> {
        self.enabled_issuers().find_map(|issuer| {
            let rules = issuer.assertions.as_ref()?;
            (rules.iss == iss).then_some((issuer, rules))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sha256_hex;

    #[test]
    fn authentication_takes_any_current_secret_of_the_named_party_only() {
        let hashes = format!(r#""secret_sha256":["{}","{}"]"#, sha256_hex("old"), sha256_hex("new"));
        let clients = format!(
            r#"{{"client_id":"a","type":"confidential","audience":["a"],{hashes}}},{{"client_id":"p","type":"public","audience":["p"]}}"#
        );
        let registrations = Registrations::parse(&format!(
            r#"{{"issuers":[{{"issuer_id":"portal","secret_sha256":["{}"],"clients":["a"]}}],"clients":[{clients}]}}"#,
            sha256_hex("s1")
        ))
        .unwrap();
        let client = |id: &str, secret: &str| {
            registrations.authenticate_client(&[Credentials { id: id.into(), secret: secret.into() }]).is_some()
        };
        assert!(client("a", "old") && client("a", "new"));
        assert!(
            !client("a", "")
                && !client("a", "other")
                && !client("b", "old")
                && !client("p", "")
                && !client("portal", "s1")
        );
        let issuer = |id: &str, secret: &str| {
            registrations.authenticate_issuer(&[Credentials { id: id.into(), secret: secret.into() }]).is_some()
        };
        assert!(issuer("portal", "s1"));
        assert!(!issuer("portal", "s2") && !issuer("a", "old"));
    }
}
