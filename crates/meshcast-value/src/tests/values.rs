//! Values: what survives the wire, and reading them.

use super::*;

proptest! {
    #[test]
    fn any_graph_survives_the_wire(value in any_value()) {
        let bytes = encoded(&value);
        let back = decoded(&bytes).expect("own bytes");
        prop_assert_eq!(&back, &value);
        prop_assert_eq!(encoded(&back), bytes);
    }

    #[test]
    fn values_are_equal_when_their_bytes_are(a in any_value(), b in any_value()) {
        prop_assert_eq!(a == b, encoded(&a) == encoded(&b));
    }
}

#[test]
fn shared_identity_is_part_of_a_value() {
    let mut b = ValueBuilder::new();
    let (array, item) = (b.array(), b.object());
    b.push(array, item).expect("short");
    b.push(array, item).expect("short");
    let shared = b.finish(array);
    let copies = Value::array([Value::object::<&str>([]), Value::object::<&str>([])]);
    assert_ne!(shared, copies);
    let back = decoded(&encoded(&shared)).expect("own bytes");
    assert!(
        back.index(0)
            .zip(back.index(1))
            .is_some_and(|(a, b)| a.is_same_object(b))
    );
}

#[test]
fn a_cursor_reaches_what_the_builder_put_in() {
    let value = Value::object([
        ("id", Value::from(7)),
        (
            "tags",
            Value::array([Value::from("a"), Value::from(vec![1u8, 2])]),
        ),
        ("id", Value::from(u64::MAX)),
    ]);
    assert_eq!(value.get("id").and_then(|id| id.as_i64()), None);
    assert!(matches!(
        value.get("id").map(ValueRef::kind),
        Some(Kind::BigInt(int)) if int.to_u128() == Some(u64::MAX.into()),
    ));
    let tags = value.get("tags").expect("set above");
    assert_eq!(tags.index(0).and_then(ValueRef::as_str), Some("a"));
    assert_eq!(
        tags.index(1).and_then(ValueRef::as_bytes),
        Some(&[1u8, 2][..])
    );
    assert!(tags.index(2).is_none());
    assert_eq!(value.root().entries().count(), 3);
}

#[test]
fn debug_output_of_a_cycle_ends() {
    let mut b = ValueBuilder::new();
    let object = b.object();
    b.set(object, "self", object);
    assert_eq!(
        format!("{:?}", b.finish(object)),
        r#"{"$id":0,"$value":{"self":{"$ref":0}}}"#
    );
}

#[test]
fn an_array_refuses_to_outgrow_javascript() {
    let mut b = ValueBuilder::new();
    let array = b.array();
    b.push_holes(array, u32::MAX)
        .expect("as long as arrays get");
    assert_eq!(b.push(array, 1), Err(BuildError::ArrayTooLong));
}

#[test]
fn a_view_cannot_be_built_outside_its_buffer() {
    let mut b = ValueBuilder::new();
    let buffer = b.buffer(vec![0; 8]);
    assert_eq!(
        b.view(ViewKind::Int32, buffer, 2, 1).map(drop),
        Err(BuildError::Misaligned)
    );
    assert_eq!(
        b.view(ViewKind::Int32, buffer, 4, 2).map(drop),
        Err(BuildError::OutOfBounds)
    );
    assert_eq!(
        b.tracking_view(ViewKind::Int8, buffer, 0).map(drop),
        Err(BuildError::NotResizable)
    );
}

#[test]
fn a_handle_of_another_builder_does_no_harm() {
    let mut other = ValueBuilder::new();
    let (_, foreign) = (other.array(), other.object());
    let mut b = ValueBuilder::new();
    let array = b.array();
    b.push(array, foreign).expect("short");
    b.set(foreign, "key", 1);
    assert_eq!(
        b.finish(array).to_json(),
        serde_json::json!([{ "$undefined": true }])
    );
}
