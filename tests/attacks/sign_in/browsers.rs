//! Answers and the browsers that bring them: each is good in one of them, for a minute.

use lambda_http::http::{Method, Request};
use test_support::{
    App, form,
    sign_in::{CALLBACK, SIGN_IN_URL, authorization},
};

use super::{ALPHABET, CLIENT, COOKIE, altered, answer_of, come_back, start, stopped};
use crate::{
    bench::{Attempt, Bench, bytes_of, refresh_token_of, request},
    ledger::Row,
};

/// An answer, and the cookie of the browser that may bring it.
async fn accepted(app: &App) -> (String, String) {
    let browser = app.browser();
    let back = browser.accepted(CLIENT, &[]).await;
    (answer_of(&back), browser.cookie_text())
}

async fn is_good(bench: &Bench, answer: &str, cookie: &str) {
    let answer = bench.app.send(come_back(answer, Some(cookie))).await;
    assert!(answer.carried_to(CALLBACK)["code"].starts_with("lkc1_"), "{answer:?}");
    bench.row.controlled();
    bench.settle();
}

/// A thief begins a sign-in, has it accepted, and sends the victim through its end: into the thief's own session. And the
/// other way round: a ticket that was begun by the thief and accepted for the victim is worth nothing to the thief's victim.
pub async fn login_csrf(row: Row) {
    let bench = start(row).await;
    let (answer, own) = accepted(&bench.app).await;
    let victim = bench.app.browser();
    victim.begin(CLIENT, &[]).await.carried_to(SIGN_IN_URL);
    let others = victim.cookie_text();
    bench.settle();
    is_good(&bench, &answer, &own).await;
    let value = own.split_once('=').unwrap().1;
    let mut cookies: Vec<Option<String>> = vec![None, Some(others.clone())];
    cookies.extend(
        [
            String::new(),
            value.to_owned(),
            COOKIE.to_owned(),
            format!("{COOKIE}="),
            format!("{COOKIE}={}", &value[1..]),
            format!("{COOKIE}={value}A"),
            format!("{COOKIE}={value}="),
            format!("{COOKIE}=\"{value}\""),
            format!("{COOKIE}={}", "A".repeat(43)),
            format!("{COOKIE}={}", value.to_lowercase()),
            format!("{COOKIE} x={value}"),
            format!("latchkey-sign-in={value}"),
            format!("__Secure-latchkey-sign-in={value}"),
            format!("__host-latchkey-sign-in={value}"),
            format!("__Host-latchkey-sign-in-2={value}"),
            format!("x{COOKIE}={value}"),
            format!("$Version=1, {COOKIE}={value}"),
            format!("x=\"; {COOKIE}x={value}\""),
            // The victim's own stands first.
            format!("{others}; {own}"),
            format!("a=b; {others}; c=d"),
        ]
        .map(Some),
    );
    for at in 0..value.len() {
        let letter = ALPHABET.iter().position(|own| *own == value.as_bytes()[at]).unwrap();
        let new = char::from(ALPHABET[(letter + 16) % 64]);
        cookies.push(Some(format!("{COOKIE}={}{new}{}", &value[..at], &value[at + 1..])));
    }
    let attempts = cookies.iter().map(|cookie| {
        let what = format!("cookie {}", cookie.as_ref().map_or(0, String::len));
        Attempt::new(what, come_back(&answer, cookie.as_deref()), stopped())
    });
    let mut attempts: Vec<Attempt> = attempts.collect();
    // The cookie where no cookie is: in a header, in the address, in a form.
    for name in ["authorization", "x-cookie", "cookie2", "set-cookie", "x-forwarded-cookie"] {
        let path = format!("/authorize/return?{}", form(&[("answer", &answer)]));
        attempts.push(Attempt::new(name, request(Method::GET, &path, &[(name, &own)], vec![]), stopped()));
    }
    let path = format!("/authorize/return?{}&{}", form(&[("answer", &answer)]), form(&[(COOKIE, value)]));
    attempts.push(Attempt::new("in the address", request(Method::GET, &path, &[], vec![]), stopped()));
    bench.refuse(attempts).await;
    is_good(&bench, &answer, &own).await;
    bench.session_has_survived().await;
}

/// A sibling domain can set cookies, but none that is called `__Host-…`; what else may stand there is replaced, and the
/// ticket binds what replaced it.
pub async fn planted_cookies(row: Row) {
    let bench = start(row).await;
    let good = "B".repeat(42) + "A";
    for planted in [
        format!("{COOKIE}=x"),
        format!("{COOKIE}="),
        format!("{COOKIE}=planted-by-a-sibling-domain"),
        format!("{COOKIE}={good}A"),
        format!("{COOKIE}={}B", "B".repeat(42)),
        format!("{COOKIE}={good}="),
        format!("{COOKIE}=\"{good}\""),
        format!("latchkey-sign-in={good}"),
        format!("__Secure-latchkey-sign-in={good}"),
        format!("__host-latchkey-sign-in={good}"),
        format!("{COOKIE}-2={good}"),
        format!("{COOKIE}x={good}; x={good}"),
    ] {
        let begin = Request::get(format!("/authorize?{}", authorization(CLIENT, &[]))).header("cookie", &planted);
        let begun = bench.app.send(begin.body(vec![]).unwrap()).await;
        let ticket = begun.carried_to(SIGN_IN_URL)["ticket"].clone();
        let set = begun.headers.get("set-cookie").map_or("", |set| set.to_str().unwrap()).to_owned();
        let is_own =
            set.starts_with(&format!("{COOKIE}=")) && set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax");
        bench.judge_by(&format!("not replaced: {planted}"), is_own && !set.contains(&good));
        let accepted = bench.app.portal("accept", &[("ticket", &ticket), ("subject", "alice")]).await;
        let answer = answer_of(accepted.json()["redirect_to"].as_str().unwrap());
        bench.settle();
        let planted_again = Attempt::new(format_args!("with {planted}"), come_back(&answer, Some(&planted)), stopped());
        bench.refuse(vec![planted_again]).await;
        is_good(&bench, &answer, set.split(';').next().unwrap()).await;
    }
    bench.session_has_survived().await;
}

pub async fn altered_answers(row: Row) {
    let bench = start(row).await;
    let (answer, own) = accepted(&bench.app).await;
    bench.settle();
    is_good(&bench, &answer, &own).await;
    // The form of a refresh token's text, but for the prefix.
    let bytes = bytes_of(&answer[1..]);
    let mut attempts = Vec::new();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[index] ^= 1 << bit;
            let text = refresh_token_of(&changed).replacen("lk1_", "lka1_", 1);
            let what = format!("byte {index}, bit {bit}");
            attempts.push(Attempt::new(what, come_back(&text, Some(&own)), stopped()));
        }
    }
    for (what, text) in altered(&answer) {
        attempts.push(Attempt::new(what, come_back(&text, Some(&own)), stopped()));
    }
    bench.refuse(attempts).await;
    is_good(&bench, &answer, &own).await;
    bench.session_has_survived().await;
}

pub async fn old_answers(row: Row) {
    let bench = start(row).await;
    let (answer, own) = accepted(&bench.app).await;
    // The same again in the same browser: the same code, which is good once.
    let first = bench.app.send(come_back(&answer, Some(&own))).await.location();
    for _ in 0..16 {
        let again = bench.app.send(come_back(&answer, Some(&own))).await.location();
        bench.judge_by("an answer makes a second code", again == first);
    }
    bench.settle();
    let elsewhere = App::with(&[("LATCHKEY_ISSUER", "https://other.example")]).await;
    let (foreign, foreign_cookie) = accepted(&elsewhere).await;
    let browser = bench.app.browser();
    let ticket = browser.ticket(CLIENT, &[]).await;
    let code = browser.code(CLIENT).await;
    let cookie = browser.cookie_text();
    bench.settle();
    let body = |text: &str| text.split_once("1_").unwrap().1.to_owned();
    let mut attempts = Vec::new();
    for (what, text, cookie) in [
        ("of another deployment", foreign.clone(), &foreign_cookie),
        ("of another deployment, our cookie", foreign, &own),
        ("a ticket", ticket.clone(), &cookie),
        ("a ticket called an answer", format!("lka1_{}", body(&ticket)), &cookie),
        ("a code", code.clone(), &cookie),
        ("a code called an answer", format!("lka1_{}", body(&code)), &cookie),
        ("a refresh token", bench.tokens.refresh().to_owned(), &cookie),
        ("an access token", bench.tokens.access().to_owned(), &cookie),
        ("nothing", String::new(), &own),
        ("a prefix", "lka1_".into(), &own),
        ("a URL", "https://evil.example/".into(), &own),
        ("13 KiB", format!("lka1_{}", "A".repeat(13_000)), &own),
        ("60 kB", format!("lka1_{}", "A".repeat(50_000)), &own),
    ] {
        attempts.push(Attempt::new(what, come_back(&text, Some(cookie)), stopped()));
    }
    for query in [
        format!("answer={answer}&answer={answer}"),
        format!("answer=x&answer={answer}"),
        format!("ANSWER={answer}"),
        format!("answer[]={answer}"),
        format!("code={answer}"),
        format!("x={answer}"),
        format!("answer={answer}&x=%zz"),
    ] {
        let request = request(Method::GET, &format!("/authorize/return?{query}"), &[("cookie", &own)], vec![]);
        attempts.push(Attempt::new(query.split('=').next().unwrap(), request, stopped()));
    }
    bench.refuse(attempts).await;
    is_good(&bench, &answer, &own).await;
    for seconds in [60, 1, 600, 86_400] {
        bench.app.clock.advance(seconds);
        let late = Attempt::new(format_args!("{seconds} s later"), come_back(&answer, Some(&own)), stopped());
        bench.refuse(vec![late]).await;
    }
}
