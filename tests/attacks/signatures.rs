//! Signatures that are none.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::json;
use test_support::Tokens;

use crate::{
    bench::{Bench, Place},
    forge::{attackers, key_of},
    ledger::{Kind, Row},
};

/// The order of P-256, and the prime beneath it.
const P256_N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const P256_P: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
/// The order of Ed25519's base point, little-endian.
const ED25519_L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn split(token: &str) -> (&str, Vec<u8>) {
    let (input, signature) = token.rsplit_once('.').unwrap();
    (input, URL_SAFE_NO_PAD.decode(signature).unwrap())
}

fn joined(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Big-endian sum; one byte longer if it must be.
fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut digits: Vec<u8> = (0..a.len().max(b.len()))
        .map(|at| {
            let digit = |number: &[u8]| number.len().checked_sub(at + 1).map_or(0, |index| u16::from(number[index]));
            let total = digit(a) + digit(b) + carry;
            carry = total >> 8;
            total as u8
        })
        .collect();
    if carry > 0 {
        digits.push(carry as u8);
    }
    digits.reverse();
    digits
}

fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

pub async fn missing_or_foreign(row: Row) {
    for client in ["librechat", "spa", "ps", "ed", "hs"] {
        let bench = Bench::of(row, client, &[]).await;
        let forge = bench.forge();
        let (input, signature) = split(bench.genuine());
        let other = bench.app.issue_for(client).await;
        let id_token = |tokens: &Tokens| tokens.0["id_token"].as_str().unwrap().to_owned();
        let is_hint = row.kind() == Kind::Hints;
        let (own_other, others) = match is_hint {
            true => (bench.tokens.access().to_owned(), id_token(&other)),
            false => (id_token(&bench.tokens), other.access().to_owned()),
        };
        let ((_, others), (_, of_the_other)) = (split(&others), split(&own_other));
        bench.settle();
        let half = signature.len() / 2;
        let tampered = crate::forge::changed(&forge.claims, json!({"sub": "admin"}));
        let tampered = crate::forge::input(forge.header.to_string().as_bytes(), tampered.to_string().as_bytes());
        let mut tokens = vec![
            ("empty".into(), joined(input, &[])),
            ("missing, with its dot".into(), input.to_owned()),
            ("another token's".into(), joined(input, &others)),
            ("the session's other token's".into(), joined(input, &of_the_other)),
            ("cut in half".into(), joined(input, &signature[..half])),
            ("without its first byte".into(), joined(input, &signature[1..])),
            ("without its last byte".into(), joined(input, &signature[..signature.len() - 1])),
            ("with a zero in front".into(), joined(input, &[&[0], &signature[..]].concat())),
            ("with a zero behind".into(), joined(input, &[&signature[..], &[0]].concat())),
            ("twice".into(), joined(input, &[&signature[..], &signature[..]].concat())),
            ("backwards".into(), joined(input, &reversed(&signature))),
            ("halves exchanged".into(), joined(input, &[&signature[half..], &signature[..half]].concat())),
            ("under other claims".into(), joined(&tampered, &signature)),
            ("empty under other claims".into(), joined(&tampered, &[])),
            ("the text of it".into(), joined(input, URL_SAFE_NO_PAD.encode(&signature).as_bytes())),
            ("the signing input itself".into(), joined(input, &input.as_bytes()[..256])),
        ];
        for (length, fill) in
            [32, 64, 128, 256, 257, 512].into_iter().flat_map(|length| [(length, 0), (length, 0xff), (length, 0x41)])
        {
            tokens.push((format!("{length} bytes of {fill}"), joined(input, &vec![fill; length])));
        }
        bench.refuse_tokens(tokens).await;
        bench.session_has_survived().await;
    }
}

/// What every ECDSA implementation must refuse. (r, n − s) is not among it: that is a signature as good as (r, s), of the
/// same token.
pub async fn ecdsa(row: Row) {
    let bench = Bench::of(row, "spa", &[]).await;
    let (input, genuine) = split(bench.genuine());
    let (r, s) = genuine.split_at(32);
    let (n, p) = (hex(P256_N), hex(P256_P));
    let mut one = vec![0; 32];
    one[31] = 1;
    let n_less_one = {
        let mut less = n.clone();
        less[31] -= 1;
        less
    };
    let numbers = [
        ("0", vec![0; 32]),
        ("1", one.clone()),
        ("n", n.clone()),
        ("n-1", n_less_one),
        ("n+1", sum(&n, &one)),
        ("p", p.clone()),
        ("p+1", sum(&p, &one)),
        ("2^256-1", vec![0xff; 32]),
        ("2^255", [&[0x80], &[0; 31][..]].concat()),
        ("r", r.to_vec()),
        ("s", s.to_vec()),
    ];
    let mut tokens = Vec::new();
    for (left, first) in &numbers {
        for (right, second) in &numbers {
            if (*left, *right) != ("r", "s") {
                tokens.push((format!("r = {left}, s = {right}"), joined(input, &[&first[..], second].concat())));
            }
        }
    }
    let integer = |number: &[u8]| {
        let number = if number[0] & 0x80 == 0 { number.to_vec() } else { [&[0], number].concat() };
        [&[0x02, number.len() as u8], &number[..]].concat()
    };
    let der = |first: &[u8], second: &[u8]| {
        let body = [integer(first), integer(second)].concat();
        [&[0x30, body.len() as u8], &body[..]].concat()
    };
    let genuine_der = der(r, s);
    tokens.extend([
        ("DER".into(), joined(input, &genuine_der)),
        ("DER, padded to 64 or more".into(), joined(input, &[&genuine_der[..], &[0; 8]].concat())),
        ("DER of 0, 0".into(), joined(input, &[0x30, 6, 2, 1, 0, 2, 1, 0])),
        ("DER of 1, 1".into(), joined(input, &[0x30, 6, 2, 1, 1, 2, 1, 1])),
        ("DER of 0, 0 in long form".into(), joined(input, &[0x30, 0x81, 6, 2, 1, 0, 2, 1, 0])),
        ("the well-known MAYCAQACAQA".into(), format!("{input}.MAYCAQACAQA")),
        ("r alone".into(), joined(input, r)),
        ("s before r".into(), joined(input, &[s, r].concat())),
        ("numbers of 33 bytes".into(), joined(input, &[&[0], r, &[0], s].concat())),
        ("numbers of 48 bytes, as P-384 has".into(), joined(input, &[&[0; 16], r, &[0; 16], s].concat())),
        ("numbers of 66 bytes, as P-521 has".into(), joined(input, &[&[0; 34], r, &[0; 34], s].concat())),
    ]);
    let stranger = attackers(Algorithm::ES256, &key_of("spa").kid);
    tokens.push(("a stranger's".into(), bench.forge().signed_by(&stranger, &bench.forge().header)));
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn rsa_and_ed25519(row: Row) {
    for client in ["librechat", "ps"] {
        let bench = Bench::of(row, client, &[]).await;
        let (input, genuine) = split(bench.genuine());
        let n = URL_SAFE_NO_PAD.decode(key_of(client).jwk()["n"].as_str().unwrap()).unwrap();
        let mut one = vec![0; n.len()];
        *one.last_mut().unwrap() = 1;
        let mut less = n.clone();
        // An odd number: nothing to borrow.
        *less.last_mut().unwrap() -= 1;
        let block = |hash: &[u8], filler: usize| {
            let digest_info = hex("3031300d060960864801650304020105000420");
            [&[0, 1], &vec![0xff; filler][..], &[0], &digest_info, hash].concat()
        };
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, input.as_bytes());
        let mut tokens: Vec<(String, Vec<u8>)> = vec![
            ("0".into(), vec![0; n.len()]),
            ("1".into(), one),
            ("n".into(), n.clone()),
            ("n-1".into(), less),
            ("s+n".into(), sum(&genuine, &n)),
            ("s+2n".into(), sum(&sum(&genuine, &n), &n)),
            ("s with zeros in front".into(), [&[0; 8], &genuine[..]].concat()),
            ("s without leading zeros".into(), genuine[1..].to_vec()),
            ("all ones".into(), vec![0xff; n.len()]),
            ("the padded hash itself".into(), block(hash.as_ref(), 202)),
            ("the padded hash, short padding".into(), block(hash.as_ref(), 8)),
            ("a million bits".into(), vec![0x5a; 4_000]),
        ];
        for bit in 0..8 {
            let mut altered = genuine.clone();
            altered[0] ^= 1 << bit;
            tokens.push((format!("top byte, bit {bit}"), altered));
        }
        let tokens =
            tokens.iter().map(|(what, signature)| (format!("{client}: {what}"), joined(input, signature))).collect();
        bench.refuse_tokens(tokens).await;
        bench.session_has_survived().await;
    }
    let bench = Bench::of(row, "ed", &[]).await;
    let (input, genuine) = split(bench.genuine());
    let (r, s) = genuine.split_at(32);
    let order = hex(ED25519_L);
    let plus_order = |times: usize| {
        let total = (0..times).fold(reversed(s), |number, _| sum(&number, &reversed(&order)));
        reversed(&total[total.len() - 32..])
    };
    let identity = [&[1], &[0; 31][..]].concat();
    let small_order = hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
    let mut tokens: Vec<(String, Vec<u8>)> =
        (1..=8).map(|times| (format!("S + {times} L"), [r, &plus_order(times)].concat())).collect();
    for (what, point) in
        [("identity", identity), ("small order", small_order), ("zero", vec![0; 32]), ("no point", vec![0xff; 32])]
    {
        for (and, scalar) in [("0", vec![0; 32]), ("L", order.clone()), ("S", s.to_vec())] {
            tokens.push((format!("R = {what}, S = {and}"), [&point[..], &scalar].concat()));
        }
    }
    tokens.push(("S before R".into(), [s, r].concat()));
    tokens.push(("S with its highest bits".into(), {
        let mut high = genuine.clone();
        high[63] |= 0xe0;
        high
    }));
    tokens.push(("114 bytes, as Ed448 has".into(), [&genuine[..], &[0; 50]].concat()));
    let tokens =
        tokens.iter().map(|(what, signature)| (format!("Ed25519: {what}"), joined(input, signature))).collect();
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn altered_bytes(row: Row) {
    for client in ["librechat", "ps", "spa", "ed", "hs"] {
        let bench = Bench::of(row, client, &[]).await;
        let (input, genuine) = split(bench.genuine());
        let altered = |at: usize| {
            let mut altered = genuine.clone();
            altered[at] ^= 1 << (at % 8);
            (format!("{client}: byte {at}"), joined(input, &altered))
        };
        let tokens: Vec<(String, String)> = (0..genuine.len()).map(altered).collect();
        bench.genuine_is_let_in().await;
        let places = [Place::Renewal, Place::IntrospectionByIssuer, Place::Resource];
        bench.refuse(tokens.iter().flat_map(|(what, token)| bench.at(&places, what, token)).collect()).await;
        bench.session_has_survived().await;
    }
}
