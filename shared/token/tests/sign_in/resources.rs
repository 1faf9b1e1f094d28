//! Resources (RFC 8707): which of its client's audiences an access token is for.

use latchkey_token::{
    audit::EventKind,
    failure::Refusal,
    grants::{CodeRequest, RenewRequest, TokenSet},
    json::Value,
};
use serde_json::json;

use super::{World, accepting, address, asking, authenticated, claims, exchanging, ok, parameter, refusal};

const TOOLS: &str = "https://tools.example.org/mcp";
const API: &str = "https://api.example.org";

/// `chat` has two audiences beside itself.
fn world() -> World {
    let mut world = World::new();
    world.register(|registrations| registrations["clients"][0]["audience"] = json!(["chat", TOOLS, API]));
    world
}

fn audience(tokens: &TokenSet) -> Value {
    claims(&tokens.access_token)["aud"].clone()
}

fn resources(list: &[&str]) -> Vec<String> {
    list.iter().map(|one| (*one).to_owned()).collect()
}

fn naming(code: &str, list: &[&str]) -> CodeRequest {
    CodeRequest { resource: resources(list), ..exchanging(code) }
}

impl World {
    async fn code_for(&self, list: &[&str]) -> String {
        let asked: Vec<(&str, &str)> = list.iter().map(|one| ("resource", *one)).collect();
        self.code_of(&self.begin(&asked).await).await
    }

    async fn renew_for(&self, tokens: &TokenSet, list: &[&str]) -> Result<TokenSet, latchkey_token::failure::Failure> {
        let request = RenewRequest {
            client: authenticated("chat"),
            refresh_token: tokens.refresh_token.clone(),
            access_token: None,
            scope: None,
            resource: resources(list),
        };
        self.world.renew(&self.trail).run(request).await
    }
}

#[tokio::test]
async fn what_is_asked_for_at_authorize_narrows_the_first_access_token_alone_and_the_session_keeps_all() {
    let world = world();
    let all = json!(["chat", TOOLS, API]);
    for (asked, expected) in [
        (&[][..], all.clone()),
        (&[TOOLS], json!(TOOLS)),
        (&[API, TOOLS, API], json!([TOOLS, API])),
        (&[API, "chat", TOOLS], all.clone()),
        (&["", API, ""], json!(API)),
    ] {
        let code = world.code_for(asked).await;
        let writes = world.writes();
        let first = ok(world.exchange(exchanging(&code)).await);
        assert_eq!((audience(&first), world.writes()), (expected, writes + 1), "{asked:?}");
        assert_eq!(claims(first.id_token.as_ref().unwrap())["aud"], "chat", "an ID token is for the client");
        let second = ok(world.renew_for(&first, &[]).await);
        assert_eq!(audience(&second), all);
    }
    for session in world.sessions("chat").await {
        assert_eq!(session.audience, ["chat", TOOLS, API]);
        assert!(session.sign_in.unwrap().resource.is_empty(), "gone with the renewal after the exchange");
    }
}

#[tokio::test]
async fn the_exchange_and_each_renewal_narrow_their_own_access_token() {
    let world = world();
    let tokens = ok(world.exchange(naming(&world.code_for(&[TOOLS]).await, &[API])).await);
    assert_eq!(audience(&tokens), API, "the request's own come before the sign-in's");
    let tokens = ok(world.exchange(naming(&world.code_for(&[]).await, &[API, TOOLS])).await);
    assert_eq!(audience(&tokens), json!([TOOLS, API]));
    let narrowed = ok(world.renew_for(&tokens, &["chat"]).await);
    assert_eq!(audience(&narrowed), "chat");
    assert_eq!(narrowed.scope, tokens.scope, "the scope stays as it is");
    assert_eq!(audience(&ok(world.renew_for(&narrowed, &[]).await)), json!(["chat", TOOLS, API]));
}

#[tokio::test]
async fn a_retry_repeats_its_token_for_the_same_resources_and_makes_another_one_for_others() {
    let world = world();
    let tokens = ok(world.exchange(exchanging(&world.code_for(&[]).await)).await);
    world.wait(10);
    let first = ok(world.renew_for(&tokens, &[API]).await);
    world.wait(59);
    let writes = world.writes();
    let again = ok(world.renew_for(&tokens, &[API, API]).await);
    assert_eq!(claims(&again.access_token), claims(&first.access_token));
    for other in [&[][..], &[TOOLS], &[API, TOOLS]] {
        let retried = ok(world.renew_for(&tokens, other).await);
        assert_eq!(retried.refresh_token, first.refresh_token);
        let [mut ours, mut firsts] = [claims(&retried.access_token), claims(&first.access_token)];
        for name in ["aud", "jti"] {
            assert_ne!(ours.remove(name), firsts.remove(name), "{name}");
        }
        assert_eq!(ours, firsts);
    }
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn a_resource_that_is_not_registered_is_refused_and_nothing_is_written_or_used_up() {
    let mut world = world();
    let refused = (EventKind::RenewalRejected, Some("resource_not_allowed"));
    for asked in [&["https://tools.example.org"][..], &[TOOLS, "https://evil.example"]] {
        let code = world.code_for(&[]).await;
        let more: Vec<(&str, &str)> = asked.iter().map(|one| ("resource", *one)).collect();
        let begun = world.authorize(asking(&more), None).await;
        assert!(begun.new_browser.is_none());
        let back = address(begun.direction);
        assert_eq!(parameter(&back, "error").as_deref(), Some("invalid_target"));
        assert_eq!(world.last_event(), (EventKind::SignInRejected, Some("resource_not_allowed")));
        let writes = world.writes();
        assert_eq!(refusal(world.exchange(naming(&code, asked)).await), Refusal::InvalidTarget);
        assert_eq!((world.last_event(), world.writes()), (refused, writes));
        let tokens = ok(world.exchange(exchanging(&code)).await);
        let writes = world.writes();
        assert_eq!(refusal(world.renew_for(&tokens, asked).await), Refusal::InvalidTarget);
        assert_eq!((world.last_event(), world.writes()), (refused, writes));
        ok(world.renew_for(&tokens, &[TOOLS]).await);
    }
    // It is judged before the tokens are: whoever has none learns the same.
    let no_token = CodeRequest { code: "lkc1_".into(), ..naming("", &["https://evil.example"]) };
    assert_eq!(refusal(world.exchange(no_token).await), Refusal::InvalidTarget);
    let begin = world.begin(&[("resource", TOOLS)]).await;
    world.register(|_| ());
    let writes = world.writes();
    assert_eq!(refusal(world.accept(accepting(&begin.ticket, "alice")).await), Refusal::InvalidTarget);
    assert_eq!(world.last_event(), (EventKind::SignInRejected, Some("resource_not_allowed")));
    assert_eq!(world.writes(), writes, "not registered any more");
}

#[tokio::test]
async fn a_resource_that_is_newer_than_the_session_is_in_the_token_and_nobody_elses_is() {
    let mut world = world();
    let (first, second) = (world.code_for(&[TOOLS]).await, world.code_for(&[TOOLS, API]).await);
    let new = "https://new.example.org";
    world.register(|registrations| registrations["clients"][0]["audience"] = json!(["chat", API, new]));
    let tokens = ok(world.exchange(exchanging(&first)).await);
    assert_eq!(audience(&tokens), json!(["chat", API]), "taken out after the portal had accepted");
    assert_eq!(audience(&ok(world.exchange(exchanging(&second)).await)), API);
    let tokens = ok(world.renew_for(&tokens, &[new]).await);
    assert_eq!(
        audience(&tokens),
        new,
        "the session is older than this audience: it is live nowhere, and no one else's"
    );
    assert_eq!(audience(&ok(world.renew_for(&tokens, &[new, "chat"]).await)), "chat");
}
