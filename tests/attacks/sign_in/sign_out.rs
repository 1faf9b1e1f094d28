//! Sign-out: who is sent where by a link, and whose session a link ends.

use lambda_http::http::Method;
use latchkey_token_lambda::response::Page;
use serde_json::{Value, json};
use test_support::{
    FORM, ISSUER, form, keys,
    sign_in::{SIGN_IN_URL, SIGN_OUT_URL, SIGNED_OUT},
};

use super::CLIENT;
use crate::{
    bench::{Attempt, Bench, Expected, get, post, request},
    ledger::Row,
    trap,
};

fn refused() -> Expected {
    Expected::page(Page::SignOutStops)
}

/// In the address, and as a form.
fn sign_out(what: &str, pairs: &[(&str, &str)], expected: &Expected) -> [Attempt; 2] {
    let query = form(pairs);
    let link = get(&format!("/sign-out?{query}"), None);
    let form = post("/sign-out", None, FORM, query);
    [("a link", link), ("a form", form)]
        .map(|(how, request)| Attempt::new(format_args!("{how}: {what}"), request, expected.clone()))
}

/// Addresses that look like the registered one, and some that look like nothing.
fn elsewhere() -> Vec<String> {
    let mut all: Vec<String> = [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://chat.example.org/",
        "https://chat.example.org.evil.example/signed-out",
        "https://chat.example.org@evil.example/signed-out",
        "https://chat.example.org\\@evil.example/signed-out",
        "https://user@chat.example.org/signed-out",
        "http://chat.example.org/signed-out",
        "https://CHAT.example.org/signed-out",
        "https://chat.example.org:443/signed-out",
        "https://chat.example.org/x/../signed-out",
        "https://chat.example.org/%73igned-out",
        "https://chat.example.org/Signed-out",
        "x",
        "*",
        "null",
    ]
    .map(str::to_owned)
    .to_vec();
    for end in
        ["/", "?", "?x=1", "#", "#x", "%00", " ", "\n", "\r\nx: y", "\0", "\u{2028}", ";", ",https://evil.example/"]
    {
        all.push(format!("{SIGNED_OUT}{end}"));
    }
    all.push(format!(" {SIGNED_OUT}"));
    all.push(SIGN_IN_URL.to_owned());
    all.extend(trap::urls());
    all
}

pub async fn addresses(row: Row) {
    let bench = super::start(row).await;
    let client = ("client_id", CLIENT);
    let mut all = Vec::new();
    for uri in elsewhere() {
        // As if there were none.
        let pairs = [client, ("post_logout_redirect_uri", uri.as_str()), ("state", "s")];
        all.extend(sign_out(&format!("to {uri:?}"), &pairs, &Expected::redirect(SIGN_OUT_URL)));
        // What the portal is asked for is the portal's business; what is asked of us in its words is nothing.
        for name in ["return_to", "redirect_uri", "post_logout_redirect_url", "next", "RelayState"] {
            all.extend(sign_out(
                &format!("{name} {uri:?}"),
                &[client, (name, &uri)],
                &Expected::redirect(SIGN_OUT_URL),
            ));
        }
    }
    let twice =
        [client, ("post_logout_redirect_uri", SIGNED_OUT), ("post_logout_redirect_uri", "https://evil.example/")];
    all.extend(sign_out("two addresses", &twice, &refused()));
    let registered = ("post_logout_redirect_uri", SIGNED_OUT);
    let split = [client, registered, ("state", "s\r\nset-cookie: a=b")];
    let without = form(&[("return_to", SIGNED_OUT)]);
    let without = Expected::redirect(format!("{SIGN_OUT_URL}?{without}"));
    all.extend(sign_out("a state that ends a header", &split, &without));
    let own = "s&return_to=https://evil.example/#x";
    let told = form(&[("return_to", &format!("{SIGNED_OUT}?{}", form(&[("state", own)])))]);
    let told = Expected::redirect(format!("{SIGN_OUT_URL}?{told}"));
    all.extend(sign_out("a state with parameters", &[client, registered, ("state", own)], &told));
    bench.refuse(all).await;

    let mut registrations: Value = serde_json::from_str(&keys::registrations()).unwrap();
    registrations["issuers"][0].as_object_mut().unwrap().remove("sign_out_url");
    bench.app.rewrite("clients.json", &registrations.to_string());
    bench.settle();
    let nobody = Expected::page(Page::NobodySignedOut);
    let mut all = Vec::new();
    for uri in elsewhere() {
        let pairs = [client, ("post_logout_redirect_uri", uri.as_str())];
        all.extend(sign_out(&format!("without a portal, to {uri:?}"), &pairs, &nobody));
    }
    let expected = Expected::redirect(format!("{SIGNED_OUT}?state=s"));
    all.extend(sign_out("without a portal", &[client, registered, ("state", "s")], &expected));
    bench.refuse(all).await;
    bench.session_has_survived().await;
}

/// Nothing that somebody without an ID token of the session can put into a link ends it.
pub async fn links(row: Row) {
    let bench = super::start(row).await;
    let to_portal = Expected::redirect(SIGN_OUT_URL);
    let session = bench.tokens.0["session_id"].as_str().unwrap().to_owned();
    let hint = bench.tokens.0["id_token"].as_str().unwrap().to_owned();
    let client = ("client_id", CLIENT);
    let mut all = Vec::new();
    for (name, value) in [
        ("logout_hint", "alice"),
        ("sid", session.as_str()),
        ("session_id", session.as_str()),
        ("subject", "alice"),
        ("token", bench.tokens.refresh()),
        ("access_token", bench.tokens.access()),
        ("ID_TOKEN_HINT", hint.as_str()),
        ("id_token_hint[]", hint.as_str()),
        ("id_token", hint.as_str()),
        ("iss", ISSUER),
        ("ui_locales", "de"),
    ] {
        all.extend(sign_out(name, &[client, (name, value)], &to_portal));
        all.extend(sign_out(&format!("{name} alone"), &[(name, value)], &refused()));
    }
    for token in [bench.tokens.access(), bench.tokens.refresh(), &session, "x", "alice"] {
        all.extend(sign_out("another kind of token", &[("id_token_hint", token)], &refused()));
        all.extend(sign_out("another kind of token", &[client, ("id_token_hint", token)], &refused()));
    }
    for other in ["spa-oauth", "librechat", "nobody", "LIBRECHAT-OAUTH", "librechat-oauth ", "portal"] {
        let pairs = [("id_token_hint", hint.as_str()), ("client_id", other)];
        all.extend(sign_out(&format!("the hint, for {other:?}"), &pairs, &refused()));
    }
    all.extend(sign_out("the hint twice", &[("id_token_hint", &hint), ("id_token_hint", &hint)], &refused()));
    all.extend(sign_out("two clients", &[("id_token_hint", &hint), client, ("client_id", "spa-oauth")], &refused()));
    // Not in any other place.
    let bearer = format!("Bearer {hint}");
    let path = format!("/sign-out?client_id={CLIENT}");
    all.push(Attempt::new("as a bearer", get(&path, Some(&bearer)), to_portal.clone()));
    let cookie = format!("id_token_hint={hint}");
    let request = request(Method::GET, &path, &[("cookie", &cookie)], vec![]);
    all.push(Attempt::new("as a cookie", request, to_portal.clone()));
    let body = json!({"id_token_hint": hint}).to_string();
    all.push(Attempt::new("as JSON", post("/sign-out", None, test_support::JSON, body), refused()));
    let both = post(&format!("/sign-out?id_token_hint={hint}"), None, FORM, form(&[client]));
    all.push(Attempt::new("in the address of a form", both, refused()));
    bench.refuse(all).await;
    bench.session_has_survived().await;
}

/// One of our own keys has signed it, and it is still nobody's hint.
pub async fn identity(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let sid = forge.claims["sid"].as_str().unwrap().to_owned();
    let other = bench.app.issue_for("spa").await.id_claims()["sid"].clone();
    let bob = bench.app.issue_form(&[("client_id", "librechat"), ("subject", "bob")]).await.tokens();
    bench.settle();
    let mut changes: Vec<Value> = vec![
        json!({"iss": "https://other.example"}),
        json!({"iss": format!("{ISSUER}/")}),
        json!({"iss": ISSUER.to_uppercase()}),
        json!({"iss": [ISSUER]}),
        json!({"aud": "spa"}),
        json!({"aud": "nobody"}),
        json!({"aud": "LIBRECHAT"}),
        json!({"aud": ["librechat"]}),
        json!({"aud": ["librechat", "spa"]}),
        json!({"aud": ISSUER}),
        json!({"sub": "bob"}),
        json!({"sub": "Alice"}),
        json!({"sub": "alice "}),
        json!({"sub": "alice\0"}),
        json!({"aud": "libre", "sub": "chat\0alice"}),
        json!({"sid": other}),
        json!({"sid": bob.0["session_id"]}),
        json!({"sid": sid[1..]}),
        json!({"sid": format!("{sid}A")}),
        json!({"sid": format!("{}+", &sid[..42])}),
        json!({"sid": "A".repeat(43)}),
        json!({"iat": "1"}),
        json!({"iat": -1}),
        json!({"iat": 1.5}),
        json!({"exp": "never"}),
        json!({"exp": u64::MAX}),
    ];
    for name in ["iss", "sub", "aud", "sid", "iat", "exp"] {
        changes.extend(
            [json!(null), json!(true), json!(""), json!([]), json!({}), json!(1e300)].map(|value| json!({name: value})),
        );
    }
    let mut tokens: Vec<(String, String)> =
        changes.into_iter().map(|change| (change.to_string(), forge.with_claims(change))).collect();
    for name in ["iss", "sub", "aud", "sid", "iat", "exp"] {
        tokens.push((format!("{name} missing"), forge.without_claim(name)));
    }
    bench.refuse_tokens(tokens).await;
    // Whose session it is not, it does not end: the hint of one user ends that user's session alone.
    let answer =
        bench.app.send(get(&format!("/sign-out?id_token_hint={}", bob.0["id_token"].as_str().unwrap()), None)).await;
    assert_eq!(answer.location(), SIGN_OUT_URL);
    bench.app.renew(&bob).await.invalid_grant();
    bench.session_has_survived().await;
}
