//! Reads the secret `clients`: the registrations as a JSON document (docs/configuration.md, Registrations).

mod client;
mod dynamic;
mod fields;
mod issuer;

use std::collections::BTreeSet;

use self::{client::read_client, dynamic::read_dynamic, fields::read_epoch, issuer::read_issuer};
use super::{
    all::Registrations,
    client::Client,
    epochs::Epoch,
    faulty::{AssertionIss, FaultyEntry},
    issuer::Issuer,
};
use crate::{
    json::{Document, Faults, Reading, Report},
    keys::{KeyRing, Kid},
    values::ClientId,
};

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
        let dynamic = document.member("dynamic_clients");
        let mut rest = document.rest(&mut report);
        let mut epoch = read_epoch(&mut rest);
        let is_usable = rest.end();
        let dynamic = read_dynamic(dynamic, is_usable, &mut report);
        let mut registrations = Self { dynamic, ..Self::default() };
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
        for issuer in &self.issuers {
            let narrowed = issuer.assertions.as_ref().and_then(|rules| rules.clients.as_deref());
            for client in narrowed.unwrap_or_default().iter().filter(|id| !issuer.clients.contains(id)) {
                // Nothing comes of it either.
                report.note(format!(
                    "issuers: {:?} names {:?} in assertion_clients, which is none of its clients",
                    issuer.issuer_id.as_str(),
                    client.as_str()
                ));
            }
        }
        if let Ok(Some(dynamic)) = self.dynamic_clients() {
            let id = dynamic.sign_in_issuer.as_str();
            let is_able = |issuer: &Issuer| issuer.issuer_id.as_str() == id && issuer.sign_in_url.is_some();
            if !self.issuers.iter().any(is_able) && !self.faulty_issuers.may_hold(id) {
                // It takes nothing from those clients but their sign-in.
                report.note(format!(
                    "dynamic_clients: names the sign_in_issuer {id:?}, which is no issuer with a sign_in_url"
                ));
            }
        }
        for client in &self.clients {
            if let Some(fault) = self.sign_in_fault(client) {
                // It takes nothing from the client but its sign-in.
                report.note(format!("clients: {:?} {fault}", client.client_id.as_str()));
            }
        }
    }

    fn sign_in_fault(&self, client: &Client) -> Option<String> {
        let mut portals = self.issuers.iter().filter(|issuer| issuer.signs_in_users_of(&client.client_id));
        match &client.sign_in_issuer {
            // A faulty issuer has a fault of its own.
            Some(id) if portals.any(|issuer| issuer.issuer_id == *id) || self.faulty_issuers.may_hold(id.as_str()) => {
                None
            }
            Some(id) => Some(format!(
                "names the sign_in_issuer {:?}, which is no issuer with a sign_in_url that may act for this client",
                id.as_str()
            )),
            None if client.redirect_uris.is_empty() => None,
            None => {
                let ids: Vec<&str> =
                    portals.filter(|issuer| !issuer.is_disabled).map(|issuer| issuer.issuer_id.as_str()).collect();
                (ids.len() > 1).then(|| {
                    format!(
                        "may be signed in by several issuers with a sign_in_url, {ids:?}: say which with sign_in_issuer"
                    )
                })
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

/// Names that stand more than once, each once.
fn twice(names: impl Iterator<Item = Option<String>>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    names.flatten().filter(|name| !seen.insert(name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registrations::Pkce;
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
        for nothing in ["", "\n", "\r\n"] {
            let issuer = format!(r#"{{"issuer_id":"p","secret_sha256":["{}"]}}"#, sha256_hex(nothing));
            assert!(fault(&issuer, "").contains("the hash of nothing"));
        }
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
        let narrowed = |clients: &str| {
            complete.replace(r#""assertion_iss""#, &format!(r#""assertion_clients":{clients},"assertion_iss""#))
        };
        for clients in [r#"["librechat"]"#, "[]", "null"] {
            assert!(registrations(&narrowed(clients), &client("")).is_ok(), "{clients}");
        }
        let bytes = issuer(r#","hs512_secret_base64":"{}","assertion_iss":"p","assertion_aud":"a""#);
        assert!(registrations(&bytes.replace("{}", &"-_8A".repeat(22)), &client("")).is_ok());
        for (issuer, expected) in [
            (asserting(r#","assertion_aud":"a""#), "assertion_iss: is missing"),
            (asserting(r#","assertion_iss":"p""#), "assertion_aud: is missing"),
            (asserting(r#","assertion_iss":"p","assertion_aud":"a","jwks":{}"#), "stands beside jwks"),
            (
                asserting(r#","assertion_iss":"p","assertion_aud":"a","hs512_secret_base64":"AA""#),
                "stands beside hs256_secret",
            ),
            (issuer(r#","hs384_secret":"short","assertion_iss":"p","assertion_aud":"a""#), "shorter than the 48 bytes"),
            (issuer(r#","hs256_secret_base64":"no base64","assertion_iss":"p","assertion_aud":"a""#), "is not base64"),
            (
                asserting(r#","assertion_iss":"p","assertion_aud":"a","assertion_clients":"librechat""#),
                "a list of strings",
            ),
            (asserting(r#","assertion_iss":"p","assertion_aud":"a","assertion_clients":["x"]"#), "none of its clients"),
            (issuer(r#","assertion_clients":[]"#), "assertion_clients: is for assertions, which need"),
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

    const REDIRECT: &str = r#","redirect_uris":["https://chat.example.org/cb"]"#;
    const SIGN_IN: &str = r#","sign_in_url":"https://portal.example.org/sign-in""#;

    #[test]
    fn addresses_of_a_sign_in_must_be_https_or_loopback_and_are_not_quoted() {
        let url = "http://chat.example.org/secret";
        for (issuer, client, expected) in [
            (
                issuer(&format!(r#","sign_in_url":"{url}""#)),
                client(""),
                r#"issuers[0] ("portal").sign_in_url: must be"#,
            ),
            (
                issuer(&format!(r#","sign_out_url":"{url}""#)),
                client(""),
                r#"issuers[0] ("portal").sign_out_url: must be"#,
            ),
            (
                issuer(""),
                client(&format!(r#","redirect_uris":["https://a.example/","{url}"]"#)),
                r#"clients[0] ("librechat").redirect_uris[1]: must be an absolute URL"#,
            ),
            (
                issuer(""),
                client(&format!(r#","post_logout_redirect_uris":["{url}"]"#)),
                r#"clients[0] ("librechat").post_logout_redirect_uris[0]: must be"#,
            ),
            (issuer(r#","sign_in_url":7"#), client(""), "sign_in_url: must be a string"),
            (
                issuer(""),
                client(r#","redirect_uris":"https://a.example/""#),
                "redirect_uris: must be a list of strings",
            ),
        ] {
            let faults = registrations(&issuer, &client).unwrap_err();
            let said = faults.to_string();
            assert!(said.contains(expected) && !said.contains("secret"), "{said}");
            assert_eq!(faults.lines().len(), 1, "{said}");
        }
        let sound = registrations(
            &issuer(&format!(r#"{SIGN_IN},"sign_out_url":"http://localhost:1/out""#)),
            &client(r#","redirect_uris":["https://a.example/cb","http://127.0.0.1/cb"],"post_logout_redirect_uris":["https://a.example/"]"#),
        )
        .unwrap();
        let client = sound.client("librechat").unwrap().unwrap();
        assert!(client.redirects_to("https://a.example/cb") && client.redirects_to("http://127.0.0.1:49152/cb"));
        assert!(!client.redirects_to("https://a.example/") && !client.redirects_to("https://a.example/cb/"));
        assert!(client.redirects_after_sign_out_to("https://a.example/"));
        assert!(!client.redirects_after_sign_out_to("https://a.example/cb"));
        let issuer = sound.issuer("portal").unwrap().unwrap();
        assert_eq!(issuer.sign_in_url.as_ref().unwrap().as_str(), "https://portal.example.org/sign-in");
        assert_eq!(issuer.sign_out_url.as_ref().unwrap().as_str(), "http://localhost:1/out");
        let alone =
            registrations(&super::tests::issuer(r#","sign_out_url":"https://a.example/""#), &super::tests::client(""));
        assert!(alone.is_ok(), "a sign-out page alone is fine");
    }

    #[test]
    fn only_a_confidential_client_may_do_without_pkce() {
        let pkce = |client: &str| registrations("", client).map(|all| all.clients[0].pkce);
        let confidential = |more: &str| {
            client(&format!(r#","secret_sha256":["{}"]{more}"#, sha256_hex("x"))).replace("public", "confidential")
        };
        assert_eq!(pkce(&client("")), Ok(Pkce::Required));
        assert_eq!(pkce(&client(r#","pkce":"required""#)), Ok(Pkce::Required));
        assert_eq!(pkce(&confidential(r#","pkce":"optional""#)), Ok(Pkce::Optional));
        assert!(fault("", &client(r#","pkce":"optional""#)).contains("pkce: a public client needs PKCE"));
        assert!(fault("", &confidential(r#","pkce":"off""#)).contains(r#"pkce: must be "required" or "optional""#));
    }

    #[test]
    fn whose_portal_signs_in_must_be_clear_when_written_and_takes_no_client_down_when_read() {
        let named = client(&format!(r#"{REDIRECT},"sign_in_issuer":"portal""#));
        assert!(registrations(&issuer(SIGN_IN), &named).is_ok());
        let disabled = issuer(&format!(r#"{SIGN_IN},"disabled":true"#));
        assert!(registrations(&disabled, &named).is_ok(), "it will be enabled again");
        let second = issuer(SIGN_IN).replace("portal\"", "second\"");
        let both = [issuer(SIGN_IN), second.clone()].join(",");
        assert!(registrations(&both, &named).is_ok());
        assert!(registrations(&both, &client("")).is_ok(), "nobody signs in to this client");
        assert!(registrations(&[disabled, second.clone()].join(","), &client(REDIRECT)).is_ok(), "one is enabled");
        let is_none = "which is no issuer with a sign_in_url that may act for this client";
        for (issuers, client, expected) in [
            (issuer(""), &named, is_none),
            (issuer(SIGN_IN).replace(r#"["librechat"]"#, "[]"), &named, is_none),
            (second, &named, r#""librechat" names the sign_in_issuer "portal", which is no issuer"#),
            (both, &client(REDIRECT), r#"["portal", "second"]: say which with sign_in_issuer"#),
        ] {
            let said = fault(&issuers, client);
            assert!(said.contains(expected), "{said}");
            let text = format!(r#"{{"issuers":[{issuers}],"clients":[{client}]}}"#);
            let registrations = Registrations::read(&text).unwrap().value;
            let client = registrations.client("librechat").unwrap().unwrap();
            assert!(registrations.sign_in_issuer(client).unwrap().is_none(), "{said}");
            assert!(registrations.issuers.len() == issuers.matches("issuer_id").count(), "{said}");
        }
        let no_id = client(r#","sign_in_issuer":"café""#);
        assert!(fault("", &no_id).contains("sign_in_issuer: must be 1 to 255 printable ASCII characters"));
        let faulty = fault(&issuer(&format!(r#"{SIGN_IN},"disabled":1"#)), &named);
        assert!(!faulty.contains("sign_in_issuer"), "the issuer's own fault is enough: {faulty}");
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
