//! Sign-in from `/authorize` to the sign-out, use case by use case: who is let in, who is not, and that nobody who is
//! refused has written anything.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod codes;
mod portal;
mod races;
mod redirects;
mod resources;
mod store;

use std::sync::{Mutex, OnceLock};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use latchkey_token::{
    audit::{Event, EventKind, Reason},
    documents::Documents,
    failure::{Failure, Refusal},
    grants::{ClientIdentification, CodeRequest, RenewRequest, TokenSet},
    json::{self, Map, Value},
    keys::{Algorithm, thumbprint},
    management::{SignOutRequest, SignedOut, UserinfoAnswer},
    ports::{Audit, ListSessions},
    registrations::Credentials,
    session::{Authentication, Session},
    sign_in::{AcceptRequest, Accepted, Begun, Direction},
    tickets::Browser,
    tokens::CodeVerifier,
    values::{ClientId, Owner, Subject, Timestamp},
};
use latchkey_token_testkit::{FixedDocuments, fixture::NOW};
use serde_json::json;

use store::Watched;

const ISSUER: &str = "https://id.example.org";
const CALLBACK: &str = "https://chat.example.org/callback";
const BYE: &str = "https://chat.example.org/bye";
const SIGN_IN_URL: &str = "https://portal.example.org/sign-in";
const SIGN_OUT_URL: &str = "https://portal.example.org/sign-out";
const SECRET: &str = "test-secret";
/// SHA-256 of it.
const SECRET_HASH: &str = "9caf06bb4436cdbfa20af9121a626bc1093c4f54b31c0fa937957856135345b6";

#[derive(Default)]
struct Trail(Mutex<Vec<Event>>);

impl Audit for Trail {
    fn record(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

struct World {
    world: latchkey_token_testkit::World<Watched, FixedDocuments>,
    trail: Trail,
}

/// A sign-in on its way: the ticket at the portal, and the cookie of the browser that has brought it.
struct Begin {
    ticket: String,
    cookie: String,
}

fn verifier() -> String {
    "v".repeat(43)
}

fn challenge() -> String {
    CodeVerifier::parse(&verifier()).unwrap().challenge().text()
}

fn pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = key.to_pkcs8v1().unwrap();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
    })
}

/// `chat` is confidential, `desk` public, `plain` confidential and without PKCE; the portal signs their users in.
fn registrations() -> Value {
    json!({
        "issuers": [
            {"issuer_id": "portal", "secret_sha256": [SECRET_HASH], "clients": ["chat", "desk", "plain"],
             "sign_in_url": SIGN_IN_URL, "sign_out_url": SIGN_OUT_URL},
            {"issuer_id": "office", "secret_sha256": [SECRET_HASH], "clients": ["chat"]},
        ],
        "clients": [
            {"client_id": "chat", "type": "confidential", "secret_sha256": [SECRET_HASH], "alg": "ES256",
             "audience": ["chat"], "scopes": ["openid", "profile", "email"], "claims": ["email", "name"],
             "redirect_uris": [CALLBACK], "post_logout_redirect_uris": [BYE],
             "renewal": {"requires": "refresh_token"}},
            {"client_id": "desk", "type": "public", "alg": "ES256", "audience": ["desk"], "scopes": ["profile"],
             "redirect_uris": [CALLBACK, "http://127.0.0.1/callback"], "renewal": {"requires": "refresh_token"}},
            {"client_id": "plain", "type": "confidential", "secret_sha256": [SECRET_HASH], "alg": "ES256",
             "audience": ["plain"], "scopes": ["openid"], "redirect_uris": ["https://plain.example.org/cb?x=1"],
             "pkce": "optional", "renewal": {"requires": "refresh_token"}},
        ],
    })
}

fn documents(registrations: &Value) -> FixedDocuments {
    let kid = thumbprint(Algorithm::Es256, pem()).unwrap();
    let keys = json!({
        "signing": [{"kid": kid.as_str(), "alg": "ES256", "private_key": pem()}],
        "tagging": [{"kid": 1, "secret": URL_SAFE_NO_PAD.encode([9; 32])}],
    });
    FixedDocuments::new(Documents::parse(&keys.to_string(), &registrations.to_string()).unwrap())
}

fn credentials(id: &str, secret: &str) -> Vec<Credentials> {
    vec![Credentials { id: id.into(), secret: secret.into() }]
}

fn authenticated(client: &str) -> ClientIdentification {
    ClientIdentification::Authenticated(credentials(client, SECRET))
}

fn named(client: &str) -> ClientIdentification {
    ClientIdentification::Named(vec![client.into()])
}

/// What a client asks for, with these parameters replaced, or added.
fn asking(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let challenge = challenge();
    let usual = [
        ("response_type", "code"),
        ("client_id", "chat"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid email"),
        ("state", "a state & more"),
        ("nonce", "a nonce"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let kept = usual.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn accepting(ticket: &str, subject: &str) -> AcceptRequest {
    AcceptRequest {
        issuer: credentials("portal", SECRET),
        ticket: ticket.into(),
        subject: Subject::parse(subject).unwrap(),
        claims: Map::new(),
        scope: None,
        expires_in: None,
        authentication: Authentication::default(),
    }
}

/// The exchange that `chat` makes.
fn exchanging(code: &str) -> CodeRequest {
    CodeRequest {
        client: authenticated("chat"),
        code: code.into(),
        redirect_uri: CALLBACK.into(),
        code_verifier: Some(verifier()),
        resource: Vec::new(),
    }
}

/// A parameter of an address.
fn parameter(address: &str, name: &str) -> Option<String> {
    let query = address.split_once('?')?.1;
    form_urlencoded::parse(query.as_bytes()).find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
}

fn address(direction: Direction) -> String {
    match direction {
        Direction::To(address) => address,
        Direction::Page => panic!("a page"),
    }
}

fn claims(jwt: &str) -> Map<String, Value> {
    json::parse_object(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn ok<T>(result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|failure| panic!("{failure:?}"))
}

fn refusal<T>(result: Result<T, Failure>) -> Refusal {
    match result {
        Err(Failure::Refused(refusal)) => refusal,
        Err(failure) => panic!("{failure:?}"),
        Ok(_) => panic!("not refused"),
    }
}

fn is_unavailable<T>(result: &Result<T, Failure>) -> bool {
    matches!(result, Err(Failure::Unavailable(_)))
}

impl World {
    fn new() -> Self {
        let documents = documents(&registrations());
        let world = latchkey_token_testkit::World::new(Watched::default(), documents, ISSUER, NOW);
        Self { world, trail: Trail::default() }
    }

    /// Other registrations come into force.
    fn register(&mut self, change: impl FnOnce(&mut Value)) {
        let mut changed = registrations();
        change(&mut changed);
        self.world.documents = documents(&changed);
    }

    async fn authorize(&self, parameters: Vec<(String, String)>, cookie: Option<&str>) -> Begun {
        ok(self.world.authorize(&self.trail).run(parameters, cookie.and_then(Browser::parse)).await)
    }

    async fn begin(&self, more: &[(&str, &str)]) -> Begin {
        let Begun { direction, new_browser, .. } = self.authorize(asking(more), None).await;
        let ticket = parameter(&address(direction), "ticket").unwrap();
        Begin { ticket, cookie: new_browser.unwrap().expose() }
    }

    async fn accept(&self, request: AcceptRequest) -> Result<Accepted, Failure> {
        self.world.accept(&self.trail).run(request).await
    }

    /// The answer to a ticket, for alice.
    async fn answer(&self, ticket: &str) -> String {
        let accepted = ok(self.accept(accepting(ticket, "alice")).await);
        parameter(&accepted.redirect_to, "answer").unwrap()
    }

    async fn finish(&self, answer: &str, cookie: Option<&str>) -> Direction {
        ok(self.world.finish(&self.trail).run(answer, cookie.and_then(Browser::parse)).await)
    }

    async fn code_of(&self, begin: &Begin) -> String {
        let answer = self.answer(&begin.ticket).await;
        parameter(&address(self.finish(&answer, Some(&begin.cookie)).await), "code").unwrap()
    }

    /// A code that alice's browser has brought to `chat`.
    async fn code(&self) -> String {
        self.code_of(&self.begin(&[]).await).await
    }

    async fn exchange(&self, request: CodeRequest) -> Result<TokenSet, Failure> {
        self.world.renew(&self.trail).exchange(request).await
    }

    async fn renew(&self, client: ClientIdentification, refresh_token: &str) -> Result<TokenSet, Failure> {
        let refresh_token = refresh_token.into();
        let request = RenewRequest { client, refresh_token, access_token: None, scope: None, resource: Vec::new() };
        self.world.renew(&self.trail).run(request).await
    }

    async fn userinfo(&self, access_token: &str) -> UserinfoAnswer {
        ok(self.world.userinfo(&self.trail).run(access_token).await)
    }

    async fn sign_out(&self, request: SignOutRequest) -> SignedOut {
        ok(self.world.sign_out(&self.trail).run(request).await)
    }

    /// All sessions that alice has at `client`.
    async fn sessions(&self, client: &str) -> Vec<Session> {
        let owner = Owner::of(&ClientId::parse(client).unwrap(), &Subject::parse("alice").unwrap());
        self.world.store.list(&owner).await.unwrap()
    }

    async fn session(&self) -> Session {
        let mut sessions = self.sessions("chat").await;
        assert_eq!(sessions.len(), 1);
        sessions.remove(0)
    }

    fn wait(&self, seconds: u32) {
        self.world.clock.advance(seconds);
    }

    fn writes(&self) -> usize {
        self.world.store.writes()
    }

    fn last_event(&self) -> (EventKind, Option<&'static str>) {
        let events = self.trail.0.lock().unwrap();
        let event = events.last().unwrap();
        (event.kind, event.reason.map(Reason::name))
    }
}

fn signing_out(id_token_hint: Option<&str>) -> SignOutRequest {
    SignOutRequest {
        id_token_hint: id_token_hint.map(str::to_owned),
        client_id: None,
        post_logout_redirect_uri: Some(BYE.into()),
        state: None,
    }
}

#[tokio::test]
async fn a_sign_in_is_two_writes_from_the_click_to_the_tokens_and_its_end_a_third() {
    let world = World::new();
    let begin = world.begin(&[("prompt", "select_account"), ("login_hint", "al")]).await;
    let inspected = ok(world.world.inspect(&world.trail).run(&credentials("portal", SECRET), &begin.ticket).await);
    assert_eq!((inspected.ticket.client_id.as_str(), inspected.expires_in), ("chat", 600));
    assert_eq!(inspected.ticket.redirect_uri, CALLBACK);
    assert_eq!(
        (inspected.ticket.scope.to_string(), inspected.ticket.prompts("select_account")),
        ("openid email".into(), true)
    );
    assert_eq!(world.world.store.requests(), 0, "nothing is asked of the table before the user is known");

    world.wait(100);
    let auth_time = NOW.plus(90);
    let authentication = Authentication { time: Some(auth_time), acr: Some("gold".into()), amr: vec!["pwd".into()] };
    let said = json::parse_object(br#"{"email":"alice@example.org","shoe_size":38,"sub":"bob"}"#).unwrap();
    let request = AcceptRequest { claims: said, authentication, ..accepting(&begin.ticket, "alice") };
    let accepted = ok(world.accept(request).await);
    assert_eq!(accepted.ignored_claims, ["shoe_size", "sub"]);
    assert!(accepted.redirect_to.starts_with("https://id.example.org/authorize/return?answer=lka1_"));
    assert_eq!((world.writes(), world.world.store.requests()), (1, 1));

    let answer = parameter(&accepted.redirect_to, "answer").unwrap();
    let address = address(world.finish(&answer, Some(&begin.cookie)).await);
    let code = parameter(&address, "code").unwrap();
    assert!(address.starts_with(&format!("{CALLBACK}?")) && code.starts_with("lkc1_"));
    assert_eq!(parameter(&address, "state").as_deref(), Some("a state & more"));
    assert_eq!(parameter(&address, "iss").as_deref(), Some(ISSUER));
    assert_eq!(world.world.store.requests(), 1);

    let tokens = ok(world.exchange(exchanging(&code)).await);
    assert_eq!((world.writes(), world.world.store.requests()), (2, 2));
    assert_eq!(world.last_event(), (EventKind::TokenIssued, None));
    assert_eq!((tokens.expires_in, tokens.refresh_token_expires_in), (86_400, 604_800));
    assert_eq!(tokens.scope.to_string(), "openid email");
    let id_token = tokens.id_token.unwrap();
    let first = claims(&id_token);
    assert_eq!(first["sub"], "alice");
    assert_eq!(
        (&first["nonce"], &first["acr"], &first["email"]),
        (&json!("a nonce"), &json!("gold"), &json!("alice@example.org"))
    );
    assert_eq!((&first["auth_time"], &first["amr"]), (&json!(auth_time.unix_seconds()), &json!(["pwd"])));
    assert_eq!(first["sid"], tokens.session.to_string());

    let UserinfoAnswer::Claims(about) = world.userinfo(&tokens.access_token).await else { panic!("claims") };
    assert_eq!(Value::from(about), json!({"sub": "alice", "email": "alice@example.org"}));
    let renewed = ok(world.renew(authenticated("chat"), &tokens.refresh_token).await);
    let second = claims(&renewed.id_token.unwrap());
    assert_eq!((second.get("nonce"), &second["acr"]), (None, &json!("gold")), "the nonce is the first one's alone");

    let signed_out = world.sign_out(signing_out(Some(&id_token))).await;
    assert_eq!(
        signed_out,
        SignedOut::To("https://portal.example.org/sign-out?return_to=https%3A%2F%2Fchat.example.org%2Fbye".into())
    );
    assert_eq!(world.last_event(), (EventKind::SessionRevoked, Some("sign_out")));
    assert_eq!(world.writes(), 4);
    assert_eq!(refusal(world.renew(authenticated("chat"), &renewed.refresh_token).await), Refusal::InvalidGrant);
    assert!(matches!(world.userinfo(&renewed.access_token).await, UserinfoAnswer::InvalidToken));
    assert_eq!(world.writes(), 4);
}

#[tokio::test]
async fn userinfo_wants_openid() {
    let world = World::new();
    let begin = world.begin(&[("scope", "email")]).await;
    let tokens = ok(world.exchange(exchanging(&world.code_of(&begin).await)).await);
    assert!(tokens.id_token.is_none(), "plain OAuth");
    assert!(matches!(world.userinfo(&tokens.access_token).await, UserinfoAnswer::InsufficientScope));
    assert!(matches!(world.userinfo(&tokens.refresh_token).await, UserinfoAnswer::InvalidToken));
}

fn just_before(moment: Timestamp) -> Timestamp {
    Timestamp::from_unix_millis(moment.unix_millis() - 1)
}
