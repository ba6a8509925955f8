//! JSON, for people and command lines.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json, json};

use super::build::{ArrayId, ObjectId, Part, ValueBuilder};
use super::cursor::{Kind, ValueRef};
use super::node::{Slot, Value};
use super::primitive::JsString;
use super::wire::MAX_SAFE;

/// Deepest nesting of what [`Value::to_json`] returns, so that any JSON parser takes it: serde_json itself
/// stops at 128.
const MAX_JSON_DEPTH: usize = 120;

impl Value {
    /// The value as plain JSON where JSON can express it, and as an object with one `$` key where not.
    ///
    /// Never fails. Its size is linear in the size of the value, since an object is written once.
    ///
    /// | Written | For |
    /// | --- | --- |
    /// | `{"$undefined": true}` | `undefined` |
    /// | `{"$number": "NaN" \| "Infinity" \| "-Infinity" \| "-0"}` | numbers JSON lacks |
    /// | `{"$bigint": "-12"}` | a bigint; hexadecimal with `0x` beyond 128 bits |
    /// | `{"$utf16": [55296]}` | a string with lone surrogates |
    /// | `{"$object": [[key, value], …]}` | an object whose keys could be mistaken, repeat or are not well formed |
    /// | `{"$array": {"length", "items": [[index, value], …], "props": [[key, value], …]}}` | an array with holes or named properties |
    /// | `{"$map": [[key, value], …]}`, `{"$set": [member, …]}` | a map, a set |
    /// | `{"$bytes": base64}` | a `Uint8Array` over exactly its own buffer |
    /// | `{"$view": {"kind", "offset", "length", "buffer"}}` | any other view; `length` null if tracking |
    /// | `{"$arraybuffer": {"bytes": base64, "max"}}` | a buffer; `max` only if resizable |
    /// | `{"$date": ms}`, `{"$boxed": primitive}` | a date, an object form of a primitive |
    /// | `{"$regexp": {"source", "flags"}}` | a regular expression |
    /// | `{"$error": {"name", "message", "stack", "cause"}}` | an error; the last two only if present |
    /// | `{"$domexception": {"name", "message"}}` | a `DOMException` |
    /// | `{"$blob": {"type", "bytes"}}` | a blob |
    /// | `{"$file": {"name", "type", "bytes", "lastModified"}}` | a file |
    /// | `{"$id": n, "$value": …}`, `{"$ref": n}` | an object that appears again, and where it does |
    /// | `{"$deep": true}` | what would nest more than 120 levels of JSON |
    pub fn to_json(&self) -> Json {
        to_json(self.root())
    }

    /// The value of plain JSON. Integers beyond ±(2^53 - 1) become bigints; `$` keys have no meaning here.
    pub fn from_json(json: Json) -> Self {
        Self::from(json)
    }
}

pub(super) fn to_json(root: ValueRef<'_>) -> Json {
    let mut writer = Writer {
        shared: shared_objects(root.value()),
        ids: Vec::new(),
        next: 0,
    };
    writer.ids.resize(writer.shared.len(), None);
    writer.value(root, MAX_JSON_DEPTH)
}

struct Writer {
    /// By arena index: whether the object appears more than once.
    shared: Vec<bool>,
    /// By arena index: the id of a shared object that has been written.
    ids: Vec<Option<u32>>,
    next: u32,
}

impl Writer {
    /// `room` is how many levels of JSON may still be opened.
    fn value(&mut self, value: ValueRef<'_>, room: usize) -> Json {
        let Some(object) = value.object() else {
            return primitive(value.kind());
        };
        if let Some(id) = self.ids.get(object).copied().flatten() {
            return json!({ "$ref": id });
        }
        let shared = self.shared.get(object) == Some(&true);
        let levels = levels(value) + usize::from(shared);
        let Some(room) = room.checked_sub(levels) else {
            return json!({ "$deep": true });
        };
        if !shared {
            return self.object(value, room);
        }
        let id = self.next;
        self.next += 1;
        if let Some(slot) = self.ids.get_mut(object) {
            *slot = Some(id);
        }
        let content = self.object(value, room);
        json!({ "$id": id, "$value": content })
    }

    /// Writes an object for the one time it is written; its own levels are already taken from `room`.
    fn object(&mut self, value: ValueRef<'_>, room: usize) -> Json {
        match value.kind() {
            Kind::Object if is_plain_object(value) => self.plain_entries(value, room),
            Kind::Object => json!({ "$object": self.entries(value, room) }),
            Kind::Array(length) if is_plain_array(value, length) => {
                value.items().map(|(_, item)| self.value(item, room)).collect()
            }
            Kind::Array(length) => {
                let items: Json = value
                    .items()
                    .map(|(index, item)| json!([index, self.value(item, room)]))
                    .collect();
                json!({ "$array": { "length": length, "items": items, "props": self.entries(value, room) } })
            }
            Kind::Map => {
                let pair = |(key, item)| json!([self.value(key, room), self.value(item, room)]);
                json!({ "$map": value.pairs().map(pair).collect::<Json>() })
            }
            Kind::Set => {
                json!({ "$set": value.items().map(|(_, item)| self.value(item, room)).collect::<Json>() })
            }
            Kind::View(view) => {
                let buffer = view.buffer.object().unwrap_or(usize::MAX);
                if view.is_whole_bytes() && self.shared.get(buffer) == Some(&false) {
                    return json!({ "$bytes": BASE64.encode(view.bytes) });
                }
                let kind = view.kind.constructor_name();
                let buffer = self.value(view.buffer, room);
                json!({ "$view": { "kind": kind, "offset": view.offset, "length": view.length, "buffer": buffer } })
            }
            Kind::Error {
                name,
                message,
                stack,
                cause,
            } => {
                let mut fields = Map::new();
                fields.insert("name".into(), text(name));
                fields.insert("message".into(), text(message));
                stack
                    .iter()
                    .for_each(|stack| drop(fields.insert("stack".into(), text(stack))));
                if let Some(cause) = cause {
                    fields.insert("cause".into(), self.value(cause, room));
                }
                json!({ "$error": fields })
            }
            Kind::Boxed(inner) => json!({ "$boxed": primitive(inner.kind()) }),
            kind => leaf(kind),
        }
    }

    fn plain_entries(&mut self, value: ValueRef<'_>, room: usize) -> Json {
        let entry =
            |(key, item): (&JsString, _)| (key.to_string_lossy().into_owned(), self.value(item, room));
        Json::Object(value.entries().map(entry).collect())
    }

    fn entries(&mut self, value: ValueRef<'_>, room: usize) -> Json {
        value
            .entries()
            .map(|(key, item)| json!([text(key), self.value(item, room)]))
            .collect()
    }
}

/// Objects without children of their own.
fn leaf(kind: Kind<'_>) -> Json {
    match kind {
        Kind::ArrayBuffer(bytes, None) => json!({ "$arraybuffer": { "bytes": BASE64.encode(bytes) } }),
        Kind::ArrayBuffer(bytes, Some(max)) => {
            json!({ "$arraybuffer": { "bytes": BASE64.encode(bytes), "max": max } })
        }
        Kind::Date(ms) => json!({ "$date": number(ms) }),
        Kind::RegExp { source, flags } => {
            json!({ "$regexp": { "source": text(source), "flags": text(flags) } })
        }
        Kind::DomException { name, message } => {
            json!({ "$domexception": { "name": text(name), "message": text(message) } })
        }
        Kind::Blob { media_type, bytes } => {
            json!({ "$blob": { "type": text(media_type), "bytes": BASE64.encode(bytes) } })
        }
        Kind::File {
            name,
            media_type,
            bytes,
            last_modified,
        } => json!({ "$file": {
            "name": text(name),
            "type": text(media_type),
            "bytes": BASE64.encode(bytes),
            "lastModified": number(last_modified),
        } }),
        kind => primitive(kind),
    }
}

fn primitive(kind: Kind<'_>) -> Json {
    match kind {
        Kind::Null => Json::Null,
        Kind::Bool(bool) => Json::Bool(bool),
        Kind::Number(value) => number(value),
        Kind::BigInt(int) => json!({ "$bigint": int.to_string() }),
        Kind::String(string) => text(string),
        _ => json!({ "$undefined": true }),
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

fn text(text: &JsString) -> Json {
    match text.as_str() {
        Some(text) => json!(text),
        None => json!({ "$utf16": text.utf16_units() }),
    }
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

/// Which objects have more than one reference to them; the root counts as one.
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
            (None, None) => number.as_f64().unwrap_or(f64::NAN).into(),
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
