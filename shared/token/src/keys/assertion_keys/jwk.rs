//! One public key of a JWK set (RFC 7517, RFC 7518 §6, RFC 8037 §2): held against its algorithm, its numbers in the one
//! form that they have there.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;

use super::super::{
    algorithm::{Algorithm, MIN_RSA_BITS, rsa_bits},
    parsed::is_public_key,
};
use crate::json::{Map, Value};

/// Octets of a coordinate on P-256 (RFC 7518 §6.2.1.2), and of an Ed25519 key (RFC 8032 §5.1.5).
const POINT_BYTES: usize = 32;

/// Public exponents of RSA: 65537 at least (FIPS 186-5 §5.1); verifying refuses those of more than 33 bits.
const EXPONENTS: std::ops::RangeInclusive<u64> = 65_537..=(1 << 33) - 1;

/// Longest RSA modulus that is verified with, in bits.
const MAX_RSA_BITS: usize = 8192;

/// A public key for signatures, of one algorithm.
pub(in crate::keys) struct PublicKey {
    pub algorithm: Algorithm,
    /// Whether it might be another one: the key does not say, and its kind has several.
    pub is_alg_assumed: bool,
    pub kid: Option<String>,
    pub verifier: DecodingKey,
    /// The same as a JWK: what verifying needs and no more.
    pub jwk: Value,
}

/// Why a key is not taken. The text quotes nothing.
#[derive(Debug)]
pub(in crate::keys) enum Unfit {
    /// It may be a good key, but not for this: whoever reads a set passes it over (RFC 7517 §5).
    NotForUs(&'static str),
    /// It would verify nothing, or too much.
    Faulty(String),
}

impl From<&str> for Unfit {
    fn from(what: &str) -> Self {
        Self::Faulty(what.to_owned())
    }
}

impl PublicKey {
    /// Reads a key; `rsa` is the algorithm of an RSA key that does not say which it has.
    pub fn read(value: &Value, rsa: Algorithm) -> Result<Self, Unfit> {
        let members = value.as_object().ok_or("is no JSON object")?;
        // `oct` keys have `k`; private keys all have `d`.
        if members.contains_key("d") || members.contains_key("k") {
            return Err("is a private or symmetric key: public keys only".into());
        }
        let kid = text(members, "kid")?.map(str::to_owned);
        if text(members, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(Unfit::NotForUs("it is not for signatures (use)"));
        }
        if members.get("key_ops").and_then(Value::as_array).is_some_and(|all| all.iter().all(|one| one != "verify")) {
            return Err(Unfit::NotForUs("it is not for signatures (key_ops)"));
        }
        let kty = text(members, "kty")?.ok_or("has no kty")?;
        let own = match (kty, text(members, "crv")?) {
            ("RSA", _) => rsa,
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            _ => return Err(Unfit::NotForUs("it is no RSA, P-256 or Ed25519 key")),
        };
        let said = text(members, "alg")?;
        let algorithm = match said.map(named) {
            None => own,
            Some(None) => return Err(Unfit::NotForUs("its alg is not RS256, PS256, ES256 or EdDSA")),
            Some(Some(Algorithm::Rs256 | Algorithm::Ps256)) if kty != "RSA" => return Err(NOT_ITS_ALG.into()),
            Some(Some(Algorithm::Es256 | Algorithm::EdDsa)) if said.and_then(named) != Some(own) => {
                return Err(NOT_ITS_ALG.into());
            }
            Some(Some(algorithm)) => algorithm,
        };
        let (verifier, mut jwk) = match algorithm {
            Algorithm::Es256 => point(members)?,
            Algorithm::EdDsa => edwards_point(members)?,
            Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Hs256 => modulus(members)?,
        };
        if !is_public_key(algorithm.jose(), &verifier) {
            return Err(match algorithm {
                Algorithm::Es256 => "is not a point on the curve P-256".into(),
                Algorithm::EdDsa => "is not an Ed25519 key".into(),
                _ => "is not an RSA key".into(),
            });
        }
        jwk.extend([("alg", algorithm.name()), ("use", "sig")].map(member));
        jwk.extend(kid.as_deref().map(|kid| member(("kid", kid))));
        // Only RSA keys have several to choose from.
        let is_alg_assumed = said.is_none() && kty == "RSA";
        Ok(Self { algorithm, is_alg_assumed, kid, verifier, jwk: Value::Object(jwk) })
    }
}

/// A key as it is read, and its JWK so far.
type Material = (DecodingKey, Map<String, Value>);

fn member((name, value): (&str, &str)) -> (String, Value) {
    (name.to_owned(), value.into())
}

const NOT_ITS_ALG: &str = "is not one for its alg";

/// An asymmetric algorithm by name. `Ed25519` (RFC 9864 §2.2) is what `EdDSA` is with the only curve that there is here.
fn named(alg: &str) -> Option<Algorithm> {
    let alg = if alg == "Ed25519" { "EdDSA" } else { alg };
    Algorithm::parse(alg).filter(|algorithm| !algorithm.is_symmetric())
}

/// A member that is text; `null` is none.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Unfit> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Unfit::Faulty(format!("has a {name} that is not a string"))),
    }
}

fn octets(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Unfit> {
    let text = text(members, name)?.ok_or_else(|| Unfit::Faulty(format!("has no {name}")))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Unfit::Faulty(format!("has {name} that is not unpadded base64url")))
}

/// The number without zeros in front: some libraries write one there, so that the number is not taken for negative, and some
/// leave out those that belong to a coordinate.
fn number(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Unfit> {
    Ok(octets(members, name)?.into_iter().skip_while(|octet| *octet == 0).collect())
}

fn coordinate(members: &Map<String, Value>, name: &str) -> Result<String, Unfit> {
    let number = number(members, name)?;
    let missing = POINT_BYTES.checked_sub(number.len());
    let missing = missing.ok_or_else(|| Unfit::Faulty(format!("has {name} of more than {POINT_BYTES} octets")))?;
    Ok(URL_SAFE_NO_PAD.encode([vec![0; missing], number].concat()))
}

fn point(members: &Map<String, Value>) -> Result<Material, Unfit> {
    let (x, y) = (coordinate(members, "x")?, coordinate(members, "y")?);
    let key = DecodingKey::from_ec_components(&x, &y).map_err(|_| "cannot be read")?;
    Ok((key, [("kty", "EC"), ("crv", "P-256"), ("x", &x), ("y", &y)].map(member).into_iter().collect()))
}

fn edwards_point(members: &Map<String, Value>) -> Result<Material, Unfit> {
    let x = octets(members, "x")?;
    if x.len() != POINT_BYTES {
        return Err(Unfit::Faulty(format!("has x of {} octets, not {POINT_BYTES}", x.len())));
    }
    let x = URL_SAFE_NO_PAD.encode(x);
    let key = DecodingKey::from_ed_components(&x).map_err(|_| "cannot be read")?;
    Ok((key, [("kty", "OKP"), ("crv", "Ed25519"), ("x", &x)].map(member).into_iter().collect()))
}

fn modulus(members: &Map<String, Value>) -> Result<Material, Unfit> {
    let (n, e) = (number(members, "n")?, number(members, "e")?);
    let exponent = e.iter().try_fold(0_u64, |value, octet| Some(value.checked_mul(256)? + u64::from(*octet)));
    if !exponent.is_some_and(|e| EXPONENTS.contains(&e) && e % 2 == 1) {
        return Err("has an e that is even, less than 65537 or more than 33 bits long".into());
    }
    if n.last().is_none_or(|octet| octet % 2 == 0) {
        return Err("has an n that is even".into());
    }
    let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
    let bits = rsa_bits(&n);
    if bits < MIN_RSA_BITS {
        return Err(Unfit::Faulty(format!("is an RSA key of {bits} bits, weaker than {MIN_RSA_BITS}")));
    }
    if bits > MAX_RSA_BITS {
        return Err(Unfit::Faulty(format!(
            "is an RSA key of {bits} bits, more than the {MAX_RSA_BITS} that are in use"
        )));
    }
    let key = DecodingKey::from_rsa_components(&n, &e).map_err(|_| "cannot be read")?;
    Ok((key, [("kty", "RSA"), ("n", &n), ("e", &e)].map(member).into_iter().collect()))
}
