//! From `T` to the bytes of a record and back.

use std::{any::Any, cell::RefCell};

use bytes::Bytes;
use meshcast_proto::{Format, Posted};
use meshcast_value::{self as value, DecodeError, DecodeLimits, EncodeError, EncodedValue, Value};
use serde::{Serialize, de::DeserializeOwned};

/// A value that a channel can carry: any type that serde can write and read, the dynamic [`Value`],
/// the same [unread](EncodedValue), or [`Bytes`], which travel as they are. Implemented for all of
/// them; there is nothing to implement by hand.
pub trait Payload: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Payload for T {}

/// A value that can be posted on a channel of `T`: a `T`, or what it owns and others lend. That is
/// `str` for `String`, `[U]` for `Vec<U>`, and `[u8]` for `Bytes` and for [`EncodedValue`]. There
/// is nothing to implement by hand.
pub trait Borrowed<T: Payload> {
    /// Hands its encoded bytes to `f`.
    #[doc(hidden)]
    fn encoded<R>(&self, f: impl FnOnce(Format, &[u8]) -> R) -> Result<R, EncodeError>;
}

impl<T: Payload> Borrowed<T> for T {
    #[inline]
    fn encoded<R>(&self, f: impl FnOnce(Format, &[u8]) -> R) -> Result<R, EncodeError> {
        let any: &dyn Any = self;
        if let Some(bytes) = any.downcast_ref::<Bytes>() {
            return Ok(f(Format::Raw, bytes));
        }
        if let Some(value) = any.downcast_ref::<EncodedValue>() {
            return Ok(f(Format::Value, value.as_bytes()));
        }
        match any.downcast_ref::<Value>() {
            Some(value) => in_scratch(f, |buffer| value.encode(buffer)),
            None => in_scratch(f, |buffer| value::to_bytes(self, buffer)),
        }
    }
}

impl Borrowed<String> for str {
    fn encoded<R>(&self, f: impl FnOnce(Format, &[u8]) -> R) -> Result<R, EncodeError> {
        in_scratch(f, |buffer| value::to_bytes(self, buffer))
    }
}

impl<U> Borrowed<Vec<U>> for [U]
where
    U: Serialize,
    Vec<U>: Payload,
{
    fn encoded<R>(&self, f: impl FnOnce(Format, &[u8]) -> R) -> Result<R, EncodeError> {
        in_scratch(f, |buffer| value::to_bytes(self, buffer))
    }
}

impl Borrowed<Bytes> for [u8] {
    #[inline]
    fn encoded<R>(&self, f: impl FnOnce(Format, &[u8]) -> R) -> Result<R, EncodeError> {
        Ok(f(Format::Raw, self))
    }
}

/// The bytes of a value that others have encoded.
impl Borrowed<EncodedValue> for [u8] {
    #[inline]
    fn encoded<R>(&self, f: impl FnOnce(Format, &[u8]) -> R) -> Result<R, EncodeError> {
        Ok(f(Format::Value, self))
    }
}

/// Encodes into a buffer of this thread and hands the bytes to `f`, so that no post allocates.
fn in_scratch<R>(
    f: impl FnOnce(Format, &[u8]) -> R,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<R, EncodeError> {
    SCRATCH.with(|scratch| {
        // A Serialize that posts on another channel finds the buffer in use and takes a fresh one.
        let mut fresh = Vec::new();
        let mut borrowed = scratch.try_borrow_mut();
        let buffer = match &mut borrowed {
            Ok(buffer) => &mut **buffer,
            Err(_) => &mut fresh,
        };
        buffer.clear();
        encode(buffer)?;
        let result = f(Format::Value, buffer);
        buffer.shrink_to(SCRATCH_KEPT);
        Ok(result)
    })
}

/// Decodes a posted value that nobody else needs: bytes are taken as they are.
///
/// # Errors
/// With the value, which does not decode.
// Inlined; see `Unpacked::next_for`.
#[inline(always)]
pub(crate) fn take<T: Payload>(posted: Posted) -> Result<T, Box<(Posted, DecodeError)>> {
    let Posted {
        seqs,
        format,
        payload,
    } = posted;
    let payload = match format {
        Format::Raw => match as_it_is(payload) {
            Ok(bytes) => return Ok(bytes),
            Err(payload) => payload,
        },
        Format::Value => payload,
    };
    decode_whole(Posted {
        seqs,
        format,
        payload,
    })
}

/// Not inlined, so that [`take`] can keep the value in registers.
#[inline(never)]
fn decode_whole<T: Payload>(posted: Posted) -> Result<T, Box<(Posted, DecodeError)>> {
    decode(&posted).map_err(|error| Box::new((posted, error)))
}

/// The payload itself if that is a `T`.
// Inlined; see `Unpacked::next_for`.
#[inline(always)]
fn as_it_is<T: 'static>(payload: Bytes) -> Result<T, Bytes> {
    let mut slot: Option<T> = None;
    match (&mut slot as &mut dyn Any).downcast_mut::<Option<Bytes>>() {
        Some(same) => *same = Some(payload),
        None => return Err(payload),
    }
    slot.ok_or_else(Bytes::new)
}

/// Decodes a posted value.
pub(crate) fn decode<T: Payload>(posted: &Posted) -> Result<T, DecodeError> {
    decode_bytes(posted.format, &posted.payload)
}

/// Decodes what was encoded like this.
pub(crate) fn decode_bytes<T: Payload>(format: Format, payload: &Bytes) -> Result<T, DecodeError> {
    if let Some(bytes) = as_type::<T, Bytes>(|| bytes_of(format, payload)) {
        return bytes;
    }
    if let Some(value) = as_type::<T, Value>(|| value_of(format, payload)) {
        return value;
    }
    if let Some(value) = as_type::<T, EncodedValue>(|| Ok(unread(format, payload))) {
        return value;
    }
    match format {
        Format::Value => value::from_bytes(payload),
        // To other types, a message of `Bytes` looks like a `Uint8Array`.
        Format::Raw => Value::from(payload.clone()).deserialize(),
    }
}

fn bytes_of(format: Format, payload: &Bytes) -> Result<Bytes, DecodeError> {
    match format {
        Format::Raw => Ok(payload.clone()),
        Format::Value => value::from_bytes(payload),
    }
}

fn value_of(format: Format, payload: &Bytes) -> Result<Value, DecodeError> {
    match format {
        Format::Raw => Ok(Value::from(payload.clone())),
        Format::Value => Value::decode(payload, &DecodeLimits::default()),
    }
}

fn unread(format: Format, payload: &Bytes) -> EncodedValue {
    match format {
        Format::Value => EncodedValue::new(payload.clone()),
        Format::Raw => {
            let mut bytes = Vec::with_capacity(payload.len() + 9);
            // A byte string is neither deep nor refused.
            let _ = Value::from(payload.clone()).encode(&mut bytes);
            EncodedValue::new(bytes)
        }
    }
}

/// Makes an `S` if that is what `T` is. The comparison is decided at compile time.
fn as_type<T: 'static, S: 'static>(
    make: impl FnOnce() -> Result<S, DecodeError>,
) -> Option<Result<T, DecodeError>> {
    let mut slot: Option<T> = None;
    let same = (&mut slot as &mut dyn Any).downcast_mut::<Option<S>>()?;
    match make() {
        Ok(made) => *same = Some(made),
        Err(error) => return Some(Err(error)),
    }
    slot.map(Ok)
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a thread keeps of its buffer after a large value: a frame's worth.
const SCRATCH_KEPT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use meshcast_proto::{Seq, SeqRange};

    use super::*;

    fn posted<T: Payload>(payload: &(impl Borrowed<T> + ?Sized)) -> Posted {
        Borrowed::<T>::encoded(payload, |format, bytes| Posted {
            seqs: SeqRange::single(Seq::new(1).expect("not zero")),
            format,
            payload: Bytes::copy_from_slice(bytes),
        })
        .expect("encodable")
    }

    #[test]
    fn an_unread_value_travels_as_the_value_that_it_holds() {
        let value = Value::from("hello");
        let unread = EncodedValue::try_from(&value).expect("shallow");
        let as_unread = posted::<EncodedValue>(&unread);
        assert_eq!(as_unread.payload, posted::<String>("hello").payload);
        let lent = posted::<EncodedValue>(unread.as_bytes().as_ref());
        assert_eq!(lent.payload, as_unread.payload);
        assert_eq!(decode::<String>(&as_unread).as_deref(), Ok("hello"));
        assert_eq!(decode::<EncodedValue>(&posted::<Value>(&value)), Ok(unread));
    }

    #[test]
    fn bytes_are_an_unread_byte_string() {
        let bytes = Bytes::from_static(&[1, 2, 255]);
        let unread = decode::<EncodedValue>(&posted::<Bytes>(&bytes)).expect("any bytes");
        let value = unread.decode(&DecodeLimits::default());
        assert_eq!(value, Ok(Value::from(bytes)));
    }
}
