//! Conversions from Rust's own types, into a whole [`Value`] and into a [`Part`] of one.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::budget::DecodeLimits;
use crate::build::Part;
use crate::de::from_bytes;
use crate::error::{DecodeError, EncodeError};
use crate::node::{Slot, Value};
use crate::primitive::{BigInt, JsString};
use crate::ser::to_bytes;
use crate::wire::MAX_SAFE;

impl Value {
    /// The value that [`to_bytes`] would write for `value`.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        let mut bytes = Vec::new();
        to_bytes(value, &mut bytes)?;
        // The bytes are our own, so there is nobody to guard against.
        let limits = DecodeLimits {
            max_memory: usize::MAX,
            ..DecodeLimits::default()
        };
        Self::decode(&bytes, &limits).map_err(serde::ser::Error::custom)
    }

    /// Reads a Rust type out of the value, as [`from_bytes`] does.
    ///
    /// # Errors
    /// [`DecodeError`], also if it does not fit the type.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes)
            .map_err(<DecodeError as serde::de::Error>::custom)?;
        from_bytes(&bytes)
    }
}

impl From<bool> for Part {
    fn from(bool: bool) -> Self {
        Self(Slot::Bool(bool))
    }
}

impl From<f64> for Part {
    fn from(number: f64) -> Self {
        Self(Slot::Number(number))
    }
}

impl From<f32> for Part {
    fn from(number: f32) -> Self {
        Self(Slot::Number(number.into()))
    }
}

impl From<i32> for Part {
    fn from(int: i32) -> Self {
        Self(Slot::Number(int.into()))
    }
}

impl From<u32> for Part {
    fn from(int: u32) -> Self {
        Self(Slot::Number(int.into()))
    }
}

/// A Number when exact, a BigInt otherwise.
impl From<i64> for Part {
    fn from(int: i64) -> Self {
        Self(if int.unsigned_abs() <= MAX_SAFE {
            Slot::Number(int as f64)
        } else {
            Slot::BigInt(int.into())
        })
    }
}

/// A Number when exact, a BigInt otherwise.
impl From<u64> for Part {
    fn from(int: u64) -> Self {
        Self(if int <= MAX_SAFE {
            Slot::Number(int as f64)
        } else {
            Slot::BigInt(int.into())
        })
    }
}

impl From<BigInt> for Part {
    fn from(bigint: BigInt) -> Self {
        Self(Slot::BigInt(bigint))
    }
}

impl From<JsString> for Part {
    fn from(text: JsString) -> Self {
        Self(Slot::String(text))
    }
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self(Slot::String(text.into()))
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self(Slot::String(text.into()))
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::primitive(Part::from(bool).0)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::primitive(Part::from(number).0)
    }
}

impl From<f32> for Value {
    fn from(number: f32) -> Self {
        Self::primitive(Part::from(number).0)
    }
}

impl From<i32> for Value {
    fn from(int: i32) -> Self {
        Self::primitive(Part::from(int).0)
    }
}

impl From<u32> for Value {
    fn from(int: u32) -> Self {
        Self::primitive(Part::from(int).0)
    }
}

/// A Number when exact, a BigInt otherwise.
impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::primitive(Part::from(int).0)
    }
}

/// A Number when exact, a BigInt otherwise.
impl From<u64> for Value {
    fn from(int: u64) -> Self {
        Self::primitive(Part::from(int).0)
    }
}

impl From<BigInt> for Value {
    fn from(bigint: BigInt) -> Self {
        Self::primitive(Part::from(bigint).0)
    }
}

impl From<JsString> for Value {
    fn from(text: JsString) -> Self {
        Self::primitive(Part::from(text).0)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::primitive(Part::from(text).0)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::primitive(Part::from(text).0)
    }
}
