//! Texts that are carried as they came, through addresses, headers and records.

/// Longest `state` of a sign-in or sign-out, in bytes.
pub const MAX_STATE_BYTES: usize = 1024;
/// Longest `nonce`, in bytes.
pub const MAX_NONCE_BYTES: usize = 255;

/// Whether a text has at most so many bytes and no control character.
pub fn is_carried(text: &str, most_bytes: usize) -> bool {
    text.len() <= most_bytes && !text.chars().any(char::is_control)
}
