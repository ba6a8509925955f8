//! What an honest peer never does, or does rarely.

use std::fmt;

/// What a peer did. One may be bad luck: a link breaks, a history drops a frame.
/// `Conduct` counts them, throttles and cuts off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Offence {
    /// It claimed to have numbers of a sender, and did not deliver them on request.
    FalseClaim,
    /// It claimed something impossible: to have what was never posted.
    Impossible,
    /// It answered with frames that no member signed, or of another log.
    Forged,
    /// It asked for more, or told more, than its share allows.
    OverLimit,
    /// It sent bytes that are no message.
    Unreadable,
}

impl Offence {
    /// A word for logs and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FalseClaim => "false_claim",
            Self::Impossible => "impossible",
            Self::Forged => "forged",
            Self::OverLimit => "over_limit",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
