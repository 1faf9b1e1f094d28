//! Who acts for a subject: the claim `act` (RFC 8693 §4.1).

use super::identity::ClientId;
use crate::json::{Map, Value};

/// The clients that have passed a subject's token on to themselves, the latest first. Empty for a token that its session's own
/// client was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actors(Vec<ClientId>);

impl Actors {
    /// Longest chain.
    pub const MOST: usize = 4;

    /// Whether nobody acts for the subject.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who acts now.
    pub fn latest(&self) -> Option<&ClientId> {
        self.0.first()
    }

    /// The chain with `client` in front; `None` if it would be longer than [`Self::MOST`].
    pub fn joined_by(&self, client: &ClientId) -> Option<Self> {
        let chain: Vec<ClientId> = std::iter::once(client).chain(&self.0).cloned().collect();
        (chain.len() <= Self::MOST).then_some(Self(chain))
    }

    /// Reads the claim as we write it: `sub`, and `act` where somebody acted before, nothing else.
    pub fn parse(claim: &Value) -> Option<Self> {
        let mut chain = Vec::new();
        let mut next = Some(claim);
        while let Some(actor) = next {
            let members = actor.as_object()?;
            next = members.get("act");
            let known = 1 + usize::from(next.is_some());
            if chain.len() == Self::MOST || members.len() != known {
                return None;
            }
            chain.push(ClientId::parse(members.get("sub")?.as_str()?)?);
        }
        Some(Self(chain))
    }

    /// The claim; `None` if nobody acts for the subject.
    pub fn claim(&self) -> Option<Value> {
        self.0.iter().rev().fold(None, |before, actor| {
            let own = [("sub".to_owned(), Value::from(actor.as_str()))];
            let before = before.map(|before| ("act".to_owned(), before));
            Some(Value::Object(own.into_iter().chain(before).collect::<Map<_, _>>()))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(text: &str) -> ClientId {
        ClientId::parse(text).unwrap()
    }

    #[test]
    fn a_chain_is_read_as_it_was_written_and_the_latest_stands_outside() {
        assert!(Actors::default().claim().is_none());
        let mut chain = Actors::default();
        for name in ["chat", "tools", "search", "files"] {
            chain = chain.joined_by(&id(name)).unwrap();
            assert_eq!(chain.latest(), Some(&id(name)));
            assert_eq!(Actors::parse(&chain.claim().unwrap()), Some(chain.clone()));
        }
        let claim = json!({"sub":"files","act":{"sub":"search","act":{"sub":"tools","act":{"sub":"chat"}}}});
        assert_eq!(chain.claim(), Some(claim));
        assert!(chain.joined_by(&id("fifth")).is_none(), "a chain of five");
    }

    #[test]
    fn what_we_do_not_write_is_not_read() {
        for claim in [
            json!(null),
            json!("chat"),
            json!([]),
            json!({}),
            json!({"sub": ""}),
            json!({"sub": 1}),
            json!({"sub": "chat", "iss": "https://other.example"}),
            json!({"sub": "chat", "act": null}),
            json!({"sub": "chat", "act": {}}),
            json!({"act": {"sub": "chat"}}),
            json!({"sub":"1","act":{"sub":"2","act":{"sub":"3","act":{"sub":"4","act":{"sub":"5"}}}}}),
        ] {
            assert!(Actors::parse(&claim).is_none(), "{claim}");
        }
    }
}
