//! Reads the secret `clients`: the registrations as a JSON document (docs/configuration.md, Registrations).

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::{
    all::Registrations,
    client::{Client, ClientType, Profile, RenewalRequirement, RenewalSettings},
    credentials::SecretHashes,
    epochs::Epoch,
    faulty::{AssertionIss, FaultyEntry},
    issuer::{AssertionRules, Issuer},
};
use crate::{
    json::{Document, Faults, Members, Reading, Report, Value},
    keys::{Algorithm, AssertionKeys, KeyRing, Kid, NOT_YET},
    policy::{
        MAX_ACCESS_TOKEN_SECONDS, MAX_GRACE_SECONDS, MAX_LEGACY_AGE_SECONDS, MAX_RETRY_CONFIDENTIAL_SECONDS,
        MAX_RETRY_PUBLIC_SECONDS,
    },
    values::{ClientId, IssuerId, Scope, Seconds, Timestamp, is_reserved_claim},
};

/// The claims that LibreChat reads in its own tokens; allowed for every client of the `librechat` profile.
const LIBRECHAT_CLAIMS: [&str; 4] = ["id", "username", "provider", "email"];

impl Registrations {
    /// Reads the secret `clients` strictly, as those do who write it. Every fault is listed: unknown clients, ids that stand
    /// twice, hashes that are missing or out of place, unknown profiles and algorithms, values out of range, unknown members.
    /// Whether the keys that clients name exist is for [`Registrations::check_keys`].
    pub fn parse(text: &str) -> Result<Self, Faults> {
        Self::read(text)?.strictly()
    }

    /// Reads the same fail-static, as functions do: faulty entries are quarantined, unknown members ignored unless the
    /// document's list `critical` names them. Refuses only what is no JSON object.
    pub fn read(text: &str) -> Result<Reading<Self>, Faults> {
        let (mut document, mut report) = Document::parse(text)?;
        let issuers = document.list("issuers", &mut report);
        let clients = document.list("clients", &mut report);
        let mut rest = document.rest(&mut report);
        let mut epoch = read_epoch(&mut rest);
        let is_usable = rest.end();
        let mut registrations = Self::default();
        match issuers {
            Some(entries) => {
                let sorted = report.sorted(entries, is_usable, read_issuer);
                (registrations.issuers, registrations.faulty_issuers.0) = sorted;
            }
            None => {
                // Their epochs cannot be read either.
                epoch = Epoch::Unreadable;
                registrations.faulty_issuers.0.push(FaultyEntry::unreadable_issuer());
            }
        }
        registrations.epoch = epoch;
        match clients {
            Some(entries) => {
                let sorted = report.sorted(entries, is_usable, read_client);
                (registrations.clients, registrations.faulty_clients.0) = sorted;
            }
            None => registrations.faulty_clients.0.push(FaultyEntry::default()),
        }
        registrations.quarantine_contradictions(&mut report);
        Ok(Reading { value: registrations, faults: report.into_faults() })
    }

    fn quarantine_contradictions(&mut self, report: &mut Report) {
        let clients = self.clients.iter().map(FaultyEntry::from);
        for id in twice(clients.chain(self.faulty_clients.0.iter().cloned()).map(|entry| entry.id)) {
            report.add(format!("clients: client_id {id:?} stands twice"));
            self.quarantine_clients(|client| client.client_id.as_str() == id);
        }
        let issuers: Vec<FaultyEntry> =
            self.issuers.iter().map(FaultyEntry::from).chain(self.faulty_issuers.0.iter().cloned()).collect();
        for iss in twice(issuers.iter().map(|entry| match &entry.assertion_iss {
            AssertionIss::Of(iss) => Some(iss.clone()),
            AssertionIss::None | AssertionIss::Unreadable => None,
        })) {
            report.add(format!("issuers: assertion_iss {iss:?} stands twice"));
            self.quarantine_issuers(|issuer| issuer.assertions.as_ref().is_some_and(|rules| rules.iss == iss));
        }
        for id in twice(issuers.into_iter().map(|entry| entry.id)) {
            report.add(format!("issuers: issuer_id {id:?} stands twice"));
            self.quarantine_issuers(|issuer| issuer.issuer_id.as_str() == id);
        }
        for issuer in &self.issuers {
            for client in issuer.clients.iter().filter(|id| !self.is_client(id)) {
                // Nothing comes of it: there is nobody to act for.
                report.note(format!(
                    "issuers: {:?} names the client {:?}, which is not registered",
                    issuer.issuer_id.as_str(),
                    client.as_str()
                ));
            }
        }
    }

    fn quarantine_issuers(&mut self, is_faulty: impl FnMut(&mut Issuer) -> bool) {
        let faulty: Vec<Issuer> = self.issuers.extract_if(.., is_faulty).collect();
        self.faulty_issuers.0.extend(faulty.iter().map(FaultyEntry::from));
    }

    fn quarantine_clients(&mut self, is_faulty: impl FnMut(&mut Client) -> bool) {
        let faulty: Vec<Client> = self.clients.extract_if(.., is_faulty).collect();
        self.faulty_clients.0.extend(faulty.iter().map(FaultyEntry::from));
    }

    /// Refuses registrations that name a key which `ring` does not have, or has for another algorithm.
    pub fn check_keys(&self, ring: &KeyRing) -> Result<(), Faults> {
        let mut faults = Faults::default();
        for (client, kid) in self.clients_without_keys(ring) {
            faults.add(format!(
                "clients: {:?} names the key {:?}, which the key ring does not have for {}",
                client.client_id.as_str(),
                kid.as_str(),
                client.algorithm
            ));
        }
        faults.none()
    }

    /// The same registrations; clients whose keys `ring` does not have are quarantined.
    pub(crate) fn quarantined_without_keys(&self, ring: &KeyRing) -> Self {
        let without: Vec<ClientId> =
            self.clients_without_keys(ring).map(|(client, _)| client.client_id.clone()).collect();
        let mut registrations = self.clone();
        registrations.quarantine_clients(|client| without.contains(&client.client_id));
        registrations
    }

    fn clients_without_keys<'a>(&'a self, ring: &'a KeyRing) -> impl Iterator<Item = (&'a Client, &'a Kid)> {
        self.clients.iter().filter_map(|client| {
            let kid = client.kid.as_ref()?;
            ring.named(kid).is_none_or(|key| key.algorithm() != client.algorithm).then_some((client, kid))
        })
    }
}

impl From<&Issuer> for FaultyEntry {
    fn from(issuer: &Issuer) -> Self {
        Self {
            id: Some(issuer.issuer_id.as_str().to_owned()),
            epoch: issuer.sessions_not_before.into(),
            is_disabled: issuer.is_disabled,
            assertion_iss: issuer
                .assertions
                .as_ref()
                .map_or(AssertionIss::None, |rules| AssertionIss::Of(rules.iss.clone())),
        }
    }
}

impl From<&Client> for FaultyEntry {
    fn from(client: &Client) -> Self {
        let id = Some(client.client_id.as_str().to_owned());
        Self { id, epoch: client.sessions_not_before.into(), ..Self::default() }
    }
}

/// Names that stand more than once, each once.
fn twice(names: impl Iterator<Item = Option<String>>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    names.flatten().filter(|name| !seen.insert(name.clone())).collect()
}

/// The issuer, if everything of it could be read, and what counts in any case.
fn read_issuer(path: String, text: &RawValue, report: &mut Report) -> (Option<Issuer>, FaultyEntry) {
    let Some(mut members) = Members::of_entry(path, text, report) else {
        return (None, FaultyEntry::unreadable_issuer());
    };
    let id = members.required_string("issuer_id");
    let issuer_id = id.as_deref().and_then(|id| members.named(id, "issuer_id", IssuerId::parse(id)));
    let secrets = read_hashes(&mut members);
    let assertion_iss = match members.peek("assertion_iss") {
        _ if members.is_unreadable("assertion_iss") => AssertionIss::Unreadable,
        None | Some(Value::Null) => AssertionIss::None,
        Some(Value::String(iss)) => AssertionIss::Of(iss.clone()),
        Some(_) => AssertionIss::Unreadable,
    };
    let assertions = read_assertion_rules(&mut members);
    if secrets.is_empty() && !assertions.is_meant {
        members.fault("secret_sha256", "an issuer needs at least one hash, or jwks or hs256_secret for its assertions");
    }
    let clients = members.strings("clients");
    let parsed: Vec<ClientId> = clients.iter().filter_map(|id| ClientId::parse(id)).collect();
    if parsed.len() < clients.len() {
        members.fault("clients", "holds something that cannot be a client_id");
    }
    let is_disabled = members.truth("disabled").unwrap_or(false);
    let epoch = read_epoch(&mut members);
    members.end();
    let issuer = issuer_id.map(|issuer_id| Issuer {
        issuer_id,
        secrets: SecretHashes(secrets),
        assertions: assertions.rules,
        clients: parsed,
        is_disabled,
        sessions_not_before: epoch.moment(),
    });
    (issuer, FaultyEntry { id, epoch, is_disabled, assertion_iss })
}

/// What was read about an issuer's assertions.
struct ReadAssertionRules {
    /// Something stood there, right or wrong.
    is_meant: bool,
    rules: Option<AssertionRules>,
}

fn read_assertion_rules(members: &mut Members<'_>) -> ReadAssertionRules {
    let jwks = read_jwks(members);
    let secret = members.string("hs256_secret");
    let iss = members.string("assertion_iss").filter(|iss| !iss.is_empty());
    let aud = members.string("assertion_aud").filter(|aud| !aud.is_empty());
    let subject_claim = members.string("subject_claim").filter(|name| !name.is_empty());
    let legacy_max_age_seconds = seconds(members, "legacy_max_age_seconds", 1, MAX_LEGACY_AGE_SECONDS);
    let not_before = moment(members, "assertions_not_before");
    let keys = match (jwks, secret) {
        (None, None) => {
            for (member, is_there) in [
                ("assertion_iss", iss.is_some()),
                ("assertion_aud", aud.is_some()),
                ("subject_claim", subject_claim.is_some()),
                ("legacy_max_age_seconds", legacy_max_age_seconds.is_some()),
                ("assertions_not_before", not_before.is_some()),
            ] {
                if is_there {
                    members.fault(member, "is for assertions, which need jwks or hs256_secret");
                }
            }
            return ReadAssertionRules { is_meant: false, rules: None };
        }
        (Some(_), Some(_)) => {
            members.fault("hs256_secret", "stands beside jwks: an issuer's assertions have one algorithm");
            None
        }
        (Some(keys), None) => keys,
        (None, Some(secret)) => {
            AssertionKeys::of_hs256_secret(&secret).map_err(|what| members.fault("hs256_secret", what)).ok()
        }
    };
    if iss.is_none() {
        members.fault("assertion_iss", "is missing: the exact iss of this issuer's assertions");
    }
    if aud.is_none() && legacy_max_age_seconds.is_none() {
        members.fault("assertion_aud", "is missing: the exact aud of this issuer's assertions");
    }
    let rules = keys.zip(iss).map(|(keys, iss)| AssertionRules {
        keys,
        iss,
        aud,
        subject_claim: subject_claim.unwrap_or_else(|| "sub".to_owned()),
        legacy_max_age_seconds,
        not_before,
    });
    ReadAssertionRules { is_meant: true, rules }
}

/// `None` if there is no JWK set; `Some(None)` if it is of no use, which has been reported.
fn read_jwks(members: &mut Members<'_>) -> Option<Option<AssertionKeys>> {
    let (_, value) = members.object("jwks")?;
    Some(AssertionKeys::of_jwks(value).map_err(|what| members.fault("jwks", what)).ok())
}

fn read_hashes(members: &mut Members<'_>) -> Vec<[u8; 32]> {
    let texts = members.strings("secret_sha256");
    let hashes: Vec<[u8; 32]> = texts.iter().filter_map(|text| read_hex(text)).collect();
    if hashes.len() < texts.len() {
        members.fault("secret_sha256", "must hold SHA-256 hashes of 64 hex digits");
    }
    hashes
}

fn read_hex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, index) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(index..index + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// The client, if everything of it could be read, and what counts in any case.
fn read_client(path: String, text: &RawValue, report: &mut Report) -> (Option<Client>, FaultyEntry) {
    let Some(mut members) = Members::of_entry(path, text, report) else { return (None, FaultyEntry::default()) };
    let id = members.required_string("client_id");
    let epoch = read_epoch(&mut members);
    let if_faulty = FaultyEntry { id: id.clone(), epoch, ..FaultyEntry::default() };
    (read_the_rest_of_a_client(members, id, epoch), if_faulty)
}

fn read_the_rest_of_a_client(mut members: Members<'_>, id: Option<String>, epoch: Epoch) -> Option<Client> {
    let client_id = id.and_then(|id| members.named(&id, "client_id", ClientId::parse(&id)));
    let assertion_keys = read_jwks(&mut members);
    let client_type = read_client_type(&mut members, assertion_keys.is_some());
    let profile = match members.string("profile").as_deref() {
        None | Some("standard") => Profile::Standard,
        Some("librechat") => Profile::LibreChat,
        Some(_) => {
            members.fault("profile", r#"must be "standard" or "librechat""#);
            Profile::Standard
        }
    };
    let (algorithm, kid) = read_key_choice(&mut members, profile);
    let previous_kids = read_previous_kids(&mut members);
    let audience = members.strings("audience");
    if audience.is_empty() || audience.iter().any(String::is_empty) {
        members.fault("audience", "must name at least one audience, none of them empty");
    }
    let scopes = members.strings("scopes");
    let scope = Scope::from_names(scopes.iter().map(String::as_str)).unwrap_or_else(|| {
        members.fault("scopes", "holds something that is not a scope name (RFC 6749 §3.3)");
        Scope::default()
    });
    let claims = read_claim_names(&mut members, profile);
    let access_token_seconds = seconds(&mut members, "access_token_seconds", 1, MAX_ACCESS_TOKEN_SECONDS);
    let renewal = members.object("renewal");
    let renewal = match renewal {
        Some((path, value)) => read_renewal(members.inner(path, value)?, client_type.as_ref()),
        None => RenewalSettings::default(),
    };
    members.end();
    Some(Client {
        client_id: client_id?,
        client_type: client_type?,
        assertion_keys: assertion_keys.flatten(),
        profile,
        algorithm,
        kid,
        previous_kids,
        audience,
        scope,
        claims,
        access_token_seconds,
        renewal,
        sessions_not_before: epoch.moment(),
    })
}

fn read_client_type(members: &mut Members<'_>, has_jwks: bool) -> Option<ClientType> {
    let kind = members.required_string("type");
    let hashes = read_hashes(members);
    match kind?.as_str() {
        "public" => {
            if !hashes.is_empty() {
                members.fault("secret_sha256", "a public client has no secret");
            }
            if has_jwks {
                members.fault("jwks", "a public client has no key of its own");
            }
            Some(ClientType::Public)
        }
        "confidential" => {
            if hashes.is_empty() && !has_jwks {
                members.fault("secret_sha256", "a confidential client needs at least one hash, or jwks");
            }
            Some(ClientType::Confidential(SecretHashes(hashes)))
        }
        _ => {
            members.fault("type", r#"must be "public" or "confidential""#);
            None
        }
    }
}

fn read_key_choice(members: &mut Members<'_>, profile: Profile) -> (Algorithm, Option<Kid>) {
    let algorithm = match members.string("alg") {
        None => Algorithm::Rs256,
        Some(name) => Algorithm::parse(&name).unwrap_or_else(|| {
            members.fault("alg", "is not one of RS256, PS256, ES256, EdDSA, HS256");
            Algorithm::Rs256
        }),
    };
    if profile == Profile::LibreChat && algorithm != Algorithm::Hs256 {
        members.fault("alg", "the profile librechat needs HS256");
    }
    let kid = members.string("kid").and_then(|kid| {
        let parsed = Kid::parse(&kid);
        if parsed.is_none() {
            members.fault("kid", "must be 1 to 255 printable ASCII characters");
        }
        parsed
    });
    if algorithm.is_symmetric() && kid.is_none() {
        members.fault("kid", "an HS256 client must name its key");
    }
    (algorithm, kid)
}

/// They need not be in the ring: a key goes when its last tokens are over.
fn read_previous_kids(members: &mut Members<'_>) -> Vec<Kid> {
    let names = members.strings("previous_kids");
    let kids: Vec<Kid> = names.iter().filter_map(|name| Kid::parse(name)).collect();
    if kids.len() < names.len() {
        members.fault("previous_kids", "must be 1 to 255 printable ASCII characters each");
    }
    kids
}

fn read_claim_names(members: &mut Members<'_>, profile: Profile) -> Vec<String> {
    let mut names = members.strings("claims");
    for name in names.iter().filter(|name| is_reserved_claim(name)) {
        members.fault("claims", format_args!("{name:?} is reserved"));
    }
    if profile == Profile::LibreChat {
        for name in LIBRECHAT_CLAIMS {
            if !names.iter().any(|own| own == name) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

fn read_renewal(mut members: Members<'_>, client_type: Option<&ClientType>) -> RenewalSettings {
    let requires = match members.string("requires").as_deref() {
        None | Some("access_token") => RenewalRequirement::AccessToken,
        Some("refresh_token") => RenewalRequirement::RefreshToken,
        Some(_) => {
            members.fault("requires", r#"must be "access_token" or "refresh_token""#);
            RenewalRequirement::AccessToken
        }
    };
    let max_retry = match client_type {
        Some(ClientType::Public) => MAX_RETRY_PUBLIC_SECONDS,
        Some(ClientType::Confidential(_)) | None => MAX_RETRY_CONFIDENTIAL_SECONDS,
    };
    let settings = RenewalSettings {
        requires,
        grace_seconds: seconds(&mut members, "grace_seconds", 0, MAX_GRACE_SECONDS),
        window_seconds: seconds(&mut members, "window_seconds", 0, MAX_GRACE_SECONDS),
        retry_seconds: seconds(&mut members, "retry_seconds", 0, max_retry),
    };
    members.end();
    settings
}

/// `sessions_not_before`, of whatever it stands in.
fn read_epoch(members: &mut Members<'_>) -> Epoch {
    let member = "sessions_not_before";
    let is_unreadable = members.is_unreadable(member);
    let (moment, is_sound) = members.judged(|members| moment(members, member));
    if is_unreadable {
        return Epoch::Unreadable;
    }
    if is_sound { moment.into() } else { Epoch::Unreadable }
}

/// A point in time in Unix seconds, up to the end of the year 9999; 0 is none.
fn moment(members: &mut Members<'_>, member: &str) -> Option<Timestamp> {
    members.integer(member, 0..=NOT_YET).filter(|seconds| *seconds > 0).map(Timestamp::from_unix_seconds)
}

fn seconds(members: &mut Members<'_>, member: &str, least: Seconds, most: Seconds) -> Option<Seconds> {
    members.integer(member, i64::from(least)..=i64::from(most)).and_then(|seconds| Seconds::try_from(seconds).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{hs256_entry, sha256_hex};

    fn client(extra: &str) -> String {
        format!(r#"{{"client_id":"librechat","type":"public","audience":["librechat"]{extra}}}"#)
    }

    fn registrations(issuers: &str, clients: &str) -> Result<Registrations, Faults> {
        Registrations::parse(&format!(r#"{{"issuers":[{issuers}],"clients":[{clients}]}}"#))
    }

    fn fault(issuers: &str, clients: &str) -> String {
        registrations(issuers, clients).unwrap_err().to_string()
    }

    fn issuer(extra: &str) -> String {
        format!(r#"{{"issuer_id":"portal","secret_sha256":["{}"],"clients":["librechat"]{extra}}}"#, sha256_hex("s1"))
    }

    #[test]
    fn every_contradiction_is_refused_by_name() {
        assert!(fault(&issuer(""), "").contains(r#""portal" names the client "librechat", which is not registered"#));
        assert!(fault("", &[client(""), client("")].join(",")).contains(r#"client_id "librechat" stands twice"#));
        let twice = [issuer(""), issuer("")].join(",");
        assert!(fault(&twice, &client("")).contains(r#"issuer_id "portal" stands twice"#));
        let hashed = client(&format!(r#","secret_sha256":["{}"]"#, sha256_hex("x")));
        assert!(fault("", &hashed).contains("a public client has no secret"));
        let unhashed = client("").replace("public", "confidential");
        assert!(fault("", &unhashed).contains("a confidential client needs at least one hash"));
        assert!(fault("", &client(r#","profile":"other""#)).contains(r#"("librechat").profile: must be"#));
        assert!(fault("", &client(r#","alg":"RS512""#)).contains("alg: is not one of"));
        assert!(fault("", &client(r#","profile":"librechat""#)).contains("the profile librechat needs HS256"));
        assert!(fault("", &client(r#","alg":"HS256""#)).contains("must name its key"));
        assert!(fault("", &client(r#","claims":["email","exp"]"#)).contains(r#""exp" is reserved"#));
        assert!(fault("", &client(r#","access_token_seconds":0"#)).contains("from 1 to 604800"));
        assert!(fault("", &client(r#","access_token_seconds":604801"#)).contains("from 1 to 604800"));
        assert!(
            fault("", &client(r#","renewal":{"retry_seconds":301}"#))
                .contains("renewal.retry_seconds: must be a whole number from 0 to 300")
        );
        assert!(fault("", &client(r#","renewal":{"requires":"nothing"}"#)).contains("renewal.requires"));
        assert!(fault("", &client(r#","renewal":{"grace":5}"#)).contains("renewal.grace: is not a known member"));
        assert!(fault("", &client(r#","scopes":["a b"]"#)).contains("scopes"));
        assert!(fault("", r#"{"client_id":"x","type":"public"}"#).contains("audience"));
        assert!(fault(r#"{"issuer_id":"p","secret_sha256":["zz"]}"#, "").contains("64 hex digits"));
        assert!(fault(r#"{"issuer_id":"p"}"#, "").contains("an issuer needs at least one hash"));
        assert!(Registrations::parse("{}").unwrap_err().to_string().contains("clients: is missing"));
    }

    #[test]
    fn what_is_said_of_assertions_must_be_complete_and_of_one_kind() {
        let secret = "an example secret of 32+ bytes, not real";
        let asserting = |more: &str| issuer(&format!(r#","hs256_secret":"{secret}"{more}"#));
        let complete = asserting(r#","assertion_iss":"p","assertion_aud":"a""#);
        assert!(registrations(&complete, &client("")).is_ok());
        let hash = format!(r#""secret_sha256":["{}"],"#, sha256_hex("s1"));
        assert!(registrations(&complete.replace(&hash, ""), &client("")).is_ok(), "assertions are enough");
        assert!(registrations(&asserting(r#","assertion_iss":"p","legacy_max_age_seconds":60"#), &client("")).is_ok());
        for (issuer, expected) in [
            (asserting(r#","assertion_aud":"a""#), "assertion_iss: is missing"),
            (asserting(r#","assertion_iss":"p""#), "assertion_aud: is missing"),
            (asserting(r#","assertion_iss":"p","assertion_aud":"a","jwks":{}"#), "one algorithm"),
            (asserting(r#","assertion_iss":"p","legacy_max_age_seconds":0"#), "legacy_max_age_seconds: must be"),
            (issuer(r#","assertion_iss":"p""#), "assertion_iss: is for assertions, which need"),
            (issuer(r#","jwks":{"keys":[]},"assertion_iss":"p","assertion_aud":"a""#), "jwks: must be a JWK set"),
            ([complete.clone(), complete.replace("portal", "second")].join(","), r#"assertion_iss "p" stands twice"#),
        ] {
            let said = fault(&issuer, &client(""));
            assert!(said.contains(expected) && !said.contains(secret), "{said}");
        }
        assert!(fault("", &client(r#","jwks":{"keys":[]}"#)).contains("a public client has no key of its own"));
        let confidential = client(r#","jwks":{"keys":[]}"#).replace("public", "confidential");
        assert!(fault("", &confidential).contains("jwks: must be a JWK set"));
    }

    #[test]
    fn all_faults_come_in_one_answer() {
        let faults = registrations(&issuer(""), &client(r#","alg":"x","profile":"y","scopes":"z""#)).unwrap_err();
        assert_eq!(faults.lines().len(), 3, "{faults}");
    }

    #[test]
    fn a_named_key_must_be_in_the_ring_for_the_clients_algorithm() {
        let hs = client(r#","alg":"HS256","kid":"librechat-hs","profile":"librechat""#);
        let registrations = registrations("", &hs).unwrap();
        let ring = |entry: &str| KeyRing::parse(&format!(r#"{{"signing":[{entry}],"tagging":[]}}"#)).unwrap();
        assert!(
            registrations
                .check_keys(&ring(""))
                .unwrap_err()
                .to_string()
                .contains(r#""librechat" names the key "librechat-hs""#)
        );
        let secret = "an example secret of 32+ bytes, not real";
        assert!(registrations.check_keys(&ring(&hs256_entry("librechat-hs", secret))).is_ok());
        assert!(registrations.check_keys(&ring(&hs256_entry("other", secret))).is_err());
    }
}
