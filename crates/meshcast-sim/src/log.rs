//! The log of what processes do, for the [checker](crate::Checker).

use std::{
    fmt,
    io::{self, BufRead, Write},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::at::At;

/// One line of a log.
///
/// Lines of one process stand in the order in which things happened there; the processes may be in
/// any order, so logs can be put one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// When, by a clock that all processes of the run share.
    pub t: At,
    /// Which process: one start of a node. Of [`Event::Calm`] and [`Event::Finish`], whoever runs
    /// the test.
    pub process: Name,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The process began.
    Start,
    /// The process ended, in whatever way.
    End,
    /// A channel object was made.
    Open {
        /// Tells the objects of the process apart.
        object: u64,
        /// On which channel.
        channel: Name,
        /// From when on it is to hear.
        #[serde(default)]
        since: Since,
    },
    /// An object that looked back was told what there is from before it was opened, as far as it
    /// can be had.
    LookedBack {
        /// Which.
        object: u64,
        /// On which channel.
        channel: Name,
        /// The numbers kept of each sender by the process itself and those it is connected to.
        kept: Vec<(Name, Span)>,
    },
    /// A channel object was closed.
    Close {
        /// Which.
        object: u64,
        /// On which channel.
        channel: Name,
    },
    /// A value was posted; it got these numbers.
    Post {
        /// By which object.
        object: u64,
        /// On which channel.
        channel: Name,
        /// Its numbers.
        seqs: Span,
        /// Of its bytes.
        hash: Digest,
    },
    /// A value was handed to an object.
    Delivery {
        /// To which.
        object: u64,
        /// On which channel.
        channel: Name,
        /// Which process posted it.
        sender: Name,
        /// Its numbers.
        seqs: Span,
        /// Of its bytes.
        hash: Digest,
    },
    /// An object was told what it will not get.
    Gap {
        /// Which.
        object: u64,
        /// On which channel.
        channel: Name,
        /// The process that posted what is missing.
        sender: Name,
        /// The numbers that are missing.
        missed: Span,
        /// What of it was kept by which processes at that moment, if that can be known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<Vec<(Name, Span)>>,
    },
    /// How much memory the protocol takes.
    Sample {
        /// Bytes that wait, or are remembered on account of somebody.
        held: u64,
        /// Bytes kept for others.
        history: u64,
    },
    /// The faults are over. The processes of one group can all reach each other, if over others,
    /// from now on.
    Calm {
        /// Those that run.
        groups: Vec<Vec<Name>>,
    },
    /// The run is over.
    Finish,
}

/// From when on an object is to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// Posts after it was opened.
    #[default]
    Now,
    /// What was posted so many microseconds before, too.
    For(u64),
    /// So many numbers of every sender from before, too.
    Last(u64),
}

impl Since {
    /// How far back in time it reaches at least.
    pub const fn reach(self) -> Duration {
        match self {
            Self::For(micros) => Duration::from_micros(micros),
            Self::Now | Self::Last(_) => Duration::ZERO,
        }
    }
}

/// A run of numbers, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Span {
    /// The lowest.
    pub first: u64,
    /// The highest.
    pub last: u64,
}

impl Span {
    /// From `first` to `last`.
    pub const fn new(first: u64, last: u64) -> Self {
        Self { first, last }
    }

    /// How many numbers it holds.
    pub const fn len(self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.last < self.first
    }

    /// What it has in common with `other`.
    pub fn common(self, other: Self) -> Option<Self> {
        let common = Self::new(self.first.max(other.first), self.last.min(other.last));
        (!common.is_empty()).then_some(common)
    }
}

impl From<(u64, u64)> for Span {
    fn from((first, last): (u64, u64)) -> Self {
        Self { first, last }
    }
}

impl From<Span> for (u64, u64) {
    fn from(span: Span) -> Self {
        (span.first, span.last)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}–{}", self.first, self.last)
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a process or a channel. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| Self(name.into()))
    }
}

/// What stands for the bytes of a value: 16 bytes of their BLAKE3 hash, in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = blake3::hash(bytes);
        Self(std::array::from_fn(|i| hash.as_bytes()[i]))
    }

    /// As bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16)
            .ok()
            .filter(|_| text.len() == 32)
            .ok_or_else(|| de::Error::custom("a digest is 32 hex digits"))?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// Reads a log of JSON lines; empty lines are skipped.
///
/// # Errors
/// [`LogError`] names the first line that is none.
pub fn read_log(reader: impl BufRead) -> Result<Vec<Entry>, LogError> {
    let mut entries = Vec::new();
    for (index, line) in reader.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let entry = serde_json::from_str(&line).map_err(|source| LogError::Line {
            line: index + 1,
            source,
        })?;
        entries.push(entry);
    }
    Ok(entries)
}

/// Writes a log as JSON lines.
///
/// # Errors
/// Those of the writer.
pub fn write_log(mut writer: impl Write, entries: &[Entry]) -> io::Result<()> {
    for entry in entries {
        serde_json::to_writer(&mut writer, entry)?;
        writer.write_all(b"\n")?;
    }
    writer.flush()
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The reader failed.
    #[error("the log cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line is no entry.
    #[error("line {line} of the log is no entry: {source}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}
