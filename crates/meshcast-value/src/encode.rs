//! Writing a [`Value`].

use std::slice;

use crate::error::EncodeError;
use crate::node::{ArrayNode, BlobNode, ErrorNode, Node, Slot, Value, ViewNode};
use crate::primitive::JsString;
use crate::view::ViewKind;
use crate::wire::{
    HAS_CAUSE, HAS_STACK, put_bigint, put_bytes, put_f64, put_number, put_text, put_varint, tag,
};

/// Deepest nesting either side of the wire accepts. Every JavaScript runtime clones values nested
/// this deep, and some fail from twice that.
pub const MAX_DEPTH: usize = 1000;

impl Value {
    /// Appends the value's bytes to `out`, which is left as it was if that fails.
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`] beyond [`MAX_DEPTH`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let mut encoder = Encoder {
            value: self,
            out,
            numbers: Vec::new(),
            next: 0,
            stack: Vec::new(),
        };
        encoder.run().inspect_err(|_| encoder.out.truncate(start))
    }
}

struct Encoder<'a> {
    value: &'a Value,
    out: &'a mut Vec<u8>,
    /// By arena index: the number of an object that has been written, or `UNSEEN`.
    numbers: Vec<u32>,
    next: u32,
    stack: Vec<Frame<'a>>,
}

const UNSEEN: u32 = u32::MAX;

/// A container whose children are being written.
enum Frame<'a> {
    Entries(slice::Iter<'a, (JsString, Slot)>),
    Members(slice::Iter<'a, Slot>),
    Elements {
        array: &'a ArrayNode,
        item: usize,
        next_index: u32,
    },
    /// Not closed by an END.
    Cause(Option<&'a Slot>),
}

impl<'a> Encoder<'a> {
    fn run(&mut self) -> Result<(), EncodeError> {
        self.numbers.resize(self.value.nodes.len(), UNSEEN);
        self.slot(&self.value.root)?;
        while let Some(frame) = self.stack.last_mut() {
            let child = match frame {
                Frame::Members(members) => members.next(),
                Frame::Cause(cause) => cause.take(),
                Frame::Entries(entries) => entries.next().map(|(key, value)| {
                    put_text(self.out, key);
                    value
                }),
                Frame::Elements {
                    array,
                    item,
                    next_index,
                } => {
                    let index = match array.items.get(*item) {
                        Some(_) if array.is_sparse() => {
                            array.indices.get(*item).copied().unwrap_or(*next_index)
                        }
                        Some(_) => *next_index,
                        None => array.length,
                    };
                    if index > *next_index {
                        self.out.push(tag::HOLES);
                        put_varint(self.out, u64::from(index - *next_index));
                    }
                    *next_index = index.saturating_add(1);
                    *item += 1;
                    array.items.get(*item - 1)
                }
            };
            match child {
                Some(slot) => self.slot(slot)?,
                None => self.close(),
            }
        }
        Ok(())
    }

    /// Ends the innermost container, or goes over to the named properties of an array.
    fn close(&mut self) {
        match self.stack.pop() {
            Some(Frame::Elements { array, .. }) if !array.props.is_empty() => {
                self.out.push(tag::PROPS);
                self.stack.push(Frame::Entries(array.props.iter()));
            }
            Some(Frame::Cause(_)) | None => {}
            Some(_) => self.out.push(tag::END),
        }
    }

    fn slot(&mut self, slot: &'a Slot) -> Result<(), EncodeError> {
        match slot {
            Slot::Undefined => self.out.push(tag::UNDEFINED),
            Slot::Null => self.out.push(tag::NULL),
            Slot::Bool(bool) => self.out.push(if *bool { tag::TRUE } else { tag::FALSE }),
            Slot::Number(number) => put_number(self.out, *number),
            Slot::BigInt(int) => put_bigint(self.out, int.is_negative(), int.magnitude()),
            Slot::String(text) => put_text(self.out, text),
            Slot::Object(index) => return self.object(*index),
        }
        Ok(())
    }

    fn object(&mut self, index: u32) -> Result<(), EncodeError> {
        let Some(node) = self.value.nodes.get(index as usize) else {
            self.out.push(tag::UNDEFINED);
            return Ok(());
        };
        if !self.number(index) {
            return Ok(());
        }
        match node {
            Node::Object(entries) => self.open(tag::OBJECT, Frame::Entries(entries.iter()))?,
            Node::Map(members) => self.open(tag::MAP, Frame::Members(members.iter()))?,
            Node::Set(members) => self.open(tag::SET, Frame::Members(members.iter()))?,
            Node::Array(array) => self.open(
                tag::ARRAY,
                Frame::Elements {
                    array,
                    item: 0,
                    next_index: 0,
                },
            )?,
            Node::Error(error) => self.error(error)?,
            Node::View(view) => self.view(view)?,
            Node::Boxed(primitive) => {
                self.out.push(tag::BOXED);
                self.slot(primitive)?;
            }
            Node::Buffer(buffer) => match buffer.max_len {
                None => {
                    self.out.push(tag::ARRAY_BUFFER);
                    put_bytes(self.out, &buffer.bytes);
                }
                Some(max_len) => {
                    self.out.push(tag::RESIZABLE_BUFFER);
                    put_varint(self.out, max_len);
                    put_bytes(self.out, &buffer.bytes);
                }
            },
            Node::Date(ms) => {
                self.out.push(tag::DATE);
                put_f64(self.out, *ms);
            }
            Node::RegExp(parts) => self.pair(tag::REGEXP, parts),
            Node::DomException(parts) => self.pair(tag::DOM_EXCEPTION, parts),
            Node::Blob(blob) => self.blob(blob),
        }
        Ok(())
    }

    /// Numbers an object that appears for the first time; writes a reference to one that does not.
    fn number(&mut self, index: u32) -> bool {
        let Some(number) = self.numbers.get_mut(index as usize) else {
            return false;
        };
        if *number != UNSEEN {
            self.out.push(tag::REF);
            put_varint(self.out, u64::from(*number));
            return false;
        }
        *number = self.next;
        self.next += 1;
        true
    }

    fn open(&mut self, tag: u8, frame: Frame<'a>) -> Result<(), EncodeError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(EncodeError::TooDeep { limit: MAX_DEPTH });
        }
        self.out.push(tag);
        self.stack.push(frame);
        Ok(())
    }

    fn error(&mut self, error: &'a ErrorNode) -> Result<(), EncodeError> {
        let stack = if error.stack.is_some() { HAS_STACK } else { 0 };
        let cause = if error.cause.is_some() { HAS_CAUSE } else { 0 };
        if error.cause.is_some() {
            self.open(tag::ERROR, Frame::Cause(error.cause.as_ref()))?;
        } else {
            self.out.push(tag::ERROR);
        }
        self.out.push(stack | cause);
        put_text(self.out, &error.name);
        put_text(self.out, &error.message);
        error
            .stack
            .iter()
            .for_each(|stack| put_text(self.out, stack));
        Ok(())
    }

    fn view(&mut self, view: &'a ViewNode) -> Result<(), EncodeError> {
        let Some(buffer) = self.value.buffer(&view.buffer) else {
            return Ok(());
        };
        let Slot::Object(index) = view.buffer else {
            return Ok(());
        };
        let whole = view.kind == ViewKind::Uint8
            && view.length == Some(buffer.bytes.len())
            && buffer.max_len.is_none()
            && self.numbers.get(index as usize) == Some(&UNSEEN);
        if whole {
            self.number(index);
            self.out.push(tag::BYTES);
            put_bytes(self.out, &buffer.bytes);
            return Ok(());
        }
        self.out.push(if view.length.is_some() {
            tag::VIEW
        } else {
            tag::TRACKING_VIEW
        });
        self.out.push(view.kind as u8);
        put_varint(self.out, view.offset as u64);
        if let Some(length) = view.length {
            put_varint(self.out, length as u64);
        }
        self.slot(&view.buffer)
    }

    fn pair(&mut self, tag: u8, parts: &[JsString; 2]) {
        self.out.push(tag);
        parts.iter().for_each(|part| put_text(self.out, part));
    }

    fn blob(&mut self, blob: &BlobNode) {
        self.out.push(if blob.file.is_some() {
            tag::FILE
        } else {
            tag::BLOB
        });
        put_text(self.out, &blob.media_type);
        if let Some((name, last_modified)) = &blob.file {
            put_text(self.out, name);
            put_f64(self.out, *last_modified);
        }
        put_bytes(self.out, &blob.bytes);
    }
}
