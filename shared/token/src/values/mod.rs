//! The domain's vocabulary: who and which, what for, when. Each value is checked once, where it is made.

mod actors;
mod claims;
mod identity;
mod scope;
mod text;
mod time;
mod web_url;
mod written;

pub use self::{
    actors::Actors,
    claims::{ClaimsFault, CustomClaims, MAX_CLAIMS_BYTES, RESERVED_CLAIMS, is_reserved_claim},
    identity::{AssertionKey, ClientId, DYNAMIC_CLIENTS, Generation, IssuerId, Owner, SessionKey, Sid, Subject},
    scope::Scope,
    text::{MAX_NONCE_BYTES, MAX_STATE_BYTES, is_carried, is_repeatable},
    time::{Seconds, Timestamp},
    web_url::{WebUrl, with_query},
    written::{NotText, SecretFault, SharedSecret, text_of, without_mark},
};
pub(crate) use self::{
    identity::{first_16, sha256},
    scope::{AskedScope, OPENID},
};
