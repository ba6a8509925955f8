//! The bytes of `testdata/wire/sync.json`.

use serde::Serialize;

use super::*;

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
    let presence = SyncMessage::Presence;
    let record = |version, watching, left, state: Option<&[u8]>| {
        let claim = Claim {
            sender: Sender::new([1; 32]),
            channel: &name("earth"),
            version,
            since: WallTime::from_unix_millis(1_767_225_600_000),
            watching,
            left,
            state,
            chain: b"chain",
        };
        PresenceRecord::build(&claim, |_| [2; 64]).expect("within limits")
    };
    let inquiry = |only: Option<u8>| {
        let query = Query {
            asker: Sender::new([1; 32]),
            number: 300,
            channel: &name("earth"),
            asked_at: WallTime::from_unix_millis(1_767_225_600_000),
            within: Duration::from_millis(1_501),
            only: only.map(|key| Sender::new([key; 32])),
            format: Format::Raw,
            payload: b"up?",
            chain: b"chain",
        };
        Inquiry::build(&query, |_| [2; 64]).expect("within limits")
    };
    let relayed = |hops, left, only| {
        SyncMessage::Ask(AskMessage::Relay(Relayed {
            hops,
            left: Duration::from_millis(left),
            inquiry: inquiry(only),
        }))
    };
    let finding = |reply| {
        let (of, by) = (
            (Sender::new([1; 32]), 300),
            (Sender::new([3; 32]), &b"chain"[..]),
        );
        let finding = Finding::build(of, by, &reply, |_| [2; 64]);
        SyncMessage::Ask(AskMessage::Finding(finding.expect("within limits")))
    };
    let (asker, question) = (Sender::new([1; 32]), 300);
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
            "two senders on two channels, one of them to begin at 40, one without anything kept \
             and from 6 on",
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
        (
            "a question of three bytes",
            SyncMessage::Ask(AskMessage::Question(Question {
                number: 300,
                channel: name("earth"),
                within: Duration::from_millis(1_501),
                format: Format::Raw,
                payload: Bytes::from_static(b"up?"),
            })),
        ),
        (
            "an answer",
            SyncMessage::Ask(AskMessage::Reply {
                question: 300,
                reply: Reply::Answer(Format::Value, Bytes::from_static(&[2])),
            }),
        ),
        (
            "nobody answers here",
            SyncMessage::Ask(AskMessage::Reply {
                question: 1,
                reply: Reply::Declined(Declined::NoHandler),
            }),
        ),
        (
            "too busy",
            SyncMessage::Ask(AskMessage::Reply {
                question: 2,
                reply: Reply::Declined(Declined::Busy),
            }),
        ),
        (
            "failed",
            SyncMessage::Ask(AskMessage::Reply {
                question: 3,
                reply: Reply::Declined(Declined::Failed),
            }),
        ),
        (
            "a question withdrawn",
            SyncMessage::Ask(AskMessage::Withdrawn(4)),
        ),
        (
            "the channel is not open here",
            SyncMessage::Ask(AskMessage::Reply {
                question: 4,
                reply: Reply::Declined(Declined::NotOpen),
            }),
        ),
        (
            "a question of three bytes by its asker, to be handed on",
            relayed(1, 1_501, None),
        ),
        (
            "the same to one alone, by the third who hands it on",
            relayed(4, 251, Some(3)),
        ),
        (
            "an answer over members",
            finding(Reply::Answer(Format::Value, Bytes::from_static(&[2]))),
        ),
        (
            "too busy, over members",
            finding(Reply::Declined(Declined::Busy)),
        ),
        (
            "nothing more comes of a question, and nothing was kept back",
            SyncMessage::Ask(AskMessage::Echo {
                asker,
                question,
                whole: true,
            }),
        ),
        (
            "a question over members withdrawn",
            SyncMessage::Ask(AskMessage::Recall { asker, question }),
        ),
        (
            "a hash of the speaker and its peers, for questions",
            SyncMessage::Ask(AskMessage::Links([3; 16])),
        ),
        (
            "one present on a channel, with a state of three bytes, that watches who else is",
            presence(PresenceMessage::Records(vec![record(
                7,
                true,
                false,
                Some(b"abc"),
            )])),
        ),
        (
            "one that left a channel",
            presence(PresenceMessage::Records(vec![record(
                300, false, true, None,
            )])),
        ),
        (
            "a sign of life from 251 ms ago, the next within 2 s, of one on two channels",
            presence(PresenceMessage::Beats(vec![(
                Duration::from_millis(251),
                Beat {
                    sender: Sender::new([1; 32]),
                    at: WallTime::from_unix_millis(1_767_225_600_000),
                    period: Duration::from_secs(2),
                    places: Places {
                        version: 300,
                        from: 1,
                        upto: u64::MAX,
                        tags: vec![7, 300],
                    },
                    signature: [2; 64],
                },
            )])),
        ),
        (
            "a hash of the speaker and its peers",
            presence(PresenceMessage::Links([3; 16])),
        ),
        (
            "a hash of who is present on a channel",
            presence(PresenceMessage::Hashes(vec![(name("earth"), [4; 16])])),
        ),
        (
            "which records are there of a channel",
            presence(PresenceMessage::Roll(
                name("earth"),
                vec![(Sender::new([1; 32]), 7), (Sender::new([2; 32]), 300)],
            )),
        ),
        (
            "a record wanted",
            presence(PresenceMessage::Fetch(
                name("earth"),
                vec![Sender::new([1; 32])],
            )),
        ),
        (
            "the beats of one wanted from now on",
            presence(PresenceMessage::Follow(vec![Sender::new([1; 32])])),
        ),
        (
            "the beats of one wanted no more",
            presence(PresenceMessage::Unfollow(vec![Sender::new([1; 32])])),
        ),
        ("about to stop", SyncMessage::Leaving),
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
    let text = serde_json::to_string_pretty(&vectors[..]).expect("plain data") + "\n";
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

const FILE: &str = include_str!("../../../../testdata/wire/sync.json");
