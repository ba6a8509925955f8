//! From `T` to the bytes of a record and back.

use std::{any::Any, cell::RefCell};

use bytes::Bytes;
use meshcast_proto::{Format, Posted};
use meshcast_value::{self as value, DecodeError, DecodeLimits, EncodeError, Value};
use serde::{Serialize, de::DeserializeOwned};

/// What a channel can carry: any type that serde can write and read, the dynamic [`Value`], or
/// [`Bytes`], which travel as they are. Implemented for all of them; there is nothing to implement
/// by hand.
pub trait Payload: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Payload for T {}

/// What can be posted on a channel of `T`: a `T`, or what it owns and others lend. That is `str` for
/// `String`, `[U]` for `Vec<U>`, and `[u8]` for `Bytes`. There is nothing to implement by hand.
pub trait Borrowed<T: Payload> {
    /// Its bytes, which stand in the buffer or in itself.
    #[doc(hidden)]
    fn write<'a>(&'a self, buffer: &'a mut Vec<u8>) -> Result<(Format, &'a [u8]), EncodeError>;
}

impl<T: Payload> Borrowed<T> for T {
    fn write<'a>(&'a self, buffer: &'a mut Vec<u8>) -> Result<(Format, &'a [u8]), EncodeError> {
        let any: &dyn Any = self;
        if let Some(bytes) = any.downcast_ref::<Bytes>() {
            return Ok((Format::Raw, bytes));
        }
        match any.downcast_ref::<Value>() {
            Some(value) => value.encode(buffer)?,
            None => value::to_bytes(self, buffer)?,
        }
        Ok((Format::Value, buffer))
    }
}

impl Borrowed<String> for str {
    fn write<'a>(&'a self, buffer: &'a mut Vec<u8>) -> Result<(Format, &'a [u8]), EncodeError> {
        value::to_bytes(self, buffer)?;
        Ok((Format::Value, buffer))
    }
}

impl<U> Borrowed<Vec<U>> for [U]
where
    U: Serialize,
    Vec<U>: Payload,
{
    fn write<'a>(&'a self, buffer: &'a mut Vec<u8>) -> Result<(Format, &'a [u8]), EncodeError> {
        value::to_bytes(self, buffer)?;
        Ok((Format::Value, buffer))
    }
}

impl Borrowed<Bytes> for [u8] {
    fn write<'a>(&'a self, _: &'a mut Vec<u8>) -> Result<(Format, &'a [u8]), EncodeError> {
        Ok((Format::Raw, self))
    }
}

/// Encodes into a buffer of this thread and hands the bytes to `f`, so that no post allocates.
pub(crate) fn encode<T: Payload, R>(
    payload: &(impl Borrowed<T> + ?Sized),
    f: impl FnOnce(Format, &[u8]) -> R,
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
        let (format, bytes) = payload.write(buffer)?;
        let result = f(format, bytes);
        buffer.shrink_to(SCRATCH_KEPT);
        Ok(result)
    })
}

/// Decodes a posted value.
pub(crate) fn decode<T: Payload>(posted: &Posted) -> Result<T, DecodeError> {
    if let Some(bytes) = as_type::<T, Bytes>(|| bytes_of(posted)) {
        return bytes;
    }
    if let Some(value) = as_type::<T, Value>(|| value_of(posted)) {
        return value;
    }
    match posted.format {
        Format::Value => value::from_bytes(&posted.payload),
        // What `Bytes` sends is for other types what a `Uint8Array` would be.
        Format::Raw => Value::from(posted.payload.clone()).deserialize(),
    }
}

fn bytes_of(posted: &Posted) -> Result<Bytes, DecodeError> {
    match posted.format {
        Format::Raw => Ok(posted.payload.clone()),
        Format::Value => value::from_bytes(&posted.payload),
    }
}

fn value_of(posted: &Posted) -> Result<Value, DecodeError> {
    match posted.format {
        Format::Raw => Ok(Value::from(posted.payload.clone())),
        Format::Value => Value::decode(&posted.payload, &DecodeLimits::default()),
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
