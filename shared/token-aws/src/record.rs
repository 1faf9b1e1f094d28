//! Session records as DynamoDB items: names and types of the contract, nothing left to chance on
//! the way back.

use std::collections::HashMap;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use latchkey_token::{
    json::{Map, Value},
    session::{Authentication, Predecessor, Revocation, RevocationId, Session, SignIn},
    tokens::{CodeBinding, CodeChallenge, SealedSuccessor, SecretHash, SingleUse},
    values::{
        ClientId, CustomClaims, Generation, IssuerId, Owner, Scope, Seconds, SessionKey, Sid, Subject, Timestamp,
    },
};

pub(crate) type Item = HashMap<String, AttributeValue>;

/// Which session came of an assertion: the hash of its first refresh token.
const USED_FOR: &str = "used_for";
/// A used assertion is remembered this much longer than it could be used, whatever the clocks say.
const FORGET_DELAY_SECONDS: Seconds = 86_400;

/// A record that is not of the contract's form; names the attribute, never its value.
#[derive(Debug, thiserror::Error)]
#[error("a session record has no valid attribute {0:?}")]
pub(crate) struct Corrupt(&'static str);

pub(crate) fn key(key: &SessionKey) -> Item {
    HashMap::from([("owner".to_owned(), binary(key.owner.as_bytes())), ("sid".to_owned(), binary(key.sid.as_bytes()))])
}

pub(crate) fn item(session: &Session) -> Item {
    let mut item = key(&session.key);
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put("subject", string(session.subject.as_str()));
    put("client_id", string(session.client_id.as_str()));
    put("issuer_id", string(session.issuer_id.as_str()));
    put("scope", string(&session.scope.to_string()));
    put("audience", strings(&session.audience));
    put("claims", AttributeValue::M(session.claims.members().iter().map(|(k, v)| (k.clone(), from_json(v))).collect()));
    put("access_token_seconds", number(session.access_token_seconds.into()));
    put("generation", number(session.generation.number().into()));
    put("tag_kid", number(session.tag_kid.into()));
    put("secret_hash", binary(session.secret_hash.as_bytes()));
    if let Some(predecessor) = &session.predecessor {
        put("previous_hash", binary(predecessor.secret_hash.as_bytes()));
        put("sealed_successor", binary(predecessor.sealed_successor.as_bytes()));
    }
    put("issued_at", time(session.issued_at));
    put("rotated_at", time(session.rotated_at));
    put("access_expires_at", time(session.access_expires_at));
    put("idle_expires_at", time(session.idle_expires_at));
    put("absolute_expires_at", time(session.absolute_expires_at));
    if let Some(revocation) = &session.revocation {
        put("revoked_at", time(revocation.at));
        put("revoked_reason", string(&revocation.reason));
        put("revocation_id", binary(revocation.id.as_bytes()));
    }
    if let Some(SignIn { binding, nonce, resource }) = &session.sign_in {
        put("redirect_uri_hash", binary(binding.redirect_uri_hash()));
        if let Some(challenge) = binding.code_challenge() {
            put("code_challenge", binary(challenge.as_bytes()));
        }
        if let Some(nonce) = nonce {
            put("nonce", string(nonce));
        }
        if !resource.is_empty() {
            put("resource", strings(resource));
        }
    }
    let Authentication { time: auth_time, acr, amr } = &session.authentication;
    if let Some(auth_time) = auth_time {
        put("auth_time", time(*auth_time));
    }
    if let Some(acr) = acr {
        put("acr", string(acr));
    }
    if !amr.is_empty() {
        put("amr", strings(amr));
    }
    put("expires_at", number(session.deletable_at()));
    item
}

/// The record of a used assertion: which session came of it, and when it may be forgotten.
pub(crate) fn used_assertion(assertion: &SingleUse, session: &Session) -> Item {
    let forget_at = assertion.until.plus(FORGET_DELAY_SECONDS).unix_seconds();
    HashMap::from(
        [
            ("owner", binary(&assertion.key.owner())),
            ("sid", binary(assertion.key.sid())),
            (USED_FOR, used_for(session)),
            ("expires_at", number(forget_at)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

/// Whether the record of a used assertion names `session`.
pub(crate) fn was_used_for(item: &Item, session: &Session) -> bool {
    item.get(USED_FOR) == Some(&used_for(session))
}

/// Whether a record was ended by this very revocation, whatever else stands in it.
pub(crate) fn was_ended_by(item: &Item, revocation: &Revocation) -> bool {
    item.get("revocation_id") == Some(&binary(revocation.id.as_bytes()))
}

fn used_for(session: &Session) -> AttributeValue {
    binary(session.secret_hash.as_bytes())
}

/// The primary key alone, whatever else stands in the record.
pub(crate) fn session_key(item: &Item) -> Result<SessionKey, Corrupt> {
    let read = Reader(item);
    Ok(SessionKey { owner: Owner::from_bytes(read.bytes("owner")?), sid: Sid::from_bytes(read.bytes("sid")?) })
}

/// Client and subject, if the key was made of them, whatever else stands in the record.
pub(crate) fn whose(item: &Item) -> Result<(ClientId, Subject), Corrupt> {
    let read = Reader(item);
    let (client, subject) = (read.parsed("client_id", ClientId::parse)?, read.parsed("subject", Subject::parse)?);
    let is_proven = session_key(item)?.owner == Owner::of(&client, &subject);
    is_proven.then_some((client, subject)).ok_or(Corrupt("owner"))
}

pub(crate) fn session(item: &Item) -> Result<Session, Corrupt> {
    let read = Reader(item);
    Ok(Session {
        key: session_key(item)?,
        subject: read.parsed("subject", Subject::parse)?,
        client_id: read.parsed("client_id", ClientId::parse)?,
        issuer_id: read.parsed("issuer_id", IssuerId::parse)?,
        scope: read.parsed("scope", Scope::parse)?,
        audience: read.strings("audience")?,
        claims: read.claims("claims")?,
        access_token_seconds: read.number("access_token_seconds")?,
        generation: Generation::new(read.number("generation")?),
        tag_kid: read.number("tag_kid")?,
        secret_hash: SecretHash::from_bytes(read.bytes("secret_hash")?),
        predecessor: read.predecessor()?,
        issued_at: read.time("issued_at")?,
        rotated_at: read.time("rotated_at")?,
        access_expires_at: read.time("access_expires_at")?,
        idle_expires_at: read.time("idle_expires_at")?,
        absolute_expires_at: read.time("absolute_expires_at")?,
        revocation: read.revocation()?,
        sign_in: read.sign_in()?,
        authentication: Authentication {
            time: read.optional("auth_time", Reader::time)?,
            acr: read.optional("acr", Reader::string)?.map(str::to_owned),
            amr: read.optional("amr", Reader::strings)?.unwrap_or_default(),
        },
    })
}

struct Reader<'a>(&'a Item);

impl Reader<'_> {
    /// What may be missing.
    fn optional<'s, T>(
        &'s self,
        name: &'static str,
        read: impl Fn(&'s Self, &'static str) -> Result<T, Corrupt>,
    ) -> Result<Option<T>, Corrupt> {
        self.0.contains_key(name).then(|| read(self, name)).transpose()
    }

    fn string(&self, name: &'static str) -> Result<&str, Corrupt> {
        self.0.get(name).and_then(|value| value.as_s().ok()).map(String::as_str).ok_or(Corrupt(name))
    }

    fn parsed<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Corrupt> {
        parse(self.string(name)?).ok_or(Corrupt(name))
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, Corrupt> {
        self.0.get(name).and_then(|value| value.as_n().ok()?.parse().ok()).ok_or(Corrupt(name))
    }

    fn time(&self, name: &'static str) -> Result<Timestamp, Corrupt> {
        self.number(name).map(Timestamp::from_unix_millis)
    }

    fn bytes<const N: usize>(&self, name: &'static str) -> Result<[u8; N], Corrupt> {
        let blob = self.0.get(name).and_then(|value| value.as_b().ok()).ok_or(Corrupt(name))?;
        <[u8; N]>::try_from(blob.as_ref()).map_err(|_| Corrupt(name))
    }

    fn strings(&self, name: &'static str) -> Result<Vec<String>, Corrupt> {
        let list = self.0.get(name).and_then(|value| value.as_l().ok()).ok_or(Corrupt(name))?;
        list.iter().map(|item| item.as_s().cloned().map_err(|_| Corrupt(name))).collect()
    }

    /// A session that has been ended has none any more.
    fn claims(&self, name: &'static str) -> Result<CustomClaims, Corrupt> {
        if !self.0.contains_key(name) && self.0.contains_key("revoked_at") {
            return Ok(CustomClaims::default());
        }
        let map = self.0.get(name).and_then(|value| value.as_m().ok()).ok_or(Corrupt(name))?;
        let members = map.iter().map(|(k, v)| Some((k.clone(), to_json(v)?))).collect::<Option<Map<_, _>>>();
        members.map(CustomClaims::from_record).ok_or(Corrupt(name))
    }

    fn predecessor(&self) -> Result<Option<Predecessor>, Corrupt> {
        if !self.0.contains_key("previous_hash") {
            return Ok(None);
        }
        let seal = self.0.get("sealed_successor").and_then(|value| value.as_b().ok());
        let seal = seal.and_then(|blob| SealedSuccessor::from_bytes(blob.as_ref().to_vec()));
        Ok(Some(Predecessor {
            secret_hash: SecretHash::from_bytes(self.bytes("previous_hash")?),
            sealed_successor: seal.ok_or(Corrupt("sealed_successor"))?,
        }))
    }

    fn sign_in(&self) -> Result<Option<SignIn>, Corrupt> {
        let Some(redirect_uri_hash) = self.optional("redirect_uri_hash", Reader::bytes)? else { return Ok(None) };
        let challenge = self.optional("code_challenge", Reader::bytes)?.map(CodeChallenge::from_bytes);
        let nonce = self.optional("nonce", Reader::string)?.map(str::to_owned);
        let resource = self.optional("resource", Reader::strings)?.unwrap_or_default();
        Ok(Some(SignIn { binding: CodeBinding::from_record(redirect_uri_hash, challenge), nonce, resource }))
    }

    fn revocation(&self) -> Result<Option<Revocation>, Corrupt> {
        if !self.0.contains_key("revoked_at") {
            return Ok(None);
        }
        let reason = self.0.get("revoked_reason").and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
        let id = RevocationId::from_bytes(self.bytes("revocation_id")?);
        Ok(Some(Revocation { at: self.time("revoked_at")?, reason, id }))
    }
}

pub(crate) fn binary(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

pub(crate) fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(crate) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(crate) fn time(time: Timestamp) -> AttributeValue {
    number(time.unix_millis())
}

pub(crate) fn strings(texts: &[String]) -> AttributeValue {
    AttributeValue::L(texts.iter().map(|text| string(text)).collect())
}

fn from_json(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(truth) => AttributeValue::Bool(*truth),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => string(text),
        Value::Array(items) => AttributeValue::L(items.iter().map(from_json).collect()),
        Value::Object(members) => {
            AttributeValue::M(members.iter().map(|(name, value)| (name.clone(), from_json(value))).collect())
        }
    }
}

fn to_json(value: &AttributeValue) -> Option<Value> {
    Some(match value {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(truth) => Value::Bool(*truth),
        AttributeValue::N(number) => Value::Number(serde_json::from_str(number).ok()?),
        AttributeValue::S(text) => Value::String(text.clone()),
        AttributeValue::L(items) => Value::Array(items.iter().map(to_json).collect::<Option<_>>()?),
        AttributeValue::M(members) => Value::Object(
            members.iter().map(|(name, value)| Some((name.clone(), to_json(value)?))).collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}
