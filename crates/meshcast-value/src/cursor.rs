//! Reading a value: a cheap cursor and what it can stand on.

use std::fmt;

use crate::node::{Node, Slot, Value, ViewNode};
use crate::primitive::{BigInt, JsString};
use crate::view::ViewKind;
use crate::wire::MAX_SAFE;

/// A place in a [`Value`]. Copies are free; cycles can be followed forever, so mind them.
#[derive(Clone, Copy)]
pub struct ValueRef<'a> {
    value: &'a Value,
    slot: &'a Slot,
}

/// The value that a [`ValueRef`] stands on, for matching.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Kind<'a> {
    /// `undefined`
    Undefined,
    /// `null`
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A bigint.
    BigInt(&'a BigInt),
    /// A string.
    String(&'a JsString),
    /// A plain object; see [`ValueRef::entries`].
    Object,
    /// An array of this length; see [`ValueRef::items`] and, for named properties,
    /// [`ValueRef::entries`].
    Array(u32),
    /// A `Map`; see [`ValueRef::pairs`].
    Map,
    /// A `Set`; see [`ValueRef::items`].
    Set,
    /// An `ArrayBuffer`, and its largest length if it is resizable.
    ArrayBuffer(&'a [u8], Option<u64>),
    /// A typed array or `DataView`.
    View(View<'a>),
    /// A `Date` in milliseconds since 1970; NaN is the invalid date.
    Date(f64),
    /// A `RegExp`.
    RegExp {
        /// The pattern.
        source: &'a JsString,
        /// The flags.
        flags: &'a JsString,
    },
    /// The object form of this primitive.
    Boxed(ValueRef<'a>),
    /// An `Error` of any native kind.
    Error {
        /// Such as "TypeError".
        name: &'a JsString,
        /// The message.
        message: &'a JsString,
        /// The stack trace, if the sender gave it away.
        stack: Option<&'a JsString>,
        /// The cause, if there is one.
        cause: Option<ValueRef<'a>>,
    },
    /// A `DOMException`.
    DomException {
        /// Such as "AbortError".
        name: &'a JsString,
        /// The message.
        message: &'a JsString,
    },
    /// A `Blob`.
    Blob {
        /// The media type.
        media_type: &'a JsString,
        /// The content.
        bytes: &'a [u8],
    },
    /// A `File`.
    File {
        /// The file name.
        name: &'a JsString,
        /// The media type.
        media_type: &'a JsString,
        /// The content.
        bytes: &'a [u8],
        /// Milliseconds since 1970.
        last_modified: f64,
    },
}

/// A typed array or `DataView`, and the buffer it may share with others.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The kind of the view.
    pub kind: ViewKind,
    /// The `ArrayBuffer`.
    pub buffer: ValueRef<'a>,
    /// The start of the view in the buffer, in bytes.
    pub offset: usize,
    /// The number of its elements; `None` follows the length of a resizable buffer.
    pub length: Option<usize>,
    /// The part of the buffer the view covers.
    pub bytes: &'a [u8],
}

impl Value {
    /// A cursor at the outermost value.
    pub fn root(&self) -> ValueRef<'_> {
        ValueRef::new(self, &self.root)
    }

    /// [`ValueRef::kind`] of the root.
    pub fn kind(&self) -> Kind<'_> {
        self.root().kind()
    }

    /// [`ValueRef::get`] of the root.
    pub fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        self.root().get(key)
    }

    /// [`ValueRef::index`] of the root.
    pub fn index(&self, index: u32) -> Option<ValueRef<'_>> {
        self.root().index(index)
    }

    /// [`ValueRef::as_str`] of the root.
    pub fn as_str(&self) -> Option<&str> {
        self.root().as_str()
    }

    /// [`ValueRef::as_f64`] of the root.
    pub fn as_f64(&self) -> Option<f64> {
        self.root().as_f64()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

impl View<'_> {
    /// Whether this is a `Uint8Array` over all of a buffer of fixed length.
    pub fn is_whole_bytes(&self) -> bool {
        let all = |bytes: &[u8]| self.length == Some(bytes.len());
        self.kind == ViewKind::Uint8
            && matches!(self.buffer.kind(), Kind::ArrayBuffer(bytes, None) if all(bytes))
    }
}

impl<'a> ValueRef<'a> {
    pub(crate) fn new(value: &'a Value, slot: &'a Slot) -> Self {
        Self { value, slot }
    }

    /// The kind of this value.
    pub fn kind(self) -> Kind<'a> {
        match self.slot {
            Slot::Undefined => Kind::Undefined,
            Slot::Null => Kind::Null,
            Slot::Bool(bool) => Kind::Bool(*bool),
            Slot::Number(number) => Kind::Number(*number),
            Slot::BigInt(int) => Kind::BigInt(int),
            Slot::String(text) => Kind::String(text),
            Slot::Object(_) => self
                .node()
                .map_or(Kind::Undefined, |node| self.node_kind(node)),
        }
    }

    /// Whether this is `undefined` or `null`.
    pub fn is_nullish(self) -> bool {
        matches!(self.slot, Slot::Undefined | Slot::Null)
    }

    /// Whether both are the very same object of the same value.
    pub fn is_same_object(self, other: Self) -> bool {
        std::ptr::eq(self.value, other.value)
            && matches!((self.slot, other.slot), (Slot::Object(a), Slot::Object(b)) if a == b)
    }

    /// The boolean, if this is one.
    pub fn as_bool(self) -> Option<bool> {
        if let Slot::Bool(bool) = self.slot {
            Some(*bool)
        } else {
            None
        }
    }

    /// The number, if this is one.
    pub fn as_f64(self) -> Option<f64> {
        if let Slot::Number(number) = self.slot {
            Some(*number)
        } else {
            None
        }
    }

    /// The integer, if this is a bigint that fits or a number that is a safe integer.
    pub fn as_i64(self) -> Option<i64> {
        match self.slot {
            Slot::Number(number) if number.fract() == 0.0 && number.abs() <= MAX_SAFE as f64 => {
                Some(*number as i64)
            }
            Slot::BigInt(int) => i64::try_from(int.to_i128()?).ok(),
            _ => None,
        }
    }

    /// The string, if this is one that is well formed.
    pub fn as_str(self) -> Option<&'a str> {
        if let Slot::String(text) = self.slot {
            text.as_str()
        } else {
            None
        }
    }

    /// The bytes of a `Uint8Array` or other view, an `ArrayBuffer`, a `Blob` or a `File`.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        match self.kind() {
            Kind::ArrayBuffer(bytes, _) | Kind::Blob { bytes, .. } | Kind::File { bytes, .. } => {
                Some(bytes)
            }
            Kind::View(view) => Some(view.bytes),
            _ => None,
        }
    }

    /// The property of an object or array, or the entry of a map, with this string as its key.
    pub fn get(self, key: &str) -> Option<Self> {
        if let Some(Node::Map(_)) = self.node() {
            return self
                .pairs()
                .filter(|(k, _)| k.as_str() == Some(key))
                .last()
                .map(|(_, value)| value);
        }
        let (_, slot) = self.props().iter().rev().find(|(name, _)| name == key)?;
        Some(Self { slot, ..self })
    }

    /// The element of an array at this index; `None` for a hole.
    pub fn index(self, index: u32) -> Option<Self> {
        let Some(Node::Array(array)) = self.node() else {
            return None;
        };
        array.get(index).map(|slot| Self { slot, ..self })
    }

    /// The entries of an object, or the named properties of an array, in order.
    pub fn entries(self) -> impl Iterator<Item = (&'a JsString, Self)> {
        self.props()
            .iter()
            .map(move |(key, slot)| (key, Self { slot, ..self }))
    }

    /// The elements of an array that are not holes, with their indices, or the members of a set.
    pub fn items(self) -> impl Iterator<Item = (u32, Self)> {
        let (slots, indices): (&[Slot], &[u32]) = match self.node() {
            Some(Node::Array(array)) if array.is_sparse() => (&array.items, &array.indices),
            Some(Node::Array(array)) => (&array.items, &[]),
            Some(Node::Set(members)) => (members, &[]),
            _ => (&[], &[]),
        };
        let index = move |item: usize| indices.get(item).copied().unwrap_or(item as u32);
        slots
            .iter()
            .enumerate()
            .map(move |(item, slot)| (index(item), Self { slot, ..self }))
    }

    /// The keys and values of a map, in order.
    pub fn pairs(self) -> impl Iterator<Item = (Self, Self)> {
        let members: &[Slot] = if let Some(Node::Map(members)) = self.node() {
            members
        } else {
            &[]
        };
        let (pairs, _) = members.as_chunks();
        pairs.iter().map(move |[key, value]| {
            (
                Self { slot: key, ..self },
                Self {
                    slot: value,
                    ..self
                },
            )
        })
    }

    /// The number of the object in its arena.
    pub(crate) fn object(self) -> Option<usize> {
        if let Slot::Object(index) = self.slot {
            Some(*index as usize)
        } else {
            None
        }
    }

    pub(crate) fn value(self) -> &'a Value {
        self.value
    }

    fn node(self) -> Option<&'a Node> {
        self.value.nodes.get(self.object()?)
    }

    fn props(self) -> &'a [(JsString, Slot)] {
        match self.node() {
            Some(Node::Object(entries)) => entries,
            Some(Node::Array(array)) => &array.props,
            _ => &[],
        }
    }

    fn node_kind(self, node: &'a Node) -> Kind<'a> {
        match node {
            Node::Object(_) => Kind::Object,
            Node::Array(array) => Kind::Array(array.length),
            Node::Map(_) => Kind::Map,
            Node::Set(_) => Kind::Set,
            Node::Buffer(buffer) => Kind::ArrayBuffer(&buffer.bytes, buffer.max_len),
            Node::View(view) => self.view(view),
            Node::Date(ms) => Kind::Date(*ms),
            Node::RegExp(parts) => {
                let [source, flags] = &**parts;
                Kind::RegExp { source, flags }
            }
            Node::Boxed(slot) => Kind::Boxed(Self { slot, ..self }),
            Node::Error(error) => Kind::Error {
                name: &error.name,
                message: &error.message,
                stack: error.stack.as_ref(),
                cause: error.cause.as_ref().map(|slot| Self { slot, ..self }),
            },
            Node::DomException(parts) => {
                let [name, message] = &**parts;
                Kind::DomException { name, message }
            }
            Node::Blob(blob) => match &blob.file {
                None => Kind::Blob {
                    media_type: &blob.media_type,
                    bytes: &blob.bytes,
                },
                Some((name, last_modified)) => Kind::File {
                    name,
                    media_type: &blob.media_type,
                    bytes: &blob.bytes,
                    last_modified: *last_modified,
                },
            },
        }
    }

    fn view(self, view: &'a ViewNode) -> Kind<'a> {
        let bytes: &[u8] = self
            .value
            .buffer(&view.buffer)
            .map_or(&[], |buffer| &buffer.bytes);
        let window = view
            .kind
            .window(view.offset, view.length, bytes.len())
            .unwrap_or_default();
        Kind::View(View {
            kind: view.kind,
            buffer: Self {
                slot: &view.buffer,
                ..self
            },
            offset: view.offset,
            length: view.length,
            bytes: bytes.get(window).unwrap_or_default(),
        })
    }
}

/// The JSON form, in which cycles end.
impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::fmt_json(*self, f)
    }
}
