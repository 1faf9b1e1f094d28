//! Where browsers are sent: to registered addresses, and back only from where they came.

use latchkey_token::{
    audit::EventKind,
    management::{SignOutRequest, SignedOut},
    sign_in::Direction,
};
use latchkey_token_testkit::fixture::NOW;
use serde_json::json;

use super::{
    BYE, CALLBACK, ISSUER, SIGN_IN_URL, SIGN_OUT_URL, World, address, asking, exchanging, just_before, ok, parameter,
    signing_out,
};

#[tokio::test]
async fn invariant_27_an_answer_opens_only_in_the_browser_that_began() {
    let world = World::new();
    let (own, others) = (world.begin(&[]).await, world.begin(&[]).await);
    assert_ne!(own.cookie, others.cookie);
    let answer = world.answer(&own.ticket).await;
    for cookie in [None, Some(others.cookie.as_str()), Some("no cookie")] {
        assert_eq!(world.finish(&answer, cookie).await, Direction::Page);
        assert_eq!(world.last_event(), (EventKind::SignInRejected, Some("browser_mismatch")));
    }
    let first = address(world.finish(&answer, Some(&own.cookie)).await);
    assert_eq!(first, address(world.finish(&answer, Some(&own.cookie)).await), "the same code, good once");
}

#[tokio::test]
async fn a_browser_keeps_its_cookie_so_that_its_tabs_share_it() {
    let world = World::new();
    let first = world.begin(&[]).await;
    let second = world.authorize(asking(&[]), Some(&first.cookie)).await;
    assert!(second.new_browser.is_none());
    let ticket = parameter(&address(second.direction), "ticket").unwrap();
    for ticket in [&ticket, &first.ticket] {
        let answer = world.answer(ticket).await;
        address(world.finish(&answer, Some(&first.cookie)).await);
    }
    let planted = world.authorize(asking(&[]), Some("planted by a sibling domain")).await;
    assert!(planted.new_browser.is_some(), "what is no cookie of ours is replaced");
}

#[tokio::test]
async fn an_answer_is_good_for_a_minute_and_only_while_its_address_is_registered() {
    let mut world = World::new();
    let begin = world.begin(&[]).await;
    let answer = world.answer(&begin.ticket).await;
    let writes = world.writes();
    for (change, reason) in [
        (("redirect_uris", json!(["https://chat.example.org/other"])), "redirect_uri_not_registered"),
        (("client_id", json!("chat2")), "client_unknown"),
    ] {
        world.register(|registrations| {
            if change.0 == "client_id" {
                registrations["issuers"] = json!([]);
            }
            registrations["clients"][0][change.0] = change.1;
        });
        assert_eq!(world.finish(&answer, Some(&begin.cookie)).await, Direction::Page);
        assert_eq!(world.last_event(), (EventKind::SignInRejected, Some(reason)));
    }
    world.register(|_| {});
    world.world.clock.set(just_before(NOW.plus(60)));
    address(world.finish(&answer, Some(&begin.cookie)).await);
    world.world.clock.set(NOW.plus(60));
    assert_eq!(world.finish(&answer, Some(&begin.cookie)).await, Direction::Page);
    assert_eq!(world.last_event(), (EventKind::SignInRejected, Some("answer_expired")));
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn invariant_29_until_client_and_address_are_known_the_browser_goes_nowhere() {
    let world = World::new();
    let not_registered = [
        "",
        "https://chat.example.org/callback/",
        "https://chat.example.org/Callback",
        "https://CHAT.example.org/callback",
        "https://chat.example.org:443/callback",
        "https://chat.example.org/callback?x=1",
        "https://chat.example.org/callback#x",
        "https://chat.example.org/%63allback",
        "https://chat.example.org/a/../callback",
        "https://user@chat.example.org/callback",
        "http://chat.example.org/callback",
        "https://plain.example.org/cb?x=1",
        "http://127.0.0.1:8080/callback",
        "https://evil.example/",
        "javascript:alert(1)",
    ];
    let refused = not_registered.map(|uri| vec![("redirect_uri", uri)]).into_iter().chain([
        vec![("client_id", "nobody")],
        vec![("client_id", "")],
        vec![("client_id", "chat"), ("client_id", "chat")],
        vec![("redirect_uri", CALLBACK), ("redirect_uri", CALLBACK)],
    ]);
    for more in refused {
        assert_eq!(world.authorize(asking(&more), None).await.direction, Direction::Page, "{more:?}");
        assert_eq!(world.last_event().0, EventKind::SignInRejected);
    }
    // Loopback addresses: any port (RFC 8252 §7.3).
    let desk = [("client_id", "desk"), ("redirect_uri", "http://127.0.0.1:49152/callback"), ("scope", "profile")];
    assert!(address(world.authorize(asking(&desk), None).await.direction).starts_with(SIGN_IN_URL));
    assert_eq!(world.world.store.requests(), 0);
}

#[tokio::test]
async fn invariants_28_and_29_a_known_client_is_told_what_is_wrong_and_nothing_is_written() {
    let mut world = World::new();
    let errors: [(&[(&str, &str)], &str); 16] = [
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_type", "id_token")], "unsupported_response_type"),
        (&[("response_type", "")], "invalid_request"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("request", "eyJ")], "request_not_supported"),
        (&[("request_uri", "https://evil.example/")], "request_uri_not_supported"),
        (&[("registration", "{}")], "registration_not_supported"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("nonce", "a"), ("nonce", "a")], "invalid_request"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("max_age", "-1")], "invalid_request"),
        (&[("scope", "agents offline_access")], "invalid_scope"),
        (&[("scope", "\"")], "invalid_scope"),
    ];
    for (more, error) in errors {
        let begun = world.authorize(asking(more), None).await;
        let address = address(begun.direction);
        assert!(address.starts_with(&format!("{CALLBACK}?error={error}&")), "{more:?}: {address}");
        assert_eq!(parameter(&address, "state").as_deref(), Some("a state & more"));
        assert_eq!((parameter(&address, "iss").as_deref(), parameter(&address, "code")), (Some(ISSUER), None));
        assert!(begun.new_browser.is_none() && !address.contains("evil"), "{address}");
        assert_eq!(world.last_event().0, EventKind::SignInRejected);
    }
    let long = "s".repeat(1_025);
    let address_of =
        async |world: &World, more: &[(&str, &str)]| address(world.authorize(asking(more), None).await.direction);
    let told = address_of(&world, &[("state", &long)]).await;
    assert!(told.contains("error=invalid_request") && parameter(&told, "state").is_none());
    world.register(|registrations| registrations["issuers"][0]["disabled"] = true.into());
    assert!(address_of(&world, &[]).await.contains("error=unauthorized_client"), "no portal is left");
    assert_eq!(world.world.store.requests(), 0);
}

#[tokio::test]
async fn what_the_portal_is_shown_is_in_the_address_and_scopes_beyond_the_registration_are_dropped() {
    let world = World::new();
    let more = [("scope", "openid agents email"), ("prompt", "login"), ("ui_locales", "de"), ("audience", "x")];
    let address = address(world.authorize(asking(&more), None).await.direction);
    assert!(address.starts_with(&format!("{SIGN_IN_URL}?ticket=lkt1_")));
    let said = ["client_id", "prompt", "ui_locales", "audience", "state"].map(|name| parameter(&address, name));
    assert_eq!(said, [Some("chat".into()), Some("login".into()), Some("de".into()), None, None]);
    let ticket = parameter(&address, "ticket").unwrap();
    let inspected =
        ok(world.world.inspect(&world.trail).run(&super::credentials("portal", super::SECRET), &ticket).await);
    assert_eq!(inspected.ticket.scope.to_string(), "openid email");
    assert_eq!(world.last_event(), (EventKind::SignInStarted, None));
}

#[tokio::test]
async fn invariants_28_and_29_a_sign_out_ends_the_hints_session_alone_and_goes_to_registered_addresses_alone() {
    let world = World::new();
    let tokens = ok(world.exchange(exchanging(&world.code().await)).await);
    let id_token = tokens.id_token.unwrap();
    let writes = world.writes();
    let (head, tail) = id_token.split_at(id_token.len() - 40);
    let forged = format!("{head}{}{}", if tail.starts_with('A') { 'B' } else { 'A' }, &tail[1..]);
    let own = || signing_out(Some(&id_token));
    for refused in [
        signing_out(Some(&forged)),
        signing_out(Some(&tokens.access_token)),
        signing_out(Some("no token")),
        SignOutRequest { client_id: Some("desk".into()), ..own() },
        SignOutRequest { client_id: Some("nobody".into()), ..signing_out(None) },
        signing_out(None),
    ] {
        assert_eq!(world.sign_out(refused).await, SignedOut::Refused);
        assert_eq!((world.last_event().0, world.writes()), (EventKind::AccessDenied, writes));
    }
    let by_link = SignOutRequest { client_id: Some("chat".into()), ..signing_out(None) };
    assert!(matches!(world.sign_out(by_link).await, SignedOut::To(_)));
    assert_eq!(world.writes(), writes, "a link signs nobody out");

    let elsewhere = SignOutRequest { post_logout_redirect_uri: Some("https://evil.example/".into()), ..own() };
    assert_eq!(world.sign_out(elsewhere).await, SignedOut::To(SIGN_OUT_URL.into()), "counts as left out");
    assert_eq!((world.last_event().0, world.writes()), (EventKind::SessionRevoked, writes + 1));
    let unfit = SignOutRequest { state: Some("s".repeat(1_025)), ..own() };
    let SignedOut::To(address) = world.sign_out(unfit).await else { panic!("an address") };
    assert_eq!(parameter(&address, "return_to").as_deref(), Some(BYE), "a state that does not fit counts as left out");
    let again = SignOutRequest { state: Some("s t".into()), ..own() };
    let SignedOut::To(address) = world.sign_out(again).await else { panic!("an address") };
    assert_eq!(parameter(&address, "return_to"), Some(format!("{BYE}?state=s+t")));
    assert_eq!((world.last_event().0, world.writes()), (EventKind::AccessDenied, writes + 1), "it was over");
}
