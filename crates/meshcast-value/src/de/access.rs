//! The children of containers, one at a time.

use std::slice;

use serde::de::value::{BorrowedStrDeserializer, UnitDeserializer};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::key::ObjectKey;
use super::{Deserializer, lone_surrogate};
use crate::budget::Growth;
use crate::error::DecodeError;
use crate::view::{Element, ViewKind};
use crate::wire::{Text, tag, unexpected};

/// The charge of a hole besides its place, as it can take three bytes to ask for four billion
/// elements.
const HOLE_COST: usize = 64;

/// The elements of an ARRAY or members of a SET.
pub(super) struct Elements<'a, 'de> {
    de: &'a mut Deserializer<'de>,
    growth: Growth,
    holes: u64,
    done: bool,
}

impl<'a, 'de> Elements<'a, 'de> {
    pub(super) fn new(de: &'a mut Deserializer<'de>) -> Self {
        Self {
            de,
            growth: Growth::default(),
            holes: 0,
            done: false,
        }
    }

    /// Makes sure that the visitor took everything there was.
    pub(super) fn finish(&mut self) -> Result<(), DecodeError> {
        let offset = self.de.reader.pos;
        if self.more()? {
            return Err(DecodeError::Malformed {
                what: "more elements than the type has",
                offset,
            });
        }
        Ok(())
    }

    /// Whether another element follows. Named properties have no place in a Rust sequence.
    fn more(&mut self) -> Result<bool, DecodeError> {
        while !self.done && self.holes == 0 {
            match self.de.reader.peek()? {
                tag::END => {
                    self.de.reader.byte()?;
                    self.done = true;
                }
                tag::HOLES => {
                    self.de.reader.byte()?;
                    self.holes = self.de.reader.varint()?;
                }
                tag::PROPS => {
                    self.de.reader.byte()?;
                    while self.de.reader.peek()? != tag::END {
                        self.de.reader.text()?;
                        self.de.reader.skip_value()?;
                    }
                }
                _ => return Ok(true),
            }
        }
        Ok(!self.done)
    }
}

impl<'de> de::SeqAccess<'de> for &mut Elements<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        if !self.more()? {
            return Ok(None);
        }
        self.de.element::<T::Value>(&mut self.growth)?;
        if self.holes > 0 {
            self.holes -= 1;
            self.de.charge(HOLE_COST)?;
            return seed.deserialize(UnitDeserializer::new()).map(Some);
        }
        seed.deserialize(&mut *self.de).map(Some)
    }
}

/// What entries become.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Entries of a map, which take memory of their own.
    Map,
    /// Fields of a struct, whose memory has been charged as a whole.
    Struct,
}

/// The entries of an OBJECT or MAP.
pub(super) struct Entries<'a, 'de> {
    de: &'a mut Deserializer<'de>,
    /// Keys are strings that may stand for numbers.
    object: bool,
    shape: Shape,
    first: bool,
    done: bool,
}

impl<'a, 'de> Entries<'a, 'de> {
    pub(super) fn new(de: &'a mut Deserializer<'de>, object: bool, shape: Shape) -> Self {
        Self {
            de,
            object,
            shape,
            first: true,
            done: false,
        }
    }

    /// Makes sure that the visitor took everything there was.
    pub(super) fn finish(&mut self) -> Result<(), DecodeError> {
        let offset = self.de.reader.pos;
        if self.more()? {
            return Err(DecodeError::Malformed {
                what: "more entries than the type has",
                offset,
            });
        }
        Ok(())
    }

    fn more(&mut self) -> Result<bool, DecodeError> {
        if !self.done && self.de.reader.peek()? == tag::END {
            self.de.reader.byte()?;
            self.done = true;
        }
        Ok(!self.done)
    }
}

impl<'de> de::MapAccess<'de> for &mut Entries<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        if !self.more()? {
            return Ok(None);
        }
        if self.shape == Shape::Map {
            self.de.half_entry::<K::Value>(self.first)?;
        }
        if !self.object {
            return seed.deserialize(&mut *self.de).map(Some);
        }
        let text = self.de.reader.text()?;
        if self.shape == Shape::Map {
            self.de.charge(2 * text.byte_len())?;
        }
        match text {
            Text::Utf8(key) => seed.deserialize(ObjectKey(key)).map(Some),
            text => {
                let key = text.to_js_string();
                seed.deserialize(key.as_str().ok_or_else(lone_surrogate)?.into_deserializer())
                    .map(Some)
            }
        }
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        if self.shape == Shape::Map {
            self.de.half_entry::<T::Value>(self.first)?;
            self.first = false;
        }
        seed.deserialize(&mut *self.de)
    }
}

impl Deserializer<'_> {
    /// Charges for one more element of a list.
    #[inline]
    fn element<T>(&mut self, growth: &mut Growth) -> Result<(), DecodeError> {
        growth.push(size_of::<T>(), &mut self.budget)?;
        if self.element_cost > 0 {
            self.charge(self.element_cost)?;
        }
        Ok(())
    }

    /// Charges for the key or the value of one more entry of a map. A B-tree begins with a leaf of
    /// eleven entries and may later be half empty; a hash table may be somewhat less than half
    /// full.
    #[inline]
    fn half_entry<T>(&mut self, first: bool) -> Result<(), DecodeError> {
        let places = if first { 12 } else { 3 };
        let node = if first { 64 } else { 0 };
        self.charge(places * size_of::<T>() + node + self.element_cost)
    }
}

/// The fields of an item that has always the same ones, named as JavaScript names them.
pub(super) struct Fields<'a, 'de> {
    de: &'a mut Deserializer<'de>,
    names: slice::Iter<'static, &'static str>,
}

impl<'a, 'de> Fields<'a, 'de> {
    pub(super) fn new(de: &'a mut Deserializer<'de>, names: &'static [&'static str]) -> Self {
        Self {
            de,
            names: names.iter(),
        }
    }

    /// Steps over what the visitor did not take.
    pub(super) fn finish(&mut self) -> Result<(), DecodeError> {
        self.names
            .by_ref()
            .try_for_each(|_| self.de.reader.skip_value())
    }
}

impl<'de> de::MapAccess<'de> for &mut Fields<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let Some(name) = self.names.next() else {
            return Ok(None);
        };
        self.de.half_entry::<K::Value>(true)?;
        self.de.charge(name.len())?;
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        self.de.half_entry::<T::Value>(true)?;
        seed.deserialize(&mut *self.de)
    }
}

/// The elements of a typed array, or the bytes of a byte string.
pub(super) struct ViewElements<'a, 'de> {
    de: &'a mut Deserializer<'de>,
    growth: Growth,
    kind: ViewKind,
    bytes: &'de [u8],
}

impl<'a, 'de> ViewElements<'a, 'de> {
    pub(super) fn new(de: &'a mut Deserializer<'de>, kind: ViewKind, bytes: &'de [u8]) -> Self {
        Self {
            de,
            growth: Growth::default(),
            kind,
            bytes,
        }
    }
}

impl<'de> de::SeqAccess<'de> for ViewElements<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some((element, rest)) = self.bytes.split_at_checked(self.kind.element_size()) else {
            return Ok(None);
        };
        self.bytes = rest;
        self.de.element::<T::Value>(&mut self.growth)?;
        match self.kind.element(element) {
            Some(Element::Int(int)) => seed.deserialize(int.into_deserializer()).map(Some),
            Some(Element::Unsigned(int)) => seed.deserialize(int.into_deserializer()).map(Some),
            Some(Element::Float(number)) => seed.deserialize(number.into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len() / self.kind.element_size())
    }
}

/// `{variant: content}`, up to the END.
pub(super) struct Variant<'a, 'de> {
    pub(super) de: &'a mut Deserializer<'de>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let offset = self.de.reader.pos;
        let name = match self.de.reader.text()? {
            Text::Utf8(name) => name,
            Text::Utf16(_) => return Err(unexpected(tag::STR16, offset)),
        };
        let variant = seed.deserialize(BorrowedStrDeserializer::<DecodeError>::new(name))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        de::Deserialize::deserialize(self.de)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.de)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_seq(self.de, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_struct(self.de, "", &[], visitor)
    }
}
