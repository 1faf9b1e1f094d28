//! The portal's part: who may answer a ticket, how long, how often, and with what.

use latchkey_token::{
    audit::EventKind,
    failure::Refusal,
    registrations::Epochs,
    session::{Authentication, Standing},
    sign_in::{AcceptRequest, RejectRequest, Rejection},
};
use latchkey_token_testkit::fixture::NOW;
use serde_json::json;

use super::{
    CALLBACK, ISSUER, SECRET, World, accepting, address, authenticated, credentials, exchanging, is_unavailable,
    just_before, ok, parameter, refusal, store::Fault,
};

fn rejecting(ticket: &str) -> RejectRequest {
    RejectRequest {
        issuer: credentials("portal", SECRET),
        ticket: ticket.into(),
        rejection: Rejection::LoginRequired,
        description: Some("nobody is there".into()),
    }
}

#[tokio::test]
async fn only_the_issuer_that_a_ticket_was_sent_to_may_do_anything_with_it() {
    let world = World::new();
    let ticket = world.begin(&[]).await.ticket;
    let altered = format!("{}A", &ticket[..ticket.len() - 1]);
    let altered = if altered == ticket { format!("{}B", &ticket[..ticket.len() - 1]) } else { altered };
    for (issuer, ticket, expected) in [
        (vec![], &ticket, Refusal::InvalidClient),
        (credentials("portal", "wrong"), &ticket, Refusal::InvalidClient),
        (credentials("office", SECRET), &ticket, Refusal::UnauthorizedClient),
        (credentials("portal", SECRET), &altered, Refusal::InvalidRequest(String::new())),
        (credentials("portal", SECRET), &String::new(), Refusal::InvalidRequest(String::new())),
    ] {
        let kind = std::mem::discriminant(&expected);
        let accept = world.accept(AcceptRequest { issuer: issuer.clone(), ..accepting(ticket, "alice") }).await;
        assert_eq!(std::mem::discriminant(&refusal(accept)), kind, "{expected:?}");
        let request = RejectRequest { issuer: issuer.clone(), ..rejecting(ticket) };
        let reject = world.world.reject(&world.trail).run(request).await;
        assert_eq!(std::mem::discriminant(&refusal(reject)), kind, "{expected:?}");
        let inspect = world.world.inspect(&world.trail).run(&issuer, ticket).await;
        assert_eq!(std::mem::discriminant(&refusal(inspect)), kind, "{expected:?}");
    }
    assert_eq!(world.world.store.requests(), 0);
}

#[tokio::test]
async fn an_answer_is_no_ticket_and_a_ticket_no_answer() {
    let world = World::new();
    let begin = world.begin(&[]).await;
    let answer = world.answer(&begin.ticket).await;
    let writes = world.writes();
    for text in [answer.clone(), answer.replacen("lka1_", "lkt1_", 1)] {
        assert!(matches!(refusal(world.accept(accepting(&text, "alice")).await), Refusal::InvalidRequest(_)));
    }
    for text in [begin.ticket.clone(), begin.ticket.replacen("lkt1_", "lka1_", 1)] {
        assert_eq!(world.finish(&text, Some(&begin.cookie)).await, super::Direction::Page);
    }
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn a_ticket_is_good_for_ten_minutes() {
    for (moment, is_good) in [(just_before(NOW.plus(600)), true), (NOW.plus(600), false)] {
        let world = World::new();
        let ticket = world.begin(&[]).await.ticket;
        world.world.clock.set(moment);
        assert_eq!(world.accept(accepting(&ticket, "alice")).await.is_ok(), is_good);
        assert_eq!(world.writes(), usize::from(is_good));
        let expected = if is_good { EventKind::SignInAccepted } else { EventKind::SignInRejected };
        assert_eq!(world.last_event().0, expected);
    }
}

#[tokio::test]
async fn invariant_30_a_second_accept_makes_another_code_and_each_dies_unused_after_a_minute() {
    let world = World::new();
    let begin = world.begin(&[]).await;
    // The portal does not hear of the first one.
    world.world.store.next(Fault::AnswerLost);
    assert!(is_unavailable(&world.accept(accepting(&begin.ticket, "alice")).await));
    let (first, second) = (world.code_of(&begin).await, world.code_of(&begin).await);
    assert_ne!(first, second);
    assert_eq!((world.sessions("chat").await.len(), world.writes()), (3, 3));
    ok(world.exchange(exchanging(&second)).await);
    world.wait(60);
    let writes = world.writes();
    assert_eq!(refusal(world.exchange(exchanging(&first)).await), Refusal::InvalidGrant);
    assert_eq!(world.last_event().0, EventKind::TokenExpired);
    assert_eq!(world.writes(), writes, "and the session of the other one goes on");
    let now = NOW.plus(60);
    let standing = |session: &latchkey_token::session::Session| session.standing(&Epochs::NONE, now);
    let standings: Vec<_> = world.sessions("chat").await.iter().filter_map(standing).collect();
    assert_eq!(standings, [Standing::Live], "an unused code is never idle");
}

#[tokio::test]
async fn a_rejection_reaches_the_client_and_nothing_is_written() {
    let world = World::new();
    let begin = world.begin(&[]).await;
    let redirect_to = ok(world.world.reject(&world.trail).run(rejecting(&begin.ticket)).await);
    assert_eq!(world.last_event(), (EventKind::SignInRejected, Some("login_required")));
    let answer = parameter(&redirect_to, "answer").unwrap();
    let address = address(world.finish(&answer, Some(&begin.cookie)).await);
    let said = ["error", "error_description", "state", "iss", "code"].map(|name| parameter(&address, name));
    let expected = ["login_required", "nobody is there", "a state & more", ISSUER].map(|text| Some(text.to_owned()));
    assert!(address.starts_with(CALLBACK) && said[..4] == expected && said[4].is_none(), "{address}");
    assert_eq!(world.world.store.requests(), 0);
}

#[tokio::test]
async fn max_age_and_a_prompt_for_a_login_are_kept_or_nobody_is_let_in() {
    let world = World::new();
    for (asked, at, is_good) in [
        (("max_age", "60"), Some(-60), true),
        (("max_age", "60"), Some(-61), false),
        (("max_age", "60"), None, false),
        (("max_age", "0"), Some(0), true),
        (("prompt", "login"), Some(-1), false),
        (("prompt", "login"), Some(0), true),
        (("prompt", "login"), None, false),
        (("prompt", "none"), None, true),
        (("prompt", "none"), Some(61), false),
    ] {
        let ticket = world.begin(&[asked]).await.ticket;
        let writes = world.writes();
        let begun = NOW.unix_seconds();
        let time = at.map(|seconds: i64| latchkey_token::values::Timestamp::from_unix_seconds(begun + seconds));
        let authentication = Authentication { time, ..Authentication::default() };
        let answer = world.accept(AcceptRequest { authentication, ..accepting(&ticket, "alice") }).await;
        assert_eq!(answer.is_ok(), is_good, "{asked:?} {at:?}");
        assert_eq!(world.writes(), writes + usize::from(is_good));
        assert!(is_good || matches!(refusal(answer), Refusal::InvalidRequest(_)));
    }
}

#[tokio::test]
async fn an_accept_narrows_the_scope_and_never_widens_it() {
    let world = World::new();
    for (scope, expected) in [(None, "openid email"), (Some("email profile"), "email"), (Some("openid"), "openid")] {
        let begin = world.begin(&[]).await;
        let request = AcceptRequest { scope: scope.map(str::to_owned), ..accepting(&begin.ticket, "alice") };
        let answer = parameter(&ok(world.accept(request).await).redirect_to, "answer").unwrap();
        let code = parameter(&address(world.finish(&answer, Some(&begin.cookie)).await), "code").unwrap();
        assert_eq!(ok(world.exchange(exchanging(&code)).await).scope.to_string(), expected);
    }
    let ticket = world.begin(&[]).await.ticket;
    let writes = world.writes();
    for nothing_left in ["profile", "admin", "\""] {
        let request = AcceptRequest { scope: Some(nothing_left.into()), ..accepting(&ticket, "alice") };
        assert_eq!(refusal(world.accept(request).await), Refusal::InvalidScope { unregistered: Vec::new() });
    }
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn an_accept_shortens_the_sessions_access_tokens_and_never_lengthens_them() {
    let world = World::new();
    for (expires_in, expected) in [(None, 86_400), (Some(600), 600), (Some(604_800), 86_400)] {
        let begin = world.begin(&[]).await;
        let request = AcceptRequest { expires_in, ..accepting(&begin.ticket, "alice") };
        let answer = parameter(&ok(world.accept(request).await).redirect_to, "answer").unwrap();
        let code = parameter(&address(world.finish(&answer, Some(&begin.cookie)).await), "code").unwrap();
        let tokens = ok(world.exchange(exchanging(&code)).await);
        let renewed = ok(world.renew(authenticated("chat"), &tokens.refresh_token).await);
        assert_eq!((tokens.expires_in, renewed.expires_in), (expected, expected), "{expires_in:?}");
    }
}

#[tokio::test]
async fn nothing_is_accepted_while_an_epoch_lies_ahead_or_after_the_registration_is_gone() {
    let mut world = World::new();
    let ticket = world.begin(&[]).await.ticket;
    world.register(|registrations| registrations["sessions_not_before"] = NOW.plus(300).unix_seconds().into());
    assert!(is_unavailable(&world.accept(accepting(&ticket, "alice")).await));
    world.register(|registrations| registrations["issuers"][0]["disabled"] = true.into());
    assert_eq!(refusal(world.accept(accepting(&ticket, "alice")).await), Refusal::InvalidClient);
    world.register(|registrations| registrations["issuers"][0]["clients"] = json!(["desk"]));
    assert_eq!(refusal(world.accept(accepting(&ticket, "alice")).await), Refusal::UnauthorizedClient);
    world.register(|registrations| registrations["clients"][0]["redirect_uris"] = json!([]));
    assert!(matches!(refusal(world.accept(accepting(&ticket, "alice")).await), Refusal::InvalidRequest(_)));
    assert_eq!(world.world.store.requests(), 0);
    world.register(|_| {});
    assert!(world.accept(accepting(&ticket, "alice")).await.is_ok());
}

#[tokio::test]
async fn an_insert_that_is_seen_twice_is_one_accept() {
    let world = World::new();
    let begin = world.begin(&[]).await;
    world.world.store.next(Fault::SeenTwice);
    let code = world.code_of(&begin).await;
    let tokens = ok(world.exchange(exchanging(&code)).await);
    ok(world.renew(authenticated("chat"), &tokens.refresh_token).await);
    assert_eq!(world.sessions("chat").await.len(), 1);
}
