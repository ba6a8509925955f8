//! The bytes of every type, as other implementations have to produce and read them.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vector {
    name: String,
    hex: String,
    json: serde_json::Value,
}

#[test]
fn every_sample_encodes_to_its_golden_bytes_and_back() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../testdata/vectors.json"))
        .expect("vectors are json");
    let samples = samples();
    let names: Vec<&str> = samples.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        vectors
            .iter()
            .map(|vector| vector.name.as_str())
            .collect::<Vec<_>>(),
        names
    );
    for (vector, (name, value)) in vectors.iter().zip(&samples) {
        assert_eq!(hex(&encoded(value)), vector.hex, "{name}");
        assert_eq!(&decoded(&unhex(&vector.hex)).expect(name), value, "{name}");
        assert_eq!(value.to_json(), vector.json, "{name}");
    }
}

/// One value per type and per way of writing it, in the order of the vectors.
fn samples() -> Vec<(&'static str, Value)> {
    let mut samples = vec![
        ("undefined", Value::undefined()),
        ("null", Value::null()),
        ("false", Value::from(false)),
        ("true", Value::from(true)),
        ("zero", Value::from(0)),
        ("minus one", Value::from(-1)),
        ("300", Value::from(300)),
        ("largest safe integer", Value::from(9_007_199_254_740_991.0)),
        (
            "smallest safe integer",
            Value::from(-9_007_199_254_740_991.0),
        ),
        (
            "2^53 is no safe integer",
            Value::from(9_007_199_254_740_992.0),
        ),
        ("minus zero", Value::from(-0.0)),
        ("1.5", Value::from(1.5)),
        ("nan", Value::from(f64::NAN)),
        ("infinity", Value::from(f64::INFINITY)),
        ("bigint zero", Value::from(BigInt::from(0i64))),
        ("bigint 256", Value::from(BigInt::from(256i64))),
        ("bigint -1", Value::from(BigInt::from(-1i64))),
        (
            "bigint 2^128",
            Value::from(BigInt::new(
                false,
                &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            )),
        ),
        ("string", Value::from("häß 😀")),
        (
            "lone surrogate",
            Value::from(JsString::from_utf16(&[0x61, 0xd800])),
        ),
        ("date", Value::date(1.7e12)),
        ("invalid date", Value::date(f64::NAN)),
        ("bytes", Value::from(vec![1, 2, 255])),
        ("array", Value::array([Value::from(1), Value::from("a")])),
        (
            "object",
            Value::object([("b", Value::from(1)), ("a", Value::null())]),
        ),
        (
            "object with a dollar key",
            Value::object([("$date", Value::from(1))]),
        ),
    ];
    let mut add = |name, build: fn(&mut ValueBuilder) -> Part| {
        let mut b = ValueBuilder::new();
        let root = build(&mut b);
        samples.push((name, b.finish(root)));
    };
    add("holes and a named property", |b| {
        let array = b.array();
        b.push(array, 1).expect("short");
        b.push_holes(array, 2).expect("short");
        b.push(array, 2).expect("short");
        b.push_holes(array, 1).expect("short");
        b.set_property(array, "x", true);
        array.into()
    });
    add("four billion holes", |b| {
        let array = b.array();
        b.push_holes(array, u32::MAX)
            .expect("as long as arrays get");
        array.into()
    });
    add("map", |b| {
        let map = b.map();
        b.insert(map, 1, "one");
        b.insert(map, Part::NULL, 2);
        map.into()
    });
    add("set", |b| {
        let set = b.set_object();
        b.add_member(set, 1);
        b.add_member(set, "1");
        set.into()
    });
    add("boxed boolean", |b| b.boxed(true).expect("boxable"));
    add("boxed number", |b| b.boxed(7).expect("boxable"));
    add("boxed bigint", |b| {
        b.boxed(BigInt::from(7i64)).expect("boxable")
    });
    add("boxed string", |b| b.boxed("s").expect("boxable"));
    add("regexp", |b| b.regexp("^a|b$", "dgv"));
    add("array buffer", |b| b.buffer(vec![1, 2]).into());
    add("resizable buffer", |b| {
        b.resizable_buffer(vec![1, 2], 300).expect("larger").into()
    });
    add("float view", |b| {
        let buffer = b.buffer(vec![0, 0, 0, 0, 0, 0, 0x80, 0x3f]);
        b.view(ViewKind::Float32, buffer, 4, 1).expect("inside")
    });
    add("length-tracking view", |b| {
        let buffer = b.resizable_buffer(vec![1, 2, 3], 8).expect("larger");
        b.tracking_view(ViewKind::Uint16, buffer, 0)
            .expect("resizable")
    });
    add("two views on one buffer", |b| {
        let buffer = b.buffer(vec![1, 2]);
        let array = b.array();
        let bytes = b.view(ViewKind::Uint8, buffer, 0, 2).expect("inside");
        let data = b.view(ViewKind::DataView, buffer, 1, 1).expect("inside");
        b.push(array, bytes).expect("short");
        b.push(array, data).expect("short");
        array.into()
    });
    add("error", |b| b.error("RangeError", "too far").into());
    add("error with stack and cause", |b| {
        let error = b.error("Error", "outer");
        b.set_stack(error, "at f");
        b.set_cause(error, error);
        error.into()
    });
    add("dom exception", |b| {
        b.dom_exception("AbortError", "stopped")
    });
    add("blob", |b| b.blob("text/plain", vec![b'h', b'i']));
    add("file", |b| {
        b.file("a.txt", "text/plain", vec![b'h', b'i'], 1.7e12)
    });
    add("object that contains itself", |b| {
        let object = b.object();
        b.set(object, "self", object);
        object.into()
    });
    add("map that contains itself", |b| {
        let map = b.map();
        b.insert(map, map, map);
        map.into()
    });
    add("shared object after bytes", |b| {
        let array = b.array();
        let (bytes, shared) = (b.bytes(vec![9]), b.object());
        b.push(array, bytes).expect("short");
        b.push(array, shared).expect("short");
        b.push(array, shared).expect("short");
        array.into()
    });
    samples
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex"))
        .collect()
}
