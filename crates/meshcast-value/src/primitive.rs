//! The two primitives Rust has no type for: strings of UTF-16 code units and unbounded integers.

use std::borrow::Cow;
use std::fmt;

/// A JavaScript string: UTF-8 when it is well formed, UTF-16 code units when it holds a lone
/// surrogate.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JsString(Text);

impl JsString {
    /// A string of UTF-16 code units, which need not pair up.
    pub fn from_utf16(units: &[u16]) -> Self {
        match String::from_utf16(units) {
            Ok(text) => Self(Text::Utf8(text.into())),
            Err(_) => Self(Text::Utf16(units.into())),
        }
    }

    /// The text, unless it holds a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Text::Utf8(text) => Some(text),
            Text::Utf16(_) => None,
        }
    }

    /// The text, with U+FFFD in place of lone surrogates.
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        match &self.0 {
            Text::Utf8(text) => Cow::Borrowed(text),
            Text::Utf16(units) => Cow::Owned(String::from_utf16_lossy(units)),
        }
    }

    /// The UTF-16 code units, as JavaScript indexes them.
    pub fn to_utf16(&self) -> Cow<'_, [u16]> {
        match &self.0 {
            Text::Utf8(text) => text.encode_utf16().collect(),
            Text::Utf16(units) => Cow::Borrowed(units),
        }
    }

    /// The code units of a string that is not well formed; empty for one that is.
    pub(crate) fn utf16_units(&self) -> &[u16] {
        match &self.0 {
            Text::Utf8(_) => &[],
            Text::Utf16(units) => units,
        }
    }
}

impl From<&str> for JsString {
    fn from(text: &str) -> Self {
        Self(Text::Utf8(text.into()))
    }
}

impl From<String> for JsString {
    fn from(text: String) -> Self {
        Self(Text::Utf8(text.into()))
    }
}

impl PartialEq<str> for JsString {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for JsString {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Debug for JsString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Text::Utf8(text) => text.fmt(f),
            Text::Utf16(units) => write!(f, "utf16{units:04x?}"),
        }
    }
}

/// `Utf16` never holds well-formed text, so equal strings are equal here too.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Text {
    Utf8(Box<str>),
    Utf16(Box<[u16]>),
}

/// A bigint: a sign and a magnitude of any size.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BigInt {
    /// Never set for zero.
    negative: bool,
    /// Little-endian, without leading zeros.
    magnitude: Box<[u8]>,
}

impl BigInt {
    /// The integer of this sign and little-endian magnitude.
    pub fn new(negative: bool, magnitude: &[u8]) -> Self {
        let magnitude = trim_magnitude(magnitude);
        Self {
            negative: negative && !magnitude.is_empty(),
            magnitude: magnitude.into(),
        }
    }

    /// The integer of these decimal digits, which may follow a minus; `None` if there is anything
    /// else, or if the magnitude takes more than [`MAX_DECIMAL_BYTES`].
    pub(crate) fn from_decimal(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        // Two and a half digits make a byte, so this is not too few, and bounds what follows.
        if digits.is_empty() || digits.len() > 3 * MAX_DECIMAL_BYTES {
            return None;
        }
        let mut limbs: Vec<u32> = Vec::new();
        for chunk in digits.as_bytes().chunks(LIMB_DIGITS) {
            let mut carry = 0;
            for digit in chunk {
                carry = 10 * carry + u64::from(char::from(*digit).to_digit(10)?);
            }
            let scale = 10u64.pow(chunk.len() as u32);
            for limb in &mut limbs {
                carry += u64::from(*limb) * scale;
                *limb = carry as u32;
                carry >>= 32;
            }
            if carry > 0 {
                limbs.push(carry as u32);
            }
        }
        let magnitude: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        let int = Self::new(negative, &magnitude);
        (int.magnitude.len() <= MAX_DECIMAL_BYTES).then_some(int)
    }

    /// The decimal digits of the magnitude.
    fn decimal(&self) -> String {
        use std::fmt::Write;

        let mut limbs: Vec<u32> = self
            .magnitude
            .chunks(4)
            .map(|bytes| {
                bytes
                    .iter()
                    .rev()
                    .fold(0, |limb, byte| limb << 8 | u32::from(*byte))
            })
            .collect();
        let mut chunks = Vec::new();
        while !limbs.is_empty() {
            let mut rest = 0;
            for limb in limbs.iter_mut().rev() {
                let dividend = rest << 32 | u64::from(*limb);
                *limb = (dividend / LIMB_BASE) as u32;
                rest = dividend % LIMB_BASE;
            }
            chunks.push(rest);
            while limbs.last() == Some(&0) {
                limbs.pop();
            }
        }
        let mut digits = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            // Writing to a string cannot fail.
            let _ = write!(digits, "{chunk:0LIMB_DIGITS$}");
        }
        digits
    }

    /// Whether the integer is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The absolute value, little-endian, without leading zeros.
    pub fn magnitude(&self) -> &[u8] {
        &self.magnitude
    }

    /// The integer, if it fits.
    pub fn to_i128(&self) -> Option<i128> {
        small_magnitude(&self.magnitude).and_then(|magnitude| signed(self.negative, magnitude))
    }

    /// The integer, if it fits.
    pub fn to_u128(&self) -> Option<u128> {
        if self.negative {
            None
        } else {
            small_magnitude(&self.magnitude)
        }
    }
}

impl From<i128> for BigInt {
    fn from(int: i128) -> Self {
        Self::new(int < 0, &int.unsigned_abs().to_le_bytes())
    }
}

impl From<u128> for BigInt {
    fn from(int: u128) -> Self {
        Self::new(false, &int.to_le_bytes())
    }
}

impl From<i64> for BigInt {
    fn from(int: i64) -> Self {
        Self::from(i128::from(int))
    }
}

impl From<u64> for BigInt {
    fn from(int: u64) -> Self {
        Self::from(u128::from(int))
    }
}

/// Longest magnitude that is read from and written as decimal digits, in bytes: 2,466 digits, as
/// much as the largest keys have. It takes time quadratic in the digits, here some ten
/// microseconds.
const MAX_DECIMAL_BYTES: usize = 1024;
/// Decimal digits handled at once.
const LIMB_DIGITS: usize = 9;
const LIMB_BASE: u64 = 1_000_000_000;

/// Decimal up to 1 KiB. Hexadecimal with `0x` beyond, since that takes time linear in the size.
impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        if let Some(magnitude) = small_magnitude(&self.magnitude) {
            return write!(f, "{magnitude}");
        }
        if self.magnitude.len() <= MAX_DECIMAL_BYTES {
            return f.write_str(&self.decimal());
        }
        let mut bytes = self.magnitude.iter().rev();
        if let Some(top) = bytes.next() {
            write!(f, "0x{top:x}")?;
        }
        bytes.try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}n")
    }
}

/// A magnitude of up to 128 bits.
pub(crate) fn small_magnitude(magnitude: &[u8]) -> Option<u128> {
    let magnitude = trim_magnitude(magnitude);
    let mut bytes = [0; 16];
    bytes.get_mut(..magnitude.len())?.copy_from_slice(magnitude);
    Some(u128::from_le_bytes(bytes))
}

pub(crate) fn signed(negative: bool, magnitude: u128) -> Option<i128> {
    if negative {
        0i128.checked_sub_unsigned(magnitude)
    } else {
        i128::try_from(magnitude).ok()
    }
}

/// A little-endian magnitude without leading zeros, that is, without zero bytes at the end.
pub(crate) fn trim_magnitude(magnitude: &[u8]) -> &[u8] {
    let len = magnitude
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    magnitude.get(..len).unwrap_or_default()
}
