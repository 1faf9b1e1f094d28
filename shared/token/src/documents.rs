//! Key ring and registrations, fitted to each other, and the keys that they give an answer.

use std::{iter, sync::Arc};

use crate::{
    failure::Unavailable,
    json::{Faults, Reading},
    keys::{Algorithm, KeyRing, Kid, Signer, TagKey},
    policy::Policy,
    registrations::{Client, Registrations},
    tickets::TicketKeys,
    values::{OPENID, Timestamp},
};

/// A key ring and registrations that fit each other.
#[derive(Clone, Debug)]
pub struct Documents {
    /// All signing and tag keys.
    pub keys: Arc<KeyRing>,
    /// All issuers and clients. Every key that a client names is in the ring, for the client's algorithm.
    pub registrations: Arc<Registrations>,
}

/// What the begin and the end of a sign-in are judged by: no key that signs or tags is among it.
#[derive(Clone, Debug)]
pub struct SignInDocuments {
    /// What tickets and answers are sealed with.
    pub ticket_keys: Arc<TicketKeys>,
    /// All issuers and clients.
    pub registrations: Arc<Registrations>,
}

impl SignInDocuments {
    /// The same documents, in which the client of this id is known if it has registered itself, as
    /// [`Documents::recognising`] has it. Nobody signs in to one that has registered before the deployment moved.
    pub(crate) fn recognising(self, id: Option<&str>, issuer: &str, now: Timestamp) -> Result<Self, Unavailable> {
        let key = |number| self.ticket_keys.registration_key(number, now.unix_seconds());
        Ok(match self.registrations.recognising(id, iter::once(issuer), now, key)? {
            None => self,
            Some(more) => Self { registrations: Arc::new(more), ..self },
        })
    }
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
    /// Reads the secrets `signing-keys` and `clients` strictly and checks one against the other.
    pub fn parse(signing_keys: &str, clients: &str) -> Result<Self, DocumentFault> {
        let keys = KeyRing::parse(signing_keys).map_err(DocumentFault::Keys)?;
        let registrations = Registrations::parse(clients).map_err(DocumentFault::Registrations)?;
        let Reading { value, faults } = Self::of(Arc::new(keys), Arc::new(registrations));
        faults.none().map_err(DocumentFault::Registrations)?;
        Ok(value)
    }

    /// What has been read of both, each for itself. Clients whose keys the ring does not have are quarantined, and named as
    /// faults.
    pub fn of(keys: Arc<KeyRing>, registrations: Arc<Registrations>) -> Reading<Self> {
        match registrations.check_keys(&keys) {
            Ok(()) => Reading { value: Self { keys, registrations }, faults: Faults::default() },
            Err(faults) => {
                let registrations = Arc::new(registrations.quarantined_without_keys(&keys));
                Reading { value: Self { keys, registrations }, faults }
            }
        }
    }

    /// What signs the access tokens of `client`.
    pub(crate) fn signer(&self, client: &Client, now: Timestamp) -> Result<Signer<'_>, Unavailable> {
        signer(&self.keys, client.algorithm, client.kid.as_ref(), client, now)
    }

    /// The same documents, in which those clients are known that have registered themselves and whose ids are among `ids`.
    /// Ids that other deployments have made are nobody's here; those from before a move go on. A key number that is unknown
    /// is a stranger's: nothing is loaded again for it.
    pub(crate) fn recognising<'i>(
        self: Arc<Self>,
        ids: impl IntoIterator<Item = &'i str>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Arc<Self>, Unavailable> {
        let key = |number| Ok(self.keys.tag_key(number, now.unix_seconds())?.map(TagKey::registration_key));
        Ok(match self.registrations.recognising(ids, policy.issuers(), now, key)? {
            None => self,
            Some(more) => Arc::new(Self { keys: Arc::clone(&self.keys), registrations: Arc::new(more) }),
        })
    }

    /// What would keep clients from being served at `now`, one line each: keys that none of the ring's provides.
    pub fn missing_keys(&self, now: Timestamp) -> Vec<String> {
        let missing = |client| Signers::choose(&self.keys, client, now).err().map(|unavailable| unavailable.detail);
        let dynamic = self.registrations.has_dynamic_clients()
            && self.keys.signer(Algorithm::Rs256, None, now.unix_seconds()).is_none();
        let dynamic = dynamic.then(|| "no RS256 key is in use for clients that register themselves".to_owned());
        self.registrations.clients().iter().filter_map(missing).chain(dynamic).collect()
    }

    /// What `policy` and the documents allow together, and what is rarely meant: one line for each client whose sessions
    /// may end before their access tokens do, and one if the audit trail can name no subject.
    pub fn warnings(&self, policy: &Policy) -> Vec<String> {
        let nameless = (!self.keys.has_audit_key()).then(|| {
            "signing keys: no usable audit key is in the ring, so audit lines have no subject_hash; a rotation or \
             `latchkey keys generate` makes one where it is missing"
                .to_owned()
        });
        let outlived = |client: &Client| {
            let times = policy.for_client(client);
            let (life, grace, idle) = (times.access_token_seconds, times.grace_seconds, times.idle_seconds);
            (life.saturating_add(grace) > idle).then(|| {
                format!(
                    "client {:?}: its access tokens live {life} s with {grace} s of grace, longer than the idle time of \
                     {idle} s: a session can end while its token is still good, and cannot be renewed then",
                    client.client_id.as_str()
                )
            })
        };
        self.registrations.clients().iter().filter_map(outlived).chain(nameless).collect()
    }
}

/// Told of the documents in use.
#[derive(Clone, Copy)]
pub struct Observer {
    /// One is served: since when it has been known, the time, and how many faults it has.
    pub served: fn(Timestamp, Timestamp, usize),
    /// A key ring is served, at this time.
    pub ring_served: fn(&KeyRing, Timestamp),
    /// One has just been read and has faults: what it is called, and the faults.
    pub faulty: fn(&'static str, &Faults),
}

/// The keys of one answer, chosen before anything is written.
pub(crate) struct Signers<'a> {
    pub(crate) access: Signer<'a>,
    /// Only where the client's registration allows `openid`.
    pub(crate) id: Option<Signer<'a>>,
    pub(crate) tagger: &'a TagKey,
}

impl<'a> Signers<'a> {
    pub(crate) fn choose(keys: &'a KeyRing, client: &Client, now: Timestamp) -> Result<Self, Unavailable> {
        let access = signer(keys, client.algorithm, client.kid.as_ref(), client, now)?;
        let id = match (client.scope.contains(OPENID), client.algorithm) {
            (false, _) => None,
            (true, Algorithm::Hs256) => Some(signer(keys, Algorithm::Rs256, None, client, now)?),
            (true, _) => Some(access),
        };
        Ok(Self { access, id, tagger: keys.tagger(now.unix_seconds()).ok_or_else(|| missing("tag", client))? })
    }
}

fn signer<'a>(
    keys: &'a KeyRing,
    algorithm: Algorithm,
    kid: Option<&Kid>,
    client: &Client,
    now: Timestamp,
) -> Result<Signer<'a>, Unavailable> {
    keys.signer(algorithm, kid, now.unix_seconds()).ok_or_else(|| missing(algorithm.name(), client))
}

fn missing(what: &str, client: &Client) -> Unavailable {
    Unavailable::new("key ring", format!("no {what} key is in use for client {:?}", client.client_id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Public clients with these members beside what every client needs.
    fn documents(clients: &[(&str, &str)]) -> Documents {
        let keys = r#"{"signing":[{"kid":"hs","alg":"HS256","secret":"a test secret of at least 32 bytes"}],"tagging":[],
            "audit":{"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"}}"#;
        let client = |(id, members): &(&str, &str)| {
            format!(r#"{{"client_id":"{id}","type":"public","audience":["{id}"],"alg":"HS256","kid":"hs"{members}}}"#)
        };
        let clients: Vec<String> = clients.iter().map(client).collect();
        Documents::parse(keys, &format!(r#"{{"issuers":[],"clients":[{}]}}"#, clients.join(","))).unwrap()
    }

    #[test]
    fn a_client_whose_tokens_outlive_an_idle_session_is_warned_of_by_name() {
        let documents = documents(&[
            ("deployments", ""),
            ("long", r#","access_token_seconds":604800"#),
            ("graceful", r#","access_token_seconds":3600,"renewal":{"grace_seconds":1}"#),
            ("equal", r#","access_token_seconds":3000,"renewal":{"grace_seconds":600}"#),
        ]);
        let policy =
            Policy { access_token_seconds: 600, idle_seconds: 3600, ..Policy::new("https://latchkey.example") };
        let warnings = documents.warnings(&policy);
        assert_eq!(
            warnings.first().map(String::as_str),
            Some(
                "client \"long\": its access tokens live 604800 s with 0 s of grace, longer than the idle time of 3600 s: \
                 a session can end while its token is still good, and cannot be renewed then"
            )
        );
        assert!(warnings.iter().skip(1).all(|warning| warning.starts_with("client \"graceful\": ")), "{warnings:?}");
        assert_eq!(warnings.len(), 2);
        let by_default = documents.warnings(&Policy { grace_seconds: 3001, ..policy });
        assert!(by_default.iter().any(|warning| warning.starts_with("client \"deployments\": ")), "{by_default:?}");
    }

    #[test]
    fn the_defaults_are_nothing_to_warn_of_but_a_missing_audit_key_is() {
        let (mut documents, policy) = (documents(&[("spa", "")]), Policy::new("https://latchkey.example"));
        assert!(documents.warnings(&policy).is_empty());
        documents.keys =
            Arc::new(KeyRing::read(r#"{"signing":[],"tagging":[],"audit":{"secret":"short"}}"#).unwrap().value);
        let warnings = documents.warnings(&policy);
        assert!(
            warnings.len() == 1 && warnings.iter().all(|line| line.contains("no usable audit key")),
            "{warnings:?}"
        );
    }
}
