//! What can be wrong.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    at::At,
    log::{Digest, Name, Span},
};

/// What the checker found.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Values posted.
    pub posts: u64,
    /// Values delivered. With no violation in `n` of them, the rate of loss is below 3/n with 95 %
    /// confidence.
    pub deliveries: u64,
    /// Gaps reported.
    pub gaps: u64,
    /// Numbers those gaps name.
    pub missed: u64,
    /// Most gaps that one object got of one sender.
    pub gaps_of_a_stream: u64,
    /// From post to delivery, in ascending order.
    pub latencies: Vec<Duration>,
    /// The longest anything posted before the faults stopped took to be delivered from then on.
    pub catch_up: Duration,
    /// What is wrong, in the order of time.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// The latency that a part of the deliveries (0 to 1) did not exceed; zero if there were none.
    pub fn latency(&self, part: f64) -> Duration {
        let rank = (self.latencies.len() as f64 * part).ceil() as usize;
        let index = rank.saturating_sub(1);
        self.latencies.get(index).copied().unwrap_or_default()
    }

    /// How many violations there are of each guarantee.
    pub fn by_guarantee(&self) -> BTreeMap<Guarantee, usize> {
        let mut count = BTreeMap::new();
        for violation in &self.violations {
            *count.entry(violation.guarantee()).or_insert(0) += 1;
        }
        count
    }
}

/// What meshcast promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// Only what was posted is delivered.
    G1,
    /// Nothing reaches an object twice.
    G2,
    /// In the order of the sender.
    G3,
    /// No silent gap.
    G4,
    /// What one got, all get.
    G5,
    /// Memory stays inside the caps.
    G6,
    /// All that in time.
    G8,
}

/// Names a channel object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// In which process.
    pub process: Name,
    /// Which of them.
    pub object: u64,
    /// On which channel.
    pub channel: Name,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{} on {}", self.process, self.object, self.channel)
    }
}

/// Something that is wrong, with all that is needed to find it in the log. `t` is always when it
/// was noticed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum Violation {
    /// G1.
    #[error("{t}: {object} got {seqs} of {sender}, which never posted it")]
    NeverPosted {
        t: At,
        object: ObjectRef,
        sender: Name,
        seqs: Span,
    },
    /// G1. The numbers of a delivery are not those of one post.
    #[error("{t}: {object} got {seqs} of {sender} as one value, but {posted} was posted")]
    Torn {
        t: At,
        object: ObjectRef,
        sender: Name,
        seqs: Span,
        posted: Span,
    },
    /// G1.
    #[error(
        "{t}: {object} got {seqs} of {sender} with other bytes ({found}) than posted ({posted})"
    )]
    Altered {
        t: At,
        object: ObjectRef,
        sender: Name,
        seqs: Span,
        posted: Digest,
        found: Digest,
    },
    /// G1.
    #[error("{t}: {object} got {seqs} of {sender} before it was posted at {posted}")]
    BeforePosted {
        t: At,
        object: ObjectRef,
        sender: Name,
        seqs: Span,
        posted: At,
    },
    /// G1. To an object never opened, or closed by then.
    #[error("{t}: {object} is not open, but got {seqs} of {sender}")]
    NotOpen {
        t: At,
        object: ObjectRef,
        sender: Name,
        seqs: Span,
    },
    /// G2.
    #[error("{t}: {object} got {seqs} of {sender} again")]
    Duplicate {
        t: At,
        object: ObjectRef,
        sender: Name,
        seqs: Span,
    },
    /// G2.
    #[error("{t}: {object} got {seqs}, which it posted itself")]
    Echo {
        t: At,
        object: ObjectRef,
        seqs: Span,
    },
    /// G3.
    #[error("{t}: {object} got {seqs} of {sender} after {next} was due")]
    OutOfOrder {
        t: At,
        object: ObjectRef,
        sender: Name,
        seqs: Span,
        next: u64,
    },
    /// G4.
    #[error("{t}: {object} never heard of {missing} of {sender}, and got {seqs} next")]
    SilentGap {
        t: At,
        object: ObjectRef,
        sender: Name,
        missing: Span,
        seqs: Span,
    },
    /// G4. Something posted since the object was opened is missing at the beginning.
    #[error(
        "{t}: {object}, opened at {opened}, begins with {seqs} of {sender}, but {due} was posted at {posted}"
    )]
    LateStart {
        t: At,
        object: ObjectRef,
        opened: At,
        sender: Name,
        seqs: Span,
        due: Span,
        posted: At,
    },
    /// G4. It asked for what was before it, and somebody its process was connected to kept that.
    #[error(
        "{t}: {object} looked back, and was neither given {kept} of {sender} nor told that it is missing"
    )]
    Withheld {
        t: At,
        object: ObjectRef,
        sender: Name,
        kept: Span,
    },
    /// G4. It begins with something posted long before.
    #[error(
        "{t}: {object}, opened at {opened}, begins with {seqs} of {sender}, posted at {posted}"
    )]
    EarlyStart {
        t: At,
        object: ObjectRef,
        opened: At,
        sender: Name,
        seqs: Span,
        posted: At,
    },
    /// G4. A value came after all.
    #[error("{t}: {object} got {seqs} of {sender}, which were given up before")]
    AfterGap {
        t: At,
        object: ObjectRef,
        sender: Name,
        seqs: Span,
    },
    /// G4.
    #[error("{t}: {object} is told that {missed} of {sender} are missing: {too_wide}")]
    GapTooWide {
        t: At,
        object: ObjectRef,
        sender: Name,
        missed: Span,
        too_wide: TooWide,
    },
    /// G5. Neither delivered nor told missing until the end.
    #[error(
        "{t}: {object}, opened at {opened}, never got {missing} of {sender}, \
             posted from {posted} on; {witness} got {proof} at {witnessed}"
    )]
    Missing {
        t: At,
        object: ObjectRef,
        opened: At,
        sender: Name,
        missing: Span,
        posted: At,
        witness: Name,
        proof: Span,
        witnessed: At,
    },
    /// G5. Somebody still had it.
    #[error(
        "{t}: {object} is told that {missed} of {sender} are missing, \
             but {witness} has {lost}, posted at {posted}"
    )]
    NeedlessGap {
        t: At,
        object: ObjectRef,
        sender: Name,
        missed: Span,
        lost: Span,
        posted: At,
        witness: Name,
    },
    /// G6.
    #[error("{t}: {process} holds {bytes} bytes, {what} may be {cap}")]
    OverCap {
        t: At,
        process: Name,
        what: &'static str,
        bytes: u64,
        cap: u64,
    },
    /// G8.
    #[error(
        "{t}: {object} got {seqs} of {sender} {took:?} after it was due, {bound:?} are allowed"
    )]
    Late {
        t: At,
        object: ObjectRef,
        sender: Name,
        seqs: Span,
        took: Duration,
        bound: Duration,
    },
}

/// Why a gap names more than it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooWide {
    /// It names what the object got.
    #[error("it got {0} before")]
    Delivered(Span),
    /// It names what an earlier gap named.
    #[error("it was told of {0} before")]
    Told(Span),
    /// It names what was not posted by then.
    #[error("{0} were never posted until then")]
    NeverPosted(Span),
    /// It names what was posted long before the object was opened.
    #[error("{0} were posted long before it was opened")]
    NotDue(Span),
}

impl Violation {
    /// What it breaks.
    pub const fn guarantee(&self) -> Guarantee {
        match self {
            Self::NeverPosted { .. }
            | Self::Torn { .. }
            | Self::Altered { .. }
            | Self::BeforePosted { .. }
            | Self::NotOpen { .. } => Guarantee::G1,
            Self::Duplicate { .. } | Self::Echo { .. } => Guarantee::G2,
            Self::OutOfOrder { .. } => Guarantee::G3,
            Self::SilentGap { .. }
            | Self::LateStart { .. }
            | Self::Withheld { .. }
            | Self::EarlyStart { .. }
            | Self::AfterGap { .. }
            | Self::GapTooWide { .. } => Guarantee::G4,
            Self::Missing { .. } | Self::NeedlessGap { .. } => Guarantee::G5,
            Self::OverCap { .. } => Guarantee::G6,
            Self::Late { .. } => Guarantee::G8,
        }
    }

    /// When it was noticed.
    pub const fn t(&self) -> At {
        match self {
            Self::NeverPosted { t, .. }
            | Self::Torn { t, .. }
            | Self::Altered { t, .. }
            | Self::BeforePosted { t, .. }
            | Self::NotOpen { t, .. }
            | Self::Duplicate { t, .. }
            | Self::Echo { t, .. }
            | Self::OutOfOrder { t, .. }
            | Self::SilentGap { t, .. }
            | Self::LateStart { t, .. }
            | Self::Withheld { t, .. }
            | Self::EarlyStart { t, .. }
            | Self::AfterGap { t, .. }
            | Self::GapTooWide { t, .. }
            | Self::Missing { t, .. }
            | Self::NeedlessGap { t, .. }
            | Self::OverCap { t, .. }
            | Self::Late { t, .. } => *t,
        }
    }
}
