//! JSON: total, stable, of bounded size, exact.

use serde_json::json;

use super::*;

proptest! {
    #[test]
    fn any_value_becomes_json_that_parsers_take(value in any_value()) {
        let text = value.to_json().to_string();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        let debug = format!("{value:?}");
        prop_assert_eq!(
            serde_json::from_str::<serde_json::Value>(&debug).ok(),
            Some(value.to_json()),
        );
    }

    #[test]
    fn integers_of_any_length_are_read_and_written_digit_by_digit(digits in "-?[1-9][0-9]{0,200}") {
        let value = Value::from_json_text(&digits).expect("JSON");
        let json = value.to_json();
        let safe = digits.parse::<i64>().is_ok_and(|int| int.unsigned_abs() < 1 << 53);
        if safe {
            prop_assert_eq!(json.to_string(), digits);
        } else {
            prop_assert_eq!(json, json!({ "$bigint": digits }));
        }
        prop_assert_eq!(decoded(&encoded(&value)), Ok(value));
    }

    #[test]
    fn text_is_read_as_serde_json_reads_it_where_that_is_exact(json in any_json()) {
        let text = json.to_string();
        prop_assert_eq!(Value::from_json_text(&text), Ok(Value::from_json(json.clone())));
        let pretty = serde_json::to_string_pretty(&json).expect("plain");
        prop_assert_eq!(Value::from_json_text(&pretty), Ok(Value::from_json(json)));
    }

    #[test]
    fn what_is_no_json_is_refused_as_serde_json_refuses_it(
        text in r#"[\[\]{},:"\\a0-9.eE+\-u tfn,
    ]{0,12}"#) {
        let ours = Value::from_json_text(&text);
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{} {:?} {:?}", text, ours, theirs);
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|bool| json!(bool)),
        any::<i64>().prop_map(|int| json!(int)),
        any::<u64>().prop_map(|int| json!(int)),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(|items| json!(items)),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|entries| json!(entries)),
        ]
    })
}

#[test]
fn plain_json_comes_back_as_it_was() {
    let json = json!({ "a": [1, -2, 1.5, "x", null, true, {}], "b": { "c": [] } });
    assert_eq!(Value::from_json(json.clone()).to_json(), json);
    assert_eq!(
        Value::from(json.clone()),
        Value::from_serialize(&json).expect("serialisable")
    );
}

#[test]
fn integers_beyond_64_bits_become_bigints_with_all_their_digits() {
    let text =
        r#"{"id": 123456789012345678901234567890, "n": [-18446744073709551616, 9007199254740993]}"#;
    let value = Value::from_json_text(text).expect("JSON");
    assert_eq!(
        value.to_json(),
        json!({
            "id": { "$bigint": "123456789012345678901234567890" },
            "n": [{ "$bigint": "-18446744073709551616" }, { "$bigint": "9007199254740993" }],
        })
    );
    for (digits, int) in [("0", 0.0), ("9007199254740991", 9_007_199_254_740_991.0)] {
        assert_eq!(Value::from_json_text(digits), Ok(int.into()));
    }
    assert_eq!(Value::from_json_text("-0"), Ok((-0.0).into()));
}

#[test]
fn a_number_that_is_too_large_is_refused_and_named() {
    let refused = |text: &str| Value::from_json_text(text).map_err(|error| error.to_string());
    assert_eq!(refused("[1e400]"), Err("number 1e400 is too large".into()));
    assert_eq!(refused("-1e400"), Err("number -1e400 is too large".into()));
    let longest = "9".repeat(2_466);
    assert!(refused(&longest).is_ok());
    assert_eq!(
        refused(&format!("{longest}00")),
        Err(format!("number {}… is too large", "9".repeat(40)))
    );
    assert!(refused(&"9".repeat(1_000_000)).is_err());
}

#[test]
fn errors_in_json_say_where() {
    assert_eq!(
        Value::from_json_text("{\n  \"a\": 1,\n}").map_err(|error| error.to_string()),
        Err("Trailing commas are not allowed at line 3 column 1".into())
    );
    for text in [
        "", "[", "\"abc", "[1", "{\"a\"", "{\"a\":", "1 2", "\u{fffd}", "tru",
    ] {
        assert!(
            matches!(Value::from_json_text(text), Err(JsonError::Syntax { .. })),
            "{text}"
        );
    }
    assert!(matches!(
        Value::from_json_text(b"\"\xff\""),
        Err(JsonError::Syntax { .. })
    ));
}

#[test]
fn json_nests_as_deep_as_a_value_may_and_takes_as_much_memory() {
    let nest = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let deepest = Value::from_json_text(nest(MAX_DEPTH)).expect("within the limit");
    assert_eq!(decoded(&encoded(&deepest)), Ok(deepest));
    assert_eq!(
        Value::from_json_text(nest(MAX_DEPTH + 1)),
        Err(JsonError::TooDeep { limit: MAX_DEPTH })
    );
    let many = format!("[{}0]", "[],".repeat(200_000));
    assert_eq!(
        Value::from_json_text(many),
        Err(JsonError::OverBudget {
            limit: DEFAULT_MAX_MEMORY
        })
    );
}

#[test]
fn a_repeated_key_keeps_its_first_place_and_its_last_value() {
    let value = Value::from_json_text(r#"{"a": 1, "b": 2, "a": 3, "c": 4}"#).expect("JSON");
    let expected = [("a", 3), ("b", 2), ("c", 4)].map(|(key, int)| (key, Value::from(int)));
    assert_eq!(value, Value::object(expected));
}

#[test]
fn the_deepest_value_becomes_json_that_parsers_take() {
    let mut b = ValueBuilder::new();
    let mut inner: Part = 1.into();
    for depth in 0..MAX_DEPTH {
        let map = b.map();
        b.insert(map, depth as f64, inner);
        inner = map.into();
    }
    let value = b.finish(inner);
    let text = value.to_json().to_string();
    assert!(text.contains(r#"{"$deep":true}"#));
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    // Inside another type a mark would be posted in the place of what it stands for.
    assert_eq!(
        to_bytes(&[value], &mut Vec::new()),
        Err(EncodeError::Serialize(
            "nested deeper than 120 levels".into()
        ))
    );
}

#[test]
fn a_bigint_beyond_a_kibibyte_is_written_in_hexadecimal() {
    let bigint = |bytes| Value::from(BigInt::new(true, &vec![0xff; bytes]));
    assert!(
        bigint(1024)
            .to_json()
            .to_string()
            .starts_with(r#"{"$bigint":"-1090748"#)
    );
    assert_eq!(
        bigint(1025).to_json(),
        json!({ "$bigint": format!("-0x{}", "ff".repeat(1025)) })
    );
}
