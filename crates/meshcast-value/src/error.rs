//! One error type per direction: encoding, decoding, building.

use thiserror::Error;

/// Why a value could not be written. The output buffer is left as it was before the call.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Containers are nested deeper than a decoder would accept.
    #[error("value is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit that was exceeded.
        limit: usize,
    },
    /// A `Some` of something that is written as null, such as `Some(None)` or `Some(())`. It would
    /// be read as `None`, so it is refused rather than changed on the way.
    #[error("`Some` of a value that is written as null, which would be read as `None`")]
    SomeOfNull,
    /// A `Serialize` implementation refused, or described something the format cannot hold.
    #[error("{0}")]
    Serialize(Box<str>),
}

/// Why bytes could not be read. Nothing is kept of a value that failed half-way.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a value, or a length claims more bytes than are left.
    #[error("input ends inside the value at offset {offset}")]
    Truncated {
        /// Where the incomplete item starts.
        offset: usize,
    },
    /// The value is complete and bytes are left over.
    #[error("unexpected bytes after the value at offset {offset}")]
    TrailingBytes {
        /// The first byte that does not belong to the value.
        offset: usize,
    },
    /// A tag this version does not define.
    #[error("unknown tag {tag:#04x} at offset {offset}")]
    UnknownTag {
        /// The tag.
        tag: u8,
        /// Where it stands.
        offset: usize,
    },
    /// A defined tag where the format does not allow it, such as a hole outside an array.
    #[error("misplaced tag {tag:#04x} at offset {offset}")]
    MisplacedTag {
        /// The tag.
        tag: u8,
        /// Where it stands.
        offset: usize,
    },
    /// A varint of more than eight bytes, or not in its shortest form.
    #[error("malformed varint at offset {offset}")]
    InvalidVarint {
        /// Where the varint starts.
        offset: usize,
    },
    /// A string that claims to be UTF-8 and is not.
    #[error("invalid utf-8 in the string at offset {offset}")]
    InvalidUtf8 {
        /// Where the string's bytes start.
        offset: usize,
    },
    /// A back-reference to an object that has not appeared yet, or of the wrong type.
    #[error("back-reference to object {index} at offset {offset} is invalid")]
    InvalidReference {
        /// The number of the object.
        index: u64,
        /// Where the reference stands.
        offset: usize,
    },
    /// The fields of one item contradict each other, such as a view that leaves its buffer.
    #[error("{what} at offset {offset}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where it was noticed.
        offset: usize,
    },
    /// Containers are nested deeper than the limit.
    #[error("value is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit that was exceeded.
        limit: usize,
    },
    /// The decoded value would need more memory, or more re-reading of shared objects, than the
    /// limit.
    #[error("value needs more than the budget of {limit} bytes")]
    OverBudget {
        /// The limit that was exceeded.
        limit: usize,
    },
    /// The value contains itself, which a Rust type cannot. [`Value::decode`](crate::Value::decode)
    /// can.
    #[error("value refers to itself at offset {offset}")]
    Cycle {
        /// Where the reference to an enclosing object stands.
        offset: usize,
    },
    /// The value is sound but not of the type asked for.
    #[error("{0}")]
    Deserialize(Box<str>),
}

/// Why JSON could not be read as a value, or a value not be written as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is no JSON.
    #[error("{reason} at line {line} column {column}")]
    Syntax {
        /// What is wrong.
        reason: Box<str>,
        /// The line, from 1.
        line: u64,
        /// The column in bytes, from 1.
        column: u64,
    },
    /// A number that is beyond 1.8e308, or an integer that takes more than 1 KiB as a bigint.
    #[error("number {number} is too large")]
    NumberOutOfRange {
        /// Its first digits.
        number: Box<str>,
    },
    /// Arrays and objects are nested deeper than the limit.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The limit that was exceeded.
        limit: usize,
    },
    /// The value would need more memory than the limit.
    #[error("needs more than the budget of {limit} bytes")]
    OverBudget {
        /// The limit that was exceeded.
        limit: usize,
    },
}

impl From<json_event_parser::JsonSyntaxError> for JsonError {
    fn from(error: json_event_parser::JsonSyntaxError) -> Self {
        let start = error.location().start;
        Self::Syntax {
            reason: error.message().into(),
            line: start.line + 1,
            column: start.column + 1,
        }
    }
}

/// Why a [`ValueBuilder`](crate::ValueBuilder) refused a part. The builder is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An array would have more than 2^32 - 1 elements.
    #[error("array would be longer than 2^32 - 1 elements")]
    ArrayTooLong,
    /// Only booleans, numbers, bigints and strings have an object form.
    #[error("only a boolean, number, bigint or string can be boxed")]
    NotBoxable,
    /// A resizable buffer's largest length is below its current length or above 2^53 - 1.
    #[error("largest length of a resizable buffer is below its length or above 2^53 - 1")]
    MaxLength,
    /// A view does not start at a multiple of its element size.
    #[error("view does not start at a multiple of its element size")]
    Misaligned,
    /// A view leaves its buffer.
    #[error("view leaves its buffer")]
    OutOfBounds,
    /// A view that follows the length of its buffer needs a resizable buffer.
    #[error("a length-tracking view needs a resizable buffer")]
    NotResizable,
}

impl serde::ser::Error for EncodeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Serialize(message.to_string().into())
    }
}

impl serde::de::Error for DecodeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Deserialize(message.to_string().into())
    }
}
