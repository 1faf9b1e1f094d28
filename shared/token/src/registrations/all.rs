//! All registrations: who there is, and who is who they say.

use super::{
    client::{Client, ClientType},
    credentials::{Credentials, admit},
    dynamic::{DynamicEntry, Registering},
    epochs::{Epoch, Epochs, epoch_unreadable},
    faulty::{Quarantine, faulty},
    issuer::{AssertionRules, Issuer},
};
use crate::{
    failure::Unavailable,
    values::{ClientId, DYNAMIC_CLIENTS, IssuerId},
};

/// All registrations of the deployment. Faulty entries are quarantined: asking for one is [`Unavailable`].
#[derive(Clone, Debug, Default)]
pub struct Registrations {
    pub(super) issuers: Vec<Issuer>,
    pub(super) clients: Vec<Client>,
    pub(super) faulty_issuers: Quarantine,
    pub(super) faulty_clients: Quarantine,
    /// Of all sessions, whoever's they are.
    pub(super) epoch: Epoch,
    /// Whether clients may register themselves.
    pub(super) dynamic: DynamicEntry,
    /// Clients that have registered themselves and that the request at hand brings along.
    pub(super) recognised: Vec<Client>,
}

impl Registrations {
    /// All clients that are registered without fault, in the order of the document.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// The client with this id; `None` if there is none.
    pub fn client(&self, id: &str) -> Result<Option<&Client>, Unavailable> {
        match self.sound_client(id) {
            Some(client) => Ok(Some(client)),
            None if !id.starts_with(DYNAMIC_CLIENTS) => self.faulty_clients.check("client", id),
            None => match self.dynamic.clients {
                Registering::Off | Registering::On(_) => Ok(None),
                Registering::Faulty => Err(faulty("client")),
            },
        }
    }

    /// The client that one of `ids` names: one id, read in different ways.
    pub fn named_client(&self, ids: &[String]) -> Result<Option<&Client>, Unavailable> {
        first_known(ids, |id| self.client(id))
    }

    fn sound_client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().chain(&self.recognised).find(|client| client.client_id.as_str() == id)
    }

    /// The ids of all clients, whether or not their registrations are faulty, and the one that stands for all that have
    /// registered themselves.
    pub fn client_ids(&self) -> Vec<ClientId> {
        let sound = self.clients.iter().map(|client| client.client_id.clone());
        let faulty = self.faulty_clients.0.iter().filter_map(|entry| ClientId::parse(entry.id.as_deref()?));
        let mut ids: Vec<ClientId> = sound.chain(faulty).chain([ClientId::of_dynamic_clients()]).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Whether a client is registered whose id cannot be read.
    pub fn has_nameless_clients(&self) -> bool {
        self.faulty_clients.0.iter().any(|entry| entry.id.is_none())
    }

    /// Whether a client with this id may be registered, with or without fault.
    pub fn is_client(&self, id: &ClientId) -> bool {
        self.sound_client(id.as_str()).is_some() || !id.is_dynamic() && self.faulty_clients.may_hold(id.as_str())
    }

    /// The issuer with this id; `None` if there is none, or it is disabled.
    pub fn issuer(&self, id: &str) -> Result<Option<&Issuer>, Unavailable> {
        match self.issuers.iter().find(|issuer| issuer.issuer_id.as_str() == id) {
            Some(issuer) => Ok(Some(issuer).filter(|issuer| !issuer.is_disabled)),
            None => self.faulty_issuers.check("issuer", id),
        }
    }

    /// From when on sessions of `client` are good. What disabled issuers and faulty entries say counts like anything else;
    /// what the deployment or the client says must be readable.
    pub fn epochs(&self, client: &ClientId) -> Result<Epochs, Unavailable> {
        let own = match client.is_dynamic() {
            true => self.dynamic.epoch,
            false => {
                let sound = self.sound_client(client.as_str()).map(|client| client.sessions_not_before);
                let faulty = self.faulty_clients.named(client.as_str()).map(|entry| entry.epoch);
                faulty.chain(sound.map(Epoch::from)).fold(Epoch::Never, Epoch::and)
            }
        };
        let floor = match self.epoch.and(own) {
            Epoch::Never => None,
            Epoch::At(moment) => Some(moment),
            Epoch::Unreadable => return Err(epoch_unreadable()),
        };
        let sound = self.issuers.iter().filter_map(|issuer| {
            let epoch = issuer.sessions_not_before?;
            Some((issuer.issuer_id.clone(), Epoch::At(epoch)))
        });
        let faulty = self.faulty_issuers.0.iter().filter_map(|entry| {
            let issuer = entry.id.as_deref().and_then(IssuerId::parse)?;
            Some((issuer, entry.epoch))
        });
        let (mut dated, mut unknown) = (Vec::new(), Vec::new());
        for (issuer, epoch) in sound.chain(faulty) {
            match epoch {
                Epoch::Never => {}
                Epoch::At(moment) => dated.push((issuer, moment)),
                Epoch::Unreadable => unknown.push(issuer),
            }
        }
        let epochs = Epochs::new(floor, dated).without_knowing(unknown).ok_or_else(epoch_unreadable)?;
        // Whose epoch an entry without an id sets, nobody knows: perhaps that of an issuer whom no other entry names.
        if self.faulty_issuers.0.iter().any(|entry| entry.id.is_none() && entry.epoch != Epoch::Never) {
            return epochs.knowing_only(self.issuer_ids()).ok_or_else(epoch_unreadable);
        }
        Ok(epochs)
    }

    fn issuer_ids(&self) -> Vec<IssuerId> {
        let sound = self.issuers.iter().map(|issuer| issuer.issuer_id.clone());
        let faulty = self.faulty_issuers.0.iter().filter_map(|entry| IssuerId::parse(entry.id.as_deref()?));
        sound.chain(faulty).collect()
    }

    /// The issuer whose id and secret one of `candidates` states.
    pub fn authenticate_issuer(&self, candidates: &[Credentials]) -> Result<Option<&Issuer>, Unavailable> {
        first_known(candidates, |credentials| {
            let issuer = self.issuer(&credentials.id)?;
            Ok(admit(issuer.map(|issuer| &issuer.secrets), &credentials.secret).then_some(issuer).flatten())
        })
    }

    /// The confidential client whose id and secret one of `candidates` states.
    pub fn authenticate_client(&self, candidates: &[Credentials]) -> Result<Option<&Client>, Unavailable> {
        first_known(candidates, |credentials| {
            let client = self.client(&credentials.id)?;
            let secrets = client.and_then(|client| match client.client_type() {
                ClientType::Confidential(secrets) => Some(secrets),
                ClientType::Public => None,
            });
            Ok(admit(secrets, &credentials.secret).then_some(client).flatten())
        })
    }

    /// The issuer whose assertions carry this `iss`, and how they are verified.
    pub(crate) fn issuer_of_assertions(&self, iss: &str) -> Result<Option<(&Issuer, &AssertionRules)>, Unavailable> {
        let found = self.issuers.iter().filter(|issuer| !issuer.is_disabled).find_map(|issuer| {
            let rules = issuer.assertions.as_ref()?;
            (rules.iss == iss).then_some((issuer, rules))
        });
        match found {
            Some(found) => Ok(Some(found)),
            None => self.faulty_issuers.check_assertion_iss(iss),
        }
    }
}

/// Whoever one of `candidates` is. That another one cannot be judged matters only if none is anybody.
fn first_known<'a, C, T>(
    candidates: &[C],
    judge: impl Fn(&C) -> Result<Option<&'a T>, Unavailable>,
) -> Result<Option<&'a T>, Unavailable> {
    let mut outcome = Ok(None);
    for candidate in candidates {
        match judge(candidate) {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(unavailable) => outcome = Err(unavailable),
        }
    }
    outcome
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
            registrations
                .authenticate_client(&[Credentials { id: id.into(), secret: secret.into() }])
                .unwrap()
                .is_some()
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
            registrations
                .authenticate_issuer(&[Credentials { id: id.into(), secret: secret.into() }])
                .unwrap()
                .is_some()
        };
        assert!(issuer("portal", "s1"));
        assert!(!issuer("portal", "s2") && !issuer("a", "old"));
    }
}
