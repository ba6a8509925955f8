//! Making values out of parts that may be shared.

use bytes::Bytes;

use crate::error::BuildError;
use crate::node::{ArrayNode, BlobNode, BufferNode, ErrorNode, Node, Slot, Value, ViewNode};
use crate::primitive::JsString;
use crate::view::ViewKind;
use crate::wire::MAX_SAFE;

/// Makes a [`Value`] whose objects can be shared and can contain each other.
///
/// ```
/// use meshcast_value::ValueBuilder;
///
/// let mut b = ValueBuilder::new();
/// let user = b.object();
/// b.set(user, "name", "ada");
/// b.set(user, "self", user);
/// let value = b.finish(user);
/// assert_eq!(value.get("self").and_then(|user| user.get("name")?.as_str()), Some("ada"));
/// ```
///
/// A handle belongs to the builder that returned it. Given to another one it names whatever object
/// has its number there; where there is none of the right type, it becomes `undefined` as a part
/// and changes nothing as a container.
#[derive(Debug, Default)]
pub struct ValueBuilder {
    value: Value,
}

/// A primitive, or an object of a builder; copies of it share the object.
#[derive(Clone, Debug)]
pub struct Part(pub(super) Slot);

/// An array under construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayId(u32);

/// An object under construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectId(pub(super) u32);

/// A map under construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapId(u32);

/// A set under construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetId(u32);

/// An error under construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorId(u32);

/// An `ArrayBuffer` that views can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferId(u32);

impl Value {
    /// An object with these entries.
    pub fn object<K: Into<JsString>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        let mut builder = ValueBuilder::new();
        let object = builder.object();
        for (key, value) in entries {
            let part = builder.value(value);
            builder.set(object, key, part);
        }
        builder.finish(object)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        let mut builder = ValueBuilder::new();
        let view = builder.bytes(bytes);
        builder.finish(view)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl ValueBuilder {
    /// A builder without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new, empty array.
    pub fn array(&mut self) -> ArrayId {
        ArrayId(self.add(Node::Array(Box::default())))
    }

    /// A new object without entries.
    pub fn object(&mut self) -> ObjectId {
        ObjectId(self.add(Node::Object(Vec::new())))
    }

    /// A new, empty map.
    pub fn map(&mut self) -> MapId {
        MapId(self.add(Node::Map(Vec::new())))
    }

    /// A new, empty set.
    pub fn set_object(&mut self) -> SetId {
        SetId(self.add(Node::Set(Vec::new())))
    }

    /// A new error, such as `("TypeError", "not a function")`.
    pub fn error(&mut self, name: impl Into<JsString>, message: impl Into<JsString>) -> ErrorId {
        let error = ErrorNode {
            name: name.into(),
            message: message.into(),
            stack: None,
            cause: None,
        };
        ErrorId(self.add(Node::Error(Box::new(error))))
    }

    /// A new buffer of fixed length.
    pub fn buffer(&mut self, bytes: impl Into<Bytes>) -> BufferId {
        BufferId(self.add(Node::Buffer(Box::new(BufferNode {
            bytes: bytes.into(),
            max_len: None,
        }))))
    }

    /// A new buffer that can be resized up to `max_len` bytes.
    pub fn resizable_buffer(
        &mut self,
        bytes: impl Into<Bytes>,
        max_len: u64,
    ) -> Result<BufferId, BuildError> {
        let bytes = bytes.into();
        if max_len < bytes.len() as u64 || max_len > MAX_SAFE {
            return Err(BuildError::MaxLength);
        }
        Ok(BufferId(self.add(Node::Buffer(Box::new(BufferNode {
            bytes,
            max_len: Some(max_len),
        })))))
    }

    /// A view of `length` elements that starts `offset` bytes into the buffer.
    pub fn view(
        &mut self,
        kind: ViewKind,
        buffer: BufferId,
        offset: usize,
        length: usize,
    ) -> Result<Part, BuildError> {
        self.add_view(ViewNode {
            kind,
            buffer: Slot::Object(buffer.0),
            offset,
            length: Some(length),
        })
    }

    /// A view from `offset` bytes into a resizable buffer to wherever the buffer ends.
    pub fn tracking_view(
        &mut self,
        kind: ViewKind,
        buffer: BufferId,
        offset: usize,
    ) -> Result<Part, BuildError> {
        self.add_view(ViewNode {
            kind,
            buffer: Slot::Object(buffer.0),
            offset,
            length: None,
        })
    }

    /// A `Uint8Array` over a buffer of exactly these bytes.
    pub fn bytes(&mut self, bytes: impl Into<Bytes>) -> Part {
        let bytes = bytes.into();
        let length = Some(bytes.len());
        let buffer = Slot::Object(self.buffer(bytes).0);
        let view = ViewNode {
            kind: ViewKind::Uint8,
            buffer,
            offset: 0,
            length,
        };
        self.add_part(Node::View(Box::new(view)))
    }

    /// A `Date` in milliseconds since 1970; NaN is the invalid date.
    pub fn date(&mut self, ms: f64) -> Part {
        self.add_part(Node::Date(ms))
    }

    /// A regular expression, such as `("^a", "gi")`.
    pub fn regexp(&mut self, source: impl Into<JsString>, flags: impl Into<JsString>) -> Part {
        self.add_part(Node::RegExp(Box::new([source.into(), flags.into()])))
    }

    /// The object form of a boolean, number, bigint or string, as `new Number(1)` makes it.
    pub fn boxed(&mut self, primitive: impl Into<Part>) -> Result<Part, BuildError> {
        match primitive.into().0 {
            Slot::Undefined | Slot::Null | Slot::Object(_) => Err(BuildError::NotBoxable),
            primitive => Ok(self.add_part(Node::Boxed(primitive))),
        }
    }

    /// A `DOMException`.
    pub fn dom_exception(
        &mut self,
        name: impl Into<JsString>,
        message: impl Into<JsString>,
    ) -> Part {
        self.add_part(Node::DomException(Box::new([name.into(), message.into()])))
    }

    /// A `Blob` of this media type.
    pub fn blob(&mut self, media_type: impl Into<JsString>, bytes: impl Into<Bytes>) -> Part {
        let blob = BlobNode {
            media_type: media_type.into(),
            bytes: bytes.into(),
            file: None,
        };
        self.add_part(Node::Blob(Box::new(blob)))
    }

    /// A `File`; `last_modified` in milliseconds since 1970.
    pub fn file(
        &mut self,
        name: impl Into<JsString>,
        media_type: impl Into<JsString>,
        bytes: impl Into<Bytes>,
        last_modified: f64,
    ) -> Part {
        let file = Some((name.into(), last_modified));
        self.add_part(Node::Blob(Box::new(BlobNode {
            media_type: media_type.into(),
            bytes: bytes.into(),
            file,
        })))
    }

    /// All of another value as a part of this one.
    pub fn value(&mut self, value: Value) -> Part {
        Part(self.value.graft(value))
    }

    /// Appends an element to an array.
    pub fn push(&mut self, array: ArrayId, item: impl Into<Part>) -> Result<(), BuildError> {
        let item = self.check(item.into());
        self.grow(array, |array| array.push(item))
    }

    /// Appends holes to an array, at no cost in memory.
    pub fn push_holes(&mut self, array: ArrayId, count: u32) -> Result<(), BuildError> {
        self.grow(array, |array| array.push_holes(count))
    }

    /// Gives an array a named property besides its elements.
    pub fn set_property(
        &mut self,
        array: ArrayId,
        key: impl Into<JsString>,
        value: impl Into<Part>,
    ) {
        let value = self.check(value.into());
        if let Some(Node::Array(array)) = self.node(array.0) {
            array.props.push((key.into(), value));
        }
    }

    /// Appends an entry to an object. Of entries with the same key, readers see the last.
    pub fn set(&mut self, object: ObjectId, key: impl Into<JsString>, value: impl Into<Part>) {
        let value = self.check(value.into());
        if let Some(Node::Object(entries)) = self.node(object.0) {
            entries.push((key.into(), value));
        }
    }

    /// Appends an entry to a map. Of entries with the same key, readers see the last.
    pub fn insert(&mut self, map: MapId, key: impl Into<Part>, value: impl Into<Part>) {
        let entry = [self.check(key.into()), self.check(value.into())];
        if let Some(Node::Map(members)) = self.node(map.0) {
            members.extend(entry);
        }
    }

    /// Appends a member to a set.
    pub fn add_member(&mut self, set: SetId, member: impl Into<Part>) {
        let member = self.check(member.into());
        if let Some(Node::Set(members)) = self.node(set.0) {
            members.push(member);
        }
    }

    /// Gives an error a stack trace.
    pub fn set_stack(&mut self, error: ErrorId, stack: impl Into<JsString>) {
        if let Some(Node::Error(error)) = self.node(error.0) {
            error.stack = Some(stack.into());
        }
    }

    /// Gives an error a cause.
    pub fn set_cause(&mut self, error: ErrorId, cause: impl Into<Part>) {
        let cause = self.check(cause.into());
        if let Some(Node::Error(error)) = self.node(error.0) {
            error.cause = Some(cause);
        }
    }

    /// The value with this root.
    pub fn finish(mut self, root: impl Into<Part>) -> Value {
        self.value.root = self.check(root.into());
        self.value
    }

    fn add(&mut self, node: Node) -> u32 {
        self.value.nodes.push(node);
        (self.value.nodes.len() - 1) as u32
    }

    fn add_part(&mut self, node: Node) -> Part {
        Part(Slot::Object(self.add(node)))
    }

    fn add_view(&mut self, view: ViewNode) -> Result<Part, BuildError> {
        let Some(buffer) = self.value.buffer(&view.buffer) else {
            return Err(BuildError::OutOfBounds);
        };
        if view.length.is_none() && buffer.max_len.is_none() {
            return Err(BuildError::NotResizable);
        }
        view.kind
            .window(view.offset, view.length, buffer.bytes.len())?;
        Ok(self.add_part(Node::View(Box::new(view))))
    }

    fn grow(
        &mut self,
        array: ArrayId,
        grow: impl FnOnce(&mut ArrayNode) -> bool,
    ) -> Result<(), BuildError> {
        match self.node(array.0) {
            Some(Node::Array(array)) => grow(array).then_some(()).ok_or(BuildError::ArrayTooLong),
            _ => Ok(()),
        }
    }

    pub(crate) fn node(&mut self, index: u32) -> Option<&mut Node> {
        self.value.nodes.get_mut(index as usize)
    }

    fn check(&self, part: Part) -> Slot {
        match part.0 {
            Slot::Object(index) if index as usize >= self.value.nodes.len() => Slot::Undefined,
            slot => slot,
        }
    }
}

impl Part {
    /// `undefined`.
    pub const UNDEFINED: Self = Self(Slot::Undefined);
    /// `null`.
    pub const NULL: Self = Self(Slot::Null);
}

impl From<ArrayId> for Part {
    fn from(id: ArrayId) -> Self {
        Self(Slot::Object(id.0))
    }
}

impl From<ObjectId> for Part {
    fn from(id: ObjectId) -> Self {
        Self(Slot::Object(id.0))
    }
}

impl From<MapId> for Part {
    fn from(id: MapId) -> Self {
        Self(Slot::Object(id.0))
    }
}

impl From<SetId> for Part {
    fn from(id: SetId) -> Self {
        Self(Slot::Object(id.0))
    }
}

impl From<ErrorId> for Part {
    fn from(id: ErrorId) -> Self {
        Self(Slot::Object(id.0))
    }
}

impl From<BufferId> for Part {
    fn from(id: BufferId) -> Self {
        Self(Slot::Object(id.0))
    }
}
