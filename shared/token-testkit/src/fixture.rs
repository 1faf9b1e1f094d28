//! Sessions and renewals to put into stores.

use latchkey_token::{
    audit::Reason,
    json,
    registrations::Epochs,
    session::{Authentication, Presented, Renewal, RenewalRules, Revocation, RevocationId, Session, SignIn, Successor},
    tokens::{CodeBinding, CodeVerifier, RefreshSecret, SealedSuccessor},
    values::{ClientId, CustomClaims, Generation, IssuerId, Owner, Scope, SessionKey, Sid, Subject, Timestamp},
};

/// A moment in January 2027, not on a full second.
pub const NOW: Timestamp = Timestamp::from_unix_millis(1_800_000_000_123);

/// The secret that [`session`] and [`renewal`] give to a generation.
pub fn secret(generation: u32) -> RefreshSecret {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&generation.to_be_bytes());
    RefreshSecret::from_bytes(bytes)
}

/// A new session of generation 0; `number` makes it one of its own.
pub fn session(number: u32) -> Session {
    let client_id = ClientId::parse("librechat").expect("a client id");
    let subject = Subject::parse(&format!("user-{number}")).expect("a subject");
    let absolute_expires_at = NOW.plus(2_592_000);
    let [a, b, c, d] = number.to_be_bytes();
    let claims = r#"{"email":"user@example.org","groups":["a",{"b":[1,-2,0.5,null,true]}],"empty":""}"#;
    Session {
        key: SessionKey {
            owner: Owner::of(&client_id, &subject),
            sid: Sid::new(absolute_expires_at, 86_400, [0, 0, 0, a, b, c, d]),
        },
        subject,
        client_id,
        issuer_id: IssuerId::parse("portal").expect("an issuer id"),
        scope: Scope::parse("openid email").expect("a scope"),
        audience: vec!["librechat".into(), "api".into()],
        claims: CustomClaims::from_record(json::parse_object(claims.as_bytes()).expect("claims")),
        access_token_seconds: 86_400,
        generation: Generation::FIRST,
        tag_kid: 1,
        secret_hash: secret(0).hash(),
        predecessor: None,
        issued_at: NOW,
        rotated_at: NOW,
        access_expires_at: NOW.plus(86_400),
        idle_expires_at: NOW.plus(604_800),
        absolute_expires_at,
        revocation: None,
        sign_in: None,
        authentication: Authentication::default(),
    }
}

/// What the code of [`code_session`] is bound to.
pub fn binding() -> CodeBinding {
    let verifier = CodeVerifier::parse(&"v".repeat(43)).expect("a verifier");
    CodeBinding::new("https://chat.example.org/callback", Some(verifier.challenge()))
}

/// A session whose first token is a code that nobody has exchanged yet.
pub fn code_session(number: u32) -> Session {
    Session {
        access_expires_at: NOW.plus(60),
        idle_expires_at: NOW.plus(60),
        sign_in: Some(SignIn { binding: binding(), nonce: Some("a nonce".into()), resource: vec!["api".into()] }),
        authentication: Authentication {
            time: Some(NOW.minus(30)),
            acr: Some("urn:example:gold".into()),
            amr: vec!["pwd".into(), "otp".into()],
        },
        ..session(number)
    }
}

/// The exchange of the code of `record` at `now`.
pub fn exchange(record: &Session, now: Timestamp) -> Renewal {
    let renewal = renewal(record, now);
    Renewal { presented: Presented { binding: Some(binding()), ..renewal.presented }, ..renewal }
}

/// The honest renewal of `record` at `now`.
pub fn renewal(record: &Session, now: Timestamp) -> Renewal {
    let old = record.generation.number();
    let generation = Generation::new(old + 1);
    let sealed = SealedSuccessor::seal(&secret(old), &record.key, generation, &secret(old + 1), [1; 12]);
    Renewal {
        key: record.key,
        presented: Presented {
            client_id: record.client_id.clone(),
            generation: record.generation,
            secret_hash: secret(old).hash(),
            candidate: None,
            binding: None,
        },
        rules: RenewalRules { retry_seconds: 60, window_seconds: 0, epochs: Epochs::NONE },
        now,
        successor: Successor {
            generation,
            secret_hash: secret(old + 1).hash(),
            tag_kid: 2,
            sealed: sealed.expect("a seal"),
        },
        access_expires_at: now.plus(86_400).min(record.absolute_expires_at),
        idle_expires_at: now.plus(604_800).min(record.absolute_expires_at),
    }
}

/// A revocation; `number` makes it one of its own.
pub fn revocation(number: u8) -> Revocation {
    Revocation::new(NOW.plus(1), Reason::ByClient, RevocationId::from_bytes([number; 16]))
}
