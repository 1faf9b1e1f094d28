//! Codes: good once, for their client, redirect URI and verifier, for a minute; a second use ends the session.

use latchkey_token::{
    audit::EventKind,
    failure::Refusal,
    grants::{ClientIdentification, CodeRequest},
    ports::{DocumentSource, RevokeSession},
    tokens::{AuthorizationCode, RefreshToken, UnverifiedRefreshToken},
    values::ClientId,
};
use latchkey_token_testkit::fixture::{NOW, revocation};

use super::{
    CALLBACK, SECRET, World, authenticated, credentials, exchanging, is_unavailable, just_before, named, ok, refusal,
    store::Fault, verifier,
};

/// With one character of the secret changed.
fn altered(code: &str) -> String {
    let (at, other) = (70, if code.as_bytes()[70] == b'A' { "B" } else { "A" });
    format!("{}{other}{}", &code[..at], &code[at + 1..])
}

fn spoilt(code: &str) -> Vec<(&'static str, CodeRequest, Refusal)> {
    let own = || exchanging(code);
    let verifier = |letter: &str| Some(letter.repeat(43));
    let grant = Refusal::InvalidGrant;
    let client = Refusal::InvalidClient;
    vec![
        ("another verifier", CodeRequest { code_verifier: verifier("w"), ..own() }, grant.clone()),
        ("no verifier", CodeRequest { code_verifier: None, ..own() }, grant.clone()),
        ("a short verifier", CodeRequest { code_verifier: Some("v".into()), ..own() }, grant.clone()),
        ("another redirect_uri", CodeRequest { redirect_uri: format!("{CALLBACK}/"), ..own() }, grant.clone()),
        ("no redirect_uri", CodeRequest { redirect_uri: String::new(), ..own() }, grant.clone()),
        ("another client", CodeRequest { client: named("desk"), ..own() }, grant.clone()),
        ("another client with a secret", CodeRequest { client: authenticated("plain"), ..own() }, grant.clone()),
        ("a client without its secret", CodeRequest { client: named("chat"), ..own() }, client.clone()),
        (
            "a client with a wrong secret",
            CodeRequest { client: ClientIdentification::Authenticated(credentials("chat", "wrong")), ..own() },
            client,
        ),
        ("another secret", CodeRequest { code: altered(code), ..own() }, grant.clone()),
        ("no code at all", CodeRequest { code: "lkc1_".into(), ..own() }, grant.clone()),
        ("as a refresh token", CodeRequest { code: code.replacen("lkc1_", "lk1_", 1), ..own() }, grant),
    ]
}

#[tokio::test]
async fn invariants_25_and_28_a_code_that_does_not_fit_writes_nothing_used_or_not() {
    let world = World::new();
    let code = world.code().await;
    let unused = world.session().await;
    let writes = world.writes();
    for (what, request, expected) in spoilt(&code) {
        assert_eq!(refusal(world.exchange(request).await), expected, "{what}");
        assert_eq!((world.writes(), world.session().await), (writes, unused.clone()), "{what}");
        assert!(!matches!(world.last_event().0, EventKind::StateMismatch | EventKind::ReuseDetected), "{what}");
    }
    let tokens = ok(world.exchange(exchanging(&code)).await);
    let used = world.session().await;
    for (what, request, expected) in spoilt(&code) {
        assert_eq!(refusal(world.exchange(request).await), expected, "{what}, used");
        assert_eq!((world.writes(), world.session().await), (writes + 1, used.clone()), "{what}, used");
    }
    ok(world.renew(authenticated("chat"), &tokens.refresh_token).await);
}

#[tokio::test]
async fn invariant_24_codes_and_refresh_tokens_are_not_taken_for_each_other() {
    let world = World::new();
    let code = world.code().await;
    let writes = world.writes();
    for text in [code.clone(), code.replacen("lkc1_", "lk1_", 1)] {
        assert_eq!(refusal(world.renew(authenticated("chat"), &text).await), Refusal::InvalidGrant);
    }
    assert_eq!(world.writes(), writes);
    let tokens = ok(world.exchange(exchanging(&code)).await);
    let writes = world.writes();
    for text in [tokens.refresh_token.clone(), tokens.refresh_token.replacen("lk1_", "lkc1_", 1)] {
        assert_eq!(refusal(world.exchange(exchanging(&text)).await), Refusal::InvalidGrant);
    }
    assert_eq!(world.writes(), writes);
    ok(world.renew(authenticated("chat"), &tokens.refresh_token).await);
}

#[tokio::test]
async fn invariant_24_a_refresh_token_is_no_code_even_for_who_can_make_its_tag() {
    let world = World::new();
    let tokens = ok(world.exchange(exchanging(&world.code().await)).await);
    let documents = world.world.documents.current(NOW).await.unwrap();
    let client = ClientId::parse("chat").unwrap();
    let now = NOW.unix_seconds();
    let refresh_token = UnverifiedRefreshToken::parse(&tokens.refresh_token).ok().unwrap();
    let refresh_token = refresh_token.verify(&documents.keys, &client, now).unwrap().unwrap();
    let RefreshToken { session, generation, .. } = refresh_token;
    let code = AuthorizationCode::new(session, generation, refresh_token.secret().clone());
    let code = code.expose(documents.keys.tagger(now).unwrap(), &client);
    let writes = world.writes();
    assert_eq!(refusal(world.exchange(exchanging(&code)).await), Refusal::InvalidGrant);
    assert_eq!((world.last_event(), world.writes()), ((EventKind::RenewalRejected, Some("code_tag")), writes));
    ok(world.renew(authenticated("chat"), &tokens.refresh_token).await);
}

#[tokio::test]
async fn a_code_without_a_challenge_takes_no_verifier_and_one_with_it_takes_it_from_everybody() {
    let world = World::new();
    let plain = ("client_id", "plain");
    let uri = "https://plain.example.org/cb?x=1";
    let exchange = |code: String, code_verifier| CodeRequest {
        client: authenticated("plain"),
        code,
        redirect_uri: uri.into(),
        code_verifier,
        resource: Vec::new(),
    };
    let without =
        [plain, ("redirect_uri", uri), ("scope", "openid"), ("code_challenge", ""), ("code_challenge_method", "")];
    let code = world.code_of(&world.begin(&without).await).await;
    let writes = world.writes();
    assert_eq!(refusal(world.exchange(exchange(code.clone(), Some(verifier()))).await), Refusal::InvalidGrant);
    assert_eq!(world.writes(), writes);
    ok(world.exchange(exchange(code, None)).await);
    let code = world.code_of(&world.begin(&without[..3]).await).await;
    assert_eq!(refusal(world.exchange(exchange(code.clone(), None)).await), Refusal::InvalidGrant);
    ok(world.exchange(exchange(code, Some(verifier()))).await);
}

#[tokio::test]
async fn invariant_26_a_second_use_ends_the_session_however_far_it_has_gone_on() {
    for renewals in 0..4 {
        let world = World::new();
        let code = world.code().await;
        let mut refresh_token = ok(world.exchange(exchanging(&code)).await).refresh_token;
        for _ in 0..renewals {
            world.wait(3_600);
            refresh_token = ok(world.renew(authenticated("chat"), &refresh_token).await).refresh_token;
        }
        let writes = world.writes();
        assert_eq!(refusal(world.exchange(exchanging(&code)).await), Refusal::InvalidGrant);
        assert_eq!((world.last_event().0, world.writes()), (EventKind::ReuseDetected, writes + 1));
        assert!(world.session().await.revocation.is_some());
        assert_eq!(refusal(world.renew(authenticated("chat"), &refresh_token).await), Refusal::InvalidGrant);
        assert_eq!(refusal(world.exchange(exchanging(&code)).await), Refusal::InvalidGrant, "and a third");
        assert_eq!(world.writes(), writes + 1);
    }
}

#[tokio::test]
async fn a_request_that_never_reached_the_table_leaves_the_code_good() {
    let world = World::new();
    let code = world.code().await;
    let unused = world.session().await;
    world.world.store.next(Fault::Lost);
    assert!(is_unavailable(&world.exchange(exchanging(&code)).await));
    assert_eq!(world.session().await, unused);
    ok(world.exchange(exchanging(&code)).await);
}

#[tokio::test]
async fn an_exchange_whose_answer_was_lost_ends_the_session_when_it_is_made_again() {
    let world = World::new();
    let code = world.code().await;
    world.world.store.next(Fault::AnswerLost);
    assert!(is_unavailable(&world.exchange(exchanging(&code)).await));
    assert!(world.session().await.revocation.is_none(), "trouble itself ends nothing");
    assert_eq!(refusal(world.exchange(exchanging(&code)).await), Refusal::InvalidGrant);
    assert!(world.session().await.revocation.is_some());
}

#[tokio::test]
async fn an_exchange_knows_its_own_write_again_and_has_nonce_and_resource_for_it() {
    let mut world = World::new();
    world.register(|registrations| registrations["clients"][0]["audience"] = serde_json::json!(["chat", "tools"]));
    let code = world.code_of(&world.begin(&[("resource", "tools")]).await).await;
    world.world.store.next(Fault::SeenTwice);
    let tokens = ok(world.exchange(exchanging(&code)).await);
    assert_eq!(super::claims(tokens.id_token.as_ref().unwrap())["nonce"], "a nonce");
    assert_eq!(super::claims(&tokens.access_token)["aud"], "tools");
    assert_eq!(world.last_event(), (EventKind::TokenIssued, None));
    assert!(world.session().await.revocation.is_none());
    ok(world.renew(authenticated("chat"), &tokens.refresh_token).await);
}

#[tokio::test]
async fn a_code_is_good_for_a_minute_and_not_a_millisecond_longer() {
    for (moment, is_good) in [(just_before(NOW.plus(60)), true), (NOW.plus(60), false)] {
        let world = World::new();
        let code = world.code().await;
        let writes = world.writes();
        world.world.clock.set(moment);
        let answer = world.exchange(exchanging(&code)).await;
        assert_eq!((answer.is_ok(), world.writes()), (is_good, writes + usize::from(is_good)));
        let expected = if is_good { EventKind::TokenIssued } else { EventKind::TokenExpired };
        assert_eq!(world.last_event().0, expected);
    }
}

#[tokio::test]
async fn a_code_of_an_ended_session_or_from_before_an_epoch_gives_nothing() {
    let mut world = World::new();
    let (ended, older) = (world.code().await, world.begin(&[]).await);
    let key = world.session().await.key;
    assert!(world.world.store.revoke(&key, &revocation(1)).await.unwrap().is_done());
    let older = world.code_of(&older).await;
    let epoch = NOW.plus(30).unix_seconds();
    world.register(|registrations| registrations["issuers"][0]["sessions_not_before"] = epoch.into());
    let writes = world.writes();
    world.wait(31);
    for (code, reason) in [(ended, "session_revoked"), (older, "session_before_epoch")] {
        assert_eq!(refusal(world.exchange(exchanging(&code)).await), Refusal::InvalidGrant);
        assert_eq!(world.last_event(), (EventKind::RenewalRejected, Some(reason)));
    }
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn whoever_is_not_named_or_known_is_told_so_before_the_code_is_looked_at() {
    let world = World::new();
    let code = world.code().await;
    let requests = world.world.store.requests();
    let unnamed = CodeRequest { client: ClientIdentification::FromAccessToken, ..exchanging(&code) };
    assert!(matches!(refusal(world.exchange(unnamed).await), Refusal::InvalidRequest(_)));
    let nobody = ClientIdentification::Authenticated(credentials("nobody", SECRET));
    let unknown = CodeRequest { client: nobody, ..exchanging(&code) };
    assert_eq!(refusal(world.exchange(unknown).await), Refusal::InvalidClient);
    assert_eq!(world.world.store.requests(), requests);
}
