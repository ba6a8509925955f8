use proptest::prelude::*;

use super::*;
use crate::{
    Authority, ChannelName, Credential, Frame, Identity, Keypair, MeshId, NodeName, Region, Seq,
    WallTime,
};

#[test]
fn a_value_comes_back_from_its_fragments_whatever_its_length() {
    let lengths = (0..=4).flat_map(|times| {
        let around = times * MAX_FRAGMENT_LEN;
        [-2, -1, 0, 1, 2]
            .into_iter()
            .filter_map(move |off| around.checked_add_signed(off))
    });
    for len in lengths.chain([1 << 20]) {
        let value: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        assert_eq!(reassemble(&value), value, "{len}");
    }
}

#[test]
fn the_parts_of_a_value_stand_in_order() {
    let parts = |len| {
        fragments(&vec![0; len], MAX_FRAGMENT_LEN)
            .map(|(part, _)| part)
            .collect::<Vec<_>>()
    };
    assert_eq!(parts(0), [Part::Whole]);
    assert_eq!(parts(MAX_FRAGMENT_LEN), [Part::Whole]);
    assert_eq!(parts(MAX_FRAGMENT_LEN + 1), [Part::First, Part::Last]);
    assert_eq!(parts(2 * MAX_FRAGMENT_LEN), [Part::First, Part::Last]);
    assert_eq!(
        parts(2 * MAX_FRAGMENT_LEN + 1),
        [Part::First, Part::Middle, Part::Last]
    );
}

proptest! {
    #[test]
    fn fragments_are_as_many_as_counted_and_none_is_too_long(len in 0..5 * MAX_FRAGMENT_LEN) {
        let value = vec![7; len];
        let lengths: Vec<_> = fragments(&value, MAX_FRAGMENT_LEN).map(
            |(_, fragment)| fragment.len()
        ).collect();
        prop_assert_eq!(lengths.len(), fragment_count(len));
        prop_assert_eq!(lengths.iter().sum::<usize>(), len);
        prop_assert!(lengths.iter().all(|len| *len <= MAX_FRAGMENT_LEN));
        prop_assert!(len == 0 || lengths.iter().all(|len| *len > 0));
    }

    /// The first piece fills what is left of a frame.
    #[test]
    fn a_value_that_is_cut_anywhere_comes_back_in_parts_that_stand_in_order(
        len in 0..3 * MAX_FRAGMENT_LEN,
        first in 0..2 * MAX_FRAGMENT_LEN,
    ) {
        let value: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let (parts, pieces): (Vec<_>, Vec<_>) = fragments(&value, first).unzip();
        prop_assert_eq!(pieces.concat(), &value[..]);
        prop_assert!(pieces.iter().all(|piece| piece.len() <= MAX_FRAGMENT_LEN));
        prop_assert!(parts.len() <= fragment_count(len) + 1);
        if let [only] = parts[..] {
            prop_assert_eq!(only, Part::Whole);
        } else {
            prop_assert_eq!(pieces[0].len(), first.clamp(1, MAX_FRAGMENT_LEN));
            prop_assert_eq!((parts[0], parts[parts.len() - 1]), (Part::First, Part::Last));
            prop_assert!(parts[1..parts.len() - 1].iter().all(|part| *part == Part::Middle));
        }
    }

    #[test]
    fn arbitrary_sections_are_read_without_panic(
        section in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let read: usize = Records::of(section.clone().into())
            .map(|record| RECORD_OVERHEAD + record.payload.len())
            .sum();
        prop_assert!(read <= section.len());
    }
}

#[test]
fn every_format_and_part_comes_back() {
    for format in [Format::Value, Format::Raw] {
        for part in [Part::Whole, Part::First, Part::Middle, Part::Last] {
            for len in [0, 1, MAX_FRAGMENT_LEN] {
                let payload = Bytes::from(vec![3; len]);
                let mut section = Vec::new();
                write_record(&mut section, format, part, &payload);
                assert_eq!(section.len(), RECORD_OVERHEAD + len);
                let refused = part == Part::Middle && len < MAX_FRAGMENT_LEN;
                assert_eq!(
                    Records::survey(&section).is_err(),
                    refused,
                    "{part:?} of {len} bytes"
                );
                let read: Vec<_> = Records::of(section.into()).collect();
                assert_eq!(
                    read,
                    [Record {
                        format,
                        part,
                        payload
                    }]
                );
            }
        }
    }
}

#[test]
fn a_fragment_between_others_may_not_be_short() {
    let survey = |part, len| {
        let mut section = Vec::new();
        write_record(&mut section, Format::Raw, part, &vec![0; len]);
        Records::survey(&section).map(|survey| survey.count)
    };
    let expected = MAX_FRAGMENT_LEN;
    for len in [0, 1, expected - 1] {
        assert_eq!(
            survey(Part::Middle, len),
            Err(RecordError::ShortFragment { len, expected })
        );
    }
    assert_eq!(survey(Part::Middle, expected), Ok(1));
    for part in [Part::Whole, Part::First, Part::Last] {
        assert_eq!(survey(part, 0), Ok(1));
    }
}

#[test]
fn a_payload_over_the_limit_is_refused_and_its_length_does_not_wrap() {
    let limit = MAX_FRAGMENT_LEN;
    for part in [Part::Whole, Part::First, Part::Last] {
        let mut section = Vec::new();
        let len = limit + 1;
        write_record(&mut section, Format::Raw, part, &vec![0; len]);
        let refused = Records::survey(&section).map(|survey| survey.count);
        assert_eq!(refused, Err(RecordError::TooLong { len, limit }));
    }
    // These do not fit the word: without their upper bits they would be 0 and 1.
    for len in [1 << 29, (1 << 29) + 1, 1 << 32, usize::MAX] {
        assert_eq!(word(len, RAW), MAX_WORD_LEN << FLAG_BITS | RAW);
    }
}

#[test]
fn the_longest_fragment_fits_a_frame_with_the_longest_of_everything() {
    let (member, boot) = (Keypair::from_seed([2; 32]), Keypair::from_seed([3; 32]));
    let longest = "x".repeat(63);
    let credential =
        Authority::new(MeshId::new([9; 16]), Keypair::from_seed([1; 32])).issue(&Credential {
            subject: member.public(),
            name: NodeName::new(&longest).expect("63 bytes"),
            region: Region::new(&longest).expect("63 bytes"),
            not_before: WallTime::MAX,
            not_after: WallTime::MAX,
            serial: u64::MAX,
        });
    let identity =
        Identity::new(&credential, &member, boot, WallTime::MAX).expect("its own credential");
    let channel = ChannelName::new(&"x".repeat(ChannelName::MAX_WIRE_LEN)).expect("255 bytes");
    let last = Seq::MAX.previous().expect("not the first");
    let build = |section: &[u8]| {
        Frame::build(
            &identity,
            &channel,
            last,
            WallTime::MAX,
            std::time::Duration::MAX,
            section,
        )
    };

    let mut section = Vec::new();
    write_record(
        &mut section,
        Format::Raw,
        Part::Middle,
        &vec![1; MAX_FRAGMENT_LEN],
    );
    assert_eq!(section.len(), Frame::MAX_RECORDS_LEN);
    let frame = build(&section).expect("fits");
    assert!(
        frame.bytes().len() <= Frame::MAX_LEN,
        "{}",
        frame.bytes().len()
    );

    let mut one_more = section;
    one_more.push(0);
    assert!(build(&one_more).is_err());
}

/// Puts a value through the records of as many frames as it takes.
fn reassemble(value: &[u8]) -> Vec<u8> {
    let mut back = Vec::new();
    let mut records = 0;
    for (part, fragment) in fragments(value, MAX_FRAGMENT_LEN) {
        let mut section = Vec::new();
        write_record(&mut section, Format::Value, part, fragment);
        for record in Records::of(section.into()) {
            assert_eq!(record.part, part);
            back.extend_from_slice(&record.payload);
            records += 1;
        }
    }
    assert_eq!(records, fragment_count(value.len()));
    back
}
