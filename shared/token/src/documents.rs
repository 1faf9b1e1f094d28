//! Key ring and registrations, loaded together and checked against each other, and the keys that they give an answer.

use crate::{
    failure::Unavailable,
    json::Faults,
    keys::{Algorithm, KeyRing, SigningKey, TagKey},
    registrations::{Client, Registrations},
    values::{OPENID, Timestamp},
};

/// A key ring and registrations that fit each other.
#[derive(Debug)]
pub struct Documents {
    /// All signing and tag keys.
    pub keys: KeyRing,
    /// All issuers and clients. Every key that a client names is in the ring, for the client's algorithm.
    pub registrations: Registrations,
}

/// Which of the two documents is at fault, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// The secret `signing-keys` is at fault.
    #[error("signing keys: {0}")]
    Keys(Faults),
    /// The secret `clients` is at fault, or it names a key that the ring does not have.
    #[error("clients: {0}")]
    Registrations(Faults),
}

impl Documents {
    /// Reads the secrets `signing-keys` and `clients` and checks one against the other.
    pub fn parse(signing_keys: &str, clients: &str) -> Result<Self, DocumentFault> {
        let keys = KeyRing::parse(signing_keys).map_err(DocumentFault::Keys)?;
        let registrations = Registrations::parse(clients).map_err(DocumentFault::Registrations)?;
        registrations.check_keys(&keys).map_err(DocumentFault::Registrations)?;
        Ok(Self { keys, registrations })
    }

    /// What would keep clients from being served at `now`, one line each: keys that none of the ring's provides.
    pub fn missing_keys(&self, now: Timestamp) -> Vec<String> {
        let missing = |client| Signers::choose(&self.keys, client, now).err().map(|unavailable| unavailable.detail);
        self.registrations.clients().iter().filter_map(missing).collect()
    }
}

/// The keys of one answer, chosen before anything is written.
pub(crate) struct Signers<'a> {
    pub(crate) access: &'a SigningKey,
    /// Only where the client's registration allows `openid`.
    pub(crate) id: Option<&'a SigningKey>,
    pub(crate) tagger: &'a TagKey,
}

impl<'a> Signers<'a> {
    pub(crate) fn choose(keys: &'a KeyRing, client: &Client, now: Timestamp) -> Result<Self, Unavailable> {
        let seconds = now.unix_seconds();
        let missing = |what: &str| {
            Unavailable::new("key ring", format!("no {what} key is in use for client {:?}", client.client_id.as_str()))
        };
        let signer =
            |algorithm: Algorithm, kid| keys.signer(algorithm, kid, seconds).ok_or_else(|| missing(algorithm.name()));
        let access = signer(client.algorithm, client.kid.as_ref())?;
        let id = match (client.scope.contains(OPENID), client.algorithm) {
            (false, _) => None,
            (true, Algorithm::Hs256) => Some(signer(Algorithm::Rs256, None)?),
            (true, _) => Some(access),
        };
        Ok(Self { access, id, tagger: keys.tagger(seconds).ok_or_else(|| missing("tag"))? })
    }
}
