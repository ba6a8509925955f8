//! Reading a [`Value`] as part of other serde types and out of other formats.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::budget::{Budget, DEFAULT_MAX_MEMORY, Exceeded};
use crate::build::{Part, ValueBuilder};
use crate::decode::{ENTRY_COST, NODE_COST, SLOT_COST};
use crate::error::JsonError;
use crate::node::Value;
use crate::primitive::BigInt;

/// Reads what JSON can say, as [`Value::from_json`] does, and byte strings. Integers beyond
/// ±(2^53-1) become bigints, as far as the format hands them over whole: serde_json does so up to
/// 64 bits.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut builder = ValueBuilder::new();
        let mut budget = Budget::new(DEFAULT_MAX_MEMORY);
        let reader = Reader {
            builder: &mut builder,
            budget: &mut budget,
        };
        let root = reader.deserialize(deserializer)?;
        Ok(builder.finish(root))
    }
}

/// Adds what it reads to the builder.
struct Reader<'a> {
    builder: &'a mut ValueBuilder,
    budget: &'a mut Budget,
}

impl Reader<'_> {
    fn inner(&mut self) -> Reader<'_> {
        Reader {
            builder: self.builder,
            budget: self.budget,
        }
    }

    fn charge<E: Error>(&mut self, cost: usize) -> Result<(), E> {
        self.budget
            .charge(cost)
            .map_err(|over: Exceeded| E::custom(JsonError::from(over)))
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Part;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Part, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything that JSON can say")
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<Part, E> {
        Ok(bool.into())
    }

    fn visit_i64<E: Error>(self, int: i64) -> Result<Part, E> {
        Ok(int.into())
    }

    fn visit_u64<E: Error>(self, int: u64) -> Result<Part, E> {
        Ok(int.into())
    }

    fn visit_i128<E: Error>(self, int: i128) -> Result<Part, E> {
        Ok(i64::try_from(int).map_or_else(|_| BigInt::from(int).into(), Part::from))
    }

    fn visit_u128<E: Error>(self, int: u128) -> Result<Part, E> {
        Ok(u64::try_from(int).map_or_else(|_| BigInt::from(int).into(), Part::from))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Part, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<Part, E> {
        self.charge(text.len())?;
        Ok(text.into())
    }

    fn visit_bytes<E: Error>(mut self, bytes: &[u8]) -> Result<Part, E> {
        self.charge(2 * NODE_COST + bytes.len())?;
        Ok(self.builder.bytes(bytes.to_vec()))
    }

    fn visit_none<E: Error>(self) -> Result<Part, E> {
        Ok(Part::NULL)
    }

    fn visit_unit<E: Error>(self) -> Result<Part, E> {
        Ok(Part::NULL)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Part, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Part, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Part, A::Error> {
        self.charge(NODE_COST)?;
        let array = self.builder.array();
        while let Some(item) = items.next_element_seed(self.inner())? {
            self.charge(SLOT_COST)?;
            self.builder.push(array, item).map_err(Error::custom)?;
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Part, A::Error> {
        self.charge(NODE_COST)?;
        let object = self.builder.object();
        while let Some(key) = entries.next_key::<String>()? {
            self.charge(ENTRY_COST + key.len())?;
            let value = entries.next_value_seed(self.inner())?;
            self.builder.set(object, key, value);
        }
        self.builder.drop_repeated_keys(object);
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[test]
    fn a_value_inside_another_type_takes_its_json_form() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Wrapped {
            inner: Value,
        }
        let wrapped = Wrapped {
            inner: Value::from_json(serde_json::json!({"a": [1, "x", null]})),
        };
        let mut bytes = Vec::new();
        crate::to_bytes(&wrapped, &mut bytes).expect("encodes");
        assert_eq!(
            crate::from_bytes::<Wrapped>(&bytes).expect("decodes"),
            wrapped
        );
    }
}
