//! What a long scope costs over an equally long body of which nothing is read.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lambda_http::{Body, Request, Response, http};
use latchkey_token::{documents::Documents, policy::Policy};
use latchkey_token_lambda::{Service, request::MAX_BODY_BYTES, response::Cors};
use latchkey_token_testkit::{FixedDocuments, InMemorySessions, SeededRandomness, SettableClock};
use serde_json::Value;

use crate::support::{FORM, ISSUER, START, basic, keys, secret_of};

/// The functions' handlers on a store in memory: what is measured is the reading of the request and the use case.
fn service() -> Service<InMemorySessions, FixedDocuments> {
    Service {
        store: InMemorySessions::default(),
        documents: FixedDocuments::new(Documents::parse(&keys::ring(), &keys::registrations()).unwrap()),
        policy: Policy::new(ISSUER),
        cors: Cors::default(),
        clock: Arc::new(SettableClock::at(START)),
        randomness: Arc::new(SeededRandomness::new(1)),
    }
}

fn request(authorization: Option<&str>, body: String) -> Request {
    let request = http::Request::post("/token").header("content-type", FORM);
    let request = match authorization {
        Some(credentials) => request.header("authorization", credentials),
        None => request,
    };
    request.body(Body::Text(body)).unwrap()
}

fn json(response: &Response<Body>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

/// `names` again and again, as long as a body may be.
fn long(names: &[&str], room: usize) -> String {
    let mut text = String::new();
    for name in names.iter().cycle() {
        if text.len() + name.len() + 1 > room {
            return text;
        }
        if !text.is_empty() {
            text.push('+');
        }
        text.push_str(name);
    }
    text
}

#[tokio::test]
async fn a_long_scope_costs_at_most_three_times_an_equally_long_body() {
    let service = service();
    let portal = basic("portal", &secret_of("portal"));
    let issue = async |more: &str| {
        let started = Instant::now();
        let body = format!("client_id=spa-oauth&subject=alice{more}");
        let response = issue::handle(&service, request(Some(&portal), body)).await;
        (started.elapsed(), json(&response))
    };
    let tokens = issue("").await.1;
    let refresh_token = tokens["refresh_token"].as_str().unwrap().to_owned();
    let renew = async |more: &str| {
        let started = Instant::now();
        let body = format!("client_id=spa-oauth&refresh_token={refresh_token}{more}");
        let response = renew::handle(&service, request(None, body)).await;
        (started.elapsed(), json(&response))
    };
    // The first renewal is one, the others are its retries: the same work but for the write.
    let distinct: Vec<String> = (0..5_000).map(|number| format!("{number:x}")).collect();
    let distinct: Vec<&str> = distinct.iter().map(String::as_str).collect();
    for (what, names) in [("registered", &["openid", "email"][..]), ("short", &["a"]), ("distinct", &distinct)] {
        let text = long(names, MAX_BODY_BYTES - 250);
        let (mut scope, mut ignored) = ([Duration::MAX; 2], [Duration::MAX; 2]);
        // By turns and the least of many: what else runs on the machine is not counted.
        for _ in 0..50 {
            for (least, member) in [(&mut scope, "scope"), (&mut ignored, "other")] {
                let more = format!("&{member}={text}");
                let (issued, renewed) = (issue(&more).await, renew(&more).await);
                assert!(renewed.1.get("access_token").is_some(), "{}", renewed.1);
                assert_eq!(issued.1.get("access_token").is_some(), what == "registered" || member == "other");
                *least = [least[0].min(issued.0), least[1].min(renewed.0)];
            }
        }
        let ratios = [0, 1].map(|place: usize| scope[place].as_secs_f64() / ignored[place].as_secs_f64());
        println!("{what} names: issue {:.2}, renewal {:.2} times an equally long body", ratios[0], ratios[1]);
        assert!(ratios.iter().all(|ratio| *ratio <= 3.0), "{what}: scope {scope:?}, ignored {ignored:?}");
    }
}
