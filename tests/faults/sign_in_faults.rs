//! Secrets Manager fails while browsers begin and finish sign-ins: each sees a page that says so, and nothing is lost.

use std::sync::Arc;

use authorize::SignIns;
use latchkey_token::{
    keys::KeyRing,
    ports::{Clock, DerivedDocument, SignInDocumentSource},
    rotation::Derived,
};
use latchkey_token_aws::{CachedSignInDocuments, SecretText};
use latchkey_token_lambda::{response::Cors, system::SystemRandomness};
use latchkey_token_testkit::SettableClock;
use serde_json::{Value, json};
use test_support::{
    ISSUER, START, keys,
    sign_in::{CALLBACK, SIGN_IN_URL, query_of},
};

use crate::{
    functions::{Answer, Begun, Functions, answered, authority_at_hand, begin, come_back, sdk_at, store},
    proxy::{Fault, Proxy, Site},
    report::{self, Outcome},
    secret_faults::{CLIENTS, Secrets, site},
    store_faults::Duration,
};

const TICKET_KEYS: &str = "latchkey/ticket-keys";
const CLIENT: &str = "librechat-oauth";

/// `authorize` as Lambda composes it, with secrets behind a proxy; the portal's function has what it needs.
struct Lab {
    sign_ins: SignIns<CachedSignInDocuments>,
    clock: Arc<SettableClock>,
    proxy: Proxy,
    secrets: Secrets,
    portal: Functions,
    name: String,
}

impl Lab {
    async fn start(name: String) -> Self {
        let secrets = Secrets::start().await;
        secrets.put(TICKET_KEYS, ticket_keys());
        let proxy = Proxy::start(&secrets.address).await;
        let sdk = sdk_at(&proxy.url, format!("sign-in-{name}")).await;
        let secret = |id: &str| SecretText::at(id, &sdk);
        let clock = Arc::new(SettableClock::at(START));
        let sign_ins = SignIns {
            clients_register: false,
            cors: Cors::default(),
            documents: CachedSignInDocuments::new(secret(TICKET_KEYS), secret(CLIENTS), 300),
            issuer: ISSUER.into(),
            clock: clock.clone(),
            randomness: Arc::new(SystemRandomness),
        };
        let store = sdk_at(&format!("http://{}", store().await.address), format!("sign-in-store-{name}")).await;
        let portal = Functions::new(&store, authority_at_hand());
        Self { sign_ins, clock, proxy, secrets, portal, name }
    }

    async fn begins(&self) -> Answer {
        Answer::of(authorize::handle(&self.sign_ins, begin(CLIENT)).await)
    }

    /// A sign-in that has been begun; while nothing fails, though the machine may be busy.
    async fn begun(&self) -> Begun {
        for _ in 0..15 {
            let response = authorize::handle(&self.sign_ins, begin(CLIENT)).await;
            if response.status() == 302 {
                return Begun::of(&response);
            }
        }
        panic!("{}: no sign-in begins", self.name);
    }

    /// What the portal says to a ticket, on its way back to the browser.
    async fn accepted(&self, begun: &Begun) -> String {
        let answer = answered(async || self.portal.accept(&begun.ticket, &self.name).await).await;
        answer.json()["redirect_to"].as_str().unwrap().to_owned()
    }

    async fn comes_back(&self, redirect_to: &str, begun: &Begun) -> Answer {
        Answer::of(authorize::handle(&self.sign_ins, come_back(redirect_to, &begun.cookie)).await)
    }

    fn advance(&self, seconds: u32) {
        self.clock.advance(seconds);
        self.portal.clock.advance(seconds);
    }

    /// A whole sign-in, from here on.
    async fn signs_in(&self) {
        let begun = self.begun().await;
        let back = self.accepted(&begun).await;
        let answer = answered(async || self.comes_back(&back, &begun).await).await;
        assert!(is_code(&answer), "{}: {answer:?}", self.name);
        let code = query_of(&answer.text)["code"].clone();
        let answer = answered(async || self.portal.exchange(&code).await).await;
        assert!(answer.tokens().is_some(), "{}: {answer:?}", self.name);
    }
}

fn ticket_keys() -> String {
    let ring = keys::ring();
    Derived::of(&KeyRing::parse(&ring).unwrap(), &ring).unwrap().text(DerivedDocument::TicketKeys)
}

fn is_ticket(answer: &Answer) -> bool {
    answer.status == 302 && answer.text.starts_with(&format!("{SIGN_IN_URL}?ticket=lkt1_"))
}

fn is_code(answer: &Answer) -> bool {
    answer.status == 302 && answer.text.starts_with(&format!("{CALLBACK}?code=lkc1_"))
}

/// Served as ever, or the page that says that it cannot be now; never the page of a request that is at fault. Where the
/// registrations are there, the client is known, and told instead.
fn judged(answer: &Answer, is_ordinary: bool, what: &str) -> Outcome {
    if answer.status == 302 && answer.text.starts_with(&format!("{CALLBACK}?error=temporarily_unavailable&")) {
        return report::answered(Outcome::Unavailable);
    }
    let outcome = report::answered(answer.outcome(is_ordinary));
    assert!(outcome == Outcome::Served || answer.is_page_of_a_browser(), "{what}: {answer:?}");
    outcome
}

/// Nothing is cached yet.
pub async fn cold(number: usize, secret: &'static str, fault: Fault, duration: Duration) {
    let lab = Lab::start(format!("cold-{number}")).await;
    let what = format!("{fault:?} at {secret}, {duration:?}");
    lab.proxy.fail(site(secret), fault, if duration == Duration::Once { 1 } else { u64::MAX });
    let answer = lab.begins().await;
    let outcome = judged(&answer, is_ticket(&answer), &what);
    // An answer that somebody brings to a cold function is not lost either.
    let elsewhere = Lab::start(format!("cold-{number}-elsewhere")).await;
    let begun = elsewhere.begun().await;
    let back = elsewhere.accepted(&begun).await;
    if duration == Duration::ForGood && outcome == Outcome::Unavailable {
        let answer = lab.comes_back(&back, &begun).await;
        assert_eq!(judged(&answer, false, &what), Outcome::Unavailable);
    }
    lab.proxy.heal();
    report::injected(fault, lab.proxy.injected());
    assert!(lab.proxy.injected() > 0, "{what}: no fault was injected");
    let answer = answered(async || lab.comes_back(&back, &begun).await).await;
    assert!(is_code(&answer), "{what}, afterwards: {answer:?}");
    lab.signs_in().await;
}

/// Both are cached: served for a day, and not a second longer.
pub async fn warm(number: usize, fault: Fault) {
    let lab = Lab::start(format!("warm-{number}")).await;
    lab.begun().await;
    // Both documents were loaded at this moment, also where it took several tries.
    assert!(lab.sign_ins.documents.sign_in_documents(lab.clock.now()).await.is_ok());
    lab.proxy.fail(Site { operation: "GetSecretValue", marker: "" }, fault, u64::MAX);
    let what = format!("{fault:?}");
    for seconds in [300, 5, 5, 40_000, 46_089] {
        lab.advance(seconds);
        let response = authorize::handle(&lab.sign_ins, begin(CLIENT)).await;
        assert_eq!(response.status(), 302, "{what}, {seconds} s");
        let begun = Begun::of(&response);
        let back = lab.accepted(&begun).await;
        let answer = lab.comes_back(&back, &begun).await;
        assert_eq!(judged(&answer, is_code(&answer), &what), Outcome::Served, "{what}, {seconds} s");
    }
    // 86,400 s after the load.
    lab.advance(1);
    let answer = lab.begins().await;
    assert_eq!(judged(&answer, false, &what), Outcome::Unavailable);
    report::injected(fault, lab.proxy.injected());
    lab.proxy.heal();
    lab.signs_in().await;
}

/// A document that nobody can use, cold and warm. `is_served`: a good one that is cached stays in force.
pub async fn useless(number: usize, secret: &'static str, text: Value, is_served: bool) {
    let lab = Lab::start(format!("useless-{number}")).await;
    let what = format!("{secret}: {text:.40}");
    lab.secrets.put(secret, text.clone());
    let answer = lab.begins().await;
    assert_eq!(judged(&answer, false, &what), Outcome::Unavailable, "cold");
    let restore = || {
        lab.secrets.put(TICKET_KEYS, ticket_keys());
        lab.secrets.put(CLIENTS, keys::registrations());
        lab.advance(300);
    };
    restore();
    lab.signs_in().await;
    lab.advance(290);
    let begun = lab.begun().await;
    let back = lab.accepted(&begun).await;
    lab.secrets.put(secret, text);
    // The answer is a few seconds old when the cache has had its time.
    lab.advance(10);
    let answer = lab.comes_back(&back, &begun).await;
    let expected = if is_served { Outcome::Served } else { Outcome::Unavailable };
    assert_eq!(judged(&answer, is_code(&answer), &what), expected, "warm");
    let answer = lab.begins().await;
    assert_eq!(judged(&answer, is_ticket(&answer), &what), expected, "warm");
    report::injected(Fault::ResponseGarbled, 3);
    restore();
    lab.signs_in().await;
}

pub fn useless_texts() -> Vec<(&'static str, Value, bool)> {
    let faulty = |change: fn(&mut Value)| keys::registrations_with(CLIENT, change);
    let mut derived: Value = serde_json::from_str(&ticket_keys()).unwrap();
    derived["keys"][0]["ticket_key"] = "short".into();
    vec![
        (TICKET_KEYS, "garbage".into(), true),
        (TICKET_KEYS, "".into(), true),
        (TICKET_KEYS, "[]".into(), true),
        (TICKET_KEYS, "{}".into(), true),
        (TICKET_KEYS, json!([1, 2, 3]), true),
        (TICKET_KEYS, Value::Null, true),
        (CLIENTS, "garbage".into(), true),
        // A document, and the key or the client is not in it, or not whole.
        (TICKET_KEYS, r#"{"keys":[]}"#.into(), false),
        (TICKET_KEYS, derived.to_string().into(), false),
        (CLIENTS, faulty(|client| client["alg"] = "nothing".into()).into(), false),
        (CLIENTS, faulty(|client| client["redirect_uris"] = json!(["http://chat.example.org/"])).into(), false),
    ]
}
