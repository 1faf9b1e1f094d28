//! DynamoDB fails, in every way and at every request.

use latchkey_token::session::Session;
use test_support::{Tokens, logs, sign_in::SIGN_OUT_URL};

use crate::{
    functions::{Answer, Begun, Functions, answered, authority_at_hand, reached, sdk_at, store},
    proxy::{Fault, Proxy, Site},
    report::{self, Outcome},
};

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duration {
    /// For one request.
    Once,
    /// Until the client has had its answer.
    ForGood,
}

/// A request of a function to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    IssuePut,
    /// Issue by an assertion that may be used once.
    AssertionTransaction,
    RenewalUpdate,
    /// An expired access token: the record is read instead of written, and says "refused".
    RefusalRead,
    /// The same, where the record says that this is the retry of a lost answer.
    RetryRead,
    ReuseUpdate,
    RevocationRead,
    RevocationUpdate,
    IntrospectionRead,
    SessionsQuery,
    SessionsEndAllUpdate,
    SessionsEndOneRead,
    AuthorizerRead,
    AcceptPut,
    ExchangeUpdate,
    UserinfoRead,
    SignOutUpdate,
}

impl Call {
    pub const ALL: [Self; 17] = [
        Self::IssuePut,
        Self::AssertionTransaction,
        Self::RenewalUpdate,
        Self::RefusalRead,
        Self::RetryRead,
        Self::ReuseUpdate,
        Self::RevocationRead,
        Self::RevocationUpdate,
        Self::IntrospectionRead,
        Self::SessionsQuery,
        Self::SessionsEndAllUpdate,
        Self::SessionsEndOneRead,
        Self::AuthorizerRead,
        Self::AcceptPut,
        Self::ExchangeUpdate,
        Self::UserinfoRead,
        Self::SignOutUpdate,
    ];

    fn site(self) -> Site {
        let (operation, marker) = match self {
            Self::IssuePut | Self::AcceptPut => ("PutItem", ""),
            Self::AssertionTransaction => ("TransactWriteItems", ""),
            Self::RenewalUpdate | Self::ExchangeUpdate => ("UpdateItem", "sealed_successor"),
            Self::ReuseUpdate | Self::RevocationUpdate | Self::SessionsEndAllUpdate | Self::SignOutUpdate => {
                ("UpdateItem", "revoked_reason")
            }
            Self::SessionsQuery => ("Query", ""),
            Self::RefusalRead
            | Self::RetryRead
            | Self::RevocationRead
            | Self::IntrospectionRead
            | Self::SessionsEndOneRead
            | Self::AuthorizerRead
            | Self::UserinfoRead => ("GetItem", ""),
        };
        Site { operation, marker }
    }
}

/// What stands when the fault begins.
struct Before {
    functions: Functions,
    subject: String,
    /// Oldest first.
    chain: Vec<Tokens>,
    /// A sign-in that has been begun.
    begun: Begun,
    /// One that has been accepted: its code, which nobody has used.
    code: String,
}

impl Before {
    fn first(&self) -> &Tokens {
        &self.chain[0]
    }

    fn last(&self) -> &Tokens {
        self.chain.last().unwrap()
    }

    async fn record(&self) -> Session {
        store().await.record(self.first()).await
    }

    /// The request whose call to the store fails.
    async fn ask(&self, call: Call) -> Answer {
        let functions = &self.functions;
        match call {
            Call::IssuePut => functions.issue("librechat", &self.subject, &[]).await,
            // A new assertion each time, as after any 503: what was used once may have been used.
            Call::AssertionTransaction => functions.issue_by_assertion(&self.subject).await,
            Call::RenewalUpdate | Call::RefusalRead => functions.renew("librechat", self.last()).await,
            Call::RetryRead | Call::ReuseUpdate => functions.renew("librechat", self.first()).await,
            Call::RevocationRead => functions.revoke(self.last().refresh()).await,
            Call::RevocationUpdate => functions.revoke(self.last().access()).await,
            Call::IntrospectionRead => functions.introspect(self.last().access()).await,
            Call::SessionsQuery => {
                functions.sessions("GET", &format!("/sessions?subject={}&client_id=librechat", self.subject)).await
            }
            Call::SessionsEndAllUpdate => {
                functions.sessions("DELETE", &format!("/sessions?subject={}&client_id=librechat", self.subject)).await
            }
            Call::SessionsEndOneRead => {
                functions
                    .sessions("DELETE", &format!("/sessions/{}", self.last().0["session_id"].as_str().unwrap()))
                    .await
            }
            Call::AuthorizerRead => match functions.authorize(self.last().access()).await {
                Some(is_authorized) => {
                    Answer { status: if is_authorized { 200 } else { 403 }, retry_after: None, text: String::new() }
                }
                None => unavailable(),
            },
            Call::AcceptPut => functions.accept(&self.begun.ticket, &self.subject).await,
            Call::ExchangeUpdate => functions.exchange(&self.code).await,
            Call::UserinfoRead => functions.userinfo(self.last().access()).await,
            Call::SignOutUpdate => functions.sign_out(self.first().0["id_token"].as_str().unwrap()).await,
        }
    }
}

/// An authorizer that fails has no answer of its own; API Gateway's is a 500.
fn unavailable() -> Answer {
    let text = r#"{"error":"temporarily_unavailable","error_description":"the service cannot answer at the moment; nothing was lost, try again"}"#;
    Answer { status: 503, retry_after: Some("2".into()), text: text.into() }
}

async fn prepare(call: Call, functions: Functions, subject: String) -> Before {
    let more: &[(&str, &str)] = if call == Call::RetryRead { &[("expires_in", "600")] } else { &[] };
    let issued = answered(async || functions.issue("librechat", &subject, more).await).await;
    let issued = issued.tokens().unwrap_or_else(|| panic!("{issued:?}"));
    let begun = functions.begin().await;
    let code = match call {
        Call::ExchangeUpdate => {
            let accepted = answered(async || functions.accept(&begun.ticket, &subject).await).await;
            functions.code(&accepted, &begun.cookie).await
        }
        _ => String::new(),
    };
    let mut before = Before { chain: vec![issued], functions, subject, begun, code };
    let renewals = match call {
        Call::ReuseUpdate => 3,
        Call::RetryRead => 1,
        _ => 0,
    };
    for _ in 0..renewals {
        before.functions.clock.advance(1);
        let answer = answered(async || before.functions.renew("librechat", before.last()).await).await;
        before.chain.push(answer.tokens().unwrap_or_else(|| panic!("{answer:?}")));
    }
    match call {
        Call::RetryRead => before.functions.clock.advance(5_000),
        Call::RefusalRead => before.functions.clock.advance(86_400),
        _ => {}
    }
    before
}

/// What the request gets when nothing fails.
fn is_ordinary(call: Call, before: &Before, answer: &Answer) -> bool {
    match call {
        Call::IssuePut | Call::AssertionTransaction | Call::RenewalUpdate | Call::ExchangeUpdate => {
            answer.status == 200
        }
        Call::AcceptPut => answer.status == 200 && answer.json()["redirect_to"].is_string(),
        Call::UserinfoRead => answer.status == 200 && answer.json()["sub"] == before.subject,
        Call::SignOutUpdate => answer.status == 302 && answer.text == SIGN_OUT_URL,
        Call::RetryRead => answer.tokens().is_some_and(|tokens| tokens.refresh() == before.last().refresh()),
        Call::RefusalRead | Call::ReuseUpdate => answer.status == 400 && answer.text == test_support::INVALID_GRANT,
        Call::RevocationRead | Call::RevocationUpdate => answer.status == 200 && answer.text == "{}",
        Call::IntrospectionRead => answer.status == 200 && answer.json()["active"] == true,
        Call::SessionsQuery => {
            answer.status == 200 && answer.json()["sessions"].as_array().is_some_and(|all| all.len() == 1)
        }
        // How many were still going: none, if the SDK's retry met its own write.
        Call::SessionsEndAllUpdate | Call::SessionsEndOneRead => {
            answer.status == 200 && answer.json()["ended"].is_u64()
        }
        Call::AuthorizerRead => answer.status == 200,
    }
}

/// Whether the request, once it succeeds, ends the session.
fn ends_the_session(call: Call) -> bool {
    matches!(
        call,
        Call::ReuseUpdate
            | Call::RevocationRead
            | Call::RevocationUpdate
            | Call::SessionsEndAllUpdate
            | Call::SessionsEndOneRead
            | Call::SignOutUpdate
    )
}

/// One fault at one call: the client has an answer or a 503, and its plain retry succeeds as if nothing had been.
pub async fn case(number: usize, call: Call, fault: Fault, duration: Duration) {
    let what = format!("{fault:?} at {call:?}, {duration:?}");
    let mut tries = 0;
    let (proxy, before, first) = loop {
        tries += 1;
        let proxy = Proxy::start(&store().await.address).await;
        let sdk = sdk_at(&proxy.url, format!("case-{number}")).await;
        let functions = Functions::new(&sdk, authority_at_hand());
        let before = prepare(call, functions, format!("user-{number}-{tries}")).await;
        proxy.seen();
        proxy.fail(call.site(), fault, if duration == Duration::Once { 1 } else { u64::MAX });

        // On a busy machine the requests before the one that is to fail may need another try as well.
        let first = reached(async || before.ask(call).await, || proxy.injected() > 0).await;
        proxy.heal();
        // And the SDK may have parted with the connection that was to be found dead.
        if proxy.injected() > 0 || !fault.is_of_connection() || tries == 5 {
            break (proxy, before, first);
        }
    };
    report::injected(fault, proxy.injected());
    assert!(proxy.injected() > 0, "{what}: no fault was injected, {:?}", proxy.seen());
    let outcome = report::answered(first.outcome(is_ordinary(call, &before, &first)));
    assert_ne!(outcome, Outcome::Wrong, "{what}: {first:?}");
    // That the same request may be sent again is not promised only where it cannot be.
    let is_unrepeatable = call == Call::AssertionTransaction && outcome == Outcome::Unavailable;
    assert!(is_unrepeatable || !first.asks_for_a_new_assertion(), "{what}: {first:?}");
    assert!(first.status != 503 || first.is_page_of_a_browser() == (call == Call::SignOutUpdate), "{what}: {first:?}");
    if call == Call::ExchangeUpdate {
        return after_an_exchange(&before, fault, &first, &what).await;
    }
    let record = before.record().await;
    if !ends_the_session(call) && record.revocation.is_some() {
        report::ended();
        panic!("{what}: a fault has ended the session");
    }
    if call == Call::ReuseUpdate {
        let audit = logs::audit_of(before.first().0["session_id"].as_str().unwrap());
        assert!(audit.iter().any(|line| line["event"] == "reuse_detected"), "{what}: theft is told whatever fails");
    }

    let again = retried(&before, call, &what).await;
    match call {
        Call::RenewalUpdate => {
            let successor = again.tokens().unwrap();
            if let Some(first) = first.tokens() {
                assert_eq!(first.refresh(), successor.refresh(), "{what}: another successor");
            }
            assert_eq!(before.record().await.generation.number(), 1, "{what}: one renewal, one generation");
            let third = retried(&before, call, &what).await.tokens().unwrap();
            assert_eq!(third.refresh(), successor.refresh(), "{what}: another successor");
            renews(&before, &successor, &what).await;
        }
        Call::IssuePut | Call::AssertionTransaction | Call::RetryRead => {
            renews(&before, &again.tokens().unwrap(), &what).await;
        }
        Call::AcceptPut => {
            // Whichever acceptance was answered: its code is good, and one that was lost dies unused.
            let code = before.functions.code(&again, &before.begun.cookie).await;
            let answer = answered(async || before.functions.exchange(&code).await).await;
            let tokens = answer.tokens().unwrap_or_else(|| panic!("{what}: {answer:?}"));
            renews_by(&before, "librechat-oauth", &tokens, &what).await;
        }
        Call::ExchangeUpdate => unreachable!("it has its own end"),
        Call::IntrospectionRead | Call::SessionsQuery | Call::AuthorizerRead | Call::UserinfoRead => {
            renews(&before, before.last(), &what).await;
        }
        Call::RefusalRead => assert!(before.record().await.revocation.is_none(), "{what}"),
        Call::ReuseUpdate
        | Call::RevocationRead
        | Call::RevocationUpdate
        | Call::SessionsEndAllUpdate
        | Call::SessionsEndOneRead
        | Call::SignOutUpdate => {
            assert!(before.record().await.revocation.is_some(), "{what}: the session goes on");
            let answer = before.functions.renew("librechat", before.last()).await;
            assert!(answer.text == test_support::INVALID_GRANT || answer.is_unavailable(), "{what}: {answer:?}");
        }
    }
}

/// The client's plain retry.
async fn retried(before: &Before, call: Call, what: &str) -> Answer {
    let answer = answered(async || before.ask(call).await).await;
    assert!(is_ordinary(call, before, &answer), "{what}, retried: {answer:?}");
    answer
}

/// A code is good once. An answer that came gives tokens that renew, also where the SDK's retry met its own write. A 503 keeps
/// the code, unless the write was done and its answer lost: then the client's repetition is the code's second use, which ends
/// the session, and the user signs in once more.
async fn after_an_exchange(before: &Before, fault: Fault, first: &Answer, what: &str) {
    if let Some(tokens) = first.tokens() {
        return renews_by(before, "librechat-oauth", &tokens, what).await;
    }
    if fault == Fault::RequestDelayed {
        // What was given up may still arrive.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    }
    let session = test_support::session_of_code(&before.code);
    let record = store().await.record_of(&session).await;
    assert!(record.revocation.is_none(), "{what}: a 503 has ended the session");
    let is_committed = record.generation.number() == 1;
    let again = answered(async || before.functions.exchange(&before.code).await).await;
    match is_committed {
        false => {
            let tokens = again.tokens().unwrap_or_else(|| panic!("{what}: the code is lost: {again:?}"));
            renews_by(before, "librechat-oauth", &tokens, what).await;
        }
        true => {
            assert_eq!((again.status, again.text.as_str()), (400, test_support::INVALID_GRANT), "{what}");
            assert!(store().await.record_of(&session).await.revocation.is_some(), "{what}");
        }
    }
}

async fn renews(before: &Before, tokens: &Tokens, what: &str) {
    renews_by(before, "librechat", tokens, what).await;
}

async fn renews_by(before: &Before, client: &str, tokens: &Tokens, what: &str) {
    let answer = answered(async || before.functions.renew(client, tokens).await).await;
    let renewed = answer.tokens().unwrap_or_else(|| panic!("{what}, afterwards: {answer:?}"));
    assert!(store().await.record(&renewed).await.revocation.is_none(), "{what}: ended");
}
