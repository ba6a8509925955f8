//! Reading any `Deserialize` straight from the input, without a [`Value`](crate::Value) in between.

use serde::de::{self, Deserialize, Unexpected, Visitor};

use self::access::{Elements, Entries, Fields, Shape, ViewElements};
use crate::budget::{Budget, DecodeLimits};
use crate::error::DecodeError;
use crate::primitive::{signed, small_magnitude};
use crate::ser::MAX_TYPED_DEPTH;
use crate::view::ViewKind;
use crate::wire::{HAS_CAUSE, HAS_STACK, Reader, Text, numbers_taken, tag, unexpected};

mod access;
mod key;
mod typed;

/// Reads a `T` that takes up all of `bytes`, borrowing strings and byte strings from them, within
/// the default [`DecodeLimits`].
///
/// A shared object of JavaScript becomes one value in Rust for each reference. The module
/// documentation has the mapping of types.
///
/// # Errors
/// [`DecodeError`] for what is no value, does not fit the type, or would exceed a limit.
pub fn from_bytes<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    from_bytes_within(bytes, &DecodeLimits::default())
}

/// As [`from_bytes`], within these limits.
///
/// The memory counted is that of the elements, entries, strings and bytes that `T` is given, in
/// lists that grow as a `Vec` does. Copies that a `Deserialize` makes by itself, such as an
/// untagged enum that reads everything a second time, are not seen here.
///
/// # Errors
/// As of [`from_bytes`].
pub fn from_bytes_within<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    limits: &DecodeLimits,
) -> Result<T, DecodeError> {
    let mut deserializer = Deserializer::new(bytes, limits);
    let value = T::deserialize(&mut deserializer)?;
    let offset = deserializer.reader.pos;
    if offset < bytes.len() {
        Err(DecodeError::TrailingBytes { offset })
    } else {
        Ok(value)
    }
}

/// The charge of a reference besides the bytes of its object, which are read twice: once to find
/// their end, once for what they mean.
const REF_COST: usize = 32;
/// The charge for each element of an object that is read again, besides its size: the smallest
/// piece an allocator hands out, as any of them may be a box or a node of a list or tree.
const REREAD_COST: usize = 32;
/// What is remembered of each object before a reference, in a list that may be half empty.
const START_COST: usize = 2 * size_of::<usize>();

const ALL_FLAGS: u8 = HAS_STACK | HAS_CAUSE;

struct Deserializer<'de> {
    reader: Reader<'de>,
    depth: usize,
    max_depth: usize,
    budget: Budget,
    /// What each element costs besides its size: [`REREAD_COST`] inside an object that is read
    /// again.
    element_cost: usize,
    /// The position at which the last `Some` began, and how many did there.
    some_at: usize,
    somes: usize,
    /// Where each object starts, by its number, as far as `scanned`. Filled in only for references.
    starts: Vec<usize>,
    scanned: usize,
}

impl<'de> Deserializer<'de> {
    fn new(bytes: &'de [u8], limits: &DecodeLimits) -> Self {
        Self {
            reader: Reader::new(bytes),
            depth: 0,
            max_depth: limits.max_depth.min(MAX_TYPED_DEPTH),
            budget: Budget::new(limits.max_memory),
            element_cost: 0,
            some_at: 0,
            somes: 0,
            starts: Vec::new(),
            scanned: 0,
        }
    }

    /// Reads a tag and hands it on, looking through references and boxes.
    #[inline]
    fn tagged<T>(
        &mut self,
        read: impl FnOnce(&mut Self, u8) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let offset = self.reader.pos;
        match self.reader.byte()? {
            tag::REF => {
                let resume = self.follow(offset)?;
                let outside = std::mem::replace(&mut self.element_cost, REREAD_COST);
                let tag = self.reader.byte()?;
                let tag = self.unboxed(tag)?;
                let value = read(self, tag)?;
                self.element_cost = outside;
                self.reader.pos = resume;
                Ok(value)
            }
            tag => {
                let tag = self.unboxed(tag)?;
                read(self, tag)
            }
        }
    }

    /// The tag of the primitive inside, if `tag` is BOXED.
    #[inline]
    fn unboxed(&mut self, tag: u8) -> Result<u8, DecodeError> {
        if tag != tag::BOXED {
            return Ok(tag);
        }
        let offset = self.reader.pos;
        match self.reader.byte()? {
            tag @ tag::FALSE..=tag::STR16 => Ok(tag),
            tag => Err(unexpected(tag, offset)),
        }
    }

    /// Goes to the object that the reference at `offset` names; returns where to resume.
    fn follow(&mut self, offset: usize) -> Result<usize, DecodeError> {
        let start = self.referenced(offset)?;
        let resume = self.reader.pos;
        let mut target = self.reader.at(start);
        target.skip_value()?;
        if target.pos > offset {
            return Err(DecodeError::Cycle { offset });
        }
        self.charge(REF_COST + target.pos - start)?;
        self.reader.pos = start;
        Ok(resume)
    }

    /// Reads the number of a reference; returns where the object starts.
    fn referenced(&mut self, offset: usize) -> Result<usize, DecodeError> {
        let index = self.reader.varint()?;
        let mut scan = self.reader.at(self.scanned);
        while scan.pos < offset {
            let start = scan.pos;
            let tag = scan.skip_item()?;
            let taken = numbers_taken(tag);
            self.budget.charge(taken * START_COST)?;
            self.starts.extend(std::iter::repeat_n(start, taken));
        }
        self.scanned = self.scanned.max(scan.pos);
        // A reference inside an object read again may see further than its own place in the input.
        let start = usize::try_from(index)
            .ok()
            .and_then(|index| self.starts.get(index).copied());
        start
            .filter(|start| *start < offset)
            .ok_or(DecodeError::InvalidReference { index, offset })
    }

    #[inline]
    fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        Ok(self.budget.charge(bytes)?)
    }

    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.depth >= self.max_depth {
            return Err(DecodeError::TooDeep {
                limit: self.max_depth,
            });
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Reads what the tag says, for visitors that take what they get.
    fn any<V: Visitor<'de>>(&mut self, tag: u8, visitor: V) -> Result<V::Value, DecodeError> {
        match tag {
            tag::UNDEFINED | tag::NULL => visitor.visit_unit(),
            tag::FALSE => visitor.visit_bool(false),
            tag::TRUE => visitor.visit_bool(true),
            tag::INT => visit_int(self.reader.int()?, visitor),
            tag::F64 | tag::DATE => visitor.visit_f64(self.reader.f64()?),
            tag::BIGINT | tag::BIGINT_NEGATIVE => self.bigint(tag, visitor),
            tag::STR => {
                let text = self.reader.utf8()?;
                self.charge(text.len())?;
                visitor.visit_borrowed_str(text)
            }
            tag::STR16 => {
                let text = Text::Utf16(self.reader.utf16()?);
                // Each of the units may take three bytes, or stand in a list for a moment.
                self.charge(2 * text.byte_len())?;
                visitor.visit_str(text.to_js_string().as_str().ok_or_else(lone_surrogate)?)
            }
            tag::ARRAY | tag::SET => self.sequence(visitor),
            tag::OBJECT | tag::MAP => self.entries(tag, Shape::Map, visitor),
            tag::VIEW | tag::TRACKING_VIEW => {
                let (kind, bytes) = self.view(tag)?;
                match kind {
                    ViewKind::Uint8 | ViewKind::Uint8Clamped | ViewKind::DataView => {
                        self.byte_string(bytes, visitor)
                    }
                    _ => visitor.visit_seq(ViewElements::new(self, kind, bytes)),
                }
            }
            tag::REGEXP => self.fields(&["source", "flags"], visitor),
            tag::DOM_EXCEPTION => self.fields(&["name", "message"], visitor),
            tag::ERROR => match self.reader.byte()? {
                0 => self.fields(&["name", "message"], visitor),
                HAS_STACK => self.fields(&["name", "message", "stack"], visitor),
                HAS_CAUSE => self.fields(&["name", "message", "cause"], visitor),
                ALL_FLAGS => self.fields(&["name", "message", "stack", "cause"], visitor),
                _ => Err(DecodeError::Malformed {
                    what: "unknown flags of an error",
                    offset: self.reader.pos.saturating_sub(1),
                }),
            },
            _ => match self.content(tag)? {
                Some(bytes) => self.byte_string(bytes, visitor),
                None => Err(unexpected(tag, self.reader.pos.saturating_sub(1))),
            },
        }
    }

    fn byte_string<V: Visitor<'de>>(
        &mut self,
        bytes: &'de [u8],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.charge(bytes.len())?;
        visitor.visit_borrowed_bytes(bytes)
    }

    /// The entries of an OBJECT or MAP.
    #[inline]
    fn entries<V: Visitor<'de>>(
        &mut self,
        tag: u8,
        shape: Shape,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        // Any holder may hold it in a box.
        self.charge(size_of::<V::Value>())?;
        self.nested(|de| {
            let mut entries = Entries::new(de, tag == tag::OBJECT, shape);
            let value = visitor.visit_map(&mut entries)?;
            entries.finish()?;
            Ok(value)
        })
    }

    fn sequence<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        self.charge(size_of::<V::Value>())?;
        self.nested(|de| {
            let mut elements = Elements::new(de);
            let value = visitor.visit_seq(&mut elements)?;
            elements.finish()?;
            Ok(value)
        })
    }

    fn fields<V: Visitor<'de>>(
        &mut self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.charge(size_of::<V::Value>())?;
        self.nested(|de| {
            let mut fields = Fields::new(de, names);
            let value = visitor.visit_map(&mut fields)?;
            fields.finish()?;
            Ok(value)
        })
    }

    /// The bytes of anything that is nothing else; `None` for other tags.
    fn content(&mut self, tag: u8) -> Result<Option<&'de [u8]>, DecodeError> {
        match tag {
            tag::BYTES | tag::ARRAY_BUFFER => {}
            tag::RESIZABLE_BUFFER => drop(self.reader.varint()?),
            tag::BLOB => drop(self.reader.text()?),
            tag::FILE => {
                self.reader.text()?;
                self.reader.text()?;
                self.reader.f64()?;
            }
            _ => return Ok(None),
        }
        self.reader.bytes().map(Some)
    }

    /// The part of its buffer that a view covers.
    fn view(&mut self, tag: u8) -> Result<(ViewKind, &'de [u8]), DecodeError> {
        let at = self.reader.pos;
        let malformed = |what| DecodeError::Malformed { what, offset: at };
        let kind = ViewKind::from_byte(self.reader.byte()?)
            .ok_or_else(|| malformed("unknown kind of view"))?;
        let offset = self.reader.size()?;
        let length = if tag == tag::VIEW {
            Some(self.reader.size()?)
        } else {
            None
        };
        let buffer_at = self.reader.pos;
        let (bytes, shared) = match self.reader.byte()? {
            tag @ (tag::ARRAY_BUFFER | tag::RESIZABLE_BUFFER) => (self.content(tag)?, false),
            tag::REF => {
                let start = self.referenced(buffer_at)?;
                let resume = self.reader.pos;
                self.reader.pos = start;
                let bytes = match self.reader.byte()? {
                    tag @ (tag::BYTES | tag::ARRAY_BUFFER | tag::RESIZABLE_BUFFER) => {
                        self.content(tag)?
                    }
                    _ => None,
                };
                self.reader.pos = resume;
                (bytes, true)
            }
            tag => return Err(unexpected(tag, buffer_at)),
        };
        let bytes = bytes.ok_or_else(|| malformed("view on something that is not a buffer"))?;
        let window = kind.window(offset, length, bytes.len());
        let window =
            window.map_err(|_| malformed("view that is misaligned or leaves its buffer"))?;
        if shared {
            self.charge(REF_COST + window.len())?;
        }
        Ok((kind, bytes.get(window).unwrap_or_default()))
    }

    fn bigint<V: Visitor<'de>>(&mut self, tag: u8, visitor: V) -> Result<V::Value, DecodeError> {
        let magnitude = self.reader.bytes()?;
        let negative = tag == tag::BIGINT_NEGATIVE;
        let small = small_magnitude(magnitude);
        if let Some(int) = small.and_then(|magnitude| signed(negative, magnitude)) {
            return visit_wide(int, visitor);
        }
        match small.filter(|_| !negative) {
            Some(int) => visitor.visit_u128(int),
            None => Err(de::Error::invalid_value(
                Unexpected::Other("bigint of more than 128 bits"),
                &visitor,
            )),
        }
    }

    /// A Number, BigInt or Date where an integer is wanted, whichever way it is written.
    #[inline]
    fn integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        self.tagged(|de, tag| match tag {
            tag::INT => visit_int(de.reader.int()?, visitor),
            tag::F64 | tag::DATE => {
                let number = de.reader.f64()?;
                let exact = number.fract() == 0.0 && number.abs() < 2f64.powi(127);
                if exact {
                    visit_wide(number as i128, visitor)
                } else {
                    visitor.visit_f64(number)
                }
            }
            _ => de.any(tag, visitor),
        })
    }
}

#[inline]
fn visit_int<'de, V: Visitor<'de>>(int: i64, visitor: V) -> Result<V::Value, DecodeError> {
    match u64::try_from(int) {
        Ok(int) => visitor.visit_u64(int),
        Err(_) => visitor.visit_i64(int),
    }
}

/// Visits the narrowest type the integer fits, since few visitors take the wide ones.
fn visit_wide<'de, V: Visitor<'de>>(int: i128, visitor: V) -> Result<V::Value, DecodeError> {
    match (u64::try_from(int), i64::try_from(int)) {
        (Ok(int), _) => visitor.visit_u64(int),
        (_, Ok(int)) => visitor.visit_i64(int),
        _ => visitor.visit_i128(int),
    }
}

fn lone_surrogate() -> DecodeError {
    DecodeError::Deserialize("string holds a lone surrogate, which no rust string can".into())
}
