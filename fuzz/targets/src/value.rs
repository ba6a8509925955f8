//! Values, dynamic and as types.

use std::collections::{BTreeMap, BTreeSet, HashMap, LinkedList};

use meshcast_value::{DecodeLimits, Value, from_bytes_within};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::memory::peak;

/// The memory that an attacker may make a reader take. Little, so that little input shows much.
const LIMITS: DecodeLimits = {
    let mut limits = DecodeLimits {
        max_depth: 100,
        max_memory: 0,
    };
    limits.max_memory = 256 * 1024;
    limits
};

/// A list that grows is there twice for a moment.
const ALLOWED: usize = 2 * LIMITS.max_memory + 4096;

pub(crate) fn run(data: &[u8]) {
    typed::<Json>(data);
    typed::<Vec<Vec<String>>>(data);
    typed::<Vec<BTreeMap<String, Option<Vec<u8>>>>>(data);
    typed::<HashMap<u16, LinkedList<u8>>>(data);
    typed::<BTreeSet<Option<Box<str>>>>(data);
    typed::<Post>(data);
    typed::<Vec<Value>>(data);
    typed::<(f64, i128, char, u64)>(data);
    dynamic(data);
}

fn typed<T: DeserializeOwned>(data: &[u8]) {
    let (peak, _) = peak(|| from_bytes_within::<T>(data, &LIMITS).map(drop));
    assert!(peak <= ALLOWED, "{peak} as {}", std::any::type_name::<T>());
}

fn dynamic(data: &[u8]) {
    let (peak_read, value) = peak(|| Value::decode(data, &LIMITS));
    assert!(peak_read <= ALLOWED, "{peak_read} as a value");
    let Ok(value) = value else { return };
    let mut bytes = Vec::new();
    value
        .encode(&mut bytes)
        .expect("what was read nests no deeper than what is written");
    let again = Value::decode(&bytes, &DecodeLimits::default()).expect("own bytes");
    assert_eq!(again, value);
    assert_eq!(value.clone(), value);
    let (peak_json, json) = peak(|| value.to_json_within(LIMITS.max_memory));
    assert!(peak_json <= ALLOWED, "{peak_json} as JSON");
    let text = format!("{value:?}");
    if let Ok(json) = json {
        let shown: Json = serde_json::from_str(&text).expect("JSON");
        assert_eq!(shown, json);
    }
}

/// A type with a bit of everything, which comes back as it was if it can be read at all.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Post {
    id: u64,
    text: String,
    at: f64,
    tags: Vec<String>,
    reply_to: Option<Box<Self>>,
    body: Body,
    #[serde(flatten)]
    more: BTreeMap<String, Json>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Body {
    Empty,
    Text(String),
    Point(i8, i64),
    Named { wide: u128, letter: Option<char> },
}

impl Default for Post {
    fn default() -> Self {
        Self {
            id: 0,
            text: String::new(),
            at: 0.0,
            tags: Vec::new(),
            reply_to: None,
            body: Body::Empty,
            more: BTreeMap::new(),
        }
    }
}
