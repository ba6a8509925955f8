//! Writing any `Serialize` straight into the output, without a [`Value`](crate::Value) in between.

use std::fmt;

use serde::ser::{self, Serialize};

use crate::error::EncodeError;
use crate::wire::{put_bigint, put_bytes, put_i64, put_number, put_str, put_u64, put_varint, tag};

/// Deepest nesting of a Rust type in either direction. Serde recurses, so this bounds the stack.
pub const MAX_TYPED_DEPTH: usize = 128;

/// Appends the bytes of `value` to `out`, which is left as it was if that fails.
///
/// Allocates nothing but space in `out`. The module documentation has the mapping of types.
///
/// # Errors
/// [`EncodeError`].
pub fn to_bytes<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let mut serializer = Serializer { out, depth: 0 };
    value
        .serialize(&mut serializer)
        .inspect_err(|_| serializer.out.truncate(start))
}

struct Serializer<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
}

impl<'a> Serializer<'a> {
    /// Starts a container that takes `ends` ENDs to close.
    fn open<'b>(&'b mut self, tag: u8, ends: usize) -> Result<Container<'a, 'b>, EncodeError> {
        if self.depth + ends > MAX_TYPED_DEPTH {
            return Err(EncodeError::TooDeep {
                limit: MAX_TYPED_DEPTH,
            });
        }
        self.depth += ends;
        let tag_at = self.out.len();
        self.out.push(tag);
        Ok(Container {
            serializer: self,
            tag_at,
            ends,
        })
    }

    /// Starts `{variant: <tag>`.
    fn open_variant<'b>(
        &'b mut self,
        variant: &str,
        tag: u8,
    ) -> Result<Container<'a, 'b>, EncodeError> {
        let container = self.open(tag::OBJECT, 2)?;
        put_str(container.serializer.out, variant);
        container.serializer.out.push(tag);
        Ok(container)
    }
}

impl<'a, 'b> ser::Serializer for &'b mut Serializer<'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Container<'a, 'b>;
    type SerializeTuple = Container<'a, 'b>;
    type SerializeTupleStruct = Container<'a, 'b>;
    type SerializeTupleVariant = Container<'a, 'b>;
    type SerializeMap = Container<'a, 'b>;
    type SerializeStruct = Container<'a, 'b>;
    type SerializeStructVariant = Container<'a, 'b>;

    fn serialize_bool(self, bool: bool) -> Result<(), EncodeError> {
        self.out.push(if bool { tag::TRUE } else { tag::FALSE });
        Ok(())
    }

    fn serialize_i8(self, int: i8) -> Result<(), EncodeError> {
        self.serialize_i64(int.into())
    }

    fn serialize_i16(self, int: i16) -> Result<(), EncodeError> {
        self.serialize_i64(int.into())
    }

    fn serialize_i32(self, int: i32) -> Result<(), EncodeError> {
        self.serialize_i64(int.into())
    }

    #[inline]
    fn serialize_i64(self, int: i64) -> Result<(), EncodeError> {
        put_i64(self.out, int);
        Ok(())
    }

    fn serialize_i128(self, int: i128) -> Result<(), EncodeError> {
        match i64::try_from(int) {
            Ok(int) => put_i64(self.out, int),
            Err(_) => put_bigint(self.out, int < 0, &int.unsigned_abs().to_le_bytes()),
        }
        Ok(())
    }

    fn serialize_u8(self, int: u8) -> Result<(), EncodeError> {
        self.serialize_u64(int.into())
    }

    fn serialize_u16(self, int: u16) -> Result<(), EncodeError> {
        self.serialize_u64(int.into())
    }

    fn serialize_u32(self, int: u32) -> Result<(), EncodeError> {
        self.serialize_u64(int.into())
    }

    #[inline]
    fn serialize_u64(self, int: u64) -> Result<(), EncodeError> {
        put_u64(self.out, int);
        Ok(())
    }

    fn serialize_u128(self, int: u128) -> Result<(), EncodeError> {
        match u64::try_from(int) {
            Ok(int) => put_u64(self.out, int),
            Err(_) => put_bigint(self.out, false, &int.to_le_bytes()),
        }
        Ok(())
    }

    fn serialize_f32(self, number: f32) -> Result<(), EncodeError> {
        self.serialize_f64(number.into())
    }

    #[inline]
    fn serialize_f64(self, number: f64) -> Result<(), EncodeError> {
        put_number(self.out, number);
        Ok(())
    }

    fn serialize_char(self, char: char) -> Result<(), EncodeError> {
        self.serialize_str(char.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), EncodeError> {
        put_str(self.out, text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.out.push(tag::BYTES);
        put_bytes(self.out, bytes);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        let start = self.out.len();
        value.serialize(&mut *self)?;
        match self.out.get(start..) {
            Some([tag::NULL]) => Err(EncodeError::SomeOfNull),
            _ => Ok(()),
        }
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.out.push(tag::NULL);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        let container = self.open(tag::OBJECT, 1)?;
        put_str(container.serializer.out, variant);
        value.serialize(&mut *container.serializer)?;
        container.close()
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Container<'a, 'b>, EncodeError> {
        self.open(tag::ARRAY, 1)
    }

    fn serialize_tuple(self, _len: usize) -> Result<Container<'a, 'b>, EncodeError> {
        self.open(tag::ARRAY, 1)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Container<'a, 'b>, EncodeError> {
        self.open(tag::ARRAY, 1)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Container<'a, 'b>, EncodeError> {
        self.open_variant(variant, tag::ARRAY)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Container<'a, 'b>, EncodeError> {
        self.open(tag::OBJECT, 1)
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Container<'a, 'b>, EncodeError> {
        self.open(tag::OBJECT, 1)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Container<'a, 'b>, EncodeError> {
        self.open_variant(variant, tag::OBJECT)
    }

    /// Writes the text, then its length behind it, and swaps the two.
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        use fmt::Write;

        self.out.push(tag::STR);
        let start = self.out.len();
        write!(Appender(self.out), "{value}").map_err(ser::Error::custom)?;
        let end = self.out.len();
        put_varint(self.out, (end - start) as u64);
        let prefix = self.out.len() - end;
        if let Some(tail) = self.out.get_mut(start..) {
            tail.rotate_right(prefix);
        }
        Ok(())
    }
}

/// A container being written. Whether a map is an OBJECT or a MAP is settled by its keys: both have
/// the same layout, so the tag is corrected at the first key that is not a string.
struct Container<'a, 'b> {
    serializer: &'b mut Serializer<'a>,
    tag_at: usize,
    ends: usize,
}

impl Container<'_, '_> {
    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), EncodeError> {
        put_str(self.serializer.out, name);
        value.serialize(&mut *self.serializer)
    }

    #[inline]
    fn close(self) -> Result<(), EncodeError> {
        self.serializer.depth -= self.ends;
        (0..self.ends).for_each(|_| self.serializer.out.push(tag::END));
        Ok(())
    }
}

impl ser::SerializeSeq for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut *self.serializer)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

impl ser::SerializeTuple for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut *self.serializer)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut *self.serializer)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

impl ser::SerializeTupleVariant for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut *self.serializer)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

impl ser::SerializeMap for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        let key_at = self.serializer.out.len();
        key.serialize(&mut *self.serializer)?;
        if self.serializer.out.get(key_at) != Some(&tag::STR)
            && let Some(tag) = self.serializer.out.get_mut(self.tag_at)
        {
            *tag = tag::MAP;
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut *self.serializer)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

impl ser::SerializeStruct for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.field(name, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

impl ser::SerializeStructVariant for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.field(name, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

/// Formats into the output.
struct Appender<'a>(&'a mut Vec<u8>);

impl fmt::Write for Appender<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
