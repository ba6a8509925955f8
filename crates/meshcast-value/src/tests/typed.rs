//! Rust types on the wire.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::wire::tag;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Post {
    id: u64,
    text: String,
    at: f64,
    tags: Vec<String>,
    reply_to: Option<Box<Self>>,
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Body {
    Empty,
    Text(String),
    Point(i8, i64),
    Named {
        wide: u128,
        letter: char,
        small: f32,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

fn any_post() -> impl Strategy<Value = Post> {
    let body = prop_oneof![
        Just(Body::Empty),
        any::<String>().prop_map(Body::Text),
        (any::<i8>(), any::<i64>()).prop_map(|(a, b)| Body::Point(a, b)),
        (any::<u128>(), any::<char>(), any::<i16>()).prop_map(|(wide, letter, small)| {
            Body::Named {
                wide,
                letter,
                small: small.into(),
            }
        }),
    ];
    let leaf = (
        any::<u64>(),
        ".*",
        -1e9..1e9f64,
        proptest::collection::vec(".*", 0..3),
        body,
    )
        .prop_map(|(id, text, at, tags, body)| Post {
            id,
            text,
            at,
            tags,
            reply_to: None,
            body,
        });
    leaf.prop_recursive(4, 4, 1, |inner| {
        inner.prop_map(|post| Post {
            reply_to: Some(Box::new(post.clone())),
            ..post
        })
    })
}

proptest! {
    #[test]
    fn a_nested_type_comes_back_and_agrees_with_its_value(post in any_post()) {
        let bytes = typed_bytes(&post);
        prop_assert_eq!(&from_bytes::<Post>(&bytes).expect("own bytes"), &post);
        let value = Value::from_serialize(&post).expect("serialisable");
        prop_assert_eq!(encoded(&value), bytes);
        prop_assert_eq!(value.deserialize::<Post>().expect("own value"), post);
    }

    #[test]
    fn integers_of_any_width_come_back(
        a in any::<i128>(),
        b in any::<u128>(),
        c in any::<i64>(),
        d in any::<u64>(),
        e in any::<f64>(),
    ) {
        let bytes = typed_bytes(&(a, b, c, d, e));
        prop_assert_eq!(
            from_bytes::<(i128, u128, i64, u64, f64)>(&bytes).expect("own bytes"),
            (a, b, c, d, e),
        );
    }
}

fn reads<T: DeserializeOwned + Debug + PartialEq>(value: &Value, expected: T) {
    assert_eq!(value.deserialize::<T>(), Ok(expected));
}

#[test]
fn enums_and_wrappers_look_as_they_do_in_json() {
    let values = (
        Body::Empty,
        Body::Text("t".into()),
        Body::Point(1, 2),
        Meters(1.5),
        ((), 'x', Some(1), None::<u8>),
    );
    let value = Value::from_serialize(&values).expect("serialisable");
    assert_eq!(
        value.to_json(),
        serde_json::to_value(&values).expect("serialisable")
    );
    reads(&json!({ "Empty": null }).into(), Body::Empty);
}

#[test]
fn a_map_is_an_object_until_a_key_is_no_string() {
    assert_eq!(typed_bytes(&BTreeMap::from([("a", 1)]))[0], tag::OBJECT);
    assert_eq!(typed_bytes(&BTreeMap::<u8, u8>::new())[0], tag::OBJECT);
    let numbers = BTreeMap::from([(1u8, "x".to_owned()), (2, "y".to_owned())]);
    let bytes = typed_bytes(&numbers);
    assert_eq!(bytes[0], tag::MAP);
    assert_eq!(
        from_bytes::<BTreeMap<u8, String>>(&bytes),
        Ok(numbers.clone())
    );
    reads(&json!({ "1": "x", "2": "y" }).into(), numbers);
}

#[test]
fn strings_and_bytes_are_borrowed_from_the_input() {
    let bytes = typed_bytes(&("text", serde_bytes_like(&[1, 2, 3])));
    assert_eq!(
        from_bytes::<(&str, &[u8])>(&bytes),
        Ok(("text", &[1u8, 2, 3][..]))
    );
    assert_eq!(
        from_bytes::<(String, Vec<u8>)>(&bytes),
        Ok(("text".to_owned(), vec![1, 2, 3]))
    );
}

/// Serialises as bytes.
fn serde_bytes_like(bytes: &[u8]) -> impl Serialize {
    struct Raw<'a>(&'a [u8]);
    impl Serialize for Raw<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }
    Raw(bytes)
}

#[test]
fn displayed_text_of_any_length_gets_the_right_prefix() {
    struct Shown(usize);
    impl Serialize for Shown {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("{:>1$}", "x", self.0))
        }
    }
    for len in [1, 127, 128, 20_000] {
        let text = format!("{:>len$}", "x");
        assert_eq!(typed_bytes(&Shown(len)), typed_bytes(&text));
    }
}

#[test]
fn what_javascript_sends_is_read_as_the_nearest_rust_type() {
    let mut b = ValueBuilder::new();
    let array = b.array();
    let date = b.date(5.0);
    let boxed = b.boxed("s").expect("boxable");
    for part in [
        Part::UNDEFINED,
        1.into(),
        date,
        BigInt::from(3i64).into(),
        boxed.clone(),
        boxed,
    ] {
        b.push(array, part).expect("short");
    }
    b.push_holes(array, 1).expect("short");
    b.set_property(array, "extra", 1);
    let value = b.finish(array);
    reads(
        &value,
        (
            None::<u8>,
            1u8,
            5.0,
            3i8,
            "s".to_owned(),
            "s".to_owned(),
            None::<u8>,
        ),
    );
    reads(&Value::date(5.0), 5u64);

    let mut b = ValueBuilder::new();
    let buffer = b.buffer([1.5f64.to_le_bytes(), 2.0f64.to_le_bytes()].concat());
    let view = b.view(ViewKind::Float64, buffer, 8, 1).expect("inside");
    let both = b.array();
    b.push(both, view).expect("short");
    b.push(both, buffer).expect("short");
    reads(
        &b.finish(both),
        (
            vec![2.0],
            [1.5f64.to_le_bytes(), 2.0f64.to_le_bytes()].concat(),
        ),
    );

    let mut b = ValueBuilder::new();
    let (map, error) = (b.map(), b.error("TypeError", "no"));
    b.set_cause(error, 1);
    b.insert(map, "error", error);
    let fields = BTreeMap::from([
        ("name".to_owned(), json!("TypeError")),
        ("message".to_owned(), json!("no")),
        ("cause".to_owned(), json!(1)),
    ]);
    reads(
        &b.finish(map),
        BTreeMap::from([("error".to_owned(), fields)]),
    );
}

#[test]
fn an_object_that_appears_twice_is_read_twice() {
    let mut b = ValueBuilder::new();
    let (array, bytes, shared) = (b.array(), b.bytes(vec![1]), b.object());
    b.set(shared, "bytes", bytes.clone());
    for part in [shared.into(), bytes, shared.into()] {
        b.push(array, part).expect("short");
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Shared {
        bytes: Vec<u8>,
    }
    let expected = (
        Shared { bytes: vec![1] },
        vec![1u8],
        Shared { bytes: vec![1] },
    );
    reads(&b.finish(array), expected);
}

#[test]
fn an_object_that_contains_itself_is_refused() {
    let mut b = ValueBuilder::new();
    let object = b.object();
    b.set(object, "self", object);
    let bytes = encoded(&b.finish(object));
    assert_eq!(
        from_bytes::<serde_json::Value>(&bytes),
        Err(DecodeError::Cycle { offset: 7 })
    );
}

#[test]
fn a_number_out_of_range_or_not_whole_is_refused_with_the_reason() {
    let error = |value: Value| value.deserialize::<u8>().map_err(|error| error.to_string());
    assert_eq!(
        error(300.into()),
        Err("invalid value: integer `300`, expected u8".into())
    );
    assert_eq!(
        error((-1).into()),
        Err("invalid value: integer `-1`, expected u8".into())
    );
    assert_eq!(
        error(1.5.into()),
        Err("invalid type: floating point `1.5`, expected u8".into())
    );
    assert_eq!(error((-0.0).into()), Ok(0));
    assert_eq!(Value::from(2f64.powi(60)).deserialize::<u64>(), Ok(1 << 60));
}

#[test]
fn unknown_fields_are_stepped_over_whatever_they_hold() {
    let value = Value::object([
        (
            "deep",
            Value::array([Value::date(1.0), Value::from(vec![1u8])]),
        ),
        ("id", 1.into()),
    ]);
    #[derive(Debug, PartialEq, Deserialize)]
    struct Id {
        id: u8,
    }
    reads(&value, Id { id: 1 });
}

#[test]
fn a_type_that_nests_too_deep_is_refused_and_leaves_the_output_alone() {
    #[derive(Serialize)]
    struct Nested(Vec<Self>);
    let nest = |depth| (1..depth).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]));
    let mut out = vec![1];
    let refused = to_bytes(&nest(MAX_TYPED_DEPTH + 1), &mut out);
    assert_eq!(
        refused,
        Err(EncodeError::TooDeep {
            limit: MAX_TYPED_DEPTH
        })
    );
    assert_eq!(out, [1]);
    assert_eq!(to_bytes(&nest(MAX_TYPED_DEPTH), &mut out), Ok(()));
}

#[test]
fn some_of_nothing_is_refused_wherever_it_stands() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped<T>(T);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Patch {
        name: Option<Option<String>>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Either {
        New(Option<Option<u8>>),
        Tuple(Option<()>, u8),
        Named { field: Option<Wrapped<Option<u8>>> },
    }
    fn refused<T: Serialize>(value: &T) {
        let mut out = vec![1];
        assert_eq!(to_bytes(value, &mut out), Err(EncodeError::SomeOfNull));
        assert_eq!(out, [1]);
    }
    refused(&Some(None::<u8>));
    refused(&Some(Some(None::<u8>)));
    refused(&Some(()));
    refused(&Some(Unit));
    refused(&Some(Wrapped(())));
    refused(&Some(serde_json::Value::Null));
    refused(&Some(Value::null()));
    refused(&vec![Some(None::<u8>)]);
    refused(&(1, Some(None::<u8>)));
    refused(&BTreeMap::from([("key", Some(()))]));
    refused(&BTreeMap::from([(Some(()), 1)]));
    refused(&Patch { name: Some(None) });
    refused(&Either::New(Some(None)));
    refused(&Either::Tuple(Some(()), 1));
    refused(&Either::Named {
        field: Some(Wrapped(None)),
    });
}

#[test]
fn options_that_can_be_told_apart_come_back() {
    fn comes_back<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: T) {
        assert_eq!(from_bytes(&typed_bytes(&value)), Ok(value));
    }
    comes_back(None::<Option<u8>>);
    comes_back(Some(Some(0u8)));
    comes_back(Some(Some(String::new())));
    comes_back((None::<()>, Some((None::<u8>,)), Some([(); 1])));
    comes_back(vec![Some(vec![None, Some(1u8)]), None, Some(Vec::new())]);
    comes_back(BTreeMap::from([
        (None, Some(1u8)),
        (Some("key".to_owned()), None),
    ]));
    comes_back(Some(BTreeMap::<String, Option<u8>>::new()));
    comes_back((Some(Body::Empty), None::<Body>, Some(Meters(0.0))));
}

#[test]
fn a_type_that_wraps_nothing_but_itself_is_refused() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "it is never made")]
    struct Endless(Option<Box<Self>>);
    assert_eq!(
        from_bytes::<Endless>(&[tag::TRUE]).map(drop),
        Err(DecodeError::TooDeep {
            limit: MAX_TYPED_DEPTH
        })
    );
}
