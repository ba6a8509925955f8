//! JSON read, with every digit of its integers.

use std::collections::{HashMap, HashSet};

use json_event_parser::{JsonEvent, SliceJsonParser};
use serde_json::Value as Json;

use crate::budget::{Budget, DecodeLimits};
use crate::build::{ArrayId, ObjectId, Part, ValueBuilder};
use crate::decode::{ENTRY_COST, NODE_COST, SLOT_COST};
use crate::error::JsonError;
use crate::node::{Node, Value};
use crate::primitive::BigInt;

impl Value {
    /// Reads a JSON text, as [`JSON.parse`] does but without rounding integers: those beyond
    /// ±(2^53-1) become bigints, with all their digits. Numbers with a fraction or an exponent are
    /// the nearest Number. Of entries with the same key the last counts; `$` keys have no meaning
    /// here.
    ///
    /// # Errors
    /// [`JsonError`] for what is no JSON, for numbers beyond what a Number or 1 KiB of bigint
    /// holds, and for text that would exceed the default [`DecodeLimits`].
    ///
    /// [`JSON.parse`]: https://tc39.es/ecma262/#sec-json.parse
    pub fn from_json_text(text: impl AsRef<[u8]>) -> Result<Self, JsonError> {
        Self::from_json_text_within(text, &DecodeLimits::default())
    }

    /// As [`from_json_text`](Self::from_json_text), within these limits.
    ///
    /// # Errors
    /// The same.
    pub fn from_json_text_within(
        text: impl AsRef<[u8]>,
        limits: &DecodeLimits,
    ) -> Result<Self, JsonError> {
        TextReader {
            parser: SliceJsonParser::new(text.as_ref()),
            builder: ValueBuilder::new(),
            budget: Budget::new(limits.max_memory),
            max_depth: limits.max_depth,
            open: Vec::new(),
        }
        .run()
    }

    /// The value of plain JSON. Integers beyond ±(2^53 - 1) become bigints; `$` keys have no
    /// meaning here.
    ///
    /// serde_json rounds integers beyond 64 bits before this sees them:
    /// [`from_json_text`](Self::from_json_text) does not.
    pub fn from_json(json: Json) -> Self {
        Self::from(json)
    }
}

struct TextReader<'a> {
    parser: SliceJsonParser<'a>,
    builder: ValueBuilder,
    budget: Budget,
    max_depth: usize,
    open: Vec<Open>,
}

/// A container whose end has not come.
enum Open {
    Array(ArrayId),
    Object(ObjectId, Option<Box<str>>),
}

impl TextReader<'_> {
    fn run(mut self) -> Result<Value, JsonError> {
        let mut root = Part::UNDEFINED;
        loop {
            let part = match self.parser.parse_next()? {
                JsonEvent::Eof => return Ok(self.builder.finish(root)),
                JsonEvent::Null => Part::NULL,
                JsonEvent::Boolean(bool) => bool.into(),
                JsonEvent::String(text) => {
                    self.budget.charge(text.len())?;
                    text.as_ref().into()
                }
                JsonEvent::Number(digits) => self.number(&digits)?,
                JsonEvent::StartArray => {
                    self.budget.charge(NODE_COST)?;
                    let array = self.builder.array();
                    self.place(&mut root, array.into())?;
                    self.enter(Open::Array(array))?;
                    continue;
                }
                JsonEvent::StartObject => {
                    self.budget.charge(NODE_COST)?;
                    let object = self.builder.object();
                    self.place(&mut root, object.into())?;
                    self.enter(Open::Object(object, None))?;
                    continue;
                }
                JsonEvent::ObjectKey(name) => {
                    self.budget.charge(ENTRY_COST + name.len())?;
                    if let Some(Open::Object(_, key)) = self.open.last_mut() {
                        *key = Some(name.into());
                    }
                    continue;
                }
                JsonEvent::EndArray | JsonEvent::EndObject => {
                    if let Some(Open::Object(object, _)) = self.open.pop() {
                        self.builder.drop_repeated_keys(object);
                    }
                    continue;
                }
            };
            self.place(&mut root, part)?;
        }
    }

    fn enter(&mut self, container: Open) -> Result<(), JsonError> {
        if self.open.len() >= self.max_depth {
            return Err(JsonError::TooDeep {
                limit: self.max_depth,
            });
        }
        self.open.push(container);
        Ok(())
    }

    /// Puts a part where it stands in the text.
    fn place(&mut self, root: &mut Part, part: Part) -> Result<(), JsonError> {
        match self.open.last_mut() {
            None => *root = part,
            Some(Open::Array(array)) => {
                self.budget.charge(SLOT_COST)?;
                // Holding more elements than an array can would take more than any budget.
                let _ = self.builder.push(*array, part);
            }
            Some(Open::Object(object, key)) => {
                let key = key.take().unwrap_or_default();
                self.builder.set(*object, &*key, part);
            }
        }
        Ok(())
    }

    fn number(&mut self, digits: &str) -> Result<Part, JsonError> {
        let part = number(digits)?;
        self.budget.charge(digits.len())?;
        Ok(part)
    }
}

/// The number that JSON writes like this.
fn number(digits: &str) -> Result<Part, JsonError> {
    let out_of_range = || JsonError::NumberOutOfRange {
        number: shortened(digits),
    };
    if digits.contains(['.', 'e', 'E']) || digits == "-0" {
        let number: f64 = digits.parse().map_err(|_| out_of_range())?;
        return if number.is_finite() {
            Ok(number.into())
        } else {
            Err(out_of_range())
        };
    }
    match digits.parse::<i64>() {
        Ok(int) => Ok(int.into()),
        Err(_) => BigInt::from_decimal(digits)
            .map(Part::from)
            .ok_or_else(out_of_range),
    }
}

/// Enough of a number to know it by.
fn shortened(digits: &str) -> Box<str> {
    const SHOWN: usize = 40;
    match digits.get(..SHOWN) {
        Some(start) if digits.len() > SHOWN => format!("{start}…").into(),
        _ => digits.into(),
    }
}

impl ValueBuilder {
    /// Leaves of entries with the same key the last, in the place of the first.
    pub(crate) fn drop_repeated_keys(&mut self, object: ObjectId) {
        let Some(Node::Object(entries)) = self.node(object.0) else {
            return;
        };
        let mut seen = HashSet::with_capacity(entries.len());
        if entries.iter().all(|(key, _)| seen.insert(key)) {
            return;
        }
        let mut places = HashMap::with_capacity(entries.len());
        let mut kept = Vec::with_capacity(entries.len());
        for (key, value) in entries.drain(..) {
            let place = *places.entry(key.clone()).or_insert(kept.len());
            match kept.get_mut(place) {
                Some((_, earlier)) => *earlier = value,
                None => kept.push((key, value)),
            }
        }
        *entries = kept;
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        let mut builder = ValueBuilder::new();
        let mut open = Vec::new();
        let root = from_json(&mut builder, &mut open, json);
        while let Some(mut frame) = open.pop() {
            match &mut frame {
                Frame::Array(array, items) => {
                    let Some(item) = items.next() else { continue };
                    let array = *array;
                    open.push(frame);
                    let part = from_json(&mut builder, &mut open, item);
                    // Holding more elements than an array can would take 128 GiB of JSON in memory.
                    let _ = builder.push(array, part);
                }
                Frame::Object(object, entries) => {
                    let Some((key, item)) = entries.next() else {
                        continue;
                    };
                    let object = *object;
                    open.push(frame);
                    let part = from_json(&mut builder, &mut open, item);
                    builder.set(object, key, part);
                }
            }
        }
        builder.finish(root)
    }
}

/// A JSON container being converted.
enum Frame {
    Array(ArrayId, std::vec::IntoIter<Json>),
    Object(ObjectId, serde_json::map::IntoIter),
}

/// Converts a scalar, or opens a container.
fn from_json(builder: &mut ValueBuilder, open: &mut Vec<Frame>, json: Json) -> Part {
    match json {
        Json::Null => Part::NULL,
        Json::Bool(bool) => bool.into(),
        Json::String(text) => text.into(),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(int), _) => int.into(),
            (None, Some(int)) => int.into(),
            // With serde_json's `arbitrary_precision`, which a program may switch on, all digits
            // are still there.
            (None, None) => match BigInt::from_decimal(&number.to_string()) {
                Some(int) => int.into(),
                None => number.as_f64().unwrap_or(f64::NAN).into(),
            },
        },
        Json::Array(items) => {
            let array = builder.array();
            open.push(Frame::Array(array, items.into_iter()));
            array.into()
        }
        Json::Object(entries) => {
            let object = builder.object();
            open.push(Frame::Object(object, entries.into_iter()));
            object.into()
        }
    }
}
