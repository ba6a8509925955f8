use proptest::{collection, prelude::*};
use serde::Serialize;

use super::*;

fn member() -> impl Strategy<Value = MemberAddresses> {
    let address = collection::vec(any::<u8>(), 0..300);
    (any::<[u8; 32]>(), collection::vec(address, 0..4)).prop_map(|(key, addresses)| {
        MemberAddresses {
            sender: Sender::new(key),
            addresses,
        }
    })
}

fn channel_name() -> impl Strategy<Value = ChannelName> {
    "[a-z0-9/ é]{1,80}".prop_map(|name| ChannelName::new(&name).expect("valid"))
}

/// Times travel in whole milliseconds.
fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![0..10_000_u64, any::<u64>()].prop_map(Duration::from_millis)
}

fn any_seq() -> impl Strategy<Value = Seq> {
    prop_oneof![1..300_u64, 1..=u64::MAX].prop_map(|n| Seq::new(n).expect("not 0"))
}

fn any_sender() -> impl Strategy<Value = Sender> {
    prop_oneof![(0..4_u8).prop_map(|key| [key; 32]), any::<[u8; 32]>()].prop_map(Sender::new)
}

fn range() -> impl Strategy<Value = SeqRange> {
    (any_seq(), any_seq()).prop_map(|(a, b)| SeqRange::new(a.min(b), a.max(b)).expect("in order"))
}

fn holding() -> impl Strategy<Value = Holding> {
    let lowest = prop::option::of(any_seq());
    let due = prop::option::of(any_seq());
    let parts = (any_sender(), range(), due, any_seq(), any::<u8>(), lowest);
    parts.prop_map(|(sender, kept, due, begin, hops, lowest)| Holding {
        sender,
        oldest: kept.first(),
        next: kept.last(),
        due,
        hops,
        lowest: lowest.map(|lowest| lowest.min(kept.last())),
        begin,
    })
}

/// Each name at most once, as messages have them.
fn distinct<T, K: Ord>(all: Vec<T>, name: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = BTreeSet::new();
    all.into_iter().filter(|it| seen.insert(name(it))).collect()
}

fn message() -> impl Strategy<Value = SyncMessage> {
    let opened = (channel_name(), any::<u64>(), duration(), any::<u64>());
    let opened = opened.prop_map(|(channel, opening, since, last)| Opened {
        channel,
        opening,
        since,
        last,
    });
    let answer = (any::<u64>(), duration(), any::<bool>());
    let answer = answer.prop_map(|(opening, held, more)| Answer {
        opening,
        held,
        more,
    });
    let holdings = (
        channel_name(),
        prop::option::of(answer),
        collection::vec(holding(), 0..6),
    );
    let holdings = holdings.prop_map(|(channel, answer, logs)| Holdings {
        channel,
        answer,
        logs: distinct(logs, |log| log.sender),
    });
    let want = (channel_name(), any_sender(), range(), any::<u64>());
    let want = want.prop_map(|(channel, sender, seqs, request)| Want {
        channel,
        sender,
        seqs,
        request,
    });
    let frame = collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let frames = (
        channel_name(),
        any_sender(),
        any::<u64>(),
        any_seq(),
        collection::vec((duration(), frame), 0..6),
    )
        .prop_map(|(channel, sender, request, upto, frames)| Frames {
            channel,
            sender,
            request,
            upto,
            frames,
        });
    prop_oneof![
        collection::vec(member(), 0..20)
            .prop_map(|all| SyncMessage::Members(distinct(all, |member| member.sender))),
        any::<u64>().prop_map(SyncMessage::Ping),
        any::<u64>().prop_map(SyncMessage::Pong),
        collection::vec(opened, 0..6)
            .prop_map(|all| SyncMessage::Open(distinct(all, |opened| opened.channel.clone()))),
        collection::vec(channel_name(), 0..6)
            .prop_map(|all| SyncMessage::Close(distinct(all, ChannelName::clone))),
        collection::vec(holdings, 0..6)
            .prop_map(|all| SyncMessage::Have(distinct(all, |holdings| holdings.channel.clone()))),
        want.prop_map(SyncMessage::Want),
        frames.prop_map(SyncMessage::Frames),
    ]
}

fn encoded(message: &SyncMessage) -> Bytes {
    Bytes::from(message.encode())
}

proptest! {
    #[test]
    fn every_message_comes_back(message in message()) {
        prop_assert_eq!(SyncMessage::decode(&encoded(&message)), Ok(message));
    }

    #[test]
    fn arbitrary_bytes_are_read_without_panic_and_have_one_form(
        kind in 0..9_u8,
        rest in collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..200),
    ) {
        let bytes = Bytes::from([&[kind], rest.as_slice()].concat());
        if let Ok(message) = SyncMessage::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }

    #[test]
    fn a_message_with_one_byte_changed_is_read_without_panic_and_has_one_form(
        message in message(),
        byte in prop_oneof![0..4_u8, any::<u8>()],
        at in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let bytes = Bytes::from(bytes);
        if let Ok(message) = SyncMessage::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }

    #[test]
    fn a_message_cut_or_extended_is_refused(message in message(), byte in any::<u8>(), at in any::<prop::sample::Index>()) {
        let mut bytes = message.encode();
        let cut = Bytes::copy_from_slice(&bytes[..at.index(bytes.len())]);
        prop_assert!(SyncMessage::decode(&cut).is_err());
        bytes.push(byte);
        prop_assert_eq!(SyncMessage::decode(&bytes.into()), Err(CodecError::Trailing(1)));
    }
}

#[test]
fn a_message_that_names_something_twice_is_refused() {
    let name = |name: &str| ChannelName::new(name).expect("valid");
    let opened = |channel| Opened {
        channel: name(channel),
        since: Duration::ZERO,
        last: 0,
        opening: 1,
    };
    let holding = |key: u8| Holding {
        sender: Sender::new([key; 32]),
        oldest: Seq::FIRST,
        next: Seq::FIRST,
        due: None,
        begin: Seq::FIRST,
        hops: 0,
        lowest: None,
    };
    let holdings = |channel, keys: &[u8]| Holdings {
        channel: name(channel),
        answer: None,
        logs: keys.iter().map(|key| holding(*key)).collect(),
    };
    let member = |key: u8, address: u8| MemberAddresses {
        sender: Sender::new([key; 32]),
        addresses: vec![vec![address]],
    };
    let twice = [
        SyncMessage::Open(["a", "b", "a"].map(opened).into()),
        SyncMessage::Close(["a", "b", "a"].map(name).into()),
        SyncMessage::Have(vec![
            holdings("a", &[1]),
            holdings("b", &[]),
            holdings("a", &[]),
        ]),
        SyncMessage::Have(vec![holdings("a", &[1, 2, 1])]),
        SyncMessage::Members(vec![member(1, 1), member(2, 1), member(1, 2)]),
    ];
    for message in twice {
        let read = SyncMessage::decode(&encoded(&message));
        assert!(
            matches!(read, Err(CodecError::Twice(_))),
            "{message:?}: {read:?}"
        );
    }
    // One sender has a log on each of two channels.
    let once = SyncMessage::Have(vec![holdings("a", &[1, 2]), holdings("b", &[1, 2])]);
    assert_eq!(SyncMessage::decode(&encoded(&once)), Ok(once));
}

/// A count is checked against the limit of the codec before anything is allocated for it, so the
/// most that one can cost is that limit.
#[test]
fn claimed_counts_are_refused() {
    let claims: [&[u8]; 4] = [
        &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[253, 0, 0, 0, 0, 1, 0, 0, 0],
        &[252, 0xff, 0xff, 0xff, 0xff],
        &[251, 0xff, 0xff],
    ];
    for claim in claims {
        let members = [&[0], claim].concat();
        let addresses = [&[0, 1], &[7; 32][..], claim].concat();
        let address = [&[0, 1], &[7; 32][..], &[1], claim].concat();
        let opened = [&[3], claim].concat();
        let name = [&[3, 1], claim].concat();
        let closed = [&[4], claim].concat();
        let senders = [&[5], claim].concat();
        let channels = [&[5, 0], claim].concat();
        let logs = [&[5, 0, 1, 1, b'x'], claim].concat();
        let frames = [&[7, 1, b'x'], &[7; 32][..], &[1, 1], claim].concat();
        let frame = [&[7, 1, b'x'], &[7; 32][..], &[1, 1, 1, 0], claim].concat();
        for bytes in [
            members, addresses, address, opened, name, closed, senders, channels, logs, frames,
            frame,
        ] {
            let refused = SyncMessage::decode(&bytes.into());
            assert!(
                matches!(refused, Err(CodecError::Malformed(_))),
                "{refused:?}"
            );
        }
    }
}

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

fn long_name(n: usize) -> ChannelName {
    let name = format!("{n:0>width$}", width = ChannelName::MAX_WIRE_LEN);
    ChannelName::new(&name).expect("as long as it may be")
}

fn far_sender(n: usize) -> Sender {
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

#[test]
fn what_no_engine_says_is_refused() {
    let refused = |body: SyncBody<'_>| {
        let read = SyncMessage::decode(&codec::encode(&body).into());
        assert!(matches!(read, Err(CodecError::Malformed(_))), "{read:?}");
    };
    let want = |channel, first, last| {
        SyncBody::Want(WantBody {
            channel,
            sender: [7; 32],
            first,
            last,
            request: 0,
        })
    };
    refused(want("x", 0, 1));
    refused(want("x", 3, 2));
    refused(want("", 1, 2));
    refused(SyncBody::Close(vec![""]));
    let have = |sender, next, kept| HaveLogBody {
        sender,
        next,
        kept,
        due: 0,
        hops: 0,
        behind: 0,
        passed: 0,
    };
    let all = |senders: Vec<[u8; 32]>, logs| {
        SyncBody::Have(HaveBody {
            senders,
            channels: vec![HaveChannelBody {
                channel: "x",
                answer: None,
                logs,
            }],
        })
    };
    refused(all(vec![[7; 32]], vec![have(0, 0, 0)]));
    refused(all(vec![[7; 32]], vec![have(0, 5, 5)]));
    refused(all(vec![[7; 32]], vec![have(0, 5, 6)]));
    refused(all(vec![[7; 32]], vec![have(1, 5, 1)]));
    // Senders stand once each, in the order in which they are needed.
    refused(all(vec![[7; 32]], vec![]));
    refused(all(vec![[7; 32]; 2], vec![have(0, 5, 1), have(1, 5, 1)]));
    refused(all(
        vec![[7; 32], [8; 32]],
        vec![have(1, 5, 1), have(0, 5, 1)],
    ));
    refused(SyncBody::Frames(FramesBody {
        channel: "x",
        sender: [7; 32],
        request: 0,
        upto: 0,
        frames: vec![],
    }));
}

#[test]
fn frames_share_the_bytes_they_came_in() {
    let frames = Frames {
        channel: long_name(0),
        sender: far_sender(0),
        request: 0,
        upto: Seq::FIRST,
        frames: vec![(Duration::ZERO, Bytes::from(vec![7; 1_000])); 3],
    };
    let bytes = encoded(&SyncMessage::Frames(frames));
    let Ok(SyncMessage::Frames(read)) = SyncMessage::decode(&bytes) else {
        panic!("it was just encoded");
    };
    let inside = bytes.as_ptr_range();
    for (_, frame) in &read.frames {
        assert!(inside.contains(&frame.as_ptr()), "a copy");
    }
}

/// Whoever opened a moment ago would otherwise ask for less than since then.
#[test]
fn part_of_a_millisecond_of_waiting_counts_as_a_whole_one() {
    let opened = |since| Opened {
        channel: long_name(0),
        since,
        last: 0,
        opening: 1,
    };
    let sent = encoded(&SyncMessage::Open(vec![opened(Duration::from_micros(
        2_001,
    ))]));
    let read = SyncMessage::Open(vec![opened(Duration::from_millis(3))]);
    assert_eq!(SyncMessage::decode(&sent), Ok(read));
}

#[derive(Debug, Serialize)]
struct Vector {
    name: String,
    hex: String,
}

#[test]
fn the_bytes_are_those_of_the_file() {
    let member = |key: u8, addresses: &[&[u8]]| MemberAddresses {
        sender: Sender::new([key; 32]),
        addresses: addresses.iter().map(|address| address.to_vec()).collect(),
    };
    // /ip4/10.0.0.1/tcp/4001 and /ip4/10.0.0.1/udp/4001/quic-v1
    let tcp = [4, 10, 0, 0, 1, 6, 0x0f, 0xa1];
    let quic = [4, 10, 0, 0, 1, 0x91, 2, 0x0f, 0xa1, 0xcd, 3];
    let seq = |n| Seq::new(n).expect("not 0");
    let name = |name| ChannelName::new(name).expect("valid");
    let opened = |channel, opening, millis, last| Opened {
        channel: name(channel),
        opening,
        since: Duration::from_millis(millis),
        last,
    };
    let answers = |opening, held, more| {
        Some(Answer {
            opening,
            held: Duration::from_millis(held),
            more,
        })
    };
    let holding = |key, oldest, next, due: Option<u64>, begin| Holding {
        sender: Sender::new([key; 32]),
        oldest: seq(oldest),
        next: seq(next),
        due: due.map(seq),
        hops: key,
        lowest: (key % 2 == 0).then(|| seq(oldest)),
        begin: seq(begin),
    };
    let answer = |request, upto, frames| {
        SyncMessage::Frames(Frames {
            channel: name("earth"),
            sender: Sender::new([1; 32]),
            request,
            upto: seq(upto),
            frames,
        })
    };
    let messages = [
        ("ping 0", SyncMessage::Ping(0)),
        ("ping 251", SyncMessage::Ping(251)),
        ("pong 2^64 - 1", SyncMessage::Pong(u64::MAX)),
        ("nobody", SyncMessage::Members(Vec::new())),
        (
            "two members, one of them without an address",
            SyncMessage::Members(vec![member(1, &[&tcp, &quic]), member(2, &[])]),
        ),
        (
            "an address of 251 bytes",
            SyncMessage::Members(vec![member(3, &[&[0xaa; 251]])]),
        ),
        (
            "one channel open since now, one for 70 s and with the last 5 numbers",
            SyncMessage::Open(vec![
                opened("earth", 1, 0, 0),
                opened("moon", 300, 70_000, 5),
            ]),
        ),
        ("no channel open", SyncMessage::Open(Vec::new())),
        (
            "two channels closed",
            SyncMessage::Close(vec![name("earth"), name("moon")]),
        ),
        (
            "nothing had of a channel, to opening 1",
            SyncMessage::Have(vec![Holdings {
                channel: name("earth"),
                answer: answers(1, 0, false),
                logs: Vec::new(),
            }]),
        ),
        (
            "one sender of a channel, more later, to opening 300 that came 251 ms ago",
            SyncMessage::Have(vec![Holdings {
                channel: name("earth"),
                answer: answers(300, 251, true),
                logs: vec![holding(1, 1, 2, Some(1), 1)],
            }]),
        ),
        (
            "two senders on two channels, one of them to begin at 40, one without anything kept and from 6 on",
            SyncMessage::Have(vec![
                Holdings {
                    channel: name("earth"),
                    answer: None,
                    logs: vec![holding(1, 30, 300, Some(40), 1), holding(2, 7, 7, None, 6)],
                },
                Holdings {
                    channel: name("moon"),
                    answer: None,
                    logs: vec![holding(2, 1, 2, Some(1), 1)],
                },
            ]),
        ),
        (
            "numbers 3 to 251 wanted by request 300",
            SyncMessage::Want(Want {
                channel: name("earth"),
                sender: Sender::new([1; 32]),
                seqs: SeqRange::new(seq(3), seq(251)).expect("in order"),
                request: 300,
            }),
        ),
        (
            "nothing kept up to 251, to request 300",
            answer(300, 251, Vec::new()),
        ),
        (
            "two frames up to 4, one of them posted 1.5 s ago, to request 1",
            answer(
                1,
                4,
                vec![
                    (Duration::from_millis(1_500), Bytes::from_static(b"abc")),
                    (Duration::ZERO, Bytes::from_static(b"")),
                ],
            ),
        ),
    ];
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let vectors = messages.map(|(name, message)| {
        let bytes = encoded(&message);
        assert_eq!(SyncMessage::decode(&bytes), Ok(message), "{name}");
        Vector {
            name: name.into(),
            hex: hex(bytes.into()),
        }
    });
    let text = serde_json::to_string_pretty(&vectors).expect("plain data") + "\n";
    #[expect(
        clippy::disallowed_methods,
        reason = "a test that writes its file when asked to"
    )]
    if std::env::var_os("MESHCAST_WRITE_VECTORS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/wire/sync.json");
        std::fs::write(path, text).expect("writable");
    } else {
        assert!(text == FILE, "the bytes of sync messages have changed");
    }
}

const FILE: &str = include_str!("../../../testdata/wire/sync.json");
