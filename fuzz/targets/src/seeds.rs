//! The seeds of a fuzzer: the golden vectors, and what else is well formed.

use std::time::Duration;

use meshcast_proto::{Admission, Draft, Format, Frame, Part, Seq, WallTime};
use serde_json::Value as Json;

use crate::members::{channel, peer, trust};

const FRAMES: &str = include_str!("../../../crates/meshcast-proto/testdata/wire/frames.json");
const SYNC: &str = include_str!("../../../crates/meshcast-proto/testdata/wire/sync.json");
const VALUES: &str = include_str!("../../../crates/meshcast-value/testdata/vectors.json");

pub(crate) fn frames() -> Vec<Vec<u8>> {
    let mut seeds = hex_in(FRAMES, "frames");
    seeds.extend(hex_in(FRAMES, "refused"));
    // By members that the targets believe.
    let name = channel(0);
    for records in [1, 3] {
        let mut draft = Draft::new(&name);
        for _ in 0..records {
            draft.push(Format::Value, Part::Whole, &[0x05, 2]);
        }
        let wall = WallTime::from_unix_millis(1 << 40);
        let frame = Frame::build(
            &peer(1).identity,
            &name,
            Seq::FIRST,
            wall,
            Duration::ZERO,
            draft,
        );
        seeds.push(frame.expect("fits").bytes().to_vec());
    }
    short(seeds)
}

pub(crate) fn chains() -> Vec<Vec<u8>> {
    let mut seeds = hex_in(FRAMES, "chains");
    seeds.push(peer(1).identity.chain().as_bytes().to_vec());
    seeds
}

pub(crate) fn admissions() -> Vec<Vec<u8>> {
    let admission = Admission::new(peer(1).identity.clone(), trust());
    let mut seeds = vec![
        admission.hello(peer(0).sender()),
        admission.accept(),
        admission.refusal(meshcast_proto::Reason::OtherMesh),
        admission.with_version(9).hello(peer(0).sender()),
    ];
    // Without the length, as they are read.
    for seed in &mut seeds {
        seed.drain(..Admission::PREFIX_LEN);
    }
    seeds
}

pub(crate) fn sync_messages() -> Vec<Vec<u8>> {
    short(all_hex(&parsed(SYNC)))
}

pub(crate) fn values() -> Vec<Vec<u8>> {
    let mut seeds = short(all_hex(&parsed(VALUES)));
    // Arrays that name each other, and entries that are large in memory.
    seeds.push(vec![
        0x11, 0x11, 0x02, 0x02, 0x00, 0x11, 0x0d, 1, 0x0d, 1, 0x00, 0x11, 0x0d, 2, 0x0d, 2, 0x00,
        0x00,
    ]);
    seeds.push([&[0x11][..], &[0x10, 0x09, 0, 0x02, 0x00].repeat(8), &[0x00]].concat());
    seeds
}

pub(crate) fn jsons() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        r#"{"a":[1,-2,1.5,"x",null,true,{}],"b":{"c":[]}}"#,
        r#"{"id":123456789012345678901234567890,"n":[-18446744073709551616,9007199254740993,1e400,-0]}"#,
        r#""\u00e4\ud83d\ude00\n\"\\""#,
        r#"{"a":1,"b":2,"a":3}"#,
        "[[[[[[[[]]]]]]]]",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    if let Json::Array(vectors) = parsed(VALUES) {
        seeds.extend(
            vectors
                .iter()
                .map(|vector| vector["json"].to_string().into_bytes()),
        );
    }
    short(seeds)
}

/// Scripts of the engine: a few of each step, in the order of their numbers and another.
pub(crate) fn engine_scripts() -> Vec<Vec<u8>> {
    let step = |kind: u8, fill: u8| {
        let choices: Vec<u8> = (0..12)
            .map(|i: u8| fill.wrapping_mul(i.wrapping_add(1)))
            .collect();
        [vec![kind, 12], choices].concat()
    };
    let scripts = |stride: u8, fill: u8| {
        (0..40)
            .flat_map(|i: u8| step(i.wrapping_mul(stride), fill))
            .collect()
    };
    [
        (1, 0),
        (1, 7),
        (3, 31),
        (7, 101),
        (9, 17),
        (11, 250),
        (13, 64),
    ]
    .into_iter()
    .map(|(stride, fill)| scripts(stride, fill))
    .collect()
}

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).expect("the file is read by the tests of the protocol")
}

fn hex_in(text: &str, list: &str) -> Vec<Vec<u8>> {
    all_hex(&parsed(text)[list])
}

/// The bytes of each entry of a list.
fn all_hex(list: &Json) -> Vec<Vec<u8>> {
    let entries = list.as_array().map_or(&[][..], Vec::as_slice);
    let hex = entries.iter().filter_map(|entry| entry["hex"].as_str());
    hex.map(bytes).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    let pair = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().filter_map(pair).collect()
}

/// Without those that take a fuzzer long and show it nothing.
fn short(mut seeds: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    seeds.retain(|seed| seed.len() <= 4096);
    seeds
}
