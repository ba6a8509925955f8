//! The shared parts of encoders and decoders: tags, how scalars are written, and a bounds-checked
//! reader.

use crate::error::DecodeError;
use crate::primitive::{JsString, trim_magnitude};

/// The tags, as the table at the top of `lib.rs` defines them.
pub(crate) mod tag {
    pub(crate) const END: u8 = 0x00;
    pub(crate) const UNDEFINED: u8 = 0x01;
    pub(crate) const NULL: u8 = 0x02;
    pub(crate) const FALSE: u8 = 0x03;
    pub(crate) const TRUE: u8 = 0x04;
    pub(crate) const INT: u8 = 0x05;
    pub(crate) const F64: u8 = 0x06;
    pub(crate) const BIGINT: u8 = 0x07;
    pub(crate) const BIGINT_NEGATIVE: u8 = 0x08;
    pub(crate) const STR: u8 = 0x09;
    pub(crate) const STR16: u8 = 0x0a;
    pub(crate) const HOLES: u8 = 0x0b;
    pub(crate) const PROPS: u8 = 0x0c;
    pub(crate) const REF: u8 = 0x0d;
    pub(crate) const OBJECT: u8 = 0x10;
    pub(crate) const ARRAY: u8 = 0x11;
    pub(crate) const MAP: u8 = 0x12;
    pub(crate) const SET: u8 = 0x13;
    pub(crate) const BYTES: u8 = 0x14;
    pub(crate) const ARRAY_BUFFER: u8 = 0x15;
    pub(crate) const RESIZABLE_BUFFER: u8 = 0x16;
    pub(crate) const VIEW: u8 = 0x17;
    pub(crate) const TRACKING_VIEW: u8 = 0x18;
    pub(crate) const DATE: u8 = 0x19;
    pub(crate) const REGEXP: u8 = 0x1a;
    pub(crate) const BOXED: u8 = 0x1b;
    pub(crate) const ERROR: u8 = 0x1c;
    pub(crate) const DOM_EXCEPTION: u8 = 0x1d;
    pub(crate) const BLOB: u8 = 0x1e;
    pub(crate) const FILE: u8 = 0x1f;
}

/// Bit of an ERROR's flags: a stack string follows the message.
pub(crate) const HAS_STACK: u8 = 1;
/// Bit of an ERROR's flags: a cause follows as the last field.
pub(crate) const HAS_CAUSE: u8 = 2;

/// Largest n for which every integer up to ±n is exact as a Number.
pub(crate) const MAX_SAFE: u64 = (1 << 53) - 1;

/// The object numbers that an item takes: a BYTES is a view and its buffer at once.
pub(crate) const fn numbers_taken(tag: u8) -> usize {
    match tag {
        tag::BYTES => 2,
        tag::OBJECT..=tag::FILE => 1,
        _ => 0,
    }
}

/// The error for a tag that may not stand at `offset`.
#[cold]
pub(crate) fn unexpected(tag: u8, offset: usize) -> DecodeError {
    match tag {
        tag::END..=tag::REF | tag::OBJECT..=tag::FILE => DecodeError::MisplacedTag { tag, offset },
        _ => DecodeError::UnknownTag { tag, offset },
    }
}

/// A string as it stands in the input.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text<'de> {
    Utf8(&'de str),
    /// Code units, two little-endian bytes each.
    Utf16(&'de [u8]),
}

impl Text<'_> {
    pub(crate) fn byte_len(&self) -> usize {
        match self {
            Self::Utf8(text) => text.len(),
            Self::Utf16(units) => units.len(),
        }
    }

    pub(crate) fn to_js_string(self) -> JsString {
        match self {
            Self::Utf8(text) => JsString::from(text),
            Self::Utf16(bytes) => {
                let units: Vec<u16> = bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|unit| u16::from_le_bytes(*unit))
                    .collect();
                JsString::from_utf16(&units)
            }
        }
    }
}

/// What one item does to the nesting, for readers that only step over it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Complete in itself.
    Whole,
    /// Opens a container that END closes.
    Open,
    /// Closes one.
    Close,
    /// Complete once the item that follows is.
    Prefix,
}

/// A position in the input. Every read is checked against what is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'de> {
    input: &'de [u8],
    pub(crate) pos: usize,
}

impl<'de> Reader<'de> {
    pub(crate) fn new(input: &'de [u8]) -> Self {
        Self { input, pos: 0 }
    }

    pub(crate) fn at(&self, pos: usize) -> Self {
        Self {
            input: self.input,
            pos,
        }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Result<u8, DecodeError> {
        self.input
            .get(self.pos)
            .copied()
            .ok_or(DecodeError::Truncated { offset: self.pos })
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = self.peek()?;
        self.pos += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'de [u8], DecodeError> {
        let rest = self.input.get(self.pos..).unwrap_or_default();
        let taken = rest
            .get(..len)
            .ok_or(DecodeError::Truncated { offset: self.pos })?;
        self.pos += len;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let offset = self.pos - 1;
        let mut value = u64::from(first & 0x7f);
        for shift in (7..56).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if byte == 0 {
                    Err(DecodeError::InvalidVarint { offset })
                } else {
                    Ok(value)
                };
            }
        }
        Err(DecodeError::InvalidVarint { offset })
    }

    /// A length-prefixed byte string.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'de [u8], DecodeError> {
        let offset = self.pos;
        let len = self.size()?;
        self.take(len)
            .map_err(|_| DecodeError::Truncated { offset })
    }

    /// A varint that counts bytes or elements held in memory.
    #[inline]
    pub(crate) fn size(&mut self) -> Result<usize, DecodeError> {
        let offset = self.pos;
        usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated { offset })
    }

    /// The body of an INT.
    #[inline]
    pub(crate) fn int(&mut self) -> Result<i64, DecodeError> {
        let offset = self.pos;
        let zigzag = self.varint()?;
        let int = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        if int.unsigned_abs() > MAX_SAFE {
            return Err(DecodeError::Malformed {
                what: "integer beyond ±(2^53 - 1)",
                offset,
            });
        }
        Ok(int)
    }

    #[inline]
    pub(crate) fn f64(&mut self) -> Result<f64, DecodeError> {
        let bytes = self.take(8)?;
        let number = bytes
            .first_chunk()
            .map_or(f64::NAN, |bytes| f64::from_le_bytes(*bytes));
        Ok(if number.is_nan() { f64::NAN } else { number })
    }

    /// The body of a STR.
    #[inline]
    pub(crate) fn utf8(&mut self) -> Result<&'de str, DecodeError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::InvalidUtf8 {
            offset: self.pos - bytes.len(),
        })
    }

    /// The body of a STR16.
    pub(crate) fn utf16(&mut self) -> Result<&'de [u8], DecodeError> {
        let offset = self.pos;
        let bytes = self.bytes()?;
        if bytes.len() % 2 == 1 {
            return Err(DecodeError::Malformed {
                what: "half a utf-16 code unit",
                offset,
            });
        }
        Ok(bytes)
    }

    /// A whole string item, as keys and names are written.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Text<'de>, DecodeError> {
        let offset = self.pos;
        match self.byte()? {
            tag::STR => self.utf8().map(Text::Utf8),
            tag::STR16 => self.utf16().map(Text::Utf16),
            tag => Err(unexpected(tag, offset)),
        }
    }

    /// Steps over one whole value without recursion. The content is measured, not validated.
    pub(crate) fn skip_value(&mut self) -> Result<(), DecodeError> {
        let mut open = 0usize;
        loop {
            let offset = self.pos;
            match self.step_over()?.1 {
                Step::Open => open += 1,
                Step::Close if open == 0 => return Err(unexpected(tag::END, offset)),
                Step::Close => open -= 1,
                Step::Prefix => continue,
                Step::Whole => {}
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// Steps over the next tag and its own fields, not its children; returns the tag.
    pub(crate) fn skip_item(&mut self) -> Result<u8, DecodeError> {
        Ok(self.step_over()?.0)
    }

    fn step_over(&mut self) -> Result<(u8, Step), DecodeError> {
        let offset = self.pos;
        let tag = self.byte()?;
        let mut step = Step::Whole;
        match tag {
            tag::END => step = Step::Close,
            tag::UNDEFINED | tag::NULL | tag::FALSE | tag::TRUE | tag::PROPS => {}
            tag::INT | tag::HOLES | tag::REF => drop(self.varint()?),
            tag::F64 | tag::DATE => drop(self.take(8)?),
            tag::BIGINT
            | tag::BIGINT_NEGATIVE
            | tag::STR
            | tag::STR16
            | tag::BYTES
            | tag::ARRAY_BUFFER => {
                self.bytes()?;
            }
            tag::OBJECT | tag::ARRAY | tag::MAP | tag::SET => step = Step::Open,
            tag::RESIZABLE_BUFFER => {
                self.varint()?;
                self.bytes()?;
            }
            tag::VIEW | tag::TRACKING_VIEW => {
                self.byte()?;
                self.varint()?;
                if tag == tag::VIEW {
                    self.varint()?;
                }
                step = Step::Prefix;
            }
            tag::REGEXP | tag::DOM_EXCEPTION => {
                self.skip_text()?;
                self.skip_text()?;
            }
            tag::BOXED => step = Step::Prefix,
            tag::ERROR => {
                let flags = self.byte()?;
                self.skip_text()?;
                self.skip_text()?;
                if flags & HAS_STACK != 0 {
                    self.skip_text()?;
                }
                if flags & HAS_CAUSE != 0 {
                    step = Step::Prefix;
                }
            }
            tag::BLOB => {
                self.skip_text()?;
                self.bytes()?;
            }
            tag::FILE => {
                self.skip_text()?;
                self.skip_text()?;
                self.take(8)?;
                self.bytes()?;
            }
            _ => return Err(unexpected(tag, offset)),
        }
        Ok((tag, step))
    }

    fn skip_text(&mut self) -> Result<(), DecodeError> {
        let offset = self.pos;
        match self.byte()? {
            tag::STR | tag::STR16 => self.bytes().map(drop),
            tag => Err(unexpected(tag, offset)),
        }
    }
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 4);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    out.push(tag::STR);
    put_bytes(out, text.as_bytes());
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &JsString) {
    match text.as_str() {
        Some(text) => put_str(out, text),
        None => {
            out.push(tag::STR16);
            let units = text.utf16_units();
            put_varint(out, units.len() as u64 * 2);
            units
                .iter()
                .for_each(|unit| out.extend_from_slice(&unit.to_le_bytes()));
        }
    }
}

/// A Number: INT when it is a safe integer other than -0, F64 otherwise.
#[inline]
pub(crate) fn put_number(out: &mut Vec<u8>, number: f64) {
    let int = number as i64;
    if int as f64 == number
        && int.unsigned_abs() <= MAX_SAFE
        && (int != 0 || number.is_sign_positive())
    {
        put_safe_int(out, int);
    } else {
        out.push(tag::F64);
        put_f64(out, number);
    }
}

/// Eight bytes; every NaN becomes the same one.
#[inline]
pub(crate) fn put_f64(out: &mut Vec<u8>, number: f64) {
    let bits = if number.is_nan() {
        CANONICAL_NAN
    } else {
        number.to_bits()
    };
    out.extend_from_slice(&bits.to_le_bytes());
}

/// A Number when exact, a BigInt otherwise.
#[inline]
pub(crate) fn put_i64(out: &mut Vec<u8>, int: i64) {
    if int.unsigned_abs() <= MAX_SAFE {
        put_safe_int(out, int);
    } else {
        put_bigint(out, int < 0, &int.unsigned_abs().to_le_bytes());
    }
}

/// As [`put_i64`].
#[inline]
pub(crate) fn put_u64(out: &mut Vec<u8>, int: u64) {
    if int <= MAX_SAFE {
        put_safe_int(out, int as i64);
    } else {
        put_bigint(out, false, &int.to_le_bytes());
    }
}

pub(crate) fn put_bigint(out: &mut Vec<u8>, negative: bool, magnitude: &[u8]) {
    let magnitude = trim_magnitude(magnitude);
    out.push(if negative {
        tag::BIGINT_NEGATIVE
    } else {
        tag::BIGINT
    });
    put_bytes(out, magnitude);
}

#[inline]
fn put_safe_int(out: &mut Vec<u8>, int: i64) {
    out.push(tag::INT);
    put_varint(out, (int << 1 ^ int >> 63) as u64);
}

const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;
