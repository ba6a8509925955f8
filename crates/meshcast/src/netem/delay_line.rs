//! The bytes under way in one direction: a delay line behind a bottleneck. Knows neither clock nor
//! streams.

use std::{collections::VecDeque, num::NonZeroU64, time::Duration};

use bytes::{Buf, Bytes};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use super::{Shape, Stalls};

/// A direction of a connection.
#[derive(Debug)]
pub(super) struct DelayLine {
    packets: VecDeque<Packet>,
    /// Bytes in line, and what it takes to keep them.
    weight: usize,
    /// When the bottleneck will have let through what is in line.
    free_at: Option<Instant>,
    next_stall: Option<Instant>,
    /// When something last set out.
    last: Option<Instant>,
    chance: StdRng,
}

#[derive(Debug)]
struct Packet {
    due: Instant,
    payload: Payload,
}

/// What travels.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Bytes(Bytes),
    /// That nothing follows.
    End,
    /// That the connection broke.
    Reset,
}

impl DelayLine {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            packets: VecDeque::new(),
            weight: 0,
            free_at: None,
            next_stall: None,
            last: None,
            chance: StdRng::seed_from_u64(seed),
        }
    }

    /// Whether more may set out.
    pub(super) fn has_room(&self, shape: &Shape) -> bool {
        self.weight < capacity(shape)
    }

    /// Something sets out.
    pub(super) fn push(&mut self, payload: Payload, shape: &Shape, now: Instant) {
        let len = match &payload {
            Payload::Bytes(bytes) => bytes.len(),
            Payload::End | Payload::Reset => 0,
        };
        let passed = match shape.bandwidth {
            Some(rate) => self.free_at.map_or(now, |at| at.max(now)) + transfer_time(len, rate),
            None => now,
        };
        self.free_at = Some(passed);
        let mut due = passed + shape.delay + self.chance_upto(shape.jitter);
        if let Some(stalls) = shape.stalls {
            due += self.stall(stalls, now);
        }
        if shape.loss_ppm > 0 {
            due += self.retransmission(len, shape, now);
        }
        self.last = Some(now);
        // Nothing overtakes.
        let last = self.packets.back().map_or(due, |last| last.due);
        self.weight += len + OVERHEAD;
        self.packets.push_back(Packet {
            due: due.max(last),
            payload,
        });
    }

    /// What arrives next, and when.
    pub(super) fn head(&self) -> Option<(Instant, &Payload)> {
        self.packets
            .front()
            .map(|packet| (packet.due, &packet.payload))
    }

    /// So many bytes of the next packet have arrived.
    pub(super) fn advance(&mut self, len: usize) {
        let Some(packet) = self.packets.front_mut() else {
            return;
        };
        if let Payload::Bytes(bytes) = &mut packet.payload {
            let len = len.min(bytes.len());
            bytes.advance(len);
            self.weight -= len;
            if !bytes.is_empty() {
                return;
            }
        }
        self.weight -= OVERHEAD;
        self.packets.pop_front();
    }

    /// The extra time of a packet that sets out now.
    fn stall(&mut self, stalls: Stalls, now: Instant) -> Duration {
        let stalls_now = self.next_stall.is_some_and(|at| at <= now);
        if stalls_now || self.next_stall.is_none() {
            self.next_stall = Some(now + self.chance_upto(2 * stalls.every));
        }
        if stalls_now {
            stalls.lasts
        } else {
            Duration::ZERO
        }
    }

    /// The extra time of a packet that sets out now for retransmissions.
    fn retransmission(&mut self, len: usize, shape: &Shape, now: Instant) -> Duration {
        let round_trip = 2 * (shape.delay + shape.jitter);
        let is_busy = self.last.is_some_and(|last| now - last <= round_trip);
        let mut takes = if is_busy {
            round_trip
        } else {
            round_trip.max(TIMEOUT)
        };
        let mut all = Duration::ZERO;
        let mut lost = len.div_ceil(SEGMENT).max(1);
        for _ in 0..MOST_TIMES {
            lost = (0..lost).filter(|_| self.is_lost(shape)).count();
            if lost == 0 {
                break;
            }
            all += takes;
            takes = takes.max(TIMEOUT / 2) * 2;
        }
        all
    }

    fn is_lost(&mut self, shape: &Shape) -> bool {
        self.chance.random::<f64>() * 1e6 < f64::from(shape.loss_ppm)
    }

    fn chance_upto(&mut self, longest: Duration) -> Duration {
        if longest.is_zero() {
            return longest;
        }
        longest.mul_f64(self.chance.random())
    }
}

fn capacity(shape: &Shape) -> usize {
    let Some(rate) = shape.bandwidth else {
        return MAX_WEIGHT;
    };
    let travels = (shape.delay + shape.jitter).as_nanos() * u128::from(rate.get()) / 1_000_000_000;
    let travels = usize::try_from(travels).unwrap_or(MAX_WEIGHT);
    travels.saturating_add(Shape::QUEUE).min(MAX_WEIGHT)
}

fn transfer_time(len: usize, rate: NonZeroU64) -> Duration {
    let nanos = len as u128 * 1_000_000_000 / u128::from(rate.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What TCP puts into a packet of 1,500 bytes.
const SEGMENT: usize = 1460;
/// After which Linux sends again at the earliest what was not acknowledged.
const TIMEOUT: Duration = Duration::from_millis(200);
/// The most retransmissions of a packet: nodes give up a link that is silent for longer than this
/// takes.
const MOST_TIMES: u32 = 6;

/// The most bytes under way: as much as the kernel lets a socket have at most, by default.
const MAX_WEIGHT: usize = 4 << 20;
/// The overhead of a packet besides its bytes, so that many small ones are bounded too.
const OVERHEAD: usize = size_of::<Packet>();

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Payload {
        Payload::Bytes(vec![0; len].into())
    }

    /// When each of these arrives, in milliseconds after the start; they set out at these.
    fn dues(shape: Shape, seed: u64, at: impl IntoIterator<Item = u64>) -> Vec<u128> {
        let start = Instant::now();
        let mut line = DelayLine::new(seed);
        for at in at {
            line.push(bytes(1000), &shape, start + Duration::from_millis(at));
        }
        let dues = line.packets.iter();
        dues.map(|packet| (packet.due - start).as_millis())
            .collect()
    }

    #[test]
    fn what_sets_out_arrives_after_the_delay() {
        let shape = Shape::delay(Duration::from_millis(50));
        assert_eq!(dues(shape, 1, [0, 0, 10]), [50, 50, 60]);
    }

    #[test]
    fn a_bottleneck_lets_through_no_more_than_it_does() {
        let rate = NonZeroU64::new(100_000).expect("some");
        let shape = Shape::delay(Duration::from_millis(5)).bandwidth(rate);
        assert_eq!(dues(shape, 1, [0, 0, 0, 100]), [15, 25, 35, 115]);
    }

    #[test]
    fn jitter_delays_and_never_reorders_and_follows_from_the_seed() {
        let shape = Shape::delay(Duration::from_millis(50)).jitter(Duration::from_millis(20));
        let once = dues(shape, 1, 0..200);
        assert!(once.is_sorted());
        assert!(
            once.iter()
                .zip(0..)
                .all(|(due, at)| (50 + at..=70 + at + 20).contains(due))
        );
        assert!(
            once.windows(2).any(|pair| pair[1] - pair[0] != 1),
            "no chance in it"
        );
        assert_eq!(once, dues(shape, 1, 0..200));
        assert_ne!(once, dues(shape, 2, 0..200));
    }

    #[test]
    fn a_stall_holds_up_all_that_follows() {
        let (every, lasts) = (Duration::from_millis(100), Duration::from_millis(40));
        let once = dues(Shape::default().stalls(every, lasts), 3, 0..10_000);
        assert!(once.is_sorted());
        let late = once
            .iter()
            .zip(0..)
            .filter(|(due, at)| **due == *at + 40)
            .count();
        assert!((50..200).contains(&late), "{late} stalls");
        assert!(once.iter().zip(0..).all(|(due, at)| *due <= at + 40));
    }

    #[test]
    fn a_lost_packet_comes_a_round_trip_later_and_holds_up_the_next() {
        let shape = Shape::delay(Duration::from_millis(50)).loss(0.01);
        let busy = dues(shape, 5, (0..10_000).map(|n| 10 * n));
        assert!(busy.is_sorted());
        let late = |due: &u128, at: u64| due - u128::from(at) - 50;
        let delays: Vec<_> = busy
            .iter()
            .zip(0..)
            .map(|(due, n)| late(due, 10 * n))
            .collect();
        let began = delays.windows(2).filter(|pair| pair[1] > pair[0]);
        let began: Vec<_> = began.map(|pair| pair[1]).collect();
        assert!(
            (60..140).contains(&began.len()),
            "{} losses of 10,000",
            began.len()
        );
        assert!(began.contains(&100), "no fast retransmission");
        assert_eq!(dues(shape.loss(0.0), 5, [0, 10]), [50, 60]);
        let waiting = delays.iter().filter(|late| **late > 0).count();
        assert!(waiting > 5 * began.len(), "those behind wait too");
    }

    #[test]
    fn a_lost_packet_of_a_quiet_connection_waits_for_the_timeout() {
        let shape = Shape::delay(Duration::from_millis(5)).loss(0.1);
        let quiet = dues(shape, 5, (0..1_000).map(|n| 10_000 * n));
        let delays: Vec<_> = quiet
            .iter()
            .zip(0..)
            .map(|(due, n)| due - 10_000 * n - 5)
            .collect();
        let count = |of: u128| delays.iter().filter(|late| **late == of).count();
        assert!((50..130).contains(&count(200)), "{} timeouts", count(200));
        assert!(count(600) >= 1, "one is lost twice");
        let known = [0, 200, 600, 1_400, 3_000, 6_200].map(count);
        assert_eq!(known.iter().sum::<usize>(), 1_000);
    }

    #[test]
    fn a_link_that_loses_everything_still_ends_each_wait() {
        let shape = Shape::delay(Duration::from_millis(5)).loss(2.0);
        assert_eq!(shape.loss_ppm, 1_000_000);
        let waited = 200 * (1 + 2 + 4 + 8 + 16 + 32) + 5;
        assert_eq!(dues(shape, 1, [0]), [waited]);
    }

    #[test]
    fn what_is_under_way_is_bounded_by_bandwidth_and_delay() {
        let rate = NonZeroU64::new(1_000_000).expect("some");
        let shape = Shape::delay(Duration::from_secs(1)).bandwidth(rate);
        let mut line = DelayLine::new(1);
        let now = Instant::now();
        while line.has_room(&shape) {
            line.push(bytes(10_000), &shape, now);
        }
        let full = 1_000_000 + Shape::QUEUE;
        assert!(
            (full..full + 20_000).contains(&line.weight),
            "{}",
            line.weight
        );
    }

    #[test]
    fn small_parcels_are_bounded_too_and_weigh_nothing_when_gone() {
        let shape = Shape::default();
        let mut line = DelayLine::new(1);
        let now = Instant::now();
        while line.has_room(&shape) {
            line.push(bytes(1), &shape, now);
        }
        assert!(line.packets.len() * OVERHEAD <= MAX_WEIGHT);
        line.push(Payload::End, &shape, now);
        while line.head().is_some() {
            line.advance(1);
        }
        assert_eq!(line.weight, 0);
    }

    #[test]
    fn a_parcel_may_arrive_in_parts() {
        let mut line = DelayLine::new(1);
        line.push(
            Payload::Bytes(Bytes::from_static(b"abc")),
            &Shape::default(),
            Instant::now(),
        );
        line.advance(2);
        assert_eq!(
            line.head().map(|(_, payload)| payload),
            Some(&Payload::Bytes(Bytes::from_static(b"c")))
        );
        line.advance(1);
        assert!(line.head().is_none());
    }
}
