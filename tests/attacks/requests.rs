//! Requests that no honest client sends, at every route that reads a body, a query, or a credential.

use lambda_http::http::{HeaderName, HeaderValue, Method, Request};
use latchkey_token::grants::ClientGrantType;
use serde_json::json;
use test_support::{FORM, JSON, RESERVED_CLAIMS, Tokens, basic, form, secret_of};

use crate::{
    bench::{Attempt, Bench, Expected, get, post, raw, request},
    ledger::{Fault, Row},
    trap,
};

/// A route that reads a body, and an honest request to it.
struct Route {
    path: &'static str,
    authorization: String,
    honest: Vec<(&'static str, String)>,
    /// What is said to be missing when there is nothing.
    needed: &'static str,
}

fn routes(bench: &Bench) -> [Route; 4] {
    let refresh = bench.tokens.refresh().to_owned();
    let route =
        |path, party, honest, needed| Route { path, authorization: basic(party, &secret_of(party)), honest, needed };
    [
        route("/token", "portal", vec![("client_id", "librechat".into()), ("subject", "alice".into())], "subject"),
        route(
            "/token/renew",
            "librechat",
            vec![("refresh_token", refresh.clone()), ("access_token", bench.tokens.access().to_owned())],
            "refresh_token",
        ),
        route("/token/revoke", "librechat", vec![("token", refresh.clone())], "token"),
        route("/token/introspect", "portal", vec![("token", refresh)], "token"),
    ]
}

impl Route {
    fn pairs(&self) -> Vec<(&str, &str)> {
        self.honest.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    fn form(&self) -> String {
        form(&self.pairs())
    }

    fn json(&self) -> String {
        let members: serde_json::Map<_, _> =
            self.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        serde_json::Value::from(members).to_string()
    }

    fn post(&self, content_type: &str, body: impl Into<Vec<u8>>) -> Request<Vec<u8>> {
        post(self.path, Some(&self.authorization), content_type, body)
    }
}

const NOT_A_FORM: &str = "not a form of percent-encoded UTF-8";
const TWICE: &str = "a parameter stands twice";
const NOT_JSON: &str = "the body is not a JSON object, holds a member twice, or is nested deeper than 16";
const SUBJECT: &str = "subject must be 1 to 255 bytes without control, zero-width or bidirectional characters, and without \
                       white space at its ends";
const QUERY: &str = "parameters belong in the body, not in the query string";

pub async fn bodies(row: Row) {
    let bench = Bench::start(row).await;
    let mut attempts = Vec::new();
    for route in routes(&bench) {
        let mut forms: Vec<(String, Vec<u8>, &str)> = Vec::new();
        for (name, value) in route.pairs() {
            let again = form(&[(name, value)]);
            let escaped = format!("%{:02X}{}={value}", name.as_bytes()[0], &name[1..]);
            for more in [again, form(&[(name, "other")]), name.to_owned(), format!("{name}="), escaped] {
                forms.push((format!("{more:.40} again"), format!("{}&{more}", route.form()).into(), TWICE));
                forms.push((format!("{more:.40} before"), format!("{more}&{}", route.form()).into(), TWICE));
            }
        }
        for unknown in ["x=1&x=1", "x=1&x=2", "=1&=2", "x&x", "state=a&%73tate=b", "resources=a&resources=b"] {
            forms.push((unknown.into(), format!("{}&{unknown}", route.form()).into(), TWICE));
        }
        for broken in [
            "x=%",
            "x=%4",
            "x=%zz",
            "x=%u0041",
            "x=%ff",
            "x=%C3",
            "x=%c0%a0",
            "x=%ED%A0%80",
            "%=1",
            "%ff=1",
            "x=%-1",
            "x=% 41",
        ] {
            forms.push((broken.into(), format!("{}&{broken}", route.form()).into(), NOT_A_FORM));
        }
        for raw in [&b"&x=\xff"[..], b"&\xc3\x28=1", b"&x=\xed\xa0\x80", b"&x=\xf8\x88\x80\x80\x80", b"\xfe\xff"] {
            forms.push((format!("{raw:?}"), [route.form().as_bytes(), raw].concat(), NOT_A_FORM));
        }
        for (what, body, description) in forms {
            attempts.push(Attempt::new(
                format_args!("{} form {what}", route.path),
                route.post(FORM, body),
                Expected::invalid_request(description),
            ));
        }
        let missing = format!("{} is missing", route.needed);
        for (what, body) in [
            ("nothing", String::new()),
            ("ampersands", "&&&&".into()),
            ("JSON", route.json()),
            ("semicolons", route.form().replace('&', ";").replace(route.needed, "x")),
            ("capitals", route.form().replace(route.needed, &route.needed.to_uppercase())),
            ("brackets", route.form().replace(&format!("{}=", route.needed), &format!("{}[]=", route.needed))),
            ("an empty value", route.form().replace(&format!("{}=", route.needed), &format!("{}=&x=", route.needed))),
            (
                "a space in the name",
                route.form().replace(&format!("{}=", route.needed), &format!("{}+=", route.needed)),
            ),
            (
                "a NUL in the name",
                route.form().replace(&format!("{}=", route.needed), &format!("{}%00=", route.needed)),
            ),
        ] {
            attempts.push(Attempt::new(
                format_args!("{} form: {what}", route.path),
                route.post(FORM, body),
                Expected::invalid_request(&missing),
            ));
        }

        let honest = route.json();
        let inner = &honest[1..honest.len() - 1];
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let mut documents: Vec<(&str, Vec<u8>)> = vec![
            ("a form", route.form().into()),
            ("nothing", vec![]),
            ("null", b"null".to_vec()),
            ("a list", format!("[{honest}]").into()),
            ("a string", json!(honest).to_string().into()),
            ("two documents", format!("{honest}{honest}").into()),
            ("two lines", format!("{honest}\n{honest}").into()),
            ("more behind", format!("{honest}x").into()),
            ("a NUL behind", format!("{honest}\0").into()),
            ("a BOM", format!("\u{feff}{honest}").into()),
            ("a comma too many", format!("{{{inner},}}").into()),
            ("a comment", format!("{honest}//").into()),
            ("single quotes", honest.replace('"', "'").into()),
            ("unfinished", honest[..honest.len() - 1].into()),
            ("a prefix against hijacking", format!(")]}}',\n{honest}").into()),
            ("JSONP", format!("cb({honest})").into()),
            ("17 deep", format!("{{{inner},\"x\":{}}}", nested(16)).into()),
            ("1000 deep", format!("{{{inner},\"x\":{}}}", nested(1_000)).into()),
            ("8000 deep", nested(8_000).into()),
            ("unclosed lists", "[".repeat(16_000).into()),
            ("unclosed objects", "{\"a\":".repeat(3_000).into()),
            ("1e400", format!("{{{inner},\"x\":1e400}}").into()),
            ("NaN", format!("{{{inner},\"x\":NaN}}").into()),
            ("a lone surrogate", format!("{{{inner},\"x\":\"\\ud800\"}}").into()),
            ("not UTF-8", [b"{", inner.as_bytes(), b",\"x\":\"\xff\"}"].concat()),
            ("overlong UTF-8", [b"{", inner.as_bytes(), b",\"x\":\"\xc0\xa2\"}"].concat()),
            ("UTF-16", honest.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("an unknown member twice", format!("{{{inner},\"x\":1,\"x\":1}}").into()),
            ("a nested member twice", format!("{{{inner},\"x\":{{\"y\":[{{\"z\":1,\"z\":2}}]}}}}").into()),
            ("gzip", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0]),
        ];
        let twice: Vec<(String, Vec<u8>)> = route
            .pairs()
            .into_iter()
            .flat_map(|(name, value)| {
                let escaped = format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
                let same = json!(value).to_string();
                [(name, same.clone()), (name, "\"other\"".into()), (name, "null".into()), (&escaped, same)].map(
                    |(name, value)| (format!("{name} twice"), format!("{{{inner},\"{name}\":{value}}}").into_bytes()),
                )
            })
            .collect();
        documents.extend(twice.iter().map(|(what, body)| (what.as_str(), body.clone())));
        for (what, body) in documents {
            attempts.push(Attempt::new(
                format_args!("{} JSON: {what}", route.path),
                route.post(JSON, body),
                Expected::invalid_request(NOT_JSON),
            ));
        }
        for value in [
            json!(null),
            json!(true),
            json!(0),
            json!(1.5),
            json!([]),
            json!({}),
            json!([route.honest[0].1]),
            json!({"$ne": ""}),
        ] {
            let mut body: serde_json::Value = serde_json::from_str(&honest).unwrap();
            body[route.needed] = value.clone();
            let text = format!("{} must be a string", route.needed);
            attempts.push(Attempt::new(
                format_args!("{} JSON: {} is {value}", route.path, route.needed),
                route.post(JSON, body.to_string()),
                Expected::invalid_request(&text),
            ));
        }

        for (what, content_type, body) in [
            ("one byte too many", FORM, vec![b'x'; 16 * 1024 + 1]),
            ("honest and padded", FORM, format!("{}&x={}", route.form(), "y".repeat(16_384)).into_bytes()),
            ("a hundred kilobytes", JSON, vec![b' '; 100_000]),
            ("nested lists", JSON, "[".repeat(60_000).into_bytes()),
            ("before the type is looked at", "text/plain", vec![0; 17_000]),
            ("many parameters", FORM, (0..4_000).map(|n| format!("a{n}=1&")).collect::<String>().into_bytes()),
        ] {
            attempts.push(Attempt::new(
                format_args!("{}: {what}", route.path),
                route.post(content_type, body),
                Expected::too_large(),
            ));
        }
        for content_type in [
            "text/plain",
            "text/html",
            "application/xml",
            "multipart/form-data; boundary=x",
            "application/octet-stream",
            "application/jsonp",
            "application/json-seq",
            "application/ld+json",
            "application/problem+json",
            "application/jwt",
            "application/cbor",
            "*/*",
            "application/*",
            "application/json; charset=utf-16",
            "application/json; charset=ebcdic",
            "application/json; charset=utf-7",
            "application/x-www-form-urlencoded; charset=iso-8859-1; charset=utf-16",
            "application/json, application/json",
            "application/json,text/plain",
            "application/json text/plain",
            "json",
            "",
            ";",
            "application",
            "application/",
            "/json",
            "application/json;charset=utf-8;charset=utf-16",
            "application/json;foo",
            "application/x-www-form-urlencoded; charset",
        ] {
            let body = if content_type.contains("json") { route.json() } else { route.form() };
            attempts.push(Attempt::new(
                format_args!("{}: {content_type:?}", route.path),
                route.post(content_type, body),
                Expected::wrong_media_type(),
            ));
        }
        let mut none = route.post(FORM, route.form());
        none.headers_mut().remove("content-type");
        attempts.push(Attempt::new(
            format_args!("{}: no content type", route.path),
            none,
            Expected::wrong_media_type(),
        ));
        for (first, second) in [(FORM, JSON), (JSON, FORM), (FORM, FORM)] {
            let mut two = route.post(first, route.form());
            two.headers_mut().append("content-type", HeaderValue::from_static(second));
            attempts.push(Attempt::new(
                format_args!("{}: {first} and {second}", route.path),
                two,
                Expected::wrong_media_type(),
            ));
        }
    }
    bench.genuine_is_let_in().await;
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

pub async fn query_strings(row: Row) {
    let bench = Bench::start(row).await;
    let (refresh, access) = (bench.tokens.refresh(), bench.tokens.access());
    let mut attempts = Vec::new();
    for route in routes(&bench) {
        let own = form(&[("client_id", "librechat"), ("client_secret", &secret_of("librechat"))]);
        let issuers = form(&[("issuer_id", "portal"), ("issuer_secret", &secret_of("portal"))]);
        for query in [
            format!("refresh_token={refresh}"),
            format!("access_token={access}"),
            format!("token={refresh}"),
            own,
            issuers,
            route.form(),
            "a=b".into(),
            "a".into(),
            "=".into(),
            "&".into(),
            "%00".into(),
            "grant_type=password".into(),
            "scope=admin".into(),
            "_method=GET".into(),
        ] {
            let mut request = route.post(FORM, route.form());
            *request.uri_mut() = format!("{}?{query}", route.path).parse().unwrap();
            attempts.push(Attempt::new(
                format_args!("{}?{query:.24}", route.path),
                request,
                Expected::invalid_request(QUERY),
            ));
            // Without the body's half, nothing is made up from the query string.
            let request = post(&format!("{}?{query}", route.path), None, FORM, "");
            attempts.push(Attempt::new(
                format_args!("{}?{query:.24} alone", route.path),
                request,
                Expected::invalid_request(QUERY),
            ));
        }
    }
    for name in ["access_token", "token", "authorization", "bearer", "jwt", "id_token"] {
        let request = get(&format!("/demo/me?{name}={access}"), None);
        attempts.push(Attempt::new(format_args!("/demo/me?{name}"), request, Expected::invalid_token()));
    }
    let portal = bench.basic("portal");
    const KNOWN: &str = "the query string may hold subject and client_id only";
    const KNOWN_OF_LIST: &str = "the query string may hold subject, client_id, limit and next only";
    const LIMIT: &str = "limit must be a whole number from 1 to 1000";
    const NEXT: &str = "next is of no answer to this query";
    for (method, known) in [(Method::GET, KNOWN_OF_LIST), (Method::DELETE, KNOWN)] {
        for (query, expected) in [
            ("subject=alice&subject=bob", Expected::invalid_request(TWICE)),
            ("subject=alice&%73ubject=bob", Expected::invalid_request(TWICE)),
            ("subject=alice&issuer_secret=x", Expected::invalid_request(known)),
            ("subject=alice&access_token=x", Expected::invalid_request(known)),
            ("subject=alice&x", Expected::invalid_request(known)),
            ("SUBJECT=alice", Expected::invalid_request(known)),
            ("subject[]=alice", Expected::invalid_request(known)),
            ("subject=%ff", Expected::invalid_request(NOT_A_FORM)),
            ("subject=%", Expected::invalid_request(NOT_A_FORM)),
            ("", Expected::invalid_request("subject is missing")),
            ("subject=", Expected::invalid_request("subject is missing")),
            ("client_id=librechat", Expected::invalid_request("subject is missing")),
            ("subject=a%00b", Expected::invalid_request(SUBJECT)),
            ("subject=alice+", Expected::invalid_request(SUBJECT)),
            ("subject=alice%E2%80%8B", Expected::invalid_request(SUBJECT)),
            ("subject=%E2%80%AEecila", Expected::invalid_request(SUBJECT)),
            (
                "subject=alice&client_id=other",
                Expected::error(400, "unauthorized_client", "this issuer may not act for that client"),
            ),
            (
                "subject=alice&client_id=nobody",
                Expected::error(400, "unauthorized_client", "this issuer may not act for that client"),
            ),
        ] {
            let request = request(method.clone(), &format!("/sessions?{query}"), &[("authorization", &portal)], vec![]);
            attempts.push(Attempt::new(format_args!("{method} /sessions?{query}"), request, expected));
        }
    }
    let own = bench.tokens.0["session_id"].as_str().unwrap();
    let of_nobody = "A".repeat(43);
    for (query, expected) in [
        ("limit=0", LIMIT),
        ("limit=1001", LIMIT),
        ("limit=-1", LIMIT),
        ("limit=%2B1", LIMIT),
        ("limit=1.0", LIMIT),
        ("limit=99999999999999999999999", LIMIT),
        ("limit=x", LIMIT),
        ("limit=1&limit=1000", TWICE),
        ("next=x", NEXT),
        (&format!("next={of_nobody}"), NEXT),
        (&format!("next={}", &own[..42]), NEXT),
        (&format!("next={own}%3D"), NEXT),
        // Of the subject, at another client.
        (&format!("client_id=spa&next={own}"), NEXT),
    ] {
        let path = format!("/sessions?subject=alice&{query}");
        let request = request(Method::GET, &path, &[("authorization", &portal)], vec![]);
        attempts.push(Attempt::new(format_args!("GET {path}"), request, Expected::invalid_request(expected)));
    }
    for query in ["limit=1".to_owned(), format!("next={own}")] {
        let path = format!("/sessions?subject=alice&{query}");
        let request = request(Method::DELETE, &path, &[("authorization", &portal)], vec![]);
        attempts.push(Attempt::new(format_args!("DELETE {path}"), request, Expected::invalid_request(KNOWN)));
    }
    bench.genuine_is_let_in().await;
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

pub async fn credentials(row: Row) {
    let bench = Bench::start(row).await;
    let (portal, librechat) = (secret_of("portal"), secret_of("librechat"));
    let long = "x".repeat(4_000);
    let wrong = [
        ("librechat", ""),
        ("librechat", "wrong"),
        ("librechat", &librechat[1..]),
        ("librechat", &librechat[..librechat.len() - 1]),
        ("librechat", &librechat.to_uppercase()),
        ("librechat", &format!("{librechat} ")),
        ("librechat", &format!("{librechat}\0")),
        ("librechat", &format!(" {librechat}")),
        ("librechat", &portal),
        ("librechat", "librechat"),
        ("librechat", "null"),
        ("librechat", &long),
        ("LIBRECHAT", &librechat),
        ("librechat ", &librechat),
        ("librechat\0", &librechat),
        ("", &librechat),
        ("", ""),
        ("*", &librechat),
        ("spa", "x"),
        ("spa", &librechat),
        ("other", &librechat),
        ("portal", "wrong"),
        ("portal", &librechat),
        ("portal", &portal[1..]),
        ("second", &portal),
        ("nobody", &portal),
        ("nobody", "x"),
        ("' OR '1'='1", "x"),
        ("librechat:x", &librechat),
        ("admin", "admin"),
        ("l\u{456}brechat", &librechat),
        (&long, "x"),
    ]
    .map(|(id, secret)| (id.to_owned(), secret.to_owned()));
    let mut attempts = Vec::new();
    for route in routes(&bench) {
        for (id, secret) in &wrong {
            // An id with an empty password is a public client's way to say its name; and revocation and introspection of
            // librechat know both parties.
            let request = post(route.path, Some(&basic(id, secret)), FORM, route.form());
            attempts.push(Attempt::new(
                format_args!("{} Basic {id:.24}:{secret:.4}…", route.path),
                request,
                Expected::invalid_client_basic(),
            ));
        }
        // The other kind of party, with its right secret.
        let foreign = match route.path {
            "/token" => Some(bench.basic("librechat")),
            "/token/renew" => Some(bench.basic("portal")),
            _ => None,
        };
        if let Some(foreign) = foreign {
            attempts.push(Attempt::new(
                format_args!("{}: the wrong kind of party", route.path),
                post(route.path, Some(&foreign), FORM, route.form()),
                Expected::invalid_client_basic(),
            ));
        }
        for header in [
            "Basic",
            "Basic ",
            "Basic ???",
            "Basic bm9jb2xvbg==",
            "Basic bGlicmVjaGF0Og",
            "Digest username=\"librechat\"",
            "Negotiate AAAA",
            "Basic\tAAAA",
            "AWS4-HMAC-SHA256 Credential=x",
            "null",
        ] {
            let request = post(route.path, Some(header), FORM, route.form());
            // Where a caller may be anybody, a scheme that nobody speaks is no attempt to authenticate as one.
            attempts.push(Attempt::new(
                format_args!("{} {header:?}", route.path),
                request,
                Expected::invalid_client_basic(),
            ));
        }
        let mut two = route.post(FORM, route.form());
        two.headers_mut().append("authorization", HeaderValue::from_static("Basic AAAA"));
        attempts.push(Attempt::new(
            format_args!("{}: two Authorization headers", route.path),
            two,
            Expected::invalid_request("the Authorization header stands twice"),
        ));
        let mut same = route.post(FORM, route.form());
        let value = same.headers()["authorization"].clone();
        same.headers_mut().append("authorization", value);
        attempts.push(Attempt::new(
            format_args!("{}: the same header twice", route.path),
            same,
            Expected::invalid_request("the Authorization header stands twice"),
        ));
        let joined = format!("{},Basic AAAA", route.authorization);
        attempts.push(Attempt::new(
            format_args!("{}: two credentials in one header", route.path),
            post(route.path, Some(&joined), FORM, route.form()),
            Expected::invalid_client_basic(),
        ));
        // Nobody else's word counts for who the caller is.
        for (name, value) in [
            ("x-forwarded-user", "portal"),
            ("x-remote-user", "librechat"),
            ("x-client-id", "librechat"),
            ("x-client-cert", "CN=librechat"),
            ("x-api-key", "x"),
            ("x-amzn-oidc-identity", "librechat"),
            ("x-original-authorization", "Basic AAAA"),
            ("x-forwarded-authorization", "Basic AAAA"),
            ("proxy-authorization", "Basic AAAA"),
            ("cookie", "client_id=librechat; client_secret=x"),
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1;proto=https"),
            ("x-real-ip", "::1"),
            ("x-original-url", "/token/introspect"),
            ("x-rewrite-url", "/demo/me"),
            ("x-http-method-override", "GET"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-prefix", "/admin"),
            ("dpop", "eyJ"),
            ("expect", "200-ok"),
            ("x-debug", "1"),
            ("transfer-coding", "x"),
        ] {
            let mut request = post(route.path, None, FORM, route.form());
            request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            // A renewal may be named by its access token; librechat is confidential all the same.
            attempts.push(Attempt::new(
                format_args!("{} {name}: {value}", route.path),
                request,
                Expected::invalid_client(),
            ));
        }
    }
    bench.genuine_is_let_in().await;
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

pub async fn routes_and_methods(row: Row) {
    let bench = Bench::start(row).await;
    let access = format!("Bearer {}", bench.tokens.access());
    let not_found = Expected::error(404, "invalid_request", "there is no such route");
    let mut attempts = Vec::new();
    for path in [
        // The playground is only for the demo registrations.
        "/demo/credentials",
        "/demo/events",
        "/demo/playground.js",
        "/token/",
        "//token",
        "/Token",
        "/TOKEN",
        "/token/renew/",
        "/token//renew",
        "/token/../token",
        "/token/./renew",
        "/token/renew/..",
        "/tokens",
        "/token;x=y",
        "/token%2frenew",
        "/token%2Frenew",
        "/%74oken",
        "/token%00",
        "/token/renew%20",
        "/token/introspect/",
        "/api/token",
        "/v1/token",
        "/token.json",
        "/demo",
        "/demo/",
        "/demo/me/",
        "/demo/me/..",
        "/demo/ME",
        "/demo/me%00",
        "/demo//me",
        "/demo/me;a",
        "/demo/%6de",
        "/x/../demo/me",
        "/.well-known",
        "/admin",
        "/health",
        "/metrics",
        "/actuator/env",
        "/.env",
        "/.git/config",
        "/sessions/",
        "/sessions/a/b",
        "/sessions//",
        "/oauth/token",
        "/oauth/authorize",
        "/userinfo/",
        "/Userinfo",
        "/userinfo.json",
        "/authorize/",
        "/authorize//accept",
        "/authorize/accept/",
        "/authorize/Accept",
        "/authorize/x/../accept",
        "/authorize/%61ccept",
        "/authorize/return/",
        "/authorize/callback",
        "/authorize;x=y",
        "/sign-out/",
        "/signout",
        "/logout",
        "/sign-out%00",
        "/register",
        "/latest/meta-data/",
    ] {
        for (method, headers) in [
            (Method::GET, vec![("authorization", access.as_str())]),
            (Method::POST, vec![("authorization", access.as_str()), ("content-type", FORM)]),
        ] {
            let request = request(method.clone(), path, &headers, vec![]);
            attempts.push(Attempt::new(format_args!("{method} {path}"), request, not_found.clone()));
        }
    }
    for (path, allowed) in [
        ("/token", "POST"),
        ("/token/renew", "POST"),
        ("/token/revoke", "POST"),
        ("/token/introspect", "POST"),
        ("/demo/me", "GET"),
        ("/sessions", "GET, DELETE"),
        ("/authorize", "GET, POST"),
        ("/authorize/accept", "POST"),
        ("/authorize/reject", "POST"),
        ("/authorize/inspect", "POST"),
        ("/authorize/return", "GET"),
        ("/userinfo", "GET, POST"),
        ("/sign-out", "GET, POST"),
        ("/.well-known/jwks.json", "GET, HEAD"),
        ("/.well-known/openid-configuration", "GET, HEAD"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "Post", "X"] {
            if allowed.split(", ").any(|own| own == method) {
                continue;
            }
            let request = request(
                method.parse().unwrap(),
                path,
                &[("authorization", access.as_str()), ("x-http-method-override", "POST")],
                vec![],
            );
            let expected = Expected::error(405, "invalid_request", "this route does not take this method")
                .with_header("allow", allowed);
            attempts.push(Attempt::new(format_args!("{method} {path}"), request, expected));
        }
    }
    bench.genuine_is_let_in().await;
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

/// Requests that two servers in a row may read in two ways. No one of them gets a 200 for what it hides.
pub async fn smuggling(row: Row) {
    let bench = Bench::start(row).await;
    let hidden = "POST /token/introspect HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let own = bench.basic("librechat");
    let honest = format!("token={}", bench.tokens.refresh());
    let head = |lines: &str| {
        format!(
            "POST /token/revoke HTTP/1.1\r\nHost: x\r\nAuthorization: {own}\r\nContent-Type: {FORM}\r\n{lines}\r\n\r\n"
        )
    };
    let length = honest.len();
    let chunked = format!("{length:x}\r\n{honest}\r\n0\r\n\r\n");
    let requests = [
        ("two lengths", format!("{}{honest}", head(&format!("Content-Length: {length}\r\nContent-Length: 5")))),
        ("two lengths in one header", format!("{}{honest}", head(&format!("Content-Length: {length}, 5")))),
        ("a signed length", format!("{}{honest}", head(&format!("Content-Length: +{length}")))),
        ("a negative length", format!("{}{honest}", head("Content-Length: -1"))),
        ("a length in hex", format!("{}{honest}", head("Content-Length: 0x10"))),
        ("a huge length", format!("{}{honest}", head("Content-Length: 99999999999999999999"))),
        ("a length that is too long", format!("{}{honest}", head(&format!("Content-Length: {}", length + 100)))),
        ("an unknown coding", format!("{}{chunked}", head("Transfer-Encoding: xchunked"))),
        ("chunked, and then identity", format!("{}{chunked}", head("Transfer-Encoding: chunked, identity"))),
        ("a broken chunk", format!("{}zz\r\n{honest}\r\n0\r\n\r\n", head("Transfer-Encoding: chunked"))),
        ("a chunk of negative size", format!("{}-1\r\n{honest}\r\n0\r\n\r\n", head("Transfer-Encoding: chunked"))),
        (
            "a chunk of huge size",
            format!("{}ffffffffffffffffff\r\n{honest}\r\n0\r\n\r\n", head("Transfer-Encoding: chunked")),
        ),
        ("a chunk that never ends", format!("{}{length:x}\r\n{honest}", head("Transfer-Encoding: chunked"))),
        ("a space before the colon", format!("{}{honest}", head(&format!("Content-Length : {length}")))),
        ("a folded header", format!("{}{honest}", head(&format!("X: a\r\n b\r\nContent-Length: {length}\r\n folded")))),
        ("a NUL in a header", format!("{}{honest}", head(&format!("X: a\0b\r\nContent-Length: {length}")))),
        ("a bare CR in a header", format!("{}{honest}", head(&format!("X: a\rb\r\nContent-Length: {length}")))),
        ("a header without a name", format!("{}{honest}", head(&format!(": x\r\nContent-Length: {length}")))),
        ("a header without a colon", format!("{}{honest}", head(&format!("garbage\r\nContent-Length: {length}")))),
        ("a request within a request without a length", format!("{}{hidden}", head("X: y"))),
        ("an absolute other host", format!("GET http://{}/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n", trap::address())),
        ("a tunnel", format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n", trap::address())),
        ("HTTP/2 in the open", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("HTTP/0.9", "GET /demo/me\r\n".to_owned()),
        ("a version that is none", "GET /demo/me HTTP/9.9\r\n\r\n".to_owned()),
        ("two spaces in the request line", "GET  /demo/me HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("a control character in the path", "GET /demo/\u{1}me HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("a TLS greeting", "\u{16}\u{3}\u{1}\0\u{5}hello".to_owned()),
        (
            "a long User-Agent",
            format!("POST /token HTTP/1.1\r\nHost: x\r\nUser-Agent: {}\r\n\r\n", "x".repeat(1024 * 1024)),
        ),
        ("many headers", format!("GET /demo/me HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: b\r\n".repeat(5_000))),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000))),
    ];
    bench.genuine_is_let_in().await;
    row.plan(requests.len());
    for (what, bytes) in requests {
        let before = bench.app.snapshot();
        let answers = raw(&bench.app, bytes.as_bytes()).await;
        row.attempted();
        if answers.iter().any(|status| status.starts_with('2')) {
            row.fault(Fault::LetIn, format_args!("{what}: {answers:?}"));
        }
        let operations = bench.app.operations();
        if before != bench.app.snapshot() || !operations.is_empty() {
            row.fault(Fault::StateChange, format_args!("{what}: {answers:?}, {operations:?}"));
        }
    }
    bench.session_has_survived().await;
}

/// What an issuer may not have put into a token.
pub async fn issuing(row: Row) {
    let bench = Bench::start(row).await;
    let portal = bench.basic("portal");
    let mut attempts = Vec::new();
    let mut refuse = |what: String, pairs: &[(&str, &str)], expected: Expected| {
        let base = [("client_id", "librechat"), ("subject", "alice")];
        let kept = base.into_iter().filter(|(name, _)| !pairs.iter().any(|(other, _)| other == name));
        let all: Vec<(&str, &str)> = kept.chain(pairs.iter().copied()).collect();
        attempts.push(Attempt::new(what, post("/token", Some(&portal), FORM, form(&all)), expected));
    };
    let unregistered = ["admin", "role", "permissions", "Email", "EMAIL", "email ", "__proto__"];
    for name in RESERVED_CLAIMS.into_iter().chain(unregistered) {
        let claims = json!({name: "x"}).to_string();
        refuse(
            format!("claim {name:?}"),
            &[("claims", &claims)],
            Expected::invalid_request(&format!("claim '{name}' is not allowed for this client")),
        );
    }
    for claims in [
        "5",
        "[]",
        "null",
        "\"x\"",
        "{",
        "{}{}",
        "{\"name\":1e400}",
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":{"a":1,"a":2}}"#,
        "{'name':1}",
    ] {
        refuse(
            format!("claims {claims}"),
            &[("claims", claims)],
            Expected::invalid_request("claims must be a JSON object, no member of it twice"),
        );
    }
    let long = "x".repeat(256);
    for subject in [
        "\0",
        "a\nb",
        "a\u{7f}",
        "a\u{85}b",
        "\u{1b}[31m",
        long.as_str(),
        &"é".repeat(128),
        // What an operator would take for alice.
        " alice",
        "alice ",
        "alice\u{a0}",
        "\u{3000}alice",
        "alice\u{2028}",
        "ali\u{200b}ce",
        "ali\u{200d}ce",
        "ali\u{2060}ce",
        "ali\u{ad}ce",
        "ali\u{180e}ce",
        "\u{feff}alice",
        "\u{202e}ecila",
        "\u{2067}alice\u{2069}",
        "alice\u{200e}",
        "alice\u{61c}",
    ] {
        refuse(format!("subject {subject:.8?}"), &[("subject", subject)], Expected::invalid_request(SUBJECT));
    }
    for nonce in ["a\nb", "\0", long.as_str()] {
        refuse(
            format!("nonce {nonce:.8?}"),
            &[("nonce", nonce)],
            Expected::invalid_request("nonce must be at most 255 bytes without control characters"),
        );
    }
    for seconds in ["0", "-1", "1.5", "1e3", "0x10", "+5", " 5", "5 ", "٥", "NaN", "60s"] {
        refuse(
            format!("expires_in {seconds:?}"),
            &[("expires_in", seconds)],
            Expected::invalid_request("expires_in must be a whole number of seconds, at least 1"),
        );
    }
    for scope in
        ["openid  email", " openid", "openid ", "openid\temail", "openid\0", "\"openid\"", "openid\\email", "é"]
    {
        let text = "the scope is malformed or not allowed for this client";
        refuse(format!("scope {scope:?}"), &[("scope", scope)], Expected::error(400, "invalid_scope", text));
    }
    for (scope, told) in [
        ("admin", "admin"),
        ("openid admin", "admin"),
        ("OPENID", "OPENID"),
        ("openid,email", "openid,email"),
        ("*", "*"),
        ("admin \"root\" é", "admin"),
        (&format!("admin {}", "x".repeat(65)), "admin"),
    ] {
        let text = format!("not among this client's registered scopes: {told}");
        refuse(format!("scope {scope:.24?}"), &[("scope", scope)], Expected::error(400, "invalid_scope", &text));
    }
    for client in ["other", "nobody", "LIBRECHAT", "librechat ", "librechat\0", "portal", "*", "é", &long] {
        refuse(
            format!("client {client:.12?}"),
            &[("client_id", client)],
            Expected::error(400, "unauthorized_client", "this issuer may not act for that client"),
        );
    }
    let unsupported = |supported: &str| {
        let text = format!("grant_type must be left out here or be one of: {supported}");
        Expected::error(400, "unsupported_grant_type", &text)
    };
    for grant in [
        "password",
        "authorization_code",
        "client_credentials",
        "implicit",
        "refresh_token",
        "none",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ] {
        refuse(
            format!("grant_type {grant}"),
            &[("grant_type", grant), ("username", "alice"), ("password", "x"), ("code", "x")],
            unsupported("urn:ietf:params:oauth:grant-type:jwt-bearer"),
        );
    }
    for grant in [
        "password",
        "Authorization_code",
        "authorization_code ",
        "client_credentials",
        "Refresh_token",
        "refresh_token ",
        "refresh_token\0",
        "implicit",
        "urn:ietf:params:oauth:grant-type:Token-exchange",
        "urn:ietf:params:oauth:grant-type:jwt-bearer ",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
        "token-exchange",
    ] {
        let pairs =
            [("grant_type", grant), ("refresh_token", bench.tokens.refresh()), ("access_token", bench.tokens.access())];
        let request = post("/token/renew", Some(&bench.basic("librechat")), FORM, form(&pairs));
        attempts.push(Attempt::new(
            format!("renewal with grant_type {grant}"),
            request,
            unsupported(&ClientGrantType::NAMES.join(", ")),
        ));
    }
    for (grant, missing) in [
        ("authorization_code", "code is missing"),
        ("urn:ietf:params:oauth:grant-type:token-exchange", "subject_token is missing"),
        ("urn:ietf:params:oauth:grant-type:jwt-bearer", "requested_token_use is missing"),
    ] {
        let pairs = [("grant_type", grant), ("refresh_token", bench.tokens.refresh())];
        let request = post("/token/renew", Some(&bench.basic("librechat")), FORM, form(&pairs));
        let what = format!("a refresh token for {grant}");
        attempts.push(Attempt::new(what, request, Expected::invalid_request(missing)));
    }
    bench.genuine_is_let_in().await;
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

/// Sessions of others, and what can be found out about them.
pub async fn others_sessions(row: Row) {
    let bench = Bench::start(row).await;
    let session = bench.tokens.0["session_id"].as_str().unwrap().to_owned();
    let mut attempts = Vec::new();
    let path = format!("/sessions/{session}");
    let ended = || Expected::new(200, r#"{"ended":0}"#);
    let delete = |path: &str, authorization: Option<&str>| {
        let headers: Vec<(&str, &str)> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        request(Method::DELETE, path, &headers, vec![])
    };
    let second = bench.basic("second");
    attempts.push(Attempt::new("one by a foreign issuer", delete(&path, Some(&second)), ended().after(&["GetItem"])));
    attempts.push(Attempt::new(
        "all by a foreign issuer",
        delete("/sessions?subject=alice", Some(&second)),
        ended().after(&["Query"]),
    ));
    attempts.push(Attempt::new(
        "an unknown one by its issuer",
        delete(&format!("/sessions/{}", "A".repeat(43)), Some(&bench.basic("portal"))),
        ended().after(&["GetItem"]),
    ));
    for malformed in [
        "x",
        "%00",
        "..",
        &session[1..],
        &format!("{session}="),
        &format!("{session}A"),
        &format!("{session}%20"),
        &"%2e".repeat(20),
    ] {
        let expected = Expected::invalid_request("the path ends in no session_id");
        attempts.push(Attempt::new(
            format!("a malformed id {malformed:?}"),
            delete(&format!("/sessions/{malformed}"), Some(&bench.basic("portal"))),
            expected,
        ));
    }
    let bearer = format!("Bearer {}", bench.tokens.access());
    for (who, authorization, expected) in [
        ("nobody", None, Expected::invalid_client()),
        ("a client", Some(bench.basic("librechat")), Expected::invalid_client_basic()),
        ("a public client", Some(basic("spa", "")), Expected::invalid_client_basic()),
        ("an issuer's name", Some(basic("portal", "")), Expected::invalid_client_basic()),
        ("a wrong secret", Some(basic("portal", "wrong")), Expected::invalid_client_basic()),
        ("the subject itself", Some(bearer), Expected::invalid_client()),
    ] {
        attempts.push(Attempt::new(
            format_args!("one by {who}"),
            delete(&path, authorization.as_deref()),
            expected.clone(),
        ));
        attempts.push(Attempt::new(
            format_args!("all by {who}"),
            delete("/sessions?subject=alice", authorization.as_deref()),
            expected.clone(),
        ));
        attempts.push(Attempt::new(
            format_args!("the list by {who}"),
            get("/sessions?subject=alice", authorization.as_deref()),
            expected,
        ));
    }
    bench.genuine_is_let_in().await;
    bench.refuse(attempts).await;
    // A subject that is there and one that never was look alike to whoever may not see them.
    row.plan(4);
    for subject in ["alice", "nobody", "alice%00", "*"] {
        let answer = bench.app.send(get(&format!("/sessions?subject={subject}"), Some(&second))).await;
        row.attempted();
        let is_refused = subject.contains('%') && answer.status == 400;
        if answer.text != r#"{"sessions":[]}"# && !is_refused {
            row.fault(Fault::LetIn, format_args!("{subject}: {answer:?}"));
        }
    }
    bench.settle();
    bench.session_has_survived().await;
}

/// Who exists must not be found out from outside: the same bytes and the same work for known and unknown.
pub async fn enumeration(row: Row) {
    let bench = Bench::start(row).await;
    let known: Tokens = bench.tokens.clone();
    let mut forged_of_known = crate::bench::bytes_of(known.refresh());
    forged_of_known[40] ^= 1;
    let mut forged_of_unknown = forged_of_known.clone();
    forged_of_unknown[1..33].fill(9);
    let mut attempts = Vec::new();
    for (what, bytes) in [("a known session", &forged_of_known), ("an unknown session", &forged_of_unknown)] {
        let token = crate::bench::refresh_token_of(bytes);
        let own = bench.basic("librechat");
        let pairs = [("refresh_token", token.as_str()), ("access_token", known.access())];
        attempts.push(Attempt::new(
            format!("{what} at renewal"),
            post("/token/renew", Some(&own), FORM, form(&pairs)),
            Expected::invalid_grant(),
        ));
        for (party, place, expected) in
            [("portal", "/token/introspect", Expected::inactive()), ("portal", "/token/revoke", Expected::nothing())]
        {
            let request = post(place, Some(&bench.basic(party)), FORM, form(&[("token", &token)]));
            attempts.push(Attempt::new(format!("{what} at {place}"), request, expected));
        }
    }
    for (what, id) in [
        ("a known client", "librechat"),
        ("an unknown client", "unknown-client"),
        ("a known issuer", "portal"),
        ("an unknown issuer", "unknown-issuer"),
    ] {
        for route in routes(&bench) {
            let request = post(route.path, Some(&basic(id, "wrong")), FORM, route.form());
            attempts.push(Attempt::new(format!("{what} at {}", route.path), request, Expected::invalid_client_basic()));
        }
        let pairs = [("refresh_token", known.refresh()), ("access_token", known.access()), ("client_id", id)];
        attempts.push(Attempt::new(
            format!("{what}, named"),
            post("/token/renew", None, FORM, form(&pairs)),
            Expected::invalid_client(),
        ));
    }
    for subject in ["alice", "nobody"] {
        let pairs = [("client_id", "other"), ("subject", subject)];
        let request = post("/token", Some(&bench.basic("portal")), FORM, form(&pairs));
        attempts.push(Attempt::new(
            format!("subject {subject}"),
            request,
            Expected::error(400, "unauthorized_client", "this issuer may not act for that client"),
        ));
    }
    bench.genuine_is_let_in().await;
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}
