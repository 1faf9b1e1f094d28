//! Registrations in which a client is known that has registered itself: nothing is kept of it, so its id is recognised anew
//! with every request that brings it.

use super::{
    all::Registrations,
    client::{Client, ClientType, Pkce, Profile, RenewalRequirement, RenewalSettings},
    credentials::SecretHashes,
    dynamic::{AuthenticationMethod, DynamicClients, RegisteredId, Registering, UnverifiedId},
    faulty::faulty,
    issuer::Issuer,
};
use crate::{
    failure::Unavailable,
    keys::{Algorithm, RegistrationKey},
    values::{ClientId, DYNAMIC_CLIENTS, Timestamp, sha256},
};

impl Registrations {
    /// What clients may be that register themselves; `None`: none may.
    pub fn dynamic_clients(&self) -> Result<Option<&DynamicClients>, Unavailable> {
        match &self.dynamic.clients {
            Registering::Off => Ok(None),
            Registering::On(clients) => Ok(Some(clients)),
            Registering::Faulty => Err(faulty("client")),
        }
    }

    /// Whether there may be clients that have registered themselves.
    pub(crate) const fn has_dynamic_clients(&self) -> bool {
        matches!(self.dynamic.clients, Registering::On(_))
    }

    /// Whether `client` is one of the issuer's: it stands in its registration, or has registered itself and is signed in by
    /// the issuer. Whether there is such a client is another question.
    pub fn is_client_of(&self, client: &ClientId, issuer: &Issuer) -> Result<bool, Unavailable> {
        match client.is_dynamic() {
            true => self.has_registered_clients(issuer),
            false => Ok(issuer.clients.contains(client)),
        }
    }

    /// Whether the issuer signs in the users of clients that register themselves. Of a faulty entry perhaps nobody knows.
    pub fn has_registered_clients(&self, issuer: &Issuer) -> Result<bool, Unavailable> {
        match (&self.dynamic.sign_in_issuer, &self.dynamic.clients) {
            (Some(signs_in), _) => Ok(*signs_in == issuer.issuer_id),
            (None, Registering::Faulty) => Err(faulty("client")),
            (None, Registering::Off | Registering::On(_)) => Ok(false),
        }
    }

    /// Those of the issuer's clients that have registered themselves and that the request at hand brings along.
    pub(crate) fn recognised_of(&self, issuer: &Issuer) -> impl Iterator<Item = &Client> {
        let are_own = self.has_registered_clients(issuer).is_ok_and(|are_own| are_own);
        self.recognised.iter().filter(move |_| are_own)
    }

    /// The same registrations with those clients besides whose ids are among `ids` and were made by the deployment when its
    /// `iss` was one of `issuers`, unless their registrations are over. `None`: there are none. `key` gives the registration
    /// key of a number.
    pub(crate) fn recognising<'i, 'k, 'p>(
        &self,
        ids: impl IntoIterator<Item = &'i str>,
        issuers: impl Iterator<Item = &'p str> + Clone,
        now: Timestamp,
        key: impl Fn(u8) -> Result<Option<&'k RegistrationKey>, Unavailable>,
    ) -> Result<Option<Self>, Unavailable> {
        let Registering::On(registering) = &self.dynamic.clients else { return Ok(None) };
        let mut recognised = Vec::new();
        for text in ids.into_iter().filter(|id| id.starts_with(DYNAMIC_CLIENTS)) {
            let Some(id) = UnverifiedId::parse(text) else { continue };
            let Some(key) = key(id.key_number())? else { continue };
            let Some((id, issuer)) = issuers.clone().find_map(|issuer| Some((id.verify(key, issuer)?, issuer))) else {
                continue;
            };
            if now < registering.expiry_of(id.registered_at()) {
                recognised.push(client(registering, &id, key, issuer));
            }
        }
        if recognised.is_empty() {
            return Ok(None);
        }
        let mut more = self.clone();
        more.recognised.extend(recognised);
        Ok(Some(more))
    }
}

fn client(registering: &DynamicClients, id: &RegisteredId, key: &RegistrationKey, issuer: &str) -> Client {
    let client_type = match (id.method(), id.secret(key, issuer)) {
        (AuthenticationMethod::None, _) | (_, None) => ClientType::Public,
        (AuthenticationMethod::Basic | AuthenticationMethod::Post, Some(secret)) => {
            ClientType::Confidential(SecretHashes(vec![sha256(secret.as_bytes())]))
        }
    };
    Client {
        client_id: id.client_id().clone(),
        client_type,
        assertion_keys: None,
        profile: Profile::Standard,
        algorithm: Algorithm::Rs256,
        kid: None,
        previous_kids: Vec::new(),
        audience: registering.audience.clone(),
        scope: registering.scope.clone(),
        claims: Vec::new(),
        access_token_seconds: None,
        renewal: RenewalSettings { requires: RenewalRequirement::RefreshToken, ..RenewalSettings::default() },
        redirect_uris: Vec::new(),
        registered: Some(registering.redirects_of(id)),
        post_logout_redirect_uris: Vec::new(),
        exchange: Vec::new(),
        pkce: Pkce::Required,
        sign_in_issuer: Some(registering.sign_in_issuer.clone()),
        sessions_not_before: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        registrations::Credentials,
        testing::{NOW, sha256_hex},
        values::WebUrl,
    };

    const ISSUER: &str = "https://id.example.org";
    const REDIRECT: &str = "https://chat.example.org/api/mcp/github/oauth/callback";
    const DYNAMIC: &str = r#""dynamic_clients":{"redirect_uris":["https://chat.example.org/api/mcp/*/oauth/callback","http://localhost/callback"],"scopes":["tools"],"audience":["https://tools.example.org/mcp"],"sign_in_issuer":"portal","seconds":100}"#;

    fn read(more: &str) -> Registrations {
        let portal = format!(
            r#"{{"issuer_id":"portal","secret_sha256":["{}"],"clients":["l"],"sign_in_url":"https://portal.example.org/"}}"#,
            sha256_hex("s")
        );
        let other = portal.replace("portal\"", "other\"");
        let text = format!(
            r#"{{"issuers":[{portal},{other}],"clients":[{{"client_id":"l","type":"public","audience":["l"]}}],{more}}}"#
        );
        Registrations::read(&text).unwrap().value
    }

    fn key() -> RegistrationKey {
        RegistrationKey::from_bytes(&[9; 32])
    }

    fn id(method: AuthenticationMethod) -> RegisteredId {
        let redirects = [REDIRECT, "http://localhost/callback", "https://elsewhere.example/cb"];
        let redirects = redirects.map(|text| WebUrl::parse(text).unwrap());
        RegisteredId::new((1, &key()), ISSUER, NOW, method, &redirects, [5; 16]).unwrap()
    }

    fn recognised(registrations: &Registrations, id: &RegisteredId, now: Timestamp) -> Option<Registrations> {
        let key = key();
        let ids = ["l", id.client_id().as_str(), "lkd1_x"];
        registrations.recognising(ids, [ISSUER].into_iter(), now, |number| Ok((number == 1).then_some(&key))).unwrap()
    }

    #[test]
    fn a_client_is_known_while_its_registration_lasts_and_to_the_request_that_brings_its_id() {
        let (registrations, id) = (read(DYNAMIC), id(AuthenticationMethod::None));
        let text = id.client_id().as_str();
        assert!(registrations.client(text).unwrap().is_none());
        let with = recognised(&registrations, &id, NOW.plus(99)).unwrap();
        let client = with.client(text).unwrap().unwrap();
        assert!(client.is_public() && client.is_registered() && client.scope.contains("tools"));
        assert_eq!(
            (client.audience.as_slice(), client.pkce),
            (&["https://tools.example.org/mcp".to_owned()][..], Pkce::Required)
        );
        assert_eq!(client.renewal.requires, RenewalRequirement::RefreshToken);
        assert_eq!(with.sign_in_issuer(client).unwrap().unwrap().issuer_id.as_str(), "portal");
        assert!(!with.client("l").unwrap().unwrap().is_registered());
        assert_eq!(with.clients().len(), 1, "it is in no list");
        assert!(recognised(&registrations, &id, NOW.plus(100)).is_none(), "its time is over");
        assert!(recognised(&read(r#""dynamic_clients":null"#), &id, NOW).is_none(), "the switch is off");
    }

    #[test]
    fn a_redirect_must_have_been_registered_and_be_allowed_today() {
        let id = id(AuthenticationMethod::None);
        let with = recognised(&read(DYNAMIC), &id, NOW).unwrap();
        let client = with.client(id.client_id().as_str()).unwrap().unwrap();
        assert!(client.redirects_to(REDIRECT) && client.redirects_to("http://localhost:49152/callback"));
        for other in ["https://chat.example.org/api/mcp/gitlab/oauth/callback", "https://elsewhere.example/cb", ""] {
            assert!(!client.redirects_to(other), "{other}");
        }
        let narrowed = read(&DYNAMIC.replace("/mcp/*/", "/mcp/gitlab/"));
        let with = recognised(&narrowed, &id, NOW).unwrap();
        assert!(!with.client(id.client_id().as_str()).unwrap().unwrap().redirects_to(REDIRECT));
    }

    #[test]
    fn who_has_asked_for_a_secret_authenticates_with_it_and_nobody_else_does() {
        let id = id(AuthenticationMethod::Basic);
        let with = recognised(&read(DYNAMIC), &id, NOW).unwrap();
        let authenticated = |secret: &str| {
            let credentials = Credentials { id: id.client_id().as_str().to_owned(), secret: secret.to_owned() };
            with.authenticate_client(&[credentials]).unwrap().is_some()
        };
        assert!(authenticated(&id.secret(&key(), ISSUER).unwrap()));
        assert!(!authenticated("") && !authenticated(id.client_id().as_str()));
        assert!(!with.client(id.client_id().as_str()).unwrap().unwrap().is_public());
    }

    #[test]
    fn they_are_the_clients_of_the_issuer_that_signs_them_in() {
        let registrations = read(DYNAMIC);
        let is_of = |registrations: &Registrations, issuer: &str| {
            let issuer = registrations.issuer(issuer).unwrap().unwrap();
            registrations.is_client_of(&ClientId::of_dynamic_clients(), issuer).unwrap()
        };
        assert!(is_of(&registrations, "portal") && !is_of(&registrations, "other"));
        assert!(!is_of(&read(r#""x":1"#), "portal"));
        let id = id(AuthenticationMethod::None);
        assert!(is_of(&recognised(&registrations, &id, NOW).unwrap(), "portal"));
    }

    #[test]
    fn a_faulty_switch_is_unavailable_for_those_clients_and_no_others_and_its_epoch_counts() {
        let id = id(AuthenticationMethod::None);
        let text = id.client_id().as_str();
        for bad in [
            DYNAMIC.replace("[\"tools\"]", "7"),
            DYNAMIC.replace("/*/", "/x*/"),
            DYNAMIC.replace("100", "31536001"),
            DYNAMIC.replace(r#""audience":["https://tools.example.org/mcp"]"#, r#""audience":[]"#),
            DYNAMIC.replace(r#","sign_in_issuer":"portal""#, ""),
            DYNAMIC.replace(r#""seconds":100"#, r#""seconds":100,"seconds":100"#),
            r#""dynamic_clients":7"#.to_owned(),
        ] {
            let registrations = read(&bad);
            assert!(registrations.client(text).is_err() && registrations.dynamic_clients().is_err(), "{bad}");
            assert!(registrations.client("l").unwrap().is_some(), "{bad}");
            assert!(recognised(&registrations, &id, NOW).is_none(), "{bad}");
            let dated = bad.replacen(r#""seconds":"#, r#""sessions_not_before":500,"seconds":"#, 1);
            if dated != bad {
                let floor = |id: &str| read(&dated).epochs(&ClientId::parse(id).unwrap()).unwrap().floor();
                assert_eq!((floor(text), floor("l")), (Some(Timestamp::from_unix_seconds(500)), None), "{dated}");
            }
        }
        let unreadable = read(r#""dynamic_clients":7"#);
        let other = unreadable.issuer("other").unwrap().unwrap();
        assert!(unreadable.is_client_of(id.client_id(), other).is_err(), "nobody knows whose it is");
        assert!(!unreadable.is_client_of(&ClientId::parse("m").unwrap(), other).unwrap());
        assert!(unreadable.epochs(id.client_id()).is_err(), "nobody knows its epoch");
        assert!(unreadable.epochs(&ClientId::parse("l").unwrap()).is_ok());
        let only_an_epoch = read(r#""dynamic_clients":{"sessions_not_before":500}"#);
        assert!(only_an_epoch.dynamic_clients().unwrap().is_none() && only_an_epoch.client(text).unwrap().is_none());
        assert_eq!(only_an_epoch.epochs(id.client_id()).unwrap().floor(), Some(Timestamp::from_unix_seconds(500)));
    }

    #[test]
    fn no_client_is_registered_under_such_an_id() {
        let text = r#"{"issuers":[],"clients":[{"client_id":"lkd1_x","type":"public","audience":["x"]}]}"#;
        let fault = Registrations::parse(text).unwrap_err().to_string();
        assert!(fault.contains("client_id: must not begin with lkd1"), "{fault}");
        assert!(Registrations::read(text).unwrap().value.client("lkd1_x").unwrap().is_none());
    }
}
