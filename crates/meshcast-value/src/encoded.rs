//! A value that is carried and not looked into.

use std::fmt;

use bytes::Bytes;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::budget::DecodeLimits;
use crate::error::{DecodeError, EncodeError};
use crate::node::Value;

/// A value as its bytes, for whoever hands values on without reading them: another language's
/// runtime, a gateway, a recorder.
///
/// The bytes may come from anybody and may be no value at all; [`decode`](Self::decode) tells. As
/// part of another serde type it takes the form of the [`Value`] that it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedValue(Bytes);

impl EncodedValue {
    /// Takes bytes for a value, unseen.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The value.
    ///
    /// # Errors
    /// [`DecodeError`], as [`Value::decode`] has it.
    pub fn decode(&self, limits: &DecodeLimits) -> Result<Value, DecodeError> {
        Value::decode(&self.0, limits)
    }
}

impl TryFrom<&Value> for EncodedValue {
    type Error = EncodeError;

    fn try_from(value: &Value) -> Result<Self, EncodeError> {
        let mut bytes = Vec::new();
        value.encode(&mut bytes)?;
        Ok(Self(bytes.into()))
    }
}

impl Serialize for EncodedValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self
            .decode(&DecodeLimits::default())
            .map_err(S::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EncodedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <Value as Deserialize>::deserialize(deserializer)?;
        Self::try_from(&value).map_err(D::Error::custom)
    }
}

impl fmt::Debug for EncodedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decode(&DecodeLimits::default()) {
            Ok(value) => value.fmt(f),
            Err(error) => write!(f, "EncodedValue({error})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{from_bytes, to_bytes};

    #[test]
    fn inside_other_types_it_is_the_value_that_it_holds() {
        let value = Value::object([("a", Value::from(1))]);
        let encoded = EncodedValue::try_from(&value).expect("shallow");
        assert_eq!(encoded.decode(&DecodeLimits::default()), Ok(value));
        let mut bytes = Vec::new();
        to_bytes(&[&encoded], &mut bytes).expect("a list");
        let back: Vec<EncodedValue> = from_bytes(&bytes).expect("a list of values");
        assert_eq!(back, [encoded]);
    }

    #[test]
    fn what_is_no_value_is_told_when_it_is_read() {
        let encoded = EncodedValue::new(vec![0xff]);
        assert!(encoded.decode(&DecodeLimits::default()).is_err());
        assert!(to_bytes(&encoded, &mut Vec::new()).is_err());
        assert!(format!("{encoded:?}").contains("unknown tag"));
    }
}
