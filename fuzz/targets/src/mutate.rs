//! Seeded mutations, for a toolchain without coverage: changes that parsers trip over, one or a few
//! at a time, so that most of the input stays well formed.

use rand::{Rng, RngExt, seq::IndexedRandom};

/// Numbers at which lengths and counters go wrong: of one byte, of the codec's longer forms, and of
/// LEB128.
const TELLING: &[&[u8]] = &[
    &[0],
    &[1],
    &[0x7f],
    &[0x80],
    &[0xfa],
    &[0xfb, 0xfb, 0],
    &[0xfb, 0xff, 0xff],
    &[0xfc, 0xff, 0xff, 0xff, 0xff],
    &[0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xff],
    &[0xff, 0xff, 0x03],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
];

/// Another input made of one of the seeds.
pub fn mutate(seeds: &[Vec<u8>], max_len: usize, rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = seeds.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=8) {
        change(&mut bytes, seeds, rng);
    }
    bytes.truncate(max_len);
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut impl Rng) {
    let at = rng.random_range(0..=bytes.len());
    let end = (at + rng.random_range(0..=32)).min(bytes.len());
    match rng.random_range(0..9) {
        0 => flip(bytes, at, rng),
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.random();
            }
        }
        2 => drop(bytes.drain(at..end)),
        3 => bytes.truncate(at),
        4 => {
            let telling = TELLING.choose(rng).copied().unwrap_or_default();
            let end = (at + telling.len()).min(bytes.len());
            bytes.splice(at..end, telling.iter().copied());
        }
        5 => {
            let telling = TELLING.choose(rng).copied().unwrap_or_default();
            bytes.splice(at..at, telling.iter().copied());
        }
        6 => {
            // The same again, up to a few hundred times: what is small once may be large often.
            let piece = bytes[at..end].repeat(1 << rng.random_range(0..9));
            bytes.splice(at..at, piece);
        }
        7 => {
            let other = seeds.choose(rng).map_or(&[][..], Vec::as_slice);
            let from = rng.random_range(0..=other.len());
            let to = (from + rng.random_range(0..=64)).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            let random: [u8; 8] = rng.random();
            let len = rng.random_range(0..=random.len());
            bytes.splice(at..at, random[..len].iter().copied());
        }
    }
}

fn flip(bytes: &mut [u8], at: usize, rng: &mut impl Rng) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << rng.random_range(0..8);
    }
}
