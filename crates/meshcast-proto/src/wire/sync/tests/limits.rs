//! The largest messages, and what is larger.

use super::*;

#[test]
fn more_members_or_addresses_than_allowed_are_refused_and_never_sent() {
    let member = |addresses: usize| MemberAddresses {
        sender: Sender::new([7; 32]),
        addresses: vec![vec![1]; addresses],
    };
    let sent = |members: Vec<MemberAddresses>| {
        let message = SyncMessage::Members(members);
        match SyncMessage::decode(&encoded(&message)) {
            Ok(SyncMessage::Members(members)) => members,
            other => panic!("{other:?}"),
        }
    };
    let (members, addresses) = (SyncMessage::MAX_MEMBERS, SyncMessage::MAX_ADDRESSES);
    let many = |n| MemberAddresses {
        sender: far_sender(n),
        ..member(1)
    };
    assert_eq!(sent((0..=members).map(many).collect()).len(), members);
    assert_eq!(sent(vec![member(addresses + 1)]), [member(addresses)]);

    let refused = |members, addresses| {
        let body = |_| MemberBody {
            sender: [7; 32],
            addresses: vec![&[1]; addresses],
        };
        let body = SyncBody::Members((0..members).map(body).collect());
        SyncMessage::decode(&codec::encode(&body).into()).expect_err("too many")
    };
    let too_many = |limit| CodecError::TooMany {
        found: limit + 1,
        limit,
    };
    assert_eq!(refused(members + 1, 0), too_many(members));
    assert_eq!(refused(1, addresses + 1), too_many(addresses));
}

pub(super) fn long_name(n: usize) -> ChannelName {
    let name = format!("{n:0>width$}", width = ChannelName::MAX_WIRE_LEN);
    ChannelName::new(&name).expect("as long as it may be")
}

pub(super) fn far_sender(n: usize) -> Sender {
    let mut key = [0xff; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    Sender::new(key)
}

/// Numbers that take nine bytes each.
fn long_holding(n: usize) -> Holding {
    Holding {
        sender: far_sender(n),
        oldest: Seq::FIRST,
        next: Seq::MAX,
        due: Some(Seq::MAX),
        hops: Holding::FAR,
        lowest: Some(Seq::FIRST),
        begin: Seq::MAX,
    }
}

/// What a link carries; more breaks it.
const LINK_LIMIT: usize = 512 * 1024;

#[track_caller]
fn assert_fits(message: &SyncMessage) {
    let bytes = encoded(message);
    assert!(bytes.len() <= LINK_LIMIT, "{} bytes", bytes.len());
    assert_eq!(SyncMessage::decode(&bytes), Ok(message.clone()));
}

/// The highest tags there are.
fn places(tags: usize) -> Places {
    let lowest = u64::MAX - tags as u64 + 1;
    Places {
        version: u64::MAX,
        from: lowest,
        upto: u64::MAX,
        tags: (lowest..=u64::MAX).collect(),
    }
}

#[test]
fn a_sign_of_life_names_tags_in_order_in_its_range_and_not_too_many() {
    let (full, few) = (places(Places::MAX_TAGS), places(3));
    let read = |places: Places| {
        let beat = Beat {
            sender: far_sender(1),
            at: WallTime::MAX,
            period: Duration::ZERO,
            places,
            signature: [0xff; 64],
        };
        let message = PresenceMessage::Beats(vec![(Duration::ZERO, beat)]);
        SyncMessage::decode(&encoded(&SyncMessage::Presence(message)))
    };
    assert!(read(full).is_ok() && read(few.clone()).is_ok());
    for places in [
        places(Places::MAX_TAGS + 1),
        Places {
            tags: few.tags.iter().rev().copied().collect(),
            ..few.clone()
        },
        Places {
            tags: vec![few.from; 2],
            ..few.clone()
        },
        Places {
            from: few.from + 1,
            ..few.clone()
        },
        Places {
            upto: few.upto - 1,
            ..few.clone()
        },
        Places {
            upto: few.from - 1,
            tags: Vec::new(),
            ..few
        },
    ] {
        assert!(read(places).is_err());
    }
}

#[test]
fn the_largest_messages_about_presence_fit_a_link() {
    let entries = PresenceMessage::MAX_ENTRIES;
    let senders = || (0..entries).map(far_sender).collect::<Vec<_>>();
    let roll = senders().into_iter().map(|sender| (sender, u64::MAX));
    let beat = |n| Beat {
        sender: far_sender(n),
        at: WallTime::MAX,
        period: Duration::from_millis(u64::MAX),
        places: places(Places::MAX_TAGS),
        signature: [0xff; 64],
    };
    let beats = (0..PresenceMessage::MAX_BEATS).map(|n| (Duration::from_millis(u64::MAX), beat(n)));
    let hashes = (0..PresenceMessage::MAX_HASHES).map(|n| (long_name(n), [0xff; 16]));
    for message in [
        PresenceMessage::Roll(long_name(0), roll.collect()),
        PresenceMessage::Fetch(long_name(0), senders()),
        PresenceMessage::Follow(senders()),
        PresenceMessage::Unfollow(senders()),
        PresenceMessage::Beats(beats.collect()),
        PresenceMessage::Hashes(hashes.collect()),
    ] {
        assert_fits(&SyncMessage::Presence(message));
    }
    let claim = Claim {
        sender: far_sender(0),
        channel: &long_name(0),
        version: u64::MAX,
        since: WallTime::MAX,
        watching: true,
        left: true,
        state: Some(&[0xff; PresenceRecord::MAX_STATE_LEN]),
        chain: &[0xff; codec::MAX_CHAIN_LEN],
    };
    let record = PresenceRecord::build(&claim, |_| [0xff; 64]).expect("within limits");
    assert!(record.bytes.len() <= PresenceRecord::MAX_LEN);
    let longer = Claim {
        state: Some(&[0xff; PresenceRecord::MAX_STATE_LEN + 1]),
        ..claim
    };
    assert!(PresenceRecord::build(&longer, |_| [0xff; 64]).is_err());
    assert_fits(&SyncMessage::Presence(PresenceMessage::Records(vec![
        record,
    ])));
}

#[test]
fn the_largest_messages_of_all_kinds_fit_a_link() {
    let (channels, logs) = (SyncMessage::MAX_CHANNELS, SyncMessage::MAX_LOGS);
    let opened = |n| Opened {
        channel: long_name(n),
        since: Duration::from_millis(u64::MAX),
        last: u64::MAX,
        opening: u64::MAX,
    };
    assert_fits(&SyncMessage::Open((0..channels).map(opened).collect()));
    assert_fits(&SyncMessage::Close((0..channels).map(long_name).collect()));
    let holdings = |n| Holdings {
        channel: long_name(n),
        answer: Some(Answer {
            opening: u64::MAX,
            held: Duration::from_millis(u64::MAX),
            more: false,
        }),
        logs: (0..logs / channels)
            .map(|log| long_holding(n * logs + log))
            .collect(),
    };
    assert_fits(&SyncMessage::Have((0..channels).map(holdings).collect()));
    assert_fits(&SyncMessage::Have(vec![Holdings {
        channel: long_name(0),
        answer: Some(Answer {
            opening: u64::MAX,
            held: Duration::from_millis(u64::MAX),
            more: false,
        }),
        logs: (0..logs).map(long_holding).collect(),
    }]));
    // As the engine answers: up to the limit in small frames, or one frame over it.
    for (len, count) in [
        (300, SyncMessage::MAX_FRAMES_LEN / 300),
        (
            crate::wire::frame::Frame::MAX_LEN,
            SyncMessage::MAX_FRAMES_LEN / crate::wire::frame::Frame::MAX_LEN,
        ),
    ] {
        let frame = (Duration::from_millis(u64::MAX), Bytes::from(vec![7; len]));
        assert_fits(&SyncMessage::Frames(Frames {
            channel: long_name(0),
            sender: far_sender(0),
            request: u64::MAX,
            upto: Seq::MAX,
            frames: vec![frame; count],
        }));
    }
}

#[test]
fn more_channels_or_logs_than_allowed_are_refused_and_never_sent() {
    let (channels, logs) = (SyncMessage::MAX_CHANNELS, SyncMessage::MAX_LOGS);
    let names = |count| (0..count).map(long_name).collect::<Vec<_>>();
    let sent = |message: SyncMessage| {
        SyncMessage::decode(&encoded(&message)).expect("cut to what is allowed")
    };
    assert_eq!(
        sent(SyncMessage::Close(names(channels + 1))),
        SyncMessage::Close(names(channels))
    );
    let opened = |count| {
        let opened = names(count).into_iter().map(|channel| Opened {
            channel,
            since: Duration::ZERO,
            last: 0,
            opening: 1,
        });
        SyncMessage::Open(opened.collect())
    };
    assert_eq!(sent(opened(channels + 1)), opened(channels));
    let have = |of: &[usize]| {
        let holdings = of.iter().enumerate().map(|(n, logs)| Holdings {
            channel: long_name(n),
            answer: None,
            logs: (0..*logs).map(long_holding).collect(),
        });
        SyncMessage::Have(holdings.collect())
    };
    assert_eq!(sent(have(&[logs + 1])), have(&[logs]));
    assert_eq!(sent(have(&[logs - 1, 2, 1])), have(&[logs - 1, 1, 0]));
    assert_eq!(sent(have(&vec![0; channels + 1])), have(&vec![0; channels]));

    let log = || HaveLogBody {
        sender: 0,
        next: 1,
        kept: 0,
        due: 0,
        hops: 0,
        behind: 0,
        passed: 0,
    };
    let refused = |of: &[usize]| {
        let body = HaveBody {
            senders: vec![[7; 32]],
            channels: of
                .iter()
                .map(|logs| HaveChannelBody {
                    answer: None,
                    channel: "x",
                    logs: (0..*logs).map(|_| log()).collect(),
                })
                .collect(),
        };
        SyncMessage::decode(&codec::encode(&SyncBody::Have(body)).into()).expect_err("too many")
    };
    let too_many = |limit| CodecError::TooMany {
        found: limit + 1,
        limit,
    };
    assert_eq!(refused(&[logs + 1]), too_many(logs));
    assert_eq!(refused(&[logs, 1]), too_many(logs));
    assert_eq!(refused(&vec![0; channels + 1]), too_many(channels));
    let closed = SyncBody::Close(vec!["x"; channels + 1]);
    let closed = SyncMessage::decode(&codec::encode(&closed).into());
    assert_eq!(closed, Err(too_many(channels)));
}

#[test]
fn members_are_named_as_far_as_a_link_carries() {
    let member = |n| MemberAddresses {
        sender: far_sender(n),
        addresses: vec![vec![7; 12]; 2],
    };
    for (len, many) in [
        (0, 1),
        (0, 32),
        (1, 32),
        (10, 6),
        (40, 1),
        (40, 32),
        (300, 3),
        (20_000, 32),
    ] {
        let member = |n| MemberAddresses {
            sender: far_sender(n),
            addresses: vec![vec![7; len]; many],
        };
        let all: Vec<_> = (0..SyncMessage::MAX_MEMBERS).map(member).collect();
        let bytes = encoded(&SyncMessage::Members(all.clone()));
        assert!(bytes.len() <= LINK_LIMIT, "{} bytes", bytes.len());
        match SyncMessage::decode(&bytes) {
            Ok(SyncMessage::Members(members)) => {
                assert_eq!(members, all[..members.len()]);
                assert!(members.len() >= 800 || len * many > 200, "{len} {many}");
            }
            other => panic!("{other:?}"),
        }
    }
    // One that is too long by itself hides nobody else.
    let endless = MemberAddresses {
        addresses: vec![vec![7; LINK_LIMIT]],
        ..member(0)
    };
    let bytes = encoded(&SyncMessage::Members(vec![endless, member(1)]));
    assert_eq!(
        SyncMessage::decode(&bytes),
        Ok(SyncMessage::Members(vec![member(1)]))
    );
}
