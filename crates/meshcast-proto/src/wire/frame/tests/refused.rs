//! What is no frame, and why.

use super::*;

#[test]
fn what_is_wrong_with_a_frame_is_named() {
    let good = || ByHand::like(&small_frame());
    let fault = |frame: ByHand| Frame::decode(frame.signed().into()).expect_err("refused");

    for len in 0..=64 {
        let short = Frame::decode(vec![VERSION; len].into()).expect_err("too short");
        assert_eq!(short, FrameError::TooShort { len });
    }
    assert_eq!(
        fault(ByHand {
            version: 0,
            ..good()
        }),
        FrameError::Version(0)
    );
    assert_eq!(
        fault(ByHand {
            version: 1,
            ..good()
        }),
        FrameError::Version(1)
    );
    for trailing in [1, 64] {
        let trailing_bytes = vec![0; trailing];
        assert_eq!(
            fault(ByHand {
                trailing: trailing_bytes,
                ..good()
            }),
            FrameError::Unreadable(CodecError::Trailing(trailing))
        );
    }

    for claimed in [0, 2, u32::MAX] {
        assert_eq!(
            fault(ByHand {
                count: u64::from(claimed),
                ..good()
            }),
            FrameError::Count { claimed, found: 1 }
        );
    }
    for claimed in [0, 1] {
        assert_eq!(
            fault(ByHand {
                count: u64::from(claimed),
                records: Vec::new(),
                ..good()
            }),
            FrameError::Count { claimed, found: 0 }
        );
    }

    assert_eq!(
        fault(ByHand {
            first_seq: 0,
            ..good()
        }),
        FrameError::Seq
    );
    let two = section(&[raw(b"a"), raw(b"b")]);
    assert_eq!(
        fault(ByHand {
            first_seq: u64::MAX,
            count: 2,
            records: two.clone(),
            ..good()
        }),
        FrameError::Seq
    );
    let from = |first_seq| ByHand {
        first_seq,
        count: 2,
        records: two.clone(),
        ..good()
    };
    assert_eq!(fault(from(u64::MAX - 1)), FrameError::Seq);
    let last =
        Frame::decode(from(u64::MAX - 2).signed().into()).expect("the last two numbers there are");
    assert_eq!(last.seqs().last().next(), Seq::MAX);
    assert_eq!(last.records().count(), 2);

    let record_faults = [
        // A word that is cut, and a record that claims a byte too many.
        vec![0, 0, 0],
        vec![8, 0, 0, 0],
        [&two[..], &[0]].concat(),
        two[..two.len() - 1].to_vec(),
    ];
    for records in record_faults {
        assert_eq!(
            fault(ByHand { records, ..good() }),
            FrameError::Record(RecordError::Truncated)
        );
    }

    let (limit, expected) = (MAX_FRAGMENT_LEN, MAX_FRAGMENT_LEN);
    for (word, error) in [
        (
            u32::MAX,
            RecordError::TooLong {
                len: (1 << 29) - 1,
                limit,
            },
        ),
        (
            limit as u32 * 8 + 8,
            RecordError::TooLong {
                len: limit + 1,
                limit,
            },
        ),
        (8 + 6, RecordError::ShortFragment { len: 1, expected }),
        (6, RecordError::ShortFragment { len: 0, expected }),
    ] {
        let records = [&word.to_le_bytes()[..], &[0]].concat();
        assert_eq!(
            fault(ByHand { records, ..good() }),
            FrameError::Record(error)
        );
    }

    let channel = |wire: &[u8]| {
        fault(ByHand {
            channel: wire.to_vec(),
            ..good()
        })
    };
    assert_eq!(channel(b""), FrameError::Channel(ChannelNameError::Empty));
    assert_eq!(
        channel(b"\0x"),
        FrameError::Channel(ChannelNameError::NotCanonical)
    );
    assert_eq!(
        channel(&[b'x'; 256]),
        FrameError::Channel(ChannelNameError::TooLong {
            len: 256,
            limit: 255
        })
    );
    for not_utf8 in [
        &b"\xff"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        let error = channel(not_utf8);
        assert!(
            matches!(error, FrameError::Unreadable(CodecError::Malformed(_))),
            "{error}"
        );
    }
}

#[test]
fn nothing_is_built_that_would_not_be_read() {
    let build = |first, records: &[u8]| {
        Frame::build(
            &identity(),
            &channel("c"),
            first,
            NOW,
            Duration::ZERO,
            records,
        )
        .expect_err("refused")
    };
    assert_eq!(
        build(Seq::FIRST, &[]),
        BuildError::OutOfNumbers(FrameError::Count {
            claimed: 0,
            found: 0
        })
    );
    assert_eq!(
        build(Seq::MAX, &section(&[raw(b"a"), raw(b"b")])),
        BuildError::OutOfNumbers(FrameError::Seq)
    );
    assert_eq!(
        build(Seq::FIRST, &[8, 0, 0, 0]),
        BuildError::Record(RecordError::Truncated)
    );
    let limit = Frame::MAX_RECORDS_LEN;
    assert_eq!(
        build(Seq::FIRST, &vec![0; limit + 1]),
        BuildError::TooLong {
            len: limit + 1,
            limit
        }
    );
}

/// The bodies that are decoded hold borrowed slices, arrays and numbers, so there is nothing to
/// allocate for; a list would be limited by bincode itself. It remains to show that the claim is
/// refused.
#[test]
fn claimed_gigabytes_are_refused() {
    for claim in [1 << 20, 1 << 32, 1 << 40, u64::MAX] {
        let [channel, records, chain] = [0, 5, 6].map(|field| {
            let mut frame = ByHand::like(&small_frame());
            frame.claims[field] = Some(claim);
            frame.signed()
        });
        // The shortest frame that gets as far as claiming something.
        let mut tiny = [&[VERSION][..], &[0; 32]].concat();
        varint(&mut tiny, claim, Width::Least);
        tiny.extend([0; SIGNATURE_LEN]);
        for bytes in [channel, records, chain, tiny] {
            let error = Frame::decode(bytes.into()).expect_err("claims too much");
            assert!(
                matches!(error, FrameError::Unreadable(CodecError::Malformed(_))),
                "{claim}: {error}"
            );
        }
        let mut twenty = Vec::new();
        varint(&mut twenty, claim, Width::Least);
        twenty.resize(20, 0);
        assert!(codec::decode::<codec::ChainBody<'_>>(&twenty).is_err());
        assert!(trust().verify(&twenty).is_err());
    }
}

#[test]
fn records_of_the_longest_length_are_read_and_one_byte_more_is_not() {
    let limit = Frame::MAX_RECORDS_LEN;
    let of_len = |records: usize| {
        let whole = |payload: usize| {
            [
                &(payload as u32 * 8 + 1).to_le_bytes()[..],
                &vec![7; payload],
            ]
            .concat()
        };
        let first = whole(100);
        let frame = ByHand {
            count: 2,
            records: [&first[..], &whole(records - first.len() - 4)].concat(),
            ..ByHand::like(&small_frame())
        };
        Frame::decode(frame.signed().into())
    };
    let longest = of_len(limit).expect("as long as allowed");
    assert!(verifier().verify(&longest, NOW).is_ok());
    assert_eq!(
        of_len(limit + 1).expect_err("too long"),
        FrameError::RecordsTooLong {
            len: limit + 1,
            limit
        }
    );
    assert_eq!(
        Frame::decode(vec![VERSION; Frame::MAX_LEN + 1].into()).expect_err("too long"),
        FrameError::TooLong {
            len: Frame::MAX_LEN + 1,
            limit: Frame::MAX_LEN
        }
    );
}

#[test]
fn the_worst_header_and_chain_leave_room_for_the_longest_records() {
    let mut one = Vec::new();
    write_record(
        &mut one,
        Format::Raw,
        Part::Middle,
        &vec![1; MAX_FRAGMENT_LEN],
    );
    let many = vec![0; Frame::MAX_RECORDS_LEN / 4 * 4];
    for records in [one, many] {
        let count = records.len() as u64 / 4;
        let worst = ByHand {
            channel: vec![b'x'; ChannelName::MAX_WIRE_LEN],
            first_seq: u64::MAX - count,
            posted_at: u64::MAX,
            since_first: u64::MAX,
            count: if records[0] == 0 { count } else { 1 },
            chain: vec![0; Chain::MAX_LEN],
            records,
            ..ByHand::like(&small_frame())
        };
        let len = worst.signed().len();
        assert!(len <= Frame::MAX_LEN, "{len}");
        assert!(Frame::decode(worst.signed().into()).is_ok());
        // What `build` itself would have to hold: the same under the longest numbers of every kind.
        let header = 1 + 32 + (3 + 255) + 9 + 5 + 9 + 9 + 5 + 5;
        assert!(header + Frame::MAX_RECORDS_LEN + Chain::MAX_LEN + SIGNATURE_LEN <= Frame::MAX_LEN);
    }
}
