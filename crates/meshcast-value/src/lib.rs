//! The payload format of meshcast: every value the structured-clone algorithm copies, as bytes that
//! describe themselves.
//!
//! [`Value`] holds any such value; [`to_bytes`] and [`from_bytes`] go between the same bytes and
//! Rust types without one. [`Value::to_json`] and [`Value::from_json`] show values as JSON and read
//! them.
//!
//! ```
//! use meshcast_value::{DecodeLimits, Value, from_bytes, to_bytes};
//!
//! let mut bytes = Vec::new();
//! to_bytes(&("amber", 300), &mut bytes)?;
//! assert_eq!(from_bytes::<(String, u16)>(&bytes)?, ("amber".to_owned(), 300));
//!
//! let value = Value::decode(&bytes, &DecodeLimits::default())?;
//! assert_eq!(value.to_json().to_string(), r#"["amber",300]"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it may touch
//!
//! The crate turns bytes into values and values into bytes, and nothing else. It has no I/O, clock,
//! random source or thread, and depends on no other crate of meshcast. Records and frames carry
//! payloads without looking into them, so `meshcast-proto` does not depend on it.
//!
//! All input comes from strangers. A reader neither panics nor takes more memory than its
//! [`DecodeLimits`] allow.
//!
//! # Other languages
//!
//! The following is enough to write another implementation. [The golden vectors] hold the bytes of
//! a value of each kind, with the same value as JSON, to compare with.
//!
//! [The golden vectors]:
//!     https://github.com/meshcast/meshcast/blob/main/crates/meshcast-value/testdata/vectors.json
//!
//! # Format
//!
//! A value is one item: a tag byte, the fields of the tag, and for containers the items inside, in
//! order. Nothing comes before the item or after it.
//!
//! | Tag | Name | Fields and content |
//! | --- | --- | --- |
//! | `00` | END | closes OBJECT, ARRAY, MAP, SET; not a value |
//! | `01` `02` `03` `04` | UNDEFINED, NULL, FALSE, TRUE | |
//! | `05` | INT | *varint*: a Number that is an integer, zig-zag (0, -1, 1, -2 are 0, 1, 2, 3) |
//! | `06` | F64 | *f64*: any other Number |
//! | `07` `08` | BIGINT, BIGINT_NEGATIVE | *bytes*: the magnitude, little-endian |
//! | `09` | STR | *bytes*: UTF-8 |
//! | `0a` | STR16 | *bytes*: UTF-16 code units, two little-endian bytes each |
//! | `0b` | HOLES | *varint* ≥ 1: that many holes; only as an element of an ARRAY |
//! | `0c` | PROPS | only in an ARRAY: from here to its END come keys and values |
//! | `0d` | REF | *varint*: the number of an object that has appeared |
//! | `10` | OBJECT | (*string* value)… END |
//! | `11` | ARRAY | (value or HOLES)… [PROPS (*string* value)…] END |
//! | `12` | MAP | (key value)… END |
//! | `13` | SET | value… END |
//! | `14` | BYTES | *bytes*: a Uint8Array over a fixed buffer of exactly these bytes |
//! | `15` | ARRAY_BUFFER | *bytes* |
//! | `16` | RESIZABLE_BUFFER | *varint* largest length, *bytes* |
//! | `17` | VIEW | *byte* kind, *varint* offset in bytes, *varint* length in elements, buffer |
//! | `18` | TRACKING_VIEW | as VIEW without the length, which is that of a resizable buffer |
//! | `19` | DATE | *f64*: milliseconds since 1970, NaN if invalid |
//! | `1a` | REGEXP | *string* source, *string* flags |
//! | `1b` | BOXED | FALSE, TRUE, INT, F64, BIGINT…, STR or STR16 item: its object form |
//! | `1c` | ERROR | *byte* flags, *string* name, message, if flagged stack, and value cause |
//! | `1d` | DOM_EXCEPTION | *string* name, *string* message |
//! | `1e` | BLOB | *string* type, *bytes* |
//! | `1f` | FILE | *string* type, *string* name, *f64* last modified, *bytes* |
//!
//! * A *varint* is an unsigned LEB128 in its shortest form, of at most eight bytes. The largest is
//!   2^54 - 2, for an INT; a reader whose integers end at 2^53 takes the sign from the lowest bit
//!   of the first byte and accumulates the rest halved.
//! * *bytes* are a *varint* length and that many bytes. A length is a claim: it is compared with
//!   what is left of the input before anything is done with it. Containers have no counts, so
//!   nothing else can claim.
//! * A *string* is a STR or STR16 item. An *f64* is eight little-endian bytes.
//! * The buffer of a view is an ARRAY_BUFFER, a RESIZABLE_BUFFER or a REF to one. The kinds of
//!   views are 0 Int8, 1 Uint8, 2 Uint8Clamped, 3 Int16, 4 Uint16, 5 Int32, 6 Uint32, 7 Float16, 8
//!   Float32, 9 Float64, 10 BigInt64, 11 BigUint64, 12 DataView, whose elements are bytes.
//! * An error has a stack if its flags & 1, and a cause if its flags & 2.
//!
//! **Numbers of objects.** Every item with a tag from `10` up is an object and takes the next
//! number, from 0, when its tag is read, so before the objects inside it. BYTES takes two: the
//! view, then its buffer. A second appearance is a REF; one inside the object itself makes a cycle.
//!
//! **One encoding.** A writer uses INT for integers from -(2^53 - 1) to 2^53 - 1 except -0, one NaN
//! (`7ff8000000000000`), magnitudes without leading zeros and no negative zero, STR for all
//! well-formed strings, a single HOLES for adjacent holes, PROPS only if a property follows, REF
//! for every second appearance, and BYTES wherever it applies and neither view nor buffer has
//! appeared. A reader takes the longer forms for what they mean, except varints.
//!
//! **Refusals.** A reader refuses unknown and misplaced tags, other flags and kinds, bad UTF-8,
//! views that leave their buffer or start off a multiple of their element size, arrays beyond
//! 2^32-1, a MAP that ends after a key, bytes after the value, and nesting beyond [`MAX_DEPTH`] of
//! OBJECT, ARRAY, MAP, SET and ERROR with a cause. Of entries with the same key the last counts,
//! and keys are defined, never assigned: `__proto__` is a key like any other.
//!
//! # Rust types
//!
//! | Rust | Written as | Read from, besides |
//! | --- | --- | --- |
//! | `bool`, floats | boolean, Number | boxed forms; floats from Date (ms) and integers |
//! | integers | Number, BigInt beyond ±(2^53 - 1) | either, an exact Date or float; a string key |
//! | `char`, strings | string | |
//! | unit, `None` | null | undefined, a hole |
//! | `serialize_bytes` | Uint8Array | ArrayBuffer, DataView, Blob, File |
//! | sequences, tuples | Array | Set, typed arrays, byte strings; named properties are ignored |
//! | structs | Object | Map; Error, DOMException and RegExp by their fields; Array by position |
//! | maps | Object; Map as soon as one key is not a string | either |
//! | enums | string, or `{variant: content}` | Map |
//! | newtypes | what they wrap | |
//!
//! `Some` of what is written as null, such as `Some(None)` or `Some(())`, is refused, as it would
//! be read as `None`.
//!
//! An object that appears twice is read twice; one that contains itself is refused. The memory of a
//! type counts against [`DEFAULT_MAX_MEMORY`], with everything that is read again. Types nest up to
//! [`MAX_TYPED_DEPTH`]. Formats are human-readable to serde, since JavaScript reads them too.

mod budget;
mod build;
mod convert;
mod cursor;
mod de;
mod decode;
mod encode;
mod encoded;
mod equal;
mod error;
mod json;
mod node;
mod primitive;
mod ser;
mod serde_form;
mod view;
mod wire;

#[cfg(test)]
mod tests;

pub use budget::{DEFAULT_MAX_MEMORY, DecodeLimits};
pub use build::{ArrayId, BufferId, ErrorId, MapId, ObjectId, Part, SetId, ValueBuilder};
pub use cursor::{Kind, ValueRef, View};
pub use de::{from_bytes, from_bytes_within};
pub use encode::MAX_DEPTH;
pub use encoded::EncodedValue;
pub use error::{BuildError, DecodeError, EncodeError, JsonError};
pub use node::Value;
pub use primitive::{BigInt, JsString};
pub use ser::{MAX_TYPED_DEPTH, to_bytes};
pub use view::ViewKind;
