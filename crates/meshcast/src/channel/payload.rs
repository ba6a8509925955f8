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

/// Encodes into a buffer of this thread and hands the bytes to `f`, so that no post allocates.
pub(crate) fn encode<T: Payload, R>(
    payload: &T,
    f: impl FnOnce(Format, &[u8]) -> R,
) -> Result<R, EncodeError> {
    let any: &dyn Any = payload;
    if let Some(bytes) = any.downcast_ref::<Bytes>() {
        return Ok(f(Format::Raw, bytes));
    }
    SCRATCH.with(|scratch| {
        // A Serialize that posts on another channel finds the buffer in use and takes a fresh one.
        let mut fresh = Vec::new();
        let mut borrowed = scratch.try_borrow_mut();
        let buffer = match &mut borrowed {
            Ok(buffer) => &mut **buffer,
            Err(_) => &mut fresh,
        };
        buffer.clear();
        match any.downcast_ref::<Value>() {
            Some(value) => value.encode(buffer)?,
            None => value::to_bytes(payload, buffer)?,
        }
        let result = f(Format::Value, buffer);
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
