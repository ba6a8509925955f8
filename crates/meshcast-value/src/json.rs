//! JSON, for people and command lines.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::{Error as _, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::budget::{Budget, DEFAULT_MAX_MEMORY};
use crate::cursor::{Kind, ValueRef};
use crate::error::JsonError;
use crate::node::{Slot, Value};
use crate::primitive::JsString;
use crate::wire::MAX_SAFE;

mod read;

/// Deepest nesting of what [`Value::to_json`] returns, so that any JSON parser takes it: serde_json
/// itself stops at 128.
const MAX_JSON_DEPTH: usize = 120;

impl Value {
    /// The value as plain JSON where JSON can express it, and as an object with one `$` key where
    /// not.
    ///
    /// Never fails. An object is written once, so the size is linear in the size of the value.
    ///
    /// | Written | For |
    /// | --- | --- |
    /// | `{"$undefined": true}` | `undefined` |
    /// | `{"$number": "NaN" \| "Infinity" \| "-Infinity" \| "-0"}` | numbers JSON lacks |
    /// | `{"$bigint": "-12"}` | a bigint; hexadecimal with `0x` beyond 1 KiB |
    /// | `{"$utf16": [55296]}` | a string with lone surrogates |
    /// | `{"$object": [[key, value], …]}` | an object with keys JSON cannot hold |
    /// | `{"$array": {"length", "items", "props"}}` | an array with holes or named properties |
    /// | `{"$map": [[key, value], …]}`, `{"$set": [member, …]}` | a map, a set |
    /// | `{"$bytes": base64}` | a `Uint8Array` over exactly its own buffer |
    /// | `{"$view": {"kind", "offset", "length", "buffer"}}` | another view |
    /// | `{"$arraybuffer": {"bytes": base64, "max"}}` | a buffer; `max` only if resizable |
    /// | `{"$date": ms}`, `{"$boxed": primitive}` | a date, an object form of a primitive |
    /// | `{"$regexp": {"source", "flags"}}` | a regular expression |
    /// | `{"$error": {"name", "message", "stack", "cause"}}` | an error |
    /// | `{"$domexception": {"name", "message"}}` | a `DOMException` |
    /// | `{"$blob": {"type", "bytes"}}` | a blob |
    /// | `{"$file": {"name", "type", "bytes", "lastModified"}}` | a file |
    /// | `{"$id": n, "$value": …}`, `{"$ref": n}` | an object that appears again, and where |
    /// | `{"$deep": true}` | what would nest more than 120 levels of JSON |
    /// | `{"$large": true}` | all of a value over [`DEFAULT_MAX_MEMORY`] as JSON |
    ///
    /// Keys that JSON cannot hold could be mistaken for one of these, repeat, or are not well
    /// formed. `items` is `[[index, value], …]`, `props` is `[[key, value], …]`. `length` of a
    /// view is null if it is tracking. An error has `stack` and `cause` only if they are there.
    pub fn to_json(&self) -> Json {
        self.to_json_within(DEFAULT_MAX_MEMORY)
            .unwrap_or_else(|_| json!({ "$large": true }))
    }

    /// As [`to_json`](Self::to_json), for a caller that has to tell a value that is too large from
    /// others.
    ///
    /// # Errors
    /// [`JsonError::OverBudget`] if the JSON would take more than `max_memory` bytes. Small objects
    /// take several times as much there as in a [`Value`].
    pub fn to_json_within(&self, max_memory: usize) -> Result<Json, JsonError> {
        let writer = Writer::new(self, Some(max_memory), TooDeep::Marked);
        serde_json::to_value(writer.form(self.root()))
            .map_err(|_| JsonError::OverBudget { limit: max_memory })
    }

    /// Writes the JSON of [`to_json`](Self::to_json) without having it in memory.
    pub(crate) fn fmt_json(root: ValueRef<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writer = Writer::new(root.value(), None, TooDeep::Marked);
        serde_json::to_writer(Characters(f), &writer.form(root)).map_err(|_| fmt::Error)
    }
}

/// Writes the form of [`Value::to_json`]. On a channel of `Value` nothing is lost: there it travels
/// as it is; only as part of another type, or in another format, it takes this form. A value that
/// would nest too deep is an error here, rather than a mark in its place.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let writer = Writer::new(self, None, TooDeep::Refused);
        writer.form(self.root()).serialize(serializer)
    }
}

/// What to do about what nests too deep for JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TooDeep {
    /// `{"$deep": true}` in its place.
    Marked,
    Refused,
}

struct Writer {
    /// By arena index: whether the object appears more than once.
    shared: Vec<bool>,
    /// By arena index: the id of a shared object that has been written.
    ids: RefCell<Vec<Option<u32>>>,
    next: Cell<u32>,
    /// Set if what is written stays in memory.
    budget: Option<RefCell<Budget>>,
    too_deep: TooDeep,
}

/// What a place in a list costs in a tree of [`Json`], in a list that may be half empty.
const ITEM_COST: usize = 2 * size_of::<Json>();
/// The cost of an entry with a key in a map that is a B-tree, whose nodes may be half empty.
const ENTRY_COST: usize = 3 * (size_of::<String>() + size_of::<Json>());
/// The cost of a map before its content: a leaf has room for eleven entries.
const MAP_COST: usize = 12 * (size_of::<String>() + size_of::<Json>()) + 64;

impl Writer {
    fn new(value: &Value, max_memory: Option<usize>, too_deep: TooDeep) -> Self {
        let shared = shared_objects(value);
        Self {
            ids: RefCell::new(vec![None; shared.len()]),
            shared,
            next: Cell::new(0),
            budget: max_memory.map(|limit| RefCell::new(Budget::new(limit))),
            too_deep,
        }
    }

    fn form<'a>(&'a self, root: ValueRef<'a>) -> Form<'a> {
        Form {
            writer: self,
            value: root,
            room: MAX_JSON_DEPTH,
            part: Part::Whole,
        }
    }

    fn charge<E: serde::ser::Error>(&self, cost: usize) -> Result<(), E> {
        match &self.budget {
            Some(budget) => budget
                .borrow_mut()
                .charge(cost)
                .map_err(|over| E::custom(JsonError::from(over))),
            None => Ok(()),
        }
    }
}

/// A place in a value, or a part of what is written for one.
#[derive(Clone, Copy)]
struct Form<'a> {
    writer: &'a Writer,
    value: ValueRef<'a>,
    /// How many levels of JSON may still be opened.
    room: usize,
    part: Part,
}

#[derive(Clone, Copy)]
enum Part {
    /// All of it: a primitive, a reference, or an object with its id if it has one.
    Whole,
    /// An object for the one time it is written; its own levels are already taken from `room`.
    Object,
    /// `[member, …]`
    Items,
    /// `[[index, item], …]`
    IndexedItems,
    /// `[[key, value], …]` of a map
    Pairs,
    /// `[[key, value], …]` of an object or array
    Entries,
    /// The content of `$array`, `$view`, `$error`.
    Fields,
}

impl Serialize for Form<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let value = self.value;
        match self.part {
            Part::Whole => self.whole(out),
            Part::Object => self.object(out),
            Part::Items => out.collect_seq(value.items().map(|(_, item)| self.at(item))),
            Part::IndexedItems => self.list(
                value.items().map(|(index, item)| (index, self.at(item))),
                out,
            ),
            Part::Pairs => self.list(
                value
                    .pairs()
                    .map(|(key, item)| (self.at(key), self.at(item))),
                out,
            ),
            Part::Entries => self.list(
                value
                    .entries()
                    .map(|(key, item)| (self.text(key), self.at(item))),
                out,
            ),
            Part::Fields => self.fields(out),
        }
    }
}

impl<'a> Form<'a> {
    fn whole<S: Serializer>(self, out: S) -> Result<S::Ok, S::Error> {
        let writer = self.writer;
        writer.charge(ITEM_COST)?;
        let Some(object) = self.value.object() else {
            return self.primitive(self.value.kind(), out);
        };
        let written = writer.ids.borrow().get(object).copied().flatten();
        if let Some(id) = written {
            return self.tagged("$ref", &id, out);
        }
        let shared = writer.shared.get(object) == Some(&true);
        let levels = levels(self.value) + usize::from(shared);
        let Some(room) = self.room.checked_sub(levels) else {
            return match writer.too_deep {
                TooDeep::Marked => self.tagged("$deep", &true, out),
                TooDeep::Refused => Err(S::Error::custom(JsonError::TooDeep {
                    limit: MAX_JSON_DEPTH,
                })),
            };
        };
        let object_form = Self { room, ..self }.part(Part::Object);
        if !shared {
            return object_form.serialize(out);
        }
        let id = writer.next.get();
        writer.next.set(id + 1);
        if let Some(slot) = writer.ids.borrow_mut().get_mut(object) {
            *slot = Some(id);
        }
        writer.charge(MAP_COST + ENTRY_COST)?;
        let mut map = out.serialize_map(Some(2))?;
        map.serialize_entry("$id", &id)?;
        map.serialize_entry("$value", &object_form)?;
        map.end()
    }

    fn object<S: Serializer>(self, out: S) -> Result<S::Ok, S::Error> {
        let value = self.value;
        match value.kind() {
            Kind::Object if is_plain_object(value) => {
                self.writer.charge(MAP_COST)?;
                let mut map = out.serialize_map(None)?;
                for (key, item) in value.entries() {
                    let key = key.to_string_lossy();
                    self.writer.charge(ENTRY_COST + key.len())?;
                    map.serialize_entry(&*key, &self.at(item))?;
                }
                map.end()
            }
            Kind::Object => self.tagged("$object", &self.part(Part::Entries), out),
            Kind::Array(length) if is_plain_array(value, length) => {
                self.part(Part::Items).serialize(out)
            }
            Kind::Array(_) => self.tagged("$array", &self.part(Part::Fields), out),
            Kind::Map => self.tagged("$map", &self.part(Part::Pairs), out),
            Kind::Set => self.tagged("$set", &self.part(Part::Items), out),
            Kind::View(view) => {
                let buffer = view.buffer.object().unwrap_or(usize::MAX);
                if view.is_whole_bytes() && self.writer.shared.get(buffer) == Some(&false) {
                    return self.tagged("$bytes", &self.base64(view.bytes)?, out);
                }
                self.tagged("$view", &self.part(Part::Fields), out)
            }
            Kind::Error { .. } => self.tagged("$error", &self.part(Part::Fields), out),
            kind => self.leaf(kind, out),
        }
    }

    /// The fields of the kinds that have values inside, in alphabetical order, so that ids come
    /// before what refers to them also where JSON is sorted.
    fn fields<S: Serializer>(self, out: S) -> Result<S::Ok, S::Error> {
        self.writer.charge(MAP_COST)?;
        let mut map = out.serialize_map(None)?;
        match self.value.kind() {
            Kind::Array(length) => {
                map.serialize_entry("items", &self.part(Part::IndexedItems))?;
                map.serialize_entry("length", &length)?;
                map.serialize_entry("props", &self.part(Part::Entries))?;
            }
            Kind::View(view) => {
                map.serialize_entry("buffer", &self.at(view.buffer))?;
                map.serialize_entry("kind", view.kind.constructor_name())?;
                map.serialize_entry("length", &view.length)?;
                map.serialize_entry("offset", &view.offset)?;
            }
            Kind::Error {
                name,
                message,
                stack,
                cause,
            } => {
                if let Some(cause) = cause {
                    map.serialize_entry("cause", &self.at(cause))?;
                }
                map.serialize_entry("message", &self.text(message))?;
                map.serialize_entry("name", &self.text(name))?;
                if let Some(stack) = stack {
                    map.serialize_entry("stack", &self.text(stack))?;
                }
            }
            _ => {}
        }
        map.end()
    }

    /// Objects without children of their own.
    fn leaf<S: Serializer>(self, kind: Kind<'_>, out: S) -> Result<S::Ok, S::Error> {
        let text = |text| self.text(text);
        let json = match kind {
            Kind::ArrayBuffer(bytes, None) => {
                json!({ "$arraybuffer": { "bytes": self.base64(bytes)? } })
            }
            Kind::ArrayBuffer(bytes, Some(max)) => {
                json!({ "$arraybuffer": { "bytes": self.base64(bytes)?, "max": max } })
            }
            Kind::Date(ms) => json!({ "$date": number(ms) }),
            Kind::Boxed(inner) => return self.tagged("$boxed", &self.at(inner), out),
            Kind::RegExp { source, flags } => {
                json!({ "$regexp": { "source": text(source), "flags": text(flags) } })
            }
            Kind::DomException { name, message } => {
                json!({ "$domexception": { "name": text(name), "message": text(message) } })
            }
            Kind::Blob { media_type, bytes } => {
                json!({ "$blob": { "type": text(media_type), "bytes": self.base64(bytes)? } })
            }
            Kind::File {
                name,
                media_type,
                bytes,
                last_modified,
            } => json!({ "$file": {
                "name": text(name),
                "type": text(media_type),
                "bytes": self.base64(bytes)?,
                "lastModified": number(last_modified),
            } }),
            kind => return self.primitive(kind, out),
        };
        self.writer.charge(2 * MAP_COST)?;
        json.serialize(out)
    }

    fn primitive<S: Serializer>(self, kind: Kind<'_>, out: S) -> Result<S::Ok, S::Error> {
        match kind {
            Kind::Null => out.serialize_unit(),
            Kind::Bool(bool) => out.serialize_bool(bool),
            Kind::Number(value) => self.number(value, out),
            Kind::BigInt(int) => {
                self.writer.charge(3 * int.magnitude().len())?;
                self.tagged("$bigint", &int.to_string(), out)
            }
            Kind::String(string) => self.text(string).serialize(out),
            _ => self.tagged("$undefined", &true, out),
        }
    }

    fn number<S: Serializer>(self, value: f64, out: S) -> Result<S::Ok, S::Error> {
        match number(value) {
            Json::Number(number) => number.serialize(out),
            other => {
                self.writer.charge(MAP_COST)?;
                other.serialize(out)
            }
        }
    }

    fn tagged<S: Serializer, T: Serialize + ?Sized>(
        self,
        tag: &'static str,
        content: &T,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        self.writer.charge(MAP_COST)?;
        let mut map = out.serialize_map(Some(1))?;
        map.serialize_entry(tag, content)?;
        map.end()
    }

    /// A list of pairs, each of which is a list itself.
    fn list<S: Serializer, T: Serialize>(
        self,
        pairs: impl Iterator<Item = T>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        let mut seq = out.serialize_seq(None)?;
        for pair in pairs {
            self.writer.charge(4 * ITEM_COST)?;
            seq.serialize_element(&pair)?;
        }
        seq.end()
    }

    fn base64<E: serde::ser::Error>(self, bytes: &[u8]) -> Result<String, E> {
        // Once here and, for a moment, once more on the way.
        self.writer.charge(bytes.len().saturating_mul(3))?;
        Ok(BASE64.encode(bytes))
    }

    fn text(self, text: &'a JsString) -> Text<'a> {
        Text {
            writer: self.writer,
            text,
        }
    }

    fn at(self, value: ValueRef<'a>) -> Self {
        Self { value, ..self }.part(Part::Whole)
    }

    fn part(self, part: Part) -> Self {
        Self { part, ..self }
    }
}

/// A string as JSON.
struct Text<'a> {
    writer: &'a Writer,
    text: &'a JsString,
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.text.as_str() {
            self.writer.charge(text.len())?;
            return out.serialize_str(text);
        }
        let units = self.text.utf16_units();
        self.writer
            .charge(MAP_COST + units.len().saturating_mul(ITEM_COST))?;
        let mut map = out.serialize_map(Some(1))?;
        map.serialize_entry("$utf16", units)?;
        map.end()
    }
}

/// Writes what is valid UTF-8 to where only characters go.
struct Characters<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl io::Write for Characters<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn number(number: f64) -> Json {
    if number == 0.0 && number.is_sign_negative() {
        return json!({ "$number": "-0" });
    }
    if number.is_infinite() {
        return json!({ "$number": if number > 0.0 { "Infinity" } else { "-Infinity" } });
    }
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE as f64 {
        return json!(number as i64);
    }
    serde_json::Number::from_f64(number).map_or_else(|| json!({ "$number": "NaN" }), Json::Number)
}

/// How many levels of JSON an object opens around its children or, without any, by itself.
fn levels(value: ValueRef<'_>) -> usize {
    match value.kind() {
        Kind::Object if is_plain_object(value) => 1,
        Kind::Array(length) if is_plain_array(value, length) => 1,
        Kind::Array(_) => 4,
        Kind::Object | Kind::Map => 3,
        _ => 2,
    }
}

/// Whether nothing is lost or mistaken when the entries become those of a JSON object.
fn is_plain_object(value: ValueRef<'_>) -> bool {
    let mut seen = HashSet::new();
    value.entries().all(|(key, _)| {
        key.as_str()
            .is_some_and(|key| !key.starts_with('$') && seen.insert(key))
    })
}

fn is_plain_array(value: ValueRef<'_>, length: u32) -> bool {
    value.items().count() == length as usize && value.entries().next().is_none()
}

/// The objects with more than one reference to them; the root counts as one.
fn shared_objects(value: &Value) -> Vec<bool> {
    let mut seen = vec![false; value.nodes.len()];
    let mut shared = vec![false; value.nodes.len()];
    let mut pending = Vec::new();
    let mut visit = |slot: &Slot, pending: &mut Vec<usize>| {
        let Slot::Object(index) = slot else { return };
        let index = *index as usize;
        let (Some(seen), Some(shared)) = (seen.get_mut(index), shared.get_mut(index)) else {
            return;
        };
        if *seen {
            *shared = true;
        } else {
            *seen = true;
            pending.push(index);
        }
    };
    visit(&value.root, &mut pending);
    while let Some(node) = pending.pop().and_then(|index| value.nodes.get(index)) {
        node.for_each_child(&mut |slot| visit(slot, &mut pending));
    }
    shared
}
