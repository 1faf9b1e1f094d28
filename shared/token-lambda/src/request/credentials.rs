//! Who calls: the `Authorization` header, or members of the body. The same thing said twice is refused; an id in the body
//! that is the header's own is not twice (RFC 6749 §3.2.1).

use base64::{Engine, engine::general_purpose::STANDARD};
use lambda_http::http::{HeaderMap, header::AUTHORIZATION};
use latchkey_token::{
    grants::ClientIdentification, management::CallerIdentification, registrations::Credentials, tokens::ClientAssertion,
};

use super::parameters::{Parameters, RequestFault, form_decode};

/// What the `Authorization` header says.
pub enum Authorization {
    /// There is no such header.
    Absent,
    /// RFC 7617. Id and secret, literally and, where that differs, percent-decoded as RFC 6749 §2.3.1 wants it:
    /// clients do both. Empty when the header cannot be read.
    Basic(Vec<Credentials>),
    /// RFC 6750 §2.1.
    Bearer(String),
    /// A scheme that nobody here speaks.
    Other,
}

impl Authorization {
    /// Reads the header. It is refused if it stands twice, or says `Bearer` without a token.
    pub fn read(headers: &HeaderMap) -> Result<Self, RequestFault> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(Self::Absent) };
        if values.next().is_some() {
            return Err(RequestFault::invalid("the Authorization header stands twice"));
        }
        let Ok(text) = value.to_str() else { return Ok(Self::Other) };
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim_matches(' ');
        Ok(match scheme.to_ascii_lowercase().as_str() {
            "basic" => Self::Basic(basic_credentials(rest)),
            "bearer" if rest.is_empty() => return Err(RequestFault::invalid("Authorization: Bearer without a token")),
            "bearer" => Self::Bearer(rest.to_owned()),
            _ => Self::Other,
        })
    }

    /// Whether a refused authentication must name its scheme (RFC 6749 §5.2).
    pub fn tried_to_authenticate(&self) -> bool {
        matches!(self, Self::Basic(_) | Self::Other)
    }
}

fn basic_credentials(encoded: &str) -> Vec<Credentials> {
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((id, secret)) = decoded.as_deref().and_then(|text| text.split_once(':')) else { return Vec::new() };
    let literal = Credentials { id: id.to_owned(), secret: secret.to_owned() };
    match (form_decode(id), form_decode(secret)) {
        (Some(id), Some(secret)) if id != literal.id || secret != literal.secret => {
            vec![literal, Credentials { id, secret }]
        }
        _ => vec![literal],
    }
}

/// What the header says of the party that the body names too: it must be the same one.
fn of_named(candidates: Vec<Credentials>, id: &str) -> Result<Vec<Credentials>, RequestFault> {
    // A header that cannot be read names nobody: its authentication has failed.
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let own: Vec<Credentials> = candidates.into_iter().filter(|candidate| candidate.id == id).collect();
    match own.is_empty() {
        true => Err(RequestFault::invalid("the Authorization header and the body name different callers")),
        false => Ok(own),
    }
}

/// The issuer's credentials: Basic, with or without the same `issuer_id` in the body, or `issuer_id` and `issuer_secret`.
/// Empty when there are none.
pub fn issuer(authorization: &Authorization, parameters: &mut Parameters) -> Result<Vec<Credentials>, RequestFault> {
    let id = parameters.text("issuer_id")?;
    let secret = parameters.text("issuer_secret")?;
    match (authorization, id, secret) {
        (Authorization::Basic(candidates), None, None) => Ok(candidates.clone()),
        (Authorization::Basic(candidates), Some(id), None) => of_named(candidates.clone(), &id),
        (Authorization::Basic(_), _, Some(_)) => Err(RequestFault::invalid(TWO_CREDENTIALS)),
        (Authorization::Absent, Some(id), Some(secret)) => Ok(vec![Credentials { id, secret }]),
        _ => Ok(Vec::new()),
    }
}

/// `client_assertion_type` of `private_key_jwt` (RFC 7523 §2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const TWO_CREDENTIALS: &str = "credentials are both in the Authorization header and in the body: use one";

const SECRET_AND_ASSERTION: &str = "client_secret and client_assertion are both there: use one";

/// A client's assertion about itself, if there is one.
fn client_assertion(parameters: &mut Parameters) -> Result<Option<String>, RequestFault> {
    match (parameters.text("client_assertion_type")?.as_deref(), parameters.text("client_assertion")?) {
        (None, None) => Ok(None),
        (Some(JWT_BEARER), Some(assertion)) => Ok(Some(assertion)),
        (Some(JWT_BEARER), None) => Err(RequestFault::invalid("client_assertion is missing")),
        (_, _) => Err(RequestFault::invalid(format!("client_assertion_type must be {JWT_BEARER}"))),
    }
}

/// The client and the access token of a renewal.
pub fn client(
    authorization: Authorization,
    parameters: &mut Parameters,
) -> Result<(ClientIdentification, Option<String>), RequestFault> {
    let id = parameters.text("client_id")?;
    let secret = parameters.text("client_secret")?;
    let assertion = client_assertion(parameters)?;
    let access_token = parameters.text("access_token")?;
    let has_credentials = secret.is_some() || assertion.is_some();
    let in_body = |id| match (id, secret, assertion) {
        (client_id, None, Some(assertion)) => {
            Ok(ClientIdentification::Assertion(ClientAssertion { assertion, client_id }))
        }
        (_, Some(_), Some(_)) => Err(RequestFault::invalid(SECRET_AND_ASSERTION)),
        (Some(id), Some(secret), None) => Ok(ClientIdentification::Authenticated(vec![Credentials { id, secret }])),
        (Some(id), None, None) => Ok(ClientIdentification::Named(vec![id])),
        (None, None, None) => Ok(ClientIdentification::FromAccessToken),
        (None, Some(_), None) => Err(RequestFault::invalid("client_secret is there, client_id is missing")),
    };
    match authorization {
        Authorization::Absent => Ok((in_body(id)?, access_token)),
        Authorization::Bearer(_) if access_token.is_some() => {
            Err(RequestFault::invalid("the access token is both in the Authorization header and in the body: use one"))
        }
        Authorization::Bearer(token) => Ok((in_body(id)?, Some(token))),
        Authorization::Basic(_) if has_credentials => Err(RequestFault::invalid(TWO_CREDENTIALS)),
        // A public client may say its id this way, with an empty password.
        Authorization::Basic(candidates) => {
            let candidates = match id {
                Some(id) => of_named(candidates, &id)?,
                None => candidates,
            };
            let has_password = candidates.first().is_none_or(|first| !first.secret.is_empty());
            let identification = match has_password {
                true => ClientIdentification::Authenticated(candidates),
                false => ClientIdentification::Named(candidates.into_iter().map(|candidate| candidate.id).collect()),
            };
            Ok((identification, access_token))
        }
        Authorization::Other => Ok((ClientIdentification::Authenticated(Vec::new()), access_token)),
    }
}

/// Who asks about a token: an issuer or a client, in the header or in the body.
pub fn caller(authorization: Authorization, parameters: &mut Parameters) -> Result<CallerIdentification, RequestFault> {
    let issuer = (parameters.text("issuer_id")?, parameters.text("issuer_secret")?);
    let client = (parameters.text("client_id")?, parameters.text("client_secret")?);
    let assertion = client_assertion(parameters)?;
    match (authorization, issuer, client, assertion) {
        (Authorization::Absent, (None, None), (client_id, None), Some(assertion)) => {
            Ok(CallerIdentification::Assertion(ClientAssertion { assertion, client_id }))
        }
        (Authorization::Absent, (None, None), (_, Some(_)), Some(_)) => {
            Err(RequestFault::invalid(SECRET_AND_ASSERTION))
        }
        (Authorization::Absent, (None, None), (Some(id), None), None) => Ok(CallerIdentification::Named(vec![id])),
        (Authorization::Absent, (None, None), (Some(id), Some(secret)), None) => {
            Ok(CallerIdentification::Client(vec![Credentials { id, secret }]))
        }
        (Authorization::Absent, (Some(id), Some(secret)), (None, None), None) => {
            Ok(CallerIdentification::Issuer(vec![Credentials { id, secret }]))
        }
        (Authorization::Absent, (None, None), (None, None), None) => Ok(CallerIdentification::Missing),
        (Authorization::Absent, _, _, _) => Err(RequestFault::invalid(
            "name an issuer (issuer_id, issuer_secret) or a client (client_id, client_secret), completely and not both",
        )),
        (authorization, (None, None), (None, None), None) => Ok(of_header(authorization)),
        (Authorization::Basic(candidates), (Some(id), None), (None, None), None) => {
            Ok(CallerIdentification::Issuer(of_named(candidates, &id)?))
        }
        // A public client says its id with an empty password.
        (Authorization::Basic(candidates), (None, None), (Some(id), None), None) => {
            Ok(match of_header(Authorization::Basic(of_named(candidates, &id)?)) {
                CallerIdentification::Either(candidates) => CallerIdentification::Client(candidates),
                named => named,
            })
        }
        (_, _, _, _) => Err(RequestFault::invalid(
            "the caller is named both in the Authorization header and in the body: use one, or say the same id in both",
        )),
    }
}

/// Who sends an issuer's assertion, if it says so: the issuer, or the client `client_id` that the tokens are for. One of them,
/// completely.
pub fn beside_an_assertion(
    authorization: Authorization,
    parameters: &mut Parameters,
    client_id: Option<&str>,
) -> Result<Option<CallerIdentification>, RequestFault> {
    let issuer = (parameters.text("issuer_id")?, parameters.text("issuer_secret")?);
    let secret = parameters.text("client_secret")?;
    let assertion = client_assertion(parameters)?;
    let id = client_id.map(str::to_owned);
    match (authorization, issuer, secret, assertion) {
        (Authorization::Absent, (None, None), None, None) => Ok(None),
        (Authorization::Absent, (Some(id), Some(secret)), None, None) => {
            Ok(Some(CallerIdentification::Issuer(vec![Credentials { id, secret }])))
        }
        (Authorization::Absent, (None, None), Some(secret), None) => match id {
            Some(id) => Ok(Some(CallerIdentification::Client(vec![Credentials { id, secret }]))),
            None => Err(RequestFault::invalid("client_secret is there, client_id is missing")),
        },
        (Authorization::Absent, (None, None), None, Some(assertion)) => {
            Ok(Some(CallerIdentification::Assertion(ClientAssertion { assertion, client_id: id })))
        }
        (Authorization::Absent, (None, None), Some(_), Some(_)) => Err(RequestFault::invalid(SECRET_AND_ASSERTION)),
        (authorization, (None, None), None, None) => Ok(Some(of_header(authorization))),
        // The same id is not said twice.
        (Authorization::Basic(candidates), (Some(id), None), None, None)
            if candidates.iter().any(|candidate| candidate.id == id) =>
        {
            Ok(Some(CallerIdentification::Issuer(candidates)))
        }
        (_, _, _, _) => Err(RequestFault::invalid(
            "credentials beside the assertion must be complete, and the issuer's or the client's, once",
        )),
    }
}

/// Who asks, by the Authorization header alone.
pub fn of_header(authorization: Authorization) -> CallerIdentification {
    match authorization {
        Authorization::Basic(candidates) => match candidates.first() {
            Some(first) if first.secret.is_empty() => {
                CallerIdentification::Named(candidates.into_iter().map(|candidate| candidate.id).collect())
            }
            _ => CallerIdentification::Either(candidates),
        },
        Authorization::Absent | Authorization::Bearer(_) | Authorization::Other => CallerIdentification::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(value: &str) -> Authorization {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        Authorization::read(&headers).unwrap()
    }

    fn basic(text: &str) -> Vec<(String, String)> {
        match authorization(&format!("Basic {}", STANDARD.encode(text))) {
            Authorization::Basic(candidates) => candidates.into_iter().map(|c| (c.id, c.secret)).collect(),
            _ => panic!("not Basic"),
        }
    }

    fn pair(id: &str, secret: &str) -> (String, String) {
        (id.to_owned(), secret.to_owned())
    }

    #[test]
    fn basic_is_read_literally_and_percent_decoded() {
        assert_eq!(basic("portal:s3cret"), [pair("portal", "s3cret")]);
        assert_eq!(basic("a:b:c"), [pair("a", "b:c")]);
        assert_eq!(basic("my%2Did:a+b"), [pair("my%2Did", "a+b"), pair("my-id", "a b")]);
        assert_eq!(basic("a:100%"), [pair("a", "100%")]);
        assert!(basic("no colon").is_empty());
        assert!(matches!(authorization("bAsIc ???"), Authorization::Basic(none) if none.is_empty()));
    }

    #[test]
    fn bearer_and_other_schemes_are_told_apart() {
        assert!(matches!(authorization("bearer  abc"), Authorization::Bearer(token) if token == "abc"));
        assert!(matches!(authorization("Digest x"), Authorization::Other));
        assert!(!authorization("Bearer x").tried_to_authenticate());
        assert!(authorization("Digest x").tried_to_authenticate());
        let mut headers = HeaderMap::new();
        assert!(matches!(Authorization::read(&headers), Ok(Authorization::Absent)));
        headers.append(AUTHORIZATION, "Bearer a".parse().unwrap());
        headers.append(AUTHORIZATION, "Basic b".parse().unwrap());
        assert!(Authorization::read(&headers).is_err());
    }
}
