//! Browsers, the portal, and the client's part in a sign-in.

use latchkey_token::{
    failure::Failure,
    grants::{CodeRequest, TokenSet},
    json::Map,
    management::{SignOutRequest, SignedOut},
    session::{Authentication, Session},
    sign_in::{AcceptRequest, Begun, Direction, RejectRequest, Rejection},
    tickets::Browser,
    tokens::CodeVerifier,
    values::{ClientId, Owner, Subject},
};

use super::{
    super::reference::{Brought, Client, Issuer},
    System, done, own_identification, secret_of,
};
use latchkey_token::registrations::Credentials;

pub const NONCE: &str = "a nonce";

/// Where a browser has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Page,
    /// At the portal, with a ticket.
    Portal(String),
    /// At the client, with a code, or with an error.
    Client(Option<String>),
}

pub fn sign_in_url() -> &'static str {
    "https://portal.example/sign-in"
}

pub fn callback(client: Client) -> String {
    format!("https://{}.example/callback", client.id())
}

fn verifier(letter: &str) -> String {
    letter.repeat(43)
}

/// A parameter of an address, as it stands there.
fn parameter(address: &str, name: &str) -> Option<String> {
    let pairs = address.split_once('?')?.1.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_owned())
}

impl System {
    pub fn begin(&mut self, client: Client, browser: usize, is_registered: bool) -> Place {
        let uri = if is_registered { callback(client) } else { format!("{}/elsewhere", callback(client)) };
        let challenge = CodeVerifier::parse(&verifier("v")).unwrap().challenge().text();
        let asked = [
            ("client_id", client.id()),
            ("redirect_uri", &uri),
            ("response_type", "code"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("nonce", NONCE),
        ];
        let asked = asked.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let begun = done(self.world.authorize(&self.trail).run(asked, self.cookie(browser)));
        let Begun { direction, new_browser, .. } = begun.unwrap_or_else(|failure| panic!("{failure:?}"));
        if let Some(cookie) = new_browser {
            self.cookies[browser] = Some(cookie.expose());
        }
        match direction {
            Direction::Page => Place::Page,
            Direction::To(address) => {
                // Invariant 29: nowhere else.
                assert!(address.starts_with(&format!("{}?", sign_in_url())), "{address}");
                Place::Portal(parameter(&address, "ticket").unwrap())
            }
        }
    }

    /// The answer that the browser is to bring back.
    pub fn accept(&self, by: Issuer, ticket: &str, subject: &str) -> Result<String, Failure> {
        let request = AcceptRequest {
            issuer: credentials_of(by),
            ticket: ticket.into(),
            subject: Subject::parse(subject).unwrap(),
            claims: Map::new(),
            scope: None,
            expires_in: None,
            authentication: Authentication::default(),
        };
        let accepted = done(self.world.accept(&self.trail).run(request))?;
        Ok(parameter(&accepted.redirect_to, "answer").unwrap())
    }

    pub fn reject(&self, by: Issuer, ticket: &str) -> Result<String, Failure> {
        let (issuer, rejection) = (credentials_of(by), Rejection::AccessDenied);
        let request = RejectRequest { issuer, ticket: ticket.into(), rejection, description: None };
        let redirect_to = done(self.world.reject(&self.trail).run(request))?;
        Ok(parameter(&redirect_to, "answer").unwrap())
    }

    pub fn give_back(&self, client: Client, answer: &str, browser: usize) -> Place {
        let direction = done(self.world.finish(&self.trail).run(answer, self.cookie(browser)));
        match direction.unwrap_or_else(|failure| panic!("{failure:?}")) {
            Direction::Page => Place::Page,
            Direction::To(address) => {
                assert!(address.starts_with(&format!("{}?", callback(client))), "{address}");
                assert!(parameter(&address, "iss").is_some(), "{address}");
                let code = parameter(&address, "code");
                assert_eq!(parameter(&address, "error").is_some(), code.is_none(), "{address}");
                Place::Client(code)
            }
        }
    }

    pub fn exchange(&self, by: Client, of: Client, code: &str, brought: Brought) -> Result<TokenSet, Failure> {
        let usual = CodeRequest {
            client: own_identification(by),
            code: code.into(),
            redirect_uri: callback(of),
            code_verifier: Some(verifier("v")),
            resource: Vec::new(),
        };
        let request = match brought {
            Brought::Everything => usual,
            Brought::AnotherVerifier => CodeRequest { code_verifier: Some(verifier("w")), ..usual },
            Brought::NoVerifier => CodeRequest { code_verifier: None, ..usual },
            Brought::AnotherRedirectUri => CodeRequest { redirect_uri: callback(of.other()), ..usual },
        };
        done(self.world.renew(&self.trail).exchange(request))
    }

    pub fn sign_out(&self, id_token: &str) -> SignedOut {
        let request = SignOutRequest {
            id_token_hint: Some(id_token.into()),
            client_id: None,
            post_logout_redirect_uri: None,
            state: None,
        };
        done(self.world.sign_out(&self.trail).run(request)).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    /// A session that has come to be without its key having reached anybody.
    pub fn learn_of_a_new_session(&mut self, client: Client, subject: &str) {
        let owner = Owner::of(&ClientId::parse(client.id()).unwrap(), &Subject::parse(subject).unwrap());
        let sessions: Vec<Session> = self.store().of(&owner);
        let new = sessions.iter().map(|session| session.key).filter(|key| !self.keys.contains(key));
        let new: Vec<_> = new.collect();
        assert_eq!(new.len(), 1, "one for every accept that was written");
        self.keys.extend(new);
    }

    fn cookie(&self, browser: usize) -> Option<Browser> {
        self.cookies[browser].as_deref().and_then(Browser::parse)
    }
}

fn credentials_of(issuer: Issuer) -> Vec<Credentials> {
    vec![Credentials { id: issuer.id().into(), secret: secret_of(issuer.id()) }]
}
