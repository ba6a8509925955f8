//! The values that each type of serde is read from.

use serde::de::{self, Visitor};

use super::access::{Shape, Variant, ViewElements};
use super::{Deserializer, MAX_TYPED_DEPTH};
use crate::error::DecodeError;
use crate::view::ViewKind;
use crate::wire::tag;

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = DecodeError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.tagged(|de, tag| de.any(tag, visitor))
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.integer(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.integer(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.integer(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.integer(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.integer(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.integer(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.integer(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.integer(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.integer(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.integer(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.reader.peek()? {
            tag::UNDEFINED | tag::NULL => {
                self.reader.byte()?;
                visitor.visit_none()
            }
            _ => {
                // A type that is nothing but an option of itself would be read for ever: no byte is
                // taken here.
                if self.some_at != self.reader.pos {
                    self.some_at = self.reader.pos;
                    self.somes = 0;
                }
                self.somes += 1;
                if self.somes > MAX_TYPED_DEPTH {
                    return Err(DecodeError::TooDeep {
                        limit: MAX_TYPED_DEPTH,
                    });
                }
                visitor.visit_some(self)
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.tagged(|de, tag| match tag {
            tag::ARRAY | tag::SET => de.sequence(visitor),
            tag::VIEW | tag::TRACKING_VIEW => {
                let (kind, bytes) = de.view(tag)?;
                visitor.visit_seq(ViewElements::new(de, kind, bytes))
            }
            _ => match de.content(tag)? {
                Some(bytes) => visitor.visit_seq(ViewElements::new(de, ViewKind::Uint8, bytes)),
                None => de.any(tag, visitor),
            },
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.tagged(|de, tag| match tag {
            tag::OBJECT | tag::MAP => de.entries(tag, Shape::Struct, visitor),
            _ => de.any(tag, visitor),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.charge(size_of::<V::Value>())?;
        self.tagged(|de, tag| match tag {
            tag::STR => {
                visitor.visit_enum(de::value::BorrowedStrDeserializer::new(de.reader.utf8()?))
            }
            tag::OBJECT | tag::MAP => de.nested(|de| {
                let value = visitor.visit_enum(Variant { de })?;
                let offset = de.reader.pos;
                match de.reader.byte()? {
                    tag::END => Ok(value),
                    _ => Err(DecodeError::Malformed {
                        what: "enum with more than one variant",
                        offset,
                    }),
                }
            }),
            _ => de.any(tag, visitor),
        })
    }

    /// Steps over the value whatever its depth, and does not look for errors inside.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.reader.skip_value()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool f32 f64 char str string bytes byte_buf unit unit_struct map identifier
    }
}
