//! Tests across the modules, and the values they share.

use proptest::prelude::*;

use self::any::any_value;
use super::*;

mod any;
mod golden;
mod hostile;
mod json;
mod typed;
mod values;

/// Code that reads payloads of strangers knows no clock, socket, task or random source, and none of
/// meshcast either.
#[test]
fn the_crate_depends_on_serde_and_little_else() {
    let manifest = include_str!("../Cargo.toml");
    let dependencies: Vec<&str> = manifest
        .lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(
        dependencies,
        [
            "base64",
            "bytes",
            "json-event-parser",
            "serde",
            "serde_json",
            "thiserror"
        ]
    );
    assert!(
        !manifest.contains("[dependencies.") && !manifest.contains("[target"),
        "dependencies in a table that this test does not read"
    );
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out).expect("encodable");
    out
}

fn decoded(bytes: &[u8]) -> Result<Value, DecodeError> {
    Value::decode(bytes, &DecodeLimits::default())
}

fn typed_bytes<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    to_bytes(value, &mut out).expect("serialisable");
    out
}
