use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    Authority, Chain, Credential, Format, Identity, Keypair, MAX_FRAGMENT_LEN, MeshId, NodeName,
    Part, Region, Trust, Verifier, write_record,
};

mod refused;
mod vectors;

#[test]
fn a_frame_written_by_hand_is_the_frame_that_is_built() {
    let frame = small_frame();
    assert_eq!(ByHand::like(&frame).signed(), *frame.bytes());
    let decoded = Frame::decode(frame.bytes().clone()).expect("valid");
    assert_eq!(
        verifier()
            .verify(&decoded, NOW)
            .map(|member| member.sender()),
        Ok(identity().sender())
    );
}

#[test]
fn records_are_slices_of_the_frame() {
    let frame = small_frame();
    let (_, record) = frame.records().next().expect("one record");
    assert!(
        frame
            .bytes()
            .as_ptr_range()
            .contains(&record.payload.as_ptr())
    );
}

proptest! {
    #[test]
    fn what_is_built_comes_back_field_by_field(
        name in any::<String>().prop_filter_map(
            "over the limit",
            |name| ChannelName::new(&name).ok(),
        ),
        first in 1..u64::MAX - 8,
        posted_at in any::<u64>(),
        since_first in any::<u64>(),
        records in records(),
    ) {
        let first = Seq::new(first).expect("not 0");
        let posted_at = WallTime::from_unix_millis(posted_at);
        let since_first = Duration::from_millis(since_first);
        let section = section(&records);
        let built = Frame::build(
            &identity(),
            &name,
            first,
            posted_at,
            since_first,
            &section,
        ).expect("fits");
        let frame = Frame::decode(built.bytes().clone()).expect("just built");
        prop_assert_eq!(frame.sender(), identity().sender());
        prop_assert_eq!(frame.channel(), &name);
        prop_assert_eq!(frame.posted_at(), posted_at);
        prop_assert_eq!(frame.since_first(), since_first);
        prop_assert!(frame.chain() == identity().chain().as_bytes());
        prop_assert_eq!(frame.seqs().first(), first);
        prop_assert_eq!(frame.seqs().len(), records.len() as u64);
        let (seqs, back): (Vec<_>, Vec<_>) = frame.records().unzip();
        prop_assert_eq!(back, records);
        prop_assert!(seqs.iter().enumerate().all(|(i, seq)| seq.get() == first.get() + i as u64));
    }

    #[test]
    fn arbitrary_bytes_are_read_without_panic(
        version in prop_oneof![Just(VERSION), any::<u8>()],
        rest in prop::collection::vec(any::<u8>(), 0..2048),
    ) {
        let bytes: Vec<u8> = std::iter::once(version).chain(rest).collect();
        read_all(&bytes);
        read_all(&bytes[1..]);
    }

    #[test]
    fn arbitrary_fields_under_a_good_signature_are_read_without_panic(
        frame in (
            prop_oneof![any::<String>().prop_map(String::into_bytes), prop::collection::vec(
                any::<u8>(),
                0..300,
            )],
            prop_oneof![any::<u64>(), u64::MAX - 3..=u64::MAX],
            prop_oneof![any::<u32>(), 0..4_u32],
            any::<[u64; 2]>(),
            prop_oneof![
                prop::collection::vec(record(), 0..4).prop_map(|records| section(&records)),
                prop::collection::vec(any::<u8>(), 0..64),
            ],
            prop_oneof![Just(
                identity().chain().as_bytes().to_vec()
            ), prop::collection::vec(any::<u8>(), 0..64)],
        ).prop_map(|(channel, first_seq, count, [posted_at, since_first], records, chain)| ByHand {
            channel, first_seq, count: u64::from(count), posted_at, since_first, records, chain,
            ..ByHand::like(&small_frame())
        })
    ) {
        read_all(&frame.signed());
    }

    #[test]
    fn a_frame_with_a_piece_of_rubbish_in_it_is_refused(
        at in any::<prop::sample::Index>(),
        removed in 0..40_usize,
        rubbish in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let good = small_frame().bytes().to_vec();
        let at = at.index(good.len());
        let mut bytes = good.clone();
        bytes.splice(at..good.len().min(at + removed), rubbish);
        read_all(&bytes);
        prop_assert!(bytes == good || refused(&bytes));
    }

    #[test]
    fn a_frame_has_one_encoding(widths in prop::array::uniform7(any_width())) {
        let good = small_frame();
        let other = ByHand { widths, ..ByHand::like(&good) }.signed();
        if other != *good.bytes() {
            // `count` is a u32: a form of eight bytes is not even a number there.
            let too_wide = widths[2] == Width::Eight;
            let decoded = Frame::decode(other.into());
            prop_assert!(
                matches!(&decoded, Err(FrameError::Unreadable(CodecError::NotCanonical)))
                    || too_wide && matches!(
                        &decoded,
                        Err(FrameError::Unreadable(CodecError::Malformed(_))),
                    ),
                "{:?}", decoded
            );
        }
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let good = small_frame();
    // One verifier that has never seen the frame, and one that has it in its memory.
    let mut warm = verifier();
    warm.verify(&good, NOW).expect("valid");
    for at in 0..good.bytes().len() {
        let flips = (0..8).map(|bit| 1 << bit).chain([0xff, good.bytes()[at]]);
        for flip in flips.filter(|flip| *flip != 0) {
            let mut bytes = good.bytes().to_vec();
            bytes[at] ^= flip;
            assert!(refused(&bytes), "byte {at} ^ {flip:#04x}");
            if let Ok(frame) = Frame::decode(bytes.into()) {
                assert!(
                    warm.verify(&frame, NOW).is_err(),
                    "byte {at} ^ {flip:#04x}, warm"
                );
            }
        }
    }
}

#[test]
fn a_frame_cut_or_extended_anywhere_is_refused() {
    let good = small_frame().bytes().to_vec();
    for len in 0..good.len() {
        assert!(refused(&good[..len]), "first {len} bytes");
        assert!(refused(&good[good.len() - len..]), "last {len} bytes");
    }
    for at in 0..=good.len() {
        for byte in [0, 1, 0x7f, 0xfb, 0xff] {
            let mut longer = good.clone();
            longer.insert(at, byte);
            assert!(refused(&longer), "{byte:#04x} at {at}");
        }
    }
    for more in [64, 1000] {
        assert!(refused(&[good.clone(), vec![0; more]].concat()));
    }
    assert!(refused(&good.repeat(2)));
}

#[test]
fn the_id_of_bytes_is_the_id_of_the_frame_and_any_bytes_have_one() {
    let frame = small_frame();
    assert_eq!(
        FrameId::of(frame.bytes()),
        FrameId::from_hash(&frame.hash())
    );
    for len in 0..130 {
        FrameId::of(&vec![1; len]);
    }
    let later = Frame::build(
        &identity(),
        &channel("c"),
        Seq::FIRST.next(),
        NOW,
        Duration::ZERO,
        &section(&[raw(b"hi")]),
    );
    let later = later.expect("fits");
    assert_ne!(
        FrameId::of(later.bytes()),
        FrameId::of(frame.bytes()),
        "equal posts"
    );
}

/// The protocol takes time, chance and transport as arguments. clippy.toml bans the calls, this the
/// crates.
#[test]
fn the_crate_depends_on_no_runtime_network_or_random_source() {
    let manifest = include_str!("../../../Cargo.toml");
    let dependencies: Vec<&str> = manifest
        .lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect();
    assert!(dependencies.contains(&"blake3"), "{dependencies:?}");
    assert!(
        !manifest.contains("[dependencies.") && !manifest.contains("[target"),
        "dependencies in a table that this test does not read"
    );
    let banned = [
        "async-",
        "futures",
        "getrandom",
        "libp2p",
        "mio",
        "rand",
        "smol",
        "socket2",
        "tokio",
    ];
    for name in dependencies {
        assert!(
            !banned.iter().any(|banned| name.starts_with(banned)),
            "{name}"
        );
    }
}

/// A frame put together without the codec, so that every field can be wrong. Correctly signed.
#[derive(Debug, Clone)]
struct ByHand {
    version: u8,
    sender: [u8; 32],
    channel: Vec<u8>,
    first_seq: u64,
    count: u64,
    posted_at: u64,
    since_first: u64,
    records: Vec<u8>,
    chain: Vec<u8>,
    /// Of the seven numbers in their order.
    widths: [Width; 7],
    /// What they say instead of the truth.
    claims: [Option<u64>; 7],
    trailing: Vec<u8>,
}

impl ByHand {
    fn like(frame: &Frame) -> Self {
        Self {
            version: VERSION,
            sender: *frame.sender().key(),
            channel: frame.channel().wire().as_bytes().to_vec(),
            first_seq: frame.seqs().first().get(),
            count: frame.seqs().len(),
            posted_at: frame.posted_at().unix_millis(),
            since_first: frame.since_first().as_millis() as u64,
            records: frame.bytes()[frame.0.fields.records.clone()].to_vec(),
            chain: frame.chain().to_vec(),
            widths: [Width::Least; 7],
            claims: [None; 7],
            trailing: Vec::new(),
        }
    }

    fn signed(&self) -> Vec<u8> {
        let mut out = vec![self.version];
        let number = |out: &mut Vec<u8>, field: usize, n: u64| {
            varint(out, self.claims[field].unwrap_or(n), self.widths[field]);
        };
        out.extend(self.sender);
        number(&mut out, 0, self.channel.len() as u64);
        out.extend(&self.channel);
        number(&mut out, 1, self.first_seq);
        number(&mut out, 2, self.count);
        number(&mut out, 3, self.posted_at);
        number(&mut out, 4, self.since_first);
        number(&mut out, 5, self.records.len() as u64);
        out.extend(&self.records);
        number(&mut out, 6, self.chain.len() as u64);
        out.extend(&self.chain);
        out.extend(&self.trailing);
        let signature = identity().boot().sign(&hash(&out));
        out.extend(signature);
        out
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Least,
    Two,
    Four,
    Eight,
}

fn any_width() -> impl Strategy<Value = Width> {
    prop_oneof![
        3 => Just(Width::Least),
        1 => Just(Width::Two),
        1 => Just(Width::Four),
        1 => Just(Width::Eight),
    ]
}

/// A number up to 250 is a byte; else 251, 252 or 253 announces two, four or eight bytes, little
/// end first. Never narrower than the number needs.
fn varint(out: &mut Vec<u8>, n: u64, width: Width) {
    let needed = match n {
        0..=250 => 0,
        251..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    let wanted = match width {
        Width::Least => 0,
        Width::Two => 2,
        Width::Four => 4,
        Width::Eight => 8,
    };
    let bytes = n.to_le_bytes();
    match needed.max(wanted) {
        0 => out.push(bytes[0]),
        2 => out.extend([&[251], &bytes[..2]].concat()),
        4 => out.extend([&[252], &bytes[..4]].concat()),
        _ => out.extend([&[253], &bytes[..]].concat()),
    }
}

/// Whether a verifier that knows nothing yet refuses these bytes at one of its two doors.
fn refused(bytes: &[u8]) -> bool {
    match Frame::decode(Bytes::copy_from_slice(bytes)) {
        Ok(frame) => verifier().verify(&frame, NOW).is_err(),
        Err(_) => true,
    }
}

/// Reads everything that can be read from bytes.
fn read_all(bytes: &[u8]) {
    let _ = trust().verify(bytes);
    FrameId::of(bytes);
    if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(bytes)) {
        assert_eq!(frame.records().count() as u64, frame.seqs().len());
        assert_eq!(FrameId::of(bytes), FrameId::from_hash(&frame.hash()));
        let _ = (format!("{frame:?}"), verifier().verify(&frame, NOW));
    }
}

fn record() -> impl Strategy<Value = Record> {
    let format = prop_oneof![Just(Format::Value), Just(Format::Raw)];
    let part = prop_oneof![
        Just(Part::Whole),
        Just(Part::First),
        Just(Part::Middle),
        Just(Part::Last)
    ];
    let payload = prop::collection::vec(any::<u8>(), 0..600).prop_map(Bytes::from);
    (format, part, payload).prop_map(|(format, part, payload)| Record {
        format,
        part,
        payload,
    })
}

/// Records that may stand together: one that goes on fills the frame.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let goes_on = prop_oneof![Just(Part::First), Just(Part::Middle)];
    prop_oneof![
        4 => prop::collection::vec(record(), 1..8).prop_map(|mut records| {
            for record in &mut records {
                record.part = match record.part {
                    Part::First | Part::Whole => Part::Whole,
                    Part::Middle | Part::Last => Part::Last,
                };
            }
            records
        }),
        1 => (record(), goes_on, any::<u8>()).prop_map(|(record, part, byte)| {
            let payload = vec![byte; MAX_FRAGMENT_LEN].into();
            vec![Record { part, payload, ..record }]
        }),
    ]
}

fn raw(payload: &'static [u8]) -> Record {
    Record {
        format: Format::Raw,
        part: Part::Whole,
        payload: Bytes::from_static(payload),
    }
}

fn section(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        write_record(&mut out, record.format, record.part, &record.payload);
    }
    out
}

fn small_frame() -> Frame {
    Frame::build(
        &identity(),
        &channel("c"),
        Seq::FIRST,
        NOW,
        Duration::ZERO,
        &section(&[raw(b"hi")]),
    )
    .expect("fits")
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect("valid")
}

fn identity() -> Identity {
    let (member, boot) = (Keypair::from_seed([2; 32]), Keypair::from_seed([3; 32]));
    let credential = authority().issue(&Credential {
        subject: member.public(),
        name: NodeName::new("n").expect("valid"),
        region: Region::new("r").expect("valid"),
        not_before: WallTime::MIN,
        not_after: WallTime::MAX,
        serial: 1,
    });
    Identity::new(&credential, &member, boot, NOW).expect("its own credential")
}

fn authority() -> Authority {
    Authority::new(MESH, Keypair::from_seed([1; 32]))
}

fn trust() -> Trust {
    Trust::new(MESH, vec![authority().public()])
}

fn verifier() -> Verifier {
    Verifier::new(trust(), Duration::ZERO)
}

const MESH: MeshId = MeshId::new([9; 16]);
const NOW: WallTime = WallTime::from_unix_millis(1_700_000_000_000);
