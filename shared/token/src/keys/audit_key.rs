//! The key of the names that the audit trail has for subjects.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    json::{Value, readable_members},
    values::Subject,
};

/// Makes the audit trail's names of subjects (`subject_hash`). Without the key nobody can tell whose name one is, however
/// few subjects there are to try.
///
/// It stands in the key ring as `"audit":{"secret":"<base64url, 32 bytes>"}`. Another key makes other names.
pub struct AuditKey(hmac::Key);

impl AuditKey {
    /// The key of a document that has one: a key ring, or a document that was derived from it. Nothing else of the
    /// document needs to be sound, as long as it is a JSON object. `None` where the key is missing or faulty.
    pub fn of_document(text: &str) -> Option<Self> {
        let (members, _) = readable_members(text).ok()?;
        Self::read(members.get("audit")?)
    }

    pub(super) fn read(audit: &Value) -> Option<Self> {
        let secret = audit.get("secret")?.as_str()?;
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The subject's name: the first 16 hex digits of HMAC-SHA256(key, subject).
    pub fn name(&self, subject: &Subject) -> String {
        let tag = hmac::sign(&self.0, subject.as_str().as_bytes());
        tag.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyRing;

    const SECRET: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";
    const OTHER: &str = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg";

    fn ring(audit: &str) -> String {
        format!(r#"{{"signing":[],"tagging":[],"audit":{audit}}}"#)
    }

    fn name(secret: &str, subject: &str) -> String {
        let key = AuditKey::of_document(&ring(&format!(r#"{{"secret":"{secret}"}}"#))).unwrap();
        key.name(&Subject::parse(subject).unwrap())
    }

    #[test]
    fn a_name_is_sixteen_hex_digits_of_the_hmac() {
        // Computed with OpenSSL: printf %s alice | openssl dgst -sha256 -mac HMAC -macopt hexkey:0909…09
        assert_eq!(name(SECRET, "alice"), "8f937f50e29e0e9a");
    }

    #[test]
    fn a_numeric_subject_is_not_guessed_from_its_name_without_the_key() {
        use crate::values::sha256;
        let wanted = name(SECRET, "4711");
        let unkeyed = |subject: &str| -> String {
            sha256(subject.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
        };
        let other = AuditKey::of_document(&ring(&format!(r#"{{"secret":"{OTHER}"}}"#))).unwrap();
        for number in 0..10_000 {
            let guess = number.to_string();
            assert_ne!(unkeyed(&guess), wanted, "the hash alone");
            assert_ne!(other.name(&Subject::parse(&guess).unwrap()), wanted, "another key");
        }
    }

    #[test]
    fn a_missing_or_faulty_key_leaves_names_out_and_stops_nothing_else() {
        let subject = Subject::parse("alice").unwrap();
        assert!(KeyRing::parse(&ring(&format!(r#"{{"secret":"{SECRET}"}}"#))).unwrap().audit_name(&subject).is_some());
        for faulty in [
            "null",
            "{}",
            "[]",
            "1",
            r#""text""#,
            r#"{"secret":null}"#,
            r#"{"secret":5}"#,
            r#"{"secret":""}"#,
            r#"{"secret":"c2hvcnQ"}"#,
            r#"{"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk="}"#,
            r#"{"secret":"x","secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"}"#,
        ] {
            assert!(KeyRing::read(&ring(faulty)).unwrap().value.audit_name(&subject).is_none(), "{faulty}");
            assert!(AuditKey::of_document(&ring(faulty)).is_none(), "{faulty}");
            assert_eq!(KeyRing::parse(&ring(faulty)).is_ok(), faulty == "null", "who writes it is told");
        }
        assert!(AuditKey::of_document("not a document").is_none());
    }

    #[test]
    fn the_key_is_read_whatever_else_is_wrong_with_the_document() {
        let sound = ring(&format!(r#"{{"secret":"{SECRET}"}}"#));
        for faulty in [r#"[{"kid":"x","kid":"x"}]"#, r#"{"a":1,"a":2}"#, "[5]", r#"[],"signing":[]"#] {
            let text = sound.replacen("[]", faulty, 1);
            assert!(AuditKey::of_document(&text).is_some(), "{text}");
        }
        let twice = sound.replacen(r#""signing":[]"#, r#""audit":null"#, 1);
        assert!(AuditKey::of_document(&twice).is_none(), "which of two is meant cannot be told");
    }

    #[test]
    fn debug_shows_no_key() {
        let ring = KeyRing::parse(&ring(&format!(r#"{{"secret":"{SECRET}"}}"#))).unwrap();
        let shown = format!("{ring:?}");
        assert!(shown.contains("AuditKey") && !shown.contains(SECRET) && !shown.contains("9, 9"), "{shown}");
    }
}
