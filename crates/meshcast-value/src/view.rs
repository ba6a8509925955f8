//! Kinds of views on a buffer: element sizes, bounds, and reading elements.

use std::ops::Range;

use crate::error::BuildError;

/// The kind of a view on an `ArrayBuffer`: one of the typed arrays, or `DataView`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ViewKind {
    /// `Int8Array`
    Int8 = 0,
    /// `Uint8Array`
    Uint8 = 1,
    /// `Uint8ClampedArray`
    Uint8Clamped = 2,
    /// `Int16Array`
    Int16 = 3,
    /// `Uint16Array`
    Uint16 = 4,
    /// `Int32Array`
    Int32 = 5,
    /// `Uint32Array`
    Uint32 = 6,
    /// `Float16Array`
    Float16 = 7,
    /// `Float32Array`
    Float32 = 8,
    /// `Float64Array`
    Float64 = 9,
    /// `BigInt64Array`
    BigInt64 = 10,
    /// `BigUint64Array`
    BigUint64 = 11,
    /// `DataView`
    DataView = 12,
}

impl ViewKind {
    /// Every kind, at the position of its number on the wire.
    pub const ALL: [Self; 13] = [
        Self::Int8,
        Self::Uint8,
        Self::Uint8Clamped,
        Self::Int16,
        Self::Uint16,
        Self::Int32,
        Self::Uint32,
        Self::Float16,
        Self::Float32,
        Self::Float64,
        Self::BigInt64,
        Self::BigUint64,
        Self::DataView,
    ];

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Bytes per element; 1 for a `DataView`.
    pub const fn element_size(self) -> usize {
        match self {
            Self::Int8 | Self::Uint8 | Self::Uint8Clamped | Self::DataView => 1,
            Self::Int16 | Self::Uint16 | Self::Float16 => 2,
            Self::Int32 | Self::Uint32 | Self::Float32 => 4,
            Self::Float64 | Self::BigInt64 | Self::BigUint64 => 8,
        }
    }

    /// The name of the JavaScript constructor.
    pub const fn constructor_name(self) -> &'static str {
        match self {
            Self::Int8 => "Int8Array",
            Self::Uint8 => "Uint8Array",
            Self::Uint8Clamped => "Uint8ClampedArray",
            Self::Int16 => "Int16Array",
            Self::Uint16 => "Uint16Array",
            Self::Int32 => "Int32Array",
            Self::Uint32 => "Uint32Array",
            Self::Float16 => "Float16Array",
            Self::Float32 => "Float32Array",
            Self::Float64 => "Float64Array",
            Self::BigInt64 => "BigInt64Array",
            Self::BigUint64 => "BigUint64Array",
            Self::DataView => "DataView",
        }
    }

    /// The bytes a view covers in a buffer of `buffer_len` bytes. `length` counts elements; without
    /// one the view reaches as far as whole elements do.
    pub(crate) fn window(
        self,
        offset: usize,
        length: Option<usize>,
        buffer_len: usize,
    ) -> Result<Range<usize>, BuildError> {
        let size = self.element_size();
        if !offset.is_multiple_of(size) {
            return Err(BuildError::Misaligned);
        }
        let room = buffer_len
            .checked_sub(offset)
            .ok_or(BuildError::OutOfBounds)?;
        let length = length.unwrap_or(room / size);
        if length > room / size {
            return Err(BuildError::OutOfBounds);
        }
        Ok(offset..offset + length * size)
    }

    /// Reads one element from its bytes; `None` if there are not exactly
    /// [`element_size`](Self::element_size).
    pub(crate) fn element(self, bytes: &[u8]) -> Option<Element> {
        Some(match self {
            Self::Int8 => Element::Int(i8::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::Uint8 | Self::Uint8Clamped | Self::DataView => {
                Element::Int(u8::from_le_bytes(bytes.try_into().ok()?).into())
            }
            Self::Int16 => Element::Int(i16::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::Uint16 => Element::Int(u16::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::Int32 => Element::Int(i32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::Uint32 => Element::Int(u32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::Float16 => {
                Element::Float(half_to_f64(u16::from_le_bytes(bytes.try_into().ok()?)))
            }
            Self::Float32 => Element::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::Float64 => Element::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
            Self::BigInt64 => Element::Int(i64::from_le_bytes(bytes.try_into().ok()?)),
            Self::BigUint64 => Element::Unsigned(u64::from_le_bytes(bytes.try_into().ok()?)),
        })
    }
}

/// One element of a typed array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Element {
    Int(i64),
    Unsigned(u64),
    Float(f64),
}

fn half_to_f64(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    };
    if bits & 0x8000 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_elements_are_read_exactly() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 2f64.powi(-24)),
            (0x7bff, 65504.0),
            (0x7c00, f64::INFINITY),
        ];
        for (bits, number) in cases {
            assert_eq!(half_to_f64(bits), number);
        }
        assert!(half_to_f64(0x7e00).is_nan());
        assert!(half_to_f64(0x8000).is_sign_negative());
    }

    #[test]
    fn every_kind_stands_at_the_position_of_its_number() {
        for (number, kind) in ViewKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
    }
}
