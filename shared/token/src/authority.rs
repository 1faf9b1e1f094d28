//! What the deployment signs with and for whom: key ring and registry, loaded together.

use crate::{document::Faults, keys::KeyRing, mint::Signers, registry::Registry, time::Timestamp};

/// A key ring and a registry that fit each other.
#[derive(Debug)]
pub struct Authority {
    pub keys: KeyRing,
    pub registry: Registry,
}

/// Which of the two documents is at fault, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityFault {
    #[error("signing keys: {0}")]
    Keys(Faults),
    #[error("clients: {0}")]
    Registry(Faults),
}

impl Authority {
    /// Reads the secrets `signing-keys` and `clients` and checks one against the other.
    pub fn parse(signing_keys: &str, clients: &str) -> Result<Self, AuthorityFault> {
        let keys = KeyRing::parse(signing_keys).map_err(AuthorityFault::Keys)?;
        let registry = Registry::parse(clients).map_err(AuthorityFault::Registry)?;
        registry.check_keys(&keys).map_err(AuthorityFault::Registry)?;
        Ok(Self { keys, registry })
    }

    /// What would keep clients from being served at `now`, one line each: keys that none of the ring's provides.
    pub fn missing_keys(&self, now: Timestamp) -> Vec<String> {
        let missing = |client| Signers::choose(&self.keys, client, now).err().map(|unavailable| unavailable.detail);
        self.registry.clients().iter().filter_map(missing).collect()
    }
}
