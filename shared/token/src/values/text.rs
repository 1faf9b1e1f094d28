//! Texts that are carried as they came, through addresses, headers and records.

/// Longest `state` of a sign-in or sign-out, in bytes.
pub const MAX_STATE_BYTES: usize = 1024;
/// Longest `nonce`, in bytes.
pub const MAX_NONCE_BYTES: usize = 255;

/// Whether a text has at most so many bytes and no control character.
pub fn is_carried(text: &str, most_bytes: usize) -> bool {
    text.len() <= most_bytes && !text.chars().any(char::is_control)
}

/// Whether a request may have a parameter of this name several times: `resource` (RFC 8707 §2) and `audience`
/// (RFC 8693 §2.1). No other may (RFC 6749 §3.1 and §3.2).
pub fn is_repeatable(parameter: &str) -> bool {
    matches!(parameter, "resource" | "audience")
}
