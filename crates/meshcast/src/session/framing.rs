//! Messages to bytes and back: a big-endian `u32` length, then that many bytes.
//!
//! No I/O happens here. The handler asks the [`Encoder`] for the next bytes to write and lends the
//! [`Decoder`] room to read into, so that both can be tested byte by byte, whatever the cuts
//! between reads.

use std::{mem, ops::Range};

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes read or gathered in one go: a record of TLS. It is also all that a connection costs while
/// it is idle.
pub(super) const STEP: usize = 16 * 1024;

/// Octets of the length before each message.
const HEADER: usize = size_of::<u32>();

/// A length above the limit. Nothing behind it can be read, since where the next message begins is
/// unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer announced a message of {size} bytes where {limit} are allowed")]
pub(crate) struct Oversized {
    /// The length that was announced.
    pub(crate) size: usize,
    /// The largest one that is accepted.
    pub(crate) limit: usize,
}

/// Turns messages into bytes to write.
///
/// Small messages are gathered into one write; a large one is written from where it lies, without a
/// copy. It holds at most [`STEP`] gathered bytes, one length and one large message.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    gathered: BytesMut,
    /// Goes out after `gathered`, which ends with its length.
    large: Bytes,
}

impl Encoder {
    /// Appends a message. Its size fits a `u32`: the limit that `Sessions::send` holds it to is
    /// one.
    pub(super) fn push(&mut self, message: Bytes) {
        debug_assert!(self.has_room(), "pushed behind a large message");
        self.gathered.put_u32(message.len() as u32);
        if self.gathered.len() + message.len() <= STEP {
            self.gathered.extend_from_slice(&message);
        } else {
            self.large = message;
        }
    }

    /// Notes that the first `n` bytes of [`chunk`](Self::chunk) are written.
    pub(super) fn advance(&mut self, n: usize) {
        if self.gathered.is_empty() {
            self.large.advance(n);
        } else {
            self.gathered.advance(n);
        }
    }

    /// The next bytes to write; empty when there are none.
    pub(super) fn chunk(&self) -> &[u8] {
        if self.gathered.is_empty() {
            &self.large
        } else {
            &self.gathered
        }
    }

    /// Whether another message may be pushed before something is written.
    pub(super) fn has_room(&self) -> bool {
        self.large.is_empty() && self.gathered.len() < STEP
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunk().is_empty()
    }
}

/// Turns the bytes that were read into messages.
///
/// A length is a claim: memory follows the bytes that have arrived, at most doubling what is held,
/// and never passes the length claimed. Every message has an allocation of its own, so that keeping
/// a small one does not keep a neighbour.
#[derive(Debug)]
pub(super) struct Decoder {
    limit: usize,
    scratch: Box<[u8]>,
    /// What of `scratch` has been read and not yet decoded.
    unread: Range<usize>,
    state: State,
}

#[derive(Debug)]
enum State {
    Length { bytes: [u8; HEADER], have: usize },
    Body { size: usize, bytes: Vec<u8> },
}

impl Decoder {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            scratch: vec![0; STEP].into(),
            unread: 0..0,
            state: State::START,
        }
    }

    /// Room to read into. Everything read before must have been decoded.
    pub(super) fn space(&mut self) -> &mut [u8] {
        debug_assert!(
            self.unread.is_empty(),
            "read over bytes that are not decoded"
        );
        &mut self.scratch
    }

    /// Notes that the first `n` bytes of [`space`](Self::space) have been filled.
    pub(super) fn filled(&mut self, n: usize) {
        self.unread = 0..n.min(self.scratch.len());
    }

    /// The next whole message; `None` once everything read has been decoded. An error stays: the
    /// same one is returned again.
    pub(super) fn next_message(&mut self) -> Result<Option<Bytes>, Oversized> {
        loop {
            let input = &self.scratch[self.unread.clone()];
            match &mut self.state {
                State::Length { bytes, have } => {
                    let n = input.len().min(HEADER - *have);
                    bytes[*have..*have + n].copy_from_slice(&input[..n]);
                    *have += n;
                    self.unread.start += n;
                    if *have < HEADER {
                        return Ok(None);
                    }
                    let size = usize::try_from(u32::from_be_bytes(*bytes)).unwrap_or(usize::MAX);
                    if size > self.limit {
                        return Err(Oversized {
                            size,
                            limit: self.limit,
                        });
                    }
                    self.state = State::Body {
                        size,
                        bytes: Vec::new(),
                    };
                }
                State::Body { size, bytes } => {
                    let missing = *size - bytes.len();
                    let n = input.len().min(missing);
                    if bytes.capacity() - bytes.len() < n {
                        bytes.reserve_exact(bytes.len().max(STEP).min(missing));
                    }
                    bytes.extend_from_slice(&input[..n]);
                    self.unread.start += n;
                    if bytes.len() < *size {
                        return Ok(None);
                    }
                    let message = Bytes::from(mem::take(bytes));
                    self.state = State::START;
                    return Ok(Some(message));
                }
            }
        }
    }

    /// Whether a message has begun and not ended.
    pub(super) fn is_inside_message(&self) -> bool {
        !matches!(self.state, State::Length { have: 0, .. })
    }
}

impl State {
    const START: Self = Self::Length {
        bytes: [0; HEADER],
        have: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 512 * 1024;

    #[test]
    fn messages_survive_any_cut_between_writes_and_reads() {
        for seed in 0..400 {
            let mut numbers = Numbers(seed);
            let messages: Vec<Bytes> = (0..numbers.below(40))
                .map(|_| message(&mut numbers))
                .collect();
            let wire = encode(&messages, &mut numbers);
            assert_eq!(decode(&wire, &mut numbers), Ok(messages), "seed {seed}");
        }
    }

    #[test]
    fn one_byte_at_a_time_is_enough() {
        let mut decoder = Decoder::new(LIMIT);
        let mut heard = Vec::new();
        for byte in [0, 0, 0, 0, 0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9] {
            decoder.space()[0] = byte;
            decoder.filled(1);
            while let Some(message) = decoder.next_message().expect("every length is allowed") {
                heard.push(message.to_vec());
            }
        }
        assert_eq!(heard, [vec![], vec![7, 8], vec![9]]);
        assert!(!decoder.is_inside_message());
    }

    #[test]
    fn a_length_at_the_limit_is_read_and_one_above_is_refused_for_good() {
        let mut decoder = Decoder::new(3);
        feed(
            &mut decoder,
            &[0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 4, 0, 0, 0, 1, 5],
        );
        assert_eq!(
            decoder.next_message(),
            Ok(Some(Bytes::from_static(&[1, 2, 3])))
        );
        for _ in 0..3 {
            assert_eq!(decoder.next_message(), Err(Oversized { size: 4, limit: 3 }));
        }
    }

    #[test]
    fn any_four_bytes_are_a_length_or_an_error() {
        let mut numbers = Numbers(1);
        for _ in 0..10_000 {
            let header = (numbers.next() as u32).to_be_bytes();
            let size = u32::from_be_bytes(header) as usize;
            let mut decoder = Decoder::new(LIMIT);
            feed(&mut decoder, &header);
            match decoder.next_message() {
                Ok(message) => assert!(size <= LIMIT && (message.is_none() || size == 0)),
                Err(error) => assert_eq!(error, Oversized { size, limit: LIMIT }),
            }
        }
    }

    #[test]
    fn memory_follows_what_arrived_not_what_was_claimed() {
        let mut decoder = Decoder::new(LIMIT);
        feed(&mut decoder, &(LIMIT as u32).to_be_bytes());
        let mut arrived = 0;
        let message = loop {
            if let Some(message) = decoder.next_message().expect("the length is allowed") {
                break message;
            }
            let State::Body { bytes, .. } = &decoder.state else {
                panic!("the length is read")
            };
            assert!(
                bytes.capacity() <= STEP.max(2 * arrived),
                "{} for {arrived}",
                bytes.capacity()
            );
            let n = (LIMIT - arrived).min(1000);
            feed(&mut decoder, &[1; 1000][..n]);
            arrived += n;
        };
        assert_eq!(message.len(), LIMIT);
    }

    #[test]
    fn the_encoder_holds_a_step_and_one_large_message() {
        let mut encoder = Encoder::default();
        let mut pushed = 0;
        while encoder.has_room() {
            encoder.push(Bytes::from_static(&[0; 100]));
            pushed += 1;
        }
        assert!(
            encoder.gathered.len() <= STEP + HEADER,
            "{}",
            encoder.gathered.len()
        );
        assert!(pushed >= STEP / (100 + HEADER));
    }

    fn message(numbers: &mut Numbers) -> Bytes {
        let size = match numbers.below(20) {
            0..3 => 0,
            3..17 => numbers.below(300),
            17 | 18 => numbers.below(3 * STEP),
            _ => STEP - HEADER + numbers.below(3) - 1,
        };
        (0..size).map(|_| numbers.next() as u8).collect()
    }

    fn encode(messages: &[Bytes], numbers: &mut Numbers) -> Vec<u8> {
        let mut encoder = Encoder::default();
        let mut wire = Vec::new();
        let mut waiting = messages.iter();
        loop {
            while encoder.has_room() && numbers.below(4) > 0 {
                let Some(message) = waiting.next() else { break };
                encoder.push(message.clone());
            }
            if encoder.is_empty() && waiting.len() == 0 {
                return wire;
            }
            let n = numbers.below(encoder.chunk().len() + 1);
            wire.extend_from_slice(&encoder.chunk()[..n]);
            encoder.advance(n);
        }
    }

    fn decode(mut wire: &[u8], numbers: &mut Numbers) -> Result<Vec<Bytes>, Oversized> {
        let mut decoder = Decoder::new(LIMIT);
        let mut messages = Vec::new();
        while !wire.is_empty() {
            let n = (1 + numbers.below(STEP)).min(wire.len());
            feed(&mut decoder, &wire[..n]);
            wire = &wire[n..];
            while let Some(message) = decoder.next_message()? {
                messages.push(message);
            }
        }
        assert!(!decoder.is_inside_message());
        Ok(messages)
    }

    fn feed(decoder: &mut Decoder, bytes: &[u8]) {
        decoder.space()[..bytes.len()].copy_from_slice(bytes);
        decoder.filled(bytes.len());
    }

    /// SplitMix64: all that these tests need of a generator is that a seed brings the same cuts
    /// back.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, end: usize) -> usize {
            if end == 0 {
                0
            } else {
                (self.next() % end as u64) as usize
            }
        }
    }
}
