//! Equality of values, cycles included.

use crate::node::{Node, Slot, Value};
use crate::primitive::JsString;

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        let mut comparison = Comparison {
            left: self,
            right: other,
            partners: vec![None; self.nodes.len()],
            taken: vec![false; other.nodes.len()],
            pending: Vec::new(),
        };
        comparison.slots(&self.root, &other.root) && comparison.run()
    }
}

/// NaN equals itself here.
impl Eq for Value {}

/// Pairs up the objects of two values, each with one partner, and compares every pair once.
struct Comparison<'a> {
    left: &'a Value,
    right: &'a Value,
    /// By index on the left.
    partners: Vec<Option<u32>>,
    /// By index on the right.
    taken: Vec<bool>,
    pending: Vec<(u32, u32)>,
}

impl<'a> Comparison<'a> {
    fn run(&mut self) -> bool {
        while let Some((left, right)) = self.pending.pop() {
            let pair = (
                self.left.nodes.get(left as usize),
                self.right.nodes.get(right as usize),
            );
            let (Some(left), Some(right)) = pair else {
                return false;
            };
            if !self.nodes(left, right) {
                return false;
            }
        }
        true
    }

    fn slots(&mut self, left: &Slot, right: &Slot) -> bool {
        match (left, right) {
            (Slot::Undefined, Slot::Undefined) | (Slot::Null, Slot::Null) => true,
            (Slot::Bool(a), Slot::Bool(b)) => a == b,
            (Slot::Number(a), Slot::Number(b)) => same_number(*a, *b),
            (Slot::BigInt(a), Slot::BigInt(b)) => a == b,
            (Slot::String(a), Slot::String(b)) => a == b,
            (Slot::Object(a), Slot::Object(b)) => self.pair(*a, *b),
            _ => false,
        }
    }

    fn pair(&mut self, left: u32, right: u32) -> bool {
        let (Some(partner), Some(taken)) = (
            self.partners.get_mut(left as usize),
            self.taken.get_mut(right as usize),
        ) else {
            return false;
        };
        if partner.is_some() || *taken {
            return *partner == Some(right);
        }
        *partner = Some(right);
        *taken = true;
        self.pending.push((left, right));
        true
    }

    fn nodes(&mut self, left: &'a Node, right: &'a Node) -> bool {
        match (left, right) {
            (Node::Object(a), Node::Object(b)) => self.entries(a, b),
            (Node::Map(a), Node::Map(b)) | (Node::Set(a), Node::Set(b)) => self.all(a, b),
            (Node::Array(a), Node::Array(b)) => {
                a.length == b.length
                    && (0..a.items.len()).all(|item| a.index_of_item(item) == b.index_of_item(item))
                    && self.all(&a.items, &b.items)
                    && self.entries(&a.props, &b.props)
            }
            (Node::Buffer(a), Node::Buffer(b)) => a.bytes == b.bytes && a.max_len == b.max_len,
            (Node::View(a), Node::View(b)) => {
                (a.kind, a.offset, a.length) == (b.kind, b.offset, b.length)
                    && self.slots(&a.buffer, &b.buffer)
            }
            (Node::Date(a), Node::Date(b)) => same_number(*a, *b),
            (Node::RegExp(a), Node::RegExp(b)) | (Node::DomException(a), Node::DomException(b)) => {
                a == b
            }
            (Node::Boxed(a), Node::Boxed(b)) => self.slots(a, b),
            (Node::Error(a), Node::Error(b)) => {
                (&a.name, &a.message, &a.stack) == (&b.name, &b.message, &b.stack)
                    && self.all(a.cause.as_slice(), b.cause.as_slice())
            }
            (Node::Blob(a), Node::Blob(b)) => {
                let same_file = match (&a.file, &b.file) {
                    (Some((name, time)), Some((other, when))) => {
                        name == other && same_number(*time, *when)
                    }
                    (None, None) => true,
                    _ => false,
                };
                same_file && a.media_type == b.media_type && a.bytes == b.bytes
            }
            _ => false,
        }
    }

    fn all(&mut self, left: &[Slot], right: &[Slot]) -> bool {
        left.len() == right.len() && left.iter().zip(right).all(|(a, b)| self.slots(a, b))
    }

    fn entries(&mut self, left: &[(JsString, Slot)], right: &[(JsString, Slot)]) -> bool {
        left.len() == right.len()
            && left
                .iter()
                .zip(right)
                .all(|(a, b)| a.0 == b.0 && self.slots(&a.1, &b.1))
    }
}

/// As `Object.is` has it.
fn same_number(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}
