use std::collections::BTreeSet;

use proptest::{collection, prelude::*};

use super::*;
use crate::wire::{
    ask::{Declined, Finding, Inquiry, Query, Question, Relayed, Reply},
    codec::{HaveBody, HaveChannelBody, HaveLogBody},
    presence::{Beat, Claim, Places, PresenceRecord},
    record::Format,
    time::WallTime,
};

mod limits;
mod vectors;

use limits::{far_sender, long_name};

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

fn relayed() -> impl Strategy<Value = AskMessage> {
    let way = (any::<u8>(), duration());
    let who = (any_sender(), any::<u64>(), prop::option::of(any_sender()));
    let what = (channel_name(), any::<u64>(), duration(), any::<bool>());
    let payload = collection::vec(any::<u8>(), 0..300);
    (way, who, what, payload).prop_map(
        |((hops, left), (asker, number, only), (channel, at, within, raw), payload)| {
            let query = Query {
                asker,
                number,
                channel: &channel,
                asked_at: WallTime::from_unix_millis(at),
                within,
                only,
                format: if raw { Format::Raw } else { Format::Value },
                payload: &payload,
                chain: b"chain",
            };
            let inquiry = Inquiry::build(&query, |hash| [hash.as_bytes()[0]; 64]);
            AskMessage::Relay(Relayed {
                hops,
                left,
                inquiry: inquiry.expect("within limits"),
            })
        },
    )
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

fn record() -> impl Strategy<Value = PresenceRecord> {
    let state = prop::option::of(collection::vec(any::<u8>(), 0..40));
    let chain = collection::vec(any::<u8>(), 0..40);
    let numbers = (any::<u64>(), any::<u64>(), any::<bool>(), any::<bool>());
    let parts = (any_sender(), channel_name(), numbers, state, chain);
    parts.prop_map(
        |(sender, channel, (version, since, watching, left), state, chain)| {
            let claim = Claim {
                sender,
                channel: &channel,
                version,
                since: WallTime::from_unix_millis(since),
                watching,
                left,
                state: state.as_deref(),
                chain: &chain,
            };
            PresenceRecord::build(&claim, |hash| {
                std::array::from_fn(|i| hash.as_bytes()[i % 32])
            })
            .expect("within limits")
        },
    )
}

fn presence() -> impl Strategy<Value = PresenceMessage> {
    let senders =
        || collection::vec(any_sender(), 0..6).prop_map(|all| distinct(all, |sender| *sender));
    let places =
        (any::<u64>(), collection::btree_set(any::<u64>(), 0..5)).prop_map(|(version, tags)| {
            Places {
                version,
                from: tags.first().map_or(0, |first| first / 2),
                upto: tags.last().map_or(7, |last| last.saturating_add(9)),
                tags: tags.into_iter().collect(),
            }
        });
    let beat = (
        any_sender(),
        any::<u64>(),
        duration(),
        places,
        any::<[u8; 32]>(),
    );
    let beat = beat.prop_map(|(sender, at, period, places, half)| Beat {
        sender,
        at: WallTime::from_unix_millis(at),
        period,
        places,
        signature: std::array::from_fn(|i| half[i % 32]),
    });
    let hash = (channel_name(), any::<[u8; 16]>());
    let entry = (any_sender(), any::<u64>());
    let roll = (channel_name(), collection::vec(entry, 0..6));
    prop_oneof![
        any::<[u8; 16]>().prop_map(PresenceMessage::Links),
        collection::vec(record(), 0..4).prop_map(|all| PresenceMessage::Records(distinct(
            all,
            |it| (it.channel.clone(), it.sender)
        ))),
        collection::vec((duration(), beat), 0..4)
            .prop_map(|all| PresenceMessage::Beats(distinct(all, |(_, it)| it.sender))),
        collection::vec(hash, 0..6)
            .prop_map(|all| PresenceMessage::Hashes(distinct(all, |(name, _)| name.clone()))),
        roll.prop_map(|(name, all)| PresenceMessage::Roll(
            name,
            distinct(all, |(sender, _)| *sender)
        )),
        (channel_name(), senders()).prop_map(|(name, all)| PresenceMessage::Fetch(name, all)),
        senders().prop_map(PresenceMessage::Follow),
        senders().prop_map(PresenceMessage::Unfollow),
    ]
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
    let payload = || collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let format = || prop_oneof![Just(Format::Value), Just(Format::Raw)];
    let question = (
        any::<u64>(),
        channel_name(),
        duration(),
        format(),
        payload(),
    );
    let question = question.prop_map(|(number, channel, within, format, payload)| {
        AskMessage::Question(Question {
            number,
            channel,
            within,
            format,
            payload,
        })
    });
    let reply = prop_oneof![
        (format(), payload()).prop_map(|(format, payload)| Reply::Answer(format, payload)),
        prop_oneof![
            Just(Declined::NoHandler),
            Just(Declined::Busy),
            Just(Declined::Failed),
            Just(Declined::NotOpen),
        ]
        .prop_map(Reply::Declined),
    ]
    .boxed();
    let ask = prop_oneof![
        question,
        (any::<u64>(), reply.clone())
            .prop_map(|(question, reply)| AskMessage::Reply { question, reply }),
        any::<u64>().prop_map(AskMessage::Withdrawn),
        relayed(),
        ((any_sender(), any::<u64>()), any_sender(), reply).prop_map(|(of, by, reply)| {
            let finding =
                Finding::build(of, (by, b"chain"), &reply, |hash| [hash.as_bytes()[0]; 64]);
            AskMessage::Finding(finding.expect("within limits"))
        }),
        (any_sender(), any::<u64>(), any::<bool>()).prop_map(|(asker, question, whole)| {
            AskMessage::Echo {
                asker,
                question,
                whole,
            }
        }),
        (any_sender(), any::<u64>())
            .prop_map(|(asker, question)| AskMessage::Recall { asker, question }),
        any::<[u8; 16]>().prop_map(AskMessage::Links),
    ];
    prop_oneof![
        ask.prop_map(SyncMessage::Ask),
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
        presence().prop_map(SyncMessage::Presence),
        Just(SyncMessage::Leaving),
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
        kind in 0..13_u8,
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
    fn a_message_cut_or_extended_is_refused(
        message in message(),
        byte in any::<u8>(),
        at in any::<prop::sample::Index>(),
    ) {
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
    let sender = |key: u8| Sender::new([key; 32]);
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
        SyncMessage::Presence(PresenceMessage::Follow([1, 2, 1].map(sender).into())),
        SyncMessage::Presence(PresenceMessage::Roll(
            name("a"),
            [1, 2, 1].map(|key| (sender(key), 1)).into(),
        )),
        SyncMessage::Presence(PresenceMessage::Hashes(
            ["a", "b", "a"]
                .map(|channel| (name(channel), [1; 16]))
                .into(),
        )),
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

/// A node that opened a moment ago would otherwise ask for less than since then.
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
