//! What a session is worth if its requests come one after the other, at one moment.

use stateright::semantics::SequentialSpec;

#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// With the refresh token of this generation.
    Renew(u32),
    Revoke(u32),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Return {
    /// A refresh token, with its generation.
    Tokens(u32, String),
    Refused,
    /// Whether this revocation is the one that ended the session.
    Ended(bool),
}

#[derive(Clone, Debug)]
pub struct SessionRecord {
    has_retries: bool,
    generation: u32,
    /// None while it has reached nobody.
    token: Option<String>,
    is_revoked: bool,
}

impl SessionRecord {
    pub fn issued(token: &str, has_retries: bool) -> Self {
        Self { has_retries, generation: 0, token: Some(token.to_owned()), is_revoked: false }
    }

    fn may_retry(&self, generation: u32) -> bool {
        self.has_retries && generation + 1 == self.generation
    }

    fn may_renew(&self, generation: u32) -> bool {
        generation == self.generation && !self.is_revoked
    }
}

impl SequentialSpec for SessionRecord {
    type Op = Call;
    type Ret = Return;

    /// What a call may have done whose function died: in full, for it may also have done nothing.
    fn invoke(&mut self, call: &Call) -> Return {
        match *call {
            Call::Renew(generation) if self.may_renew(generation) => {
                self.generation += 1;
                self.token = None;
            }
            Call::Renew(generation) => self.is_revoked |= generation < self.generation && !self.may_retry(generation),
            // Its token was good when it was looked at, whatever has become of it since.
            Call::Revoke(_) => self.is_revoked = true,
        }
        Return::Refused
    }

    fn is_valid_step(&mut self, call: &Call, answer: &Return) -> bool {
        match (call, answer) {
            (Call::Renew(presented), Return::Tokens(generation, token)) => {
                if self.may_renew(*presented) {
                    self.generation += 1;
                    self.token = None;
                } else if self.is_revoked || !self.may_retry(*presented) {
                    return false;
                }
                *generation == self.generation && *self.token.get_or_insert_with(|| token.clone()) == *token
            }
            (Call::Renew(presented), Return::Refused) => {
                let is_reuse = *presented < self.generation && !self.may_retry(*presented);
                let is_right = self.is_revoked || is_reuse;
                self.is_revoked = true;
                is_right
            }
            (Call::Revoke(_), Return::Ended(true)) => !std::mem::replace(&mut self.is_revoked, true),
            (Call::Revoke(presented), Return::Ended(false)) => {
                self.is_revoked || *presented != self.generation && !self.may_retry(*presented)
            }
            (Call::Renew(_), Return::Ended(_)) | (Call::Revoke(_), Return::Tokens(..) | Return::Refused) => false,
        }
    }
}
