//! What a neighbour does that no honest one does, or not again and again.

/// What a neighbour did. Once may be bad luck: a link breaks, a history makes room. Whoever is told
/// counts, and slows down or cuts off who offends again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Offence {
    /// It said that it keeps numbers of somebody, and did not give them when it was asked.
    FalseClaim,
    /// It said something that cannot be: that it has what was never posted.
    Impossible,
    /// It answered with what no member signed, or with frames of another log.
    Forged,
    /// It asked for more, or told more, than its share allows.
    OverLimit,
    /// It sent what is no message.
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
