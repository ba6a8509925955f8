//! The position of a reader, so that another one can go on there.

mod marks;

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use meshcast_proto::{ChannelName, Positions, SenderPrefix, Seq, Topics};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(crate) use marks::{Mark, Marks};

use crate::clock::Instant;

/// Up to where a stream has read its channel, for [`Since::After`](crate::Since::After): at any
/// member of the mesh another stream goes on there.
///
/// It is a small value for a client to keep. As text, which is URL-safe and fits a header such as
/// `Last-Event-ID` of server-sent events, it takes 13 characters and some 20 for each sender that
/// it names: at most [`Self::MAX_SENDERS`] and [`Self::MAX_LEN`] characters. With serde it is that
/// text, or its bytes in formats that are not for people.
///
/// It names senders of which something may still be kept and those that are connected, so that it
/// does not grow as processes come and go. Of a sender that it does not name, whoever goes on gets
/// all that is kept: it began to post later. If more senders than it can name are still about,
/// those heard least recently are left out, and what is kept of them comes again.
///
/// It is neither secret nor signed: it tells a part of the ids of senders and how much each posted.
/// A client that makes one up is handed other messages than it missed, which it could have had
/// anyway, and harms no other: a number that its sender has not got to counts for nothing some
/// seconds later.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor {
    place: Place,
    /// By sender, each once.
    entries: Arc<[CursorEntry]>,
}

/// Where somebody stopped with a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CursorEntry {
    sender: SenderPrefix,
    read: Seq,
    /// Minutes since it was heard, as far as those know who heard it.
    idle: u8,
}

/// Which channel of which mesh it is. Its name cannot be told from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place([u8; 8]);

/// Why a text is no [`Cursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// It is longer than any cursor.
    #[error("a cursor has at most {} characters", Cursor::MAX_LEN)]
    TooLong,
    /// It was made by a version of meshcast that this one does not know.
    #[error("cursor version {0} is not known here")]
    Version(u8),
    /// It is something else, or a part of one.
    #[error("this is no cursor")]
    Malformed,
}

impl Cursor {
    /// The most senders that a cursor names: more than most services have processes, few enough for
    /// a line of 8 KiB, which is what proxies let pass.
    pub const MAX_SENDERS: usize = 256;

    /// The most characters of its text.
    pub const MAX_LEN: usize = MAX_BYTES.div_ceil(3) * 4;

    pub(crate) fn new(place: Place, marks: &Marks, now: Instant) -> Self {
        let mut latest: Vec<(SenderPrefix, Mark)> = marks.iter().collect();
        if latest.len() > Self::MAX_SENDERS {
            latest.sort_by_key(|(_, mark)| std::cmp::Reverse(mark.heard));
            latest.truncate(Self::MAX_SENDERS);
            latest.sort_by_key(|(sender, _)| *sender);
        }
        let entry = |(sender, mark): (_, Mark)| CursorEntry {
            sender,
            read: mark.read,
            idle: mark.idle(now),
        };
        Self {
            place,
            entries: latest.into_iter().map(entry).collect(),
        }
    }

    /// Of one that has read nothing.
    pub(crate) fn empty(place: Place) -> Self {
        let entries = Arc::default();
        Self { place, entries }
    }

    pub(crate) fn is_of(&self, place: Place) -> bool {
        self.place == place
    }

    /// What the engine is told of it.
    pub(crate) fn positions(&self) -> Positions {
        let entries = self.entries.iter();
        entries.map(|entry| (entry.sender, entry.read)).collect()
    }

    /// The position at each sender, and when those were heard.
    pub(crate) fn marks(&self, now: Instant) -> Marks {
        let entries = self.entries.iter();
        let marks =
            entries.map(|entry| (entry.sender, Mark::idle_for(entry.read, entry.idle, now)));
        marks.collect()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.entries.len() * (ENTRY + 4));
        bytes.push(VERSION);
        bytes.extend(self.place.0);
        for entry in self.entries.iter() {
            bytes.extend(entry.sender.bytes());
            bytes.push(entry.idle);
            let mut rest = entry.read.get();
            while rest >= 0x80 {
                bytes.push(rest.to_le_bytes()[0] | 0x80);
                rest >>= 7;
            }
            bytes.push(rest.to_le_bytes()[0]);
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CursorError> {
        if bytes.len() > MAX_BYTES {
            return Err(CursorError::TooLong);
        }
        let (&version, rest) = bytes.split_first().ok_or(CursorError::Malformed)?;
        if version != VERSION {
            return Err(CursorError::Version(version));
        }
        let (place, mut rest) = rest.split_first_chunk().ok_or(CursorError::Malformed)?;
        let mut entries: Vec<CursorEntry> = Vec::new();
        while !rest.is_empty() {
            let (entry, after) = CursorEntry::read(rest).ok_or(CursorError::Malformed)?;
            let in_order = entries.last().is_none_or(|last| last.sender < entry.sender);
            if !in_order || entries.len() == Self::MAX_SENDERS {
                return Err(CursorError::Malformed);
            }
            entries.push(entry);
            rest = after;
        }
        Ok(Self {
            place: Place(*place),
            entries: entries.into(),
        })
    }
}

impl CursorEntry {
    /// The first entry, and what follows.
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (sender, bytes) = bytes.split_first_chunk()?;
        let (&idle, mut bytes) = bytes.split_first()?;
        let mut number = 0_u64;
        for place in 0..MAX_NUMBER {
            let (&byte, rest) = bytes.split_first()?;
            bytes = rest;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * place);
            if shifted >> (7 * place) != bits {
                return None;
            }
            number |= shifted;
            if byte < 0x80 {
                // Each number has one form: none ends with nothing.
                let is_shortest = byte != 0 || place == 0;
                let read = Seq::new(number).filter(|_| is_shortest)?;
                let sender = SenderPrefix::new(*sender);
                return Some((Self { sender, read, idle }, bytes));
            }
        }
        None
    }
}

impl Place {
    pub(crate) fn new(topics: &Topics, channel: &ChannelName) -> Self {
        let topic = topics.of(channel);
        Self(std::array::from_fn(|place| topic[place]))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} senders)", self.entries.len())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.len() > Self::MAX_LEN {
            return Err(CursorError::TooLong);
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
        Self::from_bytes(&bytes.map_err(|_| CursorError::Malformed)?)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.to_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Form)
        } else {
            deserializer.deserialize_bytes(Form)
        }
    }
}

/// Reads either form.
struct Form;

impl de::Visitor<'_> for Form {
    type Value = Cursor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cursor")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cursor, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Cursor, E> {
        Cursor::from_bytes(bytes).map_err(E::custom)
    }
}

/// The first byte of a cursor.
const VERSION: u8 = 1;

/// Bytes before the entries; of an entry without its number; of a number.
const HEAD: usize = 1 + 8;
const ENTRY: usize = SenderPrefix::LEN + 1;
const MAX_NUMBER: usize = 10;

const MAX_BYTES: usize = HEAD + Cursor::MAX_SENDERS * (ENTRY + MAX_NUMBER);

#[cfg(test)]
mod tests;
