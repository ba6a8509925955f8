//! The memory that a received value may take, counted by the allocator. A binary of its own, with
//! one test at a time, since the counter sees all threads.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, LinkedList},
    fmt::Debug,
    sync::{Mutex, MutexGuard, PoisonError},
};

use meshcast_value::{
    DEFAULT_MAX_MEMORY, DecodeError, DecodeLimits, JsonError, Value, from_bytes, from_bytes_within,
    to_bytes,
};
use peak_alloc::PeakAlloc;
use proptest::{prelude::*, test_runner::TestRunner};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value as Json;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A list that grows is for a moment there twice, and an allocator that cannot grow in place is
/// what is counted.
const GROWING: usize = 2;

/// The counter sees what all threads take, so each test holds this from its beginning to its end.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The peak memory of `make`, and what it made.
fn peak<T>(make: impl FnOnce() -> T) -> (usize, T) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let made = make();
    (ALLOCATOR.peak_usage().saturating_sub(before), made)
}

const OVER: DecodeError = DecodeError::OverBudget {
    limit: DEFAULT_MAX_MEMORY,
};

fn refused_within_the_budget<T: DeserializeOwned + Debug>(bytes: &[u8]) {
    let (peak, read) = peak(|| from_bytes::<T>(bytes).map(drop));
    assert_eq!(read, Err(OVER), "{} bytes", bytes.len());
    assert!(
        peak <= GROWING * DEFAULT_MAX_MEMORY,
        "{} bytes took {peak}",
        bytes.len()
    );
}

mod tag {
    pub(super) const END: u8 = 0x00;
    pub(super) const NULL: u8 = 0x02;
    pub(super) const STR: u8 = 0x09;
    pub(super) const HOLES: u8 = 0x0b;
    pub(super) const REF: u8 = 0x0d;
    pub(super) const OBJECT: u8 = 0x10;
    pub(super) const ARRAY: u8 = 0x11;
    pub(super) const MAP: u8 = 0x12;
    pub(super) const BYTES: u8 = 0x14;
}

/// Arrays of `width` elements, each of which is the array before.
fn doubling(levels: u8, width: usize) -> Vec<u8> {
    let mut bytes = vec![tag::ARRAY];
    for level in 0..levels {
        bytes.push(tag::ARRAY);
        let element: &[u8] = if level == 0 {
            &[tag::NULL]
        } else {
            &[tag::REF, level]
        };
        bytes.extend(element.repeat(width));
        bytes.push(tag::END);
    }
    bytes.push(tag::END);
    bytes
}

#[test]
fn two_hundred_and_fifty_six_bytes_of_references_do_not_become_a_gigabyte() {
    let _alone = alone();
    let bytes = doubling(11, 10);
    assert!(bytes.len() <= 256);
    refused_within_the_budget::<Json>(&bytes);
    let (peak, value) = peak(|| Value::decode(&bytes, &DecodeLimits::default()));
    let value = value.expect("linear as a value");
    assert!(peak < 64 * 1024, "{peak}");
    assert!(value.deserialize::<Json>().is_err());
}

#[test]
fn strings_that_are_read_again_and_again_count_again_and_again() {
    let _alone = alone();
    let strings = [
        vec![tag::ARRAY],
        [tag::STR, 0].repeat(8_000),
        vec![tag::END],
    ]
    .concat();
    let bytes = [
        vec![tag::ARRAY],
        strings,
        [tag::REF, 1].repeat(8_000),
        vec![tag::END],
    ]
    .concat();
    refused_within_the_budget::<Vec<Vec<String>>>(&bytes);
    refused_within_the_budget::<LinkedList<LinkedList<Box<str>>>>(&bytes);
    refused_within_the_budget::<Vec<BTreeSet<String>>>(&bytes);
}

#[test]
fn small_maps_count_with_the_nodes_they_take() {
    let _alone = alone();
    let bytes = [
        vec![tag::ARRAY],
        [tag::OBJECT, tag::STR, 0, tag::NULL, tag::END].repeat(200_000),
        vec![tag::END],
    ]
    .concat();
    refused_within_the_budget::<Json>(&bytes);
    refused_within_the_budget::<Vec<BTreeMap<String, ()>>>(&bytes);
}

#[test]
fn a_box_counts_with_what_is_inside() {
    let _alone = alone();
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    #[allow(dead_code, reason = "only their size counts")]
    struct Large {
        next: Option<Box<Self>>,
        more: Vec<Self>,
        content: [[u64; 32]; 32],
    }
    let bytes = [
        vec![tag::ARRAY],
        [tag::OBJECT, tag::END].repeat(30_000),
        vec![tag::END],
    ]
    .concat();
    refused_within_the_budget::<Vec<Box<Large>>>(&bytes);
    refused_within_the_budget::<Vec<Option<Box<Large>>>>(&bytes);
}

#[test]
fn holes_count_as_the_elements_they_become() {
    let _alone = alone();
    let bytes = [tag::ARRAY, tag::HOLES, 0xff, 0xff, 0xff, 0x7f, tag::END];
    refused_within_the_budget::<Vec<Option<[u64; 4]>>>(&bytes);
    refused_within_the_budget::<Vec<()>>(&bytes);
}

#[test]
fn shared_bytes_count_for_each_that_reads_them() {
    let _alone = alone();
    let bytes = [
        vec![tag::ARRAY, tag::BYTES, 0x80, 0x80, 0x04],
        vec![7; 64 * 1024],
        [tag::REF, 1].repeat(2_000),
        vec![tag::END],
    ]
    .concat();
    refused_within_the_budget::<Vec<Vec<u8>>>(&bytes);
    refused_within_the_budget::<Vec<Vec<f64>>>(&bytes);
}

#[test]
fn the_largest_messages_are_read_as_what_they_are() {
    let _alone = alone();
    let large = 32 << 20;
    let bytes = encoded(&Value::from(vec![1u8; large]));
    assert_eq!(
        from_bytes::<Vec<u8>>(&bytes).map(|read| read.len()),
        Ok(large)
    );
    let mut bytes = Vec::new();
    to_bytes(&"x".repeat(large), &mut bytes).expect("plain");
    assert_eq!(
        from_bytes::<String>(&bytes).map(|read| read.len()),
        Ok(large)
    );
    // The default of what a node takes.
    let mut bytes = Vec::new();
    to_bytes(&vec![Some(1u64); 500_000], &mut bytes).expect("plain");
    assert_eq!(
        from_bytes::<Vec<Option<u64>>>(&bytes).map(|read| read.len()),
        Ok(500_000)
    );
}

#[test]
fn a_value_of_many_small_objects_is_refused_as_json_and_says_so() {
    let _alone = alone();
    let bytes = [
        vec![tag::ARRAY],
        [tag::MAP, tag::END].repeat(90_000),
        vec![tag::END],
    ]
    .concat();
    let (_, value) = peak(|| Value::decode(&bytes, &DecodeLimits::default()));
    let value = value.expect("within the budget of a value");
    let (peak_of_json, json) = peak(|| value.to_json());
    assert_eq!(json, serde_json::json!({ "$large": true }));
    assert!(
        peak_of_json <= GROWING * DEFAULT_MAX_MEMORY,
        "{peak_of_json}"
    );
    assert_eq!(
        value.to_json_within(1_000_000),
        Err(JsonError::OverBudget { limit: 1_000_000 })
    );
    let (peak_of_text, text) = peak(|| format!("{value:?}"));
    assert!(text.len() > 90_000 && text.starts_with(r#"[{"$map":[]},"#));
    assert!(peak_of_text < 16 << 20, "{peak_of_text}");
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes).expect("encodable");
    bytes
}

/// Far below what an attacker has, so that little input shows much.
const SMALL: DecodeLimits = {
    let mut limits = DecodeLimits {
        max_depth: 100,
        max_memory: 0,
    };
    limits.max_memory = 256 * 1024;
    limits
};

/// The memory that may be taken beside the budget: a map of the library has four empty places, an
/// error its text.
const SLACK: usize = 4096;

fn stays_within<T: DeserializeOwned>(bytes: &[u8]) {
    let (peak, _) = peak(|| from_bytes_within::<T>(bytes, &SMALL).map(drop));
    let allowed = GROWING * SMALL.max_memory + SLACK;
    assert!(
        peak <= allowed,
        "{} bytes took {peak} of {allowed} as {}: {bytes:02x?}",
        bytes.len(),
        std::any::type_name::<T>(),
    );
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only what it takes counts")]
enum Tree {
    Leaf(Box<u8>),
    Text(String),
    Wide([u64; 16]),
    Inner {
        left: Box<Self>,
        right: Option<Box<Self>>,
    },
    Many(Vec<Self>),
}

/// Pieces of values, most of them whole, so that what is put together is often read to its end.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => (0u8..12).prop_map(|index| vec![tag::REF, index]),
        2 => Just(vec![tag::ARRAY]),
        2 => Just(vec![tag::END]),
        1 => Just(vec![tag::OBJECT, tag::STR, 1, b'a']),
        1 => Just(vec![tag::STR, 1, b'b']),
        1 => Just(vec![tag::MAP]),
        1 => Just(vec![0x13]),
        1 => Just(vec![tag::STR, 0]),
        1 => Just(vec![0x05, 2]),
        1 => Just(vec![tag::BYTES, 4, 1, 2, 3, 4]),
        1 => Just(vec![0x17, 9, 0, 1, 0x15, 8, 0, 0, 0, 0, 0, 0, 0, 0]),
        1 => Just(vec![0x1c, 0, tag::STR, 1, b'n', tag::STR, 1, b'm']),
        1 => Just(vec![tag::HOLES, 0xff, 0x7f]),
        1 => Just(vec![0x0a, 2, 0, 0xd8]),
        1 => Just(vec![0x1e, tag::STR, 0, 2, 1, 2]),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    (
        proptest::collection::vec((piece, 1usize..300), 1..60),
        proptest::option::of(0usize..40),
    )
        .prop_map(|(pieces, ends)| {
            let mut bytes = vec![tag::ARRAY];
            for (piece, times) in pieces {
                let times = if piece.len() == 2 && piece[0] == tag::REF {
                    times
                } else {
                    1
                };
                bytes.extend(piece.repeat(times));
            }
            bytes.extend(std::iter::repeat_n(tag::END, ends.unwrap_or(1)));
            bytes
        })
}

#[test]
fn whatever_comes_is_read_within_the_budget() {
    let _alone = alone();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(200));
    let outcome = runner.run(&pieces(), |bytes| {
        stays_within::<Json>(&bytes);
        stays_within::<Vec<Vec<String>>>(&bytes);
        stays_within::<Vec<Vec<Option<u8>>>>(&bytes);
        stays_within::<LinkedList<LinkedList<u8>>>(&bytes);
        stays_within::<Vec<HashMap<String, Json>>>(&bytes);
        stays_within::<Vec<BTreeMap<u8, Vec<u8>>>>(&bytes);
        stays_within::<Vec<Box<Box<u8>>>>(&bytes);
        stays_within::<Vec<Tree>>(&bytes);
        stays_within::<Vec<Value>>(&bytes);
        let allowed = GROWING * SMALL.max_memory + SLACK;
        let (peak_of_value, value) = peak(|| Value::decode(&bytes, &SMALL));
        prop_assert!(peak_of_value <= allowed, "{peak_of_value} as a value");
        if let Ok(value) = value {
            let (peak_of_json, _) = peak(|| value.to_json_within(SMALL.max_memory).map(drop));
            prop_assert!(peak_of_json <= allowed, "{peak_of_json} as JSON");
            let (peak_of_text, text) = peak(|| format!("{value:?}"));
            prop_assert!(
                peak_of_text <= 4 * text.len() + allowed,
                "{peak_of_text} as text"
            );
            prop_assert_eq!(&value.clone(), &value);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}\n{runner}"));
}
