use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::clock::moment;

const PLACE: Place = Place([7; 8]);

fn sender() -> impl Strategy<Value = SenderPrefix> {
    any::<[u8; SenderPrefix::LEN]>().prop_map(SenderPrefix::new)
}

fn read() -> impl Strategy<Value = Seq> {
    let numbers = prop_oneof![1_u64..200, 1..=u64::MAX];
    numbers.prop_map(|number| Seq::new(number).expect("not zero"))
}

fn cursor(read: &BTreeMap<SenderPrefix, (Seq, u8)>) -> Cursor {
    let now = moment();
    let marks = read
        .iter()
        .map(|(sender, (read, idle))| (*sender, Mark::idle_for(*read, *idle, now)));
    Cursor::new(PLACE, &marks.collect(), now)
}

proptest! {
    #[test]
    fn a_cursor_is_its_text_and_its_bytes_and_no_other_bytes_are_it(
        read in prop::collection::btree_map(sender(), (read(), 0_u8..3), 0..20),
    ) {
        let cursor = cursor(&read);
        let text = cursor.to_string();
        prop_assert!(text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it)));
        prop_assert_eq!(text.parse(), Ok(cursor.clone()));
        let json = serde_json::to_string(&cursor).expect("a string");
        prop_assert_eq!(&json, &format!("\"{text}\""));
        prop_assert_eq!(&serde_json::from_str::<Cursor>(&json).expect("it is one"), &cursor);
        let positions = cursor.positions();
        let expected: Vec<_> = read.iter().map(|(sender, (read, _))| (*sender, *read)).collect();
        prop_assert_eq!(positions.iter().collect::<Vec<_>>(), expected);
    }

    /// Every accepted text has one form.
    #[test]
    fn any_bytes_are_refused_or_are_what_they_say(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        is_ours in any::<bool>(),
    ) {
        if let Some(first) = bytes.first_mut().filter(|_| is_ours) {
            *first = VERSION;
        }
        if let Ok(cursor) = Cursor::from_bytes(&bytes) {
            prop_assert_eq!(cursor.to_bytes(), bytes);
        }
    }
}

#[test]
fn a_cursor_has_a_limit_and_names_who_was_heard_last() {
    let prefix = |n: u16| {
        let [high, low] = n.to_be_bytes();
        SenderPrefix::new(std::array::from_fn(|place| match place {
            0 => low,
            1 => high,
            _ => 1,
        }))
    };
    let (now, seq) = (moment(), Seq::MAX);
    let marks: Marks = (0..400)
        .map(|n| {
            let heard = now + Duration::from_secs(n.into());
            (prefix(n), Mark { read: seq, heard })
        })
        .collect();
    let cursor = Cursor::new(PLACE, &marks, now + Duration::from_secs(400));
    let named: Vec<_> = cursor.positions().into_iter().map(|(it, _)| it).collect();
    assert_eq!(named.len(), Cursor::MAX_SENDERS);
    assert!((144..400).all(|n| named.contains(&prefix(n))));
    let text = cursor.to_string();
    assert!(
        text.len() <= Cursor::MAX_LEN && Cursor::MAX_LEN < 8_000,
        "{}",
        text.len()
    );
    assert_eq!(text.parse(), Ok(cursor));
    let longer = format!("{text}AAAA{}", "A".repeat(Cursor::MAX_LEN));
    assert_eq!(longer.parse::<Cursor>(), Err(CursorError::TooLong));
}

#[test]
fn what_is_no_cursor_is_refused_with_a_reason() {
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let good = Cursor::empty(PLACE);
    let mut bytes = good.to_bytes();
    assert_eq!(text(&bytes).parse(), Ok(good));
    bytes[0] = 2;
    assert_eq!(text(&bytes).parse::<Cursor>(), Err(CursorError::Version(2)));
    bytes[0] = VERSION;
    // A number 0, one of more bits than there are, one that is longer than it need be, and half an
    // entry.
    for number in [&[0][..], &[0xff; 10], &[0x81, 0], &[0x81]] {
        let entry = [&[1; SenderPrefix::LEN][..], &[0], number].concat();
        let parsed = text(&[&bytes[..], &entry].concat()).parse::<Cursor>();
        assert_eq!(parsed, Err(CursorError::Malformed), "{number:?}");
    }
    let entry = [&[1; SenderPrefix::LEN][..], &[0, 1]].concat();
    let twice = text(&[&bytes[..], &entry, &entry].concat());
    assert_eq!(twice.parse::<Cursor>(), Err(CursorError::Malformed));
    for text in ["", "42", "a b", "é", "AQ=="] {
        assert_eq!(
            text.parse::<Cursor>(),
            Err(CursorError::Malformed),
            "{text:?}"
        );
    }
}
