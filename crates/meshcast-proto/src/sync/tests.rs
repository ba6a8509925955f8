use proptest::{collection, prelude::*};
use serde::Serialize;

use super::*;

fn member() -> impl Strategy<Value = MemberAddresses> {
    let address = collection::vec(any::<u8>(), 0..300);
    (any::<[u8; 32]>(), collection::vec(address, 0..4)).prop_map(|(key, addresses)| MemberAddresses {
        sender: Sender::new(key),
        addresses,
    })
}

fn message() -> impl Strategy<Value = SyncMessage> {
    prop_oneof![
        collection::vec(member(), 0..20).prop_map(SyncMessage::Members),
        any::<u64>().prop_map(SyncMessage::Ping),
        any::<u64>().prop_map(SyncMessage::Pong),
    ]
}

proptest! {
    #[test]
    fn every_message_comes_back(message in message()) {
        prop_assert_eq!(SyncMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn arbitrary_bytes_are_read_without_panic_and_have_one_form(bytes in collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = SyncMessage::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }

    #[test]
    fn a_message_cut_or_extended_is_refused(message in message(), byte in any::<u8>(), at in any::<prop::sample::Index>()) {
        let mut bytes = message.encode();
        prop_assert!(SyncMessage::decode(&bytes[..at.index(bytes.len())]).is_err());
        bytes.push(byte);
        prop_assert_eq!(SyncMessage::decode(&bytes), Err(CodecError::Trailing(1)));
    }
}

/// A count is checked against the limit of the codec before anything is allocated for it, so the most that one
/// can cost is that limit.
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
        for bytes in [members, addresses, address] {
            let refused = SyncMessage::decode(&bytes);
            assert!(matches!(refused, Err(CodecError::Malformed(_))), "{refused:?}");
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
        match SyncMessage::decode(&message.encode()) {
            Ok(SyncMessage::Members(members)) => members,
            other => panic!("{other:?}"),
        }
    };
    let (members, addresses) = (SyncMessage::MAX_MEMBERS, SyncMessage::MAX_ADDRESSES);
    assert_eq!(sent(vec![member(1); members + 1]).len(), members);
    assert_eq!(sent(vec![member(addresses + 1)]), [member(addresses)]);

    let refused = |members, addresses| {
        let body = |_| MemberBody {
            sender: [7; 32],
            addresses: vec![&[1]; addresses],
        };
        let body = SyncBody::Members((0..members).map(body).collect());
        SyncMessage::decode(&codec::encode(&body)).expect_err("too many")
    };
    let too_many = |limit| CodecError::TooMany {
        found: limit + 1,
        limit,
    };
    assert_eq!(refused(members + 1, 0), too_many(members));
    assert_eq!(refused(1, addresses + 1), too_many(addresses));
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
    ];
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let vectors = messages.map(|(name, message)| {
        let bytes = message.encode();
        assert_eq!(SyncMessage::decode(&bytes), Ok(message), "{name}");
        Vector {
            name: name.into(),
            hex: hex(bytes),
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

const FILE: &str = include_str!("../../testdata/wire/sync.json");
