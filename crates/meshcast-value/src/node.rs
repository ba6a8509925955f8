//! The value itself: an arena of objects and a root.

use bytes::Bytes;

use crate::primitive::{BigInt, JsString};
use crate::view::ViewKind;

/// Any value the structured-clone algorithm can copy, with shared references and cycles.
///
/// Read it through [`ValueRef`](crate::ValueRef), make it with `From`, the constructors here or a
/// [`ValueBuilder`](crate::ValueBuilder).
/// Two values are equal when they encode to the same bytes: sharing counts, NaN equals itself, 0
/// and -0 differ.
#[derive(Clone)]
pub struct Value {
    pub(crate) root: Slot,
    /// Every `Slot::Object` of this value indexes into it.
    pub(crate) nodes: Vec<Node>,
}

impl Value {
    /// `undefined`, which is also the default.
    pub fn undefined() -> Self {
        Self::primitive(Slot::Undefined)
    }

    /// `null`.
    pub fn null() -> Self {
        Self::primitive(Slot::Null)
    }

    /// A `Date` in milliseconds since 1970; NaN is the invalid date.
    pub fn date(ms: f64) -> Self {
        Self {
            root: Slot::Object(0),
            nodes: vec![Node::Date(ms)],
        }
    }

    /// An array of these elements.
    pub fn array(items: impl IntoIterator<Item = Self>) -> Self {
        let mut value = Self {
            root: Slot::Object(0),
            nodes: vec![Node::Array(Box::default())],
        };
        let mut elements = Vec::new();
        for item in items {
            elements.push(value.graft(item));
        }
        let length = u32::try_from(elements.len()).unwrap_or(u32::MAX);
        elements.truncate(length as usize);
        if let Some(Node::Array(array)) = value.nodes.first_mut() {
            array.length = length;
            array.items = elements;
        }
        value
    }

    pub(crate) fn primitive(root: Slot) -> Self {
        Self {
            root,
            nodes: Vec::new(),
        }
    }

    /// The buffer a view stands on.
    pub(crate) fn buffer(&self, slot: &Slot) -> Option<&BufferNode> {
        let Slot::Object(index) = slot else {
            return None;
        };
        if let Some(Node::Buffer(buffer)) = self.nodes.get(*index as usize) {
            Some(buffer)
        } else {
            None
        }
    }

    /// Takes over all objects of `other`; returns its root, renumbered.
    pub(crate) fn graft(&mut self, mut other: Self) -> Slot {
        let shift = self.nodes.len() as u32;
        for node in &mut other.nodes {
            node.renumber(shift);
        }
        self.nodes.append(&mut other.nodes);
        match other.root {
            Slot::Object(index) => Slot::Object(index + shift),
            primitive => primitive,
        }
    }
}

impl Default for Value {
    fn default() -> Self {
        Self::undefined()
    }
}

/// A primitive, or the number of an object in the arena.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    BigInt(BigInt),
    String(JsString),
    Object(u32),
}

/// An object. Rare kinds are boxed so that the common ones stay small.
#[derive(Clone)]
pub(crate) enum Node {
    Object(Vec<(JsString, Slot)>),
    Array(Box<ArrayNode>),
    /// Keys and values in turn; even in number.
    Map(Vec<Slot>),
    Set(Vec<Slot>),
    Buffer(Box<BufferNode>),
    View(Box<ViewNode>),
    Date(f64),
    RegExp(Box<[JsString; 2]>),
    /// Never an object itself.
    Boxed(Slot),
    Error(Box<ErrorNode>),
    DomException(Box<[JsString; 2]>),
    Blob(Box<BlobNode>),
}

impl Node {
    /// Every value directly inside.
    pub(crate) fn for_each_child(&self, visit: &mut impl FnMut(&Slot)) {
        match self {
            Self::Object(entries) => entries.iter().for_each(|(_, value)| visit(value)),
            Self::Array(array) => {
                array.items.iter().for_each(&mut *visit);
                array.props.iter().for_each(|(_, value)| visit(value));
            }
            Self::Map(members) | Self::Set(members) => members.iter().for_each(visit),
            Self::Error(error) => error.cause.iter().for_each(visit),
            Self::View(view) => visit(&view.buffer),
            _ => {}
        }
    }

    /// Adds to the number of every object directly inside.
    fn renumber(&mut self, shift: u32) {
        let move_slot = |slot: &mut Slot| {
            if let Slot::Object(index) = slot {
                *index += shift;
            }
        };
        match self {
            Self::Object(entries) => entries.iter_mut().for_each(|(_, value)| move_slot(value)),
            Self::Array(array) => {
                array.items.iter_mut().for_each(move_slot);
                array
                    .props
                    .iter_mut()
                    .for_each(|(_, value)| move_slot(value));
            }
            Self::Map(members) | Self::Set(members) => members.iter_mut().for_each(move_slot),
            Self::Error(error) => error.cause.iter_mut().for_each(move_slot),
            Self::View(view) => move_slot(&mut view.buffer),
            _ => {}
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct ArrayNode {
    /// Holes included.
    pub(crate) length: u32,
    /// The elements that are not holes.
    pub(crate) items: Vec<Slot>,
    /// The index of each item, ascending; empty as long as there is no hole.
    pub(crate) indices: Vec<u32>,
    pub(crate) props: Vec<(JsString, Slot)>,
}

impl ArrayNode {
    /// Appends an element; false if the array is as long as arrays get.
    pub(crate) fn push(&mut self, item: Slot) -> bool {
        let Some(length) = self.length.checked_add(1) else {
            return false;
        };
        if self.is_sparse() {
            self.indices.push(self.length);
        }
        self.items.push(item);
        self.length = length;
        true
    }

    /// Appends holes; false if the array would be longer than arrays get.
    pub(crate) fn push_holes(&mut self, count: u32) -> bool {
        let Some(length) = self.length.checked_add(count) else {
            return false;
        };
        if !self.is_sparse() {
            self.indices.extend(0..self.length);
        }
        self.length = length;
        true
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Slot> {
        if self.is_sparse() {
            self.items.get(self.indices.binary_search(&index).ok()?)
        } else {
            self.items.get(index as usize)
        }
    }

    pub(crate) fn index_of_item(&self, item: usize) -> u32 {
        self.indices.get(item).copied().unwrap_or(item as u32)
    }

    pub(crate) fn is_sparse(&self) -> bool {
        self.items.len() != self.length as usize
    }
}

#[derive(Clone)]
pub(crate) struct BufferNode {
    pub(crate) bytes: Bytes,
    /// Set for a resizable buffer.
    pub(crate) max_len: Option<u64>,
}

#[derive(Clone)]
pub(crate) struct ViewNode {
    pub(crate) kind: ViewKind,
    /// Always the number of a `Node::Buffer`.
    pub(crate) buffer: Slot,
    /// In bytes. With `length` checked against the buffer when the node is made.
    pub(crate) offset: usize,
    /// In elements; `None` follows the length of a resizable buffer.
    pub(crate) length: Option<usize>,
}

#[derive(Clone)]
pub(crate) struct ErrorNode {
    pub(crate) name: JsString,
    pub(crate) message: JsString,
    pub(crate) stack: Option<JsString>,
    pub(crate) cause: Option<Slot>,
}

#[derive(Clone)]
pub(crate) struct BlobNode {
    pub(crate) media_type: JsString,
    pub(crate) bytes: Bytes,
    /// Set for a `File`: its name and time of last modification.
    pub(crate) file: Option<(JsString, f64)>,
}
