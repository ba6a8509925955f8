//! Senders and numbers.

use std::{fmt, num::NonZeroU64};

use crate::wire::name::ChannelName;

/// Names a log. By channel first, so that those of a channel stand together.
pub(crate) type LogKey = (ChannelName, Sender);

/// The owner of the quota that a log counts to: the public key of its member, which may have many
/// senders. If only a peer told of the log, the key of that peer.
pub(crate) type Subject = [u8; 32];

/// A sender: one running node, known by the Ed25519 key it made at its start.
///
/// A restarted process is another sender, so its numbers begin at 1 again without being taken for
/// old ones. Who the *member* behind it is stands in its [credential](crate::Credential).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender([u8; 32]);

impl Sender {
    /// The sender with this Ed25519 public key.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The Ed25519 public key.
    pub const fn key(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Sender {
    /// A hash of these, whatever their order. An attacker that makes up members chooses their keys,
    /// so the hash is one of which nobody finds the same for two lists.
    pub(crate) fn hash_of(all: impl Iterator<Item = Self>) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key("meshcast v1 links");
        let all: std::collections::BTreeSet<Self> = all.collect();
        for sender in &all {
            hasher.update(sender.key());
        }
        let mut hash = [0; 16];
        hasher.finalize_xof().fill(&mut hash);
        hash
    }

    /// The beginning of its key.
    pub fn prefix(&self) -> SenderPrefix {
        SenderPrefix(std::array::from_fn(|place| self.0[place]))
    }
}

/// The first twelve bytes of the key of a [`Sender`]: so many that nobody makes a key which begins
/// like another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderPrefix([u8; Self::LEN]);

impl SenderPrefix {
    /// How many bytes it has.
    pub const LEN: usize = 12;

    /// The prefix with these bytes.
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for SenderPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SenderPrefix({:?})", Short(&self.0))
    }
}

/// The first eight bytes in hex: enough to tell senders apart in log lines.
impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Short(&self.0), f)
    }
}

/// `Debug` is the first eight bytes in hex: enough to tell keys apart in a log.
pub(crate) struct Short<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(8)
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({self})")
    }
}

/// The number of a record on a channel, given by its sender: 1, 2, 3 …
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(NonZeroU64);

impl Seq {
    /// The first record of a sender on a channel.
    pub const FIRST: Self = Self(NonZeroU64::MIN);
    /// The end of all numbers, which no record has: two million posts a second for 292,000 years.
    pub const MAX: Self = Self(NonZeroU64::MAX);

    /// The `n`th record; `None` for 0.
    pub const fn new(n: u64) -> Option<Self> {
        match NonZeroU64::new(n) {
            Some(n) => Some(Self(n)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The number `n` further on; `None` beyond [`Self::MAX`].
    pub const fn checked_add(self, n: u64) -> Option<Self> {
        match self.0.checked_add(n) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The next number, stopping at [`Self::MAX`].
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number before; `None` for the first.
    pub const fn previous(self) -> Option<Self> {
        Self::new(self.0.get() - 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A contiguous run of numbers, both ends included; never empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqRange {
    first: Seq,
    last: Seq,
}

impl SeqRange {
    /// From `first` to `last`; `None` if `last` is before `first`.
    pub fn new(first: Seq, last: Seq) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Just `seq`.
    pub const fn single(seq: Seq) -> Self {
        Self {
            first: seq,
            last: seq,
        }
    }

    /// The lowest number.
    pub const fn first(&self) -> Seq {
        self.first
    }

    /// The highest number.
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// How many numbers it holds.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub const fn len(&self) -> u64 {
        (self.last.get() - self.first.get()).saturating_add(1)
    }

    /// Whether `seq` is in it.
    pub fn contains(&self, seq: Seq) -> bool {
        self.first <= seq && seq <= self.last
    }

    /// Whether the two overlap or follow on each other, so that their hull holds nothing else.
    pub fn touches(&self, other: Self) -> bool {
        self.first <= other.last.next() && other.first <= self.last.next()
    }

    /// What both hold; `None` if that is nothing.
    pub fn overlap(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// The smallest range that holds both.
    pub fn hull(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

impl fmt::Display for SeqRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}–{}", self.first, self.last)
        }
    }
}

impl fmt::Debug for SeqRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
