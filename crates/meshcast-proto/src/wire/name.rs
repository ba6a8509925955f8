//! The names people choose: channels, nodes, regions. Parsed once, trusted afterwards.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The name of a channel, as the application wrote it.
///
/// Any string whose [wire form](Self::wire) is 1 to [255](Self::MAX_WIRE_LEN) bytes of UTF-8. The
/// empty name is valid, as in the web standard; on the wire it is one NUL character, and a name
/// that itself begins with NUL gets one more in front, so the mapping stays one to one.
///
/// Names have an order, so that they can be keys, but not that of the alphabet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelName {
    /// A hash of the wire form. Compared first: a tree of names is searched without looking at
    /// their text, which lies elsewhere in memory and for names of one application mostly begins
    /// with the same letters.
    hash: u64,
    /// Keeps the wire form, so that neither frames nor topics allocate.
    wire: Arc<str>,
}

impl ChannelName {
    /// The longest wire form in bytes: one length byte would hold it.
    pub const MAX_WIRE_LEN: usize = 255;

    /// Takes a name as the application writes it.
    ///
    /// # Errors
    /// [`ChannelNameError::TooLong`] if its wire form is over [`Self::MAX_WIRE_LEN`] bytes.
    pub fn new(name: &str) -> Result<Self, ChannelNameError> {
        let wire: Arc<str> = if name.is_empty() || name.starts_with(ESCAPE) {
            format!("{ESCAPE}{name}").into()
        } else {
            name.into()
        };
        if wire.len() > Self::MAX_WIRE_LEN {
            return Err(ChannelNameError::TooLong {
                len: wire.len(),
                limit: Self::MAX_WIRE_LEN,
            });
        }
        Ok(Self::of(wire))
    }

    /// Takes a name as it stands in a frame.
    ///
    /// # Errors
    /// Any [`ChannelNameError`]; a wire form that [`Self::new`] would not have produced is refused,
    /// so that a channel has exactly one.
    pub fn from_wire(wire: &str) -> Result<Self, ChannelNameError> {
        if wire.is_empty() {
            return Err(ChannelNameError::Empty);
        }
        if wire.len() > Self::MAX_WIRE_LEN {
            return Err(ChannelNameError::TooLong {
                len: wire.len(),
                limit: Self::MAX_WIRE_LEN,
            });
        }
        if let Some(name) = wire.strip_prefix(ESCAPE)
            && !(name.is_empty() || name.starts_with(ESCAPE))
        {
            return Err(ChannelNameError::NotCanonical);
        }
        Ok(Self::of(wire.into()))
    }

    fn of(wire: Arc<str>) -> Self {
        // FNV-1a. Names with the same hash have their text compared.
        let hash = wire.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { hash, wire }
    }

    /// The name as the application wrote it.
    pub fn as_str(&self) -> &str {
        self.wire.strip_prefix(ESCAPE).unwrap_or(&self.wire)
    }

    /// The name as it stands in frames: 1 to 255 bytes.
    pub fn wire(&self) -> &str {
        &self.wire
    }
}

impl Hash for ChannelName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl FromStr for ChannelName {
    type Err = ChannelNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

/// Why a channel name was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelNameError {
    /// The wire form is over the limit; both in bytes.
    #[error("channel name of {len} bytes is over the limit of {limit}")]
    TooLong {
        /// The length of the wire form.
        len: usize,
        /// The longest one allowed.
        limit: usize,
    },
    /// A frame named no channel (the channel "" has a wire form of one byte).
    #[error("empty channel name on the wire")]
    Empty,
    /// A frame spelled a name in another way than its sender must.
    #[error("channel name is not in canonical form")]
    NotCanonical,
}

const ESCAPE: char = '\0';

/// The name of a node, for people: 1 to 63 of the characters `a–z A–Z 0–9 - _ .`, beginning with a
/// letter or digit. It need not be unique; the [`Sender`](crate::Sender) is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Label);

/// Where a node runs, such as `fra` or `eu-central-1`: the same characters and length as a
/// [`NodeName`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Label);

impl NodeName {
    /// Parses a node name.
    ///
    /// # Errors
    /// [`LabelError`] names what is wrong.
    pub fn new(name: &str) -> Result<Self, LabelError> {
        Label::parse(name).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0.0
    }
}

impl Region {
    /// Parses a region.
    ///
    /// # Errors
    /// [`LabelError`] names what is wrong.
    pub fn new(region: &str) -> Result<Self, LabelError> {
        Label::parse(region).map(Self)
    }

    /// The region as text.
    pub fn as_str(&self) -> &str {
        &self.0.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for NodeName {
    type Err = LabelError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl FromStr for Region {
    type Err = LabelError;

    fn from_str(region: &str) -> Result<Self, Self::Err> {
        Self::new(region)
    }
}

/// As text, and what is none of them is an error.
macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(D::Error::custom)
            }
        }
    )*};
}

as_text! { ChannelName NodeName Region }

/// Why a node name or region was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// There is nothing.
    #[error("empty name")]
    Empty,
    /// It is over the limit.
    #[error("name of {len} bytes is over the limit of {limit}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest one allowed.
        limit: usize,
    },
    /// It holds something else than letters, digits, `-`, `_`, `.`, or does not begin with a letter
    /// or digit.
    #[error("character {0:?} is not allowed there (use letters, digits, '-', '_', '.')")]
    BadCharacter(char),
}

/// The common form of node names and regions: safe in a file name, a table and a log line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Label(Arc<str>);

impl Label {
    /// A DNS label's limit: both often come from or end up in one.
    const MAX_LEN: usize = 63;

    fn parse(text: &str) -> Result<Self, LabelError> {
        let first = text.chars().next().ok_or(LabelError::Empty)?;
        if text.len() > Self::MAX_LEN {
            return Err(LabelError::TooLong {
                len: text.len(),
                limit: Self::MAX_LEN,
            });
        }
        if !first.is_ascii_alphanumeric() {
            return Err(LabelError::BadCharacter(first));
        }
        match text
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        {
            Some(bad) => Err(LabelError::BadCharacter(bad)),
            None => Ok(Self(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_wire_form_and_comes_back() {
        let mut wires = std::collections::BTreeSet::new();
        for name in ["", "\0", "\0\0", "\0x", "x", "earth", "日本", " "] {
            let channel = ChannelName::new(name).expect("valid");
            assert_eq!(channel.as_str(), name);
            assert_eq!(ChannelName::from_wire(channel.wire()), Ok(channel.clone()));
            assert!(
                wires.insert(channel.wire().to_owned()),
                "{name:?} shares a wire form"
            );
        }
    }

    #[test]
    fn wire_forms_nobody_writes_are_refused() {
        assert_eq!(ChannelName::from_wire(""), Err(ChannelNameError::Empty));
        assert_eq!(
            ChannelName::from_wire("\0x"),
            Err(ChannelNameError::NotCanonical)
        );
    }

    #[test]
    fn the_limit_counts_bytes_of_the_wire_form() {
        assert!(ChannelName::new(&"x".repeat(255)).is_ok());
        assert!(ChannelName::new(&"ä".repeat(127)).is_ok());
        assert_eq!(
            ChannelName::new(&"ä".repeat(128)),
            Err(ChannelNameError::TooLong {
                len: 256,
                limit: 255
            })
        );
        assert!(ChannelName::new(&format!("\0{}", "x".repeat(254))).is_err());
    }

    #[test]
    fn a_name_is_its_text_in_serde_and_what_is_none_does_not_come_back() {
        let name = ChannelName::new("\0x").expect("valid");
        let json = serde_json::to_string(&name).expect("text");
        assert_eq!(json, r#""\u0000x""#);
        assert_eq!(serde_json::from_str::<ChannelName>(&json).ok(), Some(name));
        let node = serde_json::from_str::<NodeName>(r#""fra-1""#).expect("valid");
        assert_eq!(serde_json::to_string(&node).expect("text"), r#""fra-1""#);
        assert!(serde_json::from_str::<Region>(r#""a b""#).is_err());
        let long = format!("\"{}\"", "x".repeat(256));
        assert!(serde_json::from_str::<ChannelName>(&long).is_err());
    }

    #[test]
    fn labels_are_safe_in_file_names() {
        for good in ["a", "fra-1", "eu_central.1", "0"] {
            assert!(NodeName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", ".", "..", "a/b", "a b", "ä", &"x".repeat(64)] {
            assert!(Region::new(bad).is_err(), "{bad:?}");
        }
    }
}
