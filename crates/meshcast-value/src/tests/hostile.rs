//! Bytes that nobody meant well with.

use super::*;
use crate::node::{Node, Slot};
use crate::wire::tag;

proptest! {
    #[test]
    fn arbitrary_bytes_stay_within_the_memory_budget(
        bytes in proptest::collection::vec(0u8..0x21, 0..400),
    ) {
        let limits = DecodeLimits { max_memory: 4096, ..DecodeLimits::default() };
        if let Ok(value) = Value::decode(&bytes, &limits) {
            prop_assert!(footprint(&value) <= limits.max_memory);
        }
        let _ = from_bytes::<serde_json::Value>(&bytes);
        let _ = from_bytes::<Vec<Option<u8>>>(&bytes);
    }

    #[test]
    fn damaged_values_are_read_or_refused(
        value in any_value(),
        at in any::<usize>(),
        bit in 0u8..8,
        cut in any::<usize>(),
    ) {
        let mut bytes = encoded(&value);
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = from_bytes::<serde_json::Value>(&bytes);
        if let Ok(value) = decoded(&bytes) {
            prop_assert_eq!(decoded(&encoded(&value)).expect("own bytes"), value);
        }
        let cut = cut % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(decoded(&bytes[..cut]).is_err());
    }

    #[test]
    fn a_value_of_any_shape_fits_the_budget_it_needed(value in any_value()) {
        let bytes = encoded(&value);
        for max_memory in [1 << 10, 1 << 12, 1 << 14] {
            if let Ok(value) = Value::decode(
                &bytes,
                &DecodeLimits { max_memory, ..DecodeLimits::default() },
            ) {
                prop_assert!(footprint(&value) <= max_memory);
            }
        }
    }
}

/// The memory a value holds on to, capacities included.
fn footprint(value: &Value) -> usize {
    let text = |text: &JsString| {
        text.as_str()
            .map_or_else(|| text.to_utf16().len() * 2, str::len)
    };
    let slot = |slot: &Slot| match slot {
        Slot::String(string) => text(string),
        Slot::BigInt(int) => int.magnitude().len(),
        _ => 0,
    };
    let slots = |slots: &Vec<Slot>| {
        slots.capacity() * size_of::<Slot>() + slots.iter().map(slot).sum::<usize>()
    };
    let entries = |entries: &Vec<(JsString, Slot)>| {
        let content: usize = entries
            .iter()
            .map(|(key, value)| text(key) + slot(value))
            .sum();
        entries.capacity() * size_of::<(JsString, Slot)>() + content
    };
    let content = value.nodes.iter().map(|node| match node {
        Node::Object(list) => entries(list),
        Node::Array(array) => {
            size_of_val(&**array)
                + slots(&array.items)
                + entries(&array.props)
                + array.indices.capacity() * 4
        }
        Node::Map(list) | Node::Set(list) => slots(list),
        Node::Buffer(buffer) => size_of_val(&**buffer) + buffer.bytes.len(),
        Node::View(view) => size_of_val(&**view),
        Node::Date(_) => 0,
        Node::RegExp(parts) | Node::DomException(parts) => {
            size_of_val(&**parts) + parts.iter().map(text).sum::<usize>()
        }
        Node::Boxed(primitive) => slot(primitive),
        Node::Error(error) => {
            size_of_val(&**error)
                + text(&error.name)
                + text(&error.message)
                + error.stack.as_ref().map_or(0, text)
        }
        Node::Blob(blob) => size_of_val(&**blob) + blob.bytes.len() + text(&blob.media_type),
    });
    value.nodes.capacity() * size_of::<Node>() + content.sum::<usize>() + slot(&value.root)
}

#[test]
fn what_the_format_does_not_allow_is_refused_where_it_stands() {
    use DecodeError::*;
    let cases: &[(&[u8], DecodeError)] = &[
        (&[], Truncated { offset: 0 }),
        (&[tag::NULL, tag::NULL], TrailingBytes { offset: 1 }),
        (
            &[0x0e],
            UnknownTag {
                tag: 0x0e,
                offset: 0,
            },
        ),
        (
            &[tag::ARRAY, 0xff],
            UnknownTag {
                tag: 0xff,
                offset: 1,
            },
        ),
        (
            &[tag::END],
            MisplacedTag {
                tag: tag::END,
                offset: 0,
            },
        ),
        (
            &[tag::HOLES, 1],
            MisplacedTag {
                tag: tag::HOLES,
                offset: 0,
            },
        ),
        (
            &[tag::SET, tag::HOLES, 1, tag::END],
            MisplacedTag {
                tag: tag::HOLES,
                offset: 1,
            },
        ),
        (
            &[tag::OBJECT, tag::INT, 2, tag::NULL, tag::END],
            MisplacedTag {
                tag: tag::INT,
                offset: 1,
            },
        ),
        (
            &[tag::MAP, tag::NULL, tag::END],
            MisplacedTag {
                tag: tag::END,
                offset: 2,
            },
        ),
        (
            &[tag::BOXED, tag::NULL],
            MisplacedTag {
                tag: tag::NULL,
                offset: 1,
            },
        ),
        (&[tag::ARRAY, tag::NULL], Truncated { offset: 2 }),
        (&[tag::STR, 5, b'a'], Truncated { offset: 1 }),
        (
            &[tag::BYTES, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            Truncated { offset: 1 },
        ),
        (&[tag::STR, 1, 0xff], InvalidUtf8 { offset: 2 }),
        (&[tag::INT, 0x80, 0], InvalidVarint { offset: 1 }),
        (
            &[tag::INT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            InvalidVarint { offset: 1 },
        ),
        (
            &[tag::ARRAY, tag::REF, 1, tag::END],
            InvalidReference {
                index: 1,
                offset: 1,
            },
        ),
        (
            &[tag::VIEW, 1, 0, 0, tag::REF, 0],
            InvalidReference {
                index: 0,
                offset: 4,
            },
        ),
        (
            &[tag::ARRAY, tag::HOLES, 0, tag::END],
            Malformed {
                what: "impossible number of holes",
                offset: 1,
            },
        ),
    ];
    for (bytes, error) in cases {
        assert_eq!(decoded(bytes).as_ref(), Err(error), "{bytes:02x?}");
    }
}

#[test]
fn only_primitives_are_looked_for_in_a_box() {
    for inner in [tag::NULL, tag::ARRAY, tag::BOXED] {
        let bytes = [tag::BOXED, inner, tag::END];
        let error = DecodeError::MisplacedTag {
            tag: inner,
            offset: 1,
        };
        assert_eq!(decoded(&bytes).as_ref(), Err(&error));
        assert_eq!(from_bytes::<Option<Vec<u8>>>(&bytes), Err(error));
    }
}

#[test]
fn nesting_ends_at_the_limit_on_both_sides() {
    for open in [
        &[tag::ARRAY][..],
        &[tag::ERROR, 2, tag::STR, 0, tag::STR, 0],
    ] {
        let bomb = open.repeat(100_000);
        assert_eq!(
            decoded(&bomb),
            Err(DecodeError::TooDeep { limit: MAX_DEPTH })
        );
        assert_eq!(
            from_bytes::<serde_json::Value>(&bomb),
            Err(DecodeError::TooDeep {
                limit: MAX_TYPED_DEPTH
            })
        );
    }
    let nest = |depth: usize| {
        let mut b = ValueBuilder::new();
        let mut inner = b.array();
        for _ in 1..depth {
            let outer = b.array();
            b.push(outer, inner).expect("short");
            inner = outer;
        }
        b.finish(inner)
    };
    let deepest = nest(MAX_DEPTH);
    assert_eq!(decoded(&encoded(&deepest)), Ok(deepest));
    let mut out = vec![1];
    let deeper = nest(MAX_DEPTH + 1);
    assert_eq!(
        deeper.encode(&mut out),
        Err(EncodeError::TooDeep { limit: MAX_DEPTH })
    );
    assert_eq!(out, [1]);
    assert_eq!(nest(100_000), nest(100_000));
}

#[test]
fn four_billion_holes_cost_nothing_as_a_value_and_are_refused_as_a_type() {
    let bytes = [
        tag::ARRAY,
        tag::HOLES,
        0xff,
        0xff,
        0xff,
        0xff,
        0x0f,
        tag::END,
    ];
    assert!(matches!(
        decoded(&bytes).expect("an array").kind(),
        Kind::Array(u32::MAX)
    ));
    assert_eq!(
        from_bytes::<Vec<Option<u8>>>(&bytes),
        Err(DecodeError::OverBudget {
            limit: DEFAULT_MAX_MEMORY
        })
    );
}

#[test]
fn references_that_double_at_every_level_are_refused_as_a_type() {
    let mut b = ValueBuilder::new();
    let mut inner = b.array();
    for _ in 0..100 {
        let outer = b.array();
        b.push(outer, inner).expect("short");
        b.push(outer, inner).expect("short");
        inner = outer;
    }
    let value = b.finish(inner);
    let bytes = encoded(&value);
    assert_eq!(
        from_bytes::<serde_json::Value>(&bytes),
        Err(DecodeError::OverBudget {
            limit: DEFAULT_MAX_MEMORY
        })
    );
    assert!(value.to_json().to_string().len() < 10_000);
}
