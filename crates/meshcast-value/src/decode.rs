//! Reading a [`Value`] from bytes nobody vouches for.

use bytes::Bytes;

use crate::budget::{Budget, DecodeLimits};
use crate::error::DecodeError;
use crate::node::{ArrayNode, BlobNode, BufferNode, ErrorNode, Node, Slot, Value, ViewNode};
use crate::primitive::{BigInt, JsString};
use crate::view::ViewKind;
use crate::wire::{HAS_CAUSE, HAS_STACK, MAX_SAFE, Reader, Text, tag, unexpected};

impl Value {
    /// Reads a value that takes up all of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] for what is no value, or would exceed a limit.
    pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut decoder = Decoder {
            reader: Reader::new(bytes),
            limits,
            budget: Budget::new(limits.max_memory),
            nodes: Vec::new(),
            stack: Vec::new(),
        };
        let root = decoder.run()?;
        if decoder.reader.pos < bytes.len() {
            return Err(DecodeError::TrailingBytes {
                offset: decoder.reader.pos,
            });
        }
        Ok(Self {
            root,
            nodes: decoder.nodes,
        })
    }
}

/// The cost of an object before its content: its node in an arena that may be half empty, what a
/// rare kind boxes, and the four elements with which a list starts out.
pub(crate) const NODE_COST: usize = 2 * size_of::<Node>() + size_of::<ArrayNode>() + 4 * ENTRY_COST;
/// What an element costs, in a list that may be half empty.
pub(crate) const SLOT_COST: usize = 2 * size_of::<Slot>();
/// What an entry with a key costs, besides the text of the key.
pub(crate) const ENTRY_COST: usize = 2 * size_of::<(JsString, Slot)>();
/// What the index of an element of a sparse array costs.
const INDEX_COST: usize = 2 * size_of::<u32>();

struct Decoder<'a> {
    reader: Reader<'a>,
    limits: &'a DecodeLimits,
    budget: Budget,
    /// In the order of first appearance, so that the number in a reference is an index.
    nodes: Vec<Node>,
    stack: Vec<Frame>,
}

/// A container whose children are being read.
#[derive(Clone, Copy)]
struct Frame {
    node: u32,
    /// What may come next.
    expects: Expects,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// Keys and values: an object, or an array from PROPS on.
    Entry,
    /// Elements, holes or PROPS.
    Element,
    /// Members of a map or set.
    Member,
    /// The one value that completes an error.
    Cause,
    /// Nothing: the cause has been read.
    Done,
}

impl Decoder<'_> {
    fn run(&mut self) -> Result<Slot, DecodeError> {
        let root = self.value()?;
        while let Some(frame) = self.stack.last().copied() {
            match (frame.expects, self.reader.peek()) {
                (Expects::Done, _) => drop(self.stack.pop()),
                (_, Err(truncated)) => return Err(truncated),
                (Expects::Entry | Expects::Element | Expects::Member, Ok(tag::END)) => {
                    self.close(frame)?
                }
                (Expects::Element, Ok(tag::HOLES)) => self.holes(frame)?,
                (Expects::Element, Ok(tag::PROPS)) => {
                    self.reader.byte()?;
                    self.expect(Expects::Entry);
                }
                (Expects::Entry, Ok(_)) => {
                    self.charge(ENTRY_COST)?;
                    let key = self.text()?;
                    let value = self.value()?;
                    match self.node(frame) {
                        Some(Node::Object(entries)) => entries.push((key, value)),
                        Some(Node::Array(array)) => array.props.push((key, value)),
                        _ => {}
                    }
                }
                (Expects::Element, Ok(_)) => self.element(frame)?,
                (Expects::Member, Ok(_)) => {
                    self.charge(SLOT_COST)?;
                    let member = self.value()?;
                    if let Some(Node::Map(members) | Node::Set(members)) = self.node(frame) {
                        members.push(member);
                    }
                }
                (Expects::Cause, Ok(_)) => {
                    self.expect(Expects::Done);
                    let cause = self.value()?;
                    if let Some(Node::Error(error)) = self.node(frame) {
                        error.cause = Some(cause);
                    }
                }
            }
        }
        Ok(root)
    }

    /// Reads a primitive, a reference, or an object as far as its first child.
    fn value(&mut self) -> Result<Slot, DecodeError> {
        let offset = self.reader.pos;
        let tag = self.reader.byte()?;
        Ok(match tag {
            tag::REF => {
                let index = self.reader.varint()?;
                let known = usize::try_from(index).is_ok_and(|index| index < self.nodes.len());
                if !known {
                    return Err(DecodeError::InvalidReference { index, offset });
                }
                Slot::Object(index as u32)
            }
            tag::OBJECT..=tag::FILE => self.object(tag, offset)?,
            _ => self.primitive(tag, offset)?,
        })
    }

    fn primitive(&mut self, tag: u8, offset: usize) -> Result<Slot, DecodeError> {
        Ok(match tag {
            tag::UNDEFINED => Slot::Undefined,
            tag::NULL => Slot::Null,
            tag::FALSE => Slot::Bool(false),
            tag::TRUE => Slot::Bool(true),
            tag::INT => Slot::Number(self.reader.int()? as f64),
            tag::F64 => Slot::Number(self.reader.f64()?),
            tag::BIGINT | tag::BIGINT_NEGATIVE => {
                let magnitude = self.reader.bytes()?;
                self.charge(magnitude.len())?;
                Slot::BigInt(BigInt::new(tag == tag::BIGINT_NEGATIVE, magnitude))
            }
            tag::STR | tag::STR16 => {
                self.reader.pos = offset;
                Slot::String(self.text()?)
            }
            _ => return Err(unexpected(tag, offset)),
        })
    }

    fn object(&mut self, tag: u8, offset: usize) -> Result<Slot, DecodeError> {
        let number = self.nodes.len() as u32;
        match tag {
            tag::OBJECT => self.open(Node::Object(Vec::new()), Expects::Entry)?,
            tag::ARRAY => self.open(Node::Array(Box::default()), Expects::Element)?,
            tag::MAP => self.open(Node::Map(Vec::new()), Expects::Member)?,
            tag::SET => self.open(Node::Set(Vec::new()), Expects::Member)?,
            tag::ERROR => self.error()?,
            tag::VIEW | tag::TRACKING_VIEW => self.view(tag)?,
            tag::BYTES => {
                let bytes = self.reader.bytes()?;
                let length = Some(bytes.len());
                let buffer = Slot::Object(number + 1);
                self.add(Node::View(Box::new(ViewNode {
                    kind: ViewKind::Uint8,
                    buffer,
                    offset: 0,
                    length,
                })))?;
                self.add_buffer(bytes, None)?;
            }
            tag::ARRAY_BUFFER | tag::RESIZABLE_BUFFER => self.buffer(tag)?,
            tag::DATE => {
                let ms = self.reader.f64()?;
                self.add(Node::Date(ms))?;
            }
            tag::REGEXP => {
                let parts = Box::new([self.text()?, self.text()?]);
                self.add(Node::RegExp(parts))?;
            }
            tag::DOM_EXCEPTION => {
                let parts = Box::new([self.text()?, self.text()?]);
                self.add(Node::DomException(parts))?;
            }
            tag::BOXED => {
                let offset = self.reader.pos;
                let primitive = match self.reader.byte()? {
                    tag @ (tag::UNDEFINED | tag::NULL) => return Err(unexpected(tag, offset)),
                    tag => self.primitive(tag, offset)?,
                };
                self.add(Node::Boxed(primitive))?;
            }
            tag::BLOB | tag::FILE => {
                let media_type = self.text()?;
                let file = match tag {
                    tag::FILE => Some((self.text()?, self.reader.f64()?)),
                    _ => None,
                };
                let bytes = self.content()?;
                self.add(Node::Blob(Box::new(BlobNode {
                    media_type,
                    bytes,
                    file,
                })))?;
            }
            _ => return Err(unexpected(tag, offset)),
        }
        Ok(Slot::Object(number))
    }

    fn error(&mut self) -> Result<(), DecodeError> {
        let offset = self.reader.pos;
        let flags = self.reader.byte()?;
        if flags & !(HAS_STACK | HAS_CAUSE) != 0 {
            return Err(DecodeError::Malformed {
                what: "unknown flags of an error",
                offset,
            });
        }
        let name = self.text()?;
        let message = self.text()?;
        let stack = if flags & HAS_STACK != 0 {
            Some(self.text()?)
        } else {
            None
        };
        let node = Node::Error(Box::new(ErrorNode {
            name,
            message,
            stack,
            cause: None,
        }));
        if flags & HAS_CAUSE != 0 {
            self.open(node, Expects::Cause)
        } else {
            self.add(node)
        }
    }

    fn view(&mut self, tag: u8) -> Result<(), DecodeError> {
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
        let number = self.nodes.len();
        let buffer = Slot::Object(number as u32 + 1);
        self.add(Node::View(Box::new(ViewNode {
            kind,
            buffer,
            offset,
            length,
        })))?;

        let buffer_at = self.reader.pos;
        let buffer = match self.reader.byte()? {
            tag @ (tag::ARRAY_BUFFER | tag::RESIZABLE_BUFFER) => {
                self.buffer(tag)?;
                number + 1
            }
            tag::REF => {
                let index = self.reader.varint()?;
                let found = usize::try_from(index)
                    .ok()
                    .filter(|index| matches!(self.nodes.get(*index), Some(Node::Buffer(_))));
                found.ok_or(DecodeError::InvalidReference {
                    index,
                    offset: buffer_at,
                })?
            }
            tag => return Err(unexpected(tag, buffer_at)),
        };
        let Some(Node::Buffer(content)) = self.nodes.get(buffer) else {
            return Ok(());
        };
        if length.is_none() && content.max_len.is_none() {
            return Err(malformed("length-tracking view of a fixed buffer"));
        }
        kind.window(offset, length, content.bytes.len())
            .map_err(|_| malformed("view that is misaligned or leaves its buffer"))?;
        if let Some(Node::View(view)) = self.nodes.get_mut(number) {
            view.buffer = Slot::Object(buffer as u32);
        }
        Ok(())
    }

    fn buffer(&mut self, tag: u8) -> Result<(), DecodeError> {
        let offset = self.reader.pos;
        let max_len = if tag == tag::RESIZABLE_BUFFER {
            Some(self.reader.varint()?)
        } else {
            None
        };
        let bytes = self.reader.bytes()?;
        if max_len.is_some_and(|max_len| max_len < bytes.len() as u64 || max_len > MAX_SAFE) {
            return Err(DecodeError::Malformed {
                what: "impossible largest length of a buffer",
                offset,
            });
        }
        self.add_buffer(bytes, max_len)
    }

    fn element(&mut self, frame: Frame) -> Result<(), DecodeError> {
        let offset = self.reader.pos;
        self.charge(SLOT_COST + INDEX_COST)?;
        let element = self.value()?;
        let Some(Node::Array(array)) = self.node(frame) else {
            return Ok(());
        };
        let too_long = DecodeError::Malformed {
            what: "array longer than 2^32 - 1",
            offset,
        };
        array.push(element).then_some(()).ok_or(too_long)
    }

    fn holes(&mut self, frame: Frame) -> Result<(), DecodeError> {
        let offset = self.reader.pos;
        self.reader.byte()?;
        let count = u32::try_from(self.reader.varint()?)
            .ok()
            .filter(|count| *count > 0);
        let grown = match (self.node(frame), count) {
            (Some(Node::Array(array)), Some(count)) => array.push_holes(count),
            _ => false,
        };
        if grown {
            Ok(())
        } else {
            Err(DecodeError::Malformed {
                what: "impossible number of holes",
                offset,
            })
        }
    }

    fn close(&mut self, frame: Frame) -> Result<(), DecodeError> {
        let offset = self.reader.pos;
        if let Some(Node::Map(members)) = self.node(frame)
            && members.len() % 2 == 1
        {
            return Err(DecodeError::MisplacedTag {
                tag: tag::END,
                offset,
            });
        }
        self.reader.byte()?;
        self.stack.pop();
        Ok(())
    }

    fn open(&mut self, node: Node, expects: Expects) -> Result<(), DecodeError> {
        if self.stack.len() >= self.limits.max_depth {
            return Err(DecodeError::TooDeep {
                limit: self.limits.max_depth,
            });
        }
        self.stack.push(Frame {
            node: self.nodes.len() as u32,
            expects,
        });
        self.add(node)
    }

    fn add(&mut self, node: Node) -> Result<(), DecodeError> {
        self.charge(NODE_COST)?;
        self.nodes.push(node);
        Ok(())
    }

    fn add_buffer(&mut self, bytes: &[u8], max_len: Option<u64>) -> Result<(), DecodeError> {
        self.charge(bytes.len())?;
        let bytes = Bytes::copy_from_slice(bytes);
        self.add(Node::Buffer(Box::new(BufferNode { bytes, max_len })))
    }

    fn content(&mut self) -> Result<Bytes, DecodeError> {
        let bytes = self.reader.bytes()?;
        self.charge(bytes.len())?;
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn text(&mut self) -> Result<JsString, DecodeError> {
        let text: Text<'_> = self.reader.text()?;
        self.charge(text.byte_len())?;
        Ok(text.to_js_string())
    }

    fn expect(&mut self, expects: Expects) {
        if let Some(frame) = self.stack.last_mut() {
            frame.expects = expects;
        }
    }

    fn node(&mut self, frame: Frame) -> Option<&mut Node> {
        self.nodes.get_mut(frame.node as usize)
    }

    fn charge(&mut self, cost: usize) -> Result<(), DecodeError> {
        Ok(self.budget.charge(cost)?)
    }
}
