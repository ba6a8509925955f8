//! JSON: total, stable, of bounded size.

use serde_json::json;

use super::*;

proptest! {
    #[test]
    fn any_value_becomes_json_that_parsers_take(value in any_value()) {
        let text = value.to_json().to_string();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
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
fn the_deepest_value_becomes_json_that_parsers_take() {
    let mut b = ValueBuilder::new();
    let mut inner: Part = 1.into();
    for depth in 0..MAX_DEPTH {
        let map = b.map();
        b.insert(map, depth as f64, inner);
        inner = map.into();
    }
    let text = b.finish(inner).to_json().to_string();
    assert!(text.contains(r#"{"$deep":true}"#));
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
}
