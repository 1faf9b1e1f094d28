//! What becomes of a conditional write.

/// What became of a conditional write. The SDK repeats a request whose answer was lost, so a write may meet itself; the
/// first two outcomes are answered and audited alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome<Written = (), Other = ()> {
    /// Done by this request.
    Done(Written),
    /// Done by this invocation before: the SDK's own retry met the write whose answer was lost.
    DoneBefore(Written),
    /// Not done: another's write stands in the way, or what was to be changed is not there.
    ByAnother(Other),
}

impl<Written, Other> WriteOutcome<Written, Other> {
    /// What was written, whether or not this request did it; or what stood in the way.
    pub fn done(self) -> Result<Written, Other> {
        match self {
            Self::Done(written) | Self::DoneBefore(written) => Ok(written),
            Self::ByAnother(other) => Err(other),
        }
    }

    /// Whether the write is this invocation's.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_) | Self::DoneBefore(_))
    }
}
